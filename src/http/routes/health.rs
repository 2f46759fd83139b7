//! Health: reports whether the service runs and whether its store answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use utoipa::openapi::RefOr;
use utoipa::{IntoResponses, ToSchema};

use crate::http::middleware::shared_limits::SharedLimits;
use crate::http::problem::{self, Code};
use crate::http::timeouts::PROBE_TIMEOUT;
use crate::ingest::Ingest;
use crate::research::{Jobs, JobsState};
use crate::store::{Store, WriteError};
use crate::telemetry::{REVISION, milliseconds};
use candle::Timestamp;

/// The time for which the result of one probe answers all callers.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// Probes the store, at most about once a second, however many callers ask.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    store: Store,
    ingest: Ingest,
    jobs: Jobs,
    shared_limits: SharedLimits,
    started: Instant,
    /// The time of `started` as a timestamp.
    started_at: Timestamp,
    stopping: CancellationToken,
    /// True once the store has been reached for the first time.
    reached: watch::Receiver<bool>,
    last: Arc<Mutex<Option<Probe>>>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    at: Instant,
    /// The time that the store took; `None` if it did not answer.
    latency: Option<Duration>,
}

impl Health {
    /// The service is not ready before the store is `reached`, nor after `stopping` is cancelled.
    pub(crate) fn new(
        (store, ingest, jobs): (Store, Ingest, Jobs),
        shared_limits: SharedLimits,
        started_at: Timestamp,
        stopping: CancellationToken,
        reached: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            ingest,
            jobs,
            shared_limits,
            started: Instant::now(),
            started_at,
            stopping,
            reached,
            last: Arc::default(),
        }
    }

    /// Returns true if the service can do its work.
    async fn is_ready(&self) -> bool {
        !self.stopping.is_cancelled() && self.probe().await.latency.is_some()
    }

    /// Concurrent callers share one probe. It runs in its own task, so that a caller who disconnects does not cancel it
    /// for the rest.
    async fn probe(&self) -> Probe {
        // Not shared, so that the first request after the start sees that the store was reached.
        if !*self.reached.borrow() {
            return Probe { at: Instant::now(), latency: None };
        }
        let health = self.clone();
        let probing = async move {
            let mut last = health.last.lock().await;
            // A probe is out of date if a request has found the file or a table missing since then.
            let missed_at = health.store.missed_at();
            match *last {
                Some(probe) if probe.at.elapsed() < PROBE_TTL && missed_at.is_none_or(|at| at < probe.at) => probe,
                _ => *last.insert(health.ask().await),
            }
        };
        let probing = tokio::spawn(probing.in_current_span());
        probing.await.unwrap_or_else(|_| Probe { at: Instant::now(), latency: None })
    }

    fn write_error_details(&self, error: WriteError) -> WriteErrorDetails {
        let WriteError { at, kind, meaning, recovered } = error;
        WriteErrorDetails { at: self.time_of(at), kind, meaning, recovered }
    }

    /// The jobs of this process.
    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The time of `instant`, in epoch milliseconds.
    pub(crate) fn time_of(&self, instant: Instant) -> i64 {
        let since = i64::try_from(instant.saturating_duration_since(self.started).as_millis()).unwrap_or(i64::MAX);
        self.started_at.millis().saturating_add(since)
    }

    async fn ask(&self) -> Probe {
        let start = Instant::now();
        let answered = matches!(tokio::time::timeout(PROBE_TIMEOUT, self.store.ping()).await, Ok(Ok(())));
        Probe { at: Instant::now(), latency: answered.then(|| start.elapsed()) }
    }
}

/// The readiness of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok` or `unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The state of the service, for its operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Details {
    /// `ok` or `unavailable`, as `/health` says.
    #[schema(example = "ok")]
    status: &'static str,
    /// The release.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit that it was built from; `unknown` where the build did not say.
    #[schema(example = "3f786850e387550fdab836ed7e6dc881de23001b")]
    revision: &'static str,
    store: StoreDetails,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// Resident memory in bytes, where the system reports it.
    memory_bytes: Option<u64>,
    /// When this process last acknowledged a batch, in epoch milliseconds.
    last_ingest: Option<i64>,
    /// The last write of this process that failed; null if none has.
    last_write_error: Option<WriteErrorDetails>,
    /// `ok` while replicas share their rate limits by Redis, `unavailable` while each limits alone because Redis does not
    /// decide; null where no Redis is configured.
    #[schema(example = "ok")]
    shared_limits: Option<&'static str>,
    research: ResearchDetails,
}

