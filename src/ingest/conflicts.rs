//! Posted candles whose key is stored with other values.
//!
//! A closed candle is stored once and never changes, so a second post of it changes nothing, whatever its values. If
//! they differ, two sources disagree about history, and somebody has to look into it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::time::timeout_at;

use super::activity::Activity;
use super::conflict_tally::ConflictTally;
use crate::deadline::Deadline;
use crate::errors::chain;
use crate::store::{Store, StoreError, Stored};
use crate::telemetry::metrics::CONFLICTS;
use crate::validation::MAX_REPORTED_ERRORS;
use candle::{Candle, OhlcField};

/// The maximum time that an answer waits for the comparison, because most Expert Advisors give up after 5 s.
const COMPARISON_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of conflicts that one line of the log shows with their values.
const MAX_LOGGED: usize = 10;
/// The names of the fields in the order of [`Stored::values`].
const FIELDS: [&str; 5] = ["open", "high", "low", "close", "volume"];

/// A posted candle that differs from the closed one that is stored under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Position of the candle in `candles`, from 0.
    pub index: usize,
    /// Names of the fields that differ by value.
    pub fields: Vec<&'static str>,
}

/// The result of comparing the duplicates of a batch with the stored candles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflicts {
    /// The comparison succeeded.
    Known {
        /// The number of duplicates that differ by value.
        count: usize,
        /// The first [`MAX_REPORTED_ERRORS`] of them, by index.
        first: Vec<Conflict>,
    },
    /// The comparison failed after the batch was stored.
    Unknown,
}

impl Conflicts {
    /// No duplicate differs.
    pub const NONE: Self = Self::Known { count: 0, first: Vec::new() };

    /// The number that is known.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Known { count, .. } => *count,
            Self::Unknown => 0,
        }
    }
}

/// Compares closed candles, each with its index in the batch, with the stored candles of the same keys. A failure does
/// not fail the batch, which is stored already.
pub(super) async fn find(
    store: &Store,
    candles: impl Iterator<Item = (usize, Candle)>,
    (activity, tally): (&Activity, &ConflictTally),
    deadline: Deadline,
) -> Conflicts {
    let (indexes, candles): (Vec<_>, Vec<_>) = candles.unzip();
    let end = deadline.answer_by().min(Instant::now() + COMPARISON_TIMEOUT);
    let stored = timeout_at(end.into(), store.stored_otherwise(candles.clone())).await;
    let stored = stored.unwrap_or_else(|_| Err(StoreError::unavailable("the comparison took too long")));
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            tracing::warn!(cause = chain(&error).to_string(), "could not compare duplicates with the stored candles");
            return Conflicts::Unknown;
        }
    };
    let mut conflicts: Vec<_> = stored
        .iter()
        .filter_map(|stored| {
            let (index, candle) = (*indexes.get(stored.position)?, candles.get(stored.position)?);
            let differing = FIELDS.into_iter().zip(&stored.values).filter(|(_, value)| value.is_some());
            let fields = differing.map(|(field, _)| field).collect();
            Some((Conflict { index, fields }, candle, stored))
        })
        .collect();
    if conflicts.is_empty() {
        return Conflicts::NONE;
    }
    conflicts.sort_unstable_by_key(|(conflict, ..)| conflict.index);
    // A table that inherits from ours may hold the same key once more.
    conflicts.dedup_by_key(|(conflict, ..)| conflict.index);
    let count = conflicts.len();
    counter!(CONFLICTS).increment(count as u64);
    activity.note_conflicts(conflicts.iter().map(|(_, candle, _)| &candle.key));
    tally.add(conflicts.iter().map(|(_, candle, _)| &candle.key));
    let shown = conflicts.iter().take(MAX_LOGGED).map(|(_, candle, stored)| describe(candle, stored));
    let shown = shown.collect::<Vec<_>>().join("; ");
    tracing::warn!(
        conflicting = count,
        first = shown,
        "closed candles were posted again with other values; the stored values stay"
    );
    let first = conflicts.into_iter().take(MAX_REPORTED_ERRORS).map(|(conflict, ..)| conflict).collect();
    Conflicts::Known { count, first }
}

/// The posted and the stored values, for the log alone, because an ingest key may not read.
fn describe(posted: &Candle, stored: &Stored) -> String {
    let key = &posted.key;
    let mut text = format!("{} {} {}:", key.symbol(), key.timeframe(), key.time());
    let [open, high, low, close] = OhlcField::ALL.map(|field| posted.ohlc.get(field).to_string());
    let posted = [open, high, low, close, posted.volume.get().to_string()];
    for ((field, posted), stored) in FIELDS.into_iter().zip(posted).zip(&stored.values) {
        if let Some(stored) = stored {
            let _ = write!(text, " {field} {posted} for {stored}");
        }
    }
    text
}
