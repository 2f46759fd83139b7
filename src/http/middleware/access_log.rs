//! Gives every request an id, a line in the log, its metrics, and a body if its answer is a problem.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio_util::sync::CancellationToken;

use crate::http::middleware::credentials::Caller;
use crate::http::middleware::request_metrics::{Active, RequestMetrics};
use crate::http::net::client_address::{Client, Proxies};
use crate::http::probes;
use crate::http::problem::{Code, Problem};
use crate::telemetry::milliseconds;
use crate::telemetry::sentry::{self, FailedRequest};

/// The header that carries a request's id in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The number of candles in a request and the number of new ones among them, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) received: usize,
    pub(crate) added: usize,
}

/// Marks a 503 that answers a monitor's question about the data. It is not a failure of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict;

/// The properties of a listener that [`observe`] uses.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) proxies: Proxies,
    /// Once this is cancelled, each connection ends with its next answer.
    pub(crate) stopping: CancellationToken,
    /// Request metrics. `None` on the admin listener, whose requests are not counted and are logged at `debug`.
    pub(crate) metrics: Option<RequestMetrics>,
}

/// Answers with the id of the request, completes a problem's body, counts, and writes the
/// request's one line to the log.
pub(crate) async fn observe(
    listener: &Listener,
    client: Client,
    request_id: String,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let line = LogLine {
        probe: probes::is_probe(&request),
        metrics: listener.metrics.as_ref(),
        _active: listener.metrics.as_ref().map(RequestMetrics::begin),
        method: request.method().clone(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        request_id,
        client,
        trace: TraceParent::read(request.headers()),
        user_agent: user_agent(request.headers()),
        start: Instant::now(),
        written: false,
    };
    let mut response = next(request).await;
    if let Ok(value) = HeaderValue::from_str(&line.request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(problem) = response.extensions().get::<Problem>() {
        let body = problem.body(&line.request_id);
        response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        *response.body_mut() = if line.method == Method::HEAD { Body::empty() } else { body.into() };
    }
    if listener.stopping.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    line.count(response.status().as_u16());
    line.report(&response);
    line.write(&response);
    response
}

/// The id that the caller sent, if it cannot harm a log line, or else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    const MAX_ID_BYTES: usize = 64;
    let harmless = |id: &&str| {
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if let Some(id) = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(harmless) {
        return id.to_owned();
    }
    new_request_id()
}

/// 64 random bits of the process and a counter, in hexadecimal, because asking the system for random bits each time
/// takes longer than the rest of this function.
fn new_request_id() -> String {
    static PROCESS: LazyLock<[u8; 8]> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Without randomness the zeros stay, because only reading the log depends on it.
        let _ = getrandom::fill(&mut bytes);
        bytes
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let bytes = [*PROCESS, COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes()];
    let mut digits = vec![0; 2 * bytes.as_flattened().len()];
    // Never fails: there is room for two digits of each byte, and digits are text.
    let _ = hex::encode_to_slice(bytes.as_flattened(), &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

/// The program that a client claims to be. Terminals name their build and system. Longer texts are cut, because they
/// hold more than is worth keeping.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    const MAX_USER_AGENT_CHARS: usize = 128;
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(MAX_USER_AGENT_CHARS).collect())
}

/// The position of a request in its caller's trace (W3C Trace Context, `traceparent`).
struct TraceParent {
    trace_id: String,
    span_id: String,
}

impl TraceParent {
    /// Reads version 00 and, as the standard demands, the fields that later versions have in common with it.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get(TRACE_PARENT)?.to_str().ok()?.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = |text: &str, length| hex(text, length) && text.bytes().any(|byte| byte != b'0');
        let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let valid = known && id(trace_id, 32) && id(span_id, 16) && hex(flags, 2);
        valid.then(|| Self { trace_id: trace_id.to_owned(), span_id: span_id.to_owned() })
    }
}

/// The fields of a request's line in the log that are known before the request ends.
struct LogLine<'a> {
    probe: bool,
    metrics: Option<&'a RequestMetrics>,
    _active: Option<Active>,
    method: Method,
    route: Option<MatchedPath>,
    request_id: String,
    client: Client,
    trace: Option<TraceParent>,
    user_agent: Option<String>,
    start: Instant,
    written: bool,
}

impl LogLine<'_> {
    fn write(mut self, response: &Response) {
        self.written = true;
        /// `tracing` needs the level at compile time. The span of the request adds its id.
        macro_rules! write_at {
            ($level:ident) => {
                tracing::$level!(
                    method = self.method.as_str(),
                    route = self.route(),
                    status = response.status().as_u16(),
                    duration_ms = milliseconds(self.start.elapsed()),
                    trace_id = self.trace.as_ref().map(|trace| &*trace.trace_id),
                    span_id = self.trace.as_ref().map(|trace| &*trace.span_id),
                    client = %self.client.address,
                    user_agent = self.user_agent.as_deref(),
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
            status if status.is_server_error() && response.extensions().get::<Verdict>().is_none() => write_at!(error),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => write_at!(warn),
            _ if self.probe || self.metrics.is_none() => write_at!(debug),
            _ => write_at!(info),
        }
    }

    fn count(&self, status: u16) {
        if let Some(metrics) = self.metrics {
            metrics.end(&self.method, self.route(), status, self.start.elapsed());
        }
    }

    /// Reports faults of the service and of the store to Sentry. Refusals for lack of room are not faults, and are
    /// counted.
    fn report(&self, response: &Response) {
        if let Some(problem) = response.extensions().get::<Problem>()
            && matches!(problem.code, Code::Internal | Code::Unavailable | Code::TimedOut)
        {
            sentry::report(FailedRequest {
                kind: problem.code.name(),
                cause: problem.cause.as_deref().unwrap_or_default(),
                request_id: &self.request_id,
                route: format!("{} {}", self.method, self.route()),
                status: response.status().as_u16(),
            });
        }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("<unmatched>", MatchedPath::as_str)
    }
}

impl Drop for LogLine<'_> {
    /// A client that disconnects before its answer drops the request's future, and nothing after its last await runs.
    fn drop(&mut self) {
        /// nginx's status for a client that disconnected before its answer.
        const CLIENT_LEFT: u16 = 499;
        if !self.written {
            self.count(CLIENT_LEFT);
            tracing::warn!(
                method = self.method.as_str(),
                route = self.route(),
                duration_ms = milliseconds(self.start.elapsed()),
                client = %self.client.address,
                "the client left before its answer; candles that it posted may be stored"
            );
        }
    }
}
