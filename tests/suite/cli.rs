//! The program as it is run: commands, exit codes, signals, logs, the banner.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Database, NOW, PgDatabase, candle, plain_server, run, send, with};

/// The program in a folder of its own, with nothing but `variables` in its environment.
fn program(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    command.current_dir(folder).env_clear().envs(variables.iter().copied());
    // Coverage of the program itself, where it is measured.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command
}

fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().expect("no signal"), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A running `serve`, killed with this value, or after a minute if a test hangs on it.
struct Serving {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    url: String,
    /// Everything it printed so far.
    printed: String,
    _watched: mpsc::Sender<()>,
}

impl Serving {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = program(folder, variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (watched, ended) = mpsc::channel();
        let pid = child.id();
        std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill(pid, "KILL");
            }
        });
        let mut serving = Self { child, lines, url: String::new(), printed: String::new(), _watched: watched };
        let line = serving.line_with("listening");
        let address = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        serving.url = format!("http://127.0.0.1:{port}");
        serving
    }

    /// Reads on until a line contains `text`.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.next().expect("it still runs").unwrap();
            self.printed.push_str(&line);
            self.printed.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The banner's lines to paste, which may come before or after the log's first lines: those are written by a thread.
    fn curl_lines(&mut self) -> [String; 2] {
        loop {
            let mut found = self.printed.lines().map(str::trim).filter(|line| line.starts_with("curl -i"));
            if let (Some(post), Some(get)) = (found.next(), found.next()) {
                return [post.to_owned(), get.to_owned()];
            }
            self.line_with("curl -i");
        }
    }

    fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }

    /// Waits for its end and returns the exit code and all it printed.
    fn end(mut self) -> (Option<i32>, String) {
        for line in self.lines.by_ref() {
            self.printed.push_str(&line.unwrap());
            self.printed.push('\n');
        }
        self.child.stderr.take().unwrap().read_to_string(&mut self.printed).unwrap();
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.printed))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shell's own `kill`, since slim systems have no other.
fn kill(pid: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
    assert!(status.success());
}

/// Sends the request that a shell makes of a `curl` line and returns the answer's body. The shell takes the line apart;
/// curl itself need not be there.
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

