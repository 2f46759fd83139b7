//! Guesses whether a batch is entirely new, so that it can be written with COPY instead of INSERT … ON CONFLICT.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use candle::{Candle, Symbol, Timeframe, Timestamp};

/// The maximum number of tracked series, a few hundred bytes each. Batches of others use INSERT.
const MAX_TRACKED_SERIES: usize = 10_000;
/// The time for which a series falls back to INSERT after COPY has met a key that was stored.
const COPY_COOLDOWN: Duration = Duration::from_mins(1);

/// The range of each series in which this process has written. A terminal sends newer candles or goes back into
/// history, so a batch outside the range is probably new. This is a guess that the database has to confirm, because
/// others may write too.
#[derive(Debug)]
pub(super) struct WrittenRanges(Cache<(Symbol, Timeframe), WrittenRange>);

#[derive(Debug, Clone, Copy)]
struct WrittenRange {
    oldest: Timestamp,
    newest: Timestamp,
    cooldown_since: Option<Instant>,
}

impl Default for WrittenRanges {
    fn default() -> Self {
        Self(Cache::new(MAX_TRACKED_SERIES))
    }
}

impl WrittenRanges {
    /// True if all of `candles`, which are in key order, lie outside the written range of their series, and no series
    /// is in its cooldown.
    pub(super) fn none_overlap(&self, candles: &[Candle]) -> bool {
        series(candles).all(|(first, last)| {
            self.0.get(&key(first)).is_some_and(|WrittenRange { oldest, newest, cooldown_since }| {
                let outside = first.key.time() > newest || last.key.time() < oldest;
                outside && cooldown_since.is_none_or(|since| since.elapsed() > COPY_COOLDOWN)
            })
        })
    }

    /// Records that `candles`, which are in key order, are stored, and whether all of them were new.
    pub(super) fn note(&self, candles: &[Candle], all_new: bool) {
        for (first, last) in series(candles) {
            let (oldest, newest) = (first.key.time(), last.key.time());
            let known = self.0.get(&key(first));
            let cooldown_since =
                if all_new { known.and_then(|span| span.cooldown_since) } else { Some(Instant::now()) };
            let known = known.unwrap_or(WrittenRange { oldest, newest, cooldown_since });
            self.0.insert(
                key(first),
                WrittenRange { oldest: known.oldest.min(oldest), newest: known.newest.max(newest), cooldown_since },
            );
        }
    }
}

fn key(candle: &Candle) -> (Symbol, Timeframe) {
    (candle.key.symbol().clone(), candle.key.timeframe())
}

/// The first and the last candle of each series.
fn series(candles: &[Candle]) -> impl Iterator<Item = (&Candle, &Candle)> {
    candles.chunk_by(|a, b| a.key.same_series(&b.key)).filter_map(|series| Some((series.first()?, series.last()?)))
}
