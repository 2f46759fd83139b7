//! Single expressions over bars, without a strategy around them.

use crate::{
    Bars, Cache, Value,
    expr::{ExprError, Position, Refusal, parse, tree::Program},
    graph::{Graph, Operand},
};

/// An expression, or a call with several results, ready to be evaluated.
///
/// ```
/// use research::{Bars, Cache, Columns, Formula, TickGrid, Value};
///
/// let close = vec![1.0, 2.0, 4.0, 8.0];
/// let columns = Columns {
///     time: vec![0, 1, 2, 3],
///     open: close.clone(),
///     high: close.clone(),
///     low: close.clone(),
///     close,
///     volume: vec![1.0; 4],
/// };
/// let bars = Bars::new(columns, TickGrid::of_digits(0)?, None)?;
///
/// let formula = Formula::parse("average = ta.sma(close, 2)\nclose - average")?;
/// assert_eq!(formula.first(), [1]);
/// let Value::Numbers(distance) = &formula.evaluate(&bars, &Cache::new(0))[0] else { panic!() };
/// assert!(distance[0].is_nan());
/// assert_eq!(distance[1..], [0.5, 1.0, 2.0]);
///
/// let error = Formula::parse("ta.sma(close, 0)").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 15: length of ta.sma is 0; it must be from 1 to 100000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Formula {
    graph: Graph,
    results: Vec<Operand>,
}

impl Formula {
    /// Parses lines of bindings and, on the last line, an expression.
    ///
    /// # Errors
    /// The first mistake, and its place.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let (bindings, last) = text.rsplit_once('\n').map_or(("", text), |(bindings, last)| (bindings, last));
        let mut program = Program::default();
        let mut nodes = 0;
        let mut start = 0;
        let at = |start: usize| {
            move |refusal: Refusal| {
                let offset = start + refusal.offset;
                ExprError { offset, at: Position::of(text, offset), message: refusal.message }
            }
        };
        let mut graph = Graph::default();
        let mut names = Vec::new();
        for line in bindings.split_inclusive('\n') {
            if !line.trim().is_empty() {
                parse::binding(line.trim_end(), &mut program, &mut nodes).map_err(at(start))?;
                program.bindings.last().map_or(Ok(()), |binding| graph.bind(binding, &mut names)).map_err(at(start))?;
            }
            start += line.len();
        }
        let start = text.len() - last.len();
        let expr = parse::results(last, &program, &mut nodes).map_err(at(start))?;
        let results = graph.add_all(&expr, &names).map_err(at(start))?;
        Ok(Self { graph, results })
    }

    /// For each result the first bar on which it is defined.
    #[must_use]
    pub fn first(&self) -> Vec<usize> {
        self.results.iter().map(|result| self.graph.defined_at(*result).first).collect()
    }

    /// For each result the number of past bars after which the start of the series no longer influences it.
    #[must_use]
    pub fn memory(&self) -> Vec<usize> {
        self.results.iter().map(|result| self.graph.defined_at(*result).memory).collect()
    }

    /// The results over all bars.
    #[must_use]
    pub fn evaluate(&self, bars: &Bars, cache: &Cache) -> Vec<Value> {
        self.graph.evaluate(&self.results, bars, cache)
    }
}
