//! Events that wait for their delivery to a webhook, in the table `webhook_events`. An event is stored once, however many
//! processes notice what it is about, and one process at a time tries to deliver it. `webhook_marks` holds the times up to which
//! there are events, and `webhook_feeds` what the last event about each feed said.

use std::time::Duration;

use super::{Database, JobState, SeriesKey, Store, StoreError, either};

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
    /// The series that it is about, as `TIMEFRAME:SYMBOL`, if it is about one.
    pub series: Option<String>,
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

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedJob {
    /// Random.
    pub id: String,
    /// The name of the key that started it.
    pub owner: String,
    /// A name that people gave it.
    pub name: Option<String>,
    /// Done or failed.
    pub state: JobState,
    /// The time of its end, in epoch milliseconds.
    pub finished: i64,
}

/// The content of the last event about a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFeed {
    /// The series.
    pub key: SeriesKey,
    /// False once the feed is fresh again.
    pub is_stale: bool,
    /// The time at which the newest candle was stored, in epoch milliseconds; `None` if there was no candle.
    pub received: Option<i64>,
    /// The number of events about the feed, this one included.
    pub events: i64,
}

impl Store {
    /// Stores events whose ids are not stored yet, and returns the number of these. They become due in their order.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn queue_events(&self, events: Vec<OutboxEvent>) -> Result<u64, StoreError> {
        self.measured("queue_events", async { either!(self, store => store.queue_events(events).await) }).await
    }

    /// Takes the event that has been due for longest, leaving out those about a series that is `busy`, as `TIMEFRAME:SYMBOL`. For the
    /// time of `lease` no other process takes it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_event(&self, lease: Duration, busy: Vec<String>) -> Result<Option<ClaimedEvent>, StoreError> {
        self.measured("claim_event", async { either!(self, store => store.claim_event(lease, busy).await) }).await
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

    /// The time up to which there are events about something of this kind, in epoch milliseconds, if it was noted before.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn mark(&self, kind: &'static str) -> Result<Option<i64>, StoreError> {
        self.measured("mark", async { either!(self, store => store.mark(kind).await) }).await
    }

    /// Notes the time up to which there are events about something of this kind, in epoch milliseconds. It never moves back.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_mark(&self, kind: &'static str, known_to: i64) -> Result<(), StoreError> {
        self.measured("set_mark", async { either!(self, store => store.set_mark(kind, known_to).await) }).await
    }

    /// The content of the last event about each feed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn reported_feeds(&self) -> Result<Vec<ReportedFeed>, StoreError> {
        self.measured("reported_feeds", async { either!(self, store => store.reported_feeds().await) }).await
    }

    /// Stores an event about a feed together with what it says, and returns true, unless another process has stored one since
    /// the number of the feed's events was read.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn report_feed(&self, reported: ReportedFeed, event: OutboxEvent) -> Result<bool, StoreError> {
        self.measured("report_feed", async { either!(self, store => store.report_feed(reported, event).await) }).await
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

    /// The corrections and deletions after a place in the order of times, in epoch milliseconds, and numbers, at most `most`.
    /// A change may become visible after others that have a later place.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn noted_changes(&self, after: (i64, i64), most: usize) -> Result<Vec<NotedChange>, StoreError> {
        self.measured("noted_changes", async { either!(self, store => store.noted_changes(after, most).await) }).await
    }

    /// The jobs that are done or have failed, after a place in the order of the times of their ends, in epoch milliseconds, and
    /// their ids, at most `most`. A job may become visible after others that have a later place.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ended_jobs(&self, after: (i64, String), most: usize) -> Result<Vec<EndedJob>, StoreError> {
        self.measured("ended_jobs", async { either!(self, store => store.ended_jobs(after, most).await) }).await
    }
}
