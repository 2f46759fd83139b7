//! Admission control: how many requests, and how many bytes of bodies and answers, are worked on at once. A request that
//! does not fit is refused instead of queued, so that its caller learns within milliseconds to come again, and memory
//! stays bounded.

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

/// The maximum number of requests that are worked on at once.
const MAX_REQUESTS: usize = 1024;
/// The maximum number of bytes of bodies that are worked on at once. Until it is stored, a body takes up to three times its
/// size in memory (measured with the smallest possible candles, each of another symbol of one character).
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// The maximum number of bytes of answers that clients have not received yet.
const MAX_ANSWER_BYTES: usize = 40 * 1024 * 1024;

/// Counts what is worked on.
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

    /// Refuses a body that does not fit now. Reserves nothing, so that a client that only announces a body keeps no other
    /// out.
    pub(crate) fn expect_body(&self, bytes: u64) -> Result<(), Problem> {
        let free = self.bodies.units.available_permits() * MemoryBudget::UNIT_BYTES;
        if bytes > free as u64 { Err(overloaded(self.bodies.lack)) } else { Ok(()) }
    }

    /// Reserves memory for a part of a body until the permit is dropped.
    pub(crate) fn reserve_body(&self, bytes: usize) -> Result<MemoryPermit, Problem> {
        self.bodies.reserve(bytes)
    }

    /// Reserves memory for an answer until it has been written to its connection. An answer that several clients share is
    /// reserved for each of them, because one slow client keeps it in memory.
    pub(crate) fn reserve_response(&self, answer: Bytes) -> Result<Bytes, Problem> {
        let permit = self.answers.reserve(answer.len())?;
        Ok(Bytes::from_owner(Held { answer, _permit: permit }))
    }
}

/// An answer and the permit for its memory. The permit is given back when the last slice of the answer is dropped.
struct Held {
    answer: Bytes,
    _permit: MemoryPermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

/// A bound on memory, counted in units.
#[derive(Debug)]
struct MemoryBudget {
    units: Arc<Semaphore>,
    all: u32,
    /// The label in the metrics of a refusal for lack of it.
    lack: Shed,
}

/// A part of a [`MemoryBudget`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryPermit(#[expect(dead_code, reason = "does its work when it is dropped")] OwnedSemaphorePermit);

impl MemoryBudget {
    const UNIT_BYTES: usize = 1024;

    fn new(bytes: usize, lack: Shed) -> Self {
        let all = u32::try_from(bytes.div_ceil(Self::UNIT_BYTES)).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(all as usize)), all, lack }
    }

    /// A request for more than the whole budget takes the whole budget.
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

/// Refuses a request beyond [`MAX_REQUESTS`], and ends one that is worked on for too long.
pub(crate) async fn admit(
    admission_control: &AdmissionControl,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if probes::is_probe(&request) {
        return next(request).await;
    }
    let Ok(_permit) = admission_control.requests.try_acquire() else {
        return overloaded(Shed::Requests).into_response();
    };
    let body = if request.body().is_end_stream() { Duration::ZERO } else { BODY_TIMEOUT };
    timeout(body + WORK_TIMEOUT, next(request)).await.unwrap_or_else(|_| given_up().into_response())
}

/// Runs work that stores a batch whose body has arrived, within [`WORK_TIMEOUT`]. The batch's [`Deadline`] ends it sooner unless
/// the database does not keep its own bounds, and then nobody knows what it has stored.
///
/// [`Deadline`]: crate::deadline::Deadline
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Problem> {
    const DETAIL: &str = "Writing the batch took too long, so it is not known whether it was stored; send the same batch \
                          again after Retry-After, which is safe.";
    in_time_or(DETAIL, work).await
}

/// Runs work that goes on even if its request is given up, within [`WORK_TIMEOUT`]. `detail` says what to do if it takes longer.
pub(crate) async fn in_time_or<T>(detail: &'static str, work: impl Future<Output = T>) -> Result<T, Problem> {
    timeout(WORK_TIMEOUT, work).await.map_err(|_| timed_out(detail))
}

/// A request that takes so long is a fault of the service, whatever caused it.
fn given_up() -> Problem {
    timed_out("This took too long and was given up; send it again after Retry-After, which is safe.")
}

fn timed_out(detail: &'static str) -> Problem {
    Problem::new(Code::TimedOut, detail).caused_by("nothing ended it within its time".to_owned())
}
