//! Notices what the webhook gets events about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use super::event::{self, CORRECTED, DELETED, FEED_STALE, FeedData, StoredFeedEvent};
use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::errors::chain;
use crate::ingest::ConflictTally;
use crate::query::{Query, QueryError};
use crate::store::{OutboxEvent, SeriesKey, Store, StoreError};
use crate::telemetry::metrics::WebhookEvents;

/// The pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The number of looks between two at the feeds.
const LOOKS_PER_FEED_LOOK: u32 = 5;
/// Changes are read again from so long before the last look, because a change gets its time before it becomes visible.
const CHANGE_OVERLAP_MILLIS: i64 = 60_000;
/// The maximum number of changes in a look. A look that reads so many is followed by another.
const MAX_CHANGES: usize = 500;
/// The maximum number of events of stale feeds that are read.
const MAX_STALE_EVENTS: usize = 1_000;

/// Looks for what the webhook gets events about.
pub(super) struct Watch {
    config: WebhookConfig,
    store: Store,
    query: Query,
    conflicts: ConflictTally,
    clock: Clock,
    queued: Arc<Notify>,
    /// Tells the conflicts that this process found from those of others.
    process: String,
    conflict_events: u64,
    /// Events about conflicts that are not stored yet, because conflicts are counted in memory only.
    unstored: Vec<OutboxEvent>,
    /// The time up to which changes are known, in epoch milliseconds.
    changes_known: Option<i64>,
}

impl Watch {
    pub(super) fn new(
        config: WebhookConfig,
        (store, query): (Store, Query),
        conflicts: ConflictTally,
        clock: Clock,
        queued: Arc<Notify>,
    ) -> Self {
        let mut bytes = [0; 16];
        // Without random bytes the time still tells processes apart.
        let process = match getrandom::fill(&mut bytes) {
            Ok(()) => hex::encode(bytes),
            Err(_) => format!("{} {}", std::process::id(), clock.now().millis()),
        };
        // Counts conflicts from now on.
        conflicts.take();
        Self {
            config,
            store,
            query,
            conflicts,
            clock,
            queued,
            process,
            conflict_events: 0,
            unstored: Vec::new(),
            changes_known: None,
        }
    }

    /// Looks again and again. Never returns.
    pub(super) async fn run(mut self) {
        let (mut looks, mut is_failing) = (0_u32, false);
        loop {
            match self.look(looks.is_multiple_of(LOOKS_PER_FEED_LOOK)).await {
                Ok(()) if std::mem::take(&mut is_failing) => info!("events for the webhook are stored again"),
                Ok(()) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(
                            cause = chain(&error).to_string(),
                            "could not look for events for the webhook; trying again"
                        );
                    }
                }
            }
            looks = looks.wrapping_add(1);
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn look(&mut self, at_feeds: bool) -> Result<(), QueryError> {
        self.take_conflicts();
        let events = std::mem::take(&mut self.unstored);
        if let Err(error) = self.queue(events.clone()).await {
            self.unstored = events;
            return Err(error.into());
        }
        self.look_at_changes().await?;
        if at_feeds {
            self.look_at_feeds().await?;
        }
        Ok(())
    }

    fn take_conflicts(&mut self) {
        let now = self.clock.now();
        for (key, found) in self.conflicts.take() {
            let number = (&*self.process, self.conflict_events);
            self.unstored.push(event::of_conflicts(&key, found, now, number));
            self.conflict_events += 1;
        }
    }

    async fn queue(&self, events: Vec<OutboxEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let queued = self.store.queue_events(events).await?;
        if queued > 0 {
            WebhookEvents::Queued.count(queued);
            self.queued.notify_one();
        }
        Ok(())
    }

    /// Stores an event for each change since the last look. The first look begins at the newest event of a change that any
    /// process stored, so that changes that happened while none ran get events too, or else now.
    async fn look_at_changes(&mut self) -> Result<(), StoreError> {
        let now = self.store.now().await?;
        let mut since = match self.changes_known {
            Some(known) => known,
            None => self.store.newest_event([CORRECTED, DELETED]).await?.unwrap_or(now),
        };
        since -= CHANGE_OVERLAP_MILLIS;
        loop {
            let changes = self.store.noted_changes(since, MAX_CHANGES).await?;
            let last = changes.last().map(|change| change.at);
            self.queue(changes.iter().map(event::of_change).collect()).await?;
            match last {
                Some(last) if changes.len() == MAX_CHANGES && last > since => since = last,
                _ => break,
            }
        }
        self.changes_known = Some(now);
        Ok(())
    }

    /// Stores an event for each feed that is stale, and for each that was and is fresh again.
    async fn look_at_feeds(&self) -> Result<(), QueryError> {
        if self.config.feeds.is_empty() {
            return Ok(());
        }
        let told_stale = self.told_stale().await?;
        let mut events = Vec::new();
        for (timeframe, symbol) in &self.config.feeds {
            let key = SeriesKey { symbol: symbol.clone(), timeframe: *timeframe };
            let feed = self.query.feed(&key, self.config.stale_after).await?;
            if feed.is_stale {
                let data = FeedData {
                    symbol: symbol.as_str().to_owned(),
                    timeframe: timeframe.name().to_owned(),
                    received: feed.received,
                    stale_after: self.config.stale_after.as_secs(),
                };
                events.push(event::of_stale_feed(&data, self.clock.now()));
            } else if let (Some(received), Some(stale)) =
                (feed.received, told_stale.get(&(symbol.as_str().to_owned(), timeframe.name().to_owned())))
                && stale.received < Some(received)
            {
                events.push(event::of_fresh_feed(stale, received));
            }
        }
        Ok(self.queue(events).await?)
    }

    /// The newest event of each feed about its being stale.
    async fn told_stale(&self) -> Result<HashMap<(String, String), FeedData>, StoreError> {
        let mut told = HashMap::new();
        for body in self.store.events_of(FEED_STALE, MAX_STALE_EVENTS).await? {
            if let Ok(StoredFeedEvent { data }) = serde_json::from_str(&body) {
                told.entry((data.symbol.clone(), data.timeframe.clone())).or_insert(data);
            }
        }
        Ok(told)
    }
}
