//! The service's reports about itself: metrics, failures, traces, and the order of its shutdown.

#![expect(clippy::float_cmp, reason = "counters are whole numbers")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use candle::Rule;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, KEY, PgDatabase, TOKEN, TableLock, candle, eventually, plain_server, run, send, with};
use crate::program::{Serving, folder};

/// A running program with a second listener, and where that is.
pub fn start(folder: &Path, variables: &[(&str, &str)]) -> (Serving, String) {
    let own = [("PORT", "0"), ("ADMIN_ADDR", "127.0.0.1:0"), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)];
    let mut serving = Serving::start(folder, &[&own[..], variables].concat());
    let admin = serving.printed.lines().find_map(|line| line.split_once("admin=")).expect("the admin address").1;
    let admin = format!("http://{}", admin.split_whitespace().next().unwrap());
    serving.is_ready();
    (serving, admin)
}

async fn get(url: &str) -> Answer {
    send(reqwest::Client::new().get(url)).await
}

async fn post(serving: &Serving, body: Value) -> Answer {
    let post = reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
    send(post.body(body.to_string())).await
}

/// Every sample of a scrape, by its name and labels.
pub async fn scrape(admin: &str) -> BTreeMap<String, f64> {
    let answer = get(&format!("{admin}/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let samples = answer.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn metrics_count_events_without_symbol_labels() {
    run(async {
        let folder = folder();
        let (serving, admin) = start(folder.path(), &[("MAX_BATCH", "3")]);
        let symbol = json!({"symbol": "SECRETPAIR"});
        let batch = [
            with(candle(1_754_215_200), symbol.clone()),
            with(candle(1_754_215_200), symbol.clone()),
            with(candle(1_754_218_800), with(symbol.clone(), json!({"complete": false}))),
        ];
        assert_eq!(post(&serving, json!({"candles": batch})).await.counts(3), (1, 1, 1));
        let bad = with(candle(1_754_215_200), json!({"volume": -1}));
        post(&serving, json!({"candles": [bad]})).await.problem(422, "invalid_values");
        get(&format!("{}/api/v1/candles?symbol=SECRETPAIR&timeframe=H1", serving.url))
            .await
            .problem(401, "unauthorized");
        get(&format!("{}/no/SECRETPAIR", serving.url)).await.problem(404, "not_found");

        let samples = scrape(&admin).await;
        let count = |name: &str| samples.get(name).copied().unwrap_or_else(|| panic!("{name} in {samples:#?}"));
        for (result, expected) in [("added", 1.0), ("duplicate", 1.0), ("live", 1.0), ("rejected", 1.0)] {
            assert_eq!(count(&format!("candlewick_candles_total{{result=\"{result}\"}}")), expected, "{result}");
        }
        assert_eq!(count("candlewick_candles_rejected_total{reason=\"out_of_range\"}"), 1.0);
        assert_eq!(count("candlewick_auth_failures_total{kind=\"missing\"}"), 1.0);
        assert!(count("candlewick_newest_candle_age_seconds{timeframe=\"H1\"}") > 0.0);
        assert!(count("candlewick_connections_open{listener=\"admin\"}") >= 1.0, "the reader of the metrics has one");
        assert_eq!(count("http_server_active_requests"), 0.0, "reading the metrics is none");
        assert_eq!(count("candlewick_rate_limiter_addresses"), 1.0);
        assert!(!samples.contains_key("candlewick_rate_limiter_shared"), "no Redis is configured");
        let requests = "http_server_request_duration_seconds_count";
        let labels = "http_request_method=\"POST\",http_route=\"/api/v1/candles\",http_response_status_code=\"201\"";
        assert_eq!(count(&format!("{requests}{{{labels}}}")), 1.0);
        let unmatched = "http_request_method=\"GET\",http_route=\"<unmatched>\",http_response_status_code=\"404\"";
        assert_eq!(count(&format!("{requests}{{{unmatched}}}")), 1.0);
        for bound in
            ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10"]
        {
            count(&format!("http_server_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}}"));
        }
        assert!(
            count("db_client_operation_duration_seconds_count{db_operation_name=\"append\",error_type=\"\"}") >= 1.0
        );
        assert!(count("db_client_connection_max") >= 10.0);
        assert!(samples.contains_key("db_client_connection_count{state=\"idle\"}"));
        let version = env!("CARGO_PKG_VERSION");
        let build = samples.keys().find(|name| name.starts_with("candlewick_build_info{")).unwrap();
        assert!(build.contains(&format!("version=\"{version}\"")) && build.contains("revision="), "{build}");
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
            assert!(count(name) > 0.0);
        }
        assert!(samples.keys().all(|name| !name.contains("SECRET")), "no label holds what callers send");

        // The second listener serves nothing else, and the first has no metrics.
        get(&format!("{}/metrics", serving.url)).await.problem(404, "not_found");
        get(&format!("{admin}/api/v1/candles")).await.problem(404, "not_found");
        assert_eq!(get(&format!("{admin}/health")).await.status, 200);
        assert_eq!(get(&format!("{admin}/health/live")).await.body, r#"{"status":"ok"}"#);
    });
}

#[test]
fn metrics_are_served_only_under_loopback_and_listed_hosts() {
    run(async {
        let folder = folder();
        let (_serving, admin) = start(folder.path(), &[("ADMIN_HOSTS", "candlewick, Metrics.Example.com")]);
        let port = admin.rsplit(':').next().unwrap();
        let asked = async |path: &str, host: &str| {
            send(reqwest::Client::new().get(format!("{admin}{path}")).header("host", host)).await
        };
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "candlewick", "metrics.example.com"] {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                assert_eq!(asked("/metrics", &host).await.status, 200, "{host}");
            }
        }
        for host in ["evil.example", "10.0.0.5", "candlewick.evil.example", "localhost.evil.example", "xlocalhost"] {
            let detail = asked("/metrics", host).await.problem(403, "foreign_host");
            assert!(detail.contains("ADMIN_HOSTS"), "{detail}");
            asked("/nowhere", host).await.problem(403, "foreign_host");
            assert_eq!(asked("/health", host).await.status, 200, "{host}");
            assert_eq!(asked("/health/live", host).await.status, 200, "{host}");
        }
        asked("/metrics", "a b").await.problem(400, "invalid_host");
        asked("/health", "a b").await.problem(400, "invalid_host");

        // If it listens on every address, any IP address is accepted as the host, because DNS rebinding needs a name.
        let (_serving, admin) = start(folder.path(), &[("ADMIN_ADDR", "0.0.0.0:0")]);
        let admin = admin.replace("0.0.0.0", "127.0.0.1");
        for (host, status) in [("10.0.0.5", 200), ("[2001:db8::1]:9000", 200), ("candlewick", 403)] {
            let answer = send(reqwest::Client::new().get(format!("{admin}/metrics")).header("host", host)).await;
            assert_eq!(answer.status.as_u16(), status, "{host}");
        }
    });
}

