//! Where connections come in: the address, TLS, and how many there may be.

use std::collections::HashMap;
use std::future::Ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use metrics::gauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::connection::{Connection, HEAD, Watched};
use super::forwarded::{Proxies, group};
use crate::telemetry::metrics::{CONNECTIONS, ConnectionsRefused};

/// Most connections at once.
const MOST: usize = 4096;
/// Most of them from one address, or one /64 of IPv6, that is not a trusted proxy's.
const MOST_EACH: usize = 512;
/// Most of the second listener, whose clients are few.
pub(crate) const MOST_OF_ADMIN: usize = 64;
/// Most that may wait to be let in.
const BACKLOG: u32 = 4096;
/// Longest that a connection may stay open without a request: longer than Caddy (2 minutes) and nginx (1 minute) keep theirs.
const IDLE: Duration = Duration::from_secs(130);
/// Largest head of a request, and most bytes that are buffered for a connection.
const HEAD_BYTES: usize = 16 * 1024;

/// Asks the system for as many open files as [`MOST`] connections and the rest of the service may need: the usual limit of
/// 1024 is only where one starts from. Says how many connections there may be, which leaves files for the database.
pub(crate) fn make_room_for_connections() -> usize {
    const OTHERS: u64 = 320;
    let wanted = MOST as u64 + OTHERS;
    let files = rlimit::increase_nofile_limit(wanted).unwrap_or(MOST as u64);
    let most = usize::try_from(files - (files / 2).min(OTHERS)).unwrap_or(MOST).min(MOST);
    if most < MOST {
        tracing::warn!(files, connections = most, "the system allows few open files, so fewer connections are taken");
    }
    most
}

/// Takes an address. Terminals post in the same second of each minute, so as many may knock at once as may come in.
///
/// # Errors
/// When it is not to be had.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows it would let two processes have one address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `routes` on `listener` to whom `door` lets in, until `handle` says otherwise.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    handle: Handle<SocketAddr>,
    door: Door,
    tls: Option<RustlsConfig>,
) -> io::Result<()> {
    let mut server = Server::<SocketAddr>::from_listener(listener).handle(handle);
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD_BYTES);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        // HTTP/1.1 alone, said last: to set an acceptor forgets it (axum-server).
        None => server.acceptor(door).http1_only().serve(routes).await,
        Some(tls) => {
            let tls = RustlsAcceptor::new(tls).handshake_timeout(HEAD);
            server.acceptor(tls.acceptor(door)).http1_only().serve(routes).await
        }
    }
}

/// Lets connections in while there is room.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    listener: &'static str,
    most: usize,
    proxies: Proxies,
    open: Arc<Mutex<Open>>,
}

/// How many connections are open, in all and by the group of their address.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

impl Door {
    /// Of the `listener` of that name in the metrics: at most `most` connections, and any number of them from a proxy that
    /// is trusted.
    pub(crate) fn new(listener: &'static str, most: usize, proxies: Proxies) -> Self {
        gauge!(CONNECTIONS, "listener" => listener).set(0);
        Self { listener, most, proxies, open: Arc::default() }
    }

    fn enter(&self, peer: IpAddr) -> Result<Place, ConnectionsRefused> {
        let group = (!self.proxies.trusts(peer)).then(|| group(peer.to_canonical()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.most {
            return Err(ConnectionsRefused::All);
        }
        if let Some(group) = group {
            let each = open.each.entry(group).or_default();
            if *each >= MOST_EACH {
                return Err(ConnectionsRefused::Address);
            }
            *each += 1;
        }
        open.all += 1;
        gauge!(CONNECTIONS, "listener" => self.listener).increment(1);
        Ok(Place { listener: self.listener, group, open: Arc::clone(&self.open) })
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Connection<Place>;
    type Service = Watched<S>;
    type Future = Ready<io::Result<(Connection<Place>, Watched<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let enter = || {
            let place = self.enter(stream.peer_addr()?.ip()).map_err(|refused| {
                refused.count(1);
                io::Error::other("no room for the connection")
            })?;
            stream.set_nodelay(true)?;
            Ok(Connection::new(stream, service, place))
        };
        std::future::ready(enter())
    }
}

/// A connection's place among those that are open.
pub(crate) struct Place {
    listener: &'static str,
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
        gauge!(CONNECTIONS, "listener" => self.listener).decrement(1);
    }
}
