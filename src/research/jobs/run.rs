//! Working on one job: its items one after the other, under its lease.

use std::sync::Arc;
use std::time::Duration;

use research::search::{StopFlag, StopReason};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::answer::{self, unreadable};
use super::item::{self, BestPoint, ItemRun, Outcome};
use super::progress::{Progress, Tracker};
use super::request::{ItemRequest, JobRequest};
use super::writes::{Write, stored};
use super::{Jobs, JobsError, Running, Stop, compressed, decompressed};
use crate::errors::{chain, sentence};
use crate::query::QueryError;
use crate::research::ResearchError;
use crate::research::columns::Loaded;
use crate::store::{Job, JobEnd, JobItem, JobState, Lease, StoreError};
use crate::telemetry::metrics::{EVALUATIONS, JobsEnded};
use crate::telemetry::spans::spawn_blocking;

/// The interval at which a lease is renewed, and progress stored with it.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// The pause before the store is asked again after it did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Work on one job.
struct Run {
    jobs: Jobs,
    lease: Lease,
    tracker: Tracker,
    published: watch::Sender<Arc<Progress>>,
    stop: watch::Receiver<Option<Stop>>,
}

/// Takes a job off the list of those that run here once work on it has ended, however it ends.
struct Registered {
    jobs: Jobs,
    job: String,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.jobs.running().remove(&self.job);
        self.jobs.0.wake.notify_one();
    }
}

/// How work on a job has ended.
enum Ended {
    /// All items are over. With an error, none of them has a result.
    Done(Option<String>),
    /// The job was cancelled.
    Cancelled,
    /// The request cannot be used by this release.
    Failed(String),
    /// This process goes on no further, and the job does.
    Left(Stop),
}

impl Jobs {
    /// Works on a job that was claimed with `token`, until it is over, another process has it, or the process stops.
    pub(super) async fn work_on(self, job: Job, token: String) {
        let lease = Lease { job: job.id.clone(), token: token.clone() };
        let (published, progress) = watch::channel(Arc::default());
        let (stop_sender, stop) = watch::channel(None);
        let running = Running { token, progress, stop: stop_sender.clone() };
        self.running().insert(job.id.clone(), running);
        let _registered = Registered { jobs: self.clone(), job: job.id.clone() };
        let mut run =
            Run { jobs: self.clone(), lease: lease.clone(), tracker: Tracker::new(0, Vec::new()), published, stop };
        let renewal = self.renew(&lease, &stop_sender);
        let ended = tokio::select! {
            ended = run.items(job) => ended,
            never = renewal => match never {},
        };
        match ended {
            Ok(ended) => run.end(ended).await,
            Err(stop) => run.end(Ended::Left(stop)).await,
        }
    }

    /// Renews a lease until the work on its job ends, and passes on that somebody has cancelled the job.
    async fn renew(&self, lease: &Lease, stop: &watch::Sender<Option<Stop>>) -> std::convert::Infallible {
        let ask = |reason: Stop| stop.send_if_modified(|stop| stop.is_none() && stop.replace(reason).is_none());
        loop {
            tokio::select! {
                () = self.0.stopping.cancelled() => {
                    ask(Stop::Shutdown);
                    std::future::pending::<()>().await;
                }
                () = sleep(RENEWAL_INTERVAL) => {}
            }
            let progress = self.running().get(&lease.job).map(|running| Arc::clone(&running.progress.borrow()));
            let Some(Ok(progress)) = progress.map(|progress| stored(&progress)) else { continue };
            match self.0.store.renew_lease(lease.clone(), progress).await {
                Ok(Some(false)) => {}
                Ok(Some(true)) => _ = ask(Stop::Cancelled),
                Ok(None) => _ = ask(Stop::Lost),
                Err(error) => {
                    debug!(
                        job = lease.job,
                        cause = chain(&error).to_string(),
                        "could not renew the lease of a job yet"
                    );
                }
            }
        }
    }
}

impl Run {
    async fn items(&mut self, job: Job) -> Result<Ended, Stop> {
        if job.cancel_requested {
            return Ok(Ended::Cancelled);
        }
        let request = match self.request(&job) {
            Ok(request) => request,
            Err(error) => return Ok(Ended::Failed(error)),
        };
        self.tracker = Tracker::new(request.planned(), request.warnings.clone());
        self.publish();
        let known = self.known_items().await?;
        let (mut results, mut first_error) = (0, None);
        for (number, item) in request.items.iter().enumerate() {
            self.tracker.item_begins(item.planned as u64);
            let begun = known.iter().find(|known| usize::try_from(known.item) == Ok(number));
            let error = match begun.filter(|begun| begun.is_over) {
                Some(over) => self.was_over(over),
                None => self.item(&request, number, item, begun).await?,
            };
            match error {
                None => results += 1,
                Some(error) => _ = first_error.get_or_insert(error),
            }
            self.publish();
        }
        Ok(Ended::Done(if results > 0 { None } else { first_error }))
    }

