//! The service on the wire: every route, and the one stack of layers around them.

pub(crate) mod admin;
pub(crate) mod auth;
mod buckets;
mod candles;
mod capacity;
mod coding;
mod connection;
mod docs;
mod drain;
mod extract;
mod forwarded;
mod gate;
mod headers;
mod health;
pub(crate) mod host;
mod index;
mod layers;
mod limit;
pub(crate) mod listener;
mod misplaced;
mod page;
mod preface;
mod problem;
mod series;
pub(crate) mod tls;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa::openapi::PathItem;
use utoipa::openapi::path::Operation;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use forwarded::Proxies;

use crate::candle::Timestamp;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::query::Query;
use crate::store::Store;
use auth::{Guards, Keyring, Scope};
use capacity::Capacity;
use gate::Gate;
use health::Health;
use limit::Limiter;
use problem::{Code, Problem};
use traffic::Traffic;

/// What the routes work with. Clones share it: axum makes several for each request.
type AppState = Arc<App>;

#[derive(Debug)]
struct App {
    ingest: Ingest,
    query: Query,
    health: Health,
    capacity: Arc<Capacity>,
    max_body_bytes: usize,
}

/// The service on the wire.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its public routes.
    pub(crate) routes: Router,
    /// Whose word on clients is believed.
    pub(crate) proxies: Proxies,
    /// The keys that are accepted.
    pub(crate) keyring: Keyring,
    health: Health,
    limiter: Limiter,
    stopping: CancellationToken,
}

impl Service {
    /// Builds the routes. `/health` says that no work should be sent here before the store is `reached`, and once `stopping`
    /// is cancelled.
    pub(crate) fn new(
        config: &Config,
        started_at: Timestamp,
        store: Store,
        ingest: Ingest,
        query: Query,
        (reached, stopping): (watch::Receiver<bool>, CancellationToken),
    ) -> Self {
        let access = &config.access;
        let proxies = Proxies::new(&access.trusted_proxies, &access.client_ip_header, config.tls.is_some());
        let limiter = Limiter::new(&config.rate_limits);
        let health = Health::new(store, ingest.clone(), started_at, stopping.clone(), reached);
        let capacity = Arc::new(Capacity::new());
        let max_body_bytes = config.limits.max_body_bytes;
        let state = Arc::new(App { ingest, query, health: health.clone(), capacity: capacity.clone(), max_body_bytes });
        let (routes, guards) = api();
        let (mut routes, document) = routes.split_for_parts();
        let traffic = Traffic::new();
        for (path, item) in &document.paths.paths {
            for (method, _) in operations(item) {
                traffic.expect_failures(&method, path);
            }
        }
        routes = if config.docs_enabled {
            routes.merge(documentation().split_for_parts().0).route("/", get(index::with_docs))
        } else {
            routes.route("/", get(index::without_docs))
        };
        let keyring = Keyring::new(&config.ingest_keys, &config.read_tokens, limit::of_wrong_keys(&config.rate_limits));
        let layers = Layers {
            listener: layers::Listener { proxies: proxies.clone(), stopping: stopping.clone(), traffic: Some(traffic) },
            gate: Gate::new(access),
            keyring: keyring.clone(),
            guards,
            limiter: limiter.clone(),
            capacity,
        };
        Self { routes: layers.around(routes).with_state(state), proxies, keyring, health, limiter, stopping }
    }
}

/// What stands around every route, in the order in which a request passes it.
struct Layers {
    listener: layers::Listener,
    gate: Gate,
    keyring: Keyring,
    guards: Guards,
    limiter: Limiter,
    capacity: Arc<Capacity>,
}

impl Layers {
    /// Puts the layers around every route, refusals of unknown ones included.
    fn around<S: Clone + Send + Sync + 'static>(self, routes: Router<S>) -> Router<S> {
        routes
            .fallback(async || {
                Problem::new(Code::NotFound, "There is no such route; the API's documentation lists them.")
            })
            .method_not_allowed_fallback(async || {
                Problem::new(Code::MethodNotAllowed, "This route has no such method; use one that Allow lists.")
            })
            .layer(middleware::from_fn_with_state(Arc::new(self), pass))
    }
}

/// Room for the headers that the layers put into an answer.
const ADDED_HEADERS: usize = 10;

