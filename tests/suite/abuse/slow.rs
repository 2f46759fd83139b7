//! Slow clients: each one is disconnected, and no other request waits for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::attack::{get, key, post, request, token};
use super::keys::HOST;
use super::target::Target;
use super::wire::{Answers, Door, EXCHANGE_TIMEOUT};
use crate::harness::{Database, KEY, candle, run, send, with};

/// The bytes that a slow client sends first (`first`), and then again and again (`drip`).
#[derive(Clone)]
struct Slow {
    name: &'static str,
    first: Vec<u8>,
    drip: &'static [u8],
    /// Statuses with which it may be refused; closing the connection is always right.
    refused: &'static [u16],
}

fn slow_clients() -> Vec<Slow> {
    let head = |name, first: &[u8], drip| Slow { name, first: first.to_vec(), drip, refused: &[400, 408] };
    let body = |name, lines: String, drip| Slow {
        name,
        first: request("POST", "/api/v1/candles", &lines),
        drip,
        refused: &[408],
    };
    vec![
        head("a head, a byte a second", b"GET /health HTTP/1.1\r\nx: ", b"y"),
        head("a head, a header a second", b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n"),
        head("a head that stops", b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b""),
        head("half a method", b"GE", b""),
        head("the second head, a byte a second", &[get("/health", ""), b"GET /".to_vec()].concat(), b"x"),
        head("nothing at all", b"", b""),
        body("a body, a byte a second", format!("{}Content-Length: 1000\r\n", key()), b" "),
        body("a body that stops", format!("{}Content-Length: 1000\r\n", key()), b""),
        body("chunks, one a second", format!("{}Transfer-Encoding: chunked\r\n", key()), b"1\r\n \r\n"),
        Slow {
            refused: &[401],
            ..body("a body without a key, a byte a second", "Content-Length: 1000\r\n".to_owned(), b" ")
        },
    ]
}

impl Slow {
    /// Sends until the connection is closed, and returns how long that took.
    async fn bothers(self, door: Door) -> (String, Duration) {
        let start = Instant::now();
        let told = format!("{:38} {}", self.name, door.name);
        let mut received = Vec::new();
        let ended = async {
            let (mut reading, mut writing) = tokio::io::split(door.connect().await.unwrap());
            let _ = writing.write_all(&self.first).await;
            let dripping = async {
                let mut ticks = interval(Duration::from_secs(1));
                loop {
                    ticks.tick().await;
                    // After a reset nothing more can be sent, and the reading half notices it.
                    let _ = writing.write_all(self.drip).await;
                    let _ = writing.flush().await;
                }
            };
            let reading = async { while reading.read_buf(&mut received).await.is_ok_and(|read| read > 0) {} };
            tokio::select! {
                () = reading => {}
                () = dripping => {}
            }
        };
        timeout(EXCHANGE_TIMEOUT, ended).await.unwrap_or_else(|_| panic!("{told}: nobody ended it"));
        for answer in Answers::all(&received).0.iter().filter(|answer| answer.body != r#"{"status":"ok"}"#) {
            assert!(self.refused.contains(&answer.status), "{told}: {answer:?}");
        }
        (told, start.elapsed())
    }
}

/// Requests long answers and reads none of them.
async fn does_not_read(door: Door) -> (String, Duration) {
    let start = Instant::now();
    let told = format!("{:38} {}", "an answer that is not taken", door.name);
    let socket = door.socket(Some(4096)).await.unwrap();
    let client = socket.local_addr().unwrap();
    let mut stream = door.wrap(socket).await.unwrap();
    let read = get("/api/v1/candles?symbol=LONG&timeframe=M1&limit=10000", &token());
    stream.write_all(&read.repeat(4)).await.unwrap();
    stream.flush().await.unwrap();
    let ended = async {
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while is_open(door.address, client) {
            ticks.tick().await;
        }
    };
    timeout(EXCHANGE_TIMEOUT, ended).await.unwrap_or_else(|_| panic!("{told}: nobody ended it"));
    (told, start.elapsed())
}

/// Returns whether the server's end of a connection is established, according to the kernel.
fn is_open(server: std::net::SocketAddr, client: std::net::SocketAddr) -> bool {
    let written = |address: std::net::SocketAddr| match address.ip() {
        std::net::IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        std::net::IpAddr::V6(_) => unreachable!("everything here is IPv4"),
    };
    let established = format!("{} {} 01 ", written(server), written(client));
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&established)
}

