//! Evaluation of one node over all bars.

use std::sync::Arc;

use super::{Node, Operand, Step, value};
use crate::{
    Bars, Bits,
    column::{Column, Value, column, finite},
    expr::tree::{Binary, Source},
    number::{real, real_time, whole},
    ops::{self, Arguments, Operator, Output, Rule, TOLERANCE},
};

/// A column, or a number on all bars.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    Column(&'a [f64]),
    Number(f64),
}

/// A set of bars, or a condition on all bars.
#[derive(Clone, Copy)]
enum Flags<'a> {
    Bits(&'a Bits),
    Flag(bool),
}

impl Step {
    /// A number for the kind of step and one for its variant, for the node's key.
    pub(super) fn code(self) -> (u8, u32) {
        match self {
            Self::Source(source) => (0, source as u32),
            Self::Fill => (1, 0),
            Self::FillFlags => (2, 0),
            Self::Arithmetic(binary) | Self::Compare(binary) | Self::Logic(binary) => (3, binary as u32),
            Self::Not => (4, 0),
            Self::Negate => (5, 0),
            Self::Choose => (6, 0),
            Self::ChooseFlags => (7, 0),
            Self::Past => (8, 0),
            Self::PastFlags => (9, 0),
            Self::Call(operator) => (10, u32::try_from(ops::place(operator)).unwrap_or(u32::MAX)),
        }
    }
}

impl Node {
    /// True if the node's columns are cached. A filled column is not, because it costs as much to look up as to make.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self.step, Step::Fill | Step::FillFlags)
    }

    pub(super) fn run(&self, bars: &Bars, results: &[Option<Arc<[Value]>>]) -> Vec<Value> {
        let len = bars.len();
        let numbers = |place: usize| numbers(results, self.operands[place]);
        let flags = |place: usize| flags(results, self.operands[place]);
        let value = match self.step {
            Step::Source(source) => Value::Numbers(of_source(source, bars)),
            Step::Fill => Value::Numbers(column(len, |out| out.fill(self.constants[0]))),
            Step::FillFlags => {
                Value::Flags(Arc::new(Bits::from_bar(if self.constants[0] > 0.0 { 0 } else { len }, len)))
            }
            Step::Arithmetic(binary) => Value::Numbers(arithmetic(binary, numbers(0), numbers(1), len)),
            Step::Compare(binary) => Value::Flags(Arc::new(compare(binary, numbers(0), numbers(1), len))),
            Step::Logic(binary) => Value::Flags(Arc::new(logic(binary, flags(0), flags(1), len))),
            Step::Not => Value::Flags(Arc::new(whole_set(flags(0), len).not())),
            Step::Negate => Value::Numbers(map(numbers(0), len, |number| -number)),
            Step::Choose => {
                let condition = whole_set(flags(0), len);
                let (then, other) = (numbers(1), numbers(2));
                Value::Numbers(column(len, |out| {
                    let pick = |(bar, out): (usize, &mut f64)| {
                        *out = if condition.get(bar) { then.at(bar) } else { other.at(bar) }
                    };
                    out.iter_mut().enumerate().for_each(pick);
                }))
            }
            Step::ChooseFlags => {
                let (condition, then, other) =
                    (whole_set(flags(0), len), whole_set(flags(1), len), whole_set(flags(2), len));
                Value::Flags(Arc::new(condition.and(&then).or(&other.and_not(&condition))))
            }
            Step::Past => {
                let (bars, source) = (whole(self.constants[0]).min(len), numbers(0));
                Value::Numbers(column(len, |out| {
                    let past = out[bars..].iter_mut().enumerate();
                    past.for_each(|(bar, out)| *out = source.at(bar));
                }))
            }
            Step::PastFlags => Value::Flags(Arc::new(whole_set(flags(0), len).shifted(whole(self.constants[0])))),
            Step::Call(operator) => return self.call(operator, bars, results),
        };
        vec![value]
    }

    fn call(&self, operator: &Operator, bars: &Bars, results: &[Option<Arc<[Value]>>]) -> Vec<Value> {
        match operator.rule {
            Rule::Elementwise { of, .. } => {
                let arguments: Vec<Numbers<'_>> =
                    self.operands.iter().map(|operand| numbers(results, *operand)).collect();
                let mut row = vec![0.0; arguments.len()];
                let mut at = |bar: usize| {
                    row.iter_mut().zip(&arguments).for_each(|(slot, argument)| *slot = argument.at(bar));
                    of(&row)
                };
                if operator.outputs == [Output::Bool] {
                    return vec![Value::Flags(Arc::new(Bits::from_fn(bars.len(), |bar| at(bar) > 0.0)))];
                }
                vec![Value::Numbers(column(bars.len(), |out| {
                    out.iter_mut().enumerate().for_each(|(bar, out)| *out = at(bar));
                }))]
            }
            Rule::Kernel { run, .. } => {
                let series: Vec<Value> = self.operands.iter().map(|operand| value(results, *operand).clone()).collect();
                run.run(&Arguments { bars, series: &series, constants: &self.constants })
            }
            Rule::Expression(_) => unreachable!("expressions are lowered to their parts"),
        }
    }
}

