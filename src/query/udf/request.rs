//! The parameters of each route.

use super::UdfRoute;
use super::resolution::Resolution;
use crate::query::selection::{Parameters, parse_limit};
use crate::validation::FieldError;
use candle::{Rule, Symbol, ValueError};

/// The number of symbols that a search answers if it names no limit, and the maximum.
const DEFAULT_RESULTS: usize = 30;
const MAX_RESULTS: usize = 1000;

/// A valid question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) enum UdfQuestion {
    Config,
    Symbol(Symbol),
    Search(SearchQuestion),
    /// Bars that are stored in the period that is asked for.
    StoredHistory(HistoryQuestion),
    /// Bars of which none is stored in that period.
    History(HistoryQuestion),
    Marks(MarksQuestion),
}

impl UdfQuestion {
    /// The symbol that is asked about, if it is one.
    pub(super) fn symbol(&self) -> Option<&Symbol> {
        match self {
            Self::Config | Self::Search(_) => None,
            Self::Symbol(symbol) => Some(symbol),
            Self::StoredHistory(asked) | Self::History(asked) => Some(&asked.symbol),
            Self::Marks(asked) => Some(&asked.symbol),
        }
    }
}

/// A part of a symbol's name, and what else it has to have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) struct SearchQuestion {
    pub(super) text: String,
    /// The type of the instrument, or an empty text for all.
    pub(super) kind: String,
    /// The exchange, or an empty text for all.
    pub(super) exchange: String,
    pub(super) limit: usize,
}

/// Bars of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) struct HistoryQuestion {
    pub(super) symbol: Symbol,
    pub(super) resolution: Resolution,
    pub(super) bars: BarSelection,
}

/// Bars by their times, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) enum BarSelection {
    /// From the first time to the second, inclusive.
    Between(i64, i64),
    /// The newest so many before a time, exclusive.
    Before {
        /// The number of bars.
        count: usize,
        /// The time.
        end: i64,
    },
}

/// Marks on bars of a symbol, from the first time to the second in seconds, inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) struct MarksQuestion {
    pub(super) symbol: Symbol,
    pub(super) resolution: Resolution,
    pub(super) from: i64,
    pub(super) to: i64,
    /// True if they are on the time axis.
    pub(super) on_timescale: bool,
}

/// Parses the query string of a route.
///
/// # Errors
/// Every error in it.
pub(super) fn parse(route: UdfRoute, query: &str) -> Result<UdfQuestion, Vec<FieldError>> {
    match route {
        UdfRoute::Config => Ok(UdfQuestion::Config),
        UdfRoute::Symbols => symbol(query),
        UdfRoute::Search => search(query),
        UdfRoute::History => history(query),
        UdfRoute::Marks => marks(query, false),
        UdfRoute::TimescaleMarks => marks(query, true),
    }
}

fn symbol(query: &str) -> Result<UdfQuestion, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["symbol"]);
    let symbol = parameters.required("symbol", Symbol::parse);
    symbol.map(UdfQuestion::Symbol).ok_or_else(|| parameters.refusal())
}

fn search(query: &str) -> Result<UdfQuestion, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["query", "type", "exchange", "limit"]);
    let mut text = |name: &str| parameters.optional(name, |text| Ok::<_, ValueError>(text.to_owned()));
    let [text, kind, exchange] = ["query", "type", "exchange"].map(|name| text(name).unwrap_or_default());
    let limit = parameters.optional("limit", |text| parse_limit(text, MAX_RESULTS)).unwrap_or(DEFAULT_RESULTS);
    parameters.valid(UdfQuestion::Search(SearchQuestion { text: text.to_lowercase(), kind, exchange, limit }))
}

fn history(query: &str) -> Result<UdfQuestion, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["symbol", "resolution", "from", "to", "countback"]);
    let symbol = parameters.required("symbol", Symbol::parse);
    let resolution = parameters.required("resolution", |text| match Resolution::parse(text)? {
        Resolution::Week | Resolution::Month => {
            let message = "is built by charts from days; ask for 1D";
            Err(ValueError::new(Rule::UnknownTimeframe, message))
        }
        resolution => Ok(resolution),
    });
    let count = parameters.optional("countback", parse_count);
    let to = parameters.required("to", parse_seconds);
    // A count outranks the beginning of the span, which may then be absent.
    let from = match parameters.has("countback") {
        true => parameters.optional("from", parse_seconds),
        false => parameters.required("from", parse_seconds),
    };
    let bars = match (count, from, to) {
        (Some(count), _, Some(end)) => Some(BarSelection::Before { count, end }),
        (None, Some(from), Some(to)) => ordered(&mut parameters, from, to),
        _ => None,
    };
    match (symbol, resolution, bars) {
        (Some(symbol), Some(resolution), Some(bars)) if parameters.is_valid() => {
            Ok(UdfQuestion::History(HistoryQuestion { symbol, resolution, bars }))
        }
        _ => Err(parameters.refusal()),
    }
}

fn marks(query: &str, on_timescale: bool) -> Result<UdfQuestion, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["symbol", "from", "to", "resolution"]);
    let symbol = parameters.required("symbol", Symbol::parse);
    let resolution = parameters.required("resolution", Resolution::parse);
    let [from, to] = ["from", "to"].map(|name| parameters.required(name, parse_seconds));
    if let (Some(from), Some(to)) = (from, to) {
        ordered(&mut parameters, from, to);
    }
    match (symbol, resolution, from, to) {
        (Some(symbol), Some(resolution), Some(from), Some(to)) if parameters.is_valid() => {
            Ok(UdfQuestion::Marks(MarksQuestion { symbol, resolution, from, to, on_timescale }))
        }
        _ => Err(parameters.refusal()),
    }
}

fn ordered(parameters: &mut Parameters<'_>, from: i64, to: i64) -> Option<BarSelection> {
    if from > to {
        parameters.refuse("to", "empty_range", "is earlier than from; send from and to in their order");
        return None;
    }
    Some(BarSelection::Between(from, to))
}

fn parse_seconds(text: &str) -> Result<i64, ValueError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| text.parse().ok()).flatten();
    seconds.ok_or_else(|| ValueError::new(Rule::WrongType, "must be a whole number of seconds since 1970"))
}

fn parse_count(text: &str) -> Result<usize, ValueError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = is_number.then(|| text.parse().ok()).flatten();
    count.ok_or_else(|| ValueError::new(Rule::WrongType, "must be a whole number of bars"))
}
