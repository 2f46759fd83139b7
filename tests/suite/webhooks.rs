//! Events for a webhook. The receiver is a server of the test that checks each signature.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candlewick::config::Config;
use hmac::{Hmac, Mac as _};
use reqwest::Method;
use rstest_reuse::apply;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Executor as _, SqlitePool};
use tokio::sync::Semaphore;

use crate::harness::{
    Database, Environment, KEY, NOW, RESEARCH_KEY, Service, StoreKind, TestApp, both_store_kinds, candle, eventually,
    run, send, with,
};

const MAINTENANCE: &str = "maintenance-key-for-tests";
/// The key is `0123456789abcdef0123456789abcdef`.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A server that takes events.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    /// The answers to the next events; 204 once there is none.
    answers: VecDeque<StatusCode>,
    /// The ids and bodies of all posts, in the order of their arrival.
    posts: Vec<(String, Value)>,
    /// A symbol whose events are answered one for each permit.
    held: Option<(&'static str, Arc<Semaphore>)>,
}

impl Receiver {
    async fn start(answers: impl IntoIterator<Item = StatusCode>) -> Self {
        let state = Arc::new(Mutex::new(Received { answers: answers.into_iter().collect(), ..Received::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/hook", post(take)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, state }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=hidden-token", self.address)
    }

    fn posts(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().posts.clone()
    }

    /// Waits for the first event of a kind, and returns its data.
    async fn first(&self, kind: &str) -> Value {
        eventually(async || !self.of(kind).is_empty()).await;
        self.of(kind).remove(0)
    }

    /// Answers the events about a symbol one for each permit.
    fn hold(&self, symbol: &'static str) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        self.state.lock().unwrap().held = Some((symbol, Arc::clone(&permits)));
        permits
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        let posts = self.posts().into_iter().filter(|(_, body)| body["type"] == kind);
        posts.map(|(_, body)| body["data"].clone()).collect()
    }
}

async fn take(State(state): State<Arc<Mutex<Received>>>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef0123456789abcdef").unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    assert_eq!(header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&body).unwrap();
    let symbol = body["data"]["symbol"].clone();
    let held = {
        let mut state = state.lock().unwrap();
        state.posts.push((id, body));
        state.held.clone().filter(|(held, _)| symbol == *held)
    };
    if let Some((_, permits)) = held {
        permits.acquire().await.unwrap().forget();
    }
    state.lock().unwrap().answers.pop_front().unwrap_or(StatusCode::NO_CONTENT)
}

fn with_webhook(environment: Environment, receiver: &Receiver) -> Environment {
    let environment = environment.with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"));
    environment.with("WEBHOOK_URL", receiver.url()).with("WEBHOOK_SECRET", SECRET)
}

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            let pool = SqlitePool::connect(&database.url()).await.unwrap();
            pool.execute(sql).await.unwrap();
            pool.close().await;
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

fn closed(hours: i64, fields: Value) -> Value {
    with(with(candle(NOW - hours * HOUR), json!({"complete": true})), fields)
}

async fn correct(service: &Service, close: &str) {
    correct_all(service, &[closed(2, json!({"close": close}))]).await;
}

async fn correct_all(service: &Service, candles: &[Value]) {
    let body = json!({"reason": "bad tick", "candles": candles});
    let request = service.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
    assert_eq!(send(request.body(body.to_string())).await.status, 200);
}

/// Deletes the candle that opened so many hours ago.
async fn delete(service: &Service, hours: i64) {
    let (from, to) = (NOW - hours * HOUR, NOW - hours * HOUR);
    let delete = async |query: String| {
        let query = format!("symbol=EURUSD&timeframe=H1&from={from}&to={to}&{query}");
        let request = service.request(Method::DELETE, &format!("/api/v1/candles?{query}"));
        send(request.bearer_auth(MAINTENANCE)).await.json()
    };
    let confirm = delete("dry_run=true".to_owned()).await["confirm"].as_str().unwrap().to_owned();
    delete(format!("confirm={confirm}&reason=wrong%20day")).await;
}

#[apply(both_store_kinds)]
fn conflicts_corrections_and_deletions_are_told(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let app = TestApp::start_with(kind.database().await, |environment| with_webhook(environment, &receiver)).await;
        app.ingest(&[closed(3, json!({})), closed(2, json!({}))]).await;
        app.ingest(&[closed(3, json!({"close": "1.0851"})), closed(2, json!({"close": "1.0851"}))]).await;
        let (first, last) = ((NOW - 3 * HOUR) * 1000, (NOW - 2 * HOUR) * 1000);
        assert_eq!(
            receiver.first("candles.conflict").await,
            json!({"symbol": "EURUSD", "timeframe": "H1", "candles": 2, "from": first, "to": last})
        );
        correct(&app, "1.0850").await;
        assert_eq!(
            receiver.first("candles.corrected").await,
            json!({"change": "1", "symbol": "EURUSD", "timeframe": "H1", "from": last, "to": last, "candles": 1,
                   "actor": "ops", "reason": "bad tick"})
        );
        delete(&app, 3).await;
        let deleted = receiver.first("candles.deleted").await;
        assert_eq!((&deleted["change"], &deleted["reason"]), (&json!("2"), &json!("wrong day")));
        eventually(async || app.database.store().await.waiting_events().await.unwrap() == 0).await;
        let posts = receiver.posts();
        let ids: HashSet<_> = posts.iter().map(|(id, _)| id).collect();
        assert_eq!((posts.len(), ids.len()), (3, 3), "{posts:?}");
        assert!(posts.iter().all(|(_, body)| body["timestamp"].is_i64()), "{posts:?}");
    });
}

