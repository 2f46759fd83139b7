//! Clients that follow live streams, lose their connections and go on elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::terminals::{Log, SERIES, State, symbol};
use crate::faults::Random;
use crate::harness::TOKEN;

/// The candles of a series by their opening times in epoch seconds, each as text from its timestamp on.
pub type Candles = BTreeMap<i64, Box<str>>;

/// The maximum number of candles that a stream sends after a gap.
const MAX_SENT_AGAIN: i64 = 1_000;

/// The candles of every series that the database holds, once all is written.
pub type Truth = Mutex<Option<Vec<Candles>>>;

/// The events of a stream that was not cut, and the times between which it was open.
#[derive(Debug)]
pub struct Watch {
    pub opened: Instant,
    pub ended: Instant,
    pub received: Vec<(Instant, State)>,
    pub comments: Vec<Instant>,
}

/// The events and accidents of a client.
#[derive(Debug, Default)]
pub struct Story {
    pub connections: usize,
    pub cuts: usize,
    pub stalls: usize,
    pub resumes: usize,
    pub ends: usize,
    pub events: usize,
    /// Spans of late candles, which a stream may name in vain after a gap.
    pub late: usize,
    /// Spans of more candles than a stream sends after a gap, which a client has to read as pages.
    pub missed: usize,
    pub watches: Vec<Watch>,
}

pub struct Follower {
    log: Arc<Log>,
    truth: Arc<Truth>,
    number: usize,
    random: Random,
    longest_stall: u64,
    http: Client,
    /// A steady client stays connected and reads at once.
    is_steady: bool,
    series: Vec<usize>,
    known: BTreeMap<usize, Candles>,
    /// The spans that a stream left to pages, by the opening times of their first and last candles in epoch seconds.
    missed: BTreeMap<usize, Vec<(i64, i64)>>,
    volumes: BTreeMap<(usize, i64), (i64, bool)>,
    last_id: Option<String>,
    story: Story,
    began: Instant,
}

impl Follower {
    pub fn new(
        (log, truth): (Arc<Log>, Arc<Truth>),
        number: usize,
        is_steady: bool,
        longest_stall: u64,
        mut random: Random,
    ) -> Self {
        let mut series: Vec<_> = (0..SERIES).filter(|_| is_steady || random.below(2) == 0).collect();
        if series.is_empty() {
            series.push(number % SERIES);
        }
        Self {
            log,
            truth,
            number,
            random,
            longest_stall,
            http: Client::new(),
            is_steady,
            series,
            known: BTreeMap::new(),
            missed: BTreeMap::new(),
            volumes: BTreeMap::new(),
            last_id: None,
            story: Story::default(),
            began: Instant::now(),
        }
    }

    /// Follows until everything is known that the database holds at the end.
    pub async fn follow(mut self) -> Story {
        let mut replica = self.number;
        loop {
            if let Some(response) = self.connect(replica).await
                && self.read(response).await
            {
                return self.story;
            }
            replica = if self.is_steady { replica + 1 } else { self.random.below(SERIES) };
        }
    }

