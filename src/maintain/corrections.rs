//! Corrections of closed candles: the body of a batch with a reason, in which a candle may say what it expects to be
//! stored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ChangeId, MaintainError, parse_reason};
use crate::ingest::{self, Refusal, ValidatedBatch, parse_scalar, parse_string};
use crate::store::{Amended, Correction, Expected, Found, Note, Store};
use crate::validation::{FieldError, MAX_REPORTED_ERRORS, PathSegment};
use candle::{OhlcField, Price, Rule, Timestamp, ValueError, Volume};

/// The maximum number of candles of one request.
pub const MAX_CORRECTIONS: usize = 1000;

/// The values that `expect` may hold.
const EXPECTABLE: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// The outcome of a correction: received = corrected + unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Candles in the request.
    pub received: usize,
    /// Candles that have other values now, or the same ones with other digits.
    pub corrected: usize,
    /// Candles that had these values already.
    pub unchanged: usize,
    /// The rows that the record gained, one for each series.
    pub changes: Vec<ChangeId>,
}

/// The fields of a correction besides the values of its candle.
#[derive(Deserialize)]
struct Additions<'a> {
    #[serde(borrow, default)]
    reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    candles: Vec<Addition<'a>>,
}

#[derive(Deserialize)]
struct Addition<'a> {
    #[serde(borrow, default)]
    expect: Option<&'a RawValue>,
}

pub(super) async fn correct(
    store: &Store,
    now: Timestamp,
    body: &[u8],
    actor: &str,
) -> Result<Corrected, MaintainError> {
    let (indexes, corrections, reason) = parse(body, now)?;
    let received = corrections.len();
    let amended = store.amend(corrections, Note { actor: actor.to_owned(), reason }).await?;
    refuse_conflicts(&indexes, &amended)?;
    let corrected = amended.found.iter().filter(|found| **found == Found::Replaced).count();
    let changes = amended.changes.into_iter().map(ChangeId).collect();
    Ok(Corrected { received, corrected, unchanged: received - corrected, changes })
}

/// Parses a request. Returns the index of each correction's candle in the body, the corrections and the reason.
fn parse(body: &[u8], now: Timestamp) -> Result<(Vec<usize>, Vec<Correction>, String), MaintainError> {
    let ValidatedBatch { sorted, received, rejected } =
        ingest::check(body, now, MAX_CORRECTIONS).map_err(MaintainError::Batch)?;
    let mut field_errors: Vec<FieldError> =
        rejected.listed.iter().map(|(_, field_error)| field_error.clone()).collect();
    let in_candle = |index: usize| vec!["body".into(), "candles".into(), index.into()];
    // A candle that is neither closed nor replaced by another one of the request is forming.
    let replaced: Vec<usize> = sorted.superseded.iter().map(|(index, _)| *index).collect();
    let is_forming = |index: &usize| !sorted.closed_indexes.contains(index) && !replaced.contains(index);
    let indexes = if rejected.candles == 0 { 0..received } else { 0..0 };
    for index in indexes.filter(is_forming) {
        let message = "is still forming, and only closed candles are corrected; post it again instead";
        field_errors.push(FieldError::new(in_candle(index), ValueError::new(Rule::OutOfRange, message)));
    }
    for (index, _) in &sorted.superseded {
        let message = "has the symbol, timeframe and time of another candle of the request; send one of them";
        field_errors.push(FieldError::new(in_candle(*index), ValueError::new(Rule::Inconsistent, message)));
    }
    let additions: Additions<'_> = serde_json::from_str(
        ingest::text(body).map_err(|malformed| MaintainError::Batch(Refusal::Malformed(malformed)))?,
    )
    .unwrap_or(Additions { reason: None, candles: Vec::new() });
    let reason = reason(additions.reason, &mut field_errors);
    let mut expected: BTreeMap<usize, Expected> = BTreeMap::new();
    for (index, addition) in additions.candles.iter().enumerate() {
        if let Some(raw) = addition.expect {
            let place: Vec<PathSegment> = in_candle(index).into_iter().chain(["expect".into()]).collect();
            expected.insert(index, expectation(raw, &place, &mut field_errors));
        }
    }
    let Some(reason) = reason.filter(|_| field_errors.is_empty()) else {
        return Err(invalid(field_errors, received));
    };
    let closed = sorted.closed_indexes.iter().copied().zip(sorted.batch.into_closed());
    let corrections = closed
        .map(|(index, candle)| (index, Correction { candle, expected: expected.remove(&index).unwrap_or_default() }));
    let (indexes, corrections) = corrections.unzip();
    Ok((indexes, corrections, reason))
}

