//! Connections: how many are open, how long a client may take over each of its parts, and TLS.
//!
//! `hyper` bounds only the time from the end of one request to the head of the next, idle time included. Here the head has a
//! deadline of its own, so that an idle connection may stay open longer than proxies keep theirs (a proxy that posts on a
//! connection just as we close it answers 502), while a head that comes a byte at a time is cut off soon.

use std::collections::HashMap;
use std::future::Ready;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper::Request;
use hyper_util::rt::TokioTimer;
use metrics::{counter, gauge};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tower::Service;

use super::forwarded::{Proxies, group};
use crate::telemetry::metrics::{CONNECTIONS, CONNECTIONS_REFUSED, CONNECTIONS_TIMED_OUT};

/// Most connections at once.
const MOST: usize = 4096;
/// Most of them from one address, or one /64 of IPv6, that is not a trusted proxy's.
const MOST_EACH: usize = 512;
/// Longest from a connection's start, or from the first byte of a later request, to the end of the request's head.
const HEAD: Duration = Duration::from_secs(10);
/// Longest that a connection may stay open without a request: longer than Caddy (2 minutes) and nginx (1 minute) keep theirs.
const IDLE: Duration = Duration::from_secs(130);
/// Longest that a client may take to receive an answer.
const TAKE: Duration = Duration::from_secs(30);
/// Largest head of a request, and most bytes that are buffered for a connection.
const HEAD_BYTES: usize = 16 * 1024;

/// Asks the system for as many open files as [`MOST`] connections and the rest of the service may need: the usual limit of
/// 1024 is only where one starts from.
pub(crate) fn make_room_for_connections() {
    const FILES: u64 = MOST as u64 + 1024;
    match rlimit::increase_nofile_limit(FILES) {
        Ok(files) if files >= FILES => {}
        Ok(files) => tracing::warn!(files, wanted = FILES, "the system allows fewer open files than connections need"),
        Err(error) => tracing::warn!(%error, "cannot ask how many files may be open"),
    }
}

/// Serves `routes` on `listener` until `handle` says otherwise.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    handle: Handle<SocketAddr>,
    proxies: Proxies,
    tls: Option<RustlsConfig>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut server = axum_server::from_tcp(listener)?.handle(handle).http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD_BYTES);
    let door = Door { proxies, open: Arc::default() };
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        None => server.acceptor(door).serve(routes).await,
        Some(tls) => {
            server.acceptor(RustlsAcceptor::new(tls).handshake_timeout(HEAD).acceptor(door)).serve(routes).await
        }
    }
}

/// Lets connections in while there is room.
#[derive(Clone)]
struct Door {
    proxies: Proxies,
    open: Arc<Mutex<Open>>,
}

/// How many connections are open, in all and by the group of their address.
#[derive(Default)]
struct Open {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

impl Door {
    fn enter(&self, peer: IpAddr) -> Result<Place, &'static str> {
        let group = (!self.proxies.trusts(peer)).then(|| group(peer.to_canonical()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= MOST {
            return Err("all");
        }
        if let Some(group) = group {
            let each = open.each.entry(group).or_default();
            if *each >= MOST_EACH {
                return Err("address");
            }
            *each += 1;
        }
        open.all += 1;
        gauge!(CONNECTIONS).increment(1);
        Ok(Place { group, open: Arc::clone(&self.open) })
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Connection;
    type Service = Watched<S>;
    type Future = Ready<io::Result<(Connection, Watched<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let enter = || {
            let place = self.enter(stream.peer_addr()?.ip()).map_err(|reason| {
                counter!(CONNECTIONS_REFUSED, "reason" => reason).increment(1);
                io::Error::other("no room for the connection")
            })?;
            stream.set_nodelay(true)?;
            let activity = Arc::new(Activity::default());
            let watched = Watched { service, activity: Arc::clone(&activity) };
            Ok((
                Connection { stream, activity, head: Some((0, Box::pin(sleep(HEAD)))), take: None, _place: place },
                watched,
            ))
        };
        std::future::ready(enter())
    }
}

/// A connection's place among those that are open.
struct Place {
    group: Option<IpAddr>,
    open: Arc<Mutex<Open>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(group) = self.group
            && let Some(each) = open.each.get_mut(&group)
        {
            *each -= 1;
            if *each == 0 {
                open.each.remove(&group);
            }
        }
        gauge!(CONNECTIONS).decrement(1);
    }
}

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
struct Watched<S> {
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
struct Connection {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// When the head must be there that belongs to the request of this number.
    head: Option<(u64, Pin<Box<Sleep>>)>,
    /// When the client must have taken all that was written.
    take: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    fn requests(&self) -> u64 {
        self.activity.requests.load(Ordering::Relaxed)
    }

    /// Starts the deadline of a head with its first byte.
    fn began_head(&mut self) {
        if self.head.is_none() && !self.activity.answering.load(Ordering::Relaxed) {
            self.head = Some((self.requests(), Box::pin(sleep(HEAD))));
        }
    }

    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let requests = self.requests();
        let Some((awaited, deadline)) = &mut self.head else { return false };
        if *awaited < requests {
            self.head = None;
            return false;
        }
        deadline.as_mut().poll(cx).is_ready()
    }

    /// Passes on the result of a write, unless the client has had its time.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_pending() {
            let deadline = self.take.get_or_insert_with(|| Box::pin(sleep(TAKE)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(too_slow("answer")));
        }
        result
    }
}

fn too_slow(phase: &'static str) -> io::Error {
    counter!(CONNECTIONS_TIMED_OUT, "phase" => phase).increment(1);
    io::ErrorKind::TimedOut.into()
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.began_head();
        } else if result.is_pending() && self.head_is_late(cx) {
            return Poll::Ready(Err(too_slow("head")));
        }
        result
    }
}

impl AsyncWrite for Connection {
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
