//! The API's documentation: the OpenAPI document and a page that shows it, both served from the binary.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use utoipa::openapi::Response as ResponseDoc;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, PathItem, RefOr};
use utoipa::{Modify, OpenApi};

use crate::http::probes;
use crate::http::problem::{self, Code, Problem};

/// The document without its paths, which the routes add.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "candlewick",
        description = "Keeps OHLCV candles from MetaTrader 5 and serves them to charts. \
            Every answer carries `x-request-id`. Every failure but those of `/health` and the verdicts of `/api/v1/freshness` is an `application/problem+json`. \
            The routes of `/api/v1/udf/` answer faults of a question as their protocol has it, with 200 and `\"s\":\"error\"`. \
            GET routes answer HEAD too.",
    ),
    tags((name = "Candles"), (name = "Series"), (name = "Exports"), (name = "TradingView"), (name = "Corrections"), (name = "Research"), (name = "Console"), (name = "Health"), (name = "Documentation")),
    components(schemas(problem::Body<'_>)),
    modifiers(&Security),
)]
pub(crate) struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let header = |name: &str, meaning: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, meaning)))
        };
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("Either kind of key.")).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "maintenance_key",
            header("X-Maintenance-Key", "A key from MAINTENANCE_KEY: corrects and deletes candles."),
        );
        components.add_security_scheme("ingest_key", header("X-API-KEY", "A key from MT5_API_KEY: posts candles."));
        components.add_security_scheme(
            "internal_token",
            header("X-Internal-Token", "A token from INTERNAL_API_TOKEN: reads candles."),
        );
        components.add_security_scheme(
            "research_key",
            header("X-API-KEY", "A key from RESEARCH_API_KEY: tests strategies and starts jobs."),
        );
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Adds to every operation the answers of the middleware and the headers of each answer.
pub(crate) fn complete(document: &mut Document) {
    /// Answers of middleware that probes do not pass.
    const MIDDLEWARE_CODES: [Code; 6] =
        [Code::ForeignOrigin, Code::ForeignHost, Code::PlainHttp, Code::RateLimited, Code::Overloaded, Code::TimedOut];
    /// Answers of the router, which belong to no operation.
    const ROUTING_CODES: [Code; 2] = [Code::NotFound, Code::MethodNotAllowed];
    let header = |kind, meaning: &str| {
        let schema = ObjectBuilder::new().schema_type(kind);
        RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(meaning)).build())
    };
    for code in ROUTING_CODES {
        let components = document.components.get_or_insert_default();
        components
            .responses
            .extend(problem::responses(&[code]).into_values().map(|response| (code.name().to_owned(), response)));
    }
    let paths = document.paths.paths.iter_mut();
    for (path, operation) in paths.flat_map(|(path, item)| operations(item).map(move |operation| (path, operation))) {
        let probe = probes::PROBES.contains(&path.as_str());
        let mut codes = vec![Code::InvalidHost, Code::Internal];
        codes.extend(MIDDLEWARE_CODES.into_iter().filter(|_| !probe));
        codes.retain(|code| !is_told_of(&operation.responses.responses, *code));
        for (status, response) in problem::responses(&codes) {
            add(&mut operation.responses.responses, status, response);
        }
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            let mut say = |name: &str, kind, meaning| response.headers.insert(name.to_owned(), header(kind, meaning));
            say("x-request-id", Type::String, "The request's id: the one it came with, or else a new one.");
            if !probe && status != "403" && status != "500" && status != "503" {
                say(
                    "ratelimit-limit",
                    Type::Integer,
                    "The maximum number of requests at once, if requests are limited.",
                );
                say("ratelimit-remaining", Type::Integer, "Requests left now.");
                say("ratelimit-reset", Type::Integer, "Seconds until all requests are available again.");
            }
        }
    }
}

/// Adds an answer, or appends its description to the answer that has its status already.
fn add(responses: &mut BTreeMap<String, RefOr<ResponseDoc>>, status: String, response: RefOr<ResponseDoc>) {
    match (responses.get_mut(&status), response) {
        (Some(RefOr::T(said)), RefOr::T(response)) => {
            said.description = format!("{} {}", said.description, response.description);
            said.headers.extend(response.headers);
            for (kind, content) in response.content {
                if let (Some(RefOr::T(said)), RefOr::T(content)) = (said.content.get_mut(&kind), content) {
                    said.examples.extend(content.examples);
                }
            }
        }
        (_, response) => drop(responses.insert(status, response)),
    }
}

/// True if one of an operation's answers has an example of `code` already.
fn is_told_of(responses: &BTreeMap<String, RefOr<ResponseDoc>>, code: Code) -> bool {
    let Some(RefOr::T(response)) = responses.get(code.status().as_str()) else { return false };
    let content = response.content.get(problem::CONTENT_TYPE);
    matches!(content, Some(RefOr::T(content)) if content.examples.contains_key(code.name()))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    item.get.iter_mut().chain(item.post.iter_mut()).chain(item.delete.iter_mut())
}

/// The content security policy of the page: it may load its own files and call the API that served it. Inline styles are
/// allowed because Swagger UI sets them on its elements.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The time for which browsers may cache the page's files.
const REUSED: &str = "public, max-age=3600";

/// The document as it is served, made at the first request. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct PrettyDocument {
    make: fn() -> String,
    made: Arc<OnceLock<Bytes>>,
}

impl PrettyDocument {
    pub(crate) fn new(make: fn() -> String) -> Self {
        Self { make, made: Arc::default() }
    }

    fn bytes(&self) -> Bytes {
        self.made.get_or_init(|| Bytes::from((self.make)())).clone()
    }
}

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "Documentation", operation_id = "openapi", security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(crate) async fn openapi(State(document): State<PrettyDocument>) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], document.bytes())
        .into_response()
}

/// The page that shows the document.
pub(crate) async fn page() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, PAGE_POLICY), (header::CACHE_CONTROL, "no-cache")];
    (headers, Html(include_str!("docs.html"))).into_response()
}

/// A file of the page.
struct DocsFile {
    name: &'static str,
    kind: String,
    /// Shared by all requests, so that a slow client takes no memory.
    bytes: Bytes,
}

/// The page's own script and the files of Swagger UI.
fn files() -> Result<Vec<DocsFile>, String> {
    let config = Arc::new(utoipa_swagger_ui::Config::default());
    let of_swagger = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"].map(|name| {
        let file = utoipa_swagger_ui::serve(name, Arc::clone(&config)).map_err(|error| error.to_string())?;
        let file = file.ok_or_else(|| format!("{name} is not in the binary"))?;
        Ok(DocsFile { name, kind: file.content_type, bytes: Bytes::from(file.bytes.into_owned()) })
    });
    let bytes = Bytes::from_static(include_bytes!("docs.js"));
    let start = DocsFile { name: "start.js", kind: "text/javascript".to_owned(), bytes };
    of_swagger.into_iter().chain([Ok(start)]).collect()
}

/// Serves a file of the page.
pub(crate) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    static FILES: LazyLock<Result<Vec<DocsFile>, String>> = LazyLock::new(files);
    let files = FILES.as_ref().map_err(|error| Problem::internal(error.clone()))?;
    let file = files
        .iter()
        .find(|file| file.name == name)
        .ok_or_else(|| Problem::new(Code::NotFound, "The documentation has no such file; open /api/docs."))?;
    let headers = [(header::CONTENT_TYPE, file.kind.as_str()), (header::CACHE_CONTROL, REUSED)];
    Ok((headers, file.bytes.clone()).into_response())
}
