//! Headers that restrict what browsers and caches may do with an answer.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::http::net::client_address::{Client, Transport};

/// The content security policy of an answer whose handler has set none. A browser that shows the answer loads nothing
/// for it, and never shows it in a frame.
const CSP_NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The value of the HSTS header: a browser that has connected over TLS uses only TLS for a year.
const HSTS_ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the security headers to an answer. A content security policy or a `Cache-Control` that a handler has set stays.
pub(crate) fn secure(client: Client, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP_NOTHING);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if client.transport == Transport::Https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS_ONE_YEAR);
    }
}