#[test]
fn counters_start_at_zero() {
    run(async {
        let folder = folder();
        let (_serving, admin) = start(folder.path(), &[]);
        let samples = scrape(&admin).await;
        let refusals = "candlewick_candles_rejected_total{reason";
        let counters = [
            ("candlewick_candles_total{result", &["added", "duplicate", "live", "rejected"][..]),
            ("candlewick_auth_failures_total{kind", &["misplaced", "missing", "several", "unknown", "wrong_scope"]),
            ("candlewick_rate_limited_total{scope", &["anonymous", "ingest", "query", "research", "wrong_key"]),
            (
                "candlewick_load_shed_total{reason",
                &["answer_memory", "body_memory", "exports", "requests", "streams", "write_queue"],
            ),
            ("candlewick_exports_total{result", &["broken_off", "finished", "left"]),
            ("candlewick_live_events_total{event", &["candle", "history"]),
            ("candlewick_research_jobs_total{state", &["cancelled", "done", "failed"]),
            ("candlewick_live_hints_total{outcome", &["ignored", "lost", "received", "sent"]),
            ("candlewick_connections_refused_total{reason", &["address", "all"]),
            ("candlewick_connections_timed_out_total{phase", &["answer", "head"]),
            (refusals, &Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>()),
        ];
        for (counter, values) in counters {
            for value in values {
                let name = format!("{counter}=\"{value}\"}}");
                assert_eq!(samples.get(&name), Some(&0.0), "{name} in {samples:#?}");
            }
            assert_eq!(samples.keys().filter(|name| name.starts_with(counter)).count(), values.len(), "{counter}");
        }
        for name in [
            "candlewick_log_lines_dropped_total",
            "candlewick_exports_active",
            "candlewick_live_looks_total",
            "candlewick_research_evaluations_total",
            "candlewick_research_file_bytes",
            "candlewick_research_files",
            "candlewick_research_jobs_queued",
            "candlewick_research_jobs_requeued_total",
            "candlewick_research_jobs_running",
            "candlewick_live_resumes_total",
            "candlewick_live_series",
            "candlewick_live_streams",
            "candlewick_flushes_total",
            "candlewick_flushed_posts_total",
            "candlewick_rate_limiter_fallbacks_total",
            "candlewick_resampled_source_candles_total",
            "candlewick_waiting_candles",
            "candlewick_write_failing",
            "db_client_connection_timeouts_total",
        ] {
            assert_eq!(samples.get(name), Some(&0.0), "{name}");
        }
        for (method, route) in [("POST", "/api/v1/candles"), ("GET", "/api/v1/candles"), ("GET", "/api/v1/series")] {
            let labels = format!("http_request_method=\"{method}\",http_route=\"{route}\"");
            for status in [500, 503] {
                let labels = format!("{{{labels},http_response_status_code=\"{status}\"}}");
                let name = format!("http_server_request_duration_seconds_count{labels}");
                assert_eq!(samples.get(&name), Some(&0.0), "{name}");
            }
        }
    });
}

