//! Jobs of research, their items and their files. A process works on a job under a lease: a random token and the time until which
//! it counts, both by the database's clock. What a job finds is written under an unexpired lease alone, so that a process that was
//! thought dead changes nothing after another one has taken over.

use std::time::Duration;

use super::{Database, Store, StoreError, either};

/// The time for which a claim counts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(30);
/// The number of claims after which a job that never ends has failed.
pub const MAX_ATTEMPTS: i64 = 3;
/// The time for which a repeated idempotency key means the same job.
pub const IDEMPOTENCY: Duration = Duration::from_hours(24);
/// The maximum number of rows that a statement of the sweep deletes.
pub const SWEEP_ROWS: i64 = 500;

/// The error of a job that was claimed [`MAX_ATTEMPTS`] times.
pub(super) const GIVEN_UP: &str = "The job was begun 3 times, and each time the process that worked on it ended, or lost the database, before the job was done.";

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum JobState {
    /// It waits for a process.
    Queued,
    /// A process works on it, or did until its lease expired.
    Running,
    /// It is over, and at least one of its items has a result.
    Done,
    /// It is over without a result.
    Failed,
    /// Somebody cancelled it. The items that were over before have their results.
    Cancelled,
}

impl JobState {
    /// Its name in the table and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True if nothing will change any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A job to be queued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Random.
    pub id: String,
    /// The name of the key that starts it.
    pub owner: String,
    /// A name that people gave it.
    pub name: Option<String>,
    /// The key by which its client repeats the request.
    pub idempotency: Option<String>,
    /// Higher ones are worked on first.
    pub priority: i32,
    /// Compressed JSON.
    pub request: Vec<u8>,
    /// The hash of the request, by which a repetition is recognized.
    pub request_hash: Vec<u8>,
    /// The evaluations that it will make, as far as that is known.
    pub total: i64,
    /// The number of queued jobs of this owner from which on no further one is queued.
    pub max_queued: usize,
}

/// The outcome of queueing a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobAdded {
    /// It waits now.
    Queued,
    /// There is a job of the same owner with the same idempotency key.
    Known {
        /// Its id.
        id: String,
        /// True if it has the same request.
        is_same: bool,
    },
    /// The owner has too many queued jobs.
    Full,
}

/// A job as it is stored. Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Random.
    pub id: String,
    /// The name of the key that started it.
    pub owner: String,
    /// A name that people gave it.
    pub name: Option<String>,
    /// Its state.
    pub state: JobState,
    /// Its place in the queue, from 1 on, while it is queued.
    pub position: Option<i64>,
    /// Higher ones are worked on first.
    pub priority: i32,
    /// Compressed JSON; absent in lists.
    pub request: Option<Vec<u8>>,
    /// The time at which it was queued.
    pub created: i64,
    /// The time at which it was first claimed.
    pub started: Option<i64>,
    /// The time at which it was over.
    pub finished: Option<i64>,
    /// The time from which on it may be deleted.
    pub expires: Option<i64>,
    /// True once somebody has cancelled it.
    pub cancel_requested: bool,
    /// The number of times that it was claimed.
    pub attempts: i64,
    /// Evaluations made.
    pub done: i64,
    /// Evaluations to be made, as far as that is known.
    pub total: i64,
    /// Compressed JSON of the process that works on it.
    pub summary: Option<Vec<u8>>,
    /// A sentence, if it failed.
    pub error: Option<String>,
}

/// The jobs that are asked for.
#[derive(Debug, Clone)]
pub struct JobsSelection {
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those that are older than the job with this id.
    pub before: Option<String>,
    /// The maximum number of jobs.
    pub limit: usize,
}

/// A claim on a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: String,
    /// Random.
    pub token: String,
}

/// The progress of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// Evaluations made.
    pub done: i64,
    /// Evaluations to be made, as far as that is known.
    pub total: i64,
    /// Compressed JSON.
    pub summary: Vec<u8>,
}

/// The end of a job.
#[derive(Debug, Clone)]
pub struct JobEnd {
    /// A state in which it is over.
    pub state: JobState,
    /// A sentence, if it failed.
    pub error: Option<String>,
    /// Its progress.
    pub progress: JobProgress,
    /// The time until it may be deleted.
    pub retention: Duration,
}

/// An item of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobItem {
    /// Its place in the request.
    pub item: i32,
    /// Compressed JSON.
    pub summary: Vec<u8>,
    /// True if it has its result. Otherwise the summary holds what it began on.
    pub is_over: bool,
}

/// A file to be kept.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Random.
    pub id: String,
    /// The job that it was made of.
    pub job: String,
    /// The owner of that job.
    pub owner: String,
    /// The name under which browsers save it.
    pub name: String,
    /// Its media type.
    pub mime: String,
    /// The hash of its bytes.
    pub sha256: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// The time until it may be deleted, unless its job is deleted before.
    pub retention: Duration,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The name under which browsers save it.
    pub name: String,
    /// Its media type.
    pub mime: String,
    /// The hash of its bytes.
    pub sha256: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The numbers of rows in the tables of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Queued jobs.
    pub queued: i64,
    /// Jobs that a process works on.
    pub running: i64,
    /// Files.
    pub files: i64,
    /// Bytes of the files.
    pub bytes: i64,
}

