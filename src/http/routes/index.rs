//! The page at `/`, for people who open the service's address in a browser. It is the same for everybody. Of the configuration
//! it shows only whether the documentation is served.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The page with a placeholder for the link. It has no style, so that it needs no content security policy of its own.
const PAGE: &str = include_str!("index.html");
const DOCS_PLACE: &str = "    <!-- docs -->\n";
const DOCS_LINK: &str = "    <li><a href=\"/api/docs\">/api/docs</a>: every route, to be tried in the browser</li>\n";

/// The page of a service that serves its documentation.
pub(crate) async fn with_docs() -> Response {
    static WITH_DOCS: LazyLock<Bytes> = LazyLock::new(|| PAGE.replace(DOCS_PLACE, DOCS_LINK).into());
    page(&WITH_DOCS)
}

/// The page of a service that does not.
pub(crate) async fn without_docs() -> Response {
    static WITHOUT_DOCS: LazyLock<Bytes> = LazyLock::new(|| PAGE.replace(DOCS_PLACE, "").into());
    page(&WITHOUT_DOCS)
}

fn page(bytes: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], bytes.clone()).into_response()
}
