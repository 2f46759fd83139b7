//! Accepts connections: the address, TLS, and the limits on their number.

use std::future::Ready;
use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use metrics::gauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::net::client_address::{Proxies, group};
use crate::http::net::connection::{Connection, Deadlines, Watched};
use crate::http::net::preface::RefuseHttp2;
use crate::http::timeouts::IDLE_TIMEOUT;
use crate::places::{NoPlace, Place, Places};
use crate::telemetry::metrics::{CONNECTIONS, ConnectionsRefused};

/// The maximum number of open connections.
const MAX_CONNECTIONS: usize = 4096;
/// The maximum number of connections from one address, or one /64 of IPv6. Trusted proxies are exempt.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 512;
/// The maximum number of connections of the second listener, which has few clients.
pub(crate) const MAX_ADMIN_CONNECTIONS: usize = 64;
/// The maximum number of connections that wait to be accepted.
const ACCEPT_BACKLOG: u32 = 4096;
/// The maximum size of a request's head, and of a connection's read buffer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Raises the limit on open files, usually 1024, to what [`MAX_CONNECTIONS`] and the rest of the service need. Returns the
/// number of connections that the limit allows, after files for the database are set aside.
pub(crate) fn raise_open_file_limit() -> usize {
    const OTHER_OPEN_FILES: u64 = 320;
    let wanted = MAX_CONNECTIONS as u64 + OTHER_OPEN_FILES;
    let files = rlimit::increase_nofile_limit(wanted).unwrap_or(MAX_CONNECTIONS as u64);
    let most =
        usize::try_from(files - (files / 2).min(OTHER_OPEN_FILES)).unwrap_or(MAX_CONNECTIONS).min(MAX_CONNECTIONS);
    if most < MAX_CONNECTIONS {
        tracing::warn!(files, connections = most, "the system allows few open files, so fewer connections are taken");
    }
    most
}

/// Binds `address`. Terminals all post in the same second of every minute, so the backlog equals the limit on connections.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows this option lets two processes bind one address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// Accepts connections from `listener`, subject to `limiter`, until `handle` shuts the server down.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    handle: Handle<SocketAddr>,
    limiter: ConnectionLimiter,
    tls: Option<RustlsConfig>,
) -> io::Result<()> {
    let mut server = Server::<SocketAddr>::from_listener(listener).handle(handle);
    // HTTP/1.1 only, set on the builder, because axum-server's own option would disable upgrades.
    *server.http_builder() = Builder::new(TokioExecutor::new()).http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        None => server.acceptor(RefuseHttp2(limiter)).serve(routes).await,
        Some(tls) => {
            let tls = RustlsAcceptor::new(tls).handshake_timeout(limiter.deadlines.head);
            server.acceptor(RefuseHttp2(tls.acceptor(limiter))).serve(routes).await
        }
    }
}

/// Accepts connections up to the limits, and closes others at once.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimiter {
    listener: &'static str,
    proxies: Proxies,
    deadlines: Deadlines,
    stopping: CancellationToken,
    /// The open connections, by the group of their address.
    open: Places<IpAddr>,
}

impl ConnectionLimiter {
    /// Accepts at most `most` connections, and any share of them from a trusted proxy. `listener` is the label in the metrics.
    /// Streams end once `stopping` is cancelled.
    pub(crate) fn new(listener: &'static str, most: usize, proxies: Proxies, stopping: CancellationToken) -> Self {
        gauge!(CONNECTIONS, "listener" => listener).set(0);
        let open = Places::new(most, MAX_CONNECTIONS_PER_ADDRESS);
        Self { listener, proxies, deadlines: Deadlines::DEFAULT, stopping, open }
    }

    fn admit(&self, peer: IpAddr) -> Result<ConnectionPermit, ConnectionsRefused> {
        let group = (!self.proxies.trusts(peer)).then(|| group(peer.to_canonical()));
        let place = self.open.take(group).map_err(|reason| match reason {
            NoPlace::All => ConnectionsRefused::All,
            NoPlace::Share => ConnectionsRefused::Address,
        })?;
        gauge!(CONNECTIONS, "listener" => self.listener).increment(1);
        Ok(ConnectionPermit { listener: self.listener, _place: place })
    }
}

impl<S> Accept<TcpStream, S> for ConnectionLimiter {
    type Stream = Connection<ConnectionPermit>;
    type Service = Watched<S>;
    type Future = Ready<io::Result<(Connection<ConnectionPermit>, Watched<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admit = || {
            let permit = self.admit(stream.peer_addr()?.ip()).map_err(|refused| {
                refused.count(1);
                io::Error::other("no room for the connection")
            })?;
            stream.set_nodelay(true)?;
            Ok(Connection::new(stream, service, self.deadlines, self.stopping.clone(), permit))
        };
        std::future::ready(admit())
    }
}

