//! Load over HTTP from one thread, because it runs on the same cores as the server that it measures: sockets that do not
//! block, requests that are prepared bytes, and one event, one read and one write for each small answer.
//!
//! Each connection sends its next request when the last one is answered.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Buf as _;
use hyper::StatusCode;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::answer::Answer;
use crate::contract::Prepared;
use crate::load::Done;

/// Sends one list of requests over each connection for `length`, or until all are answered. Panics at an answer without
/// the status `expected`, because a figure that counts refusals would be meaningless.
pub fn run<L>(address: SocketAddr, lists: impl IntoIterator<Item = L>, expected: StatusCode, length: Duration) -> Done
where
    L: IntoIterator<Item = Prepared>,
{
    drive(address, lists, expected, length, None)
}

/// As [`run`], with the time that each answer took.
pub fn run_timed<L>(
    address: SocketAddr,
    lists: impl IntoIterator<Item = L>,
    expected: StatusCode,
    length: Duration,
) -> (Done, Vec<Duration>)
where
    L: IntoIterator<Item = Prepared>,
{
    let mut times = Vec::new();
    let done = drive(address, lists, expected, length, Some(&mut times));
    (done, times)
}

fn drive<L>(
    address: SocketAddr,
    lists: impl IntoIterator<Item = L>,
    expected: StatusCode,
    length: Duration,
    mut times: Option<&mut Vec<Duration>>,
) -> Done
where
    L: IntoIterator<Item = Prepared>,
{
    // The caller is a task, whose thread this takes for as long as it runs.
    tokio::task::block_in_place(|| {
        let mut poll = Poll::new().unwrap();
        let lists = lists.into_iter().map(L::into_iter).enumerate();
        let mut connections: Vec<_> =
            lists.map(|(number, requests)| Connection::open(address, requests, &poll, Token(number))).collect();
        let mut events = Events::with_capacity(connections.len());
        let start = Instant::now();
        let mut steps = 0;
        let mut open = connections.iter_mut().map(Connection::next).filter(|begun| *begun).count();
        while open > 0 {
            poll.poll(&mut events, None).unwrap();
            for event in &events {
                let connection = &mut connections[event.token().0];
                // The next answer is not waited for here, because it comes with an event of its own.
                if connection.advance(expected) {
                    steps += 1;
                    if let Some(times) = &mut times {
                        times.push(connection.began.elapsed());
                    }
                    if start.elapsed() >= length || !connection.next() {
                        open -= 1;
                    }
                }
            }
        }
        Done { steps, took: start.elapsed() }
    })
}

struct Connection<R> {
    stream: TcpStream,
    requests: R,
    /// The part of the request that is not sent yet. `None` between the last answer and the end of the run.
    request: Option<Prepared>,
    /// The time at which the last request was begun.
    began: Instant,
    answer: Answer,
}

impl<R: Iterator<Item = Prepared>> Connection<R> {
    fn open(address: SocketAddr, requests: R, poll: &Poll, token: Token) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).unwrap();
        Self { stream, requests, request: None, began: Instant::now(), answer: Answer::new() }
    }

    /// Begins the next request; false if there is none left.
    fn next(&mut self) -> bool {
        self.answer.clear();
        self.request = self.requests.next();
        self.began = Instant::now();
        self.send();
        self.request.is_some()
    }

    /// Sends as much of the request as the socket takes.
    fn send(&mut self) {
        let Some(rest) = &mut self.request else { return };
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // If sending fails, the server's reason can still be read.
                Err(_) => return,
            }
        }
    }

    /// Continues with what the socket is ready for. Returns true once an answer is complete.
    fn advance(&mut self, expected: StatusCode) -> bool {
        if self.request.is_none() {
            return false;
        }
        self.send();
        loop {
            match self.stream.read(self.answer.room()) {
                Ok(count) => {
                    if self.answer.received(count).unwrap() {
                        self.answer.expect(expected);
                        self.request = None;
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("a connection to {} broke: {error}", self.stream.peer_addr().unwrap()),
            }
        }
    }
}
