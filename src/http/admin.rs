//! The admin listener, for operators: `/metrics`, and health that answers whatever the clients of the public listener
//! do.

use std::sync::Arc;

use axum::extract::{FromRef, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use metrics::gauge;
use tracing::Instrument as _;

use crate::http::middleware::access_log::{self, Listener};
use crate::http::middleware::host::{self, AdminHosts};
use crate::http::middleware::rate_limit::Limiter;
use crate::http::middleware::{panic, security_headers};
use crate::http::net::client_address::Proxies;
use crate::http::probes;
use crate::http::problem::{Code, Problem};
use crate::http::routes::health::{self, Health};
use crate::http::service::Service;
use crate::ingest::Ingest;
use crate::store::Store;
use crate::telemetry::metrics::{
    FILE_BYTES, FILES, JOBS_QUEUED, JOBS_RUNNING, Metrics, NEWEST_AGE, POOL_CONNECTIONS, POOL_MAX, WRITE_ERROR_TIME,
    WRITE_FAILING,
};
use crate::telemetry::spans;

#[derive(Debug, Clone, FromRef)]
struct AdminState {
    health: Health,
    store: Store,
    ingest: Ingest,
    limiter: Limiter,
    metrics: Metrics,
}

/// The routes of the admin listener.
pub(crate) fn routes(service: &Service, hosts: AdminHosts, store: Store, ingest: Ingest, metrics: Metrics) -> Router {
    let proxies = Proxies::new(&[], "", false);
    let listener = Listener { proxies, stopping: service.stopping.clone(), metrics: None };
    let layers = Layers { listener, hosts };
    let Service { health, limiter, .. } = service;
    let state = AdminState { health: health.clone(), store, ingest, limiter: limiter.clone(), metrics };
    Router::new()
        .route("/metrics", get(render))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .fallback(async || {
            Problem::new(Code::NotFound, "There is no such route; this listener has /metrics and /health.")
        })
        .layer(middleware::from_fn_with_state(Arc::new(layers), pass))
        .with_state(state)
}

/// The layers around the admin routes.
struct Layers {
    listener: Listener,
    hosts: AdminHosts,
}

/// Runs the layers of the public listener that the admin listener needs, too.
async fn pass(State(layers): State<Arc<Layers>>, request: Request, next: Next) -> Response {
    let request_id = access_log::request_id(request.headers());
    let span = spans::request(&request_id);
    run_layers(&layers, request_id, request, next).instrument(span).await
}

async fn run_layers(layers: &Layers, request_id: String, request: Request, next: Next) -> Response {
    let Layers { listener, hosts } = layers;
    let client = listener.proxies.client(&request);
    let routed = async move |request| {
        // Probes are answered under any host name, as on the public listener.
        let served = if probes::is_probe(&request) { host::named(&request).map(drop) } else { hosts.check(&request) };
        match served {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let secured = async move |request| {
        let mut response = panic::catch_panic(request, routed).await;
        security_headers::secure(client, &mut response);
        response
    };
    access_log::observe(listener, client, request_id, request, secured).await
}

async fn render(
    State(health): State<Health>,
    State(store): State<Store>,
    State(ingest): State<Ingest>,
    State(limiter): State<Limiter>,
    State(metrics): State<Metrics>,
) -> impl IntoResponse {
    let pool = store.pool_use();
    gauge!(POOL_CONNECTIONS, "state" => "idle").set(pool.idle);
    gauge!(POOL_CONNECTIONS, "state" => "used").set(pool.open.saturating_sub(pool.idle));
    gauge!(POOL_MAX).set(pool.max);
    #[expect(clippy::cast_precision_loss, reason = "no candle is 2^53 seconds old")]
    for (timeframe, age) in ingest.newest_ages() {
        gauge!(NEWEST_AGE, "timeframe" => timeframe.name()).set(age as f64);
    }
    limiter.measure();
    let jobs = health.jobs().state();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    for (name, value) in [
        (JOBS_RUNNING, jobs.running_here as f64),
        (JOBS_QUEUED, jobs.counts.queued as f64),
        (FILES, jobs.counts.files as f64),
        (FILE_BYTES, jobs.counts.bytes as f64),
    ] {
        gauge!(name).set(value);
    }
    if let Some(error) = store.last_write_error() {
        gauge!(WRITE_FAILING).set(u32::from(!error.recovered));
        #[expect(clippy::cast_precision_loss, reason = "a time in milliseconds has fewer than 53 bits")]
        gauge!(WRITE_ERROR_TIME, "error_type" => error.kind).set(health.time_of(error.at) as f64 / 1000.0);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
