//! The row that measures live streams: how soon a state arrives, the cost of a delivery, and ingest beside the streams.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::ingest::{self, CONNECTIONS};
use super::{Bench, Contender};
use crate::candles::{TIMEFRAME, beginning, symbol};
use crate::client::{Connection, post, post_body};
use crate::contract::{Prepared, TOKEN};
use crate::generator;
use crate::postgres_server::empty;
use crate::service::Service;
use crate::table::{Line, Reference, compared, measured};

const STREAMS: usize = 1_000;
/// The pause between two states of the series, of which the service sends at most four a second.
const PACE: Duration = Duration::from_millis(250);
/// A series that the rows of ingest do not write.
const FOLLOWED: usize = 100;
const SIZE: usize = 1_000;
/// The time for which the reader waits for events before it looks whether it shall stop.
const TICK: Duration = Duration::from_millis(50);
/// The bench connects from one address, of which a service takes 512 connections unless it is a proxy's.
const PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");
const HINTS: (&str, &str) = ("LIVE_HINTS", "true");

/// The figures of each round.
#[derive(Default)]
struct Figures {
    /// In ms, from the 201 to the last client.
    delays: Vec<f64>,
    /// In µs, of the process with the streams.
    costs: Vec<f64>,
}

pub async fn measure(bench: &Bench) -> Vec<Line> {
    let url = bench.url(Contender::Ours);
    empty(url).await;
    let name = |place: &str| {
        format!("live, {STREAMS} streams of one series, 4 states a second, p99 from 201 to the last client, {place}")
    };
    let mut states = States(0);

    let alone = Service::start_with(url, &[PROXY]).await;
    states.post(alone.address, 1).await;
    let before = alone.memory();
    let same = follow(bench, &alone, &alone, &mut states).await;
    let memory = (same.memory - before) * 1024.0 / STREAMS as f64;
    let mut lines = vec![
        measured(&name("same process"), "ms", &same.figures.delays, Some(100.0)),
        measured("live, processor time of a delivery", "µs", &same.figures.costs, Some(15.0)),
        measured("live, memory of a stream", "KiB", &[memory], Some(40.0)),
    ];

    let other = Service::start_with(url, &[PROXY]).await;
    let figures = follow(bench, &alone, &other, &mut states).await.figures;
    lines.push(measured(&name("another process"), "ms", &figures.delays, Some(1_200.0)));

    let hinting = [Service::start_with(url, &[PROXY, HINTS]).await, Service::start_with(url, &[PROXY, HINTS]).await];
    let figures = follow(bench, &hinting[0], &hinting[1], &mut states).await.figures;
    lines.push(measured(&name("another process, hints"), "ms", &figures.delays, Some(150.0)));

    lines.push(ingest_beside(bench, &alone, &other, &mut states).await);
    lines.push(ingest_with_hints(bench, &hinting[0], &other).await);
    lines
}

/// The figures of all rounds of one service's streams.
struct Followed {
    figures: Figures,
    /// The memory of the service with the streams, in MiB.
    memory: f64,
}

/// Opens the streams at `reader`, posts states to `writer` in every round, and waits until every stream has got them.
async fn follow(bench: &Bench, writer: &Service, reader: &Service, states: &mut States) -> Followed {
    let streams = Streams::open(reader.address);
    streams.wait_for(states.0).await;
    let count = (5.0 * bench.plan.length.as_secs_f64() / PACE.as_secs_f64()).ceil() as usize;
    let mut figures = Figures::default();
    for round in 0..=bench.plan.rounds {
        let before = reader.cpu_seconds();
        let posted = states.post(writer.address, count).await;
        let mut delays = Vec::with_capacity(count);
        for (state, acknowledged) in posted {
            delays.push(streams.wait_for(state).await.saturating_duration_since(acknowledged));
        }
        let cost = (reader.cpu_seconds() - before) * 1e6 / (count * STREAMS) as f64;
        delays.sort_unstable();
        let p99 = delays[delays.len() * 99 / 100].as_secs_f64() * 1_000.0;
        eprintln!("bench:   round {round}: {p99:.1} ms, {cost:.1} µs");
        if round > 0 {
            figures.delays.push(p99);
            figures.costs.push(cost);
        }
    }
    Followed { figures, memory: reader.memory() }
}

