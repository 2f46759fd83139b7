//! The running program: the banner, signals, logs, and several processes at once.

use std::process::Command;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use crate::harness::{
    Database, KEY, NOW, PgDatabase, TOKEN, TableLock, candle, eventually, plain_server, run, send, with,
};
use crate::program::{Serving, folder};

/// Sends the request that a shell makes from a `curl` line and returns the answer's body. The shell parses the line;
/// curl itself is not needed.
async fn paste(line: &str) -> String {
    let apart = format!("curl() {{ for word in \"$@\"; do printf '%s\\0' \"$word\"; done; }}; {line}");
    let output = Command::new("sh").args(["-c", &apart]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    let mut words = words.split_terminator('\0');
    let (mut url, mut headers, mut body) = (String::new(), HeaderMap::new(), None);
    while let Some(word) = words.next() {
        match word {
            "-i" => {}
            "-H" => {
                let (name, value) = words.next().unwrap().split_once(": ").unwrap();
                headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            "-d" => body = words.next().map(str::to_owned),
            address => url = address.to_owned(),
        }
    }
    let client = reqwest::Client::new();
    let request = match body {
        Some(body) => client.post(url).body(body),
        None => client.get(url),
    };
    let answer = send(request.headers(headers)).await;
    assert!(answer.status.is_success(), "{line}: {answer:?}");
    answer.body
}

/// Lets the service open a connection to its database, so that the next request does not wait for one.
async fn open_a_connection(url: &str) {
    let series = reqwest::Client::new().get(format!("{url}/api/v1/series")).bearer_auth(TOKEN);
    assert_eq!(send(series).await.status, 200);
}

#[test]
fn the_commands_of_the_banner_work_and_survive_a_restart() {
    run(async {
        let folder = folder();
        let mut keys: Vec<String> = Vec::new();
        for added in [1, 0] {
            let mut serving = Serving::start(folder.path(), &[("PORT", "0"), ("PATH", "")]);
            let [post, get] = serving.curl_lines();
            let banner = serving.banner();
            assert_snapshot!("banner", banner);
            let receipt: Value = serde_json::from_str(&paste(&post).await).unwrap();
            assert_eq!(receipt["records_added"], added);
            let read = paste(&get).await;
            assert!(read.starts_with(r#"[{"timestamp":1754215200000,"open":1.08500,"#), "{read}");
            let key = |line: &str| line.split("X-").nth(1).unwrap().split('"').next().unwrap().to_owned();
            keys.push(format!("{} {}", key(&post), key(&get)));
            serving.signal("TERM");
            assert_eq!(serving.end().0, Some(0));
        }
        assert_eq!(keys[0], keys[1], "the keys last");
        let permissions = folder.path().join("candlewick.keys").metadata().unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
    });
}

#[test]
fn sigterm_drains_requests_in_flight() {
    run(async {
        for signal in ["TERM", "INT", "QUIT"] {
            let database = PgDatabase::create(&plain_server()).await;
            let folder = folder();
            let mut serving = Serving::on(folder.path(), &database.url);
            open_a_connection(&serving.url).await;
            let mut lock = TableLock::take(&database).await;
            let client = reqwest::Client::new();
            let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
            let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY).body(body);
            let post = tokio::spawn(send(post));
            lock.is_awaited().await;
            // A connection without a request must not delay the shutdown either.
            let _idle = tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.unwrap();
            serving.signal(signal);
            serving.line_with("stopping");
            eventually(async || {
                tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.is_err()
            })
            .await;
            lock.release().await;
            post.await.unwrap().counts(1);
            let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
            assert_eq!(code, Some(0));
            assert!(printed.contains("stopped"), "{printed}");
            assert_eq!(Database::Postgres(database).closed().await.len(), 1);
        }
    });
}

#[test]
fn an_unanswerable_request_does_not_block_shutdown() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let serving = Serving::on(folder.path(), &database.url);
        open_a_connection(&serving.url).await;
        let mut lock = TableLock::take(&database).await;
        let address = serving.url.trim_start_matches("http://").to_owned();
        // One post waits for the database, the other never sends the rest of its body.
        let post = |length: usize| {
            let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
            let length = length.max(body.len());
            format!(
                "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: {KEY}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        let mut waiting = Vec::new();
        for length in [0, 1_000_000] {
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, post(length).as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        lock.is_awaited().await;
        let start = Instant::now();
        serving.signal("TERM");
        let (code, _) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        println!("stopped {:?} after the signal", start.elapsed());
        assert_eq!(code, Some(0));
        assert!(start.elapsed() < Duration::from_secs(10), "container engines kill after 10 s");
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut waiting[0], &mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    });
}

#[test]
fn two_processes_on_one_database_store_each_candle_once() {
    run(async {
        const SERIES: i64 = 4;
        const CANDLES: i64 = 300;
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        // Both find an empty database and migrate it at once.
        let start = || {
            let (folder, url) = (folder.path().to_owned(), database.url.clone());
            tokio::task::spawn_blocking(move || Serving::on(&folder, &url))
        };
        let (one, other) = tokio::join!(start(), start());
        let services = [one.unwrap(), other.unwrap()];

        let client = reqwest::Client::new();
        let mut posts = tokio::task::JoinSet::new();
        for worker in 0..8_usize {
            let (client, url) = (client.clone(), services[worker % 2].url.clone());
            posts.spawn(async move {
                let (mut added, mut live) = (0, 0);
                for round in 0..4 {
                    let candles = (0..SERIES).flat_map(|series| (0..CANDLES).map(move |n| (series, n)));
                    let mut candles: Vec<Value> = candles
                        .map(|(series, n)| {
                            let symbol = format!("SYM{series}");
                            with(candle(NOW - (n + 1) * 3600), json!({"symbol": symbol, "complete": true}))
                        })
                        .collect();
                    candles.extend((0..SERIES).map(|series| {
                        let fields =
                            json!({"symbol": format!("SYM{series}"), "complete": false, "volume": 100 + round});
                        with(candle(NOW), fields)
                    }));
                    if worker % 2 == 1 {
                        candles.reverse();
                    }
                    let post = client.post(format!("{url}/api/v1/candles")).header("X-API-KEY", KEY);
                    let counts = send(post.body(json!({"candles": candles}).to_string())).await.counts(candles.len());
                    added += counts.0;
                    live += counts.2;
                    let get = client.get(format!("{url}/api/v1/candles?symbol=SYM0&timeframe=H1")).bearer_auth(TOKEN);
                    let read = send(get).await.json();
                    let times: Vec<i64> =
                        read.as_array().unwrap().iter().map(|candle| candle["timestamp"].as_i64().unwrap()).collect();
                    assert_eq!(times.len() as i64, CANDLES + 1, "acknowledged candles are read");
                    assert!(times.is_sorted_by(|a, b| a < b), "no time twice");
                }
                (added, live)
            });
        }
        let counts = posts.join_all().await;
        assert_eq!(counts.iter().map(|(added, _)| *added as i64).sum::<i64>(), SERIES * CANDLES, "each added once");
        assert!(counts.iter().map(|(_, live)| *live as i64).sum::<i64>() >= SERIES);
        for service in services {
            service.signal("TERM");
            let (code, printed) = tokio::task::spawn_blocking(|| service.end()).await.unwrap();
            assert_eq!(code, Some(0));
            assert!(!printed.contains("ERROR"), "{printed}");
        }
        let database = Database::Postgres(database);
        assert_eq!(database.closed().await.len() as i64, SERIES * CANDLES);
        let forming = database.forming().await;
        assert_eq!(forming.len() as i64, SERIES);
        assert!(forming.iter().all(|row| row.ends_with(" 103")), "the one with most volume is kept: {forming:?}");
        // The server counts a connection's deadlocks when the connection ends, as those of both services have.
        let deadlocks = "select deadlocks::text from pg_stat_database where datname = current_database()";
        assert_eq!(database.rows(deadlocks).await, ["0"]);
    });
}

#[test]
fn a_disconnected_client_is_logged() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let mut serving = Serving::on(folder.path(), &database.url);
        open_a_connection(&serving.url).await;
        let mut lock = TableLock::take(&database).await;
        let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
        let post = reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        let post = tokio::spawn(send(post.header("x-request-id", "left-early").body(body)));
        lock.is_awaited().await;
        post.abort();
        let line = serving.line_with("left-early");
        assert!(line.contains("the client left before its answer") && line.contains("/api/v1/candles"), "{line}");
        lock.release().await;
    });
}

