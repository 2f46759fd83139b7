//! Notices what the webhook gets events about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;
use tracing::{info, warn};

use super::Watched;
use super::event;
use super::mark::{CHANGES, JOBS, Mark, SIGNALS};
use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::errors::chain;
use crate::ingest::ConflictTally;
use crate::query::{Query, QueryError};
use crate::store::{OutboxEvent, ReportedFeed, SeriesKey, Store, StoreError};
use crate::telemetry::metrics::WebhookEvents;

/// The pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The number of looks between two at the feeds.
const LOOKS_PER_FEED_LOOK: u32 = 5;
/// The maximum number of changes, signals or jobs that are read at once. Reading so many is followed by reading the next ones.
const MAX_READ: usize = 500;

/// A request to store what is known of in memory alone. It is answered once that is done.
pub(super) type Flush = oneshot::Receiver<oneshot::Sender<()>>;

/// Looks for what the webhook gets events about.
pub(super) struct Watch {
    config: WebhookConfig,
    watched: Watched,
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
    changes_known: Mark,
    signals_known: Mark,
    jobs_known: Mark,
}

impl Watch {
    pub(super) fn new(
        (config, watched): (WebhookConfig, Watched),
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
        let [changes_known, signals_known, jobs_known] = [CHANGES, SIGNALS, JOBS].map(Mark::new);
        Self {
            config,
            watched,
            store,
            query,
            conflicts,
            clock,
            queued,
            process,
            conflict_events: 0,
            unstored: Vec::new(),
            changes_known,
            signals_known,
            jobs_known,
        }
    }

    /// Looks again and again, until the process stops and sends `flush`. Never returns.
    pub(super) async fn run(mut self, mut flush: Flush) {
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
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                flush = &mut flush => {
                    if let Ok(done) = flush {
                        self.flush().await;
                        let _ = done.send(());
                    }
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Stores what would be lost with this process.
    async fn flush(&mut self) {
        let stored = async {
            self.store_conflicts().await?;
            for mark in [&mut self.changes_known, &mut self.signals_known, &mut self.jobs_known] {
                mark.store(&self.store).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = stored.await {
            warn!(cause = chain(&error).to_string(), "the last events for the webhook could not be stored");
        }
    }

    /// Looks at everything, also if a look fails.
    async fn look(&mut self, at_feeds: bool) -> Result<(), QueryError> {
        let mut looked = vec![self.store_conflicts().await.map_err(QueryError::from)];
        looked.push(self.look_at_changes().await.map_err(QueryError::from));
        if at_feeds {
            looked.push(self.look_at_feeds().await);
        }
        if self.watched.signals {
            looked.push(self.look_at_signals().await.map_err(QueryError::from));
        }
        if self.watched.jobs {
            looked.push(self.look_at_jobs().await.map_err(QueryError::from));
        }
        looked.into_iter().collect()
    }

    /// Stores an event for each series in which conflicts were found since the last look.
    async fn store_conflicts(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for (key, found) in self.conflicts.take() {
            let number = (&*self.process, self.conflict_events);
            self.unstored.push(event::of_conflicts(&key, found, now, number));
            self.conflict_events += 1;
        }
        let events = std::mem::take(&mut self.unstored);
        if let Err(error) = self.queue(events.clone()).await {
            self.unstored = events;
            return Err(error);
        }
        Ok(())
    }

    async fn queue(&self, events: Vec<OutboxEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let queued = self.store.queue_events(events).await?;
        self.count_queued(queued);
        Ok(())
    }

    fn count_queued(&self, queued: u64) {
        if queued > 0 {
            WebhookEvents::Queued.count(queued);
            self.queued.notify_one();
        }
    }

    /// Stores an event for each correction and deletion that is not known yet.
    async fn look_at_changes(&mut self) -> Result<(), StoreError> {
        let (since, now) = self.changes_known.begin(&self.store).await?;
        let mut place = (since, i64::MIN);
        loop {
            let changes = self.store.noted_changes(place, MAX_READ).await?;
            self.queue(changes.iter().map(event::of_change).collect()).await?;
            match changes.last() {
                Some(last) if changes.len() == MAX_READ => place = (last.at, last.id),
                _ => break,
            }
        }
        self.changes_known.advance(&self.store, now).await
    }

    /// Stores an event for each signal that followed another one and is not known yet.
    async fn look_at_signals(&mut self) -> Result<(), StoreError> {
        let (mut since, now) = self.signals_known.begin(&self.store).await?;
        loop {
            let changed = self.store.changed_signals(since, MAX_READ).await?;
            self.queue(changed.iter().map(event::of_signal).collect()).await?;
            match changed.last() {
                // Each signal is stored by a statement of its own, so that never so many have one time.
                Some(last) if changed.len() == MAX_READ && last.at > since => since = last.at,
                _ => break,
            }
        }
        self.signals_known.advance(&self.store, now).await
    }

    /// Stores an event for each job that is done or has failed and is not known yet.
    async fn look_at_jobs(&mut self) -> Result<(), StoreError> {
        let (since, now) = self.jobs_known.begin(&self.store).await?;
        let mut place = (since, String::new());
        loop {
            let ended = self.store.ended_jobs(place, MAX_READ).await?;
            self.queue(ended.iter().map(event::of_job).collect()).await?;
            match ended.last() {
                Some(last) if ended.len() == MAX_READ => place = (last.finished, last.id.clone()),
                _ => break,
            }
        }
        self.jobs_known.advance(&self.store, now).await
    }

    /// Stores an event for each feed that has become stale, and for each that was and has received a candle since.
    async fn look_at_feeds(&self) -> Result<(), QueryError> {
        if self.config.feeds.is_empty() {
            return Ok(());
        }
        let reported = self.store.reported_feeds().await?;
        let reported: HashMap<SeriesKey, ReportedFeed> =
            reported.into_iter().map(|feed| (feed.key.clone(), feed)).collect();
        for (timeframe, symbol) in &self.config.feeds {
            let key = SeriesKey { symbol: symbol.clone(), timeframe: *timeframe };
            let feed = self.query.feed(&key, self.config.stale_after).await?;
            let before = reported.get(&key);
            let was_stale = before.is_some_and(|before| before.is_stale);
            // Trading time is learned anew once in a while, which makes no feed fresh.
            let is_fresh_again =
                !feed.is_stale && was_stale && before.and_then(|before| before.received) < feed.received;
            if is_fresh_again || (feed.is_stale && !was_stale) {
                let events = before.map_or(0, |before| before.events) + 1;
                let reported = ReportedFeed { key, is_stale: feed.is_stale, received: feed.received, events };
                let event = event::of_feed(&reported, self.config.stale_after.as_secs(), self.clock.now());
                self.count_queued(u64::from(self.store.report_feed(reported, event).await?));
            }
        }
        Ok(())
    }
}