/// The rows that a sweep deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Items of jobs that have expired.
    Items,
    /// Files that have expired, and those of jobs that have.
    Files,
    /// Jobs that have expired and have no items and no files any more.
    Jobs,
}

impl Store {
    /// Queues a job, unless its owner has too many queued ones or has repeated an idempotency key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_job(&self, job: NewJob) -> Result<JobAdded, StoreError> {
        self.measured("add_job", async { either!(self, store => store.add_job(job).await) }).await
    }

    /// The job with this id, if it is the owner's. Without an owner, anybody's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job(&self, id: String, owner: Option<String>) -> Result<Option<Job>, StoreError> {
        self.measured("job", async { either!(self, store => store.job(id, owner).await) }).await
    }

    /// Jobs, newest first, without their requests.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn jobs(&self, selection: JobsSelection) -> Result<Vec<Job>, StoreError> {
        self.measured("jobs", async { either!(self, store => store.jobs(selection).await) }).await
    }

    /// The items of a job that have begun, without their evaluations.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_items(&self, job: String) -> Result<Vec<JobItem>, StoreError> {
        self.measured("job_items", async { either!(self, store => store.job_items(job).await) }).await
    }

    /// The evaluations of an item that is over, in compressed JSON.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn evaluations(&self, job: String, item: i32) -> Result<Option<Vec<u8>>, StoreError> {
        self.measured("evaluations", async { either!(self, store => store.evaluations(job, item).await) }).await
    }

    /// Claims the queued job that is next: of the highest priority, then the oldest. No two callers get the same one, and jobs with an
    /// id in `except` are left to others.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_job(&self, token: String, except: Vec<String>) -> Result<Option<Job>, StoreError> {
        self.measured("claim_job", async { either!(self, store => store.claim_job(token, except).await) }).await
    }

    /// Queues the jobs whose lease has expired again, ends those that somebody cancelled or that were claimed too often, and returns the
    /// number of all of them. Those that this process works on, by the tokens of their leases, stay as they are.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn requeue_expired(&self, own_tokens: Vec<String>, retention: Duration) -> Result<u64, StoreError> {
        let requeue = async { either!(self, store => store.requeue_expired(own_tokens, retention).await) };
        self.measured("requeue_expired", requeue).await
    }

    /// Renews a lease and stores how far its job is. Returns whether somebody has cancelled the job; `None` if another process has
    /// claimed it or it is over.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn renew_lease(&self, lease: Lease, progress: JobProgress) -> Result<Option<bool>, StoreError> {
        self.measured("renew_lease", async { either!(self, store => store.renew_lease(lease, progress).await) }).await
    }

    /// Queues a job again that this process cannot go on with, without counting the attempt.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.measured("release_lease", async { either!(self, store => store.release_lease(lease).await) }).await
    }

    /// Notes what an item begins on, in compressed JSON. Returns false, and writes nothing, if the lease has expired.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_item(&self, lease: Lease, item: i32, summary: Vec<u8>) -> Result<bool, StoreError> {
        let begin = async { either!(self, store => store.keep_item(lease, item, summary, None).await) };
        self.measured("begin_item", begin).await
    }

    /// Stores the result of an item, in compressed JSON. Returns false, and writes nothing, if the lease has expired.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_item(
        &self,
        lease: Lease,
        item: i32,
        summary: Vec<u8>,
        evaluations: Vec<u8>,
    ) -> Result<bool, StoreError> {
        let end = async { either!(self, store => store.keep_item(lease, item, summary, Some(evaluations)).await) };
        self.measured("end_item", end).await
    }

    /// Ends a job. Returns false, and writes nothing, if the lease has expired.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_job(&self, lease: Lease, end: JobEnd) -> Result<bool, StoreError> {
        self.measured("end_job", async { either!(self, store => store.end_job(lease, end).await) }).await
    }

    /// Cancels a job of the owner: a queued one at once, and a running one as soon as its process sees it. Returns the state of the job
    /// after that, or `None` if there is no such job.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn cancel_job(
        &self,
        id: String,
        owner: String,
        retention: Duration,
    ) -> Result<Option<JobState>, StoreError> {
        self.measured("cancel_job", async { either!(self, store => store.cancel_job(id, owner, retention).await) })
            .await
    }

    /// Keeps a file. Returns false, and writes nothing, if its job has expired or there is a file with its id that has not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_file(&self, file: NewFile) -> Result<bool, StoreError> {
        self.measured("add_file", async { either!(self, store => store.add_file(file).await) }).await
    }

    /// The file with this id that has not expired, if it is the owner's. Without an owner, anybody's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn file(&self, id: String, owner: Option<String>) -> Result<Option<StoredFile>, StoreError> {
        self.measured("file", async { either!(self, store => store.file(id, owner).await) }).await
    }

    /// Counts jobs and files.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        self.measured("job_counts", async { either!(self, store => store.job_counts().await) }).await
    }

    /// Deletes what has expired, at most [`SWEEP_ROWS`] rows, and returns their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete_expired(&self, expired: Expired) -> Result<u64, StoreError> {
        self.measured("delete_expired", async { either!(self, store => store.delete_expired(expired).await) }).await
    }

    /// True if other processes may work on the same jobs.
    #[must_use]
    pub fn shares_jobs(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }
}

/// Whole seconds, as statements take them.
pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