#[apply(both_store_kinds)]
fn an_event_that_is_refused_is_sent_again_with_its_id(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND]).await;
        let app = TestApp::start_with(kind.database().await, |environment| with_webhook(environment, &receiver)).await;
        app.ingest(&[closed(2, json!({}))]).await;
        correct(&app, "1.0850").await;
        // Moves the next attempts ahead, so that the test need not wait for them.
        eventually(async || {
            let due = "update webhook_events set due_at = created_at where due_at is not null";
            execute(&app.database, due).await;
            receiver.posts().len() >= 3
        })
        .await;
        eventually(async || app.database.store().await.waiting_events().await.unwrap() == 0).await;
        let ids: HashSet<_> = receiver.posts().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 1, "one event");
        let attempts = app.database.rows("select cast(attempts as text) from webhook_events").await;
        assert_eq!(attempts, [receiver.posts().len().to_string()]);
    });
}

#[apply(both_store_kinds)]
fn what_changes_while_no_service_runs_is_told_by_the_next_one(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let mut app =
            TestApp::start_with(kind.database().await, |environment| with_webhook(environment, &receiver)).await;
        app.ingest(&[closed(2, json!({}))]).await;
        // The place to go on from is kept although there was no event yet.
        eventually(async || {
            !app.database.rows("select kind from webhook_marks where kind = 'changes'").await.is_empty()
        })
        .await;
        app.service.stop().await.unwrap();
        let longer_ago = match &app.database {
            Database::Sqlite(_) => "update webhook_marks set known_to = known_to - 30 * 86400000",
            Database::Postgres(_) => "update webhook_marks set known_to = known_to - interval '30 days'",
        };
        execute(&app.database, longer_ago).await;
        // A service without a webhook takes the corrections.
        let plain = Environment::new(&app.database.url()).with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"));
        let mut plain = Service::start(&plain).await;
        correct(&plain, "1.0850").await;
        correct(&plain, "1.0849").await;
        plain.stop().await.unwrap();
        let earlier = match &app.database {
            Database::Sqlite(_) => "update market_data_changes set at = at - 86400000",
            Database::Postgres(_) => "update market_data_changes set at = at - interval '1 day'",
        };
        execute(&app.database, earlier).await;
        let again = Service::start(&with_webhook(Environment::new(&app.database.url()), &receiver)).await;
        eventually(async || receiver.of("candles.corrected").len() == 2).await;
        correct(&again, "1.0848").await;
        eventually(async || receiver.of("candles.corrected").len() == 3).await;
        let changes: Vec<_> = receiver.of("candles.corrected").iter().map(|data| data["change"].clone()).collect();
        assert_eq!(changes, ["1", "2", "3"], "each once");
    });
}

