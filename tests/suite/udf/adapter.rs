//! A chart that loads bars and follows them as TradingView's public adapter does, through a server that adds the token.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{HOUR, MINUTE, of};
use crate::harness::{Database, NOW, StoreKind, TOKEN, TestApp, both_store_kinds, run};

/// A bar: time in seconds, prices and volume.
pub(super) type Bar = (i64, [f64; 4], i64);

/// The server of an application: it hands requests on with the token, which browsers do not have.
pub(super) struct Front(SocketAddr);

impl Front {
    pub(super) async fn start(app: &TestApp) -> Self {
        async fn forward(State(service): State<String>, request: Request) -> impl IntoResponse {
            let asked = request.uri().path_and_query().unwrap().as_str();
            let client = reqwest::Client::new();
            let answer = client.get(format!("{service}/api/v1{asked}")).header("X-Internal-Token", TOKEN);
            let answer = answer.send().await.unwrap();
            let status = axum::http::StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, answer.text().await.unwrap())
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(forward).with_state(app.url());
        let handle = axum_server::Handle::<SocketAddr>::new();
        let server = axum_server::from_tcp(listener.into_std().unwrap()).unwrap().handle(handle);
        tokio::spawn(server.serve(routes.into_make_service()));
        Self(address)
    }

    async fn send(&self, route: &str, parameters: &[(&str, String)]) -> Value {
        let mut url = url::Url::parse(&format!("http://{}/udf/{route}", self.0)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), 200);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

/// An answer, as the adapter reads it.
struct History {
    bars: Vec<Bar>,
    no_data: bool,
    next_time: Option<i64>,
}

impl History {
    fn of(answer: &Value) -> Self {
        if answer["s"] == "no_data" {
            return Self { bars: Vec::new(), no_data: true, next_time: answer["nextTime"].as_i64() };
        }
        assert_eq!(answer["s"], "ok", "{answer}");
        let columns: Vec<&Vec<Value>> =
            ["t", "o", "h", "l", "c", "v"].iter().map(|name| answer[name].as_array().unwrap()).collect();
        let lengths: BTreeSet<usize> = columns.iter().map(|column| column.len()).collect();
        assert_eq!(lengths.len(), 1, "columns are of one length: {answer}");
        let bar = |n: usize| {
            let price = |column: usize| columns[column][n].as_f64().unwrap();
            let prices = [price(1), price(2), price(3), price(4)];
            (columns[0][n].as_i64().unwrap(), prices, columns[5][n].as_i64().unwrap())
        };
        let bars: Vec<Bar> = (0..columns[0].len()).map(bar).collect();
        assert!(bars.is_sorted_by(|one, next| one.0 < next.0), "bars ascend: {answer}");
        Self { bars, no_data: false, next_time: None }
    }
}

/// The adapter, for one symbol in one resolution.
pub(super) struct Adapter<'a> {
    pub(super) front: &'a Front,
    pub(super) symbol: &'a str,
    pub(super) resolution: &'a str,
    /// Its `maxResponseLength`; its `expectedOrder` is `latestFirst`.
    pub(super) max_response_length: usize,
}

impl Adapter<'_> {
    async fn request(&self, from: i64, to: i64, countback: Option<usize>) -> History {
        let mut parameters = vec![
            ("symbol", self.symbol.to_owned()),
            ("resolution", self.resolution.to_owned()),
            ("from", from.to_string()),
            ("to", to.to_string()),
        ];
        parameters.extend(countback.map(|count| ("countback", count.to_string())));
        History::of(&self.front.send("history", &parameters).await)
    }

    /// Asks for bars, and as long as an answer is as long as it may be, for those before its first one.
    async fn bars(&self, from: i64, to: i64, mut countback: Option<usize>) -> History {
        let mut result = self.request(from, to, countback).await;
        let mut length = result.bars.len();
        let mut to = to;
        while length == self.max_response_length && from < to {
            countback = countback.map(|count| count - length);
            to = result.bars[0].0;
            let mut earlier = self.request(from, to, countback).await;
            length = earlier.bars.len();
            let Some(last) = earlier.bars.last() else { break };
            if last.0 == result.bars[0].0 {
                earlier.bars.pop();
            }
            earlier.bars.append(&mut result.bars);
            result.bars = earlier.bars;
        }
        result
    }

    /// Loads all bars up to a time as a chart does that is dragged to its beginning, `width` seconds at a time. The chart drops bars
    /// that it has, and ends where no more are said to be.
    pub(super) async fn load(&self, end: i64, width: i64, countback: Option<usize>) -> BTreeMap<i64, Bar> {
        let mut chart: BTreeMap<i64, Bar> = BTreeMap::new();
        let mut to = end;
        loop {
            let loaded = self.bars(to - width, to, countback).await;
            let first = chart.keys().next().copied();
            match (loaded.no_data, loaded.next_time) {
                (true, None) => return chart,
                (true, Some(next)) => {
                    assert!(next < to, "the next bar is earlier");
                    to = next + i64::from(countback.is_some());
                    continue;
                }
                (false, _) => {}
            }
            to = loaded.bars[0].0 - i64::from(countback.is_none());
            for bar in loaded.bars {
                assert_eq!(*chart.entry(bar.0).or_insert(bar), bar, "a bar is the same in every answer");
            }
            if first == chart.keys().next().copied() {
                return chart;
            }
        }
    }
}

