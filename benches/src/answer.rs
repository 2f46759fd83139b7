//! Answers as both clients read them: into one buffer per connection, where bodies are counted and overwritten.

use std::io;

use hyper::StatusCode;

/// Room for the head of an answer and for as much of a body as is read at a time.
const BUFFER: usize = 64 * 1024;
const MAX_HEADERS: usize = 32;

/// The answer that a connection reads.
pub struct Answer {
    /// The head, followed by the last part of the body.
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
    /// The bytes of the body that have come.
    count: usize,
}

/// The fields of an answer's head that the clients need.
#[derive(Clone, Copy)]
struct Head {
    status: StatusCode,
    /// Bytes of the head itself.
    length: usize,
    /// Bytes of the body behind it.
    body: usize,
}

impl Answer {
    pub fn new() -> Self {
        Self::with_room(BUFFER)
    }

    /// An answer of which the last `bytes` are kept.
    pub fn with_room(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], filled: 0, head: None, count: 0 }
    }

    /// Forgets the last answer, so that the next one can be read.
    pub fn clear(&mut self) {
        (self.filled, self.head, self.count) = (0, None, 0);
    }

    /// The place for the next bytes. When the buffer is full, it overwrites earlier parts of the body.
    pub fn room(&mut self) -> &mut [u8] {
        if let Some(head) = self.head
            && self.filled == self.buffer.len()
        {
            self.filled = head.length;
        }
        &mut self.buffer[self.filled..]
    }

    /// Takes the `count` bytes that were read into [`Self::room`]. Returns true if the answer is complete.
    pub fn received(&mut self, count: usize) -> io::Result<bool> {
        if count == 0 {
            let is_full = self.filled == self.buffer.len();
            return Err(if is_full { unfit("its head is too long") } else { io::ErrorKind::UnexpectedEof.into() });
        }
        self.filled += count;
        let head = if let Some(head) = self.head {
            self.count += count;
            head
        } else {
            let Some(head) = parse(&self.buffer[..self.filled])? else { return Ok(false) };
            self.count = self.filled - head.length;
            *self.head.insert(head)
        };
        if self.count > head.body {
            return Err(unfit("more came than its content-length says"));
        }
        Ok(self.count == head.body)
    }

    /// The status, once the head has come.
    pub fn status(&self) -> Option<StatusCode> {
        self.head.map(|head| head.status)
    }

    /// Panics with the body, unless the answer has this status.
    pub fn expect(&self, status: StatusCode) {
        assert_eq!(self.status(), Some(status), "{}", String::from_utf8_lossy(self.body()));
    }

    /// Returns true if the buffer has all of the body.
    pub fn is_whole(&self) -> bool {
        self.head.is_some_and(|head| head.length + head.body <= self.buffer.len())
    }

    /// The body, or the last part of one that is larger than the buffer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.head.map_or(0, |head| head.length)..self.filled]
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        httparse::Response::new(&mut headers).parse(&self.buffer[..self.head?.length]).unwrap();
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    }
}

/// Parses a head; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = answer.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let status = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(io::Error::other)?;
    // Answers with these statuses have no body, whatever their headers say.
    let mut body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED).then_some(0);
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(unfit("it comes in chunks, which this client cannot read"));
        }
        if body.is_none() && header.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(header.value).ok().and_then(|digits| digits.parse().ok());
        }
    }
    let body = body.ok_or_else(|| unfit("it does not say how long it is"))?;
    Ok(Some(Head { status, length, body }))
}

fn unfit(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer cannot be read: {problem}"))
}