#[test]
fn the_candles_that_built_ones_are_added_up_from_are_counted() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        for variables in [&[][..], &[("DATABASE_URL", &*database.url)]] {
            let folder = folder();
            let (serving, admin) = start(folder.path(), variables);
            let minute = |n: i64| with(candle(1_754_265_600 + n * 60), json!({"timeframe": "M1"}));
            let forming = with(minute(4), json!({"complete": false}));
            let candles = [minute(0), minute(1), minute(60), minute(61)];
            assert_eq!(post(&serving, json!({ "candles": candles })).await.status, 201);
            assert_eq!(post(&serving, json!({ "candles": [forming] })).await.status, 201);
            let url = format!("{}/api/v1/candles?symbol=EURUSD&timeframe=H1&source=M1", serving.url);
            let answer = send(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await;
            assert_eq!(answer.json().as_array().map(Vec::len), Some(2), "{answer:?}");
            let samples = scrape(&admin).await;
            assert_eq!(samples.get("candlewick_resampled_source_candles_total"), Some(&5.0), "{samples:#?}");
        }
    });
}

#[test]
fn a_failing_write_sets_a_metric_until_one_succeeds() {
    run(async {
        let folder = folder();
        let (serving, admin) = start(folder.path(), &[]);
        let name = "candlewick_last_write_error_timestamp_seconds{error_type=\"refused\"}";
        let failing = async || {
            let samples = scrape(&admin).await;
            (samples["candlewick_write_failing"], samples.get(name).copied())
        };
        assert_eq!(failing().await, (0.0, None));
        let url = format!("sqlite://{}", folder.path().join("candlewick.db").display());
        let database = sqlx::SqlitePool::connect(&url).await.unwrap();
        let forbid = "create trigger broken before insert on market_data_candles begin select raise(abort, ''); end";
        sqlx::query(forbid).execute(&database).await.unwrap();
        assert!(!post(&serving, json!({"candles": [candle(1_754_215_200)]})).await.status.is_success());
        let (now, time) = failing().await;
        assert!(now == 1.0 && time.is_some_and(|time| time > 1.7e9), "{now} {time:?}");
        sqlx::query("drop trigger broken").execute(&database).await.unwrap();
        post(&serving, json!({"candles": [candle(1_754_215_200)]})).await.counts(1);
        assert_eq!(failing().await, (0.0, time), "when it failed is still known");
        database.close().await;
    });
}

#[test]
fn the_age_of_the_newest_candle_is_known_from_the_start() {
    run(async {
        let folder = folder();
        for restarted in [false, true] {
            let (serving, admin) = start(folder.path(), &[]);
            if restarted {
                let name = "candlewick_newest_candle_age_seconds{timeframe=\"H1\"}";
                // The service looks for it once the store is available.
                eventually(async || scrape(&admin).await.contains_key(name)).await;
            } else {
                post(&serving, json!({"candles": [candle(1_754_215_200)]})).await.counts(1);
            }
        }
    });
}

/// A stand-in for Sentry: takes whatever is posted and passes the envelopes on.
fn sentry() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://publickey@{}/42", listener.local_addr().unwrap());
    let (sender, envelopes) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || take_envelopes(stream, &sender));
        }
    });
    (dsn, envelopes)
}

fn take_envelopes(stream: TcpStream, sender: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            chunked |= line == "transfer-encoding: chunked";
            if line.is_empty() {
                break;
            }
        }
        assert!(!chunked, "the stand-in reads bodies of a known length");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        sender.send(String::from_utf8(body).unwrap()).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    }
}

