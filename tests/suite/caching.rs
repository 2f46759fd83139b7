//! Pages from memory: never older than allowed, read once for all concurrent requests, and equal in every encoding.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::HeaderMap;
use rstest_reuse::apply;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Database, Environment, KEY, NOW, PgDatabase, Service, TOKEN, TableLock, TestApp, both_stores, candle,
    eventually, plain_server, run, send, with,
};
use crate::program::folder;
use crate::telemetry::start;

const HOUR: i64 = 3600;
/// The maximum age of a page.
const FRESH: Duration = Duration::from_secs(1);
const PATH: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";

fn times(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().iter().map(|candle| candle["timestamp"].as_i64().unwrap() / 1000).collect()
}

fn history(count: i64) -> Vec<Value> {
    (1..=count).rev().map(|n| candle(NOW - n * HOUR)).collect()
}

/// A page in the requested encoding, with its bytes as received.
async fn coded(app: &Service, method: Method, query: &str, wanted: &str) -> (HeaderMap, Vec<u8>) {
    let request = app.request(method, &format!("{PATH}{query}")).bearer_auth(TOKEN).header("Accept-Encoding", wanted);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    (answer.headers().clone(), answer.bytes().await.unwrap().to_vec())
}

fn decoded(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    match headers.get("content-encoding").map(|coding| coding.to_str().unwrap()) {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::decode_all(body).unwrap(),
        Some(other) => panic!("{other} was not asked for"),
    }
}

#[apply(both_stores)]
async fn a_page_includes_what_this_process_has_just_stored(app: TestApp) {
    let queries = [
        String::new(),
        "&limit=5000".to_owned(),
        format!("&before={}", NOW + HOUR),
        format!("&from={}", NOW - 400 * HOUR),
    ];
    for n in (2..=21).rev() {
        let time = NOW - n * HOUR;
        assert_eq!(app.ingest(&[candle(time)]).await, (1, 0, 0));
        for query in &queries {
            for wanted in ["identity", "gzip"] {
                let (headers, body) = coded(&app, Method::GET, query, wanted).await;
                let page: Vec<Value> = serde_json::from_slice(&decoded(&headers, &body)).unwrap();
                assert_eq!(page.last().unwrap()["timestamp"], time * 1000, "{query} {wanted}");
            }
        }
    }
}

#[apply(both_stores)]
async fn a_page_includes_the_current_state_of_a_forming_candle(app: TestApp) {
    for volume in 1000..1050 {
        app.ingest(&[with(candle(NOW), json!({"volume": volume, "complete": false}))]).await;
        let page = app.candles("").await.json();
        assert_eq!((&page[0]["volume"], &page[0]["complete"]), (&json!(volume), &json!(false)));
    }
    app.set_clock(NOW + HOUR);
    app.ingest(&[with(candle(NOW), json!({"volume": 7, "complete": true}))]).await;
    let page = app.candles("").await.json();
    assert_eq!((&page[0]["volume"], page[0].get("complete")), (&json!(7), None));
}

#[apply(both_stores)]
async fn every_content_encoding_holds_the_same_page(app: TestApp) {
    app.ingest(&history(2000)).await;
    app.ingest(&[with(candle(NOW), json!({"complete": false}))]).await;
    // A page that is compressed at once, and a long one.
    for query in ["&limit=20", "&limit=2000"] {
        let plain = app.candles(query).await;
        assert_eq!((plain.header("content-encoding"), times(&plain).len()), (None, query[7..].parse().unwrap()));
        for (wanted, coding) in [
            ("gzip", Some("gzip")),
            ("zstd", Some("zstd")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=1, zstd;q=0.5", Some("gzip")),
            ("br", None),
            ("identity;q=0", None),
        ] {
            let (headers, body) = coded(&app, Method::GET, query, wanted).await;
            assert_eq!(headers.get("content-encoding").map(|name| name.to_str().unwrap()), coding, "{wanted}");
            assert_eq!(decoded(&headers, &body), plain.body.as_bytes(), "{wanted}");
            assert!(coding.is_none() || body.len() < plain.body.len() / 2, "{} of {}", body.len(), plain.body.len());
            let vary: BTreeSet<_> = headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(vary, BTreeSet::from(["accept-encoding", "origin"]));
            for name in ["etag", "link", "x-more-before", "x-more-after", "content-type", "cache-control"] {
                assert_eq!(headers.get(name), plain.headers.get(name), "{name} with {wanted}");
            }
            let (head, nothing) = coded(&app, Method::HEAD, query, wanted).await;
            assert!(nothing.is_empty());
            for name in ["content-length", "content-encoding", "etag", "vary"] {
                assert_eq!(head.get(name), headers.get(name), "{name} with {wanted}");
            }
            // All encodings have the same tag.
            let again = app.request(Method::GET, &format!("{PATH}{query}")).bearer_auth(TOKEN);
            let again =
                send(again.header("If-None-Match", plain.header("etag").unwrap()).header("Accept-Encoding", wanted))
                    .await;
            assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
            assert_eq!(again.header("content-encoding"), None);
            assert_eq!(again.header("vary"), Some("accept-encoding"));
        }
    }
    let (headers, body) = coded(&app, Method::GET, "&limit=2", "gzip, zstd").await;
    assert!(!headers.contains_key("content-encoding") && body.len() < 1024, "a short page stays uncompressed");
    assert!(headers.get_all("vary").iter().any(|value| value == "accept-encoding"));
}

/// Returns once a reader and a writer wait for a lock.
async fn both_wait(database: &PgDatabase) {
    const WAITING: &str =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let mut connection = database.connect().await;
    eventually(async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut connection).await.unwrap() >= 2).await;
}

