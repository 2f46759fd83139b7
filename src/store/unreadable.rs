//! Logs stored rows that are not candles, each only once, because a chart asks for the same page again and again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::UnreadableRow;
use candle::{Symbol, Timeframe, format_millis};

/// The maximum number of rows that a process logs: enough to find a mistake, and a bound if a table is full of them.
const MAX_LOGGED: usize = 1000;

/// The rows that have been logged. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadableRows(Arc<LoggedRows>);

#[derive(Debug, Default)]
struct LoggedRows {
    hasher: RandomState,
    /// Hashes, because a bound on their number bounds the memory only if each has a fixed size.
    rows: Mutex<HashSet<u64>>,
}

impl UnreadableRows {
    /// Logs those of the `rows` of a series that were not logged before.
    pub(super) fn report(&self, symbol: &Symbol, timeframe: Timeframe, rows: &[UnreadableRow]) {
        if rows.is_empty() {
            return;
        }
        let mut logged = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if logged.len() > MAX_LOGGED {
                return;
            }
            if !logged.insert(self.0.hasher.hash_one((symbol, timeframe, row.time))) {
                continue;
            }
            if logged.len() > MAX_LOGGED {
                warn!(
                    "{MAX_LOGGED} rows that are not candles have been logged; others are not logged until the next start"
                );
                return;
            }
            warn!(
                symbol = symbol.as_str(),
                timeframe = timeframe.name(),
                timestamp = row.time,
                // In a form that Postgres accepts, because an operator searches for the row with it.
                opening_time = format_millis(row.time),
                field = row.field,
                value = ?row.value,
                "a stored row is not a candle and is left out of pages; correct it or delete it in the database"
            );
        }
    }
}
