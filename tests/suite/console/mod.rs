//! The console: its files, its sessions, and the requests for which their cookies count.

mod behind_proxies;
mod files;
mod session;
mod sign_in;

use reqwest::Method;
use serde_json::{Value, json};

use crate::abuse::wire::{self, Door};
use crate::harness::{Answer, Database, Environment, Service, TestApp, send};

const MAINTENANCE: &str = "maintenance-key-for-tests";
const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
const DELETION: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1&from=2020-01-01&to=2030-01-01&dry_run=true";
/// 12 hours in seconds.
const LIFETIME: i64 = 12 * 3600;
/// Paths below the console's that programs which resolve dot segments, before or after they decode, take for others.
const DOT_SEGMENTS: [&str; 11] = [
    "/console/..",
    "/console/../api",
    "/console/./",
    "/console/x/../session",
    "/console/%2e%2e/%2e%2e/etc/passwd",
    "/console/..%2f",
    "/console/..%2fx",
    "/console/..%2F..%2fconsole/chart",
    "/console/a%2f..%2f..%2fhealth",
    "/console/%2E%2e%5cx",
    "/console/..%5c",
];
/// A header of a browser, on a request from a page of the service.
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

fn keys(environment: Environment) -> Environment {
    environment.with("MAINTENANCE_KEY", format!("desk:{MAINTENANCE}"))
}

async fn start(change: impl FnOnce(Environment) -> Environment) -> TestApp {
    TestApp::start_with(Database::sqlite(), |environment| change(keys(environment))).await
}

async fn call(app: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(*name, *value));
    send(request).await
}

/// Posts `body` to the session as the console's page does.
async fn sign_in_with(app: &Service, cookie: Option<&str>, body: String) -> Answer {
    let request = app.request(Method::POST, "/console/session").header("Origin", app.url()).header(OWN.0, OWN.1);
    let request = cookie.into_iter().fold(request, |request, cookie| request.header("Cookie", cookie));
    send(request.body(body)).await
}

/// Signs in with a credential, and returns the cookie as the browser sends it.
async fn sign_in(app: &Service, cookie: Option<&str>, credential: &str) -> String {
    let answer = sign_in_with(app, cookie, json!({ "credential": credential }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    cookie_of(&answer)
}

/// The cookie that an answer sets, as the browser sends it.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("a cookie in {answer:?}"));
    cookie.split_once(';').unwrap().0.to_owned()
}

async fn status(app: &Service, cookie: &str) -> Answer {
    call(app, Method::GET, "/console/session", &[OWN, ("Cookie", cookie)]).await
}

async fn scopes(app: &Service, cookie: &str) -> Value {
    status(app, cookie).await.json()["scopes"].clone()
}

/// Reads candles as the console's page does.
async fn read(app: &Service, cookie: &str) -> Answer {
    call(app, Method::GET, CANDLES, &[OWN, ("Cookie", cookie)]).await
}

/// Sends a request over a proxy, and returns its answer.
async fn over(door: &Door, head: &str, lines: &str, body: &str) -> wire::Answer {
    over_host(door, "localhost", head, lines, body).await
}

/// The same, with the host of the address, and its port where that is not the usual one.
async fn over_host(door: &Door, host: &str, head: &str, lines: &str, body: &str) -> wire::Answer {
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {length}\r\n\r\n{body}");
    let answers = door.exchange(request.as_bytes()).await.unwrap();
    assert_eq!(answers.0.len(), 2, "{answers:?}");
    answers.0.into_iter().next().unwrap()
}
