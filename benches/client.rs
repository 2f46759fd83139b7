//! An HTTP client that keeps its connection and sends requests that were made beforehand.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ETAG, HOST, IF_NONE_MATCH};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::load::Client;
use crate::service::{KEY, TOKEN};

const CANDLES: &str = "/api/v1/candles";

/// A request that can be sent again and again.
pub type Prepared = Request<Full<Bytes>>;

/// A post of a batch.
pub fn post(body: Bytes) -> Prepared {
    let request = Request::post(CANDLES).header("x-api-key", KEY).header("content-type", "application/json");
    request.body(Full::new(body)).unwrap()
}

/// A request for the page that `query` selects.
pub fn get(query: &str) -> Prepared {
    let request = Request::get(format!("{CANDLES}?{query}")).header("x-internal-token", TOKEN);
    request.body(Full::default()).unwrap()
}

/// The same request by somebody who has that page already.
pub fn get_again(query: &str, tag: &str) -> Prepared {
    let mut request = get(query);
    request.headers_mut().insert(IF_NONE_MATCH, tag.parse().unwrap());
    request
}

/// One kept connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, mut request: Prepared) -> hyper::Result<Response<Bytes>> {
        request.headers_mut().insert(HOST, self.host.parse().unwrap());
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// The page that `query` selects, and its entity tag.
    pub async fn page(&mut self, query: &str) -> (Bytes, String) {
        let answer = self.send(get(query)).await.unwrap();
        expect(&answer, StatusCode::OK);
        let tag = answer.headers()[ETAG].to_str().unwrap().to_owned();
        (answer.into_body(), tag)
    }
}

/// Sends one request after the other over a connection of its own.
pub struct Sender<R> {
    connection: Connection,
    requests: R,
    expected: StatusCode,
}

impl<R: Iterator<Item = Prepared> + Send + 'static> Client for Sender<R> {
    async fn step(&mut self) -> bool {
        let Some(request) = self.requests.next() else { return false };
        expect(&self.connection.send(request).await.unwrap(), self.expected);
        true
    }
}

/// One client for each list of requests, every one of which is to be answered with `expected`.
pub async fn senders<R>(
    address: SocketAddr,
    lists: impl IntoIterator<Item = R>,
    expected: StatusCode,
) -> Vec<Sender<R>> {
    let mut clients = Vec::new();
    for requests in lists {
        clients.push(Sender { connection: Connection::open(address).await.unwrap(), requests, expected });
    }
    clients
}

/// A figure over answers that were refused would tell nothing.
pub fn expect(answer: &Response<Bytes>, status: StatusCode) {
    assert_eq!(answer.status(), status, "{}", String::from_utf8_lossy(answer.body()));
}
