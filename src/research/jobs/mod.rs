//! Jobs of research: searches that go on in the background.
//!
//! A job is a row in the store, so it survives restarts and any process on the database may work on it. Each process claims the next
//! job under a lease. What a job found is a function of its request and its candles alone, so that one that is begun again ends with the
//! same bytes.
//!
//! 1. [`request`] and [`search`]: the body of a request, the items of a job, and how they are searched.
//! 2. [`item`]: one item, from its candles to the JSON of its result; [`indicators`]: what items share.
//! 3. [`progress`]: how far a job is.
//! 4. [`queue`]: starting, finding and cancelling jobs.
//! 5. [`worker`], [`run`] and [`writes`]: claiming jobs, working on one, and storing what it found.
//! 6. [`answer`] and [`results`]: jobs and what they found, as JSON and CSV.
//! 7. [`events`]: a stream of what happens to a job.
//! 8. [`exports`] and [`pdf`]: files of results.
//! 9. [`sweep`]: deleting what has expired.

mod answer;
mod events;
mod exports;
mod indicators;
mod item;
mod pdf;
mod progress;
mod queue;
mod request;
mod results;
mod run;
mod search;
mod sweep;
mod worker;
mod writes;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{Research, ResearchError};
use crate::config::JobsConfig;
use crate::store::{JobCounts, Store, StoreError};
use indicators::Indicators;
use progress::Progress;

pub(crate) use events::MAX_EVENT_STREAMS;
pub(crate) use queue::{JobsQuery, Started};
pub(crate) use results::ResultsFormat;

/// The reason for which a request about jobs was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobsError {
    /// The request cannot be used.
    #[error(transparent)]
    Request(#[from] ResearchError),
    /// There is no such job, or it is another key's.
    #[error(
        "there is no such job of this key; jobs are deleted some time after their end, which their field expires tells"
    )]
    UnknownJob,
    /// The job has no such item, or the item has no such result.
    #[error("{0}")]
    NoResult(String),
    /// There is no such file, or it is another key's.
    #[error(
        "there is no such file of this key; files are deleted together with their job or some time after they were made, so export it again"
    )]
    UnknownFile,
    /// The key has too many queued jobs.
    #[error("this key has {0} queued jobs, which is the most; wait until one begins, or cancel one")]
    QueueFull(usize),
    /// The idempotency key came with another request before.
    #[error(
        "the Idempotency-Key was sent with another request within the last 24 hours; use a new one for a new request"
    )]
    IdempotencyMismatch,
    /// This replica computes nothing.
    #[error("this replica computes nothing, because RESEARCH_THREADS is 0; ask another one for exports")]
    Off,
    /// Too many streams are open.
    #[error(
        "{MAX_EVENT_STREAMS} streams of jobs are open, which is the most; read the job itself instead, or try again later"
    )]
    TooManyStreams,
    /// The system provides no randomness.
    #[error("the system provides no randomness")]
    Randomness(#[source] io::Error),
    /// Something that was stored cannot be read.
    #[error("the stored job cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for JobsError {
    fn from(error: StoreError) -> Self {
        Self::Request(error.into())
    }
}

/// The jobs of a process. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Jobs(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    research: Research,
    config: JobsConfig,
    indicators: Arc<Indicators>,
    /// The jobs that this process works on.
    running: Mutex<HashMap<String, Running>>,
    /// Wakes the worker.
    wake: Notify,
    /// One permit for each stream of events.
    streams: Arc<Semaphore>,
    /// The rows of the tables at the last count.
    counted: Mutex<JobCounts>,
    /// The jobs that this process leaves to others, because it does not know their strategies, the newest last.
    left: Mutex<VecDeque<String>>,
    /// The ids of jobs on which work begins or ends here.
    changes: broadcast::Sender<String>,
    stopping: CancellationToken,
}

/// A job that this process works on.
#[derive(Debug, Clone)]
struct Running {
    token: String,
    progress: watch::Receiver<Arc<Progress>>,
    stop: watch::Sender<Option<Stop>>,
}

/// The reason for which this process stops working on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// The process stops.
    Shutdown,
    /// Another process has claimed the job.
    Lost,
    /// The process does not know a strategy of the job.
    Foreign,
    /// The service failed, so that waiting does not help.
    Fault,
}

impl Jobs {
    /// The jobs in `store`. No work begins before [`Self::work`].
    pub(crate) fn new(store: Store, research: Research, config: JobsConfig, stopping: CancellationToken) -> Self {
        Self(Arc::new(Parts {
            store,
            config,
            indicators: Indicators::new(research.memory_bytes()),
            research,
            running: Mutex::default(),
            wake: Notify::new(),
            streams: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            counted: Mutex::default(),
            left: Mutex::default(),
            changes: broadcast::Sender::new(MAX_UNSEEN_CHANGES),
            stopping,
        }))
    }

    /// The state for operators.
    pub(crate) fn state(&self) -> JobsState {
        let running = self.running();
        let rates = running.values().map(|running| running.progress.borrow().evaluations_per_second);
        JobsState {
            threads: self.0.research.threads().count(),
            running_here: running.len(),
            evaluations_per_second: rates.fold(0.0, |all, rate| all + rate),
            counts: *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Lets streams know that work on a job has begun or ended here.
    fn changed(&self, job: &str) {
        // Nobody may listen.
        let _ = self.0.changes.send(job.to_owned());
    }

    /// Leaves a job to other processes.
    fn leave(&self, job: &str) {
        let mut left = self.0.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() == MAX_LEFT {
            left.pop_front();
        }
        left.push_back(job.to_owned());
    }

    fn left(&self) -> Vec<String> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of jobs, for operators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobsState {
    /// Threads that compute.
    pub(crate) threads: usize,
    /// Jobs that this process works on.
    pub(crate) running_here: usize,
    /// The evaluations of these jobs.
    pub(crate) evaluations_per_second: f64,
    /// The rows of the tables at the last count.
    pub(crate) counts: JobCounts,
}

/// The maximum number of jobs that are remembered to be left to other processes. One that is forgotten is claimed and left once more.
const MAX_LEFT: usize = 1_000;
/// The changes that a stream may be behind before it looks at its job all the same.
const MAX_UNSEEN_CHANGES: usize = 64;

/// The alphabet of ids: digits and lower-case letters without those that look alike (Crockford's base32).
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The number of characters of an id, which hold 128 bits.
const ID_CHARS: u32 = 26;

/// 128 bits as 26 characters.
fn id_of(bits: u128) -> String {
    let five_bits = |place: u32| usize::try_from((bits >> (5 * (ID_CHARS - 1 - place))) & 31).unwrap_or_default();
    let character = |place: u32| char::from(BASE32[five_bits(place)]);
    (0..ID_CHARS).map(character).collect()
}

/// 128 random bits as 26 characters.
fn random_id() -> Result<String, JobsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| JobsError::Randomness(error.into()))?;
    Ok(id_of(u128::from_be_bytes(bytes)))
}

/// The level of compression, at which a megabyte takes some milliseconds.
const COMPRESSION_LEVEL: i32 = 3;

fn compressed(json: &[u8]) -> Result<Vec<u8>, JobsError> {
    zstd::encode_all(json, COMPRESSION_LEVEL).map_err(|error| JobsError::Unreadable(error.into()))
}

fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, JobsError> {
    zstd::decode_all(bytes).map_err(|error| JobsError::Unreadable(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_have_26_characters() {
        let ids: Vec<String> = (0..100).map(|_| random_id().unwrap()).collect();
        assert!(ids.iter().all(|id| id.len() == 26 && id.bytes().all(|byte| BASE32.contains(&byte))));
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    }
}
