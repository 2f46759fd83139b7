//! The outcome of the last writes, for operators: a store that can be read and not written looks well to readers.

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
    /// The meaning of that, without what the database said.
    pub meaning: &'static str,
    /// True if a write has succeeded since.
    pub recovered: bool,
}

/// Remembers the last write that failed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteLog(Arc<Mutex<Option<WriteError>>>);

impl WriteLog {
    /// Notes what became of a write, and passes it on.
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
        StoreError::Unavailable(_) | StoreError::Denied(_) => {
            "The database was not there, was too busy, or could not be written; the log says which."
        }
        StoreError::Missing(Missing::File, _) => {
            "The database file was moved, deleted or replaced; the log says what to do."
        }
        StoreError::Missing(Missing::Tables, _) => "Tables of the database are missing; the log says what to do.",
        StoreError::ReadOnly(_) => {
            "The database can only be read, as a standby is; post to the service of its primary."
        }
        StoreError::Misconfigured(_) => "The database has to be changed before it can be written; the log says how.",
        StoreError::ConstraintViolated(_) => "A constraint of the database refused a candle; the log says which.",
        StoreError::Internal(_) => "The database failed in a way that is not understood; the log has what it said.",
    }
}
