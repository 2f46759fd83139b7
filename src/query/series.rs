//! The catalogue of series: the part of it that a query selects, and the encoding of the answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;
use url::form_urlencoded;

use super::page::{Page, tag};
use super::selection::{Parameters, choice, parse_limit};
use super::statistics::{SeriesStatistics, Statistics};
use crate::store::{MonthCount, Series, SeriesKey, SeriesPage, SeriesSelection, StoreError};
use crate::validation::FieldError;
use candle::{Rule, Symbol, Timeframe, ValueError};

/// The maximum number of series in an answer, which is also the default limit.
pub const MAX_SERIES: usize = 10_000;
/// The maximum number of symbols that one query may name.
pub const MAX_SYMBOLS: usize = 100;

/// The maximum number of series whose outliers are named in the log, because each of them is remembered.
const MAX_NAMED_SERIES: usize = 1_000;

const PARAMETERS: [&str; 4] = ["symbol", "timeframe", "limit", "after"];

/// Reads a query string in which every parameter is optional and `symbol` may be repeated.
///
/// # Errors
/// Every error in it.
pub(super) fn parse(query: &str) -> Result<SeriesSelection, Vec<FieldError>> {
    parsed(Parameters::read_with(query, &PARAMETERS, &["symbol"]))
}

/// As [`parse`], with the parameter `stats`, which is true if the answer has statistics.
pub(super) fn parse_with_statistics(query: &str) -> Result<(SeriesSelection, bool), Vec<FieldError>> {
    let known: Vec<_> = PARAMETERS.into_iter().chain(["stats"]).collect();
    let mut parameters = Parameters::read_with(query, &known, &["symbol"]);
    let statistics = parameters.optional("stats", |text| choice(text, &[("true", true), ("false", false)]));
    Ok((parsed(parameters)?, statistics.unwrap_or(false)))
}

fn parsed(mut parameters: Parameters<'_>) -> Result<SeriesSelection, Vec<FieldError>> {
    let mut symbols = parameters.all("symbol", Symbol::parse);
    if symbols.len() > MAX_SYMBOLS {
        let message = format!("is given {} times, and at most {MAX_SYMBOLS} are accepted; ask in parts", symbols.len());
        parameters.refuse("symbol", Rule::OutOfRange.name(), message);
    }
    let timeframe = parameters.optional("timeframe", Timeframe::parse);
    let limit = parameters.optional("limit", |text| parse_limit(text, MAX_SERIES)).unwrap_or(MAX_SERIES);
    let after = parameters.optional("after", parse_after);
    symbols.sort_unstable();
    symbols.dedup();
    parameters.valid(SeriesSelection { symbols, timeframe, after, limit })
}

/// `TIMEFRAME:SYMBOL`; a symbol may hold colons.
pub(crate) fn parse_after(text: &str) -> Result<SeriesKey, ValueError> {
    const FORM: &str = "must be a timeframe and a symbol, as in H1:EURUSD";
    let (timeframe, symbol) = text.split_once(':').ok_or_else(|| ValueError::new(Rule::WrongType, FORM))?;
    let form = |invalid: ValueError| ValueError::new(invalid.rule, format!("{FORM}, and its {}", invalid.message));
    let timeframe = Timeframe::parse(timeframe)
        .map_err(|invalid| form(ValueError::new(invalid.rule, format!("timeframe {}", invalid.message))))?;
    let symbol = Symbol::parse(symbol)
        .map_err(|invalid| form(ValueError::new(invalid.rule, format!("symbol {}", invalid.message))))?;
    Ok(SeriesKey { symbol, timeframe })
}

/// The query string for the series after `last` that `selection` selects, with statistics or without.
pub(super) fn after(selection: &SeriesSelection, statistics: bool, last: &SeriesKey) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for symbol in &selection.symbols {
        query.append_pair("symbol", symbol.as_str());
    }
    if let Some(timeframe) = selection.timeframe {
        query.append_pair("timeframe", timeframe.name());
    }
    if statistics {
        query.append_pair("stats", "true");
    }
    query
        .append_pair("limit", &selection.limit.to_string())
        .append_pair("after", &format!("{}:{}", last.timeframe, last.symbol));
    query.finish()
}

/// The maximum number of bytes of memory that one series of a list takes while the list is read and written: a symbol
/// at four bytes a character, once as it was read and once as JSON, and the text around it.
pub(super) const MAX_BYTES_A_SERIES: usize = 2 * 4 * Symbol::MAX_CHARS + 256;

/// The maximum number of months in an answer with statistics. An answer with more months ends early.
const MAX_MONTHS: usize = 100_000;
/// The maximum number of bytes of memory that statistics add to a list: each month as it was counted, as an entry,
/// and as JSON.
pub(super) const MAX_STATISTICS_BYTES: usize = 100 * 1024 * 64;

