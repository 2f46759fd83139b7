//! Load above the limits is refused at once, while health answers and no client takes everything.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{
    Database, Environment, KEY, NOW, PgDatabase, Service, TOKEN, TestApp, candle, eventually, plain_server, run, send,
};
use crate::program::{Serving, folder};

/// Keeps `count` posts unfinished: each sends `part` of a body of `length` bytes and waits for the answer, again and
/// again until this is dropped.
fn unfinished_posts(app: &Service, count: usize, length: usize, part: usize) -> JoinSet<()> {
    let mut posts = JoinSet::new();
    for _ in 0..count {
        let address = app.address();
        posts.spawn(async move {
            let body = vec![b' '; part];
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                let head = format!(
                    "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: {KEY}\r\nContent-Length: {length}\r\n\r\n"
                );
                if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok() {
                    let _ = stream.read(&mut [0; 16]).await;
                }
            }
        });
    }
    posts
}

async fn health_answers(app: &Service) {
    for path in ["/health", "/health/live"] {
        assert_eq!(send(app.request(Method::GET, path)).await.status, 200);
    }
}

#[test]
fn requests_over_the_concurrency_limit_are_shed_except_health() {
    run(async {
        // More connections than one address may have unless it is a proxy.
        let app = TestApp::start_with(Database::sqlite(), |environment| {
            environment
                .with("TRUSTED_PROXIES", "127.0.0.1")
                .with("RATE_LIMIT_INGEST", "off")
                .with("RATE_LIMIT_QUERY", "off")
        })
        .await;
        // All slots are taken, and one of the few extra posts takes a slot again when it becomes free.
        let posts = unfinished_posts(&app, 1024 + 4, 1000, 1);
        let refused = loop {
            let answer = app.candles("").await;
            if answer.status != 200 {
                break answer;
            }
        };
        refused.problem(503, "overloaded");
        assert_eq!(refused.header("retry-after"), Some("1"));
        health_answers(&app).await;
        drop(posts);
        eventually(async || app.candles("").await.status != 503).await;
        assert_eq!(app.ingest(&[candle(NOW - 7200)]).await, (1, 0, 0));
    });
}

#[test]
fn request_bodies_stay_within_their_memory_budget() {
    run(async {
        const EACH: usize = 4 * 1024 * 1024;
        let app =
            TestApp::start_with(Database::sqlite(), |environment| environment.with("RATE_LIMIT_INGEST", "off")).await;
        app.ingest(&[candle(NOW - 7200)]).await;
        // As large as allowed, and not JSON: while there is room, it is refused for that.
        let post = async || app.post_bytes(vec![b' '; EACH]).await;
        // A post that only announces its body reserves no memory.
        let announced = unfinished_posts(&app, 50, EACH, 0);
        for _ in 0..20 {
            post().await.problem(400, "malformed");
        }
        drop(announced);
        // More bodies than fit into the budget: when one of them is given up, another takes its place.
        let sent = unfinished_posts(&app, 2 * 32 / 4, EACH, EACH - 1);
        let refused = loop {
            let answer = post().await;
            if answer.status != 400 {
                break answer;
            }
        };
        refused.problem(503, "overloaded");
        assert_eq!(app.candles("").await.status, 200, "readers have their own part");
        health_answers(&app).await;
        drop(sent);
        eventually(async || post().await.status != 503).await;
    });
}

#[test]
fn announced_bodies_reserve_no_memory_before_they_arrive() {
    run(async {
        const LARGEST: usize = 16 * 1024 * 1024;
        const CONNECTIONS: usize = 200;
        let folder = folder();
        let variables = [
            ("PORT", "0"),
            ("MAX_BODY_BYTES", &*LARGEST.to_string()),
            ("MT5_API_KEY", KEY),
            ("INTERNAL_API_TOKEN", TOKEN),
        ];
        // Half of the announced bytes, so the process would end if it allocated all of them.
        let mut serving = Serving::start_within(CONNECTIONS * LARGEST / 1024 / 2, folder.path(), &variables);
        serving.is_ready();
        let address = serving.url.trim_start_matches("http://").to_owned();
        let head = format!(
            "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: {KEY}\r\nContent-Length: {LARGEST}\r\n\r\n{{"
        );
        let mut announced = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            announced.push(stream);
        }
        let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
        let post = reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(body)).await.counts(1), (1, 0, 0));
        // Each post gets its answer when it has paused for too long.
        for mut stream in announced {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            assert_eq!(&status, b"HTTP/1.1 408");
        }
    });
}

