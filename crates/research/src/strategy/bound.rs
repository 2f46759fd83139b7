//! Strategies with values for their parameters.

use std::fmt;

use super::Part;
use crate::{
    Bars, Cache, Signals,
    column::Value,
    expr::{ExprError, Position, Refusal},
    graph::{Graph, Operand},
    number::whole,
};

/// A strategy with values for its parameters.
#[derive(Debug)]
pub struct Bound {
    pub(super) graph: Graph,
    pub(super) roots: [Option<Operand>; Part::ALL.len()],
}

impl Bound {
    pub(crate) fn root(&self, part: Part) -> Option<Operand> {
        self.roots[part as usize]
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The first bar at whose close orders may be placed, because every part is defined from there on.
    #[must_use]
    pub fn first(&self) -> usize {
        self.roots.iter().flatten().map(|root| self.graph.defined_at(*root).first).max().unwrap_or(0)
    }

    /// The number of bars to load before the first one of interest, so that the first loaded bar no longer influences
    /// averages: 10 times the length of Wilder's average, 4 times that of an exponential one, once that of any other.
    #[must_use]
    pub fn warm_up(&self) -> usize {
        let memory = self.roots.iter().flatten().map(|root| self.graph.defined_at(*root).memory).max().unwrap_or(0);
        memory.max(self.first())
    }

    /// Evaluates the rules over all bars. The cache changes the duration and nothing else.
    #[must_use]
    pub fn evaluate(&self, bars: &Bars, cache: &Cache) -> Signals {
        let places: Vec<usize> = (0..Part::MaxBars as usize).filter(|place| self.roots[*place].is_some()).collect();
        let roots: Vec<Operand> = places.iter().filter_map(|place| self.roots[*place]).collect();
        let mut values: [Option<Value>; Part::ALL.len()] = [const { None }; Part::ALL.len()];
        for (place, value) in places.into_iter().zip(self.graph.evaluate(&roots, bars, cache)) {
            values[place] = Some(value);
        }
        let mut flags = |part: Part| match values[part as usize].take() {
            Some(Value::Flags(flags)) => Some(flags),
            _ => None,
        };
        let [enter_long, exit_long, enter_short, exit_short] =
            [Part::EnterLong, Part::ExitLong, Part::EnterShort, Part::ExitShort].map(&mut flags);
        let mut numbers = |part: Part| match values[part as usize].take() {
            Some(Value::Numbers(numbers)) => Some(numbers),
            _ => None,
        };
        let [stop, target, stop_level_long, stop_level_short] =
            [Part::Stop, Part::Target, Part::StopLevelLong, Part::StopLevelShort].map(&mut numbers);
        let max_bars = self.root(Part::MaxBars).and_then(|bars| bars.number());
        Signals {
            len: bars.len(),
            first: self.first(),
            enter_long,
            exit_long,
            enter_short,
            exit_short,
            stop,
            target,
            stop_level_long,
            stop_level_short,
            max_bars: max_bars.and_then(|bars| u32::try_from(whole(bars)).ok()),
        }
    }
}

/// The reason for which values cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindError {
    /// Constraints that the values break, as they are written.
    Constraints(Vec<String>),
    /// An expression that the values make impossible.
    Expression {
        /// The field, such as `enter_long` or `lets[2]`.
        field: String,
        /// The fault, and its place in the field's text.
        error: ExprError,
    },
}

impl BindError {
    pub(super) fn of(field: String, refusal: Refusal) -> Self {
        let at = Position { line: 1, column: refusal.offset + 1 };
        Self::Expression { field, error: ExprError { offset: refusal.offset, at, message: refusal.message } }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraints(broken) => write!(f, "the parameters must fulfil {}", broken.join(" and ")),
            Self::Expression { field, error } => write!(f, "{field}, {error}"),
        }
    }
}

impl std::error::Error for BindError {}
