//! Which batches are likely to hold nothing that is stored: those that go on where this process last wrote.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::candle::{Candle, Symbol, Timeframe, Timestamp};

/// Series that are remembered, some 100 bytes each; of others nothing is expected.
const MOST: usize = 10_000;
/// How long nothing is expected of a series that had a candle already where none was expected.
const DOUBT: Duration = Duration::from_secs(60);

/// The span of each series within which this process has written. A terminal sends what is newer, or walks back into history;
/// others may have written there too, so that this is a guess which the database has to confirm.
#[derive(Debug, Default)]
pub(super) struct Frontier(Mutex<HashMap<(Symbol, Timeframe), Span>>);

#[derive(Debug)]
struct Span {
    oldest: Timestamp,
    newest: Timestamp,
    doubted: Option<Instant>,
}

impl Frontier {
    /// Whether all of `candles`, which are in key order, lie beyond what this process has written of their series.
    pub(super) fn is_before(&self, candles: &[Candle]) -> bool {
        let spans = self.lock();
        series(candles).all(|(first, last)| {
            spans.get(&(first.key.symbol().clone(), first.key.timeframe())).is_some_and(|span| {
                let outside = first.key.time() > span.newest || last.key.time() < span.oldest;
                outside && span.doubted.is_none_or(|since| since.elapsed() > DOUBT)
            })
        })
    }

    /// Notes that `candles`, which are in key order, are stored, and whether all of them were new.
    pub(super) fn note(&self, candles: &[Candle], all_new: bool) {
        let mut spans = self.lock();
        for (first, last) in series(candles) {
            let (oldest, newest) = (first.key.time(), last.key.time());
            let key = (first.key.symbol().clone(), first.key.timeframe());
            if spans.len() >= MOST && !spans.contains_key(&key) {
                continue;
            }
            let span = spans.entry(key).or_insert(Span { oldest, newest, doubted: None });
            span.oldest = span.oldest.min(oldest);
            span.newest = span.newest.max(newest);
            if !all_new {
                span.doubted = Some(Instant::now());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Symbol, Timeframe), Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first and the last candle of each series.
fn series(candles: &[Candle]) -> impl Iterator<Item = (&Candle, &Candle)> {
    candles.chunk_by(|a, b| a.key.same_series(&b.key)).filter_map(|series| Some((series.first()?, series.last()?)))
}
