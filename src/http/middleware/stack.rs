//! The middleware around every public route, in one place and in order.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tracing::Instrument as _;

use crate::http::middleware::access_log::{self, Listener};
use crate::http::middleware::admission::{self, AdmissionControl};
use crate::http::middleware::auth::{Guards, Keyring};
use crate::http::middleware::cors::{self, OriginPolicy};
use crate::http::middleware::rate_limit::{self, Limiter};
use crate::http::middleware::{drain, panic, security_headers};
use crate::http::problem::{Code, Problem};
use crate::telemetry::spans;

/// The layers around every route, in the order in which a request passes them.
pub(crate) struct Stack {
    pub(crate) listener: Listener,
    pub(crate) origins: OriginPolicy,
    pub(crate) keyring: Keyring,
    pub(crate) guards: Guards,
    pub(crate) limiter: Limiter,
    pub(crate) admission: Arc<AdmissionControl>,
}

impl Stack {
    /// Puts the layers around every route, refusals of unknown ones included.
    pub(crate) fn around<S: Clone + Send + Sync + 'static>(self, routes: Router<S>) -> Router<S> {
        routes
            .fallback(async || {
                Problem::new(Code::NotFound, "There is no such route; the API's documentation lists them.")
            })
            .method_not_allowed_fallback(async || {
                Problem::new(Code::MethodNotAllowed, "This route has no such method; use one that Allow lists.")
            })
            .layer(middleware::from_fn_with_state(Arc::new(self), run_stack))
    }
}

/// Capacity for the headers that the middleware adds to an answer.
const ADDED_HEADERS: usize = 10;

/// Runs the middleware, written from the inside out. A request passes, in this order:
///
/// 1. the span that names the request in every line of the log, that of a panic too,
/// 2. `access_log` and `request_metrics`, which see every answer,
/// 3. `security_headers`,
/// 4. `panic`, which turns a panic into a 500,
/// 5. `drain`, outside everything that can refuse,
/// 6. `host` and `cors`, outside the limits, so that pages of allowed origins can read refusals,
/// 7. `rate_limit`, before admission, so that a client over its limit cannot occupy a place,
/// 8. `admission`,
/// 9. the route, whose guard (`auth`) checks the scope of the key that was identified first.
///
/// It is one function, because axum copies a route for each layer that it knows of. A `ServiceBuilder` around the router would
/// not, but then requests have no `MatchedPath`, which guards, log and metrics need. Each step is boxed, because a single
/// future of all of them would be so large that its allocation is slow.
async fn run_stack(State(stack): State<Arc<Stack>>, request: Request, next: Next) -> Response {
    let request_id = access_log::request_id(request.headers());
    let span = spans::request(&request_id);
    run_layers(&stack, request_id, request, next).instrument(span).await
}

async fn run_layers(stack: &Stack, request_id: String, mut request: Request, next: Next) -> Response {
    let Stack { listener, origins, keyring, guards, limiter, admission } = stack;
    let client = listener.proxies.client(&request);
    let scopes = guards.scopes(&request);
    let identity = keyring.identify(client, request.headers(), scopes);
    request.extensions_mut().insert(identity.clone());
    if let Some(disabled) = keyring.research_disabled(scopes) {
        request.extensions_mut().insert(disabled);
    }

    let routed = async move |request| {
        let mut response = Box::pin(next.run(request)).await;
        // Reserved once, because the map would grow three times otherwise.
        response.headers_mut().reserve(ADDED_HEADERS);
        response
    };
    let admitted = async move |request| Box::pin(admission::admit(admission, request, routed)).await;
    let metered = async move |request| Box::pin(rate_limit::meter(limiter, client, &identity, request, admitted)).await;
    let checked = async move |request| Box::pin(cors::check(origins, client, request, metered)).await;
    let drained = async move |request| Box::pin(drain::drain_body(request, checked)).await;
    let secured = async move |request| {
        let mut response = Box::pin(panic::catch_panic(request, drained)).await;
        security_headers::secure(client, &mut response);
        response
    };
    Box::pin(access_log::observe(listener, client, request_id, request, secured)).await
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::{Access, LogFormat, RateLimit, RateLimits};
    use crate::http::middleware::credentials::Credentials;
    use crate::http::middleware::shared_limits::SharedLimits;
    use crate::http::net::client_address::Proxies;
    use crate::http::problem;
    use crate::telemetry::tests::logged;

    /// The stack around a route that panics. It is the same as around every other route.
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
        let unlimited = RateLimits {
            ingest: RateLimit::Off,
            query: RateLimit::Off,
            research: RateLimit::Off,
            anonymous: RateLimit::Off,
        };
        let proxies = Proxies::new(&[], "", false);
        let layers = Stack {
            listener: Listener { proxies, stopping: CancellationToken::new(), metrics: None },
            origins: OriginPolicy::new(&access),
            keyring: Keyring::new(Credentials::default(), RateLimit::Off, SharedLimits::default()),
            guards: Guards::default(),
            limiter: Limiter::new(&unlimited, SharedLimits::default()),
            admission: Arc::new(AdmissionControl::new()),
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
    async fn a_panic_is_a_problem_without_the_panic_message() {
        let body = call(panicking()).await;
        assert!(body.contains(r#""code":"internal","request_id":"id-1""#) && !body.contains("hidden"), "{body}");
    }

    #[test]
    fn the_line_of_a_panic_names_its_request() {
        for (format, request_id) in
            [(LogFormat::Text, r#"request_id="id-1""#), (LogFormat::Json, r#""request_id":"id-1""#)]
        {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let lines = logged(format, || drop(runtime.block_on(call(panicking()))));
            let [panic, request] = lines.as_slice() else { panic!("{lines:?}") };
            assert!(panic.contains("the password is hidden") && panic.contains("location"), "{panic}");
            assert!(request.contains("panic: the password is hidden"), "{request}");
            for line in [panic, request] {
                assert_eq!(line.matches(request_id).count(), 1, "{line}");
            }
        }
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