#[test]
fn a_failure_is_one_sentry_event_without_secrets_and_a_refusal_is_none() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let (dsn, envelopes) = sentry();
        let folder = folder();
        let variables = [("DATABASE_URL", database.url.as_str()), ("SENTRY_DSN", &dsn), ("ENVIRONMENT", "development")];
        let (serving, _admin) = start(folder.path(), &variables);
        let good = json!({"candles": [with(candle(1_754_215_200), json!({"symbol": "SECRETPAIR"}))]});
        post(&serving, good.clone()).await.counts(1);
        // Refusals of every kind.
        post(&serving, json!({})).await.problem(422, "invalid_values");
        get(&format!("{}/api/v1/candles", serving.url)).await.problem(401, "unauthorized");
        get(&format!("{}/nowhere", serving.url)).await.problem(404, "not_found");
        // A fault: another program renamed a column.
        database.execute("alter table market_data_candles rename column volume to ticks").await;
        for n in 0..3 {
            let url = format!("{}/api/v1/candles?symbol=SECRETPAIR&timeframe=H1&limit={}", serving.url, n + 1);
            let request =
                reqwest::Client::new().get(url).bearer_auth(TOKEN).header("x-request-id", format!("fault-{n}"));
            send(request).await.problem(500, "internal");
        }
        // Unsent events are sent before the program ends.
        serving.signal("TERM");
        let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        assert_eq!(code, Some(0), "{printed}");
        let envelopes: Vec<String> = std::iter::from_fn(|| envelopes.try_recv().ok()).collect();
        assert_eq!(envelopes.len(), 3, "{envelopes:#?}");
        for (n, envelope) in envelopes.iter().enumerate() {
            // An envelope is its header, an item's header and the item, each a line.
            let event: Value = serde_json::from_str(envelope.lines().nth(2).unwrap()).unwrap();
            assert_eq!(event["tags"]["request_id"], format!("fault-{n}"));
            assert_eq!(event["tags"]["status"], "500");
            assert_eq!(event["transaction"], "GET /api/v1/candles");
            assert_eq!(event["environment"], "development");
            let release = event["release"].as_str().unwrap();
            assert!(release.starts_with(&format!("candlewick@{}+", env!("CARGO_PKG_VERSION"))), "{release}");
            assert!(event["exception"]["values"][0]["value"].as_str().unwrap().contains("volume"), "{event}");
            for secret in [KEY, TOKEN, "SECRETPAIR", "limit=", &database.url, "postgres:"] {
                assert!(!envelope.contains(secret), "{secret} in {envelope}");
            }
            assert!(event.get("request").is_none() && event.get("user").is_none(), "{event}");
        }
    });
}

#[test]
fn an_unresponsive_sentry_delays_neither_requests_nor_shutdown() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        // Accepts connections and sends nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let dsn = format!("http://publickey@{}/42", silent.local_addr().unwrap());
        let folder = folder();
        let (serving, _admin) = start(folder.path(), &[("DATABASE_URL", database.url.as_str()), ("SENTRY_DSN", &dsn)]);
        database.execute("alter table market_data_candles rename column volume to ticks").await;
        for _ in 0..100 {
            let url = format!("{}/api/v1/candles?symbol=EURUSD&timeframe=H1", serving.url);
            send(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await.problem(500, "internal");
        }
        let start = Instant::now();
        serving.signal("TERM");
        let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        assert_eq!(code, Some(0), "{printed}");
        assert!(start.elapsed() < Duration::from_secs(30), "it would be killed by then");
    });
}

#[test]
fn the_trace_id_and_client_address_are_logged() {
    run(async {
        let folder = folder();
        let mut serving = Serving::start(
            folder.path(),
            &[
                ("PORT", "0"),
                ("LOG_FORMAT", "json"),
                ("TRUSTED_PROXIES", "127.0.0.1"),
                ("MT5_API_KEY", KEY),
                ("INTERNAL_API_TOKEN", TOKEN),
            ],
        );
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let line = async |serving: &mut Serving, id: &str, parent: &str| -> Value {
            let request = reqwest::Client::new().get(format!("{}/nowhere", serving.url)).header("traceparent", parent);
            let request = request.header("x-request-id", id).header("X-Forwarded-For", "203.0.113.7");
            send(request.header("User-Agent", "MetaTrader 5 Terminal/5.5120")).await.problem(404, "not_found");
            serde_json::from_str(&serving.line_with(id)).unwrap()
        };
        let told = line(&mut serving, "with-trace", &format!("00-{trace}-{span}-01")).await;
        assert_eq!((&told["trace_id"], &told["span_id"]), (&json!(trace), &json!(span)), "{told}");
        assert_eq!(
            (&told["client"], &told["user_agent"]),
            (&json!("203.0.113.7"), &json!("MetaTrader 5 Terminal/5.5120"))
        );
        let later = line(&mut serving, "later-version", &format!("01-{trace}-{span}-01-more")).await;
        assert_eq!(later["trace_id"], json!(trace), "{later}");
        let zeros = "0".repeat(32);
        for (n, parent) in [
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}"),
            "nonsense".to_owned(),
            String::new(),
        ]
        .iter()
        .enumerate()
        {
            let told = line(&mut serving, &format!("bad-{n}"), parent).await;
            assert!(told.get("trace_id").is_none() && told.get("span_id").is_none(), "{parent}: {told}");
        }
    });
}