#[apply(both_store_kinds)]
fn a_feed_is_told_to_be_stale_once_and_to_be_fresh_again(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let app = TestApp::start(kind.database().await).await;
        app.ingest(&[closed(2, json!({})), closed(2, json!({"symbol": "GBPUSD"}))]).await;
        let watching = async |feeds: &str| {
            let environment = with_webhook(Environment::new(&app.database.url()), &receiver);
            Service::start(&environment.with("WEBHOOK_FEEDS", feeds).with("WEBHOOK_STALE_SECONDS", "60")).await
        };
        let stale_of = |symbol: &str| {
            let of_symbol = |data: &Value| data["symbol"] == symbol;
            receiver.of("feed.stale").into_iter().filter(of_symbol).collect::<Vec<_>>()
        };
        // Candles are received at the database's time, so the clocks of the services are set around that.
        let real = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let first = watching("H1:EURUSD, M1:XAUUSD").await;
        eventually(async || !stale_of("XAUUSD").is_empty()).await;
        let never = json!({"symbol": "XAUUSD", "timeframe": "M1", "received": null, "stale_after": 60});
        assert_eq!((stale_of("XAUUSD"), stale_of("EURUSD")), (vec![never], vec![]));
        first.set_clock(real + 600);
        eventually(async || !stale_of("EURUSD").is_empty()).await;
        // Another replica notices the same, and tells it no second time.
        let second = watching("H1:EURUSD, H1:GBPUSD").await;
        second.set_clock(real + 600);
        eventually(async || !stale_of("GBPUSD").is_empty()).await;
        // Delivered events are deleted after a while, which makes no feed stale again.
        eventually(async || app.database.store().await.waiting_events().await.unwrap() == 0).await;
        execute(&app.database, "delete from webhook_events").await;
        let before = stale_of("EURUSD");
        let posted = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        app.ingest(&[closed(1, json!({}))]).await;
        // The new candle is fresh by this clock, and the one before is not.
        for service in [&first, &second] {
            service.set_clock(posted + 58);
        }
        let fresh = receiver.first("feed.fresh").await;
        assert_eq!(fresh["symbol"], "EURUSD");
        assert!(fresh["received"].as_i64() > before[0]["received"].as_i64(), "{fresh} after {before:?}");
        assert_eq!((stale_of("EURUSD").len(), stale_of("GBPUSD").len(), stale_of("XAUUSD").len()), (1, 1, 1));
        // Without the newest candle it is stale as it was before.
        delete(&first, 1).await;
        eventually(async || stale_of("EURUSD").len() == 2).await;
        assert_eq!(stale_of("EURUSD")[1], before[0]);
        app.ingest(&[closed(1, json!({}))]).await;
        eventually(async || receiver.of("feed.fresh").len() == 2).await;
        assert_eq!((stale_of("EURUSD").len(), stale_of("GBPUSD").len(), stale_of("XAUUSD").len()), (2, 1, 1));
    });
}

