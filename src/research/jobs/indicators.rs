//! Indicators that searches share, and the memory that is left for them beside the candles of the same searches.

use std::sync::{Arc, Mutex, PoisonError};

use research::Cache;

/// The part of the memory that indicators may always take, so that a search on many candles does not compute each one anew.
const LEAST_PART: u64 = 8;
/// The part that they may take at most, because the other half is for candles.
const MOST_PART: u64 = 2;

/// The indicators of all items that run here.
#[derive(Debug)]
pub(super) struct Indicators {
    cache: Cache,
    memory_bytes: u64,
    /// The bytes of the candles of these items.
    candles: Mutex<u64>,
}

/// The candles of an item, which count until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    indicators: Arc<Indicators>,
    bytes: u64,
}

impl Indicators {
    /// Keeps indicators in what the candles of items leave of `memory_bytes`.
    pub(super) fn new(memory_bytes: u64) -> Arc<Self> {
        Arc::new(Self { cache: Cache::new(memory_bytes / MOST_PART), memory_bytes, candles: Mutex::default() })
    }

    /// Counts the candles of an item that begins.
    pub(super) fn beside(self: &Arc<Self>, candle_bytes: u64) -> Counted {
        self.count(|all| all.saturating_add(candle_bytes));
        Counted { indicators: Arc::clone(self), bytes: candle_bytes }
    }

    fn count(&self, change: impl FnOnce(u64) -> u64) {
        let mut candles = self.candles.lock().unwrap_or_else(PoisonError::into_inner);
        *candles = change(*candles);
        let left = self.memory_bytes.saturating_sub(*candles);
        self.cache.set_max_bytes(left.clamp(self.memory_bytes / LEAST_PART, self.memory_bytes / MOST_PART));
    }
}

impl Counted {
    pub(super) fn cache(&self) -> &Cache {
        &self.indicators.cache
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.indicators.count(|all| all.saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candles_of_items_leave_less_for_indicators_until_the_items_end() {
        let indicators = Indicators::new(256);
        let most = || indicators.cache.max_bytes();
        assert_eq!(most(), 128);
        let first = indicators.beside(56);
        assert_eq!(most(), 128, "200 are left, of which half of all is the most");
        let others = [indicators.beside(56), indicators.beside(56)];
        assert_eq!(most(), 88);
        let long = indicators.beside(1_000);
        assert_eq!(most(), 32, "an eighth is always left");
        drop(long);
        assert_eq!(most(), 88);
        drop((first, others));
        assert_eq!(most(), 128);
    }
}