impl Numbers<'_> {
    #[inline]
    fn at(&self, bar: usize) -> f64 {
        match self {
            Self::Column(column) => column[bar],
            Self::Number(number) => *number,
        }
    }
}

fn numbers(results: &[Option<Arc<[Value]>>], operand: Operand) -> Numbers<'_> {
    if let Operand::Number(number) = operand {
        return Numbers::Number(number);
    }
    match value(results, operand) {
        Value::Numbers(numbers) => Numbers::Column(numbers),
        Value::Flags(_) => unreachable!("the parser gives numbers where numbers are wanted"),
    }
}

fn flags(results: &[Option<Arc<[Value]>>], operand: Operand) -> Flags<'_> {
    if let Operand::Number(number) = operand {
        return Flags::Flag(number > 0.0);
    }
    match value(results, operand) {
        Value::Flags(flags) => Flags::Bits(flags),
        Value::Numbers(_) => unreachable!("the parser gives conditions where conditions are wanted"),
    }
}

fn whole_set(flags: Flags<'_>, len: usize) -> Bits {
    match flags {
        Flags::Bits(bits) => bits.clone(),
        Flags::Flag(flag) => Bits::from_bar(if flag { 0 } else { len }, len),
    }
}

fn of_source(source: Source, bars: &Bars) -> Column {
    let (open, high, low, close) = (bars.open(), bars.high(), bars.low(), bars.close());
    match source {
        Source::Open => open.into(),
        Source::High => high.into(),
        Source::Low => low.into(),
        Source::Close => close.into(),
        Source::Volume => bars.volume().into(),
        Source::Hl2 => high.iter().zip(low).map(|(high, low)| f64::midpoint(*high, *low)).collect(),
        Source::Hlc3 => {
            high.iter().zip(low).zip(close).map(|((high, low), close)| (high + low + close) / 3.0).collect()
        }
        Source::Ohlc4 => {
            let prices = open.iter().zip(high).zip(low.iter().zip(close));
            prices.map(|((open, high), (low, close))| (open + high + low + close) / 4.0).collect()
        }
        Source::Time => bars.time().iter().map(|time| real_time(*time)).collect(),
        Source::BarIndex => (0..bars.len()).map(real).collect(),
    }
}

fn map(a: Numbers<'_>, len: usize, of: impl Fn(f64) -> f64) -> Column {
    match a {
        Numbers::Column(a) => a.iter().map(|a| finite(of(*a))).collect(),
        Numbers::Number(a) => column(len, |out| out.fill(of(a))),
    }
}

fn map2(a: Numbers<'_>, b: Numbers<'_>, len: usize, of: impl Fn(f64, f64) -> f64) -> Column {
    match (a, b) {
        (Numbers::Column(a), Numbers::Column(b)) => a.iter().zip(b).map(|(a, b)| finite(of(*a, *b))).collect(),
        (a, Numbers::Number(b)) => map(a, len, |a| of(a, b)),
        (Numbers::Number(a), b) => map(b, len, |b| of(a, b)),
    }
}

