//! A stream of what happens to a job, by Server-Sent Events. It carries states: a client that is slow or was away gets the newest
//! progress, and every item that is over.
//!
//! The number of an event grows and is the same in every process: [`EVENTS_PER_ITEM`] for each item that is over, and a count of the
//! progress since then. A client that comes back with it gets the items that it does not have.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::debug;

use super::answer::{item_count, raw};
use super::item::BestPoint;
use super::progress::Progress;
use super::{Jobs, JobsError};
use crate::errors::chain;
use crate::store::{Job, JobState};

/// The maximum number of streams at once.
pub(crate) const MAX_EVENT_STREAMS: usize = 256;
/// The numbers of the events of one item.
const EVENTS_PER_ITEM: u64 = 1_000_000;
/// A comment is written so often, so that no proxy takes the connection for dead.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// The interval at which the row of a job is read that runs elsewhere or waits.
const ROW_INTERVAL: Duration = Duration::from_secs(1);
/// The minimum time between two events of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// The interval of reconnecting, and a comment that makes proxies pass the head on.
const GREETING: &str = "retry: 2000\n: candlewick\n\n";

#[derive(Serialize)]
struct ProgressEvent<'p> {
    done: u64,
    total: u64,
    items_done: usize,
    best: Option<&'p BestPoint>,
    evaluations_per_second: f64,
    remaining_s: Option<f64>,
}

impl Jobs {
    /// Opens the stream of a job. Returns `None` for a client that has had its last event. Without an owner, anybody's job.
    ///
    /// # Errors
    /// When there is no such job, too many streams are open, or the store does not answer.
    pub(crate) async fn events(
        &self,
        id: &str,
        owner: Option<&str>,
        last_event_id: Option<&str>,
    ) -> Result<Option<impl Stream<Item = Bytes> + Send + use<>>, JobsError> {
        let job = self.find(id, owner).await?;
        let items = item_count(&job)?;
        let last: u64 = last_event_id.and_then(|last| last.trim().parse().ok()).unwrap_or_default();
        if job.state.is_over() && last >= last_number(items) {
            return Ok(None);
        }
        // Before the job is read again, so that no change is missed.
        let changes = self.0.changes.subscribe();
        let place = Arc::clone(&self.0.streams).try_acquire_owned().map_err(|_| JobsError::TooManyStreams)?;
        let mut comments = interval_at(Instant::now() + COMMENT_INTERVAL, COMMENT_INTERVAL);
        comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = usize::try_from(last / EVENTS_PER_ITEM).unwrap_or(usize::MAX).min(items);
        let following = Following {
            jobs: self.clone(),
            id: job.id,
            items,
            told,
            progress_number: last % EVENTS_PER_ITEM,
            shown: None,
            next_look: Instant::now(),
            changes,
            comments,
            phase: Phase::Greeting,
            _place: place,
        };
        Ok(Some(stream::unfold(following, async |mut following| {
            let bytes = following.next().await?;
            Some((bytes, following))
        })))
    }
}

