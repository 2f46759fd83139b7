//! Names rows that no answer can show in the log, each once: a chart asks for the same page again and again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::StoredCandles;
use candle::{Symbol, Timeframe, format_millis};

/// Rows that are named in the life of a process: enough to mend a mishap by, and a bound where a table is full of them.
const MAX_NAMED: usize = 1000;

/// The rows that the log has named. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadableRows(Arc<Named>);

#[derive(Debug, Default)]
struct Named {
    hasher: RandomState,
    /// Hashes, since the bound on how many there are bounds their bytes only where each has a fixed size.
    rows: Mutex<HashSet<u64>>,
}

impl UnreadableRows {
    /// Logs the rows of a reading that were not logged before.
    pub(super) fn report(&self, symbol: &Symbol, timeframe: Timeframe, candles: &StoredCandles) {
        if candles.unreadable().is_empty() {
            return;
        }
        let mut named = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in candles.unreadable() {
            if named.len() > MAX_NAMED {
                return;
            }
            if !named.insert(self.0.hasher.hash_one((symbol, timeframe, row.time))) {
                continue;
            }
            if named.len() > MAX_NAMED {
                warn!(
                    "{MAX_NAMED} rows that are not candles have been named; others are not named until the next start"
                );
                return;
            }
            warn!(
                symbol = symbol.as_str(),
                timeframe = timeframe.name(),
                timestamp = row.time,
                // As Postgres takes it, since the line is read to find the row.
                opening_time = format_millis(row.time),
                field = row.field,
                value = ?row.value,
                "a stored row is not a candle and is left out of pages; correct it or delete it in the database"
            );
        }
    }
}
