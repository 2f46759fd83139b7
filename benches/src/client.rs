//! Requests as prepared bytes, and a client that sends them one at a time, when its caller says so. Where a row measures
//! how many requests a server answers, [`crate::generator`] sends them.

use std::io;
use std::net::SocketAddr;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::candles::{self, Candle};
use crate::contract::{KEY, Prepared, RESEARCH_KEY, TOKEN};

/// Room for the largest page.
const WHOLE_PAGE: usize = 4 * 1024 * 1024;

/// A post of a batch.
pub fn post(candles: &[Candle]) -> Prepared {
    post_body(&candles::body(candles))
}

/// A post of a batch in JSON.
pub fn post_body(body: &str) -> Prepared {
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

/// A request for the newest candles of the series that `query` selects.
pub fn latest(query: &str) -> Prepared {
    read("/api/v1/latest", query, "")
}

/// A request for a page of research.
pub fn research(path: &str) -> Prepared {
    Bytes::from(format!("GET {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {RESEARCH_KEY}\r\n\r\n"))
}

/// A post to a route of research.
pub fn post_research(path: &str, body: &str) -> Prepared {
    let length = body.len();
    Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {RESEARCH_KEY}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    ))
}

/// A request to cancel a job.
pub fn cancel(job: &str) -> Prepared {
    Bytes::from(format!("DELETE /api/v1/jobs/{job} HTTP/1.1\r\nhost: bench\r\nx-api-key: {RESEARCH_KEY}\r\n\r\n"))
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
    /// The last answer.
    answer: Answer,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Answer::new() })
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
        self.answer.clear();
        loop {
            let count = self.stream.read(self.answer.room()).await?;
            if self.answer.received(count)? {
                return self.answer.status().ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
        }
    }

    /// Sends a request and panics unless the answer has the status `expected`, because a figure that counts refusals
    /// would be meaningless.
    pub async fn send_expecting(&mut self, request: &Prepared, expected: StatusCode) {
        self.send(request).await.unwrap();
        self.expect(expected);
    }

    /// The body of the last answer, or the end of one that is longer than the buffer.
    pub fn body(&self) -> &[u8] {
        self.answer.body()
    }

    /// Panics with the body of the last answer, unless it has this status.
    pub fn expect(&self, status: StatusCode) {
        self.answer.expect(status);
    }
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
    connection.answer = Answer::with_room(WHOLE_PAGE);
    connection.send_expecting(request, StatusCode::OK).await;
    let answer = connection.answer;
    assert!(answer.is_whole(), "a page has more than {WHOLE_PAGE} bytes");
    Page {
        body: answer.body().to_vec(),
        tag: answer.header("etag").unwrap_or_default(),
        coding: answer.header("content-encoding").unwrap_or_else(|| "identity".to_owned()),
    }
}
