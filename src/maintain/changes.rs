//! Pages of the record of changes.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ChangeId;
use crate::query::{Parameters, parse_limit};
use crate::store::{Change, ChangesSelection, RecordedCandle, StoreError};
use crate::validation::FieldError;
use candle::{Rule, Symbol, Timeframe, ValueError};

/// The maximum number of changes in an answer, and the number if none is given.
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

/// A part of the record, ascending.
#[derive(Debug)]
pub struct ChangesPage(pub(super) Vec<Change>);

/// A change, as it is answered.
#[derive(Debug, Serialize)]
pub struct ChangeAnswer<'a> {
    id: ChangeId,
    at: i64,
    actor: &'a str,
    kind: &'a str,
    symbol: &'a str,
    timeframe: &'a str,
    from: i64,
    to: i64,
    candles: i64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Vec<RecordedCandle<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Vec<RecordedCandle<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a RawValue>,
}

impl ChangesPage {
    /// The body of the answer: a JSON array.
    ///
    /// # Errors
    /// When a row is not as the service writes it.
    pub fn body(&self) -> Result<Vec<u8>, StoreError> {
        let answers = self.0.iter().map(answer).collect::<Result<Vec<_>, _>>()?;
        serde_json::to_vec(&answers).map_err(StoreError::internal)
    }
}

fn answer(change: &Change) -> Result<ChangeAnswer<'_>, StoreError> {
    let detail = change.detail()?;
    Ok(ChangeAnswer {
        id: ChangeId(change.id),
        at: change.at,
        actor: &change.actor,
        kind: &change.kind,
        symbol: &change.symbol,
        timeframe: &change.timeframe,
        from: change.first,
        to: change.last,
        candles: change.candles,
        reason: &change.reason,
        before: detail.before,
        after: detail.after,
        source: detail.source,
    })
}

/// Parses a query string.
pub(super) fn parse(query: &str) -> Result<ChangesSelection, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["symbol", "timeframe", "after", "limit"]);
    let symbol = parameters.optional("symbol", Symbol::parse);
    let timeframe = parameters.optional("timeframe", Timeframe::parse);
    let after = parameters.optional("after", parse_id).unwrap_or(0);
    let limit = parameters.optional("limit", |text| parse_limit(text, MAX_LIMIT)).unwrap_or(DEFAULT_LIMIT);
    parameters.valid(ChangesSelection { symbol, timeframe, after, limit })
}

fn parse_id(text: &str) -> Result<i64, ValueError> {
    let message = "is not the id of a change; send the id of the last change of the page before";
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().ok_or_else(|| ValueError::new(Rule::WrongType, message))
}
