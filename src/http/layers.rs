//! What happens to every request around its handler: an id, a line in the log, and a body for its problem.

use std::any::Any;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Caller;
use super::milliseconds;
use super::problem::Problem;

/// The header that carries a request's id in both directions.
const REQUEST_ID: &str = "x-request-id";

/// How many candles a request brought and how many of them were new, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) received: usize,
    pub(super) added: usize,
}

/// Gives the request an id, answers with it, completes a problem's body and writes the request's one line to the log.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let line = LogLine {
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        request_id: request_id(request.headers()),
        start: Instant::now(),
        written: false,
    };
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&line.request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(problem) = response.extensions().get::<Problem>() {
        let body = problem.body(&line.request_id);
        response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        *response.body_mut() = if line.method == Method::HEAD { Body::empty() } else { body.into() };
    }
    line.write(&response);
    response
}

/// Turns a panic of a handler into a problem.
#[expect(clippy::needless_pass_by_value, reason = "the signature that tower-http calls")]
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Problem::internal(format!("panic: {}", text.unwrap_or_default())).into_response()
}

/// The caller's id if it cannot harm a log line, or else a new one.
fn request_id(headers: &HeaderMap) -> String {
    const LONGEST: usize = 64;
    let harmless = |id: &&str| {
        (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if let Some(id) = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(harmless) {
        return id.to_owned();
    }
    let mut bytes = [0_u8; 16];
    // Without randomness an id of zeros still serves: nothing but reading the log depends on it.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

/// What a request's line in the log says before it is known how the request ends.
struct LogLine {
    method: Method,
    route: Option<MatchedPath>,
    request_id: String,
    start: Instant,
    written: bool,
}

impl LogLine {
    fn write(mut self, response: &Response) {
        self.written = true;
        /// `tracing` wants the level when it compiles.
        macro_rules! write_at {
            ($level:ident) => {
                tracing::$level!(
                    method = self.method.as_str(),
                    route = self.route(),
                    status = response.status().as_u16(),
                    duration_ms = milliseconds(self.start.elapsed()),
                    request_id = self.request_id,
                    key = response.extensions().get::<Caller>().map(|caller| &*caller.0),
                    rows_received = response.extensions().get::<Rows>().map(|rows| rows.received),
                    rows_added = response.extensions().get::<Rows>().map(|rows| rows.added),
                    code = response.extensions().get::<Problem>().map(|problem| problem.code.name()),
                    cause = response.extensions().get::<Problem>().and_then(|problem| problem.cause.as_deref()),
                    "request"
                )
            };
        }
        match response.status() {
            status if status.is_server_error() => write_at!(error),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => write_at!(warn),
            _ if self.route().contains("health") => write_at!(debug),
            _ => write_at!(info),
        }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("<unmatched>", MatchedPath::as_str)
    }
}

impl Drop for LogLine {
    /// A client that hangs up before its answer ends the request's future, and nothing after its last await runs.
    fn drop(&mut self) {
        if !self.written {
            tracing::warn!(
                method = self.method.as_str(),
                route = self.route(),
                duration_ms = milliseconds(self.start.elapsed()),
                request_id = self.request_id,
                "the client left before its answer; what it posted may be stored"
            );
        }
    }
}
