//! Working on one job: its items one after the other, under its lease.

use std::sync::Arc;
use std::time::Duration;

use research::search::{StopFlag, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::answer::{self, StoredRequest, unreadable};
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

/// The error of a job that the service failed on.
const FAULT: &str = "The service failed on this job, which is a fault of it; its log says more.";

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

impl Registered {
    fn begin(jobs: &Jobs, job: &str, running: Running) -> Self {
        jobs.running().insert(job.to_owned(), running);
        jobs.changed(job);
        Self { jobs: jobs.clone(), job: job.to_owned() }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.jobs.running().remove(&self.job);
        self.jobs.changed(&self.job);
        self.jobs.0.wake.notify_one();
    }
}

/// Gets the evaluations made and planned, and the best point so far.
type Report<'r> = dyn FnMut(u64, u64, Option<BestPoint>) + 'r;

/// The end of the work on a job.
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
        let stored = answer::stored_progress(&job).unwrap_or_default();
        let (published, progress) = watch::channel(Arc::clone(&stored));
        let (stop_sender, stop) = watch::channel(None);
        let running = Running { token, progress, stop: stop_sender.clone() };
        let _registered = Registered::begin(&self, &job.id, running);
        let tracker = Tracker::resumed(Arc::unwrap_or_clone(stored));
        let mut run = Run { jobs: self.clone(), lease: lease.clone(), tracker, published, stop };
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
        let request = match self.request(&job).await {
            Ok(request) => request,
            Err(JobsError::Request(ResearchError::UnknownStrategy { id, .. })) => {
                warn!(
                    job = job.id,
                    strategy = id,
                    "a job is left to other processes, because this one does not know its strategy; STRATEGIES_DIR names own ones"
                );
                return Err(Stop::Foreign);
            }
            Err(JobsError::Request(error)) => {
                return Ok(Ended::Failed(format!("This process cannot work on the job: {}", sentence(&error))));
            }
            Err(error) => return Err(self.fault(&error, "the request of a job cannot be read")),
        };
        let earlier = self.tracker.progress().warnings.clone();
        self.tracker = Tracker::new(request.planned(), request.warnings.clone());
        for warning in earlier {
            self.tracker.warn(warning);
        }
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
    async fn request(&self, job: &Job) -> Result<JobRequest, JobsError> {
        let StoredRequest { json, warnings } = answer::request(job)?;
        Ok(JobRequest { warnings, ..self.jobs.parsed_again(&json).await? })
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
        let pack = move || -> Result<_, JobsError> { Ok((compressed(&summary)?, compressed(&evaluations)?)) };
        let packed = spawn_blocking(pack).await.unwrap_or_else(|error| Err(JobsError::Unreadable(error.into())));
        let (summary, evaluations) = packed.map_err(|error| self.fault(&error, "a result cannot be packed"))?;
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
            Err(error) => return Ok(Outcome::Failed(self.why_not_loaded(&error))),
        };
        let pinned = begun.and_then(Pin::of);
        let warnings = pinned.as_ref().map(|pinned| pinned.warnings.clone()).unwrap_or_default();
        let mut run = ItemRun { number, item: item.clone(), search: request.search, loaded, warnings };
        let fingerprint = run.fingerprint();
        if pinned.is_some_and(|pinned| pinned.fingerprint != fingerprint) {
            let warning = format!(
                "The candles of {} {} were changed after the search had begun, so it was begun again on those of now.",
                item.series.key.symbol, item.series.key.timeframe
            );
            if !run.warnings.contains(&warning) {
                run.warnings.push(warning);
            }
        }
        for warning in &run.warnings {
            self.tracker.warn(format!("Item {number}: {warning}"));
        }
        let pin = json!({"item": number, "fingerprint": fingerprint, "warnings": run.warnings}).to_string();
        let pin =
            compressed(pin.as_bytes()).map_err(|error| self.fault(&error, "the pin of an item cannot be packed"))?;
        self.write(Write::BeginItem { item: place(number), summary: pin }).await?;
        let jobs = self.jobs.clone();
        let counted = jobs.0.indicators.beside(run.loaded.bytes());
        let search = move |stop: &StopFlag, report: &mut Report<'_>| match jobs.0.research.threads().searches() {
            Some(pool) => run.run(pool, counted.cache(), stop, report),
            None => Outcome::Cancelled,
        };
        self.search(search).await
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
                Err(ResearchError::Store(error) | ResearchError::Query(QueryError::Store(error)))
                    if may_answer_later(&error) =>
                {
                    self.pause(&error).await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// The sentence about an item whose candles cannot be loaded.
    fn why_not_loaded(&self, error: &ResearchError) -> String {
        match error {
            ResearchError::TooManyCandles(most) => {
                format!(
                    "There are more than {most} candles in that span, which is the most for an item; shorten the span."
                )
            }
            // Its causes are for the operator.
            ResearchError::Store(_) | ResearchError::Query(_) | ResearchError::Panicked(_) => {
                error!(
                    job = self.lease.job,
                    cause = chain(error).to_string(),
                    "the candles of an item cannot be loaded"
                );
                "The candles could not be loaded, which is a fault of the service; its log says more.".to_owned()
            }
            error => sentence(error),
        }
    }

    /// Logs a failure that waiting does not end.
    fn fault(&self, error: &dyn std::error::Error, what: &str) -> Stop {
        error!(job = self.lease.job, cause = chain(error).to_string(), "{what}");
        Stop::Fault
    }

    /// Runs a search on a thread of its own, whose evaluations run on those of the pool. A panic ends the search alone.
    async fn search(
        &mut self,
        search: impl FnOnce(&StopFlag, &mut Report<'_>) -> Outcome + Send + 'static,
    ) -> Result<Outcome, Stop> {
        let flag = Arc::new(StopFlag::default());
        let (reports, mut reported) = watch::channel(None);
        let (done, mut result) = oneshot::channel();
        let stop_flag = Arc::clone(&flag);
        let started = crate::research::Threads::spawn("search-item", move || {
            let mut report = |done, total, best| _ = reports.send(Some((done, total, best)));
            let _ = done.send(search(&stop_flag, &mut report));
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
                    // The thread has panicked, which the log says.
                    let broken = || "The search broke off, which is a fault of the service; its log says more.".to_owned();
                    return Ok(outcome.unwrap_or_else(|_| Outcome::Failed(broken())));
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

    /// Waits before the store is asked again, if that can help.
    async fn pause(&self, error: &StoreError) -> Result<(), Stop> {
        if !may_answer_later(error) {
            return Err(self.fault(error, "the store failed on a job"));
        }
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
            Ended::Left(stop @ (Stop::Shutdown | Stop::Foreign)) => {
                if stop == Stop::Foreign {
                    // Before it is queued again, so that this process does not claim it once more.
                    self.jobs.leave(&self.lease.job);
                }
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
            Ended::Left(Stop::Fault) => (JobState::Failed, Some(FAULT.to_owned())),
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

/// True if the store may answer later, so that a job waits for it.
fn may_answer_later(error: &StoreError) -> bool {
    !matches!(error, StoreError::Internal(_) | StoreError::ConstraintViolated(_))
}

/// The candles on which an item began.
#[derive(Debug, Deserialize)]
struct Pin {
    /// Their hash.
    fingerprint: String,
    /// Sentences that belong to the item's result.
    #[serde(default)]
    warnings: Vec<String>,
}

impl Pin {
    fn of(begun: &JobItem) -> Option<Self> {
        serde_json::from_slice(&decompressed(&begun.summary).ok()?).ok()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::{DatabaseConfig, JobsConfig, ResearchConfig};
    use crate::research::Research;
    use crate::store::Store;

    /// Jobs that work with two threads on a store that is never asked.
    fn jobs() -> Jobs {
        let store = Store::open(&DatabaseConfig::new("sqlite://nowhere/at/all")).unwrap();
        let config = ResearchConfig { threads: 2, memory_bytes: 1 << 20, strategies_dir: None, signals: None };
        let research = Research::start(&config, store.clone(), Clock::system()).unwrap();
        let hour = Duration::from_hours(1);
        let config =
            JobsConfig { at_once: 2, max_evaluations: 10, max_queued: 1, max_item_time: hour, retention: hour };
        Jobs::new(store, research, config, tokio_util::sync::CancellationToken::new())
    }

    fn run(jobs: &Jobs, job: &str) -> (Run, watch::Sender<Option<Stop>>) {
        let (stopping, stop) = watch::channel(None);
        let run = Run {
            jobs: jobs.clone(),
            lease: Lease { job: job.to_owned(), token: "token".to_owned() },
            tracker: Tracker::resumed(Progress::default()),
            published: watch::channel(Arc::default()).0,
            stop,
        };
        (run, stopping)
    }

    #[tokio::test]
    async fn a_panic_in_a_search_fails_its_item_alone() {
        let jobs = jobs();
        let pool = jobs.0.research.threads();
        let ((mut broken, _broken), (mut other, _other)) = (run(&jobs, "broken"), run(&jobs, "other"));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (of_broken, of_other) = (pool.clone(), pool.clone());
        // On the threads of the pool, as an evaluation is, while another search uses them.
        let breaks = move |_: &StopFlag, _: &mut Report<'_>| {
            of_broken.searches().unwrap().install(|| assert!(std::env::args().count() == 0, "it breaks"));
            Outcome::Cancelled
        };
        let goes_on = move |_: &StopFlag, _: &mut Report<'_>| {
            of_other.searches().unwrap().install(move || released.recv().unwrap());
            Outcome::Failed("It went on.".to_owned())
        };
        let broken = async {
            let outcome = broken.search(breaks).await;
            release.send(()).unwrap();
            outcome
        };
        let (broken, other) = tokio::join!(broken, other.search(goes_on));
        let failed = |outcome| match outcome {
            Ok(Outcome::Failed(sentence)) => sentence,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed(broken), "The search broke off, which is a fault of the service; its log says more.");
        assert_eq!(failed(other), "It went on.");
        // Each thread of the pool answers.
        assert_eq!(pool.searches().unwrap().broadcast(|thread| thread.index()), [0, 1]);
    }

    #[test]
    fn a_job_waits_only_for_a_store_that_may_answer_later() {
        assert!(may_answer_later(&StoreError::unavailable("away")));
        assert!(may_answer_later(&StoreError::misconfigured("a standby of yesterday")));
        assert!(!may_answer_later(&StoreError::internal("an answer cannot be interpreted")));
    }
}