/// Returns once work on a job begins or ends in this process, or might have.
async fn changed(changes: &mut broadcast::Receiver<String>, job: &str) {
    loop {
        match changes.recv().await {
            Ok(other) if other != job => {}
            // One that is too far behind looks at its job.
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The number of the event `done`.
fn last_number(items: usize) -> u64 {
    (items as u64 + 1) * EVENTS_PER_ITEM
}

enum Phase {
    Greeting,
    Following,
    Ended,
}

/// A client and what it has.
struct Following {
    jobs: Jobs,
    id: String,
    /// The items of the job, and the number of those whose end the client knows.
    items: usize,
    told: usize,
    progress_number: u64,
    /// The progress that the client has been shown.
    shown: Option<Arc<Progress>>,
    next_look: Instant,
    /// The ids of jobs on which work begins or ends here.
    changes: broadcast::Receiver<String>,
    comments: Interval,
    phase: Phase,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Ended => return None,
            Phase::Greeting => {
                self.phase = Phase::Following;
                return Some(Bytes::from_static(GREETING.as_bytes()));
            }
            Phase::Following => {}
        }
        let stopping = self.jobs.0.stopping.clone();
        loop {
            let next_look = self.next_look;
            tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    self.phase = Phase::Ended;
                    return Some(Bytes::from_static(b": the service stops\n\n"));
                }
                _ = self.comments.tick() => return Some(Bytes::from_static(b": still there\n\n")),
                () = changed(&mut self.changes, &self.id) => {}
                () = tokio::time::sleep_until(next_look) => {}
            }
            match self.look().await {
                Ok(text) if !text.is_empty() => return Some(text.into()),
                Ok(_) => {}
                Err(JobsError::UnknownJob) => {
                    self.phase = Phase::Ended;
                    return None;
                }
                Err(error) => {
                    debug!(cause = chain(&error).to_string(), "a stream of a job could not be continued yet");
                    self.next_look = Instant::now() + ROW_INTERVAL;
                }
            }
        }
    }

    /// The events that are due.
    async fn look(&mut self) -> Result<String, JobsError> {
        let local = self.jobs.running().get(&self.id).map(|running| running.progress.clone());
        match local {
            Some(progress) => self.look_here(progress).await,
            None => self.look_at_row().await,
        }
    }

    /// Shows the progress of a job that runs here as soon as it changes.
    async fn look_here(&mut self, mut progress: watch::Receiver<Arc<Progress>>) -> Result<String, JobsError> {
        let now = Arc::clone(&progress.borrow_and_update());
        let mut text = String::new();
        if now.items_done > self.told {
            self.write_items(&mut text).await?;
        }
        if self.shown.as_ref() == Some(&now) {
            if !text.is_empty() {
                return Ok(text);
            }
            // The sender goes when the work on the job ends; its row then says how.
            let changed = tokio::time::timeout(ROW_INTERVAL, progress.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return self.look_at_row().await;
            }
            return Ok(text);
        }
        self.write_progress(&mut text, &now)?;
        self.shown = Some(now);
        self.next_look = Instant::now() + PROGRESS_INTERVAL;
        Ok(text)
    }

    async fn look_at_row(&mut self) -> Result<String, JobsError> {
        let job = self.jobs.find(&self.id, None).await?;
        let progress = self.jobs.progress_of(&job)?;
        let mut text = String::new();
        self.write_items(&mut text).await?;
        if self.shown.as_ref() != Some(&progress) {
            self.write_progress(&mut text, &progress)?;
            self.shown = Some(progress);
        }
        if job.state.is_over() {
            self.write_done(&mut text, &job);
            self.phase = Phase::Ended;
        }
        self.next_look = Instant::now() + ROW_INTERVAL;
        Ok(text)
    }

    /// Writes the items that are over and that the client does not have. They end in their order.
    async fn write_items(&mut self, text: &mut String) -> Result<(), JobsError> {
        let items = self.jobs.0.store.job_items(self.id.clone()).await?;
        let over = items.iter().filter(|item| item.is_over).skip(self.told);
        let mut written = Vec::new();
        for item in over {
            written.push(raw(&item.summary)?);
        }
        for summary in written {
            self.told += 1;
            self.progress_number = 0;
            let _ = write!(text, "id: {}\nevent: item\ndata: {}\n\n", self.number(), summary.get());
        }
        Ok(())
    }

    fn write_progress(&mut self, text: &mut String, progress: &Progress) -> Result<(), JobsError> {
        let event = ProgressEvent {
            done: progress.done,
            total: progress.total,
            items_done: progress.items_done,
            best: progress.best.last(),
            evaluations_per_second: progress.evaluations_per_second,
            remaining_s: progress.remaining_s,
        };
        self.progress_number = (self.progress_number + 1).min(EVENTS_PER_ITEM - 1);
        let data = serde_json::to_string(&event).map_err(super::answer::unreadable)?;
        let _ = write!(text, "id: {}\nevent: progress\ndata: {data}\n\n", self.number());
        Ok(())
    }

    fn write_done(&self, text: &mut String, job: &Job) {
        let error = job.error.as_deref().filter(|_| job.state == JobState::Failed);
        let data = json!({"state": job.state.name(), "finished": job.finished, "error": error});
        let _ = write!(text, "id: {}\nevent: done\ndata: {data}\n\n", last_number(self.items));
    }

    fn number(&self) -> u64 {
        self.told as u64 * EVENTS_PER_ITEM + self.progress_number
    }
}