#[test]
fn a_page_read_before_a_post_is_not_served_after_it() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url)).await;
        service.ingest(&[candle(NOW - 9 * HOUR)]).await;
        for n in (1..=8).rev() {
            // Both wait for the lock in the order in which they arrived: the page is read before the batch is stored.
            let mut lock = TableLock::take(&database).await;
            // Another page each time, so that none is in memory yet.
            let query = format!("&limit={}", 100 + n);
            let reading =
                tokio::spawn(send(service.request(Method::GET, &format!("{PATH}{query}")).bearer_auth(TOKEN)));
            lock.is_awaited().await;
            let body = json!({"candles": [candle(NOW - n * HOUR)]}).to_string();
            let post = service.request(Method::POST, "/api/v1/candles").header("X-API-KEY", KEY).body(body);
            let post = tokio::spawn(send(post));
            both_wait(&database).await;
            lock.release().await;
            assert_eq!(post.await.unwrap().status, 201);
            let after = service.candles(&query).await;
            assert_eq!(times(&after).last(), Some(&(NOW - n * HOUR)));
            assert_eq!(reading.await.unwrap().status, 200);
        }
    });
}

#[test]
fn a_page_includes_what_another_process_stored_a_second_ago() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let environment = Environment::new(&database.url).with("RATE_LIMIT_QUERY", "off");
        let (writer, reader) = tokio::join!(Service::start(&environment), Service::start(&environment));
        writer.ingest(&[candle(NOW - 5 * HOUR)]).await;
        let mut from_before = 0;
        for n in (2..=4).rev() {
            // Puts the page into the reader's memory before the candle is stored.
            reader.candles("").await;
            assert_eq!(writer.ingest(&[candle(NOW - n * HOUR)]).await, (1, 0, 0));
            let stored = Instant::now();
            loop {
                let sent = Instant::now();
                let page = reader.candles("").await;
                if times(&page).last() == Some(&(NOW - n * HOUR)) {
                    assert_eq!(page.header("etag"), writer.candles("").await.header("etag"), "tags agree");
                    break;
                }
                assert!(sent - stored <= FRESH, "{:?} after the 201 a page was older than it may be", sent - stored);
                from_before += 1;
            }
        }
        println!("{from_before} pages were from before the post that another process had answered");
    });
}

/// The number of database reads for candles so far.
async fn readings(admin: &str) -> u64 {
    let answer = send(reqwest::Client::new().get(format!("{admin}/metrics"))).await;
    let counts = answer.body.lines().filter(|line| {
        line.starts_with("db_client_operation_duration_seconds_count{") && line.contains(r#"db_operation_name="range""#)
    });
    counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn concurrent_requests_for_a_page_share_one_query() {
    run(async {
        let (database, folder) = (PgDatabase::create(&plain_server()).await, folder());
        let (serving, admin) = start(folder.path(), &[("DATABASE_URL", &database.url)]);
        let client = reqwest::Client::new();
        let page = || send(client.get(format!("{}{PATH}", serving.url)).bearer_auth(TOKEN));
        let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(json!({"candles": history(3)}).to_string())).await.status, 201);
        let before = readings(&admin).await;
        let start = Instant::now();
        let mut lock = TableLock::take(&database).await;
        let mut asking = JoinSet::new();
        for _ in 0..20 {
            asking.spawn(page());
        }
        lock.is_awaited().await;
        lock.release().await;
        for answer in asking.join_all().await {
            assert_eq!(times(&answer).len(), 3);
        }
        // A second later another query is due, so a slow machine is allowed more.
        let due = 1 + start.elapsed().as_secs();
        let queries = readings(&admin).await - before;
        assert!((1..=due).contains(&queries), "{queries} queries for 20 equal requests");
    });
}

#[test]
fn an_unchanged_page_costs_no_query() {
    run(async {
        let folder = folder();
        let (serving, admin) = start(folder.path(), &[]);
        let client = reqwest::Client::new();
        let page = || client.get(format!("{}{PATH}", serving.url)).bearer_auth(TOKEN);
        let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(json!({"candles": history(30)}).to_string())).await.status, 201);
        // Repeats if the machine was so slow that the page expired meanwhile.
        loop {
            let before = readings(&admin).await;
            let start = Instant::now();
            let tag = send(page()).await.header("etag").unwrap().to_owned();
            for wanted in ["identity", "gzip", "zstd"] {
                let answer = send(page().header("If-None-Match", &tag).header("Accept-Encoding", wanted)).await;
                assert_eq!(answer.status, 304);
                assert_eq!(send(page().header("Accept-Encoding", wanted)).await.status, 200);
            }
            if start.elapsed() < FRESH {
                assert!(readings(&admin).await - before <= 1);
                break;
            }
        }
    });
}

#[test]
fn a_disconnecting_client_does_not_cancel_the_page_for_others() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        app.ingest(&history(3)).await;
        let mut lock = TableLock::take(database).await;
        let page = || tokio::spawn(send(app.request(Method::GET, PATH).bearer_auth(TOKEN)));
        let first = page();
        lock.is_awaited().await;
        let others: Vec<_> = (0..5).map(|_| page()).collect();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        lock.release().await;
        for other in others {
            assert_eq!(times(&other.await.unwrap()).len(), 3);
        }
    });
}
