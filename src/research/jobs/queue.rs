//! Starting, finding and cancelling jobs.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::{JobAnswer, JobLine};
use super::request::JobRequest;
use super::{Jobs, JobsError, Stop, compressed, random_id};
use crate::query::{END_MILLISECOND, FIRST_MILLISECOND, Parameters};
use crate::research::answers::{Answer, AnswerKey};
use crate::research::requests::SeriesRequest;
use crate::research::{ResearchError, body};
use crate::store::{Direction, Job, JobAdded, JobState, JobsSelection, NewJob, Range};
use crate::telemetry::spans::spawn_blocking;
use candle::{Rule, ValueError};

/// The number of jobs of a list, and its maximum.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: u64 = 200;

/// Jobs are counted and queued one after the other in a process, so that two requests do not both get the last place of a key.
static QUEUEING: Mutex<()> = Mutex::const_new(());

/// A job that a request has started, now or before.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) state: JobState,
    /// Its place in the queue, from 1 on, while it is queued.
    pub(crate) position: Option<i64>,
}

/// The jobs that a query string asks for.
#[derive(Debug)]
pub(crate) struct JobsQuery {
    state: Option<JobState>,
    limit: usize,
    before: Option<String>,
}

impl JobsQuery {
    /// Reads a query string.
    ///
    /// # Errors
    /// When the parameters are invalid.
    pub(crate) fn parse(query: &str) -> Result<Self, ResearchError> {
        let mut parameters = Parameters::read(query, &["state", "limit", "before"]);
        let state = parameters.optional("state", |text| {
            let rule = || {
                ValueError::new(Rule::WrongType, "must be one of queued, running, done, failed, cancelled".to_owned())
            };
            text.parse::<JobState>().map_err(|_| rule())
        });
        let limit = parameters.optional("limit", |text| body::parse_whole(text, 1..=MAX_LIMIT));
        let before = parameters.optional("before", |text| {
            let is_id = text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_id
                .then(|| text.to_owned())
                .ok_or_else(|| ValueError::new(Rule::WrongType, "must be the id of a job".to_owned()))
        });
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
        parameters.valid(Self { state, limit, before }).map_err(ResearchError::Fields)
    }
}

/// A request with its hash, and as it is stored.
async fn packed(request: JobRequest) -> Result<(JobRequest, Vec<u8>, Vec<u8>), JobsError> {
    let pack = move || {
        let hash = Sha256::digest(request.json.to_string()).to_vec();
        let packed = compressed(request.stored().to_string().as_bytes())?;
        Ok((request, hash, packed))
    };
    spawn_blocking(pack).await.map_err(|error| JobsError::Unreadable(error.into()))?
}

impl Jobs {
    /// Queues the job that a body asks for, under the name of the key that sent it.
    ///
    /// # Errors
    /// When the request is invalid, the queue is full, the idempotency key came with another request, or the store does not answer.
    pub(crate) async fn start(
        &self,
        body: Vec<u8>,
        owner: &str,
        idempotency: Option<String>,
    ) -> Result<Started, JobsError> {
        let config = &self.0.config;
        let request = self.parsed(body, config.max_evaluations).await?;
        self.check_series(&request).await?;
        let (request, request_hash, packed) = packed(request).await?;
        let job = NewJob {
            id: random_id()?,
            owner: owner.to_owned(),
            name: request.name.clone(),
            idempotency,
            priority: request.priority,
            request_hash,
            request: packed,
            total: i64::try_from(request.planned()).unwrap_or(i64::MAX),
            max_queued: config.max_queued,
        };
        let id = job.id.clone();
        let added = {
            let _turn = QUEUEING.lock().await;
            self.0.store.add_job(job).await?
        };
        let id = match added {
            JobAdded::Queued => {
                self.0.wake.notify_one();
                id
            }
            JobAdded::Known { id, is_same: true } => id,
            JobAdded::Known { is_same: false, .. } => return Err(JobsError::IdempotencyMismatch),
            JobAdded::Full => return Err(JobsError::QueueFull(config.max_queued)),
        };
        let job = self.0.store.job(id, Some(owner.to_owned())).await?.ok_or(JobsError::UnknownJob)?;
        Ok(Started { id: job.id, state: job.state, position: job.position })
    }