/// A subscription to the newest bars.
pub(super) struct Subscription {
    last: Option<i64>,
    /// The bars that were handed to the chart, in order.
    pub(super) received: Vec<Bar>,
}

impl Subscription {
    pub(super) fn new() -> Self {
        Self { last: None, received: Vec::new() }
    }

    /// Polls once: the last two bars of the last ten periods. A new bar is preceded by the closed form of the one before.
    pub(super) async fn poll(&mut self, adapter: &Adapter<'_>, now: i64, period: i64) {
        let result = adapter.bars(now - 10 * period, now, Some(2)).await;
        let Some(newest) = result.bars.last() else { return };
        if self.last.is_some_and(|last| newest.0 < last) {
            return;
        }
        if self.last.is_some_and(|last| newest.0 > last) {
            assert!(result.bars.len() >= 2, "a new bar comes with the one before");
            self.received.push(result.bars[result.bars.len() - 2]);
        }
        self.last = Some(newest.0);
        self.received.push(*newest);
    }
}

/// The candles of a series that a database holds. A closed one hides a forming one.
pub(super) async fn stored(database: &Database, series: &str) -> BTreeMap<i64, Bar> {
    let rows = [database.forming().await, database.closed().await].concat();
    let of_series = rows.iter().filter_map(|row| row.strip_prefix(series)?.strip_prefix(' '));
    let bar = |row: &str| {
        let values: Vec<&str> = row.split(' ').collect();
        let price = |n: usize| values[n].parse::<f64>().unwrap();
        let time = values[0].parse().unwrap();
        (time, (time, [price(1), price(2), price(3), price(4)], values[5].parse().unwrap()))
    };
    of_series.map(bar).collect()
}

/// A candle with prices of its own.
fn numbered(timeframe: &str, time: i64, n: i64, complete: bool) -> Value {
    let [open, high, low, close] = [n, n + 3, n - 3, n + 1].map(|n| format!("1.{:05}", 20_000 + n));
    let fields = json!({"open": open, "high": high, "low": low, "close": close, "volume": n, "complete": complete});
    of("EURUSD", timeframe, time, fields)
}

pub(super) async fn start(kind: StoreKind, max_limit: usize) -> TestApp {
    TestApp::start_with(kind.database().await, |environment| environment.with("MAX_LIMIT", max_limit)).await
}

#[apply(both_store_kinds)]
fn a_chart_shows_exactly_the_candles_of_the_database(#[case] kind: StoreKind) {
    run(async move {
        const MAX_LIMIT: usize = 7;
        let app = start(kind, MAX_LIMIT).await;
        let front = Front::start(&app).await;
        // Two sessions with a hole of an hour, a pause of two days between them, and a forming candle.
        let begin = NOW - 60 * HOUR;
        let of_session = |start: i64| (0..90).filter(|n| !(20..80).contains(n)).map(move |n| start + n * MINUTE);
        let minutes: Vec<i64> = of_session(begin).chain(of_session(NOW - 90 * MINUTE)).collect();
        let (last, closed) = minutes.split_last().unwrap();
        let mut candles: Vec<Value> = closed.iter().zip(0..).map(|(&time, n)| numbered("M1", time, n, true)).collect();
        candles.push(numbered("M1", *last, 99, false));
        app.ingest(&candles).await;
        let expected = stored(&app.database, "EURUSD M1").await;
        assert_eq!(expected.len(), 60);
        let adapter = Adapter { front: &front, symbol: "EURUSD", resolution: "1", max_response_length: MAX_LIMIT };
        for (width, countback) in [
            // By number of bars, fewer and more than one answer holds, and by time, over the pause and within it.
            (30 * MINUTE, Some(5)),
            (30 * MINUTE, Some(7)),
            (30 * MINUTE, Some(14)),
            (30 * MINUTE, Some(500)),
            (90 * HOUR, None),
            (45 * MINUTE, None),
            (6 * MINUTE, None),
            (MINUTE, None),
        ] {
            let shown = adapter.load(NOW, width, countback).await;
            assert_eq!(shown, expected, "{width} {countback:?}");
        }
    });
}