    /// The series, with the newest candle that the client has of each if it is to go on from there.
    fn query(&self, goes_on: bool) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for series in &self.series {
            let newest = self.known.get(series).and_then(|known| Some(*known.last_key_value()?.0));
            let at = newest.filter(|_| goes_on).map(|newest| format!("@{}", newest * 1000));
            query.append_pair("series", &format!("M1{}:{}", at.unwrap_or_default(), symbol(*series)));
        }
        query.finish()
    }

    async fn connect(&mut self, replica: usize) -> Option<Response> {
        // The position in the id, or else the candles that the client has.
        let by_id = self.last_id.clone().filter(|_| self.random.below(10) > 0);
        let query = self.query(by_id.is_none());
        let url = format!("{}/api/v1/live?{query}", self.log.url(replica));
        let request = by_id.iter().fold(self.http.get(url), |request, id| request.header("Last-Event-ID", id));
        let answer = request.bearer_auth(TOKEN).send().await;
        match answer {
            Ok(response) if response.status() == 200 => {
                self.story.connections += 1;
                self.story.resumes += usize::from(by_id.is_some());
                Some(response)
            }
            Ok(response) if response.status() != 503 => panic!("{response:?}"),
            _ => {
                sleep(self.random.millis(10..60)).await;
                None
            }
        }
    }

    /// Reads a stream to its end or its cut. Returns true if the client knows everything.
    async fn read(&mut self, mut response: Response) -> bool {
        let mut left = if self.is_steady {
            usize::MAX
        } else {
            let scale = 1 << self.random.below(17);
            1 + self.random.below(scale)
        };
        let opened = Instant::now();
        let (mut buffer, mut is_over) = (Vec::new(), false);
        let mut watch = Watch { opened, ended: opened, received: Vec::new(), comments: Vec::new() };
        while !is_over {
            match timeout(Duration::from_millis(100), response.chunk()).await {
                Err(_) => {}
                Ok(Ok(Some(chunk))) => {
                    let is_cut = chunk.len() >= left;
                    buffer.extend_from_slice(&chunk[..chunk.len().min(left)]);
                    left -= chunk.len().min(left);
                    while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
                        let rest = buffer.split_off(end + 2);
                        let block = std::mem::replace(&mut buffer, rest);
                        self.take(std::str::from_utf8(&block).unwrap(), &mut watch);
                    }
                    // Bytes behind the cut are lost.
                    if is_cut {
                        self.story.cuts += 1;
                        return false;
                    }
                }
                Ok(_) => {
                    self.story.ends += 1;
                    break;
                }
            }
            is_over = self.knows_all();
            if !self.is_steady && !is_over && self.random.below(40) == 0 {
                self.story.stalls += 1;
                sleep(self.random.millis(0..self.longest_stall)).await;
            }
        }
        if self.is_steady {
            if !watch.received.is_empty() {
                self.log.steady.fetch_sub(1, Ordering::Relaxed);
            }
            watch.ended = Instant::now();
            self.story.watches.push(watch);
        }
        is_over
    }

    fn take(&mut self, block: &str, watch: &mut Watch) {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
        if block.starts_with(": ") {
            watch.comments.push(Instant::now());
        }
        if let Some(id) = field("id") {
            self.last_id = Some(id);
        }
        let (Some(name), Some(data)) = (field("event"), field("data")) else { return };
        if name == "history" {
            self.note_history(&data);
            return;
        }
        self.story.events += 1;
        let state = self.note(&data);
        self.log.check(state);
        if self.is_steady {
            if watch.received.is_empty() {
                self.log.steady.fetch_add(1, Ordering::Relaxed);
            }
            watch.received.push((Instant::now(), state));
        }
    }

    /// Notes a span to read again: of late candles, or of more candles than a stream sends after a gap.
    fn note_history(&mut self, data: &str) {
        let event: Value = serde_json::from_str(data).unwrap();
        if event["kind"] == "late" {
            self.story.late += 1;
            return;
        }
        assert_eq!(event["kind"], "missed", "nothing else is changed here: {data}");
        let [from, to] = ["from", "to"].map(|end| event[end].as_i64().unwrap() / 1000);
        assert!(to - from >= MAX_SENT_AGAIN * 60, "a stream sends as many: {data}");
        let series = self.series_of(&event);
        self.missed.entry(series).or_default().push((from, to));
        self.story.missed += 1;
    }

    fn series_of(&self, event: &Value) -> usize {
        let name = event["symbol"].as_str().unwrap();
        self.series.iter().copied().find(|series| symbol(*series) == name).unwrap()
    }

    fn is_missed(&self, series: usize, opened: i64) -> bool {
        self.missed.get(&series).is_some_and(|spans| spans.iter().any(|(from, to)| (from..=to).contains(&&opened)))
    }

    /// Notes a candle, and checks that it may follow what was sent before.
    fn note(&mut self, data: &str) -> State {
        let candle: Value = serde_json::from_str(data).unwrap();
        let series = self.series_of(&candle);
        let (opened, volume) = (candle["timestamp"].as_i64().unwrap() / 1000, candle["volume"].as_i64().unwrap());
        let is_closed = candle.get("complete").is_none();
        let is_missed = self.is_missed(series, opened);
        let known = self.known.entry(series).or_default();
        if let (Some((&first, _)), Some((&newest, _))) = (known.first_key_value(), known.last_key_value()) {
            // A client that began with the newest candle also gets changes of candles before it.
            if opened < first {
                return (series, opened, volume);
            }
            // After a reconnect, those since the position come again.
            assert!(
                opened >= newest || known.contains_key(&opened) || is_missed,
                "a candle before {newest}, the newest since {first}: {data}"
            );
        }
        let (former, was_closed) = self.volumes.entry((series, opened)).or_insert((volume, is_closed));
        assert!(
            *former <= volume && (is_closed || !*was_closed),
            "an older state than {former} came after it, {:?} after the client began: {data}",
            self.began.elapsed()
        );
        (*former, *was_closed) = (volume, is_closed);
        known.insert(opened, fields(data));
        (series, opened, volume)
    }

    /// True if the client has every candle since its first one of each series, in the last state, but for those that it was to
    /// read as pages.
    fn knows_all(&self) -> bool {
        let truth = self.truth.lock().unwrap();
        truth.as_ref().is_some_and(|truth| {
            self.series.iter().all(|series| {
                let Some(known) = self.known.get(series) else { return false };
                let first = known.first_key_value().map_or(i64::MAX, |(&first, _)| first);
                let is_sent = |opened: &i64| !self.is_missed(*series, *opened);
                let expected = truth[*series].range(first..).filter(|(opened, _)| is_sent(opened));
                !known.is_empty() && expected.eq(known.iter().filter(|(opened, _)| is_sent(opened)))
            })
        })
    }
}

/// A candle's text from its timestamp on.
fn fields(candle: &str) -> Box<str> {
    candle[candle.find("\"timestamp\"").unwrap()..].into()
}

/// Reads what the database holds of a series.
pub async fn read_all(url: &str, series: usize) -> Candles {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("symbol", &symbol(series)).finish();
    let client = Client::new();
    let page = loop {
        let request = client.get(format!("{url}/api/v1/candles?{query}&timeframe=M1&limit=10000"));
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        if status == 200 {
            break text;
        }
        // The database may have come back a moment ago.
        assert_eq!(status, 503, "{text}");
    };
    let candles: Vec<&RawValue> = serde_json::from_str(&page).unwrap();
    let opened =
        |candle: &RawValue| serde_json::from_str::<Value>(candle.get()).unwrap()["timestamp"].as_i64().unwrap() / 1000;
    candles.into_iter().map(|candle| (opened(candle), fields(candle.get()))).collect()
}
