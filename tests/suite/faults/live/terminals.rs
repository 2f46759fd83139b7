//! Terminals that post the states of candles, and the log of what they have posted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::replica::Time;
use crate::faults::Random;
use crate::faults::load::client;
use crate::harness::KEY;

pub const SERIES: usize = 20;
pub const TERMINALS: usize = 5;
const SERIES_OF_A_TERMINAL: usize = SERIES / TERMINALS;
/// The maximum number of minutes that a terminal catches up on in a post.
const MAX_MISSED: i64 = 200;
/// One in this many posts is sent again after the next one, when it is of no more use.
const AGAIN: usize = 8;
/// The maximum age of a post that is sent again. Beyond 10 s a state with less volume replaces the stored one, and a statement may
/// begin 4 s after its post has arrived.
const MAX_AGE_AGAIN: Duration = Duration::from_secs(3);

/// The symbol of a series. The first four are unusual.
pub fn symbol(series: usize) -> String {
    const UNUSUAL: [&str; 4] = ["A:B@C", "\"q\"", "ÄÖ", "X Y"];
    UNUSUAL.get(series).map_or_else(|| format!("S{series:02}"), |symbol| (*symbol).to_owned())
}

/// A state of a candle: its series, its opening time in epoch seconds, and its volume, which grows with each state.
pub type State = (usize, i64, i64);

/// When a state was first posted, and when a post of it was first acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Posted {
    pub begun: Instant,
    pub acknowledged: Option<Instant>,
}

/// The states that terminals have posted, and the replicas to which they post.
pub struct Log {
    /// The addresses of the replicas, which change when they start again.
    pub urls: RwLock<Vec<String>>,
    pub states: Mutex<HashMap<State, Posted>>,
    /// The time since which the database commits nothing, if that is so now.
    pub held: Mutex<Option<Instant>>,
    /// States that were acknowledged.
    pub acknowledged: AtomicUsize,
    /// Steady clients that have got something on the connection that they have now.
    pub steady: AtomicUsize,
    /// Posts that were refused or not answered.
    pub failed: AtomicUsize,
    /// Terminals have posted everything.
    pub is_written: AtomicBool,
}

impl Log {
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls: RwLock::new(urls),
            states: Mutex::default(),
            held: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            steady: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            is_written: AtomicBool::new(false),
        }
    }

    pub fn url(&self, number: usize) -> String {
        let urls = self.urls.read().unwrap();
        urls[number % urls.len()].clone()
    }

    fn acknowledge(&self, states: &[State]) {
        let now = Instant::now();
        let mut all = self.states.lock().unwrap();
        for state in states {
            all.get_mut(state).unwrap().acknowledged.get_or_insert(now);
        }
        self.acknowledged.fetch_add(states.len(), Ordering::Relaxed);
    }

    /// Checks that a state which a client was sent can be in the database.
    pub fn check(&self, state: State) {
        let held = *self.held.lock().unwrap();
        let posted = self.states.lock().unwrap().get(&state).copied();
        let Some(posted) = posted else { panic!("{state:?} was sent to a client, and nobody has posted it") };
        if let Some(since) = held {
            assert!(posted.begun <= since, "{state:?} was sent to a client before it was committed");
        }
    }
}

/// The newest candle of a series.
#[derive(Clone, Copy)]
struct Newest {
    opened: i64,
    volume: i64,
}

pub struct Terminal {
    log: Arc<Log>,
    time: Time,
    random: Random,
    http: reqwest::Client,
    first_series: usize,
    newest: [Option<Newest>; SERIES_OF_A_TERMINAL],
    posted: usize,
}

impl Terminal {
    pub fn new(log: Arc<Log>, number: usize, time: Time, random: Random) -> Self {
        let first_series = number * SERIES_OF_A_TERMINAL;
        Self { log, time, random, http: client(), first_series, newest: [None; SERIES_OF_A_TERMINAL], posted: 0 }
    }

    /// Posts until this many states are acknowledged.
    pub async fn work(mut self, states: usize) {
        let mut again: Option<(String, Instant)> = None;
        while self.posted < states {
            let (body, states) = self.next_post();
            let posted = Instant::now();
            self.post(&body).await;
            self.log.acknowledge(&states);
            self.posted += states.len();
            if let Some((former, posted)) = again.take() {
                if posted.elapsed() < MAX_AGE_AGAIN {
                    self.try_to_post(&former).await;
                }
            } else if self.random.below(AGAIN) == 0 {
                again = Some((body, posted));
            }
            sleep(self.random.millis(0..30)).await;
        }
    }

    /// The next states of some of its series. A candle whose minute is over is closed, and so are those that were missed.
    fn next_post(&mut self) -> (String, Vec<State>) {
        let minute = self.time.now() / 60 * 60;
        let (mut body, mut states) = (String::from(r#"{"candles":["#), Vec::new());
        let always = self.random.below(SERIES_OF_A_TERMINAL);
        for index in 0..SERIES_OF_A_TERMINAL {
            if index != always && self.random.below(2) == 0 {
                continue;
            }
            let series = self.first_series + index;
            let mut add = |opened: i64, volume: i64, complete: bool| {
                let comma = if states.is_empty() { "" } else { "," };
                let symbol = serde_json::Value::from(symbol(series));
                // The close says which state it is.
                let close = 1_085_000 + volume % 1_000;
                write!(
                    body,
                    r#"{comma}{{"symbol":{symbol},"timeframe":"M1","timestamp":{opened},"open":1.085,"high":1.0870,"low":1.08480,"close":1.{:06},"volume":{volume},"complete":{complete}}}"#,
                    close - 1_000_000
                )
                .unwrap();
                states.push((series, opened, volume));
            };
            let newest = match self.newest[index] {
                Some(newest) if newest.opened == minute => {
                    Newest { volume: newest.volume + 1 + self.random.below(3) as i64, ..newest }
                }
                Some(newest) => {
                    add(newest.opened, newest.volume + 1, true);
                    let first_missed = (newest.opened + 60).max(minute - MAX_MISSED * 60);
                    for opened in (first_missed..minute).step_by(60) {
                        add(opened, 7, true);
                    }
                    Newest { opened: minute, volume: 1 }
                }
                None => Newest { opened: minute, volume: 1 },
            };
            add(newest.opened, newest.volume, false);
            self.newest[index] = Some(newest);
        }
        body.push_str("]}");
        let now = Instant::now();
        let mut all = self.log.states.lock().unwrap();
        for state in &states {
            all.entry(*state).or_insert(Posted { begun: now, acknowledged: None });
        }
        drop(all);
        (body, states)
    }

    /// Posts to one replica after the other until one has stored it.
    async fn post(&mut self, body: &str) {
        while !self.try_to_post(body).await {
            self.log.failed.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20) + self.random.millis(0..80)).await;
        }
    }

    /// Posts to a replica. Returns true if it has stored the candles.
    async fn try_to_post(&mut self, body: &str) -> bool {
        let url = format!("{}/api/v1/candles", self.log.url(self.random.below(SERIES)));
        let answer = self.http.post(url).header("X-API-KEY", KEY).body(body.to_owned()).send().await;
        let Ok(answer) = answer else { return false };
        match answer.status().as_u16() {
            201 => true,
            503 => false,
            status => panic!("{status} {}", answer.text().await.unwrap_or_default()),
        }
    }
}
