//! Hears a client out before refusing it.
//!
//! Most clients send their whole body before they read. An answer that comes while they still send ends in a reset
//! connection (RFC 9112 section 9.6), and they never learn that the batch was too large or the key wrong.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// Most bytes that are read and dropped; a client with more to say is cut off.
const MOST: usize = 16 * 1024 * 1024;
/// Longest that a refusal waits for them.
const LONGEST: Duration = Duration::from_secs(2);

/// Reads what a handler left of the body, within limits, before its refusal is sent.
pub(super) async fn drain_body(request: Request, next: Next) -> Response {
    // Who asks before sending has not sent anything.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let mut body = SharedBody(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    // Who was too slow is not waited for again.
    if !response.status().is_success() && response.status() != StatusCode::REQUEST_TIMEOUT {
        let drain = async {
            let mut dropped = 0;
            while dropped < MOST {
                let Some(Ok(frame)) = body.frame().await else { break };
                dropped += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // The refusal is sent whether or not all was heard.
        let _ = timeout(LONGEST, drain).await;
    }
    response
}

/// A body that can be read on after a handler has dropped it.
#[derive(Debug, Clone)]
struct SharedBody(Arc<Mutex<Body>>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
