//! Live streams: each client ends with exactly what the database holds, in order, whatever happens to its connections.

mod hints;
mod keys;

use std::collections::BTreeSet;
use std::time::Instant;

use candlewick::clock::Clock;
use reqwest::{Method, Response};
use rstest_reuse::apply;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{
    Answer, Environment, NOW, Service, StoreKind, TOKEN, TableLock, TestApp, both_store_kinds, both_stores, candle,
    run, send, with,
};
use crate::proxies;

const HOUR: i64 = 3600;
const MAINTENANCE: &str = "maintenance-key-for-tests";

/// One block of a stream.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

/// A client of a stream, which reads as browsers do.
struct Client {
    response: Response,
    buffer: Vec<u8>,
    /// The bytes that it takes before its connection is cut.
    left: usize,
    last_id: Option<String>,
}

impl Client {
    async fn open(service: &Service, query: &str) -> Self {
        Self::resume(service, query, None).await
    }

    async fn resume(service: &Service, query: &str, last_id: Option<&str>) -> Self {
        let mut request = service.request(Method::GET, &format!("/api/v1/live?{query}")).bearer_auth(TOKEN);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.header("Accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, buffer: Vec::new(), left: usize::MAX, last_id: last_id.map(str::to_owned) }
    }

    /// The text up to the next empty line; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let rest = self.buffer.split_off(end + 2);
                let block = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8(block).unwrap());
            }
            let mut chunk = self.response.chunk().await.ok()??;
            chunk.truncate(self.left);
            self.left -= chunk.len();
            if chunk.is_empty() {
                return None;
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            let id = field("id");
            if id.is_some() {
                self.last_id.clone_from(&id);
            }
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                return Some(Event { name, id, data: serde_json::from_str(&data).unwrap() });
            }
        }
    }

    async fn candle(&mut self) -> Value {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, "candle", "{event:?}");
        event.data
    }

    /// The next event of older history.
    async fn history(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == "history" {
                return event.data;
            }
        }
    }
}

fn hour(hours: i64, fields: Value) -> Value {
    with(with(candle(NOW - hours * HOUR), json!({"complete": true})), fields)
}

fn millis(hours: i64) -> i64 {
    (NOW - hours * HOUR) * 1000
}

