//! Answers by Server-Sent Events.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};

use crate::http::middleware::auth::Validity;
use crate::http::net::connection::EndsItself;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The last words to a client whose key is no longer accepted. It learns that when it comes back.
const REVOKED: &str = "retry: 2000\n\n";

/// The answer with these events, each of them whole, for as long as the key of the caller is accepted.
pub(super) fn answer(events: impl Stream<Item = Bytes> + Send + 'static, validity: Validity) -> Response {
    respond(Body::from_stream(while_valid(events, validity).map(Ok::<_, Infallible>)))
}

/// The answer to HEAD.
pub(super) fn head() -> Response {
    respond(Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
}

fn respond(body: Body) -> Response {
    let value = HeaderValue::from_static;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CONTENT_TYPE, value("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, value("no-cache, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, value("no"));
    let mut response = (headers, body).into_response();
    response.extensions_mut().insert(EndsItself);
    response
}

/// The events until the key is revoked, or the session has ended when one of them comes. Comments come every 15 seconds.
fn while_valid(
    events: impl Stream<Item = Bytes> + Send + 'static,
    validity: Validity,
) -> impl Stream<Item = Bytes> + Send {
    struct Open<S> {
        events: Pin<Box<S>>,
        revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
        validity: Validity,
    }
    let revoked = Box::pin(validity.revoked().clone().cancelled_owned());
    let open = Open { events: Box::pin(events), revoked, validity };
    stream::unfold(Some(open), async |open| {
        let mut open = open?;
        let next = tokio::select! {
            biased;
            () = &mut open.revoked => return Some((Bytes::from_static(REVOKED.as_bytes()), None)),
            next = open.events.next() => next?,
        };
        if open.validity.has_session_ended() {
            return Some((Bytes::from_static(REVOKED.as_bytes()), None));
        }
        Some((next, Some(open)))
    })
}