    /// The request, parsed again as it was when it came.
    fn request(&self, job: &Job) -> Result<JobRequest, String> {
        let parsed = || -> Result<JobRequest, JobsError> {
            let json = answer::request(job)?.to_string();
            let research = &self.jobs.0.research;
            // Without this process' own limit, because the one that took the job may allow more.
            Ok(JobRequest::parse(json.as_bytes(), research.strategies(), usize::MAX)?)
        };
        parsed().map_err(|error| format!("This process cannot work on the job: {}", sentence(&error)))
    }

    /// Counts an item that an earlier process has finished. Returns its error, if it has no result.
    fn was_over(&mut self, over: &JobItem) -> Option<String> {
        let summary = decompressed(&over.summary).and_then(|json| serde_json::from_slice(&json).map_err(unreadable));
        let summary: Value = summary.unwrap_or_default();
        let winner = &summary["winner"];
        let best = winner.is_object().then(|| BestPoint {
            item: usize::try_from(over.item).unwrap_or_default(),
            parameters: winner["parameters"].clone(),
            objective: winner["objective"].as_f64(),
        });
        self.tracker.item_was_over(summary["trials"].as_u64().unwrap_or_default(), best);
        summary["error"].as_str().map(str::to_owned)
    }

    /// Searches one item and stores its result. Returns its error, if it has no result.
    async fn item(
        &mut self,
        request: &JobRequest,
        number: usize,
        item: &ItemRequest,
        begun: Option<&JobItem>,
    ) -> Result<Option<String>, Stop> {
        let (summary, evaluations, made, best, error) = match self.searched(request, number, item, begun).await? {
            Outcome::Cancelled => return Err(Stop::Cancelled),
            Outcome::Over { summary, evaluations, trials, best } => (summary, evaluations, trials, best, None),
            Outcome::Failed(error) => {
                let summary = json!({
                    "item": number,
                    "strategy": item.strategy.id(),
                    "symbol": item.series.key.symbol.as_str(),
                    "timeframe": item.series.key.timeframe.name(),
                    "state": "failed",
                    "error": error,
                });
                (summary.to_string().into_bytes(), b"{}".to_vec(), 0, None, Some(error))
            }
        };
        let packed = spawn_blocking(move || Some((compressed(&summary).ok()?, compressed(&evaluations).ok()?)));
        let Some((summary, evaluations)) = packed.await.ok().flatten() else { return Err(Stop::Shutdown) };
        self.write(Write::EndItem { item: place(number), summary, evaluations }).await?;
        metrics::counter!(EVALUATIONS).increment(made);
        self.tracker.item_ends(made, best);
        Ok(error)
    }

