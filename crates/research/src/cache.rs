//! Columns that were computed before.

use std::sync::Arc;

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{self, DefaultLifecycle},
};

use crate::{Bars, column::Value, graph::Key};

/// Columns of parts of strategies, bounded in bytes. The columns that were not used for the longest time are dropped
/// first.
///
/// A part is found by its operation, its constants and the bars, so one cache serves all strategies, parameter sets
/// and series. Threads may share it. The signals of a strategy do not depend on it.
///
/// ```
/// use research::Cache;
///
/// let cache = Cache::new(64 << 20);
/// assert_eq!(cache.bytes(), 0);
/// ```
#[derive(Debug)]
pub struct Cache {
    columns: sync::Cache<CacheKey, Arc<[Value]>, Bytes>,
}

/// The bars (their identity and range) and the node.
type CacheKey = (u64, usize, usize, Key);

/// The bytes of an entry besides its columns.
const ENTRY_BYTES: usize = 128;
/// The bytes of a column of 20,000 bars, for an estimate of the number of entries.
const TYPICAL_BYTES: u64 = 160_000;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<CacheKey, Arc<[Value]>> for Bytes {
    fn weight(&self, _: &CacheKey, values: &Arc<[Value]>) -> u64 {
        (values.iter().map(Value::bytes).sum::<usize>() + ENTRY_BYTES) as u64
    }
}

impl Cache {
    /// A cache that keeps at most `max_bytes`. With 0 it keeps nothing.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let items = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 65_536);
        // One shard, because each shard bounds its own share of the bytes, and a long column may need all of them.
        let options =
            OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(max_bytes).shards(1).build();
        let columns = match options {
            Ok(options) => {
                sync::Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => sync::Cache::with_weighter(items, max_bytes, Bytes),
        };
        Self { columns }
    }

    /// Changes the bytes that are kept at most. Columns beyond them are dropped at once.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.columns.set_capacity(max_bytes);
    }

    /// The bytes that are kept at most.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.columns.capacity()
    }

    /// The bytes that are kept now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.columns.weight()
    }

    pub(crate) fn get(&self, bars: &Bars, key: Key) -> Option<Arc<[Value]>> {
        self.columns.get(&key_of(bars, key))
    }

    pub(crate) fn insert(&self, bars: &Bars, key: Key, values: &Arc<[Value]>) {
        self.columns.insert(key_of(bars, key), Arc::clone(values));
    }
}

fn key_of(bars: &Bars, key: Key) -> CacheKey {
    let (id, range) = bars.identity();
    (id, range.start, range.end, key)
}