#[apply(both_stores)]
async fn a_stream_begins_with_the_newest_candle_and_goes_on_with_what_changes(app: TestApp) {
    app.ingest(&[hour(3, json!({})), hour(2, json!({}))]).await;
    let request = app.request(Method::GET, "/api/v1/live?series=H1:EURUSD&series=M1:NOTHING").bearer_auth(TOKEN);
    let response = request.header("Accept-Encoding", "gzip, zstd").send().await.unwrap();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    assert!(!response.headers().contains_key("content-encoding"));
    let mut client = Client { response, buffer: Vec::new(), left: usize::MAX, last_id: None };
    assert_eq!(client.block().await.unwrap(), "retry: 2000\n\n");
    let text = client.block().await.unwrap();
    let (head, data) = text.split_once("data: ").unwrap();
    assert!(head.ends_with("event: candle\n"), "{text}");
    let expected = format!(
        "{{\"symbol\":\"EURUSD\",\"timeframe\":\"H1\",\"timestamp\":{},\"open\":1.08500,\"high\":1.08650,\
         \"low\":1.08480,\"close\":1.08620,\"volume\":1200}}\n\n",
        millis(2)
    );
    assert_eq!(data, expected);

    app.ingest(&[hour(1, json!({"complete": false, "volume": 1}))]).await;
    let forming = client.next().await.unwrap();
    assert_eq!(forming.data["timestamp"], millis(1));
    assert_eq!(forming.data["complete"], false);
    assert!(forming.id.is_some(), "{forming:?}");
    app.ingest(&[hour(1, json!({"complete": false, "volume": 2}))]).await;
    let changed = client.next().await.unwrap();
    assert_eq!((&changed.data["volume"], changed.id), (&json!(2), None), "the position has not moved");
    app.ingest(&[hour(1, json!({"volume": 3})), hour(0, json!({"complete": false, "volume": 4}))]).await;
    let (closed, next) = (client.candle().await, client.candle().await);
    assert_eq!((&closed["timestamp"], &closed["volume"], closed.get("complete")), (&millis(1).into(), &json!(3), None));
    assert_eq!((&next["timestamp"], &next["volume"]), (&millis(0).into(), &json!(4)));

    let id = client.last_id.clone().unwrap();
    assert!(id.starts_with("1.") && id.contains(".-~"), "{id}");
    app.ingest(&[with(hour(0, json!({"timeframe": "M1", "symbol": "NOTHING"})), json!({"complete": true}))]).await;
    assert_eq!(client.candle().await["symbol"], "NOTHING");
    drop(client);
    // The newest candle of each series is sent again, and what was not known.
    let mut client = Client::resume(&app, "series=H1:EURUSD&series=M1:NOTHING", Some(&id)).await;
    let both = [client.candle().await, client.candle().await];
    // Candles of different series come in any order.
    let symbols = both.iter().map(|candle| candle["symbol"].as_str().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(symbols, BTreeSet::from(["EURUSD", "NOTHING"]));
}

#[apply(both_stores)]
async fn a_stream_goes_on_from_a_candle_that_the_client_has(app: TestApp) {
    let candles: Vec<_> = (1..=40).rev().map(|hours| hour(hours, json!({}))).collect();
    app.ingest(&candles).await;
    for first in [1, 2, 3, 5, 17, 40] {
        let mut client = Client::open(&app, &format!("series=H1@{}:EURUSD", millis(first))).await;
        for hours in (1..=first).rev() {
            assert_eq!(client.candle().await["timestamp"], millis(hours), "from {first}");
        }
    }
    // A client with a candle that is not stored gets what comes after it.
    let mut client = Client::open(&app, &format!("series=H1@{}:EURUSD", millis(0))).await;
    app.ingest(&[hour(0, json!({}))]).await;
    assert_eq!(client.candle().await["timestamp"], millis(0));
}

#[apply(both_stores)]
async fn a_client_that_is_cut_while_it_catches_up_goes_on_where_it_was(app: TestApp) {
    let missed: Vec<Value> = (1..=400).rev().map(|hours| hour(hours, json!({}))).collect();
    let others: Vec<Value> = missed.iter().map(|missed| with(missed.clone(), json!({"symbol": "GBPUSD"}))).collect();
    app.ingest(&missed).await;
    app.ingest(&others).await;
    let query = format!("series=H1@{0}:EURUSD&series=H1@{0}:GBPUSD", millis(400));
    let place = |event: &Event| (event.data["symbol"].to_string(), event.data["timestamp"].as_i64().unwrap());
    let mut client = Client::open(&app, &query).await;
    client.left = 30_000;
    let mut seen = BTreeSet::new();
    while let Some(event) = client.next().await {
        seen.insert(place(&event));
    }
    assert!((100..400).contains(&seen.len()), "{}", seen.len());
    let mut client = Client::resume(&app, &query, client.last_id.as_deref()).await;
    let first = place(&client.next().await.unwrap());
    assert!(seen.contains(&first) && first.1 > millis(400), "{first:?} of {}", seen.len());
    while seen.len() < 800 {
        seen.insert(place(&client.next().await.unwrap()));
    }
}

#[apply(both_stores)]
async fn a_hole_that_is_too_large_is_history(app: TestApp) {
    let candles: Vec<_> = (1..=1_002).rev().map(|hours| hour(hours, json!({}))).collect();
    app.ingest(&candles).await;
    let mut client = Client::open(&app, &format!("series=H1@{}:EURUSD", millis(1_000))).await;
    for hours in (1..=1_000).rev() {
        assert_eq!(client.candle().await["timestamp"], millis(hours));
    }
    let mut client = Client::open(&app, &format!("series=H1@{}:EURUSD", millis(1_001))).await;
    let hole = client.next().await.unwrap();
    assert_eq!(hole.name, "history");
    assert_eq!(
        hole.data,
        json!({"symbol": "EURUSD", "timeframe": "H1", "from": millis(1_001), "to": millis(1), "kind": "missed"})
    );
    assert_eq!(client.candle().await["timestamp"], millis(1));
    // A stream that is open misses as much while it gets one batch.
    let later: Vec<_> =
        (0..24).map(|hours| hour(0, json!({"timeframe": "M1", "timestamp": NOW - hours * 60}))).collect();
    let mut client = Client::open(&app, "series=M1:EURUSD").await;
    assert_eq!(client.block().await.unwrap(), "retry: 2000\n\n");
    app.ingest(&later).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&(NOW * 1000)) {
        seen.push(client.candle().await["timestamp"].as_i64().unwrap());
    }
    // All of them if the stream had begun before, or else the newest.
    assert!(seen.len() == 24 || seen.len() == 1, "{seen:?}");
}