/// The state of research.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResearchDetails {
    /// The number of threads that compute; 0 where this replica computes nothing.
    #[schema(example = 3)]
    threads: usize,
    /// Jobs that this process works on.
    #[schema(example = 1)]
    running: usize,
    /// Queued jobs in the database, at most ten seconds ago.
    #[schema(example = 4)]
    queued: i64,
    /// Evaluations of the jobs that run here.
    #[schema(example = 21_000.0)]
    evaluations_per_second: f64,
    /// Exported files in the database, at most ten seconds ago.
    #[schema(example = 2)]
    files: i64,
    /// Their bytes.
    #[schema(example = 18_412)]
    bytes: i64,
}

impl From<JobsState> for ResearchDetails {
    fn from(state: JobsState) -> Self {
        Self {
            threads: state.threads,
            running: state.running_here,
            queued: state.counts.queued,
            evaluations_per_second: state.evaluations_per_second,
            files: state.counts.files,
            bytes: state.counts.bytes,
        }
    }
}

/// A write that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WriteErrorDetails {
    /// Its time, in epoch milliseconds.
    at: i64,
    /// `unavailable`, `read_only`, `unfit`, `refused` or `internal`.
    #[schema(example = "unavailable")]
    kind: &'static str,
    /// The meaning of `kind`.
    meaning: &'static str,
    /// True if a write has succeeded since. Until then the store may be readable, as `status` says, but not writable.
    recovered: bool,
}

/// The state of the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreDetails {
    /// `postgres` or `sqlite`.
    #[schema(example = "sqlite")]
    kind: &'static str,
    /// Milliseconds the last probe took; null if the store did not answer.
    latency_ms: Option<f64>,
    /// Connections open now.
    connections_open: u32,
    /// Of those, idle.
    connections_idle: u32,
    /// The maximum number of connections.
    connections_max: u32,
}

/// The problems of a route that demands a token and does not fail with the store.
pub(crate) struct DetailProblems;

impl IntoResponses for DetailProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problem::responses(&[Code::Unauthorized, Code::WrongScope, Code::Internal])
    }
}

fn state(ok: bool) -> &'static str {
    if ok { "ok" } else { "unavailable" }
}

fn status(ok: bool) -> Response {
    if ok {
        return Json(Status { status: "ok" }).into_response();
    }
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(Status { status: "unavailable" })).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Gives two paths one handler, each with an operation of its own in the document.
macro_rules! health_route {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(
            get, path = $path, tag = "Health", security(()),
            responses(
                (status = 200, description = "The store answered within a second.", body = Status),
                (status = 503, description = "The store did not answer, or the service is stopping; this body is not a problem document.", body = Status,
                 headers(("retry-after" = u64, description = "Seconds to wait before trying again."))),
            )
        )]
        pub(crate) async fn $name(State(health): State<Health>) -> Response {
            status(health.is_ready().await)
        }
    };
}

health_route!(health, "/health", "Can the service do its work?");
health_route!(api_health, "/api/v1/health", "Can the service do its work? (alias of `/health`)");

/// Gives two paths one handler, each with an operation of its own in the document.
macro_rules! live_route {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(
                    get, path = $path, tag = "Health", security(()),
                    responses((status = 200, description = "It runs; nothing else was looked at.", body = Status))
                )]
        pub(crate) async fn $name() -> Response {
            status(true)
        }
    };
}

live_route!(live, "/health/live", "Does the process run?");
live_route!(healthz, "/healthz", "Does the process run? (alias of `/health/live`)");

/// The health of the service
#[utoipa::path(
    get, path = "/api/v1/health/detailed", tag = "Health", operation_id = "detailed_health",
    security(("internal_token" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The state of the service, also while the store does not answer.", body = Details),
        DetailProblems,
    )
)]
pub(crate) async fn detailed(State(health): State<Health>) -> Json<Details> {
    let probe = health.probe().await;
    let pool = health.store.pool_use();
    Json(Details {
        status: state(probe.latency.is_some()),
        version: env!("CARGO_PKG_VERSION"),
        revision: REVISION,
        store: StoreDetails {
            kind: health.store.kind(),
            latency_ms: probe.latency.map(milliseconds),
            connections_open: pool.open,
            connections_idle: pool.idle,
            connections_max: pool.max,
        },
        uptime_seconds: health.started.elapsed().as_secs(),
        // The value of the metric process_resident_memory_bytes.
        memory_bytes: metrics_process::collector::collect().resident_memory_bytes,
        last_ingest: health.ingest.last().map(Timestamp::millis),
        last_write_error: health.store.last_write_error().map(|error| health.write_error_details(error)),
        shared_limits: health.shared_limits.are_shared().map(state),
        research: health.jobs.state().into(),
    })
}