/// A connection's place among the open ones, given back when it is dropped.
pub(crate) struct ConnectionPermit {
    listener: &'static str,
    _place: Place<IpAddr>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        gauge!(CONNECTIONS, "listener" => self.listener).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use futures_util::stream;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use std::time::Duration;

    use super::*;

    /// A small service whose answers do not end by themselves.
    struct Served {
        address: SocketAddr,
        handle: Handle<SocketAddr>,
        stopping: CancellationToken,
        server: JoinHandle<io::Result<()>>,
    }

    impl Served {
        fn start() -> Self {
            let stopping = CancellationToken::new();
            let mut limiter = ConnectionLimiter::new("public", 100, Proxies::new(&[], "", false), stopping.clone());
            limiter.deadlines = Deadlines { head: Duration::from_millis(300), take: Duration::from_millis(300) };
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let routes = Router::new().route("/echo", get(echo)).route("/stream", get(stream));
            let handle = Handle::new();
            let listener = TcpListener::from_std(listener).unwrap();
            let server = tokio::spawn(serve(listener, routes, handle.clone(), limiter, None));
            Self { address, handle, stopping, server }
        }

        /// A connection on which a request was answered with `status`, read up to the end of its head.
        async fn ask(&self, request: &str, status: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&head));
            stream
        }

        async fn upgrade(&self) -> TcpStream {
            let request = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            self.ask(request, "HTTP/1.1 101 ").await
        }

        async fn stream(&self) -> TcpStream {
            self.ask("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 ").await
        }

        /// Returns once the deadline of a head that begins now has ended a connection.
        async fn head_deadline(&self) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(b"GET").await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
        }
    }

    async fn echo(request: Request) -> impl IntoResponse {
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.write_all(b"bye").await;
            let _ = writer.shutdown().await;
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "echo")])
    }

    async fn stream() -> Body {
        const PART: Bytes = Bytes::from_static(&[b'x'; 64 * 1024]);
        Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(PART)))
    }

    async fn echoes(stream: &mut TcpStream) {
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
    }

    #[tokio::test]
    async fn an_upgraded_connection_has_no_deadline_for_heads() {
        let served = Served::start();
        let mut upgraded = served.upgrade().await;
        for _ in 0..3 {
            echoes(&mut upgraded).await;
            served.head_deadline().await;
        }
        echoes(&mut upgraded).await;
    }

    #[tokio::test]
    async fn a_stream_goes_on_whatever_its_client_has_begun_to_send() {
        let served = Served::start();
        let mut streaming = served.stream().await;
        streaming.write_all(b"GET").await.unwrap();
        let ticking = async {
            served.head_deadline().await;
            served.head_deadline().await;
        };
        let reading = async {
            let mut part = vec![0; 64 * 1024];
            loop {
                assert!(streaming.read(&mut part).await.unwrap() > 0, "it was cut");
            }
        };
        tokio::select! {
            () = ticking => {}
            () = reading => {}
        }
    }

    #[tokio::test]
    async fn a_stream_ends_for_whoever_takes_nothing_and_for_nobody_else() {
        let served = Served::start();
        let (mut reader, mut sleeper) = (served.stream().await, served.stream().await);
        let reading = async {
            let mut part = vec![0; 256 * 1024];
            loop {
                assert!(reader.read(&mut part).await.unwrap() > 0, "it was cut");
            }
        };
        let sleeping = async {
            // Its end is seen without reading: a connection that was cut cannot be written to for long.
            while sleeper.write_all(b"x").await.is_ok() {
                served.head_deadline().await;
            }
        };
        tokio::select! {
            () = sleeping => {}
            () = reading => {}
        }
    }

    #[tokio::test]
    async fn streams_and_upgraded_connections_end_with_the_service_and_hold_nothing_up() {
        let served = Served::start();
        let (mut streaming, mut upgraded) = (served.stream().await, served.upgrade().await);
        echoes(&mut upgraded).await;
        served.stopping.cancel();
        // Without a deadline: nothing is left to wait for.
        served.handle.graceful_shutdown(None);
        let (mut streamed, mut echoed) = (Vec::new(), Vec::new());
        // The connection may be reset, because not all that was written has been read.
        let _ = streaming.read_to_end(&mut streamed).await;
        assert!(!streamed.ends_with(b"\r\n0\r\n\r\n"), "it does not end as a whole answer does");
        upgraded.read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed, b"bye", "the program that took the connection over writes last");
        served.server.await.unwrap().unwrap();
    }
}
