//! The service on the wire: every route, and the one stack of layers around them.

mod auth;
mod candles;
mod docs;
mod drain;
mod extract;
mod health;
mod layers;
mod problem;
mod series;

use std::time::Duration;

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Extension, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::ApiKey;
use crate::ingest::Ingest;
use crate::query::Query;
use crate::store::Store;
use auth::{Guard, Keyring, Scope};
use health::Health;
use problem::{Code, Problem};

/// What the routes work with.
#[derive(Debug, Clone, FromRef)]
pub(crate) struct AppState {
    ingest: Ingest,
    query: Query,
    health: Health,
    #[from_ref(skip)]
    max_body_bytes: usize,
}

/// How the routes are set up.
#[derive(Debug)]
pub struct Settings<'a> {
    /// Keys that may post candles.
    pub ingest_keys: &'a [ApiKey],
    /// Tokens that may read them.
    pub read_tokens: &'a [ApiKey],
    /// Largest body of a post.
    pub max_body_bytes: usize,
    /// Whether the API's documentation is served.
    pub docs_enabled: bool,
}

/// Builds the service's routes.
pub fn router(store: Store, ingest: Ingest, query: Query, settings: &Settings<'_>) -> Router {
    let keyring = Keyring::new(settings.ingest_keys, settings.read_tokens);
    let health = Health::new(store, ingest.clone());
    let state = AppState { ingest, query, health, max_body_bytes: settings.max_body_bytes };
    let (mut routes, _) = api(&keyring).split_for_parts();
    if settings.docs_enabled {
        let (documentation, _) = documentation().split_for_parts();
        routes = routes.merge(documentation.layer(Extension(docs::DocumentText(openapi().into()))));
    }
    with_layers(routes).with_state(state)
}

/// Puts around the routes what holds for every request.
fn with_layers<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(async || Problem::new(Code::NotFound, "There is no such route; the API's documentation lists them."))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "This route has no such method; use one that Allow lists.")
        })
        // The last layer is the outermost: it sees every answer, also that of a panic.
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(drain::drain_body))
        .layer(middleware::from_fn(layers::observe))
}

/// To the microsecond; more digits would only look exact.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The OpenAPI document in pretty JSON.
#[must_use]
pub fn openapi() -> String {
    let mut document = api(&Keyring::new(&[], &[])).merge(documentation()).into_openapi();
    docs::complete(&mut document);
    document.to_pretty_json().unwrap_or_default()
}

/// Every route that the document describes, grouped by who may call it.
fn api(keyring: &Keyring) -> OpenApiRouter<AppState> {
    let guarded = |routes: OpenApiRouter<AppState>, scopes| {
        let guard = Guard { keyring: keyring.clone(), scopes };
        routes.route_layer(middleware::from_fn_with_state(guard, auth::require))
    };
    let open = OpenApiRouter::with_openapi(docs::Base::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::api_health))
        .routes(routes!(health::live))
        .routes(routes!(health::healthz));
    let ingest = OpenApiRouter::new().routes(routes!(candles::post));
    let read = OpenApiRouter::new().routes(routes!(candles::get)).routes(routes!(health::detailed));
    let either = OpenApiRouter::new().routes(routes!(series::get));
    open.merge(guarded(ingest, &[Scope::Ingest]))
        .merge(guarded(read, &[Scope::Read]))
        .merge(guarded(either, &[Scope::Ingest, Scope::Read]))
}

fn documentation() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(docs::openapi))
        .route("/api/docs", get(docs::page))
        .route("/api/docs/", get(docs::page))
        .route("/api/docs/{name}", get(docs::file))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_it() {
        let panics = async || {
            assert!(std::env::args().count() == 0, "the password is hidden");
        };
        let routes = with_layers(Router::new().route("/", get(panics)));
        let request = Request::get("/").header("x-request-id", "id-1").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE);
        let body = String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().into()).unwrap();
        assert!(body.contains(r#""code":"internal","request_id":"id-1""#) && !body.contains("hidden"), "{body}");
    }
}