/// Sends requests as well-behaved clients do until it is dropped, and panics if one fails.
pub struct GoodClients(JoinSet<()>, std::sync::Arc<std::sync::Mutex<Vec<Duration>>>);

impl GoodClients {
    pub fn of(doors: &[Door]) -> Self {
        let mut clients = JoinSet::new();
        let took = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        for (index, door) in (0_u8..).zip(doors) {
            let (door, took) = (door.from([127, 0, 9, index + 1]), std::sync::Arc::clone(&took));
            clients.spawn(async move {
                let mut ticks = interval(Duration::from_millis(50));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0_u32.. {
                    ticks.tick().await;
                    let start = Instant::now();
                    // A duplicate of a canary, so that nothing new is stored.
                    let body = json!({"candles": [with(candle(1_754_215_200), json!({"symbol": "CANARY", "complete": true}))]});
                    let (bytes, expected) = match number % 2 {
                        0 => (post(&key(), body.to_string()), 201),
                        _ => (get("/api/v1/series", &token()), 200),
                    };
                    let answers = door.exchange(&bytes).await.unwrap().0;
                    assert_eq!(answers.first().map(|answer| answer.status), Some(expected), "{}: {answers:?}", door.name);
                    took.lock().unwrap().push(start.elapsed());
                }
            });
        }
        Self(clients, took)
    }

    /// Stops them, and returns a summary of their latencies.
    pub async fn were_served(mut self) -> String {
        self.0.abort_all();
        while let Some(ended) = self.0.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()), "a good client was not served");
        }
        let mut took = std::mem::take(&mut *self.1.lock().unwrap());
        took.sort();
        assert!(!took.is_empty());
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        format!("{} good requests meanwhile: median {:.0?}, 99 % within {:.0?}", took.len(), at(50), at(99))
    }
}

/// Stores a series whose pages are longer than the buffers of kernels and proxies.
async fn store_long_series(target: &Target) -> Vec<String> {
    let times = (0..10_000).map(|n| 1_700_000_040 + n * 60);
    let price = "1.000000000000000000000000001";
    let candle = |time: i64| {
        json!({"symbol": "LONG", "timeframe": "M1", "timestamp": time, "complete": true,
               "open": price, "high": price, "low": price, "close": price, "volume": 1})
    };
    let batch: Vec<Value> = times.clone().map(candle).collect();
    let post = reqwest::Client::new().post(format!("http://{}/api/v1/candles", target.address)).header("host", HOST);
    send(post.header("X-API-KEY", KEY).body(json!({"candles": batch}).to_string())).await.counts(10_000);
    times.map(|time| format!("LONG M1 {time} {price} {price} {price} {price} 1")).collect()
}

#[test]
fn slow_clients_time_out_and_do_not_delay_other_requests() {
    run(async {
        let target = Target::start(Database::sqlite(), &[("RATE_LIMIT_ANONYMOUS", "off")]).await;
        let stored = store_long_series(&target).await;
        let doors = target.doors();
        let good = GoodClients::of(&doors);
        let mut slow = JoinSet::new();
        for door in &doors {
            for client in slow_clients() {
                slow.spawn(client.bothers(door.clone()));
            }
            slow.spawn(does_not_read(door.clone()));
        }
        let mut told = slow.join_all().await;
        told.sort();
        for (client, took) in told {
            println!("ended after {:4.1} s: {client}", took.as_secs_f64());
        }
        println!("{}", good.were_served().await);
        target.ends_unharmed(stored).await;
    });
}
