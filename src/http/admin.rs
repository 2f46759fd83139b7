//! The second listener, for operators: `/metrics`, and health that no client can keep from answering.

use std::sync::Arc;

use axum::extract::{FromRef, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use metrics::gauge;
use tower_http::catch_panic::CatchPanicLayer;

use super::forwarded::Proxies;
use super::health::{self, Health};
use super::limit::Limiter;
use super::problem::{Code, Problem};
use super::{Service, headers, layers};
use crate::ingest::Ingest;
use crate::store::Store;
use crate::telemetry::metrics::{Metrics, NEWEST_AGE, POOL_CONNECTIONS, POOL_MAX};

#[derive(Debug, Clone, FromRef)]
struct AdminState {
    health: Health,
    store: Store,
    ingest: Ingest,
    limiter: Limiter,
    metrics: Metrics,
}

/// The routes of the second listener.
pub(crate) fn routes(service: &Service, store: Store, ingest: Ingest, metrics: Metrics) -> Router {
    let proxies = Proxies::new(&[], "", false);
    let listener = Arc::new(layers::Listener { proxies, stopping: service.stopping.clone(), public: false });
    let Service { health, limiter, .. } = service;
    let state = AdminState { health: health.clone(), store, ingest, limiter: limiter.clone(), metrics };
    Router::new()
        .route("/metrics", get(render))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .fallback(async || {
            Problem::new(Code::NotFound, "There is no such route; this listener has /metrics and /health.")
        })
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(headers::secure))
        .layer(middleware::from_fn_with_state(listener, layers::observe))
        .with_state(state)
}

async fn render(
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
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
