//! Versions of series: counters of the writes of this process. They are part of the page cache's key, so that a write
//! invalidates the pages of its series.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::series::SeriesKey;
use candle::{Batch, Key, Symbol, Timeframe};

/// Series share counters by hash; a collision costs one unnecessary cache miss.
const COUNTERS: usize = 4096;

/// Counts the writes to each series, and knows the time of the last one. Clones share the counters.
#[derive(Clone)]
pub(super) struct SeriesVersions(Arc<Counters>);

struct Counters {
    writes: [AtomicU64; COUNTERS],
    /// The end of the last write, in nanoseconds since `base`.
    changed: [AtomicU64; COUNTERS],
    base: Instant,
    written: Notify,
}

/// The version of a series, or of several together. It differs after every write of this process to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesVersion(u64);

impl Default for SeriesVersions {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self(Arc::new(Counters { writes: zeros(), changed: zeros(), base: Instant::now(), written: Notify::new() }))
    }
}

impl fmt::Debug for SeriesVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesVersions")
    }
}

impl SeriesVersions {
    pub(super) fn current(&self, symbol: &Symbol, timeframe: Timeframe) -> SeriesVersion {
        SeriesVersion(self.0.writes[position(symbol, timeframe)].load(Ordering::Acquire))
    }

    /// Waits for the end of a write that has not been waited for yet.
    pub(super) async fn written(&self) {
        self.0.written.notified().await;
    }

    /// True if no write of this process to the series has ended since `moment`.
    pub(super) fn is_unchanged_since(&self, symbol: &Symbol, timeframe: Timeframe, moment: Instant) -> bool {
        self.0.changed[position(symbol, timeframe)].load(Ordering::Acquire) < self.0.since_base(moment)
    }

    /// True if no write of this process to these series has ended since `moment`. For no symbols, all series count.
    pub(super) fn are_unchanged_since(
        &self,
        symbols: &[Symbol],
        timeframe: Option<Timeframe>,
        moment: Instant,
    ) -> bool {
        if symbols.is_empty() {
            let moment = self.0.since_base(moment);
            return self.0.changed.iter().all(|changed| changed.load(Ordering::Acquire) < moment);
        }
        let timeframes = timeframe.as_ref().map_or(&Timeframe::ALL[..], std::slice::from_ref);
        symbols.iter().all(|symbol| timeframes.iter().all(|it| self.is_unchanged_since(symbol, *it, moment)))
    }

    /// The version of several series. Counters only grow, so their sum differs after a write to any of them.
    pub(super) fn current_of(&self, symbols: &[Symbol], timeframe: Option<Timeframe>) -> SeriesVersion {
        let timeframes = timeframe.as_ref().map_or(&Timeframe::ALL[..], std::slice::from_ref);
        let series = symbols.iter().flat_map(|symbol| timeframes.iter().map(move |timeframe| (symbol, *timeframe)));
        let counts = series.map(|(symbol, timeframe)| self.current(symbol, timeframe).0);
        SeriesVersion(counts.fold(0, u64::wrapping_add))
    }

    /// Bumps the version of every series of `batches` when the guard is dropped. The write owns the guard, not its
    /// caller, which may be cancelled earlier: a page that is read before the write has ended may hold the old state,
    /// and must not be cached as the new one. A failed write bumps the versions too, because it is not always known
    /// whether its statement has changed something.
    pub(super) fn bump_on_drop<'b>(&self, batches: impl IntoIterator<Item = &'b Batch>) -> BumpOnDrop {
        self.bump_keys_on_drop(batches.into_iter().flat_map(Batch::keys))
    }

    /// As [`Self::bump_on_drop`], for the series of `keys`.
    pub(super) fn bump_keys_on_drop<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> BumpOnDrop {
        let mut positions: Vec<usize> = Vec::new();
        let mut last = None;
        for key in keys {
            if !last.is_some_and(|last| key.same_series(last)) {
                positions.push(position(key.symbol(), key.timeframe()));
                last = Some(key);
            }
        }
        BumpOnDrop { versions: self.clone(), positions }
    }

    /// As [`Self::bump_on_drop`], for one series.
    pub(super) fn bump_series_on_drop(&self, key: &SeriesKey) -> BumpOnDrop {
        BumpOnDrop { versions: self.clone(), positions: vec![position(&key.symbol, key.timeframe)] }
    }
}

impl Counters {
    fn since_base(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn position(symbol: &Symbol, timeframe: Timeframe) -> usize {
    let mut hasher = DefaultHasher::new();
    (symbol, timeframe).hash(&mut hasher);
    usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or_default()
}

/// Bumps the versions of the series that are being written.
pub(super) struct BumpOnDrop {
    versions: SeriesVersions,
    positions: Vec<usize>,
}

impl Drop for BumpOnDrop {
    fn drop(&mut self) {
        let Counters { writes, changed, .. } = &*self.versions.0;
        let now = self.versions.0.since_base(Instant::now());
        for &position in &self.positions {
            // Before the version, so that a read that sees the new version knows this time, too.
            // The maximum, because a write that ended earlier may come here later.
            changed[position].fetch_max(now, Ordering::Release);
            writes[position].fetch_add(1, Ordering::Release);
        }
        self.versions.0.written.notify_one();
    }
}
