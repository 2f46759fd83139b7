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
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Executor as _, SqlitePool};

use crate::harness::{
    Database, Environment, NOW, Service, StoreKind, TestApp, both_store_kinds, candle, eventually, run, send, with,
};

const MAINTENANCE: &str = "maintenance-key-for-tests";
/// The key is `0123456789abcdef0123456789abcdef`.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const HOUR: i64 = 3600;

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
}

impl Receiver {
    async fn start(answers: impl IntoIterator<Item = StatusCode>) -> Self {
        let state = Arc::new(Mutex::new(Received { answers: answers.into_iter().collect(), posts: Vec::new() }));
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
    let mut state = state.lock().unwrap();
    state.posts.push((id, serde_json::from_str(&body).unwrap()));
    state.answers.pop_front().unwrap_or(StatusCode::NO_CONTENT)
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
    let body = json!({"reason": "bad tick", "candles": [closed(2, json!({"close": close}))]});
    let request = service.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
    assert_eq!(send(request.body(body.to_string())).await.status, 200);
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
        let span = format!("symbol=EURUSD&timeframe=H1&from={}&to={}", NOW - 3 * HOUR, NOW - 3 * HOUR);
        let delete = async |query: String| {
            let request = app.request(Method::DELETE, &format!("/api/v1/candles?{span}&{query}"));
            send(request.bearer_auth(MAINTENANCE)).await.json()
        };
        let confirm = delete("dry_run=true".to_owned()).await["confirm"].as_str().unwrap().to_owned();
        delete(format!("confirm={confirm}&reason=wrong%20day")).await;
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
        correct(&app, "1.0850").await;
        receiver.first("candles.corrected").await;
        app.service.stop().await.unwrap();
        // A service without a webhook takes the next correction.
        let plain = Environment::new(&app.database.url()).with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"));
        let mut plain = Service::start(&plain).await;
        correct(&plain, "1.0849").await;
        plain.stop().await.unwrap();
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
        for service in [&first, &second] {
            service.set_clock(real);
        }
        app.ingest(&[closed(1, json!({}))]).await;
        let fresh = receiver.first("feed.fresh").await;
        let stale = stale_of("EURUSD");
        assert_eq!(stale.len(), 1, "{stale:?}");
        assert_eq!(fresh["symbol"], "EURUSD");
        assert!(fresh["received"].as_i64() > stale[0]["received"].as_i64(), "{fresh} after {stale:?}");
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
    let refused = [
        (vec![url], "WEBHOOK_SECRET is required with WEBHOOK_URL"),
        (vec![url, ("WEBHOOK_SECRET", "hidden-secret")], "WEBHOOK_SECRET must be whsec_ and the base64"),
        (vec![("WEBHOOK_URL", "ftp://x/?hidden-token"), ("WEBHOOK_SECRET", SECRET)], "WEBHOOK_URL must be the URL"),
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