#[apply(both_stores)]
async fn wrong_questions_are_refused(app: TestApp) {
    let many = (0..33).map(|n| format!("series=M1:S{n}")).collect::<Vec<_>>().join("&");
    for (query, kind) in [
        (String::new(), "missing"),
        (many, "out_of_range"),
        ("series=X1:EURUSD".to_owned(), "unknown_timeframe"),
        ("series=M1:A&series=M1:A".to_owned(), "duplicate"),
        ("series=M1@soon:A".to_owned(), "not_a_time"),
    ] {
        let answer = app.get(&format!("/api/v1/live?{query}")).await;
        assert_eq!(answer.errors()[0].1, kind, "{query}");
    }
    let keyless = send(app.request(Method::GET, "/api/v1/live?series=M1:EURUSD")).await;
    keyless.problem(401, "unauthorized");
    let head = send(app.request(Method::HEAD, "/api/v1/live?series=M1:EURUSD").bearer_auth(TOKEN)).await;
    assert_eq!((head.status.as_u16(), head.header("content-type")), (200, Some("text/event-stream")));
    // A position of another shape counts as none.
    app.ingest(&[hour(2, json!({})), hour(1, json!({}))]).await;
    for id in ["nonsense", "1.1.2~3", "2.1~1"] {
        let mut client = Client::resume(&app, "series=H1:EURUSD", Some(id)).await;
        assert_eq!(client.candle().await["timestamp"], millis(1), "{id}");
    }
}

async fn correct(service: &Service, candle: Value) -> Answer {
    let request = service.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
    send(request.body(json!({"reason": "bad tick", "candles": [candle]}).to_string())).await
}

