//! A minimal HTTP client, because it runs on the same cores as the server that it measures. Requests are prepared
//! bytes. Answers are read into one buffer per connection, where their bodies are counted and overwritten.

use std::io;
use std::net::SocketAddr;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::candles::{self, Candle};
use crate::contract::{KEY, Prepared, TOKEN};
use crate::load::Client;

/// Room for the head of an answer and for as much of a body as is read at a time.
const BUFFER: usize = 64 * 1024;
/// Room for the largest page.
const WHOLE_PAGE: usize = 4 * 1024 * 1024;
const MAX_HEADERS: usize = 32;

/// A post of a batch.
pub fn post(candles: &[Candle]) -> Prepared {
    let body = candles::body(candles);
    let length = body.len();
    Bytes::from(format!(
        "POST /api/v1/candles HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    ))
}

/// A request for the page that `query` selects.
pub fn get(query: &str) -> Prepared {
    get_with(query, "")
}

/// The same request, from a client that accepts gzip.
pub fn get_gzip(query: &str) -> Prepared {
    get_with(query, "accept-encoding: gzip\r\n")
}

/// The same request, from a client that has the page already.
pub fn get_again(query: &str, tag: &str) -> Prepared {
    get_with(query, &format!("if-none-match: {tag}\r\n"))
}

/// A request for the list of series that `query` selects.
pub fn list(query: &str) -> Prepared {
    list_with(query, "")
}

/// The same request, from a client that has the list already.
pub fn list_again(query: &str, tag: &str) -> Prepared {
    list_with(query, &format!("if-none-match: {tag}\r\n"))
}

fn get_with(query: &str, header: &str) -> Prepared {
    read("/api/v1/candles", query, header)
}

fn list_with(query: &str, header: &str) -> Prepared {
    read("/api/v1/series", query, header)
}

fn read(path: &str, query: &str, header: &str) -> Prepared {
    Bytes::from(format!("GET {path}?{query} HTTP/1.1\r\nhost: bench\r\nx-internal-token: {TOKEN}\r\n{header}\r\n"))
}

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    /// The head of the last answer, followed by the last part of its body.
    buffer: Vec<u8>,
    head: Head,
}

/// The fields of an answer's head that the client needs.
#[derive(Clone, Copy, Default)]
struct Head {
    status: StatusCode,
    /// Bytes of the head itself.
    length: usize,
    /// Bytes of the body behind it.
    body: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER], head: Head::default() })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn send(&mut self, request: &Prepared) -> io::Result<StatusCode> {
        let mut first = [0];
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            biased;
            // If writing fails, the server's reason can still be read.
            _ = writer.write_all(request) => {}
            // A server that answers before the end of a request refuses it.
            seen = reader.peek(&mut first) => { seen?; }
        }
        let filled = self.read_head().await?;
        self.read_body(filled).await?;
        Ok(self.head.status)
    }

    /// Sends a request and panics unless the answer has the status `expected`, because a figure that counts refusals
    /// would be meaningless.
    pub async fn send_expecting(&mut self, request: &Prepared, expected: StatusCode) {
        self.send(request).await.unwrap();
        self.expect(expected);
    }

    /// Panics with the body of the last answer, unless it has this status.
    pub fn expect(&self, status: StatusCode) {
        assert_eq!(self.head.status, status, "{}", String::from_utf8_lossy(self.body()));
    }

    /// The last answer's body, or the last part of one that is larger than the buffer.
    fn body(&self) -> &[u8] {
        let end = self.head.length + self.head.body;
        &self.buffer[self.head.length..end.min(self.buffer.len())]
    }

    /// A header of the last answer.
    fn header(&self, name: &str) -> Option<String> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        httparse::Response::new(&mut headers).parse(&self.buffer[..self.head.length]).unwrap();
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    }

    /// Reads until the head is complete, and returns how many bytes have come.
    async fn read_head(&mut self) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            filled += self.read(filled).await?;
            if let Some(head) = parse(&self.buffer[..filled])? {
                self.head = head;
                return Ok(filled);
            }
        }
    }

    /// Reads the rest of the body. When the buffer is full, it overwrites earlier parts of the body.
    async fn read_body(&mut self, mut filled: usize) -> io::Result<()> {
        let mut count = filled - self.head.length;
        while count < self.head.body {
            if filled == self.buffer.len() {
                filled = self.head.length;
            }
            let more = self.read(filled).await?;
            filled += more;
            count += more;
        }
        if count == self.head.body { Ok(()) } else { Err(unfit("more came than the answer's content-length says")) }
    }

    /// Reads the next bytes into the buffer.
    async fn read(&mut self, filled: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[filled..]).await? {
            0 if filled == self.buffer.len() => Err(unfit("an answer's head is too long")),
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

/// Parses a head; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = answer.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let status = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(io::Error::other)?;
    let mut body = (status == StatusCode::NOT_MODIFIED).then_some(0);
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(unfit("the answer comes in chunks, which this client cannot read"));
        }
        if body.is_none() && header.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(header.value).ok().and_then(|digits| digits.parse().ok());
        }
    }
    let body = body.ok_or_else(|| unfit("the answer does not say how long it is"))?;
    Ok(Some(Head { status, length, body }))
}

fn unfit(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// A page as the server sent it.
pub struct Page {
    pub body: Vec<u8>,
    /// Its entity tag, if it has one.
    pub tag: String,
    /// The encoding of its body, or `identity`.
    pub coding: String,
}

/// The page that `request` asks for, over a connection of its own.
pub async fn page(address: SocketAddr, request: &Prepared) -> Page {
    let mut connection = Connection::open(address).await.unwrap();
    connection.buffer.resize(WHOLE_PAGE, 0);
    connection.send_expecting(request, StatusCode::OK).await;
    assert!(connection.head.length + connection.head.body <= WHOLE_PAGE, "a page has more than {WHOLE_PAGE} bytes");
    Page {
        body: connection.body().to_vec(),
        tag: connection.header("etag").unwrap_or_default(),
        coding: connection.header("content-encoding").unwrap_or_else(|| "identity".to_owned()),
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
        self.connection.send_expecting(&request, self.expected).await;
        true
    }
}

/// One client for each list of requests, all of which must get the status `expected`.
pub async fn senders<L>(
    address: SocketAddr,
    lists: impl IntoIterator<Item = L>,
    expected: StatusCode,
) -> Vec<Sender<L::IntoIter>>
where
    L: IntoIterator<Item = Prepared>,
{
    let mut clients = Vec::new();
    for requests in lists {
        let connection = Connection::open(address).await.unwrap();
        clients.push(Sender { connection, requests: requests.into_iter(), expected });
    }
    clients
}