#[apply(both_store_kinds)]
fn a_chart_follows_the_newest_candles(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind, 100).await;
        let front = Front::start(&app).await;
        let adapter = Adapter { front: &front, symbol: "EURUSD", resolution: "1", max_response_length: 100 };
        let begin = NOW - 20 * MINUTE;
        app.ingest(&[numbered("M1", begin - MINUTE, 1, true), numbered("M1", begin, 2, true)]).await;
        let mut chart = adapter.load(begin + MINUTE, HOUR, Some(300)).await;
        let mut subscription = Subscription::new();
        let mut states = 0;
        for (minute, n) in (1..15).zip((10..).step_by(10)) {
            // A minute without a candle, as quiet markets have.
            if minute == 7 {
                continue;
            }
            let time = begin + minute * MINUTE;
            for second in [1, 20, 40] {
                app.set_clock(time + second);
                app.ingest(&[numbered("M1", time, n + second / 20, false)]).await;
                subscription.poll(&adapter, time + second, MINUTE).await;
                states += 1;
            }
            app.set_clock(time + MINUTE);
            app.ingest(&[numbered("M1", time, n + 5, true)]).await;
        }
        app.set_clock(NOW);
        subscription.poll(&adapter, begin + 15 * MINUTE, MINUTE).await;
        let times: Vec<i64> = subscription.received.iter().map(|bar| bar.0).collect();
        assert!(times.is_sorted(), "a chart refuses bars older than its newest: {times:?}");
        // Every state arrived, and each candle's closed form before the next candle.
        assert!(subscription.received.len() >= states, "{}", subscription.received.len());
        for bar in subscription.received {
            chart.insert(bar.0, bar);
        }
        assert_eq!(chart, stored(&app.database, "EURUSD M1").await);
    });
}

#[apply(both_store_kinds)]
fn a_chart_that_counts_bars_meets_the_end_of_history(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind, 5).await;
        let front = Front::start(&app).await;
        let candles: Vec<_> = (0..12).map(|n| numbered("H1", NOW - (20 - n) * HOUR, n, true)).collect();
        app.ingest(&candles).await;
        let adapter = Adapter { front: &front, symbol: "EURUSD", resolution: "60", max_response_length: 5 };
        // Ten bars take two full answers, after which the adapter asks for none of them.
        let ten = adapter.bars(NOW - 100 * HOUR, NOW, Some(10)).await;
        assert_eq!(ten.bars.len(), 10);
        let all = adapter.bars(NOW - 100 * HOUR, NOW, Some(1000)).await;
        assert_eq!(all.bars.len(), 12);
        let answer = super::get(&app, &format!("history?symbol=EURUSD&resolution=60&to={NOW}&countback=1000")).await;
        assert_eq!(answer.header("x-more-before"), Some("true"));
        let link = format!(
            "</api/v1/udf/history?symbol=EURUSD&resolution=60&to={}&countback=995>; rel=\"prev\"",
            NOW - 13 * HOUR
        );
        assert_eq!(answer.header("link"), Some(&*link));
        let path = format!("history?symbol=EURUSD&resolution=60&from={}&to={NOW}", NOW - 100 * HOUR);
        let answer = super::get(&app, &path).await;
        assert_eq!(answer.header("x-more-before"), Some("true"));
        assert_eq!(super::times(&answer.json()).len(), 5);
        let exact = super::get(&app, &format!("history?symbol=EURUSD&resolution=60&to={NOW}&countback=5")).await;
        assert_eq!(exact.header("x-more-before"), Some("false"), "as many as were asked for");
    });
}