fn reason(raw: Option<&RawValue>, field_errors: &mut Vec<FieldError>) -> Option<String> {
    let parsed = match raw {
        Some(raw) => parse_string(raw, parse_reason),
        None => Err(ValueError::new(Rule::Missing, "is missing; say why, as in \"reason\":\"bad tick\"")),
    };
    parsed.map_err(|error| field_errors.push(FieldError::new(["body".into(), "reason".into()], error))).ok()
}

/// Parses the values that are expected. A name that is not a value is refused, because without it the correction would
/// overwrite whatever is stored.
fn expectation(raw: &RawValue, place: &[PathSegment], field_errors: &mut Vec<FieldError>) -> Expected {
    let mut expected = Expected::default();
    let mut refuse = |field: Option<&str>, error: ValueError| {
        let path = place.iter().cloned().chain(field.map(PathSegment::from));
        field_errors.push(FieldError::new(path, error));
    };
    let Ok(values) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) else {
        refuse(
            None,
            ValueError::new(Rule::WrongType, "is not an object; send values of a candle, as in {\"high\":1.165}"),
        );
        return expected;
    };
    for (name, value) in values {
        let field = OhlcField::ALL.into_iter().position(|field| field.name() == name);
        let parsed = match (field, name.as_str()) {
            (Some(field), _) => parse_scalar(value, Price::parse).map(|price| expected.prices[field] = Some(price)),
            (None, "volume") => parse_scalar(value, Volume::parse).map(|volume| expected.volume = Some(volume)),
            (None, _) => {
                let message = format!("is not a value of a candle; send {}", EXPECTABLE.join(", "));
                Err(ValueError::new(Rule::WrongType, message))
            }
        };
        if let Err(error) = parsed {
            refuse(Some(&name), error);
        }
    }
    expected
}

fn invalid(mut field_errors: Vec<FieldError>, received: usize) -> MaintainError {
    let (count, first) = (field_errors.len(), field_errors.first().map(ToString::to_string).unwrap_or_default());
    field_errors.truncate(MAX_REPORTED_ERRORS);
    let summary = if count == 1 {
        format!("none of {received} candles was corrected: {first}")
    } else {
        format!("none of {received} candles was corrected: {first}; errors lists all of {count} mistakes, up to 100")
    };
    MaintainError::Invalid { summary, field_errors }
}

/// Refuses a request if candles of it are not stored, or not as expected.
fn refuse_conflicts(indexes: &[usize], amended: &Amended) -> Result<(), MaintainError> {
    let mut field_errors = Vec::new();
    for (index, found) in indexes.iter().zip(&amended.found) {
        let message = match found {
            Found::Replaced | Found::Same => continue,
            Found::Nothing => {
                "is not stored as a closed candle, and only stored candles are corrected; post it instead".to_owned()
            }
            Found::Unexpected([open, high, low, close, volume]) => format!(
                "is stored as open {open}, high {high}, low {low}, close {close}, volume {volume}, which is not what it \
                 was expected to be; read it again and send what is stored now"
            ),
        };
        let place = ["body".into(), "candles".into(), (*index).into()];
        field_errors.push(FieldError { loc: place.into(), msg: message, kind: "conflict" });
    }
    field_errors.sort_by_key(FieldError::path);
    let Some(first) = field_errors.first() else { return Ok(()) };
    let summary = format!("none of {} candles was corrected, because {first}", indexes.len());
    field_errors.truncate(MAX_REPORTED_ERRORS);
    Err(MaintainError::Conflict { summary, field_errors })
}