#[test]
fn unread_responses_stay_within_their_memory_budget() {
    run(async {
        const CANDLES: i64 = 80_000;
        const BATCH: i64 = 10_000;
        let app = TestApp::start_with(Database::sqlite(), |environment| environment.with("MAX_LIMIT", CANDLES)).await;
        for batch in 0..CANDLES / BATCH {
            let candles: Vec<Value> = (0..BATCH).map(|n| candle(NOW - 3600 * (1 + batch * BATCH + n))).collect();
            app.ingest(&candles).await;
        }
        let query = format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&limit={CANDLES}");
        let request = format!("GET {query} HTTP/1.1\r\nHost: x\r\nX-Internal-Token: {TOKEN}\r\n\r\n");
        let mut asleep = Vec::new();
        // Each answer has about 8 MB, of which the kernel buffers a part.
        let status = loop {
            let mut stream = app.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            asleep.push(stream);
            if &status != b"HTTP/1.1 200" {
                break status;
            }
            assert!(asleep.len() < 100, "100 answers of 8 MB are in memory");
        };
        assert_eq!(&status, b"HTTP/1.1 503");
        println!("refused after {} answers that nobody takes", asleep.len() - 1);
        app.candles("&limit=1").await;
        assert_eq!(app.ingest(&[candle(NOW - 7200)]).await, (0, 1, 0), "writers have their own part");
        health_answers(&app).await;
        // Dropping the unread answers frees memory for the next one.
        drop(asleep);
        eventually(async || app.get(&query).await.status != 503).await;
    });
}

/// Starts a service with two connections and a lock on one of its tables that another connection holds.
async fn locked(lock: &str) -> (PgDatabase, Service, sqlx::PgConnection) {
    let database = PgDatabase::create(&plain_server()).await;
    let service = Service::start(&Environment::new(&database.url).with("DATABASE_MAX_CONNECTIONS", 2)).await;
    // Both connections are open before a request has to wait for the lock.
    let (one, other) = tokio::join!(service.candles("&limit=1"), service.candles("&limit=2"));
    assert!(one.status == 200 && other.status == 200);
    service.ingest(&[candle(NOW - 7200)]).await;
    let mut holder = database.connect().await;
    holder.execute(&*format!("begin; {lock}")).await.unwrap();
    (database, service, holder)
}

#[test]
fn readers_leave_writers_a_connection() {
    run(async {
        // Readers wait for this table, and posts of closed candles do not use it.
        let (_database, service, holder) = locked("lock table market_data_live_candles in access exclusive mode").await;
        let mut reads = JoinSet::new();
        for limit in 1..=8 {
            // A different page each, because concurrent requests for one page share a read.
            let path = format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&limit={limit}");
            let read = service.request(Method::GET, &path).bearer_auth(TOKEN);
            reads.spawn(send(read));
        }
        // The first refused reader shows that the others hold as many connections as readers may.
        reads.join_next().await.unwrap().unwrap().problem(503, "unavailable");
        assert_eq!(service.ingest(&[candle(NOW - 100 * 3600)]).await, (1, 0, 0));
        holder.close().await.unwrap();
        reads.join_all().await;
        assert_eq!(service.candles("").await.status, 200);
    });
}

#[test]
fn writers_leave_readers_a_connection() {
    run(async {
        let (_database, service, holder) = locked("lock table market_data_candles in share mode").await;
        let mut posts = JoinSet::new();
        // Too large to share a statement, so that each post needs a connection of its own.
        let candles: Vec<Value> = (1..=129).map(|hours| candle(NOW - hours * 3600)).collect();
        for _ in 0..8 {
            let body = json!({ "candles": candles }).to_string();
            let post = service.request(Method::POST, "/api/v1/candles").header("X-API-KEY", KEY);
            posts.spawn(send(post.body(body)));
        }
        posts.join_next().await.unwrap().unwrap().problem(503, "unavailable");
        assert_eq!(service.candles("").await.status, 200);
        assert_eq!(service.get("/api/v1/series").await.status, 200);
        holder.close().await.unwrap();
        posts.join_all().await;
        assert_eq!(service.post(&json!({"candles": [candle(NOW - 7200)]})).await.status, 201);
    });
}