#[apply(both_store_kinds)]
fn changes_of_older_history_reach_every_service_and_survive_a_reconnect(#[case] kind: StoreKind) {
    run(async move {
        let environment = |environment: Environment| environment.with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"));
        let app = TestApp::start_with(kind.database().await, environment).await;
        let other = Service::start(&environment(Environment::new(&app.database.url()))).await;
        let candles: Vec<_> = (1..=40).rev().filter(|hours| *hours != 30).map(|hours| hour(hours, json!({}))).collect();
        app.ingest(&candles).await;
        let mut clients =
            [Client::open(&app, "series=H1:EURUSD").await, Client::open(&other, "series=H1:EURUSD").await];
        for client in &mut clients {
            assert_eq!(client.candle().await["timestamp"], millis(1));
        }
        let span = |from: i64, to: i64, kind: &str| json!({"symbol": "EURUSD", "timeframe": "H1", "from": millis(from), "to": millis(to), "kind": kind});
        assert_eq!(correct(&app, hour(35, json!({"close": "1.0860"}))).await.status, 200);
        for client in &mut clients {
            assert_eq!(client.history().await, span(35, 35, "correction"));
        }
        let id = clients[0].last_id.clone().unwrap();
        let query =
            format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&from={}&to={}", NOW - 38 * HOUR, NOW - 37 * HOUR);
        let delete = async |query: &str| send(app.request(Method::DELETE, query).bearer_auth(MAINTENANCE)).await;
        let confirm = delete(&format!("{query}&dry_run=true")).await.json()["confirm"].as_str().unwrap().to_owned();
        let deleted = delete(&format!("{query}&confirm={confirm}&reason=test")).await;
        assert_eq!(deleted.status, 200, "{deleted:?}");
        for client in &mut clients {
            assert_eq!(client.history().await, span(38, 37, "deletion"));
        }
        // A client that was away learns of it from the other service. Changes of the last minute may come again.
        let mut back = Client::resume(&other, "series=H1:EURUSD", Some(&id)).await;
        while back.history().await != span(38, 37, "deletion") {}
        // The process that stored a late candle reports it.
        app.ingest(&[hour(30, json!({}))]).await;
        assert_eq!(clients[0].history().await, span(30, 30, "late"));
        // A correction of a new candle is sent as its state, too.
        assert_eq!(correct(&app, hour(1, json!({"close": "1.0861"}))).await.status, 200);
        let state = clients[0].candle().await;
        assert_eq!((&state["timestamp"], &state["close"]), (&millis(1).into(), &json!(1.0861)));
        assert_eq!(clients[0].history().await, span(1, 1, "correction"));
    });
}

#[apply(both_store_kinds)]
fn a_stream_whose_newest_candle_is_deleted_goes_on_before_its_time(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start_with(kind.database().await, |environment| {
            environment.with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"))
        })
        .await;
        app.ingest(&[hour(9, json!({})), hour(1, json!({}))]).await;
        let mut client = Client::open(&app, "series=H1:EURUSD").await;
        assert_eq!(client.candle().await["timestamp"], millis(1));
        let before = client.last_id.clone().unwrap();
        let query = format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&from={0}&to={0}", NOW - HOUR);
        let delete = async |query: &str| send(app.request(Method::DELETE, query).bearer_auth(MAINTENANCE)).await;
        let confirm = delete(&format!("{query}&dry_run=true")).await.json()["confirm"].as_str().unwrap().to_owned();
        assert_eq!(delete(&format!("{query}&confirm={confirm}&reason=test")).await.status, 200);
        assert_eq!(client.history().await["kind"], "deletion");
        // Clients that have heard of the deletion, and that have not, both come back.
        let after = client.last_id.clone().unwrap();
        drop(client);
        app.ingest(&[hour(8, json!({})), hour(7, json!({}))]).await;
        for id in [before, after] {
            let mut client = Client::resume(&app, "series=H1:EURUSD", Some(&id)).await;
            let mut times = Vec::new();
            while times.last() != Some(&json!(millis(7))) {
                let event = client.next().await.unwrap();
                if event.name == "candle" {
                    times.push(event.data["timestamp"].clone());
                }
            }
            assert!(times.ends_with(&[json!(millis(8)), json!(millis(7))]), "{times:?}");
        }
    });
}

/// The forming row of a candle stays in its table for a while, and its closed form is not among the newest three after a catch-up.
#[apply(both_stores)]
async fn a_closed_candle_is_not_followed_by_its_forming_state(app: TestApp) {
    app.ingest(&[hour(9, json!({"complete": false, "volume": 5}))]).await;
    let mut client = Client::open(&app, "series=H1:EURUSD").await;
    assert_eq!(client.candle().await["volume"], 5);
    let mut missed: Vec<_> = (5..=9).rev().map(|hours| hour(hours, json!({"volume": 6}))).collect();
    missed.push(hour(4, json!({"complete": false, "volume": 7})));
    app.ingest(&missed).await;
    for hours in (4..=9).rev() {
        assert_eq!(client.candle().await["timestamp"], millis(hours));
    }
    for volume in 8..11 {
        app.ingest(&[hour(4, json!({"complete": false, "volume": volume}))]).await;
        let state = client.candle().await;
        assert_eq!((&state["timestamp"], &state["volume"]), (&millis(4).into(), &volume.into()), "{state}");
    }
}

