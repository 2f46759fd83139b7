//! Bodies, read under limits of size and time whose breach is a problem with a sentence.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::AppState;
use super::capacity::{BODY_DEADLINE, Capacity, Room};
use super::problem::{Code, Problem};

/// Longest that it may pause.
const BODY_PAUSE: Duration = Duration::from_secs(5);
/// Most room that is taken at a time.
const MOST_AT_A_TIME: usize = 64 * 1024;

/// The bytes of a posted batch, whatever its Content-Type: terminals name a form unless told otherwise (MQL5 article
/// 16043).
#[derive(Debug)]
pub(super) struct BatchBody {
    pub(super) bytes: Vec<u8>,
    /// Held until the batch is stored: what the bytes come to takes as much.
    pub(super) rooms: Vec<Room>,
}

impl FromRequest<AppState> for BatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let headers = request.headers();
        let only = |name, plain: &'static str| {
            headers
                .get_all(name)
                .iter()
                .all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(plain.as_bytes()))
        };
        if !only(header::CONTENT_ENCODING, "identity") || !only(header::TRANSFER_ENCODING, "chunked") {
            return Err(Problem::new(
                Code::UnsupportedEncoding,
                "The body is compressed, and only plain JSON is taken; send it without Content-Encoding.",
            ));
        }
        let (max, announced) = (state.max_body_bytes, announced_length(headers));
        if announced > max as u64 {
            return Err(too_large(max));
        }
        state.capacity.expect_body(announced)?;
        // Memory that nothing is written to is none yet.
        let bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(max));
        let mut reading = Reading { max, bytes, rooms: Vec::new(), taken: 0 };
        reading.read(request.into_body(), &state.capacity).await?;
        Ok(Self { bytes: reading.bytes, rooms: reading.rooms })
    }
}

fn announced_length(headers: &HeaderMap) -> u64 {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// A body on its way in.
struct Reading {
    max: usize,
    bytes: Vec<u8>,
    rooms: Vec<Room>,
    taken: usize,
}

impl Reading {
    async fn read(&mut self, mut body: Body, capacity: &Capacity) -> Result<(), Problem> {
        let deadline = Instant::now() + BODY_DEADLINE;
        loop {
            let frame = timeout_at(deadline, timeout(BODY_PAUSE, body.frame())).await.map_err(|_| too_slow())?;
            let frame = match frame.map_err(|_| too_slow())? {
                None => return Ok(()),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    const DETAIL: &str = "The body broke off or its chunks are not valid HTTP; send it again.";
                    return Err(Problem::new(Code::Malformed, DETAIL));
                }
            };
            let data = frame.into_data().unwrap_or_default();
            self.append(&data, capacity)?;
        }
    }

    fn append(&mut self, data: &Bytes, capacity: &Capacity) -> Result<(), Problem> {
        let length = self.bytes.len() + data.len();
        if length > self.max {
            return Err(too_large(self.max));
        }
        if length > self.taken {
            // As much again as there is, so that small bodies take little and large ones ask seldom.
            let step = (length - self.taken).max(self.taken.min(MOST_AT_A_TIME));
            self.rooms.push(capacity.reserve_body(step)?);
            self.taken += step;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("The body is larger than the {max} bytes that are taken; send fewer candles a post."),
    )
}

fn too_slow() -> Problem {
    const DETAIL: &str = "The body took longer than 10 s or paused for more than 5 s; send it again, with fewer candles if the line is slow.";
    Problem::new(Code::TooSlow, DETAIL)
}
