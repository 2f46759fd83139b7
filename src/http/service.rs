//! Assembles the public routes, their state and the middleware.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::Method;
use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa::openapi::PathItem;
use utoipa::openapi::path::Operation;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::http::middleware::access_log::Listener;
use crate::http::middleware::admission::AdmissionControl;
use crate::http::middleware::auth::{self, Guards, Keyring};
use crate::http::middleware::cors::OriginPolicy;
use crate::http::middleware::credentials::{Credentials, Scope};
use crate::http::middleware::rate_limit::{self, Limiter};
use crate::http::middleware::request_metrics::RequestMetrics;
use crate::http::middleware::shared_limits::SharedLimits;
use crate::http::middleware::stack::Stack;
use crate::http::net::client_address::Proxies;
use crate::http::routes::batch_body::MaxBodyBytes;
use crate::http::routes::console::session::Console;
use crate::http::routes::console::sign_ins::SignIns;
use crate::http::routes::docs::{self, PrettyDocument};
use crate::http::routes::health::{self, Health};
use crate::http::routes::{
    activity, backtests, candles, changes, console, corrections, export, files, freshness, gaps, index, jobs, latest,
    live, series, signals, strategies, udf,
};
use crate::ingest::Ingest;
use crate::live::Live;
use crate::maintain::Maintenance;
use crate::query::Query;
use crate::research::{Jobs, Research};
use crate::store::Store;

/// The state of the routes. Clones share it, because axum makes several for each request.
#[derive(Debug, Clone)]
struct AppState(Arc<Parts>);

/// The parts of the state. Each route extracts those that it needs.
#[derive(Debug)]
struct Parts {
    ingest: Ingest,
    query: Query,
    maintenance: Maintenance,
    live: Live,
    research: Research,
    jobs: Jobs,
    health: Health,
    console: Console,
    admission: Arc<AdmissionControl>,
    max_body_bytes: MaxBodyBytes,
    document: PrettyDocument,
}

/// Lets routes extract a part of the state by its type.
macro_rules! parts {
    ($($field:ident: $type:ty),+) => {
        $(impl FromRef<AppState> for $type {
            fn from_ref(state: &AppState) -> Self {
                state.0.$field.clone()
            }
        })+
    };
}
parts!(ingest: Ingest, query: Query, maintenance: Maintenance, live: Live, research: Research, jobs: Jobs, health: Health, console: Console, admission: Arc<AdmissionControl>, max_body_bytes: MaxBodyBytes, document: PrettyDocument);

/// The public HTTP service.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its public routes.
    pub(crate) routes: Router,
    /// The proxies whose forwarding headers count.
    pub(crate) proxies: Proxies,
    /// The accepted keys.
    pub(crate) keyring: Keyring,
    pub(crate) health: Health,
    pub(crate) limiter: Limiter,
    pub(crate) stopping: CancellationToken,
}

impl Service {
    /// Builds the routes. `shared` holds the rate limits that replicas share. `/health` answers 503 until the store is `reached`, and again once `stopping` is cancelled.
    pub(crate) fn new(
        config: &Config,
        clock: &Clock,
        store: Store,
        (ingest, query, maintenance, live, research, jobs): (Ingest, Query, Maintenance, Live, Research, Jobs),
        shared: SharedLimits,
        (reached, stopping): (watch::Receiver<bool>, CancellationToken),
    ) -> Self {
        let access = &config.access;
        let proxies = Proxies::new(&access.trusted_proxies, &access.client_ip_header, config.tls.is_some());
        let limiter = Limiter::new(&config.rate_limits, shared.clone());
        let parts = (store, ingest.clone(), jobs.clone());
        let health = Health::new(parts, shared.clone(), clock.now(), stopping.clone(), reached);
        let admission = Arc::new(AdmissionControl::new());
        let searches = rate_limit::of_wrong_keys(&config.rate_limits);
        let credentials =
            Credentials::new(&config.ingest_keys, &config.read_tokens, &config.maintenance_keys, &config.research_keys);
        let mut keyring = Keyring::new(credentials, searches, shared);
        if config.console_enabled {
            keyring = keyring.with_sessions(clock.clone());
        }
        let state = AppState(Arc::new(Parts {
            ingest,
            query,
            maintenance,
            live,
            research,
            jobs,
            health: health.clone(),
            console: Console {
                keyring: keyring.clone(),
                limiter: limiter.clone(),
                proxies: proxies.clone(),
                clock: clock.clone(),
                sign_ins: SignIns::default(),
                in_development: config.environment == Environment::Development,
            },
            admission: admission.clone(),
            max_body_bytes: MaxBodyBytes(config.limits.max_body_bytes),
            document: PrettyDocument::new(openapi),
        }));
        let (routes, guards) = api();
        let (mut routes, document) = routes.split_for_parts();
        let metrics = RequestMetrics::new();
        for (path, item) in &document.paths.paths {
            for (method, _) in operations(item) {
                metrics.expect_failures(&method, path);
            }
        }
        if config.docs_enabled {
            routes = routes.merge(documentation().split_for_parts().0);
        }
        routes = match (config.console_enabled, config.docs_enabled) {
            (true, _) => routes.merge(the_console().split_for_parts().0),
            (false, true) => routes.route("/", get(index::with_docs)),
            (false, false) => routes.route("/", get(index::without_docs)),
        };
        let layers = Stack {
            listener: Listener { proxies: proxies.clone(), stopping: stopping.clone(), metrics: Some(metrics) },
            origins: OriginPolicy::new(access),
            keyring: keyring.clone(),
            guards,
            limiter: limiter.clone(),
            admission,
        };
        Self { routes: layers.around(routes).with_state(state), proxies, keyring, health, limiter, stopping }
    }
}

