//! The second listener, for operators: `/metrics`, and health that no client can keep from answering.

use axum::extract::{FromRef, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};

use super::forwarded::Proxies;
use super::health::{self, Health};
use super::limit::Limiter;
use super::problem::{Code, Problem};
use super::{Service, headers, layers};
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone, FromRef)]
struct AdminState {
    health: Health,
    limiter: Limiter,
    metrics: Metrics,
}

/// The routes of the second listener.
pub(crate) fn routes(service: &Service, metrics: Metrics) -> Router {
    let state = AdminState { health: service.health.clone(), limiter: service.limiter.clone(), metrics };
    Router::new()
        .route("/metrics", get(render))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .fallback(async || {
            Problem::new(Code::NotFound, "There is no such route; this listener has /metrics and /health.")
        })
        .layer(middleware::from_fn(headers::secure))
        .layer(middleware::from_fn_with_state(Proxies::new(&[], "", false), layers::observe))
        .with_state(state)
}

async fn render(
    State(health): State<Health>,
    State(limiter): State<Limiter>,
    State(metrics): State<Metrics>,
) -> impl IntoResponse {
    health.measure();
    limiter.measure();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