/// Deletions by age are one span for each pass that a client missed, and do not touch what its stream has sent.
#[apply(both_store_kinds)]
fn deletions_by_retention_reach_the_streams_of_every_service(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        let other = Service::start(&Environment::new(&app.database.url())).await;
        app.database.fill_minutes(NOW - 50 * 86_400, 6_000).await;
        app.database.fill_minutes(NOW - 20 * 60, 20).await;
        let newest = (NOW - 60) * 1000;
        let mut clients =
            [Client::open(&app, "series=M1:EURUSD").await, Client::open(&other, "series=M1:EURUSD").await];
        for client in &mut clients {
            assert_eq!(client.candle().await["timestamp"], newest);
        }
        let before = clients[0].last_id.clone().unwrap();
        let clock = Clock::new(|| candle::Timestamp::from_seconds(NOW).unwrap());
        let retention = Environment::new("sqlite://unused.db").with("RETENTION", "M1:30d").config().retention;
        let store = app.database.store().await;
        assert_eq!(candlewick::retention::pass(&store, &retention, &clock).await.unwrap(), 6_000);
        let (first, last) = ((NOW - 50 * 86_400) * 1000, (NOW - 50 * 86_400 + 5_999 * 60) * 1000);
        for client in &mut clients {
            // The pass deleted in two slices, which one look may find or two.
            let mut spans = Vec::new();
            while spans.last().is_none_or(|(_, to)| *to < last) {
                let history = client.history().await;
                assert_eq!((&history["symbol"], &history["kind"]), (&json!("EURUSD"), &json!("deletion")));
                spans.push((history["from"].as_i64().unwrap(), history["to"].as_i64().unwrap()));
            }
            assert_eq!(spans[0].0, first, "{spans:?}");
        }
        app.ingest(&[with(candle(NOW), json!({"timeframe": "M1", "complete": false}))]).await;
        for client in &mut clients {
            assert_eq!(client.candle().await["timestamp"], NOW * 1000);
        }
        let mut back = Client::resume(&other, "series=M1:EURUSD", Some(&before)).await;
        let expected = json!({"symbol": "EURUSD", "timeframe": "M1", "from": first, "to": last, "kind": "deletion"});
        assert_eq!(back.next().await.unwrap().data, expected);
        assert_eq!(
            (back.candle().await["timestamp"].clone(), back.candle().await["timestamp"].clone()),
            (newest.into(), (NOW * 1000).into())
        );
    });
}

#[apply(both_store_kinds)]
fn a_service_that_stops_ends_its_streams_in_order(#[case] kind: StoreKind) {
    run(async move {
        let mut app = TestApp::start_on(kind).await;
        app.ingest(&[hour(1, json!({}))]).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = Client::open(&app, "series=H1:EURUSD").await;
            client.candle().await;
            clients.push(client);
        }
        // It reads nothing, and must not delay the stop.
        let _stalled = Client::open(&app, "series=H1:EURUSD").await;
        let began = Instant::now();
        app.service.stop().await.unwrap();
        println!("stopped after {:?}", began.elapsed());
        for client in &mut clients {
            assert_eq!(client.block().await.as_deref(), Some("retry: 500\n\n"));
            // The end is that of a whole answer.
            assert_eq!(client.response.chunk().await.unwrap(), None);
        }
    });
}

