//! The API's documentation: the OpenAPI document and a page that shows it, both out of the binary.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Path;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, PathItem, RefOr};
use utoipa::{Modify, OpenApi};

use super::problem::{self, Code, Problem};

/// The document without its paths, which the routes bring.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "candlewick",
        description = "Keeps OHLCV candles from MetaTrader 5 and serves them to charts. \
            Every answer carries `x-request-id`. Every failure but that of `/health` is an `application/problem+json`. \
            GET routes answer HEAD too.",
    ),
    tags((name = "Candles"), (name = "Series"), (name = "Health"), (name = "Documentation")),
    components(schemas(problem::Body<'_>)),
    modifiers(&Security),
)]
pub(super) struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let header = |name: &str, meaning: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, meaning)))
        };
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("Either kind of key.")).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("ingest_key", header("X-API-KEY", "A key from MT5_API_KEY: posts candles."));
        components.add_security_scheme(
            "internal_token",
            header("X-Internal-Token", "A token from INTERNAL_API_TOKEN: reads candles."),
        );
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Adds what holds for every operation: the request's id in each answer, and the answer to a panic.
pub(super) fn complete(document: &mut Document) {
    let request_id = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("The request's id: the one it came with, or else a new one."))
        .build();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (status, response) in problem::responses(&[Code::Internal]) {
            operation.responses.responses.entry(status).or_insert(response);
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.headers.insert("x-request-id".to_owned(), RefOr::T(request_id.clone()));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    item.get.iter_mut().chain(item.post.iter_mut())
}

/// The document as it is served and as `candlewick openapi` prints it.
#[derive(Debug, Clone)]
pub(super) struct DocumentText(pub(super) Arc<str>);

/// This document
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "Documentation", operation_id = "openapi", security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(super) async fn openapi(Extension(document): Extension<DocumentText>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0.to_string()).into_response()
}

/// The page that shows the document.
pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

/// The page's own script and the files of Swagger UI.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    const SERVED: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];
    if name == "start.js" {
        let script = include_str!("docs.js");
        return Ok(([(header::CONTENT_TYPE, "text/javascript")], script).into_response());
    }
    let unknown = || Problem::new(Code::NotFound, "The documentation has no such file; open /api/docs.");
    if !SERVED.contains(&name.as_str()) {
        return Err(unknown());
    }
    let config = Arc::new(utoipa_swagger_ui::Config::default());
    match utoipa_swagger_ui::serve(&name, config) {
        Ok(Some(file)) => Ok(([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response()),
        Ok(None) => Err(unknown()),
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}