/// The OpenAPI document in pretty JSON.
#[must_use]
pub fn openapi() -> String {
    let mut document = api().0.merge(the_console()).merge(documentation()).into_openapi();
    docs::complete(&mut document);
    document.to_pretty_json().unwrap_or_default()
}

/// Every documented route, grouped by the scope that it takes, and the guards that enforce it.
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
    let read = OpenApiRouter::new()
        .routes(routes!(candles::get))
        .routes(routes!(latest::get))
        .routes(routes!(export::ndjson))
        .routes(routes!(export::parquet))
        .routes(routes!(gaps::get))
        .routes(routes!(changes::get))
        .routes(routes!(activity::get))
        .routes(routes!(live::get))
        .routes(routes!(udf::config))
        .routes(routes!(udf::symbols))
        .routes(routes!(udf::search))
        .routes(routes!(udf::history))
        .routes(routes!(udf::marks))
        .routes(routes!(udf::timescale_marks))
        .routes(routes!(udf::time))
        .routes(routes!(health::detailed));
    let research = OpenApiRouter::new()
        .routes(routes!(strategies::list))
        .routes(routes!(strategies::get))
        .routes(routes!(strategies::pine))
        .routes(routes!(backtests::post))
        .routes(routes!(signals::post))
        .routes(routes!(signals::csv))
        .routes(routes!(signals::history))
        .routes(routes!(export::csv))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::results))
        .routes(routes!(files::get));
    let jobs =
        OpenApiRouter::new().routes(routes!(jobs::post)).routes(routes!(jobs::delete)).routes(routes!(files::post));
    let maintenance = OpenApiRouter::new().routes(routes!(corrections::post)).routes(routes!(candles::delete));
    let either = OpenApiRouter::new().routes(routes!(series::get)).routes(routes!(freshness::get));
    let routes = open
        .merge(guarded(ingest, &[Scope::Ingest]))
        .merge(guarded(read, &[Scope::Read]))
        .merge(guarded(research, &[Scope::Read, Scope::Research]))
        .merge(guarded(jobs, &[Scope::Research]))
        .merge(guarded(maintenance, &[Scope::Maintenance]))
        .merge(guarded(either, &[Scope::Read, Scope::Ingest]));
    (routes, guards)
}

/// The operations of a path, by their methods.
fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [(Method::GET, &item.get), (Method::POST, &item.post), (Method::DELETE, &item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn the_console() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(console::session::get, console::session::post, console::session::delete))
        .route("/", get(console::files::page))
        .route("/console", get(console::files::page))
        .route("/console/", get(console::files::page))
        .route("/console/{*path}", get(console::files::file))
}

fn documentation() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(docs::openapi))
        .route("/api/docs", get(docs::page))
        .route("/api/docs/", get(docs::page))
        // An address that many people guess. It is served and not redirected, because this service never redirects.
        .route("/docs", get(docs::page))
        .route("/api/docs/{name}", get(docs::file))
}
