//! Jobs of research.

mod events;
mod files;
mod large;
mod own_strategies;
pub mod processes;
mod reports;
mod routes;
mod same_bytes;
mod store;
mod unusable_rows;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{
    Answer, Environment, NOW, RESEARCH_KEY, Service, StoreKind, TestApp, candle, eventually, send, with,
};

const HOUR: i64 = 3600;
/// The candles of [`candles`].
const CANDLES: i64 = 900;

/// Closed candles of EURUSD H1 whose price wanders.
pub fn candles() -> Vec<Value> {
    let mut state = 11_u64;
    let mut points = 10_800_i64;
    let price = |points: i64| format!("{}.{:04}", points / 10_000, points % 10_000);
    (0..CANDLES)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let open = points;
            points += (state >> 58) as i64 - 31;
            let prices = json!({"open": price(open), "high": price(open.max(points) + 4), "low": price(open.min(points) - 4),
                                "close": price(points), "complete": true});
            with(candle(NOW - (CANDLES + 1 - n) * HOUR), prices)
        })
        .collect()
}

/// A service with [`candles`], with more settings.
async fn start_with(kind: StoreKind, change: impl FnOnce(Environment) -> Environment) -> TestApp {
    let change = |environment: Environment| change(environment.with("RATE_LIMIT_RESEARCH", "off"));
    let app = TestApp::start_with(kind.database().await, change).await;
    assert_eq!(app.ingest(&candles()).await.0, CANDLES as u64);
    app
}

async fn start(kind: StoreKind) -> TestApp {
    start_with(kind, |environment| environment.with("RESEARCH_THREADS", 1)).await
}

/// An optimization of some hundred points at most.
fn small() -> Value {
    json!({
        "items": [{"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1",
                   "ranges": {"fast": {"min": 5, "max": 30, "step": 5}, "slow": [40, 80, 120]}}],
        "method": "grid", "min_trades": 1, "out_of_sample": null,
    })
}

/// An optimization whose first item is soon over and whose second one takes minutes.
fn long() -> Value {
    json!({
        "items": [
            {"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1", "ranges": {"fast": [10], "slow": [40]}},
            {"strategy": "donchian", "symbol": "EURUSD", "timeframe": "H1"},
        ],
        "method": "random", "max_evaluations": 100_000, "min_trades": 1,
    })
}

fn with_key(request: RequestBuilder) -> RequestBuilder {
    request.header("X-API-KEY", RESEARCH_KEY)
}

async fn get(service: &Service, path: &str) -> Answer {
    send(with_key(service.request(Method::GET, path))).await
}

async fn post(service: &Service, path: &str, body: &Value) -> Answer {
    send(with_key(service.request(Method::POST, path)).body(body.to_string())).await
}

/// Starts a job, and returns its id.
async fn begin(service: &Service, body: &Value) -> String {
    let answer = post(service, "/api/v1/optimizations", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn job(service: &Service, id: &str) -> Value {
    let answer = get(service, &format!("/api/v1/jobs/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until a job is over, and returns it.
async fn over(service: &Service, id: &str) -> Value {
    let mut found = Value::Null;
    eventually(async || {
        found = job(service, id).await;
        ["done", "failed", "cancelled"].contains(&found["state"].as_str().unwrap())
    })
    .await;
    found
}

/// Waits until this many items of a job are over.
async fn has_items(service: &Service, id: &str, count: u64) {
    eventually(async || job(service, id).await["progress"]["items_done"].as_u64().unwrap() >= count).await;
}
