//! One version hands over to the next behind the shipped proxy configurations, while terminals post and charts read.
//!
//! The proxy switches to the new process once that is healthy, and only then does the old one get its signal to stop.
//! Clients keep their connections open. A proxy that reloads closes idle connections, possibly while a request is on
//! its way, and the client cannot know which came first. So it opens another connection and sends the request again
//! (RFC 9112 section 9.3.1), which is safe for posts too, because a candle is stored once. That isn't a failure and is
//! counted separately; everything else is one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::abuse::wire::Door;
use crate::harness::{Database, KEY, PgDatabase, TOKEN, plain_server, run};
use crate::program::{Serving, folder, output, program};
use crate::proxies::Proxy;

const HAND_OVERS: usize = 6;
/// The number of clients that post; as many read.
const POSTING: usize = 5;
/// Requests that have to be answered between two hand-overs.
const BETWEEN: usize = 150;
/// The time-out of a request, which is longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_handover_behind_caddy_loses_no_request() {
    run(async { hands_over("Caddy").await });
}

#[test]
fn a_handover_behind_nginx_loses_no_request() {
    run(async { hands_over("nginx").await });
}

async fn hands_over(name: &'static str) {
    let database = PgDatabase::create(&plain_server()).await;
    let folder = folder();
    let (code, _, said) = output(program(folder.path(), &[("DATABASE_URL", &database.url)]).arg("migrate"));
    assert_eq!(code, 0, "{said}");
    let start = || {
        let (folder, url) = (folder.path().to_owned(), database.url.clone());
        tokio::task::spawn_blocking(move || version(&folder, &url))
    };
    let mut live = start().await.unwrap();
    let Some(proxy) = Proxy::start(name, address(&live)).await else { return };
    let load = Load::start(&proxy.tls);
    load.flows(BETWEEN).await;
    for _ in 0..HAND_OVERS {
        let next = start().await.unwrap();
        proxy.lead_to(address(&next));
        let old = std::mem::replace(&mut live, next);
        old.signal("TERM");
        let (code, printed) = tokio::task::spawn_blocking(|| old.end()).await.unwrap();
        assert_eq!(code, Some(0), "{printed}");
        load.flows(BETWEEN).await;
    }
    let (log, longest) = load.stop().await;
    println!(
        "{name}: {HAND_OVERS} hand-overs, {} requests, {} failed, {} sent again because the connection was closed before \
         they came, {} because the database was too slow, longest {longest:.0?}",
        log.answered,
        log.failed.len(),
        log.sent_again,
        log.told_to_wait
    );
    assert_eq!(log.failed, [""; 0], "requests that no client could save");
    let mut stored = Database::Postgres(database).closed().await;
    let mut acknowledged = log.acknowledged;
    stored.sort();
    acknowledged.sort();
    assert!(stored == acknowledged, "{} candles are stored, and {} acknowledged", stored.len(), acknowledged.len());
}

/// A process of the service, as in production, that is ready.
fn version(folder: &std::path::Path, database_url: &str) -> Serving {
    let variables = [
        ("PORT", "0"),
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", database_url),
        ("MIGRATE_ON_START", "false"),
        ("MT5_API_KEY", KEY),
        ("INTERNAL_API_TOKEN", TOKEN),
        ("TRUSTED_PROXIES", "127.0.0.1/32"),
        ("RATE_LIMIT_INGEST", "off"),
        ("RATE_LIMIT_QUERY", "off"),
    ];
    let serving = Serving::start(folder, &variables);
    let port = serving.url.rsplit(':').next().unwrap();
    let (code, _, said) = wait_healthy(folder, port);
    assert_eq!(code, 0, "{said}");
    serving
}

/// Waits as a deployment does, until the service is healthy.
fn wait_healthy(folder: &std::path::Path, port: &str) -> (i32, String, String) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = output(program(folder, &[("PORT", port)]).arg("healthcheck"));
        if answer.0 == 0 || Instant::now() > deadline {
            return answer;
        }
    }
}

fn address(serving: &Serving) -> SocketAddr {
    serving.url.trim_start_matches("http://").parse().unwrap()
}

/// The results of the clients' requests.
#[derive(Debug, Default)]
struct Log {
    answered: usize,
    sent_again: usize,
    told_to_wait: usize,
    failed: Vec<String>,
    /// Rows in the spelling of [`Database::closed`].
    acknowledged: Vec<String>,
    longest: Duration,
}

