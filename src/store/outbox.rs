//! Events that wait for their delivery to a webhook, in the table `webhook_events`. An event is stored once, however many
//! processes notice what it is about, and one process at a time tries to deliver it.

use std::time::Duration;

use super::{Database, Store, StoreError, either};

/// The time for which delivered events and those that were given up are kept, so that none is stored a second time.
pub const EVENT_RETENTION: Duration = Duration::from_hours(168);

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Tells it from all other events. Made from what happened.
    pub id: String,
    /// The kind of what happened.
    pub kind: &'static str,
    /// JSON, as it is sent.
    pub body: String,
}

/// An event that this process is to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEvent {
    /// Tells it from all other events.
    pub id: String,
    /// The kind of what happened.
    pub kind: String,
    /// JSON, as it is sent.
    pub body: String,
    /// The number of attempts, this one included.
    pub attempts: i32,
    /// Seconds since it was stored.
    pub age_seconds: i64,
}

/// The end of an attempt to deliver an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It was delivered, or is not tried again.
    Settled,
    /// It is tried again after a while.
    Again(Duration),
}

/// A correction or deletion in the record of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedChange {
    /// Its number in the record.
    pub id: i64,
    /// The time of the change, in epoch milliseconds.
    pub at: i64,
    /// The name of a key, or of the command's user.
    pub actor: String,
    /// `correction` or `deletion`.
    pub kind: String,
    /// The instrument.
    pub symbol: String,
    /// The length of the period.
    pub timeframe: String,
    /// Opening time of the first candle, in epoch milliseconds.
    pub first: i64,
    /// Opening time of the last candle, in epoch milliseconds.
    pub last: i64,
    /// The number of candles.
    pub candles: i64,
    /// The reason that was given.
    pub reason: String,
}

impl Store {
    /// Stores events whose ids are not stored yet, and returns the number of these.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn queue_events(&self, events: Vec<OutboxEvent>) -> Result<u64, StoreError> {
        self.measured("queue_events", async { either!(self, store => store.queue_events(events).await) }).await
    }

    /// Takes the event that has been due for longest. For the time of `lease` no other process takes it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_event(&self, lease: Duration) -> Result<Option<ClaimedEvent>, StoreError> {
        self.measured("claim_event", async { either!(self, store => store.claim_event(lease).await) }).await
    }

    /// Notes the end of an attempt, unless another process has taken the event since.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn settle_event(&self, event: &ClaimedEvent, settlement: Settlement) -> Result<(), StoreError> {
        let (id, attempts) = (event.id.clone(), event.attempts);
        let settle = async { either!(self, store => store.settle_event(id, attempts, settlement).await) };
        self.measured("settle_event", settle).await
    }

    /// Deletes events that were settled before [`EVENT_RETENTION`], some hundred at most, and returns their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn prune_events(&self) -> Result<u64, StoreError> {
        self.measured("prune_events", async { either!(self, store => store.prune_events(EVENT_RETENTION).await) }).await
    }

    /// The bodies of the stored events of a kind, newest first, at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events_of(&self, kind: &'static str, most: usize) -> Result<Vec<String>, StoreError> {
        self.measured("events_of", async { either!(self, store => store.events_of(kind, most).await) }).await
    }

    /// The time at which the newest event of some kinds was stored, in epoch milliseconds, if any is stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn newest_event(&self, kinds: [&'static str; 2]) -> Result<Option<i64>, StoreError> {
        self.measured("newest_event", async { either!(self, store => store.newest_event(kinds).await) }).await
    }

    /// The number of events that wait for their delivery.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn waiting_events(&self) -> Result<u64, StoreError> {
        self.measured("waiting_events", async { either!(self, store => store.waiting_events().await) }).await
    }

    /// The database's time, in epoch milliseconds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn now(&self) -> Result<i64, StoreError> {
        self.measured("now", async { either!(self, store => store.now().await) }).await
    }

    /// The corrections and deletions since a time, in epoch milliseconds, in the order of times and numbers, at most `most`.
    /// A change may become visible after others that have a later time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn noted_changes(&self, since: i64, most: usize) -> Result<Vec<NotedChange>, StoreError> {
        self.measured("noted_changes", async { either!(self, store => store.noted_changes(since, most).await) }).await
    }
}
