//! Counts conflicting candles by series until somebody takes the counts, which only the webhook does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::SeriesKey;
use candle::Key;

/// The conflicting candles of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesConflicts {
    /// Their number. One that is posted twice counts twice.
    pub(crate) candles: u64,
    /// Opening time of the first, in epoch milliseconds.
    pub(crate) first: i64,
    /// Opening time of the last, in epoch milliseconds.
    pub(crate) last: i64,
}

/// Counts of conflicting candles. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConflictTally(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_wanted: AtomicBool,
    counts: Mutex<HashMap<SeriesKey, SeriesConflicts>>,
}

impl ConflictTally {
    /// The counts since the last call, and none before the first: nothing is counted while nobody takes it.
    pub(crate) fn take(&self) -> HashMap<SeriesKey, SeriesConflicts> {
        self.0.is_wanted.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add<'k>(&self, keys: impl Iterator<Item = &'k Key>) {
        if !self.0.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let time = key.time().millis();
            let series = SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() };
            let counted = counts.entry(series).or_insert(SeriesConflicts { candles: 0, first: time, last: time });
            counted.candles += 1;
            counted.first = counted.first.min(time);
            counted.last = counted.last.max(time);
        }
    }
}
