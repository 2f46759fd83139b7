//! A waiting batch, its poster and its size.

use std::sync::Arc;
use std::time::Instant;

use candle::{Batch, Candle, Key};

/// The name of a poster.
pub type Poster = Arc<str>;

/// The size of batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Number of candles.
    pub candles: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

/// A waiting batch.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) poster: Poster,
    pub(crate) batch: Arc<Batch>,
    pub(crate) size: Size,
    pub(crate) write_by: Instant,
    pub(crate) ticket: T,
}

impl<T> Entry<T> {
    /// True if it may no longer be written at the time `now`.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.write_by <= now
    }
}

impl Size {
    /// The size of a batch, with what the queue keeps of it.
    pub(crate) fn of(batch: &Batch) -> Self {
        let mut bytes = size_of::<Entry<[usize; 8]>>();
        let mut last: Option<&Key> = None;
        for key in batch.keys() {
            bytes += size_of::<Candle>();
            if last.is_none_or(|last| last.symbol() != key.symbol()) {
                bytes += key.symbol().as_str().len();
            }
            last = Some(key);
        }
        Self { candles: batch.len(), bytes }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { candles: self.candles + other.candles, bytes: self.bytes + other.bytes }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { candles: self.candles - other.candles, bytes: self.bytes - other.bytes }
    }
}
