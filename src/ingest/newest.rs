//! Opening times of the newest closed candles by timeframe: those that this process has seen, and those that all
//! processes on a database keep in it, so that their age is known after a restart without reading the candles.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tracing::warn;

use crate::errors::chain;
use crate::store::{SeriesSelection, Store, StoreError};
use candle::{Candle, Timeframe};

/// The maximum number of series that are read if the database keeps no times yet, as after a restore.
const MAX_SERIES_TO_BEGIN_WITH: usize = 10_000;

const NEVER: i64 = i64::MIN;

/// Times in epoch seconds, in the order of [`Timeframe::ALL`].
#[derive(Debug)]
pub(super) struct NewestCandles {
    seen: [AtomicI64; Timeframe::ALL.len()],
    /// Those that the database is known to keep.
    kept: [AtomicI64; Timeframe::ALL.len()],
    /// Set once the series have been read.
    has_begun: AtomicBool,
    /// Set while sharing fails, because a failure is logged once.
    fails: AtomicBool,
}

impl Default for NewestCandles {
    fn default() -> Self {
        let never = || std::array::from_fn(|_| AtomicI64::new(NEVER));
        Self { seen: never(), kept: never(), has_begun: AtomicBool::new(false), fails: AtomicBool::new(false) }
    }
}

impl NewestCandles {
    pub(super) fn note(&self, timeframe: Timeframe, seconds: i64) {
        self.seen[timeframe as usize].fetch_max(seconds, Ordering::Relaxed);
    }

    /// The time of each timeframe that has any.
    pub(super) fn seen(&self) -> impl Iterator<Item = (Timeframe, i64)> {
        let seen = self.seen.iter().map(|time| time.load(Ordering::Relaxed));
        Timeframe::ALL.into_iter().zip(seen).filter(|(_, time)| *time != NEVER)
    }

    /// Reads the times that `store` keeps, and stores those that are newer. A failure is only logged, because the times
    /// serve nothing but a metric.
    pub(super) async fn share(&self, store: &Store) {
        let shared = async {
            self.learn(store).await?;
            self.keep(store).await
        };
        self.log(shared.await);
    }

    /// Stores the times that are newer than those that `store` is known to keep.
    pub(super) async fn leave(&self, store: &Store) {
        self.log(self.keep(store).await);
    }

    async fn learn(&self, store: &Store) -> Result<(), StoreError> {
        let kept = store.newest().await?;
        for (timeframe, time) in &kept {
            let seconds = time.div_euclid(1000);
            self.kept[*timeframe as usize].fetch_max(seconds, Ordering::Relaxed);
            self.note(*timeframe, seconds);
        }
        if kept.is_empty() && !self.has_begun.swap(true, Ordering::Relaxed) {
            let limit = MAX_SERIES_TO_BEGIN_WITH;
            let selection = SeriesSelection { symbols: Vec::new(), timeframe: None, after: None, limit };
            for series in store.series(&selection).await?.series {
                self.note(series.key.timeframe, series.last.div_euclid(1000));
            }
        }
        Ok(())
    }

    async fn keep(&self, store: &Store) -> Result<(), StoreError> {
        let is_newer =
            |(timeframe, time): &(Timeframe, i64)| *time > self.kept[*timeframe as usize].load(Ordering::Relaxed);
        let newer: HashMap<Timeframe, i64> = self.seen().filter(is_newer).collect();
        if newer.is_empty() {
            return Ok(());
        }
        store.keep_newest(newer.iter().map(|(timeframe, seconds)| (*timeframe, seconds * 1000)).collect()).await?;
        for (timeframe, seconds) in newer {
            self.kept[timeframe as usize].fetch_max(seconds, Ordering::Relaxed);
        }
        Ok(())
    }

    fn log(&self, result: Result<(), StoreError>) {
        let failed_before = self.fails.swap(result.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (result, failed_before) {
            warn!(
                cause = chain(&error).to_string(),
                "could not keep the newest candles' times; only their age in the metrics needs them"
            );
        }
    }
}

/// Opening times of the newest of some candles by timeframe, in epoch seconds.
pub(super) fn of(candles: &[Candle]) -> HashMap<Timeframe, i64> {
    let mut newest = HashMap::new();
    for Candle { key, .. } in candles {
        let seconds = key.time().seconds();
        let time = newest.entry(key.timeframe()).or_insert(seconds);
        *time = seconds.max(*time);
    }
    newest
}