/// Ingest at a service whose streams get four states a second, beside one without streams.
async fn ingest_beside(bench: &Bench, streaming: &Service, without: &Service, states: &mut States) -> Line {
    let streams = Streams::open(streaming.address);
    streams.wait_for(states.0).await;
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let mut sides = [(streaming, &mut beside, true), (without, &mut alone, false)];
        sides.rotate_left(round % 2);
        for (service, rates, has_streams) in sides {
            let requests = prepare(bench, round).await;
            // There are more of them than the measurement takes.
            let count = (2.0 * bench.plan.length.as_secs_f64() / PACE.as_secs_f64()).ceil() as usize;
            let posting = tokio::spawn({
                let (mut states, address) = (States(states.0), service.address);
                async move { if has_streams { states.post(address, count).await } else { Vec::new() } }
            });
            let rate = rate(bench, service, requests);
            let posted = posting.await.unwrap();
            states.0 += posted.len();
            streams.wait_for(states.0).await;
            eprintln!("bench:   round {round}, streams {has_streams}: {rate:.0}/s");
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let name = format!("ingest, {SIZE} new candles a post, {CONNECTIONS} connections, beside {STREAMS} streams");
    let reference = Reference { name: "without streams", target: Some(0.95), rates: alone };
    compared(&name, "rows/s", &beside, &reference).with_memory(streaming.peak_memory())
}

/// Ingest at a service that sends hints, beside one that does not.
async fn ingest_with_hints(bench: &Bench, hinting: &Service, without: &Service) -> Line {
    let (mut with, mut alone) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let mut sides = [(hinting, &mut with), (without, &mut alone)];
        sides.rotate_left(round % 2);
        for (service, rates) in sides {
            let requests = prepare(bench, round).await;
            let rate = rate(bench, service, requests);
            eprintln!("bench:   round {round}: {rate:.0}/s");
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let name = format!("ingest, {SIZE} new candles a post, {CONNECTIONS} connections, with hints");
    let reference = Reference { name: "without hints", target: Some(0.97), rates: alone };
    compared(&name, "rows/s", &with, &reference).with_memory(hinting.peak_memory())
}

/// Empties the tables and makes the posts of a round.
async fn prepare(bench: &Bench, round: usize) -> Vec<Vec<Prepared>> {
    empty(bench.url(Contender::Ours)).await;
    ingest::posts(&ingest::work(bench, round, SIZE), post)
}

/// Rows a second.
fn rate(bench: &Bench, service: &Service, requests: Vec<Vec<Prepared>>) -> f64 {
    generator::run(service.address, requests, StatusCode::CREATED, bench.plan.length).rate() * SIZE as f64
}

/// The number of states of the followed series so far. The volume of a state is its number.
struct States(usize);

impl States {
    /// Posts the next states at their pace. Returns their numbers and when they were acknowledged.
    async fn post(&mut self, address: SocketAddr, count: usize) -> Vec<(usize, Instant)> {
        let mut connection = Connection::open(address).await.unwrap();
        let mut acknowledged = Vec::with_capacity(count);
        let mut due = tokio::time::Instant::now();
        for _ in 0..count {
            tokio::time::sleep_until(due).await;
            self.0 += 1;
            let time = beginning().timestamp();
            let body = format!(
                r#"{{"candles":[{{"symbol":"{}","timeframe":"{TIMEFRAME}","timestamp":{time},"open":1.08500,"high":1.08650,"low":1.08480,"close":1.08620,"volume":{},"complete":false}}]}}"#,
                symbol(FOLLOWED),
                self.0
            );
            connection.send_expecting(&post_body(&body), StatusCode::CREATED).await;
            acknowledged.push((self.0, Instant::now()));
            due += PACE;
        }
        // The first state of the next call keeps the pace, too.
        tokio::time::sleep_until(due).await;
        acknowledged
    }
}

/// Streams of one series, read by a thread of their own.
struct Streams {
    reached: Arc<Mutex<Reached>>,
    is_over: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

/// For each state, the number of streams that have got it or a newer one, and the time at which the last of them had.
#[derive(Default)]
struct Reached(Vec<(usize, Option<Instant>)>);

impl Reached {
    /// A stream that had the state `former` has now got `newest`.
    fn note(&mut self, former: usize, newest: usize, now: Instant) {
        if self.0.len() <= newest {
            self.0.resize(newest + 1, (0, None));
        }
        for (streams, last) in &mut self.0[former + 1..=newest] {
            *streams += 1;
            if *streams == STREAMS {
                *last = Some(now);
            }
        }
    }
}

impl Streams {
    fn open(address: SocketAddr) -> Self {
        let (reached, is_over) = (Arc::<Mutex<Reached>>::default(), Arc::<AtomicBool>::default());
        let reader = thread::spawn({
            let (reached, is_over) = (Arc::clone(&reached), Arc::clone(&is_over));
            move || read(address, &reached, &is_over)
        });
        Self { reached, is_over, reader: Some(reader) }
    }

    /// Returns the time at which the last stream had got a state.
    async fn wait_for(&self, state: usize) -> Instant {
        loop {
            let last = self.reached.lock().unwrap_or_else(PoisonError::into_inner).0.get(state).copied();
            if let Some((_, Some(at))) = last {
                return at;
            }
            assert!(!self.reader.as_ref().is_some_and(thread::JoinHandle::is_finished), "the streams are broken");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// One stream.
struct Stream {
    socket: TcpStream,
    /// The bytes that may belong to an event of which more is to come.
    rest: Vec<u8>,
    newest: usize,
    has_begun: bool,
}

/// Opens the streams and reads them, until they are over.
fn read(address: SocketAddr, reached: &Mutex<Reached>, is_over: &AtomicBool) {
    let mut poll = Poll::new().unwrap();
    let request = format!(
        "GET /api/v1/live?series={TIMEFRAME}:{} HTTP/1.1\r\nhost: bench\r\nx-internal-token: {TOKEN}\r\n\r\n",
        symbol(FOLLOWED)
    );
    let mut streams: Vec<Stream> = (0..STREAMS)
        .map(|number| {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.write_all(request.as_bytes()).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE).unwrap();
            Stream { socket, rest: Vec::new(), newest: 0, has_begun: false }
        })
        .collect();
    let (mut events, mut buffer) = (Events::with_capacity(STREAMS), vec![0; 16 * 1024]);
    while !is_over.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(TICK)).unwrap();
        let mut reached = reached.lock().unwrap();
        for event in &events {
            let stream = &mut streams[event.token().0];
            let former = stream.newest;
            stream.read(&mut buffer);
            if stream.newest > former {
                reached.note(former, stream.newest, Instant::now());
            }
        }
    }
}

impl Stream {
    /// Reads what has come.
    fn read(&mut self, buffer: &mut [u8]) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("a stream ended"),
                Ok(count) => self.take(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("a stream broke: {error}"),
            }
        }
    }

    /// Finds the states in the next bytes of the stream.
    fn take(&mut self, bytes: &[u8]) {
        const VOLUME: &[u8] = b"\"volume\":";
        const STATUS: &[u8] = b"HTTP/1.1 200";
        self.rest.extend_from_slice(bytes);
        if !self.has_begun && self.rest.len() >= STATUS.len() {
            assert!(self.rest.starts_with(STATUS), "{}", String::from_utf8_lossy(&self.rest));
            self.has_begun = true;
        }
        while let Some(found) = self.rest.windows(VOLUME.len()).position(|window| window == VOLUME) {
            let digits = &self.rest[found + VOLUME.len()..];
            let Some(length) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { return };
            let volume: usize = std::str::from_utf8(&digits[..length]).unwrap().parse().unwrap();
            self.newest = self.newest.max(volume);
            self.rest.drain(..found + VOLUME.len() + length);
        }
        // The beginning of the name may be among the last bytes.
        if self.has_begun && self.rest.len() > VOLUME.len() {
            self.rest.drain(..self.rest.len() - VOLUME.len());
        }
    }
}
