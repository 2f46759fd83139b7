//! How much is worked on at once. What does not fit is refused at once instead of waiting: a caller learns within
//! milliseconds that it should come again, and memory stays bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::probes;
use crate::http::problem::{Code, Problem};
use crate::http::timeouts::{BODY_TIMEOUT, WORK_TIMEOUT};
use crate::telemetry::metrics::Shed;

/// Requests that are worked on at once.
const MAX_REQUESTS: usize = 1024;
/// Bytes of bodies that are worked on at once. A body comes to up to three times its own size until it is stored
/// (measured, with the smallest candles that there are, each of another symbol of one character).
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of answers that their clients have not taken yet.
const MAX_ANSWER_BYTES: usize = 40 * 1024 * 1024;

/// What is left of the room.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    requests: Semaphore,
    bodies: MemoryBudget,
    answers: MemoryBudget,
}

impl AdmissionControl {
    pub(crate) fn new() -> Self {
        Self {
            requests: Semaphore::new(MAX_REQUESTS),
            bodies: MemoryBudget::new(MAX_BODY_BYTES, Shed::BodyMemory),
            answers: MemoryBudget::new(MAX_ANSWER_BYTES, Shed::AnswerMemory),
        }
    }

    /// Refuses a body for which there is no room now. None is taken: who only announces one keeps nobody else out.
    pub(crate) fn expect_body(&self, bytes: u64) -> Result<(), Problem> {
        let free = self.bodies.units.available_permits() * MemoryBudget::UNIT_BYTES;
        if bytes > free as u64 { Err(overloaded(self.bodies.lack)) } else { Ok(()) }
    }

    /// Takes room for a part of a body. The room is free again when what is returned is dropped.
    pub(crate) fn reserve_body(&self, bytes: usize) -> Result<MemoryPermit, Problem> {
        self.bodies.reserve(bytes)
    }

    /// Takes room for an answer until it has been written to its connection. One that several share takes it for each: who
    /// does not take his keeps it in memory.
    pub(crate) fn reserve_response(&self, answer: Bytes) -> Result<Bytes, Problem> {
        let room = self.answers.reserve(answer.len())?;
        Ok(Bytes::from_owner(Held { answer, _room: room }))
    }
}

/// Bytes and the room that they take. The last part of a connection to drop them gives it back.
struct Held {
    answer: Bytes,
    _room: MemoryPermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

/// MemoryPermit in memory, counted in units.
#[derive(Debug)]
struct MemoryBudget {
    units: Arc<Semaphore>,
    all: u32,
    /// What a refusal for lack of it counts as.
    lack: Shed,
}

/// MemoryPermit that was taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryPermit(#[expect(dead_code, reason = "does its work when it is dropped")] OwnedSemaphorePermit);

impl MemoryBudget {
    const UNIT_BYTES: usize = 1024;

    fn new(bytes: usize, lack: Shed) -> Self {
        let all = u32::try_from(bytes.div_ceil(Self::UNIT_BYTES)).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(all as usize)), all, lack }
    }

    /// What is larger than all of the room takes all of it.
    fn reserve(&self, bytes: usize) -> Result<MemoryPermit, Problem> {
        let units = u32::try_from(bytes.div_ceil(Self::UNIT_BYTES)).unwrap_or(u32::MAX).min(self.all);
        let taken = Arc::clone(&self.units).try_acquire_many_owned(units);
        taken.map(MemoryPermit).map_err(|_| overloaded(self.lack))
    }
}

/// Refuses a body for which the system has no memory.
pub(crate) fn no_memory_for_body() -> Problem {
    overloaded(Shed::BodyMemory)
}

fn overloaded(lack: Shed) -> Problem {
    lack.count(1);
    Problem::new(Code::Overloaded, "The service has no room for this now; send it again after Retry-After.")
}

/// Refuses a request when as many are worked on as should be, and ends one that is worked on for too long.
pub(crate) async fn admit(
    admission_control: &AdmissionControl,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if probes::is_probe(&request) {
        return next(request).await;
    }
    let Ok(_place) = admission_control.requests.try_acquire() else {
        return overloaded(Shed::Requests).into_response();
    };
    let body = if request.body().is_end_stream() { Duration::ZERO } else { BODY_TIMEOUT };
    timeout(body + WORK_TIMEOUT, next(request)).await.unwrap_or_else(|_| given_up().into_response())
}

/// Waits for work on a body that is there.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Problem> {
    timeout(WORK_TIMEOUT, work).await.map_err(|_| given_up())
}

/// That something took so long is a fault of ours, whoever causes it.
fn given_up() -> Problem {
    const DETAIL: &str = "This took too long and was given up; send it again after Retry-After, which is safe.";
    Problem::new(Code::TimedOut, DETAIL).caused_by("nothing ended it within its time".to_owned())
}