#[test]
fn streams_have_places_of_their_own() {
    run(async {
        let database = StoreKind::Sqlite.database().await;
        let app = TestApp::start_with(database, |environment| environment.with("LIVE_MAX_STREAMS", 2)).await;
        let clients = [Client::open(&app, "series=H1:A").await, Client::open(&app, "series=H1:B").await];
        let refused = app.get("/api/v1/live?series=H1:A").await;
        let detail = refused.problem(503, "overloaded");
        assert!(detail.contains("LIVE_MAX_STREAMS (2)"), "{detail}");
        assert!(refused.header("retry-after").is_some());
        drop(clients);
        // The places come back when the connections are gone.
        while app.request(Method::GET, "/api/v1/live?series=H1:A").bearer_auth(TOKEN).send().await.unwrap().status()
            != 200
        {}
    });
}

#[test]
fn streams_follow_so_many_series_at_most() {
    run(async {
        let app = TestApp::start_on(StoreKind::Sqlite).await;
        let series =
            |range: std::ops::Range<usize>| range.map(|n| format!("series=H1:S{n}")).collect::<Vec<_>>().join("&");
        let mut clients = Vec::new();
        for first in (0..1984).step_by(32) {
            clients.push(Client::open(&app, &series(first..first + 32)).await);
        }
        clients.push(Client::open(&app, &series(1984..2000)).await);
        app.get("/api/v1/live?series=H1:ONE-MORE").await.problem(503, "overloaded");
        // Series that are followed already need no place.
        clients.push(Client::open(&app, &series(0..32)).await);
        app.ingest(&[hour(1, json!({"symbol": "S1999"}))]).await;
        assert_eq!(clients[62].candle().await["symbol"], "S1999");
    });
}

#[test]
fn a_stream_outlasts_a_database_that_does_not_answer() {
    run(async {
        let app = TestApp::start_on(StoreKind::Postgres).await;
        let crate::harness::Database::Postgres(database) = &app.database else { return };
        app.ingest(&[hour(2, json!({}))]).await;
        let mut client = Client::open(&app, "series=H1:EURUSD").await;
        client.candle().await;
        let mut lock = TableLock::take(database).await;
        lock.is_awaited().await;
        // This one opens while nothing can be read.
        let mut late = Client::open(&app, "series=H1:EURUSD").await;
        assert_eq!(late.block().await.unwrap(), "retry: 2000\n\n");
        lock.release().await;
        assert_eq!(late.candle().await["timestamp"], millis(2));
        app.ingest(&[hour(1, json!({}))]).await;
        for client in [&mut client, &mut late] {
            assert_eq!(client.candle().await["timestamp"], millis(1));
        }
    });
}

/// Reads until the text holds `wanted`.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), seen: &mut String, wanted: &str) {
    let mut part = [0; 4096];
    while !seen.contains(wanted) {
        let length = stream.read(&mut part).await.unwrap();
        assert!(length > 0, "the stream ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..length]));
    }
}

#[test]
fn the_shipped_proxies_pass_events_as_they_come() {
    run(async {
        let app = TestApp::start_on(StoreKind::Sqlite).await;
        app.ingest(&[hour(2, json!({}))]).await;
        for (first, proxy) in (7_000..).step_by(10).zip(proxies::start(app.address()).await) {
            let mut stream = proxy.tls.connect().await.unwrap();
            let request = format!(
                "GET /api/v1/live?series=H1:EURUSD HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
                 Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut seen = String::new();
            read_until(&mut stream, &mut seen, "\"volume\":").await;
            assert!(seen.starts_with("HTTP/1.1 200"), "{}: {seen}", proxy.tls.name);
            // Nothing but this event comes, and the next comment is far away.
            for volume in first + 1..first + 4 {
                app.ingest(&[hour(1, json!({"complete": false, "volume": volume}))]).await;
                read_until(&mut stream, &mut seen, &format!("\"volume\":{volume}")).await;
            }
            assert!(!seen.contains("\n: "), "{}: it came with a comment: {seen}", proxy.tls.name);
        }
    });
}
