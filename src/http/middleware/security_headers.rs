//! Headers that tell browsers and caches what not to do with an answer.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::http::net::client_address::{Client, Transport};

/// The policy of every answer but a page: browsers may do nothing with it.
const CSP_NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// HSTS: a browser that came over TLS uses nothing else for a year.
const HSTS_ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Completes an answer with the headers of its safety. Those that a handler has set stay.
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