#[apply(both_store_kinds)]
fn an_event_that_is_answered_late_holds_up_those_of_its_series_alone(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let permits = receiver.hold("EURUSD");
        let app = TestApp::start_with(kind.database().await, |environment| with_webhook(environment, &receiver)).await;
        let of = |symbol: &str, close: &str| closed(2, json!({"symbol": symbol, "close": close}));
        let symbols = ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "XAGUSD"];
        app.ingest(&symbols.map(|symbol| of(symbol, "1.0851"))).await;
        for close in ["1.0850", "1.0849", "1.0852", "1.0853", "1.0854"] {
            correct_all(&app, &[of("EURUSD", close)]).await;
        }
        correct_all(&app, &symbols[1..].iter().map(|symbol| of(symbol, "1.0850")).collect::<Vec<_>>()).await;
        let told = || {
            let events = receiver.of("candles.corrected");
            events.iter().map(|data| data["symbol"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let number = |symbol: &str| told().iter().filter(|told| *told == symbol).count();
        eventually(async || symbols.iter().all(|symbol| number(symbol) == 1)).await;
        // The events of the series follow in their order.
        permits.add_permits(5);
        eventually(async || number("EURUSD") == 5).await;
        let events = receiver.of("candles.corrected");
        let changes = events.iter().filter(|data| data["symbol"] == "EURUSD").map(|data| data["change"].clone());
        assert_eq!(changes.collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    });
}

#[apply(both_store_kinds)]
fn conflicts_are_told_although_the_service_stops(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let mut app = TestApp::start_with(kind.database().await, |environment| {
            with_webhook(environment, &receiver).with("RATE_LIMIT_INGEST", "off")
        })
        .await;
        app.ingest(&[closed(2, json!({}))]).await;
        let body = json!({"candles": [closed(2, json!({"close": "1.0851"}))]}).to_string();
        let request = app.request(Method::POST, "/api/v1/candles").header("X-API-KEY", KEY).body(body);
        // Posts until nothing is accepted any more.
        let posting = tokio::spawn(async move {
            let mut conflicts = 0;
            while let Ok(answer) = request.try_clone().unwrap().send().await {
                if answer.status() == 201 {
                    conflicts += 1;
                }
            }
            conflicts
        });
        app.service.stop().await.unwrap();
        let conflicts: u64 = posting.await.unwrap();
        let bodies = app.database.rows("select body from webhook_events where kind = 'candles.conflict'").await;
        let told = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap()["data"]["candles"].clone());
        let told = told.map(|candles| candles.as_u64().unwrap()).sum::<u64>();
        assert!(conflicts > 0 && told >= conflicts, "{told} of {conflicts}");
    });
}

/// Days that rise and then fall, so that the averages cross downwards. `newest` counts the newest one back from today.
fn falling_days(newest: i64) -> Vec<Value> {
    let points = |n: i64| 12_000 + if n < 60 { 10 * n } else { 1_200 - 10 * n };
    (0..120).map(|n| day(newest + 119 - n, points(n))).collect()
}

/// The closed candle of a day, counted back from today.
fn day(days: i64, points: i64) -> Value {
    let price = |points: i64| format!("{}.{:04}", points / 10_000, points % 10_000);
    let fields = json!({"timeframe": "D1", "open": price(points), "high": price(points + 6), "low": price(points - 5),
                        "close": price(points + 3)});
    with(with(candle(NOW - NOW % DAY - days * DAY), json!({"complete": true})), fields)
}

#[apply(both_store_kinds)]
fn a_signal_that_changes_is_told_once(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let watching = |environment: Environment| {
            with_webhook(environment, &receiver).with("SIGNALS", "symbols=EURUSD&timeframe=D1&strategies=sma-cross")
        };
        let app = TestApp::start_with(kind.database().await, watching).await;
        app.ingest(&falling_days(3)).await;
        let rows = async || app.database.rows("select signal from research_signals order by candle").await;
        eventually(async || rows().await == ["sell"]).await;
        // Another replica sees the same.
        let second = Service::start(&watching(Environment::new(&app.database.url()))).await;
        second.ingest(&[day(2, 30_000)]).await;
        let changed = receiver.first("signal.changed").await;
        assert_eq!(changed["close"].to_string(), "3.0003");
        let candle = (NOW - NOW % DAY - 2 * DAY) * 1000;
        let expected = json!({"symbol": "EURUSD", "timeframe": "D1", "candle": candle, "close": changed["close"],
                              "signal": "buy", "previous": "sell", "score": 1});
        assert_eq!(changed, expected);
        // A correction takes it back.
        let body = json!({"reason": "a wrong digit", "candles": [day(2, 3_000)]}).to_string();
        let request = second.request(Method::POST, "/api/v1/corrections").bearer_auth(MAINTENANCE);
        assert_eq!(send(request.body(body)).await.status, 200);
        eventually(async || receiver.of("signal.changed").len() == 2).await;
        let changed = receiver.of("signal.changed").remove(1);
        let expected =
            with(expected, json!({"close": changed["close"], "signal": "sell", "previous": "buy", "score": -1}));
        assert_eq!((changed["close"].to_string(), changed), ("0.3003".to_owned(), expected));
        for mut service in [app.service, second] {
            service.stop().await.unwrap();
        }
        assert_eq!(app.database.rows("select signal from research_signals order by candle").await, ["sell", "sell"]);
        let events = "select kind from webhook_events where kind = 'signal.changed'";
        assert_eq!(app.database.rows(events).await, ["signal.changed"; 2]);
    });
}

