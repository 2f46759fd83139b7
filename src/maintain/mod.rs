//! Changes of history on request: [`corrections`] and [`deletions`] of stored candles, each with a [`reason`] and a
//! row in the record of changes, and pages of that record ([`changes`]).

mod changes;
mod corrections;
mod deletions;
mod reason;
mod slices;

use serde::Serialize;

use crate::clock::Clock;
use crate::ingest::Refusal;
use crate::store::{ChangesSelection, Store, StoreError};
use crate::telemetry::metrics::Changes;
use crate::validation::FieldError;

pub use changes::{ChangeAnswer, ChangesPage};
pub use corrections::{Corrected, MAX_CORRECTIONS};
pub use deletions::{Deletion, DryRun, MAX_DELETED};
pub use reason::parse_reason;
pub(crate) use slices::Slices;

/// The reason for which nothing was changed, or for which it is unknown whether anything was.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The body of a correction is not one of a batch.
    #[error(transparent)]
    Batch(Refusal),
    /// Values of the request break rules.
    #[error("{summary}")]
    Invalid {
        /// Names the first of them and the remedy.
        summary: String,
        /// All of them, up to the number that an answer lists.
        field_errors: Vec<FieldError>,
    },
    /// Candles are not stored, or are not what they were expected to be.
    #[error("{summary}")]
    Conflict {
        /// Names the first of them and the remedy.
        summary: String,
        /// All of them, up to the number that an answer lists.
        field_errors: Vec<FieldError>,
    },
    /// The candles are no longer those of the dry run.
    #[error(
        "nothing was deleted, because the candles are not those of confirm={confirm} any more; repeat the dry run, look at \
         what it answers, and send its confirm"
    )]
    Changed {
        /// The digest that was sent.
        confirm: String,
    },
    /// The deletion holds more candles than one request deletes.
    #[error(
        "the span holds more than {MAX_DELETED} candles, and one request deletes at most so many; delete a shorter span, or \
         run candlewick delete beside the database, which has no such limit"
    )]
    TooMany,
    /// The store did not accept it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Corrects and deletes stored candles, and reads the record of changes.
#[derive(Debug, Clone)]
pub struct Maintenance {
    store: Store,
    clock: Clock,
}

impl Maintenance {
    /// Changes candles in `store`, and judges by `clock` which of them are closed.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Corrects the candles in `body` in the name of `actor`: all of them or none.
    ///
    /// # Errors
    /// After an error nothing was corrected and nothing will be, unless [`Store::amend`] leaves the outcome unknown.
    /// Sending the request again is safe in every case.
    pub async fn correct(&self, body: &[u8], actor: &str) -> Result<Corrected, MaintainError> {
        let corrected = corrections::correct(&self.store, self.clock.now(), body, actor).await?;
        Changes::Correction.count(corrected.changes.len() as u64);
        Ok(corrected)
    }

    /// Deletes what a query string selects in the name of `actor`, or says what that would delete.
    ///
    /// # Errors
    /// As [`Self::correct`].
    pub async fn delete(&self, query: &str, actor: &str) -> Result<Deletion, MaintainError> {
        let deletion = deletions::delete(&self.store, query, actor).await?;
        if let Deletion::Done { change: Some(_), .. } = &deletion {
            Changes::Deletion.count(1);
        }
        Ok(deletion)
    }

    /// Reads the part of the record that a query string selects.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn changes(&self, query: &str) -> Result<ChangesPage, MaintainError> {
        let selection: ChangesSelection = changes::parse(query).map_err(invalid_query)?;
        Ok(ChangesPage(self.store.changes(selection).await?))
    }
}

/// An id of the record, which is a string in JSON because an id may exceed the whole numbers that a JavaScript number
/// holds exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeId(pub i64);

impl Serialize for ChangeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn invalid_query(field_errors: Vec<FieldError>) -> MaintainError {
    let summary = field_errors.first().map(ToString::to_string).unwrap_or_default();
    MaintainError::Invalid { summary, field_errors }
}
