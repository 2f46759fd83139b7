//! Which series this process has changed, so that nobody here takes what was read before a change for what is stored.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle::{Batch, Symbol, Timeframe};

/// Counters of which each counts the changes to many series: to take a series for changed that was not costs one read.
const COUNTERS: usize = 4096;

/// Counts changes. Clones share the counts.
#[derive(Clone)]
pub(super) struct Changes(Arc<[AtomicU64; COUNTERS]>);

/// A change to a series, told from every other by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change(u64);

impl Default for Changes {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes")
    }
}

impl Changes {
    pub(super) fn last(&self, symbol: &Symbol, timeframe: Timeframe) -> Change {
        Change(self.0[position(symbol, timeframe)].load(Ordering::Acquire))
    }

    /// Counters only grow, so their sum is another one after a change to any of the series.
    pub(super) fn last_of(&self, symbols: &[Symbol], timeframe: Option<Timeframe>) -> Change {
        let timeframes = timeframe.as_ref().map_or(&Timeframe::ALL[..], std::slice::from_ref);
        let series = symbols.iter().flat_map(|symbol| timeframes.iter().map(move |timeframe| (symbol, *timeframe)));
        let counts = series.map(|(symbol, timeframe)| self.last(symbol, timeframe).0);
        Change(counts.fold(0, u64::wrapping_add))
    }

    /// Notes a change to every series of `batch` when what is returned is dropped. It belongs to the write, not to its
    /// caller, who may leave before: a page that is read until the write has ended may hold the state before it, and must
    /// not be kept as the state after it. However the write ends, because it is not always known whether a statement that
    /// failed has changed something.
    pub(super) fn bump_on_drop(&self, batch: &Batch) -> BumpOnDrop {
        let mut positions: Vec<usize> = Vec::new();
        let mut last = None;
        for key in batch.keys() {
            if !last.is_some_and(|last| key.same_series(last)) {
                positions.push(position(key.symbol(), key.timeframe()));
                last = Some(key);
            }
        }
        BumpOnDrop { changes: self.clone(), positions }
    }
}

fn position(symbol: &Symbol, timeframe: Timeframe) -> usize {
    let mut hasher = DefaultHasher::new();
    (symbol, timeframe).hash(&mut hasher);
    usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or_default()
}

/// Changes that are being made.
pub(super) struct BumpOnDrop {
    changes: Changes,
    positions: Vec<usize>,
}

impl Drop for BumpOnDrop {
    fn drop(&mut self) {
        for &position in &self.positions {
            self.changes.0[position].fetch_add(1, Ordering::Release);
        }
    }
}
