//! A question for the health of a running service, and the address at which something on its machine reaches it.

use std::net::{IpAddr, SocketAddr};

use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::http::net::tls;

pub(crate) type AskError = Box<dyn std::error::Error + Send + Sync>;

/// Asks for `path` and returns the answer's status.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn ask(with_tls: bool, host: &str, port: u16, path: &str) -> Result<hyper::StatusCode, AskError> {
    let host_name = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host_name, port)).await?;
    if with_tls {
        let name = ServerName::try_from(host_name.to_owned())?;
        ask_on(tls::insecure_connector().connect(name, stream).await?, host, port, path).await
    } else {
        ask_on(stream, host, port, path).await
    }
}

async fn ask_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    port: u16,
    path: &str,
) -> Result<hyper::StatusCode, AskError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header(hyper::header::HOST, format!("{host}:{port}")).body(Empty::<&[u8]>::new())?;
    let status = sender.send_request(request).await?.status();
    exchange.abort();
    Ok(status)
}

/// The URL at which something on this machine reaches the service, by the address that it listens on and whether it speaks
/// TLS.
pub(crate) fn own_url((listen, tls): (SocketAddr, bool)) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(listen))
}

/// The address at which something on this machine reaches a listener.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
