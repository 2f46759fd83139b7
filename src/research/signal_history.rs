//! Pages of the history of the signals that are watched.

use serde::Serialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::ResearchError;
use super::numbers::Number;
use crate::query::{END_MILLISECOND, FIRST_MILLISECOND, Parameters, parse_limit, parse_series};
use crate::store::{SignalPlace, SignalsSelection, Store, StoreError, StoredSignal};
use candle::{Rule, Symbol, Timeframe, ValueError, format_bound, parse_bound};

/// The maximum number of signals in an answer, and the number if none is given.
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

/// A part of the history.
#[derive(Debug)]
pub(crate) struct SignalsPage {
    /// A JSON array.
    pub(crate) body: Vec<u8>,
    /// The query string of the next page, if there is more.
    pub(crate) after: Option<String>,
}

/// A signal, as it is answered.
#[derive(Debug, Serialize)]
struct HistoryAnswer<'a> {
    symbol: &'a str,
    timeframe: &'a str,
    candle: i64,
    close: Box<RawValue>,
    signal: &'a str,
    score: Number,
    votes: Box<RawValue>,
    at: i64,
}

impl<'a> HistoryAnswer<'a> {
    fn of(stored: &'a StoredSignal) -> Result<Self, serde_json::Error> {
        let StoredSignal { symbol, timeframe, candle, close, signal, score, votes, at, .. } = stored;
        Ok(Self {
            symbol,
            timeframe,
            candle: *candle,
            close: RawValue::from_string(close.clone())?,
            signal,
            score: Number(*score),
            votes: RawValue::from_string(votes.clone())?,
            at: *at,
        })
    }
}

/// Reads the page that a query string asks for.
///
/// # Errors
/// When the parameters are invalid, or the store cannot be read.
pub(super) async fn page(query: &str, store: &Store) -> Result<SignalsPage, ResearchError> {
    let selection = parse(query)?;
    // One row more than asked for shows whether there are more.
    let wanted = SignalsSelection { limit: selection.limit + 1, ..selection.clone() };
    let mut signals = store.signals(wanted).await?;
    let has_more = signals.len() > selection.limit;
    signals.truncate(selection.limit);
    let answers: Vec<_> =
        signals.iter().map(HistoryAnswer::of).collect::<Result<_, _>>().map_err(StoreError::internal)?;
    let body = serde_json::to_vec(&answers).map_err(StoreError::internal)?;
    let after = signals.last().filter(|_| has_more).map(|last| next(&selection, last));
    Ok(SignalsPage { body, after })
}

fn parse(query: &str) -> Result<SignalsSelection, ResearchError> {
    let mut parameters = Parameters::read(query, &["symbol", "timeframe", "from", "to", "after", "limit"]);
    let symbol = parameters.optional("symbol", Symbol::parse);
    let timeframe = parameters.optional("timeframe", Timeframe::parse);
    let [from, to] = ["from", "to"].map(|name| parameters.optional(name, |text| parse_bound(text, None)));
    let after = parameters.optional("after", parse_place);
    let limit = parameters.optional("limit", |text| parse_limit(text, MAX_LIMIT)).unwrap_or(DEFAULT_LIMIT);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        parameters.refuse("to", "empty_range", "is before from; move one of them");
    }
    let (start, end) = (from.unwrap_or(FIRST_MILLISECOND), to.map_or(END_MILLISECOND, |to| to + 1));
    let selection = SignalsSelection { symbol, timeframe, start, end, after, limit };
    parameters.valid(selection).map_err(ResearchError::Fields)
}

/// `CANDLE:TIMEFRAME:SYMBOL`; a symbol may hold colons.
fn parse_place(text: &str) -> Result<SignalPlace, ValueError> {
    const FORM: &str = "must be the candle, the timeframe and the symbol of a signal, as in 1754092800000:D1:EURUSD";
    let invalid = || ValueError::new(Rule::WrongType, FORM);
    let (candle, series) = text.split_once(':').ok_or_else(invalid)?;
    let candle = candle.parse().ok().filter(|candle| (FIRST_MILLISECOND..END_MILLISECOND).contains(candle));
    Ok(SignalPlace { candle: candle.ok_or_else(invalid)?, key: parse_series(series).map_err(|_| invalid())? })
}

/// The query string of the page after `last`.
fn next(selection: &SignalsSelection, last: &StoredSignal) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(symbol) = &selection.symbol {
        query.append_pair("symbol", symbol.as_str());
    }
    if let Some(timeframe) = selection.timeframe {
        query.append_pair("timeframe", timeframe.name());
    }
    if selection.start > FIRST_MILLISECOND {
        query.append_pair("from", &format_bound(selection.start));
    }
    if selection.end < END_MILLISECOND {
        query.append_pair("to", &format_bound(selection.end - 1));
    }
    query.append_pair("limit", &selection.limit.to_string());
    query.append_pair("after", &format!("{}:{}:{}", last.candle, last.timeframe, last.symbol));
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leads_to_the_next_one() {
        let selection = parse("symbol=A:B&timeframe=1h&from=2026-03-01&to=2026-03-02&limit=5").unwrap();
        let last = StoredSignal {
            symbol: "A:B".to_owned(),
            timeframe: "H1".to_owned(),
            candle: 1_772_330_400_000,
            close: "1.0".to_owned(),
            signal: "buy".to_owned(),
            score: 1.0,
            votes: "[]".to_owned(),
            previous: None,
            at: 0,
        };
        let next = parse(&next(&selection, &last)).unwrap();
        let key = crate::store::SeriesKey { symbol: Symbol::parse("A:B").unwrap(), timeframe: Timeframe::H1 };
        let after = Some(SignalPlace { candle: 1_772_330_400_000, key });
        assert_eq!(next, SignalsSelection { after, ..selection });
    }

    #[test]
    fn a_place_is_a_candle_and_a_series() {
        for text in ["", "1754092800000", "1754092800000:D1", "x:D1:EURUSD", "1754092800000:D7:EURUSD", "1e9:D1:EURUSD"]
        {
            assert!(parse_place(text).is_err(), "{text}");
        }
        assert_eq!(parse_place("-5:D1:EURUSD").unwrap().candle, -5);
    }
}