struct Load {
    log: Arc<Mutex<Log>>,
    answered: watch::Sender<usize>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(door: &Door) -> Self {
        let (log, answered, stop) = (Arc::default(), watch::Sender::new(0), watch::Sender::new(false));
        let mut clients = JoinSet::new();
        for number in 0..POSTING {
            for reads in [false, true] {
                let client = Client {
                    number,
                    reads,
                    // Some clients are always busy, some mostly idle.
                    pause: Duration::from_millis([0, 5, 20, 80, 300][number]),
                    door: door.clone(),
                    connection: None,
                    log: Arc::clone(&log),
                };
                clients.spawn(client.work(answered.clone(), stop.subscribe()));
            }
        }
        Self { log, answered, stop, clients }
    }

    /// Returns once `more` requests have been answered.
    async fn flows(&self, more: usize) {
        let mut answered = self.answered.subscribe();
        let enough = *answered.borrow_and_update() + more;
        answered.wait_for(|answered| *answered >= enough).await.unwrap();
    }

    async fn stop(mut self) -> (Log, Duration) {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        let longest = log.longest;
        (log, longest)
    }
}

/// A client with one connection, which it keeps open.
struct Client {
    number: usize,
    reads: bool,
    pause: Duration,
    door: Door,
    connection: Option<SendRequest<Full<Bytes>>>,
    log: Arc<Mutex<Log>>,
}

impl Client {
    async fn work(mut self, answered: watch::Sender<usize>, stop: watch::Receiver<bool>) {
        for sequence in 0_usize.. {
            if *stop.borrow() {
                return;
            }
            let began = Instant::now();
            let asked = timeout(DEADLINE, self.ask(sequence)).await;
            let took = began.elapsed();
            {
                let mut log = self.log.lock().unwrap();
                log.answered += 1;
                log.longest = log.longest.max(took);
                match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(Some(row)) => log.acknowledged.push(row),
                    Ok(None) => {}
                    Err(failure) => log.failed.push(failure),
                }
            }
            answered.send_modify(|answered| *answered += 1);
            // The pace of the load.
            sleep(self.pause).await;
        }
    }

    /// Posts a candle, and returns its row, or reads.
    async fn ask(&mut self, sequence: usize) -> Result<Option<String>, String> {
        let symbol = format!("W{}", self.number);
        let request = Request::builder().header("host", "localhost");
        let (request, row): (Request<Full<Bytes>>, _) = if self.reads {
            let path = format!("/api/v1/candles?symbol={symbol}&timeframe=M1&limit=10");
            (request.uri(path).header("x-internal-token", TOKEN).body(Full::default()).unwrap(), None)
        } else {
            let time = 1_600_000_020 + sequence * 60;
            let body = format!(
                r#"{{"candles":[{{"symbol":"{symbol}","timeframe":"M1","timestamp":{time},"open":1.1,"high":1.2,"low":1.0,"close":1.15,"volume":{sequence},"complete":true}}]}}"#
            );
            let post = request.method("POST").uri("/api/v1/candles").header("x-api-key", KEY);
            let row = format!("{symbol} M1 {time} 1.1 1.2 1.0 1.15 {sequence}");
            (post.body(Full::from(body)).unwrap(), Some(row))
        };
        let (status, body) = loop {
            let response = self.send(request.clone()).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| format!("half an answer: {error:?}"))?;
            let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            // The problem must be the service's own, because the proxies have one of their own for an unreachable
            // service.
            if status != 503 || !body["detail"].to_string().contains("The database does not answer") {
                break (status, body);
            }
            self.log.lock().unwrap().told_to_wait += 1;
            sleep(Duration::from_secs(1)).await;
        };
        let wanted = if self.reads { (200, body.is_array()) } else { (201, body["records_received"] == 1) };
        if (status, true) == wanted { Ok(row) } else { Err(format!("{status} {body}")) }
    }

    /// Sends a request on the open connection, and again on a new one if that turns out to have been closed.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, String> {
        if let Some(connection) = &mut self.connection {
            if connection.ready().await.is_ok() {
                match connection.send_request(request.clone()).await {
                    Ok(response) => return Ok(response),
                    // No byte of an answer arrived.
                    Err(error) if is_closed(&error) => self.log.lock().unwrap().sent_again += 1,
                    Err(error) => return Err(format!("{error:?}")),
                }
            }
            self.connection = None;
        }
        let stream = self.door.connect().await.map_err(|error| format!("no connection: {error}"))?;
        let (mut connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(driver);
        let response = connection.send_request(request).await.map_err(|error| format!("new connection: {error:?}"))?;
        self.connection = Some(connection);
        Ok(response)
    }
}

/// Returns whether the connection was closed between two requests: before this one was sent, or before any byte of its
/// answer arrived.
fn is_closed(error: &hyper::Error) -> bool {
    let reset = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::BrokenPipe
                    | std::io::ErrorKind::UnexpectedEof
            )
        });
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || reset
}
