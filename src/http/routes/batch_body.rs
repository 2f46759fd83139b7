//! Extracts the body of a batch, within limits on size and time. A body beyond them is refused with a sentence for people.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::http::middleware::admission::{self, AdmissionControl, MemoryPermit};
use crate::http::problem::{Code, Problem};
use crate::http::timeouts::{BODY_PAUSE_TIMEOUT, BODY_TIMEOUT};

/// The initial capacity for a body. Most posts hold one candle.
const MIN_RESERVED_BYTES: usize = 1024;

/// The bytes of a posted batch. The Content-Type is ignored, because terminals send that of a form unless told otherwise (MQL5
/// article 16043).
#[derive(Debug)]
pub(crate) struct BatchBody {
    pub(crate) bytes: Vec<u8>,
    /// Held until the batch is stored, because the parsed batch takes as much memory as the bytes.
    pub(crate) permits: Vec<MemoryPermit>,
}

/// The maximum size of a body, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxBodyBytes(pub(crate) usize);

impl<S: Sync> FromRequest<S> for BatchBody
where
    Arc<AdmissionControl>: FromRef<S>,
    MaxBodyBytes: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let MaxBodyBytes(max) = MaxBodyBytes::from_ref(state);
        let limits = Limits {
            max,
            if_too_large: "send it in parts",
            if_too_slow: "send it again, with fewer candles if the line is slow",
        };
        let reading = Reading::of(request, limits, &Arc::<AdmissionControl>::from_ref(state)).await?;
        Ok(Self { bytes: reading.bytes, permits: reading.permits })
    }
}

/// The maximum size of a body, and what to do about one that is larger or slower.
#[derive(Debug, Clone, Copy)]
struct Limits {
    max: usize,
    if_too_large: &'static str,
    if_too_slow: &'static str,
}

/// The limits of a [`JsonBody`].
const OF_JSON: Limits =
    Limits { max: 1024 * 1024, if_too_large: "send a shorter one, or several requests", if_too_slow: "send it again" };

/// The bytes of a request that is one JSON object. The Content-Type is ignored, as with a batch.
#[derive(Debug)]
pub(crate) struct JsonBody {
    pub(crate) bytes: Vec<u8>,
    /// Held until the request is answered, because the parsed object takes as much memory as the bytes.
    pub(crate) permits: Vec<MemoryPermit>,
}

impl<S: Sync> FromRequest<S> for JsonBody
where
    Arc<AdmissionControl>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let reading = Reading::of(request, OF_JSON, &Arc::<AdmissionControl>::from_ref(state)).await?;
        Ok(Self { bytes: reading.bytes, permits: reading.permits })
    }
}

fn announced_length(headers: &HeaderMap) -> u64 {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// A body that is being read.
struct Reading {
    limits: Limits,
    /// The announced length, or the maximum.
    expected: usize,
    bytes: Vec<u8>,
    permits: Vec<MemoryPermit>,
}

impl Reading {
    /// Reads the body of a request.
    async fn of(request: Request, limits: Limits, admission: &AdmissionControl) -> Result<Self, Problem> {
        let headers = request.headers();
        let only = |name, plain: &'static str| {
            headers
                .get_all(name)
                .iter()
                .all(|encoding| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(plain.as_bytes()))
        };
        if !only(header::CONTENT_ENCODING, "identity") || !only(header::TRANSFER_ENCODING, "chunked") {
            return Err(Problem::new(
                Code::UnsupportedEncoding,
                "The body is compressed, and only plain JSON is taken; send it without Content-Encoding.",
            ));
        }
        let announced = announced_length(headers);
        if announced > limits.max as u64 {
            return Err(limits.too_large());
        }
        admission.expect_body(announced)?;
        // A body without a length may reach the maximum.
        let max = limits.max;
        let expected = if announced == 0 { max } else { usize::try_from(announced).unwrap_or(max) };
        let mut reading = Self { limits, expected, bytes: Vec::new(), permits: Vec::new() };
        reading.read(request.into_body(), admission).await?;
        Ok(reading)
    }

    async fn read(&mut self, mut body: Body, admission: &AdmissionControl) -> Result<(), Problem> {
        let deadline = Instant::now() + BODY_TIMEOUT;
        loop {
            let frame = timeout_at(deadline, timeout(BODY_PAUSE_TIMEOUT, body.frame())).await;
            let frame = match frame.ok().and_then(Result::ok).ok_or_else(|| self.limits.too_slow())? {
                None => return Ok(()),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    const DETAIL: &str = "The body broke off or its chunks are not valid HTTP; send it again.";
                    return Err(Problem::new(Code::Malformed, DETAIL));
                }
            };
            let data = frame.into_data().unwrap_or_default();
            self.append(&data, admission)?;
        }
    }

    fn append(&mut self, data: &Bytes, admission: &AdmissionControl) -> Result<(), Problem> {
        let length = self.bytes.len() + data.len();
        if length > self.limits.max {
            return Err(self.limits.too_large());
        }
        let taken = self.bytes.capacity();
        if length > taken {
            // The capacity doubles up to the expected length, so that small bodies take little memory and large ones are copied
            // seldom. Bytes that are only announced take none.
            let step = grown(taken, length, self.expected) - taken;
            self.permits.push(admission.reserve_body(step)?);
            reserve(&mut self.bytes, step + taken)?;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

/// Reserves memory for a body that has grown to `length` bytes, beyond the permits in `taken`.
fn grown(taken: usize, length: usize, expected: usize) -> usize {
    length.max(taken.saturating_mul(2).clamp(MIN_RESERVED_BYTES, expected.max(MIN_RESERVED_BYTES)))
}

/// Grows `bytes` to `capacity`. Refuses the body if the system has no memory, because a failed allocation would otherwise abort
/// the process.
fn reserve(bytes: &mut Vec<u8>, capacity: usize) -> Result<(), Problem> {
    bytes.try_reserve_exact(capacity - bytes.len()).map_err(|_| admission::no_memory_for_body())
}

impl Limits {
    fn too_large(self) -> Problem {
        let Self { max, if_too_large, .. } = self;
        Problem::new(Code::TooLarge, format!("The body is larger than the {max} bytes that are taken; {if_too_large}."))
    }

    fn too_slow(self) -> Problem {
        let advice = self.if_too_slow;
        Problem::new(Code::TooSlow, format!("The body took longer than 10 s or paused for more than 5 s; {advice}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_what_came_and_not_with_what_was_announced() {
        const MIB: usize = 1024 * 1024;
        assert_eq!(grown(0, 1, 64 * MIB), MIN_RESERVED_BYTES);
        assert_eq!(grown(0, 300_000, 64 * MIB), 300_000);
        assert_eq!(grown(MIB, MIB + 1, 64 * MIB), 2 * MIB);
        assert_eq!(grown(3 * MIB, 3 * MIB + 1, 4 * MIB), 4 * MIB, "what is expected, and no more");
        assert_eq!(
            grown(MIN_RESERVED_BYTES, MIN_RESERVED_BYTES + 1, 10),
            MIN_RESERVED_BYTES + 1,
            "a chunk more than was announced"
        );
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_a_refusal() {
        let mut bytes = b"{".to_vec();
        // More than any machine has.
        for capacity in [1 << 60, usize::MAX] {
            let problem = reserve(&mut bytes, capacity).unwrap_err();
            assert_eq!((problem.code, bytes.as_slice()), (Code::Overloaded, &b"{"[..]));
        }
        assert!(reserve(&mut bytes, 4096).is_ok() && bytes.capacity() >= 4096);
    }
}
