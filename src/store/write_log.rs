//! The last failed write, for operators, because a store that can be read but not written looks healthy to readers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Missing, StoreError};

/// The last write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteError {
    /// The time at which it failed.
    pub at: Instant,
    /// The kind of its [`StoreError`], as in the metrics.
    pub kind: &'static str,
    /// The meaning of that kind, without the database's own message.
    pub meaning: &'static str,
    /// True if a write has succeeded since.
    pub recovered: bool,
}

/// Remembers the last write that failed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteLog(Arc<Mutex<Option<WriteError>>>);

impl WriteLog {
    /// Records the result of a write and returns it.
    pub(super) fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => {
                if let Some(error) = &mut *last {
                    error.recovered = true;
                }
            }
            Err(error) => {
                let (kind, meaning) = (error.kind(), meaning(error));
                *last = Some(WriteError { at: Instant::now(), kind, meaning, recovered: false });
            }
        }
        drop(last);
        result
    }

    pub(super) fn last_error(&self) -> Option<WriteError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn meaning(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) | StoreError::Unanswered(_) | StoreError::Denied(_) => {
            "The database was unreachable, too busy, or not writable; the log says which."
        }
        StoreError::Missing(Missing::File, _) => {
            "The database file was moved, deleted or replaced; the log says what to do."
        }
        StoreError::Missing(Missing::Tables, _) => "Tables of the database are missing; the log says what to do.",
        StoreError::ReadOnly(_) => {
            "The database can only be read, as a standby is; post to the service of its primary."
        }
        StoreError::Misconfigured(_) => "The database has to be changed before it can be written; the log says how.",
        StoreError::ConstraintViolated(_) => "A constraint of the database rejected a candle; the log says which.",
        StoreError::Internal(_) => "The database failed with an unknown error; the log has its message.",
    }
}
