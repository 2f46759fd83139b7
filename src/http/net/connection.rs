//! A connection and how long its client may take over each of its parts.
//!
//! `hyper` bounds only the time from one request to the head of the next, idle time included. A bound for idle time alone
//! has been asked for since 2018 ([#1628](https://github.com/hyperium/hyper/issues/1628)); the one that was written is closed
//! ([#3743](https://github.com/hyperium/hyper/pull/3743)), and what took its place is open
//! ([#3828](https://github.com/hyperium/hyper/pull/3828)). Here the head has a deadline of its own, so that an idle
//! connection may stay open longer than proxies keep theirs (a proxy that posts on a connection just as we close it answers
//! 502), while a head that comes a byte at a time is cut off soon.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::Service;

use crate::http::timeouts::{ANSWER_TIMEOUT, HEAD_TIMEOUT};
use crate::telemetry::metrics::ConnectionsTimedOut;

/// The deadlines of a connection's client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// As [`HEAD_TIMEOUT`].
    pub(crate) head: Duration,
    /// As [`ANSWER_TIMEOUT`].
    pub(crate) take: Duration,
}

impl Deadlines {
    pub(crate) const DEFAULT: Self = Self { head: HEAD_TIMEOUT, take: ANSWER_TIMEOUT };
}

/// The phase that a connection is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ConnectionPhase {
    /// No request is being answered. Bytes that arrive belong to the head of the next one.
    Awaiting,
    /// A request is being answered.
    Answering,
    /// An answer of unknown length is being sent.
    Streaming,
    /// The connection no longer carries HTTP, and its new owner sets its own deadlines for what comes in.
    Upgraded,
}

/// The requests on a connection, shared between its stream and its service.
#[derive(Debug)]
struct Activity {
    /// The number of requests so far.
    requests: AtomicU64,
    /// A [`ConnectionPhase`].
    phase: AtomicU8,
}

impl Activity {
    fn new() -> Self {
        Self { requests: AtomicU64::new(0), phase: AtomicU8::new(ConnectionPhase::Awaiting as u8) }
    }

    fn enter(&self, phase: ConnectionPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: ConnectionPhase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// True while the answer that is being sent has no known end.
    fn is_open_ended(&self) -> bool {
        self.is(ConnectionPhase::Streaming) || self.is(ConnectionPhase::Upgraded)
    }
}

/// A service that reports its requests to the connection's stream.
#[derive(Clone)]
pub(crate) struct Watched<S> {
    service: S,
    activity: Arc<Activity>,
    stopping: CancellationToken,
}

impl<S, B> Service<Request<B>> for Watched<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let activity = Arc::clone(&self.activity);
        let stopping = self.stopping.clone();
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.enter(ConnectionPhase::Answering);
        let is_tunnel = request.method() == Method::CONNECT;
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS || (is_tunnel && answer.status().is_success()) {
                activity.enter(ConnectionPhase::Upgraded);
                return Ok(answer);
            }
            if answer.body().size_hint().exact().is_some() {
                activity.enter(ConnectionPhase::Awaiting);
                return Ok(answer);
            }
            activity.enter(ConnectionPhase::Streaming);
            let ends_itself = answer.extensions().get::<EndsItself>().is_some();
            let stopping = (!ends_itself).then(|| Box::pin(stopping.cancelled_owned()));
            Ok(answer.map(|body| Body::new(StreamingBody { body, activity, stopping })))
        })
    }
}

/// Marks an answer of unknown length that ends in order when the service stops, and therefore is not broken off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndsItself;