    async fn searched(
        &mut self,
        request: &JobRequest,
        number: usize,
        item: &ItemRequest,
        begun: Option<&JobItem>,
    ) -> Result<Outcome, Stop> {
        let loaded = match self.candles(request, item).await? {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Outcome::Failed(sentence(&error))),
        };
        let mut run = ItemRun { number, item: item.clone(), search: request.search, loaded, warnings: Vec::new() };
        let fingerprint = run.fingerprint();
        if begun.and_then(pinned).is_some_and(|pinned| pinned != fingerprint) {
            let warning = format!(
                "The candles of {} {} were changed after the search had begun, so it was begun again on those of now.",
                item.series.key.symbol, item.series.key.timeframe
            );
            self.tracker.warn(format!("Item {number}: {warning}"));
            run.warnings.push(warning);
        }
        let pin = json!({"item": number, "fingerprint": fingerprint, "warnings": run.warnings}).to_string();
        let Ok(pin) = compressed(pin.as_bytes()) else { return Err(Stop::Shutdown) };
        self.write(Write::BeginItem { item: place(number), summary: pin }).await?;
        self.search(run).await
    }

    /// The candles of an item. Waits for a store that does not answer.
    async fn candles(
        &mut self,
        request: &JobRequest,
        item: &ItemRequest,
    ) -> Result<Result<Loaded, ResearchError>, Stop> {
        let columns = self.jobs.0.research.columns().clone();
        loop {
            let asked = item::columns(item, &request.search);
            let loaded = tokio::select! {
                loaded = columns.load(asked) => loaded,
                stop = self.stopped() => return Err(stop),
            };
            match loaded {
                Err(ResearchError::Store(error) | ResearchError::Query(QueryError::Store(error))) => {
                    self.pause(&error).await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// Runs a search on a thread of its own, whose evaluations run on those of the pool.
    async fn search(&mut self, run: ItemRun) -> Result<Outcome, Stop> {
        let flag = Arc::new(StopFlag::default());
        let (reports, mut reported) = watch::channel(None);
        let (done, mut result) = oneshot::channel();
        let (jobs, stop_flag) = (self.jobs.clone(), Arc::clone(&flag));
        let started = crate::research::Threads::spawn("search-item", move || {
            let mut report = |done, total, best| _ = reports.send(Some((done, total, best)));
            let outcome = match jobs.0.research.threads().searches() {
                Some(pool) => run.run(pool, &jobs.0.cache, &stop_flag, &mut report),
                None => Outcome::Cancelled,
            };
            let _ = done.send(outcome);
        });
        if let Err(error) = started {
            return Ok(Outcome::Failed(format!("The system started no thread for the search: {error}.")));
        }
        let deadline = Instant::now() + self.jobs.0.config.max_item_time;
        let mut stopped = None;
        loop {
            tokio::select! {
                outcome = &mut result => {
                    if let Some(stop) = stopped {
                        return Err(stop);
                    }
                    let broken = || Outcome::Failed("The search broke off, which is a fault of the service.".to_owned());
                    return Ok(outcome.unwrap_or_else(|_| broken()));
                }
                Ok(()) = reported.changed() => {
                    let report = reported.borrow_and_update().clone();
                    if let Some((done, total, best)) = report {
                        self.tracker.item_runs(done, total, best);
                        self.publish();
                    }
                }
                stop = self.stopped(), if stopped.is_none() => {
                    flag.stop(StopReason::Cancelled);
                    // The search may take a moment to see the flag, which others need not wait for.
                    if stop != Stop::Cancelled {
                        return Err(stop);
                    }
                    stopped = Some(stop);
                }
                () = sleep_until(deadline), if flag.reason().is_none() => flag.stop(StopReason::OutOfTime),
            }
        }
    }

    /// Returns once this process is to stop working on the job.
    async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            _ => Stop::Shutdown,
        }
    }

    /// The items of the job that have begun before. Waits for a store that does not answer.
    async fn known_items(&self) -> Result<Vec<JobItem>, Stop> {
        loop {
            match self.jobs.0.store.job_items(self.lease.job.clone()).await {
                Ok(items) => return Ok(items),
                Err(error) => self.pause(&error).await?,
            }
        }
    }

    /// Repeats a write until it is done, or another process has the job. A lease that has expired while the store was away is
    /// renewed first.
    async fn write(&self, write: Write) -> Result<(), Stop> {
        loop {
            match write.clone().send(&self.jobs.0.store, self.lease.clone()).await {
                Ok(true) => return Ok(()),
                Ok(false) => self.renew().await?,
                Err(error) => self.pause(&error).await?,
            }
        }
    }

    async fn renew(&self) -> Result<(), Stop> {
        loop {
            let progress = stored(self.tracker.progress()).unwrap_or_default();
            match self.jobs.0.store.renew_lease(self.lease.clone(), progress).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => return Err(Stop::Lost),
                Err(error) => self.pause(&error).await?,
            }
        }
    }

    /// Waits before the store is asked again.
    async fn pause(&self, error: &StoreError) -> Result<(), Stop> {
        debug!(job = self.lease.job, cause = chain(error).to_string(), "a job waits for the store");
        tokio::select! {
            () = sleep(RETRY_DELAY) => Ok(()),
            stop = self.stopped() => match stop {
                // A cancelled job is still ended properly.
                Stop::Cancelled => {
                    sleep(RETRY_DELAY).await;
                    Ok(())
                }
                stop => Err(stop),
            },
        }
    }

    fn publish(&self) {
        self.published.send_replace(Arc::new(self.tracker.progress().clone()));
    }

    async fn end(&mut self, ended: Ended) {
        let (state, error) = match ended {
            Ended::Left(Stop::Lost) => {
                warn!(
                    job = self.lease.job,
                    "another process has taken the job over, because the lease was not renewed in time"
                );
                return;
            }
            Ended::Left(Stop::Shutdown) => {
                if let Err(error) = self.jobs.0.store.release_lease(self.lease.clone()).await {
                    debug!(
                        job = self.lease.job,
                        cause = chain(&error).to_string(),
                        "the lease of a job expires by itself"
                    );
                }
                return;
            }
            Ended::Cancelled | Ended::Left(Stop::Cancelled) => (JobState::Cancelled, None),
            Ended::Done(None) => (JobState::Done, None),
            Ended::Done(Some(error)) | Ended::Failed(error) => (JobState::Failed, Some(error)),
        };
        self.publish();
        let Ok(progress) = stored(self.tracker.progress()) else { return };
        let end = JobEnd { state, error, progress, retention: self.jobs.0.config.retention };
        if self.write(Write::EndJob(end)).await.is_ok() {
            count_end(state);
            info!(
                job = self.lease.job,
                state = state.name(),
                evaluations = self.tracker.progress().done,
                "a job has ended"
            );
        }
    }
}

/// The hash of the candles on which an item began.
fn pinned(begun: &JobItem) -> Option<String> {
    let pin: Value = serde_json::from_slice(&decompressed(&begun.summary).ok()?).ok()?;
    pin["fingerprint"].as_str().map(str::to_owned)
}

fn place(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn count_end(state: JobState) {
    match state {
        JobState::Done => JobsEnded::Done.count(1),
        JobState::Failed => JobsEnded::Failed.count(1),
        JobState::Cancelled => JobsEnded::Cancelled.count(1),
        JobState::Queued | JobState::Running => {}
    }
}