#[test]
fn the_banners_lines_can_be_pasted_also_after_a_restart() {
    run(async {
        let folder = folder();
        let mut keys: Vec<String> = Vec::new();
        for added in [1, 0] {
            let mut serving = Serving::start(folder.path(), &[("PORT", "0"), ("PATH", "")]);
            let [post, get] = serving.curl_lines();
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
fn a_signal_stops_it_once_what_is_in_flight_is_answered() {
    run(async {
        for signal in ["TERM", "INT"] {
            let database = PgDatabase::create(&plain_server()).await;
            let folder = folder();
            let variables = [
                ("PORT", "0"),
                ("DATABASE_URL", database.url.as_str()),
                ("MT5_API_KEY", "k-1"),
                ("INTERNAL_API_TOKEN", "t-1"),
            ];
            let mut serving = Serving::start(folder.path(), &variables);
            serving.line_with("ready");
            let mut lock = database.connect().await;
            sqlx::Executor::execute(&mut lock, "begin; lock table market_data_candles in access exclusive mode")
                .await
                .unwrap();
            let client = reqwest::Client::new();
            let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
            let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", "k-1").body(body);
            let post = tokio::spawn(send(post));
            let waiting =
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            let mut watch = database.connect().await;
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watch).await.unwrap() == 0 {}
            // A connection on which nothing was asked must not hold it up either.
            let _idle = tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.unwrap();
            serving.signal(signal);
            serving.line_with("stopping");
            while tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.is_ok() {}
            sqlx::Executor::execute(&mut lock, "rollback").await.unwrap();
            post.await.unwrap().counts(1);
            let (code, printed) = tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
            assert_eq!(code, Some(0));
            assert!(printed.contains("stopped"), "{printed}");
            assert_eq!(Database::Postgres(database).closed().await.len(), 1);
        }
    });
}

#[test]
fn a_request_that_cannot_be_answered_does_not_keep_it_from_stopping() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let variables = [
            ("PORT", "0"),
            ("DATABASE_URL", database.url.as_str()),
            ("MT5_API_KEY", "k-1"),
            ("INTERNAL_API_TOKEN", "t-1"),
        ];
        let mut serving = Serving::start(folder.path(), &variables);
        serving.line_with("ready");
        let mut lock = database.connect().await;
        let locked = "begin; lock table market_data_candles in access exclusive mode";
        sqlx::Executor::execute(&mut lock, locked).await.unwrap();
        let address = serving.url.trim_start_matches("http://").to_owned();
        // One waits for the database, one never sends the rest of its body.
        let post = |length: usize| {
            let body = json!({"candles": [candle(1_754_215_200)]}).to_string();
            let length = length.max(body.len());
            format!(
                "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: k-1\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        let mut waiting = Vec::new();
        for length in [0, 1_000_000] {
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, post(length).as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        let blocked =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let mut watch = database.connect().await;
        while sqlx::query_scalar::<_, i64>(blocked).fetch_one(&mut watch).await.unwrap() == 0 {}
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
fn two_processes_on_one_database_neither_lose_nor_double_a_candle() {
    run(async {
        const SERIES: i64 = 4;
        const CANDLES: i64 = 300;
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let variables = [
            ("PORT", "0"),
            ("DATABASE_URL", database.url.as_str()),
            ("MT5_API_KEY", "k-1"),
            ("INTERNAL_API_TOKEN", "t-1"),
        ];
        // Both find an empty database and migrate it at once.
        let mut services = [Serving::start(folder.path(), &variables), Serving::start(folder.path(), &variables)];
        for service in &mut services {
            service.line_with("ready");
        }

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
                    let post = client.post(format!("{url}/api/v1/candles")).header("X-API-KEY", "k-1");
                    let counts = send(post.body(json!({"candles": candles}).to_string())).await.counts(candles.len());
                    added += counts.0;
                    live += counts.2;
                    let get = client.get(format!("{url}/api/v1/candles?symbol=SYM0&timeframe=H1")).bearer_auth("t-1");
                    let read = send(get).await.json();
                    let times: Vec<i64> =
                        read.as_array().unwrap().iter().map(|candle| candle["timestamp"].as_i64().unwrap()).collect();
                    assert_eq!(times.len() as i64, CANDLES + 1, "what is acknowledged is read");
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
        assert!(forming.iter().all(|row| row.ends_with(" 103")), "the one with most volume stays: {forming:?}");
        // The server counts a connection's deadlocks when it ends, as all of the services' have.
        let deadlocks = "select deadlocks::text from pg_stat_database where datname = current_database()";
        assert_eq!(database.rows(deadlocks).await, ["0"]);
    });
}

#[test]
fn a_client_that_leaves_is_a_line_in_the_log_too() {
    run(async {
        let folder = folder();
        let variables = [("PORT", "0"), ("MT5_API_KEY", "k-1"), ("INTERNAL_API_TOKEN", "t-1")];
        let mut serving = Serving::start(folder.path(), &variables);
        serving.line_with("ready");
        let mut stream = tokio::net::TcpStream::connect(serving.url.trim_start_matches("http://")).await.unwrap();
        let head = "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: k-1\r\nx-request-id: left\r\nContent-Length: 99\r\n\r\n{";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        drop(stream);
        let line = serving.line_with("request_id=\"left\"");
        assert!(line.contains("/api/v1/candles"), "{line}");
    });
}

#[test]
fn acknowledged_candles_survive_a_kill() {
    run(async {
        let folder = folder();
        let mut acknowledged = 0;
        for round in 0..3_i64 {
            let variables = [("PORT", "0"), ("MT5_API_KEY", "k-1"), ("INTERNAL_API_TOKEN", "t-1")];
            let mut serving = Serving::start(folder.path(), &variables);
            serving.line_with("ready");
            let client = reqwest::Client::new();
            for n in 0..20 {
                let candles: Vec<Value> =
                    (0..50).map(|m| candle(1_600_000_000 / 3600 * 3600 + ((round * 20 + n) * 50 + m) * 3600)).collect();
                let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", "k-1");
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
        serving.line_with("ready");
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
fn a_banner_never_shows_a_key_that_somebody_chose() {
    let folder = folder();
    let mut serving = Serving::start(
        folder.path(),
        &[("PORT", "0"), ("MT5_API_KEY", "chosen-key"), ("INTERNAL_API_TOKEN", "chosen-token")],
    );
    let [post, get] = serving.curl_lines();
    assert!(post.contains("X-API-KEY: YOUR_INGEST_KEY") && get.contains("X-Internal-Token: YOUR_READ_TOKEN"));
    assert!(!serving.printed.contains("chosen"));
    assert!(!folder.path().join("candlewick.keys").exists());
}

#[test]
fn every_problem_with_the_configuration_is_told_at_once() {
    let folder = folder();
    let (code, _, errors) = output(&mut program(
        folder.path(),
        &[
            ("ENVIRONMENT", "production"),
            ("MT5_API_KEY", "tiny-secret"),
            ("PORT", "80000"),
            ("MAX_BATCH", "many"),
            ("LOG_LEVEL", "loud"),
        ],
    ));
    assert_eq!(code, 2);
    for sentence in [
        "DATABASE_URL is missing",
        "INTERNAL_API_TOKEN is missing",
        "MT5_API_KEY: entry 1 is shorter than 16",
        "PORT must be",
        "MAX_BATCH must be a whole number from 1 to 1000000",
        "LOG_LEVEL must be one of",
    ] {
        assert!(errors.contains(sentence), "{sentence} in {errors}");
    }
    assert!(
        !errors.contains("tiny-secret") && std::fs::read_dir(folder.path()).unwrap().next().is_none(),
        "nothing was made"
    );
}

#[test]
fn a_misspelt_environment_is_not_taken_for_development() {
    let folder = folder();
    let (code, _, errors) = output(&mut program(folder.path(), &[("ENVIRONMENT", "prod")]));
    assert_eq!(code, 2);
    for sentence in ["ENVIRONMENT must be one of", "DATABASE_URL is missing", "MT5_API_KEY is missing"] {
        assert!(errors.contains(sentence), "{sentence} in {errors}");
    }
    let (code, ..) = output(&mut program(folder.path(), &[("PORT", "none")]));
    assert_eq!(code, 2);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "no keys were made for it");
}

#[test]
fn what_waiting_cannot_heal_ends_it_with_code_2() {
    let folder = folder();
    std::fs::write(folder.path().join("text.db"), "this is no database, however long one reads in it").unwrap();
    for (url, sentence) in [
        ("mysql://localhost/db", "must start with sqlite:// or postgres://"),
        ("postgres://u:hidden@db.example.com:6543/postgres", "port 6543"),
        ("sqlite://no/such/folder/candles.db", "cannot be opened"),
        ("sqlite://text.db", "is no SQLite database"),
        ("sqlite://", "must name a SQLite file"),
        ("sqlite://:memory:", "must name a SQLite file"),
    ] {
        for command in ["serve", "migrate"] {
            let variables = [("DATABASE_URL", url), ("PORT", "0"), ("MT5_API_KEY", "a"), ("INTERNAL_API_TOKEN", "b")];
            let (code, _, errors) = output(program(folder.path(), &variables).arg(command));
            assert_eq!(code, 2, "{command} {url}: {errors}");
            assert!(errors.contains(sentence), "{command} {url}: {errors}");
            assert!(!errors.contains("hidden"), "{errors}");
        }
    }
}

#[test]
fn migrate_makes_the_tables_and_may_run_again() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let folder = folder();
        let sqlite = format!("sqlite://{}", folder.path().join("m.db").display());
        for url in [database.url.as_str(), &sqlite] {
            let serve_without = |migrate: &str| {
                let mut serving = Serving::start(
                    folder.path(),
                    &[("DATABASE_URL", url), ("MIGRATE_ON_START", migrate), ("PORT", "0")],
                );
                serving.line_with("ready");
            };
            // In production it needs the database alone.
            for _ in 0..2 {
                let (code, printed, errors) = output(
                    program(folder.path(), &[("DATABASE_URL", url), ("ENVIRONMENT", "production")]).arg("migrate"),
                );
                assert_eq!((code, printed.as_str()), (0, "The tables are up to date.\n"), "{errors}");
            }
            serve_without("false");
        }
        let unreachable = [("DATABASE_URL", "postgres://u:hidden@127.0.0.1:9/db")];
        let (code, _, errors) = output(program(folder.path(), &unreachable).arg("migrate"));
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains("unavailable") && !errors.contains("hidden"), "{errors}");
    });
}

#[test]
fn a_service_that_may_not_migrate_waits_for_somebody_who_does() {
    let folder = folder();
    let variables = [("PORT", "0"), ("MIGRATE_ON_START", "false")];
    let mut serving = Serving::start(folder.path(), &variables);
    assert!(serving.line_with("not ready").contains("run candlewick migrate"));
    assert_eq!(output(program(folder.path(), &[]).arg("migrate")).0, 0);
    serving.line_with("ready store");
}

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let folder = folder();
    let mut serving = Serving::start(folder.path(), &[("PORT", "0")]);
    serving.line_with("ready");
    let port = serving.url.rsplit(':').next().unwrap().to_owned();
    let check = |arguments: &[&str], port: &str| {
        output(program(folder.path(), &[("PORT", port), ("BIND_ADDR", "0.0.0.0")]).arg("healthcheck").args(arguments))
    };
    let (code, printed, _) = check(&[], &port);
    assert_eq!((code, printed), (0, format!("http://127.0.0.1:{port}/health is well.\n")));
    assert_eq!(check(&[&format!("{}/health/live", serving.url)], "1").0, 0);
    let (code, _, errors) = check(&[&format!("{}/nowhere", serving.url)], "1");
    assert!(code == 1 && errors.contains("404"), "{errors}");
    assert_eq!(check(&[&serving.url], "1").0, 0, "without a path it asks /health");
    let (_, _, errors) = check(&["http://user:hidden@127.0.0.1:1/"], "1");
    assert!(errors.contains("http://127.0.0.1:1/health does not answer") && !errors.contains("hidden"), "{errors}");
    assert_eq!(check(&["ftp://127.0.0.1/"], "1").0, 2);
    assert_eq!(check(&["not a url"], "1").0, 2);
    serving.signal("KILL");
    serving.end();
    let (code, _, errors) = check(&[], &port);
    assert!(code == 1 && errors.contains("does not answer"), "{errors}");
}

#[test]
fn openapi_prints_the_document_without_a_database_or_keys() {
    let folder = folder();
    let (code, printed, _) = output(program(folder.path(), &[("ENVIRONMENT", "production")]).arg("openapi"));
    assert_eq!(code, 0);
    let committed = include_str!("../../docs/openapi.json");
    assert!(printed == committed, "docs/openapi.json is out of date; run `make openapi`");
}

#[test]
fn an_answer_that_cannot_be_written_is_no_panic() {
    let folder = folder();
    for command in ["openapi", "migrate"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = program(folder.path(), &[]).arg(command).stdout(full).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{command}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = program(folder.path(), &[("PORT", "none")]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
    let mut child = program(folder.path(), &[]).arg("openapi").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that has seen enough is no failure");
}

#[test]
fn help_teaches_and_nonsense_is_refused() {
    let folder = folder();
    let (code, printed, _) = output(program(folder.path(), &[]).arg("--help"));
    assert_eq!(code, 0);
    for command in ["serve", "migrate", "healthcheck", "openapi"] {
        assert!(printed.contains(&format!("\n  {command} ")), "{printed}");
    }
    for variable in candlewick::config::VARIABLES {
        assert!(printed.contains(&format!("\n  {} ", variable.name)), "{printed}");
    }
    assert_eq!(output(program(folder.path(), &[]).arg("sevre")).0, 2);
}

#[test]
fn a_taken_port_is_a_sentence() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = output(&mut program(folder.path(), &[("PORT", &port)]));
    assert_eq!(code, 1);
    assert!(errors.contains(&format!("Cannot listen on 127.0.0.1:{port}")), "{errors}");
}

#[test]
fn dotenv_is_read_in_development_alone() {
    let folder = folder();
    std::fs::write(folder.path().join(".env"), "# comment\nPORT=0\nMT5_API_KEY='dotenv-key'\nexport LOG_FORMAT=json\n")
        .unwrap();
    let serving = Serving::start(folder.path(), &[("INTERNAL_API_TOKEN", "t")]);
    assert!(serving.printed.starts_with('{'), "{}", serving.printed);
    drop(serving);
    let serving = Serving::start(folder.path(), &[("INTERNAL_API_TOKEN", "t"), ("LOG_FORMAT", "text")]);
    assert!(!serving.printed.starts_with('{'), "the environment comes first: {}", serving.printed);
    drop(serving);
    let (code, _, errors) =
        output(&mut program(folder.path(), &[("ENVIRONMENT", "staging"), ("DATABASE_URL", "sqlite://x.db")]));
    assert!(code == 2 && errors.contains("MT5_API_KEY is missing"), "{errors}");
    std::fs::remove_file(folder.path().join(".env")).unwrap();
    std::fs::create_dir(folder.path().join(".env")).unwrap();
    let (code, _, errors) = output(&mut program(folder.path(), &[]));
    assert!(code == 2 && errors.contains(".env cannot be read"), "{errors}");
    std::fs::remove_dir(folder.path().join(".env")).unwrap();
    std::fs::write(folder.path().join(".env"), "MT5_API_KEY=secret\nno assignment\n").unwrap();
    let (code, _, errors) = output(&mut program(folder.path(), &[]));
    assert!(
        code == 2 && errors.contains(".env has a line that is not NAME=value") && !errors.contains("secret"),
        "{errors}"
    );
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    run(async {
        let folder = folder();
        let mut serving =
            Serving::start(folder.path(), &[("PORT", "0"), ("INTERNAL_API_TOKEN", "t"), ("MT5_API_KEY", "k")]);
        serving.line_with("ready");
        // More lines than the pipe holds, none of them read.
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
