//! The functions of the language.
//!
//! [`table`] has one entry per function: its arguments and results, its computation, the first bar on which it is
//! defined, the number of past bars that it needs, its spelling in Pine, and its words in a description. To add a
//! function, add an entry and, unless it is an expression of others, a kernel in the file of its family.
//!
//! Definitions follow `ta.*` of TradingView where the name begins with `ta.`; the other names are this crate's own and print as
//! functions of Pine.

mod average;
mod event;
mod oscillator;
mod pattern;
pub(crate) mod table;
mod time;
mod trend;
mod volatility;
mod window;

use std::{collections::HashMap, sync::LazyLock};

use crate::{
    Bars, Bits,
    column::{Value, column, over_defined},
    number::whole,
};

/// Numbers that differ by no more than this are equal to TradingView, in comparisons and in the directions of `ta.dmi`, `ta.cmo`,
/// `ta.mfi`, `ta.rising` and `ta.falling`. Crossings, extremes and turning points compare exactly there.
pub(crate) const TOLERANCE: f64 = 1e-10;

/// A function of the language.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) name: &'static str,
    /// Empty for a name that is written without parentheses.
    pub(crate) inputs: &'static [Input],
    pub(crate) outputs: &'static [Output],
    pub(crate) rule: Rule,
    pub(crate) pine: Pine,
    /// Words for the result, with `{0}` for the first argument. Parts after `|` are for further results.
    pub(crate) words: &'static str,
}

#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The kinds of arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Int,
    Condition,
    /// A constant number of bars, at least 1.
    Length,
    /// A constant number.
    Factor,
    /// A constant condition.
    Flag,
    /// The text "UTC", the only time zone whose rules do not depend on the machine.
    Utc,
}

impl Kind {
    /// True if the argument is a constant that the kernel reads as a number.
    pub(crate) fn is_constant(self) -> bool {
        matches!(self, Self::Length | Self::Factor | Self::Flag)
    }
}

/// The type of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Float,
    Int,
    Bool,
    /// An int if all arguments are.
    Same,
}

/// The computation of a function.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// Bar by bar. A `lenient` one has a result for `na`.
    Elementwise { of: fn(&[f64]) -> f64, lenient: bool },
    /// From the bars up to each bar.
    Kernel { run: Run, first: First, memory: Memory },
    /// An expression of other functions, whose names are those of the inputs.
    Expression(&'static str),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Elementwise { .. } => "Elementwise",
            Self::Kernel { .. } => "Kernel",
            Self::Expression(text) => text,
        })
    }
}

/// The code of a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Over the bars on which one number is defined, with a length.
    Window(fn(&[f64], usize, &mut [f64])),
    /// Over the bars on which two numbers are defined, with a length.
    Windows(fn(&[f64], &[f64], usize, &mut [f64])),
    /// Everything else.
    Whole(fn(&Arguments<'_>) -> Vec<Value>),
}

/// The number of bars by which a function is defined later than its arguments.
#[derive(Clone, Copy)]
pub(crate) enum First {
    AtOnce,
    /// At once, but false on the first bar, which has no bar before to compare with.
    Crossing,
    /// After a whole window: n − 1 bars, where n is the first constant.
    Window,
    /// After a whole window. TradingView, however, has an extreme of a shorter window where the input begins later than the bars.
    Extreme,
    /// After n bars.
    Length,
    /// For each result, from the constants.
    Of(fn(&[f64]) -> [usize; 3]),
}

/// The number of past bars that a function needs until its first bar no longer influences the result.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    None,
    /// n bars, where n is the first constant.
    Window,
    /// 4 n, after which the seed of an exponential average has the weight (1 − 2/(n+1))^4n ≈ 3·10⁻⁴.
    Exponential,
    /// 10 n, after which the seed of Wilder's average has the weight (1 − 1/n)^10n ≈ 5·10⁻⁵.
    Wilder,
    /// [`EVENT_MEMORY`] bars, within which the remembered events are assumed to have happened.
    Events,
    /// From the constants.
    Of(fn(&[f64]) -> usize),
}

/// The number of bars that are loaded for functions that remember events, because the distance of an event is not
/// known in advance.
const EVENT_MEMORY: usize = 300;

/// The spelling of a function in Pine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pine {
    /// The same name.
    Native,
    /// A function that is printed from the expression of the rule.
    Derived,
    /// A function with this text.
    Helper(&'static str),
}

impl Operator {
    pub(crate) fn is_elementwise(&self) -> bool {
        matches!(self.rule, Rule::Elementwise { .. })
    }

    /// True if the result of a bar depends on the call at earlier bars, so that a script must call it on every bar.
    pub(crate) fn keeps_state(&self) -> bool {
        !self.is_elementwise() && !self.inputs.iter().any(|input| input.kind == Kind::Utc)
    }
}

