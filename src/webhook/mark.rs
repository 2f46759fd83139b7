//! The time up to which the webhook has events about something. It is stored, so that what happens while no process runs gets events
//! from the next one.

use crate::store::{Store, StoreError};

/// The kinds of what there are marks about.
pub(super) const CHANGES: &str = "changes";
pub(super) const SIGNALS: &str = "signals";
pub(super) const JOBS: &str = "jobs";

/// Rows are read again from so long before the mark, because a row gets its time before it becomes visible.
const OVERLAP_MILLIS: i64 = 60_000;
/// The time by which the stored mark may lag behind the one in memory while the process runs.
const MAX_LAG_MILLIS: i64 = 60_000;

/// Everything of a kind before this time has its event.
#[derive(Debug)]
pub(super) struct Mark {
    kind: &'static str,
    /// In epoch milliseconds; `None` before the first look.
    known: Option<i64>,
    /// The one that the database has.
    stored: Option<i64>,
}

impl Mark {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, known: None, stored: None }
    }

    /// The time from which to look, and the time of the look, by the clock of the database. The first look of all processes
    /// begins a moment before its own time.
    pub(super) async fn begin(&mut self, store: &Store) -> Result<(i64, i64), StoreError> {
        let now = store.now().await?;
        if self.known.is_none() {
            self.stored = store.mark(self.kind).await?;
            self.known = self.stored;
        }
        Ok((self.known.unwrap_or(now) - OVERLAP_MILLIS, now))
    }

    /// Notes that everything before `now` has its event.
    pub(super) async fn advance(&mut self, store: &Store, now: i64) -> Result<(), StoreError> {
        self.known = Some(now);
        if self.stored.is_none_or(|stored| now - stored >= MAX_LAG_MILLIS) {
            self.store(store).await?;
        }
        Ok(())
    }

    /// Stores the mark, unless the database has it.
    pub(super) async fn store(&mut self, store: &Store) -> Result<(), StoreError> {
        if let Some(known) = self.known.filter(|known| self.stored != Some(*known)) {
            store.set_mark(self.kind, known).await?;
            self.stored = Some(known);
        }
        Ok(())
    }
}