/// The one stack of layers, from the inside out. One function, since axum copies a route anew for each layer that it knows of;
/// and each in a box, since one future of all of them would be of a size for which an allocator takes its time.
async fn pass(State(layers): State<Arc<Layers>>, mut request: Request, next: Next) -> Response {
    let Layers { listener, gate, keyring, guards, limiter, capacity } = &*layers;
    let client = listener.proxies.client(&request);
    let identity = keyring.identify(client, request.headers(), guards.scopes(&request));
    request.extensions_mut().insert(identity.clone());

    let routed = async move |request| {
        let mut response = Box::pin(next.run(request)).await;
        // What the layers add, at once: the map would grow three times.
        response.headers_mut().reserve(ADDED_HEADERS);
        response
    };
    // Who asks too often takes no place from others.
    let admitted = async move |request| Box::pin(capacity::admit(capacity, request, routed)).await;
    let metered = async move |request| Box::pin(limit::meter(limiter, client, &identity, request, admitted)).await;
    // Outside of the limits, so that pages of allowed origins can read their refusals too.
    let checked = async move |request| Box::pin(gate::check(gate, client, request, metered)).await;
    // Whoever refuses, the client is heard out first.
    let drained = async move |request| Box::pin(drain::drain_body(request, checked)).await;
    let secured = async move |request| {
        let mut response = Box::pin(layers::catch_panic(request, drained)).await;
        headers::secure(client, &mut response);
        response
    };
    // Sees every answer.
    Box::pin(layers::observe(listener, client, request, secured)).await
}

/// To the microsecond; more digits would only look exact.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The OpenAPI document in pretty JSON.
#[must_use]
pub fn openapi() -> String {
    let mut document = api().0.merge(documentation()).into_openapi();
    docs::complete(&mut document);
    document.to_pretty_json().unwrap_or_default()
}

/// Every route that the document describes, grouped by who may call it, and which keys each operation takes.
fn api() -> (OpenApiRouter<AppState>, Guards) {
    let mut guards = Guards::default();
    let mut guarded = |routes: OpenApiRouter<AppState>, scopes: &'static [Scope]| {
        for (path, item) in &routes.get_openapi().paths.paths {
            for (method, _) in operations(item) {
                guards.insert(method, path, scopes);
            }
        }
        routes.route_layer(middleware::from_fn_with_state(scopes, auth::require))
    };
    let open = OpenApiRouter::with_openapi(docs::Base::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::api_health))
        .routes(routes!(health::live))
        .routes(routes!(health::healthz));
    let ingest = OpenApiRouter::new().routes(routes!(candles::post));
    let read = OpenApiRouter::new().routes(routes!(candles::get)).routes(routes!(health::detailed));
    let either = OpenApiRouter::new().routes(routes!(series::get));
    let routes = open
        .merge(guarded(ingest, &[Scope::Ingest]))
        .merge(guarded(read, &[Scope::Read]))
        .merge(guarded(either, &[Scope::Read, Scope::Ingest]));
    (routes, guards)
}

/// The operations of a path, by their methods.
fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [(Method::GET, &item.get), (Method::POST, &item.post)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn documentation() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(docs::openapi))
        .route("/api/docs", get(docs::page))
        .route("/api/docs/", get(docs::page))
        // A guess that many make. It is not a redirect, because this service never redirects.
        .route("/docs", get(docs::page))
        .route("/api/docs/{name}", get(docs::file))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::{Access, RateLimit, RateLimits};

    /// The stack around a route that panics, as it stands around every route.
    fn panicking() -> Router {
        let panics = async || {
            assert!(std::env::args().count() == 0, "the password is hidden");
        };
        let access = Access {
            origins: Vec::new(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            client_ip_header: String::new(),
            https_only: false,
        };
        let unlimited = RateLimits { ingest: RateLimit::Off, query: RateLimit::Off, anonymous: RateLimit::Off };
        let proxies = Proxies::new(&[], "", false);
        let layers = Layers {
            listener: layers::Listener { proxies, stopping: CancellationToken::new(), traffic: None },
            gate: Gate::new(&access),
            keyring: Keyring::new(&[], &[], RateLimit::Off),
            guards: Guards::default(),
            limiter: Limiter::new(&unlimited),
            capacity: Arc::new(Capacity::new()),
        };
        layers.around(Router::new().route("/", get(panics)))
    }

    async fn call(routes: Router) -> String {
        let request = Request::get("/?symbol=SECRET")
            .header("host", "x")
            .header("x-request-id", "id-1")
            .header("x-api-key", "SECRET");
        let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE);
        String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_it() {
        let body = call(panicking()).await;
        assert!(body.contains(r#""code":"internal","request_id":"id-1""#) && !body.contains("hidden"), "{body}");
    }

    #[test]
    fn a_panic_is_reported_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let events = sentry::test::with_captured_events(|| drop(runtime.block_on(call(panicking()))));
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(event.tags["request_id"], "id-1");
        assert_eq!(event.transaction.as_deref(), Some("GET /"));
        assert!(event.exception[0].value.as_deref().unwrap().contains("the password is hidden"));
        assert!(!serde_json::to_string(event).unwrap().contains("SECRET"));
    }
}
