//! Which batches are likely to hold nothing that is stored: those that go on where this process last wrote.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use candle::{Candle, Symbol, Timeframe, Timestamp};

/// Series that are remembered, a few hundred bytes each; of others nothing is expected.
const MOST: usize = 10_000;
/// How long nothing is expected of a series that had a candle already where none was expected.
const DOUBT: Duration = Duration::from_secs(60);

/// The span of each series within which this process has written. A terminal sends what is newer, or walks back into history;
/// others may have written there too, so that this is a guess which the database has to confirm.
#[derive(Debug)]
pub(super) struct Frontier(Cache<(Symbol, Timeframe), Span>);

#[derive(Debug, Clone, Copy)]
struct Span {
    oldest: Timestamp,
    newest: Timestamp,
    doubted: Option<Instant>,
}

impl Default for Frontier {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Frontier {
    /// Whether all of `candles`, which are in key order, lie beyond what this process has written of their series.
    pub(super) fn is_before(&self, candles: &[Candle]) -> bool {
        series(candles).all(|(first, last)| {
            self.0.get(&key(first)).is_some_and(|Span { oldest, newest, doubted }| {
                let outside = first.key.time() > newest || last.key.time() < oldest;
                outside && doubted.is_none_or(|since| since.elapsed() > DOUBT)
            })
        })
    }

    /// Notes that `candles`, which are in key order, are stored, and whether one of them was where it was not expected.
    pub(super) fn note(&self, candles: &[Candle], all_new: bool) {
        for (first, last) in series(candles) {
            let (oldest, newest) = (first.key.time(), last.key.time());
            let known = self.0.get(&key(first));
            let doubted = if all_new { known.and_then(|span| span.doubted) } else { Some(Instant::now()) };
            let known = known.unwrap_or(Span { oldest, newest, doubted });
            self.0.insert(
                key(first),
                Span { oldest: known.oldest.min(oldest), newest: known.newest.max(newest), doubted },
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