    /// The request of a job, parsed again as it was when it came.
    pub(super) async fn parsed_again(&self, json: &Value) -> Result<JobRequest, JobsError> {
        // Without this process' own limit, because the one that took the job may allow more.
        self.parsed(json.to_string().into_bytes(), usize::MAX).await
    }

    /// Parses a request, of which a large one takes some time.
    async fn parsed(&self, body: Vec<u8>, max_evaluations: usize) -> Result<JobRequest, JobsError> {
        let known = self.0.research.strategies().clone();
        let parsed = spawn_blocking(move || JobRequest::parse(&body, &known, max_evaluations)).await;
        Ok(parsed.map_err(|error| JobsError::Unreadable(error.into()))??)
    }

    /// Refuses a job on series of which nothing is stored.
    async fn check_series(&self, request: &JobRequest) -> Result<(), JobsError> {
        let mut checked: Vec<&SeriesRequest> = Vec::new();
        for item in &request.items {
            if checked.contains(&&item.series) {
                continue;
            }
            checked.push(&item.series);
            let range = Range {
                symbol: item.series.key.symbol.clone(),
                timeframe: item.series.stored(),
                start: FIRST_MILLISECOND,
                end: END_MILLISECOND,
                direction: Direction::Descending,
                limit: 1,
            };
            if self.0.store.range(range).await?.is_empty() {
                return Err(ResearchError::UnknownSeries(item.series.key.clone()).into());
            }
        }
        Ok(())
    }

    /// The job with this id, as the bytes of an answer. Without an owner, anybody's. That of a job that is over is kept for a moment.
    ///
    /// # Errors
    /// When there is no such job, or the store does not answer.
    pub(crate) async fn get(&self, id: &str, owner: Option<&str>) -> Result<Bytes, JobsError> {
        let began = Instant::now();
        let answers = self.0.research.answers();
        let key = AnswerKey::Job(id.to_owned(), owner.map(str::to_owned));
        if let Some(answer) = answers.recent(&key, began) {
            return Ok(answer.body);
        }
        let job = self.find(id, owner).await?;
        let items = self.0.store.job_items(id.to_owned()).await?;
        let answer = JobAnswer::of(&job, self.progress_of(&job)?, &items, self.0.research.strategies())?;
        let body = serde_json::to_vec(&answer).map_err(|error| JobsError::Unreadable(error.into()))?;
        let body = Bytes::from(body);
        if job.state.is_over() {
            answers.keep(key, began, Answer { body: body.clone(), skipped: None });
        }
        Ok(body)
    }

    /// Jobs, newest first. Without an owner, everybody's.
    ///
    /// # Errors
    /// When the query names an unknown job, or the store does not answer.
    pub(crate) async fn list(&self, query: JobsQuery, owner: Option<&str>) -> Result<Vec<JobLine>, JobsError> {
        let owner = owner.map(str::to_owned);
        if let Some(before) = query.before.clone()
            && self.0.store.job(before, owner.clone()).await?.is_none()
        {
            return Err(JobsError::UnknownJob);
        }
        let selection = JobsSelection { owner, state: query.state, before: query.before, limit: query.limit };
        let jobs = self.0.store.jobs(selection).await?;
        jobs.iter().map(|job| Ok(JobLine::of(job, self.progress_of(job)?))).collect()
    }

    /// Cancels a job of the owner, and returns its state after that.
    ///
    /// # Errors
    /// When there is no such job, or the store does not answer.
    pub(crate) async fn cancel(&self, id: &str, owner: &str) -> Result<JobState, JobsError> {
        let cancelled = self.0.store.cancel_job(id.to_owned(), owner.to_owned(), self.0.config.retention).await?;
        let state = cancelled.ok_or(JobsError::UnknownJob)?;
        if state == JobState::Running
            && let Some(running) = self.running().get(id)
        {
            running.stop.send_if_modified(|stop| stop.is_none() && stop.replace(Stop::Cancelled).is_none());
        }
        Ok(state)
    }

    pub(super) async fn find(&self, id: &str, owner: Option<&str>) -> Result<Job, JobsError> {
        self.0.store.job(id.to_owned(), owner.map(str::to_owned)).await?.ok_or(JobsError::UnknownJob)
    }
}
