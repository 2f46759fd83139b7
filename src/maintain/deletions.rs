//! Deletions of the candles of a series in a span of time: first a dry run, then the deletion with the digest that
//! the dry run returned.

use super::{ChangeId, MaintainError, invalid_query, parse_reason};
use crate::query::Parameters;
use crate::store::{Matched, Note, Removal, RemovalKind, SeriesKey, Span, Store};
use crate::validation::FieldError;
use candle::{EpochUnit, Rule, Symbol, Timeframe, ValueError, parse_bound};

/// The maximum number of candles that one request deletes.
pub const MAX_DELETED: usize = 100_000;

/// The parameters of a deletion.
const PARAMETERS: [&str; 8] = ["symbol", "timeframe", "from", "to", "unit", "dry_run", "confirm", "reason"];

/// A request for a deletion.
enum Request {
    DryRun(Span),
    Delete { span: Span, confirm: String, reason: String },
}

/// The candles that a deletion would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The candles, and the digest that the deletion has to repeat.
    pub matched: Matched,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// Nothing was deleted yet.
    DryRun(DryRun),
    /// The candles were deleted.
    Done {
        /// The candles that were deleted.
        matched: Matched,
        /// The row that the record gained; `None` if there was nothing to delete.
        change: Option<ChangeId>,
    },
}

pub(super) async fn delete(store: &Store, query: &str, actor: &str) -> Result<Deletion, MaintainError> {
    match parse(query).map_err(invalid_query)? {
        Request::DryRun(span) => {
            let matched = store.matched(span, MAX_DELETED).await?;
            check_count(&matched)?;
            Ok(Deletion::DryRun(DryRun { matched }))
        }
        Request::Delete { span, confirm, reason } => {
            let note = Note { actor: actor.to_owned(), reason };
            match store.remove(span, MAX_DELETED, confirm.clone(), RemovalKind::Deletion, note).await? {
                Removal::Removed { matched, change } => Ok(Deletion::Done { matched, change: Some(ChangeId(change)) }),
                Removal::Kept(matched) => {
                    check_count(&matched)?;
                    if matched.candles() == 0 && matched.digest == confirm {
                        return Ok(Deletion::Done { matched, change: None });
                    }
                    Err(MaintainError::Changed { confirm })
                }
            }
        }
    }
}

fn check_count(matched: &Matched) -> Result<(), MaintainError> {
    if matched.candles() > MAX_DELETED as u64 { Err(MaintainError::TooMany) } else { Ok(()) }
}

fn parse(query: &str) -> Result<Request, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &PARAMETERS);
    let symbol = parameters.required("symbol", Symbol::parse);
    let timeframe = parameters.required("timeframe", Timeframe::parse);
    let unit = parameters.optional("unit", EpochUnit::parse);
    let [from, to] = ["from", "to"].map(|name| parameters.required(name, |text| parse_bound(text, unit)));
    let dry_run = parameters.optional("dry_run", parse_flag).unwrap_or(false);
    let confirm = parameters.optional("confirm", parse_digest);
    let reason = parameters.optional("reason", parse_reason);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        parameters.refuse("to", "empty_range", "is before from; move one of them");
    }
    if !dry_run {
        if !parameters.has("confirm") {
            let advice = "is missing; send dry_run=true first, look at what it answers, and send its confirm";
            parameters.refuse("confirm", Rule::Missing.name(), advice);
        }
        if !parameters.has("reason") {
            parameters.refuse("reason", Rule::Missing.name(), "is missing; say why, as in reason=bad+feed");
        }
    }
    match (symbol, timeframe, from, to) {
        (Some(symbol), Some(timeframe), Some(from), Some(to)) if parameters.is_valid() => {
            let span = Span { key: SeriesKey { symbol, timeframe }, start: from, end: to + 1 };
            match (dry_run, confirm, reason) {
                (false, Some(confirm), Some(reason)) => Ok(Request::Delete { span, confirm, reason }),
                _ => Ok(Request::DryRun(span)),
            }
        }
        _ => Err(parameters.refusal()),
    }
}

fn parse_flag(text: &str) -> Result<bool, ValueError> {
    text.parse().map_err(|_| ValueError::new(Rule::WrongType, "is neither true nor false; send one of them"))
}

fn parse_digest(text: &str) -> Result<String, ValueError> {
    let is_digest = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let message = "is not a digest; send the confirm that dry_run=true answers, such as 9f31c2a4b07d";
    is_digest.then(|| text.to_owned()).ok_or_else(|| ValueError::new(Rule::WrongType, message))
}