fn arithmetic(binary: Binary, a: Numbers<'_>, b: Numbers<'_>, len: usize) -> Column {
    match binary {
        Binary::Add => map2(a, b, len, |a, b| a + b),
        Binary::Subtract => map2(a, b, len, |a, b| a - b),
        Binary::Multiply => map2(a, b, len, |a, b| a * b),
        Binary::Divide => map2(a, b, len, |a, b| a / b),
        _ => map2(a, b, len, |a, b| a % b),
    }
}

fn flag2(a: Numbers<'_>, b: Numbers<'_>, len: usize, holds: impl Fn(f64, f64) -> bool) -> Bits {
    match (a, b) {
        (Numbers::Column(a), Numbers::Column(b)) => Bits::from_pairs(a, b, holds),
        (Numbers::Column(a), Numbers::Number(b)) => Bits::from_pairs(a, a, |a, _| holds(a, b)),
        (Numbers::Number(a), Numbers::Column(b)) => Bits::from_pairs(b, b, |b, _| holds(a, b)),
        (Numbers::Number(a), Numbers::Number(b)) => Bits::from_bar(if holds(a, b) { 0 } else { len }, len),
    }
}

fn compare(binary: Binary, a: Numbers<'_>, b: Numbers<'_>, len: usize) -> Bits {
    match binary {
        Binary::Less => flag2(a, b, len, |a, b| holds(Binary::Less, a, b)),
        Binary::LessOrEqual => flag2(a, b, len, |a, b| holds(Binary::LessOrEqual, a, b)),
        Binary::Greater => flag2(a, b, len, |a, b| holds(Binary::Greater, a, b)),
        Binary::GreaterOrEqual => flag2(a, b, len, |a, b| holds(Binary::GreaterOrEqual, a, b)),
        Binary::Equal => flag2(a, b, len, |a, b| holds(Binary::Equal, a, b)),
        _ => flag2(a, b, len, |a, b| holds(Binary::NotEqual, a, b)),
    }
}

/// A comparison. Numbers that differ by no more than [`TOLERANCE`] are equal, as TradingView compares them, so that
/// rounding errors decide nothing. Every comparison with `na` is false.
#[inline]
fn holds(binary: Binary, a: f64, b: f64) -> bool {
    let difference = a - b;
    match binary {
        Binary::Less => difference < -TOLERANCE,
        Binary::LessOrEqual => difference <= TOLERANCE,
        Binary::Greater => difference > TOLERANCE,
        Binary::GreaterOrEqual => difference >= -TOLERANCE,
        Binary::Equal => difference.abs() <= TOLERANCE,
        _ => difference.abs() > TOLERANCE,
    }
}

fn logic(binary: Binary, a: Flags<'_>, b: Flags<'_>, len: usize) -> Bits {
    let is_and = binary == Binary::And;
    match (a, b) {
        (Flags::Bits(a), Flags::Bits(b)) => {
            if is_and {
                a.and(b)
            } else {
                a.or(b)
            }
        }
        // A constant either decides or changes nothing.
        (Flags::Bits(bits), Flags::Flag(flag)) | (Flags::Flag(flag), Flags::Bits(bits)) => {
            if flag == is_and {
                bits.clone()
            } else {
                whole_set(Flags::Flag(flag), len)
            }
        }
        (Flags::Flag(a), Flags::Flag(b)) => whole_set(Flags::Flag(if is_and { a && b } else { a || b }), len),
    }
}

/// An operation of two numbers; conditions are 0 and 1.
pub(super) fn of_numbers(binary: Binary, a: f64, b: f64) -> f64 {
    match binary {
        Binary::Or => a.max(b),
        Binary::And => a.min(b),
        Binary::Add => finite(a + b),
        Binary::Subtract => finite(a - b),
        Binary::Multiply => finite(a * b),
        Binary::Divide => finite(a / b),
        Binary::Remainder => finite(a % b),
        _ => f64::from(holds(binary, a, b)),
    }
}