/// An answer of unknown length. Unless it [`EndsItself`], it breaks off when the service stops, because it would delay the stop to its deadline: without
/// its last chunk, so that no client takes it for whole. The client then asks again, and reaches the process that has taken
/// over.
struct StreamingBody {
    body: Body,
    activity: Arc<Activity>,
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl HttpBody for StreamingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.stopping.as_mut().is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(axum::Error::new("the service stops"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for StreamingBody {
    fn drop(&mut self) {
        self.activity.enter(ConnectionPhase::Awaiting);
    }
}

/// A TCP connection that ends when its client takes too long.
pub(crate) struct Connection<P> {
    stream: TcpStream,
    activity: Arc<Activity>,
    deadlines: Deadlines,
    /// The head that has to arrive by a deadline.
    head: Option<AwaitedHead>,
    /// The deadline by which the client must have received everything that was written, or any part of an endless answer.
    take: Option<Pin<Box<Sleep>>>,
    stopping: CancellationToken,
    /// Resolves when the service stops. Set once the connection is upgraded.
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// The connection's place, given back when it ends.
    _place: P,
}

/// A head that has to arrive by its deadline.
struct AwaitedHead {
    request: u64,
    deadline: Instant,
    /// Set only after the first byte, because nearly every head arrives in one piece.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl AwaitedHead {
    fn new(request: u64, time: Duration) -> Self {
        Self { request, deadline: Instant::now() + time, alarm: None }
    }
}

impl<P> Connection<P> {
    /// Wraps a connection that was just accepted, and the service on it, which reports its requests. The connection holds
    /// `place` until it ends. Streams end once `stopping` is cancelled.
    pub(crate) fn new<S>(
        stream: TcpStream,
        service: S,
        deadlines: Deadlines,
        stopping: CancellationToken,
        place: P,
    ) -> (Self, Watched<S>) {
        let activity = Arc::new(Activity::new());
        let watched = Watched { service, activity: Arc::clone(&activity), stopping: stopping.clone() };
        let head = Some(AwaitedHead::new(0, deadlines.head));
        let connection = Self { stream, activity, deadlines, head, take: None, stopping, stopped: None, _place: place };
        (connection, watched)
    }

    fn requests(&self) -> u64 {
        self.activity.requests.load(Ordering::Relaxed)
    }

    /// Starts the deadline of a head at its first byte.
    fn began_head(&mut self) {
        if self.head.is_none() && self.activity.is(ConnectionPhase::Awaiting) {
            self.head = Some(AwaitedHead::new(self.requests(), self.deadlines.head));
        }
    }

    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let requests = self.requests();
        let Some(AwaitedHead { request, deadline, alarm }) = &mut self.head else { return false };
        if *request < requests {
            self.head = None;
            return false;
        }
        alarm.get_or_insert_with(|| Box::pin(sleep_until(*deadline))).as_mut().poll(cx).is_ready()
    }

    /// True if an upgraded connection has to end because the service stops. Its reader then reads the end of the stream.
    fn upgrade_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.activity.is(ConnectionPhase::Upgraded) {
            return false;
        }
        let stopping = &self.stopping;
        self.stopped.get_or_insert_with(|| Box::pin(stopping.clone().cancelled_owned())).as_mut().poll(cx).is_ready()
    }

    /// Passes on the result of a write, unless the client has exceeded its deadline.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_pending() {
            let time = self.deadlines.take;
            let deadline = self.take.get_or_insert_with(|| Box::pin(sleep(time)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(too_slow(ConnectionsTimedOut::Answer)));
        }
        if self.activity.is_open_ended() {
            // A client that receives some of an endless answer is not too slow.
            self.take = None;
        }
        result
    }
}

fn too_slow(phase: ConnectionsTimedOut) -> io::Error {
    phase.count(1);
    io::ErrorKind::TimedOut.into()
}

impl<P: Unpin> AsyncRead for Connection<P> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.upgrade_is_over(cx) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.began_head();
        } else if result.is_pending() && self.head_is_late(cx) {
            return Poll::Ready(Err(too_slow(ConnectionsTimedOut::Head)));
        }
        result
    }
}

impl<P: Unpin> AsyncWrite for Connection<P> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Clears the deadline once everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.take = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