#[apply(both_store_kinds)]
fn jobs_are_told_when_they_are_over(#[case] kind: StoreKind) {
    run(async move {
        let receiver = Receiver::start([]).await;
        let app = TestApp::start_with(kind.database().await, |environment| with_webhook(environment, &receiver)).await;
        app.ingest(&falling_days(3)).await;
        app.ingest(&[with(day(1, 12_000), json!({"symbol": "SHORT"}))]).await;
        let start = async |symbol: &str, name: Value| {
            let body = json!({
                "items": [{"strategy": "sma-cross", "symbol": symbol, "timeframe": "D1", "ranges": {"fast": [5], "slow": [15]}}],
                "method": "grid", "min_trades": 1, "out_of_sample": null, "name": name,
            });
            let request = app.request(Method::POST, "/api/v1/optimizations").header("X-API-KEY", RESEARCH_KEY);
            let answer = send(request.body(body.to_string())).await;
            answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
        };
        let done = start("EURUSD", json!("first try")).await;
        let failed = start("SHORT", Value::Null).await;
        let expected = json!({"job": done, "name": "first try", "state": "done", "owner": "quant"});
        assert_eq!(receiver.first("job.done").await, expected);
        let expected = json!({"job": failed, "name": null, "state": "failed", "owner": "quant"});
        assert_eq!(receiver.first("job.failed").await, expected);
        eventually(async || app.database.store().await.waiting_events().await.unwrap() == 0).await;
        assert_eq!(receiver.posts().len(), 2, "{:?}", receiver.posts());
    });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let problems = |settings: &[(&'static str, &str)]| {
        let environment = Environment::new("sqlite://unused.db");
        let environment = settings.iter().fold(environment, |environment, (name, value)| environment.with(name, value));
        Config::examine(&environment.variables()).problems
    };
    let url = ("WEBHOOK_URL", "https://hooks.example.com/?token=hidden-token");
    assert!(problems(&[url, ("WEBHOOK_SECRET", SECRET), ("WEBHOOK_FEEDS", "M1:EURUSD")]).is_empty());
    // A request line holds no such letters, so the address is encoded.
    let written = ("WEBHOOK_URL", "https://bücher.example/käse?token=hidden tüken");
    let config = Config::examine(
        &Environment::new("sqlite://unused.db").with(written.0, written.1).with("WEBHOOK_SECRET", SECRET).variables(),
    );
    let url_of = |config: Config| config.webhook.unwrap().url.expose_secret().to_owned();
    assert_eq!(url_of(config.config), "https://xn--bcher-kva.example/k%C3%A4se?token=hidden%20t%C3%BCken");
    let endless = format!("https://hooks.example.com/{}", "x".repeat(70_000));
    let refused = [
        (vec![url], "WEBHOOK_SECRET is required with WEBHOOK_URL"),
        (vec![url, ("WEBHOOK_SECRET", "hidden-secret")], "WEBHOOK_SECRET must be whsec_ and the base64"),
        (vec![("WEBHOOK_URL", "ftp://x/?hidden-token"), ("WEBHOOK_SECRET", SECRET)], "WEBHOOK_URL must be the URL"),
        (vec![("WEBHOOK_URL", &endless), ("WEBHOOK_SECRET", SECRET)], "WEBHOOK_URL must be the URL"),
        (vec![("WEBHOOK_FEEDS", "M1:EURUSD")], "WEBHOOK_FEEDS is about a webhook"),
        (
            vec![url, ("WEBHOOK_SECRET", SECRET), ("WEBHOOK_FEEDS", "EURUSD")],
            "WEBHOOK_FEEDS: \"EURUSD\" must be a timeframe",
        ),
        (vec![url, ("WEBHOOK_SECRET", SECRET), ("WEBHOOK_STALE_SECONDS", "1")], "WEBHOOK_STALE_SECONDS must be"),
    ];
    for (settings, expected) in refused {
        let problems = problems(&settings);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:?}");
        assert!(!problems.concat().contains("hidden"), "{problems:?}");
    }
}