#[test]
fn acknowledged_candles_survive_a_kill() {
    run(async {
        let folder = folder();
        let mut acknowledged = 0;
        for round in 0..3_i64 {
            let variables = [("PORT", "0"), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)];
            let mut serving = Serving::start(folder.path(), &variables);
            serving.is_ready();
            let client = reqwest::Client::new();
            for n in 0..20 {
                let candles: Vec<Value> =
                    (0..50).map(|m| candle(1_600_000_000 / 3600 * 3600 + ((round * 20 + n) * 50 + m) * 3600)).collect();
                let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
                acknowledged += send(post.body(json!({"candles": candles}).to_string())).await.counts(50).0;
            }
            serving.signal("KILL");
            assert_eq!(serving.end().0, None);
        }
        assert_eq!(acknowledged, 3000);
        let url = format!("sqlite://{}", folder.path().join("candlewick.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let stored: i64 =
            sqlx::query_scalar("select count(*) from market_data_candles").fetch_one(&pool).await.unwrap();
        assert_eq!(stored, 3000);
    });
}

#[test]
fn a_request_is_one_line_in_the_log() {
    run(async {
        let folder = folder();
        let keys =
            [("MT5_API_KEY", "terminal-7:ingest-secret-0001"), ("INTERNAL_API_TOKEN", "chart:reading-secret-0001")];
        let variables =
            [&keys[..], &[("PORT", "0"), ("ENVIRONMENT", "production"), ("DATABASE_URL", "sqlite://x.db")]].concat();
        let mut serving = Serving::start(folder.path(), &variables);
        serving.is_ready();
        let client = reqwest::Client::new();
        let body = json!({"candles": [candle(1_754_215_200), candle(1_754_215_200)]}).to_string();
        let post =
            client.post(format!("{}/api/v1/candles?secret=yes", serving.url)).header("X-API-KEY", "ingest-secret-0001");
        send(post.header("x-request-id", "my-id").body(body)).await.counts(2);
        let line: Value = serde_json::from_str(&serving.line_with("\"POST\"")).unwrap();
        for (field, expected) in [
            ("level", json!("INFO")),
            ("method", json!("POST")),
            ("route", json!("/api/v1/candles")),
            ("status", json!(201)),
            ("request_id", json!("my-id")),
            ("key", json!("terminal-7")),
            ("rows_received", json!(2)),
            ("rows_added", json!(1)),
        ] {
            assert_eq!(line[field], expected, "{field} in {line}");
        }
        assert!(line["duration_ms"].is_f64() && line["timestamp"].is_string(), "{line}");

        let wrong = client
            .get(format!("{}/no/such?key=ingest-secret-0001", serving.url))
            .header("X-API-KEY", "ingest-secret-0001");
        send(wrong.header("x-request-id", "x\"y")).await.problem(404, "not_found");
        let line: Value = serde_json::from_str(&serving.line_with("not_found")).unwrap();
        assert_eq!(
            (&line["route"], &line["code"], &line["key"]),
            (&json!("<unmatched>"), &json!("not_found"), &Value::Null)
        );
        serving.signal("TERM");
        let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        assert_eq!(code, Some(0));
        assert!(!printed.contains("secret"), "{printed}");
        assert!(!printed.contains("curl"), "no banner outside development");
        assert!(printed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{printed}");
    });
}

#[test]
fn the_banner_never_shows_a_configured_key() {
    let folder = folder();
    let mut serving = Serving::start(
        folder.path(),
        &[
            ("PORT", "0"),
            ("MT5_API_KEY", "chosen-key"),
            ("INTERNAL_API_TOKEN", "chosen-token"),
            ("RESEARCH_API_KEY", "chosen-research-key"),
        ],
    );
    let [post, get] = serving.curl_lines();
    assert!(post.contains("X-API-KEY: YOUR_INGEST_KEY") && get.contains("X-Internal-Token: YOUR_READ_TOKEN"));
    assert!(!serving.printed.contains("chosen"));
    assert!(!folder.path().join("candlewick.keys").exists());
}

#[test]
fn an_unread_log_does_not_block_the_service() {
    run(async {
        let folder = folder();
        let mut serving = Serving::start(
            folder.path(),
            &[("PORT", "0"), ("INTERNAL_API_TOKEN", "t"), ("MT5_API_KEY", "k"), ("RATE_LIMIT_ANONYMOUS", "off")],
        );
        serving.is_ready();
        // More lines than the pipe's buffer holds, and none of them is read.
        let client = reqwest::Client::new();
        for _ in 0..3000 {
            let answer = send(client.get(format!("{}/nowhere", serving.url))).await;
            assert_eq!(answer.status, 404);
        }
        serving.signal("TERM");
        let code = tokio::task::spawn_blocking(move || serving.child.wait().unwrap().code()).await.unwrap();
        assert_eq!(code, Some(0), "stops while nobody reads");
    });
}