impl First {
    /// The number of bars for which the result is false after it is defined.
    pub(crate) fn quiet(self) -> usize {
        usize::from(matches!(self, Self::Crossing))
    }

    /// For each result, the number of bars by which it is defined later than the arguments.
    pub(crate) fn bars(self, constants: &[f64]) -> [usize; 3] {
        let length = constants.first().map_or(0, |length| whole(*length));
        match self {
            Self::AtOnce | Self::Crossing => [0; 3],
            Self::Window | Self::Extreme => [length.saturating_sub(1); 3],
            Self::Length => [length; 3],
            Self::Of(first) => first(constants),
        }
    }
}

impl Memory {
    pub(crate) fn bars(self, constants: &[f64]) -> usize {
        let length = constants.first().map_or(0, |length| whole(*length));
        match self {
            Self::None => 0,
            Self::Window => length,
            Self::Exponential => 4 * length,
            Self::Wilder => 10 * length,
            Self::Events => EVENT_MEMORY,
            Self::Of(memory) => memory(constants),
        }
    }
}

/// The arguments of a call, evaluated over all bars.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    pub(crate) bars: &'a Bars,
    /// The arguments that are series, in order.
    pub(crate) series: &'a [Value],
    /// The arguments that are constants, in order.
    pub(crate) constants: &'a [f64],
}

impl Arguments<'_> {
    fn numbers(&self, place: usize) -> &[f64] {
        match &self.series[place] {
            Value::Numbers(numbers) => numbers,
            Value::Flags(_) => unreachable!("the parser gives numbers where the table asks for them"),
        }
    }

    fn flags(&self, place: usize) -> &Bits {
        match &self.series[place] {
            Value::Flags(flags) => flags,
            Value::Numbers(_) => unreachable!("the parser gives conditions where the table asks for them"),
        }
    }

    fn length(&self, place: usize) -> usize {
        whole(self.constants[place])
    }

    fn column(&self, fill: impl FnOnce(&mut [f64])) -> Value {
        Value::Numbers(column(self.bars.len(), fill))
    }
}

impl Run {
    pub(crate) fn run(self, arguments: &Arguments<'_>) -> Vec<Value> {
        match self {
            Self::Window(kernel) => vec![arguments.column(|out| {
                let n = arguments.length(0);
                over_defined([arguments.numbers(0)], out, |[x], out| kernel(x, n, out));
            })],
            Self::Windows(kernel) => vec![arguments.column(|out| {
                let n = arguments.length(0);
                over_defined([arguments.numbers(0), arguments.numbers(1)], out, |[x, y], out| kernel(x, y, n, out));
            })],
            Self::Whole(run) => run(arguments),
        }
    }
}

/// Two columns that one kernel fills.
fn two_columns(len: usize, fill: impl FnOnce([&mut [f64]; 2])) -> Vec<Value> {
    let mut second = vec![f64::NAN; len];
    let first = column(len, |first| fill([first, &mut second]));
    vec![Value::Numbers(first), Value::Numbers(column(len, |out| out.copy_from_slice(&second)))]
}

/// Three columns that one kernel fills.
fn three_columns(len: usize, fill: impl FnOnce([&mut [f64]; 3])) -> Vec<Value> {
    let (mut second, mut third) = (vec![f64::NAN; len], vec![f64::NAN; len]);
    let first = column(len, |first| fill([first, &mut second, &mut third]));
    let rest = [second, third].map(|rest| Value::Numbers(column(len, |out| out.copy_from_slice(&rest))));
    std::iter::once(Value::Numbers(first)).chain(rest).collect()
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Operator>> =
    LazyLock::new(|| table::OPERATORS.iter().map(|operator| (operator.name, operator)).collect());

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Operator> {
    BY_NAME.get(name).copied()
}

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    table::OPERATORS.iter().map(|operator| operator.name)
}

/// The place of an operator in the table, which stands for it in the keys of cached columns.
pub(crate) fn place(operator: &'static Operator) -> usize {
    // Every operator is a reference into the table, so the distance from its start is the place.
    let distance = std::ptr::from_ref(operator).addr() - table::OPERATORS.as_ptr().addr();
    distance / size_of::<Operator>()
}

/// The numbers of bars of a column of times, for kernels of parts of a time.
fn of_time(arguments: &Arguments<'_>, part: fn(i64) -> i64) -> Vec<Value> {
    vec![arguments.column(|out| {
        for (time, out) in arguments.numbers(0).iter().zip(out) {
            if !time.is_nan() {
                *out = crate::number::real_time(part(crate::number::whole_time(*time)));
            }
        }
    })]
}
