//! A connection and how long its client may take over each of its parts.
//!
//! `hyper` bounds only the time from the end of one request to the head of the next, idle time included. Here the head has a
//! deadline of its own, so that an idle connection may stay open longer than proxies keep theirs (a proxy that posts on a
//! connection just as we close it answers 502), while a head that comes a byte at a time is cut off soon.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::Service;

use crate::telemetry::metrics::ConnectionsTimedOut;

/// Longest from a connection's start, or from the first byte of a later request, to the end of the request's head.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// Longest that a client may take to receive an answer.
const TAKE: Duration = Duration::from_secs(30);

/// What a connection's stream knows of the requests that came over it.
#[derive(Default)]
struct Activity {
    /// How many there were.
    requests: AtomicU64,
    /// Whether one is being answered.
    answering: AtomicBool,
}

/// A service that tells its connection's stream of requests.
#[derive(Clone)]
pub(crate) struct Watched<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S, B> Service<Request<B>> for Watched<S>
where
    S: Service<Request<B>>,
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
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.answering.store(true, Ordering::Relaxed);
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await;
            activity.answering.store(false, Ordering::Relaxed);
            answer
        })
    }
}

/// A TCP connection that ends when its client takes too long.
pub(crate) struct Connection<P> {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// When the head must be there that belongs to the request of this number.
    head: Option<Head>,
    /// When the client must have taken all that was written.
    take: Option<Pin<Box<Sleep>>>,
    /// Given back when the connection ends.
    _place: P,
}

/// A head that is awaited.
struct Head {
    request: u64,
    deadline: Instant,
    /// Set only while it is waited for: nearly every head comes in one piece.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Head {
    fn of(request: u64) -> Self {
        Self { request, deadline: Instant::now() + HEAD, alarm: None }
    }
}

impl<P> Connection<P> {
    /// A connection that was just accepted, and the service on it that tells it of requests. `place` is what it takes from
    /// others, until it ends.
    pub(super) fn new<S>(stream: TcpStream, service: S, place: P) -> (Self, Watched<S>) {
        let activity = Arc::new(Activity::default());
        let watched = Watched { service, activity: Arc::clone(&activity) };
        (Self { stream, activity, head: Some(Head::of(0)), take: None, _place: place }, watched)
    }

    fn requests(&self) -> u64 {
        self.activity.requests.load(Ordering::Relaxed)
    }

    /// Starts the deadline of a head with its first byte.
    fn began_head(&mut self) {
        if self.head.is_none() && !self.activity.answering.load(Ordering::Relaxed) {
            self.head = Some(Head::of(self.requests()));
        }
    }

    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let requests = self.requests();
        let Some(Head { request, deadline, alarm }) = &mut self.head else { return false };
        if *request < requests {
            self.head = None;
            return false;
        }
        alarm.get_or_insert_with(|| Box::pin(sleep_until(*deadline))).as_mut().poll(cx).is_ready()
    }

    /// Passes on the result of a write, unless the client has had its time.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_pending() {
            let deadline = self.take.get_or_insert_with(|| Box::pin(sleep(TAKE)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(too_slow(ConnectionsTimedOut::Answer)));
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

    /// Called once everything has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.take = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