/// The maximum number of series in the list that `selection` selects.
pub(super) fn max_series(selection: &SeriesSelection) -> usize {
    let of_symbols = match selection.symbols.len() {
        0 => usize::MAX,
        symbols => symbols * selection.timeframe.map_or(Timeframe::ALL.len(), |_| 1),
    };
    selection.limit.min(of_symbols)
}

/// A series in an answer.
#[derive(Serialize)]
struct SeriesEntry<'a> {
    symbol: &'a str,
    timeframe: &'static str,
    first: i64,
    last: i64,
    price_precision: u32,
    /// `None` if they were not requested.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    statistics: Option<StatisticsEntry>,
}

/// The statistics of a series in an answer; all null if it was not counted yet.
#[derive(Serialize, Default)]
struct StatisticsEntry {
    as_of: Option<i64>,
    candles: Option<u64>,
    bytes: Option<u64>,
    received: Option<i64>,
    coverage: Option<Vec<MonthEntry>>,
}

#[derive(Serialize)]
struct MonthEntry {
    month: String,
    candles: u64,
}

impl From<&SeriesStatistics> for StatisticsEntry {
    fn from(counted: &SeriesStatistics) -> Self {
        let month = |count: &MonthCount| MonthEntry { month: count.month.to_string(), candles: count.candles };
        Self {
            as_of: Some(counted.as_of),
            candles: Some(counted.candles()),
            bytes: Some(counted.bytes()),
            received: counted.newest.received,
            coverage: Some(counted.months.iter().map(month).collect()),
        }
    }
}

impl<'a> From<&'a Series> for SeriesEntry<'a> {
    fn from(series: &'a Series) -> Self {
        let Series { key, first, last, price_precision, .. } = series;
        let (symbol, timeframe) = (key.symbol.as_str(), key.timeframe.name());
        Self { symbol, timeframe, first: *first, last: *last, price_precision: *price_precision, statistics: None }
    }
}

/// Encodes the series that were read for `selection` since `began`, with `statistics` if they were requested.
pub(super) fn page(
    selection: &SeriesSelection,
    list: &SeriesPage,
    statistics: Option<&Statistics>,
    began: Instant,
) -> Result<Page, StoreError> {
    let (entries, next) = match statistics {
        Some(statistics) => with_statistics(list, statistics),
        None => (list.series.iter().map(SeriesEntry::from).collect(), list.next.as_ref()),
    };
    let mut body = serde_json::to_vec(&entries).map_err(StoreError::internal)?;
    body.shrink_to_fit();
    let after = next.map(|last| after(selection, statistics.is_some(), last));
    let etag = tag(&body, None, after.as_deref(), None);
    Ok(Page { body: body.into(), etag, before: None, after, skipped: None, began })
}

/// The series of a list with their statistics, and the key to go on from. The list ends early if its months are too
/// many for one answer.
fn with_statistics<'a>(list: &'a SeriesPage, statistics: &Statistics) -> (Vec<SeriesEntry<'a>>, Option<&'a SeriesKey>) {
    let mut entries: Vec<SeriesEntry<'_>> = Vec::with_capacity(list.series.len());
    let mut months = 0;
    for (position, series) in list.series.iter().enumerate() {
        let counted = statistics.of(&series.key);
        months += counted.as_ref().map_or(0, |counted| counted.months.len());
        if months > MAX_MONTHS && position > 0 {
            return (entries, Some(&list.series[position - 1].key));
        }
        let counted = counted.as_deref().map(StatisticsEntry::from).unwrap_or_default();
        entries.push(SeriesEntry { statistics: Some(counted), ..series.into() });
    }
    (entries, list.next.as_ref())
}

/// Logs each series whose precision leaves some candles out once, up to [`MAX_NAMED_SERIES`] of them.
#[derive(Debug, Clone, Default)]
pub(super) struct OutlierLog(Arc<Mutex<HashSet<SeriesKey>>>);

impl OutlierLog {
    pub(super) fn name(&self, list: &SeriesPage) {
        for Series { key, price_precision, outliers, .. } in &list.series {
            let Some(outliers) = outliers else { continue };
            if !self.is_news(key) {
                continue;
            }
            warn!(
                symbol = key.symbol.as_str(),
                timeframe = key.timeframe.name(),
                price_precision,
                candles = outliers.candles,
                digits = outliers.digits,
                "some of the newest candles have more digits than the rest; price_precision leaves them out"
            );
        }
    }

    fn is_news(&self, key: &SeriesKey) -> bool {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MAX_NAMED_SERIES || !named.insert(key.clone()) {
            return false;
        }
        if named.len() == MAX_NAMED_SERIES {
            warn!(series = MAX_NAMED_SERIES, "the log names no more series whose price_precision leaves candles out");
        }
        true
    }
}
