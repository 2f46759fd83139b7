//! Sends raw bytes to the service, directly or through a proxy, and parses the answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// The time-out of an exchange. It is longer than any time-out of the service and the proxies, so an exchange that
/// lasts longer would never end.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(45);

/// The request that is sent after every attack. It is answered only if the connection is still open and the server has
/// consumed all bytes of the attack.
const LAST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// An address at which the service is reached, directly or through a proxy, with or without TLS.
#[derive(Clone)]
pub struct Door {
    pub name: &'static str,
    pub address: SocketAddr,
    /// The address from which the client connects. It can differ from the address of the proxies.
    pub from: [u8; 4],
    tls: Option<TlsConnector>,
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Door {
    pub fn plain(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, from: [127, 0, 0, 2], tls: None }
    }

    pub fn tls(name: &'static str, address: SocketAddr, trusted: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(trusted).with_no_client_auth();
        Self { tls: Some(TlsConnector::from(Arc::new(config))), ..Self::plain(name, address) }
    }

    /// Returns a copy for a client that connects from another address.
    pub fn from(&self, from: [u8; 4]) -> Self {
        Self { from, ..self.clone() }
    }

    pub async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        self.wrap(self.socket(None).await?).await
    }

    /// Connects without TLS. If `buffer` is given, the receive buffer has this many bytes.
    pub async fn socket(&self, buffer: Option<u32>) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.address).await?;
        // Bytes that are written in pieces must arrive in pieces.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Starts TLS on the connection if this address expects it.
    pub async fn wrap(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost").unwrap(), stream).await?),
        })
    }

    /// Sends `bytes` and then a request that ends the connection, and returns all answers.
    pub async fn exchange(&self, bytes: &[u8]) -> Result<Answers, String> {
        let exchange = async {
            let stream = self.connect().await.map_err(|error| format!("no connection: {error}"))?;
            let (mut reading, mut writing) = tokio::io::split(stream);
            let head = bytes.starts_with(b"HEAD ");
            let mut received = Vec::new();
            {
                let sending = async {
                    // A write may fail because the server refused before it read everything; the answer shows that.
                    let _ = writing.write_all(bytes).await;
                    let _ = writing.flush().await;
                };
                let first = async {
                    while Answers::parse(&received, head, false).is_empty() && more(&mut reading, &mut received).await {
                    }
                };
                tokio::pin!(sending, first);
                tokio::select! {
                    () = &mut first => {}
                    () = &mut sending => first.await,
                }
            }
            let _ = writing.write_all(LAST).await;
            let _ = writing.flush().await;
            while more(&mut reading, &mut received).await {}
            Ok(Answers::parse(&received, head, true))
        };
        tokio::time::timeout(EXCHANGE_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err("the connection stays open".to_owned()))
    }
}

/// Reads more bytes into `received`. Returns false at the end of the connection or after a reset.
async fn more(stream: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> bool {
    stream.read_buf(received).await.is_ok_and(|read| read > 0)
}

/// The answers of one connection.
#[derive(Debug)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// Parses complete answers. An answer without a length is complete once the connection has ended.
    fn parse(mut bytes: &[u8], head: bool, ended: bool) -> Self {
        let mut answers = Vec::new();
        while let Some((answer, rest)) = Answer::parse(bytes, head && answers.is_empty(), ended) {
            bytes = rest;
            // 100 Continue is followed by the real answer.
            if answer.status >= 200 {
                answers.push(answer);
            }
        }
        Self(answers)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses all answers of a connection that has ended.
    pub fn all(bytes: &[u8]) -> Self {
        Self::parse(bytes, false, true)
    }

    /// Returns the answers to the attack itself, without the answer to the request that follows it.
    pub fn to_attack(&self) -> &[Answer] {
        match self.0.as_slice() {
            [attack @ .., last] if last.status == 200 && last.body == r#"{"status":"ok"}"# => attack,
            all => all,
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8], without_body: bool, ended: bool) -> Option<(Self, &[u8])> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut answer = Self { status, headers, body: String::new() };
        let rest = &bytes[end + 4..];
        let (body, rest) = if without_body || status < 200 || status == 204 || status == 304 {
            (Vec::new(), rest)
        } else if let Some(length) = answer.header("content-length") {
            let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
            (body.to_vec(), rest)
        } else if answer.header("transfer-encoding").is_some() {
            chunks(rest)?
        } else if ended {
            (rest.to_vec(), &[][..])
        } else {
            return None;
        };
        answer.body = String::from_utf8(body).ok()?;
        Some((answer, rest))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the `code` of a problem document.
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        body["code"].as_str().map(str::to_owned)
    }
}

fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let (chunk, rest) = bytes[end + 2..].split_at_checked(size + 2)?;
        body.extend_from_slice(&chunk[..size]);
        bytes = rest;
        if size == 0 {
            return Some((body, bytes));
        }
    }
}
