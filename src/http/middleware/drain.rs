//! Drains the body of a request that is refused.
//!
//! Nearly all clients send their whole body before they read. If the service answered and closed while they still send, the
//! connection would be reset (RFC 9112 section 9.6), and they would never read that the batch was too large or the key wrong.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use crate::http::timeouts::BODY_DRAIN_TIMEOUT;

/// The maximum number of bytes that are read and dropped. A client that sends more is cut off.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;

/// Reads the rest of the body, within limits, before a refusal is sent. Where more is left, the answer announces that the
/// connection ends.
pub(crate) async fn drain_body(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    if request.body().is_end_stream() {
        return next(request).await;
    }
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let mut body = SharedBody { body: Arc::new(Mutex::new(body)), wanted: Arc::default() };
    let mut response = next(Request::from_parts(parts, Body::new(body.clone()))).await;
    if response.status().is_success() {
        return response;
    }
    // A client that sent `Expect: 100-continue` and got no go-ahead has sent nothing, and one that was too slow is not given
    // more time.
    let sends = !asks_first || body.wanted.load(Ordering::Relaxed);
    let is_drained = sends
        && response.status() != StatusCode::REQUEST_TIMEOUT
        && timeout(BODY_DRAIN_TIMEOUT, Box::pin(body.drain())).await.unwrap_or(false);
    if !is_drained {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body that can still be read after its handler has dropped it.
#[derive(Debug, Clone)]
struct SharedBody {
    body: Arc<Mutex<Body>>,
    /// True once a handler has begun to read it.
    wanted: Arc<AtomicBool>,
}

impl SharedBody {
    /// Reads and drops the rest. Returns true if that was all of it.
    async fn drain(&mut self) -> bool {
        let mut dropped = 0;
        while dropped < MAX_DRAINED_BYTES {
            match self.frame().await {
                None => return true,
                Some(Ok(frame)) => dropped += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return false,
            }
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.wanted.store(true, Ordering::Relaxed);
        Pin::new(&mut *self.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