#[test]
fn health_is_503_before_connections_are_refused_at_shutdown() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let (serving, admin) = start(folder.path(), &[("DATABASE_URL", &database.url)]);
        let mut lock = TableLock::take(&database).await;
        let url = format!("{}/api/v1/candles", serving.url);
        let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
        let waiting = tokio::spawn(send(reqwest::Client::new().post(url).header("X-API-KEY", KEY).body(body)));
        lock.is_awaited().await;
        let health = format!("{}/health", serving.url);
        assert_eq!(get(&health).await.status, 200);
        serving.signal("TERM");
        // New connections get the 503 for a second. A test on a machine that is too busy for that asks the second
        // listener, which lives as long as the service.
        while let Ok(answer) = reqwest::Client::new().get(&health).send().await {
            if answer.status() == 503 {
                assert_eq!(answer.headers()["connection"], "close");
                break;
            }
        }
        assert_eq!(get(&format!("{admin}/health")).await.status, 503);
        assert_eq!(get(&format!("{admin}/health/live")).await.status, 200);
        lock.release().await;
        waiting.await.unwrap().counts(1);
        assert_eq!(tokio::task::spawn_blocking(|| serving.end()).await.unwrap().0, Some(0));
    });
}

/// Sends requests on one connection until an answer announces that the connection closes; every request before must be
/// answered. False if the machine did not schedule the client while the service announced it, after which the service
/// closes idle connections.
async fn ask_until_told_to_close(address: String) -> bool {
    const NOTICE: Duration = Duration::from_secs(1);
    let request = format!("GET /api/v1/series HTTP/1.1\r\nHost: x\r\nX-API-KEY: {KEY}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut answer = String::new();
    let mut answered = Instant::now();
    while !answer.contains("\r\nconnection: close\r\n") {
        let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await;
        answer.clear();
        while !answer.ends_with("[]") {
            let mut part = [0; 4096];
            let length = tokio::io::AsyncReadExt::read(&mut stream, &mut part).await.unwrap_or(0);
            if sent.is_err() || length == 0 {
                assert!(answered.elapsed() >= NOTICE && answer.is_empty(), "a request got no answer");
                return false;
            }
            answer.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        answered = Instant::now();
    }
    true
}

#[test]
fn keep_alive_connections_are_asked_to_close_at_shutdown() {
    run(async {
        let folder = folder();
        let (serving, _admin) = start(folder.path(), &[("RATE_LIMIT_INGEST", "off")]);
        let address = serving.url.trim_start_matches("http://").to_owned();
        let mut clients = JoinSet::new();
        for _ in 0..24 {
            clients.spawn(ask_until_told_to_close(address.clone()));
        }
        let warm = format!("{}/api/v1/series", serving.url);
        for _ in 0..20 {
            assert_eq!(send(reqwest::Client::new().get(&warm).bearer_auth(TOKEN)).await.status, 200);
        }
        serving.signal("TERM");
        assert!(clients.join_all().await.contains(&true), "somebody had a turn in that second");
        assert_eq!(tokio::task::spawn_blocking(|| serving.end()).await.unwrap().0, Some(0));
    });
}

#[test]
fn a_second_signal_forces_shutdown() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let (mut serving, _admin) = start(folder.path(), &[("DATABASE_URL", &database.url)]);
        let mut lock = TableLock::take(&database).await;
        let url = format!("{}/api/v1/candles", serving.url);
        let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
        let waiting = tokio::spawn(reqwest::Client::new().post(url).header("X-API-KEY", KEY).body(body).send());
        lock.is_awaited().await;
        serving.signal("TERM");
        serving.line_with("stopping");
        serving.signal("INT");
        let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains("Forced to stop by a second signal"), "{printed}");
        assert!(waiting.await.unwrap().is_err(), "it was not answered");
        lock.release().await;
    });
}
