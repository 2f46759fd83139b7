//! `smoke.sh` against the built program, directly and through the shipped proxies.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{command_lines, script};
use crate::harness::{Database, candle, run, send};
use crate::program::{Serving, folder, output};
use crate::proxies::{self, Proxy};

/// With characters that are special to a shell or to curl's configuration.
const INGEST: &str = r#"smoke-"ingest\key:$1'%20#"#;
const READ: &str = "smoke-reading-token-0001";
const REVISION: &str = match option_env!("CANDLEWICK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The service as it is deployed.
struct Deployed {
    environment: &'static str,
    serving: Serving,
    database: Database,
    folder: TempDir,
}

impl Deployed {
    fn start(environment: &'static str, database: Database) -> Self {
        let folder = folder();
        let url = database.url();
        let (ingest, read) = (format!("terminal:{INGEST},spare:another-ingest-key-0002"), format!("chart:{READ}"));
        let variables = [
            ("PORT", "0"),
            ("ENVIRONMENT", environment),
            ("DATABASE_URL", &url),
            ("MT5_API_KEY", &ingest),
            ("INTERNAL_API_TOKEN", &read),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
        ];
        for (name, value) in &variables[3..5] {
            fs::write(folder.path().join(name.to_lowercase()), format!("{value}\n")).unwrap();
        }
        let mut serving = Serving::start(folder.path(), &variables);
        serving.is_ready();
        Self { environment, serving, database, folder }
    }

    fn address(&self) -> SocketAddr {
        self.serving.url.trim_start_matches("http://").parse().unwrap()
    }

    /// The smoke test of `url`, with the service's keys in files, as on a host.
    fn smoke(&self, url: &str) -> Command {
        let key = self.folder.path().join("mt5_api_key");
        let token = self.folder.path().join("internal_api_token");
        let variables = [
            ("ENVIRONMENT", self.environment),
            ("EXPECT_REVISION", REVISION),
            ("MT5_API_KEY_FILE", key.to_str().unwrap()),
            ("INTERNAL_API_TOKEN_FILE", token.to_str().unwrap()),
        ];
        let mut command = script("smoke.sh", &[], &variables);
        command.arg(url);
        command
    }

    /// Tests through the proxy of the same machine, as a host does.
    fn smoke_through(&self, proxy: &Proxy) -> Command {
        let mut command = self.smoke(&format!("https://localhost:{}", proxy.tls.address.port()));
        command.env("SMOKE_CA", proxy.certificate()).env("SMOKE_RESOLVE", "127.0.0.1");
        command.env("SMOKE_PLAIN_PORT", proxy.plain.address.port().to_string());
        command
    }
}

/// Runs it and returns its exit code and lines.
async fn lines(mut command: Command) -> (i32, Vec<String>) {
    let (code, out, error) = tokio::task::spawn_blocking(move || output(&mut command)).await.unwrap();
    (code, out.lines().chain(error.lines()).map(str::to_owned).collect())
}

async fn passes(command: Command) -> Vec<String> {
    let (code, lines) = lines(command).await;
    assert_eq!(code, 0, "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("FAIL")), "{lines:#?}");
    lines
}

/// Runs it and returns the lines that failed.
async fn fails(command: Command) -> Vec<String> {
    let (code, lines) = lines(command).await;
    assert_eq!(code, 1, "{lines:#?}");
    lines.into_iter().filter(|line| line.starts_with("FAIL")).collect()
}

#[test]
fn staging_passes_behind_both_proxies_twice_within_a_minute() {
    run(async {
        let staging = Deployed::start("staging", Database::sqlite());
        for proxy in proxies::start(staging.address()).await {
            let mut last = Vec::new();
            for _ in 0..2 {
                last = passes(staging.smoke_through(&proxy)).await;
            }
            println!("{}: {}", proxy.tls.name, last.join("\n"));
            assert!(last.iter().any(|line| line.contains("is refused and not redirected")), "{last:#?}");
            assert!(last.iter().all(|line| !line.starts_with("skip")), "{last:#?}");
        }
        let stored = staging.database.closed().await;
        assert!(stored.iter().all(|row| row.starts_with("CANDLEWICK_SMOKE M1 ")), "{stored:?}");
        assert!(stored.iter().all(|row| row.ends_with(" 1.08500 1.08650 -0.000010 1.08620 1200")), "{stored:?}");
    });
}

#[test]
fn production_passes_and_nothing_is_written() {
    run(async {
        let production = Deployed::start("production", Database::postgres().await);
        let post = reqwest::Client::new().post(format!("{}/api/v1/candles", production.serving.url));
        let batch = json!({"candles": [candle(1_754_215_200)]}).to_string();
        send(post.header("X-API-KEY", INGEST).body(batch)).await.counts(1);
        let truth = async || [production.database.closed().await, production.database.forming().await];
        let before = truth().await;
        assert_eq!(before[0].len(), 1);
        for proxy in proxies::start(production.address()).await {
            let lines = passes(production.smoke_through(&proxy)).await;
            assert!(lines.iter().any(|line| line.contains("an empty batch is looked at")), "{lines:#?}");
            assert!(lines.iter().all(|line| !line.contains("stored")), "{lines:#?}");
        }
        assert_eq!(truth().await, before);
    });
}

#[test]
fn a_client_limited_for_wrong_keys_still_passes() {
    run(async {
        let production = Deployed::start("production", Database::sqlite());
        let client = reqwest::Client::new();
        loop {
            let get = client.get(format!("{}/api/v1/series", production.serving.url));
            let answer = send(get.header("X-API-KEY", "a-wrong-key")).await;
            if answer.status == 429 && answer.body.contains("wrong keys") {
                break;
            }
        }
        passes(production.smoke(&production.serving.url)).await;
    });
}

#[test]
fn public_checks_need_no_key() {
    run(async {
        let production = Deployed::start("production", Database::sqlite());
        let mut command = script("smoke.sh", &[], &[]);
        command.args(["--public", &production.serving.url]);
        let lines = passes(command).await;
        assert!(lines.iter().any(|line| line.contains("a body that pauses is given up: 401")), "{lines:#?}");
    });
}

#[test]
fn each_fault_of_a_deployment_fails() {
    run(async {
        let production = Deployed::start("production", Database::sqlite());
        let url = &production.serving.url;
        let with = |name: &str, value: &str| {
            let mut command = production.smoke(url);
            command.env_remove(format!("{name}_FILE")).env(name, value);
            command
        };
        let (revision, key, token) = tokio::join!(
            fails(with("EXPECT_REVISION", "0123abc")),
            fails(with("MT5_API_KEY", "x:not-the-key-of-this-service")),
            fails(with("INTERNAL_API_TOKEN", "not-the-token-of-this-service")),
        );
        let [line] = revision.as_slice() else { panic!("{revision:#?}") };
        assert!(line.contains("expected 0123abc") && line.contains(REVISION), "{line}");
        assert!(key.iter().any(|line| line.contains("the ingest key is right")), "{key:#?}");
        assert!(key.iter().all(|line| !line.contains("not-the-key")), "{key:#?}");
        assert!(token.iter().any(|line| line.contains("the read token is right")), "{token:#?}");
    });
}

#[test]
fn a_server_that_answers_200_to_everything_fails_every_check() {
    run(async {
        const YES: &[u8] =
            b"HTTP/1.1 200 OK\r\nServer: yes/1.0\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"status\":\"ok\"}";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(YES).await;
                });
            }
        });
        let variables = [
            ("ENVIRONMENT", "staging"),
            ("EXPECT_REVISION", "0123abc"),
            ("MT5_API_KEY", INGEST),
            ("INTERNAL_API_TOKEN", READ),
        ];
        let mut command = script("smoke.sh", &[], &variables);
        command.arg(url);
        let (code, lines) = lines(command).await;
        serving.abort();
        assert_eq!(code, 1);
        let passed: Vec<_> = lines.iter().filter(|line| line.starts_with("ok")).collect();
        assert_eq!(passed, ["ok    /health says ok"], "{lines:#?}");
        assert!(lines.iter().filter(|line| line.starts_with("FAIL")).count() >= 20, "{lines:#?}");
    });
}

#[test]
fn unreachable_hosts_and_wrong_arguments_are_reported_at_once() {
    let (code, out, error) = output(script("smoke.sh", &[], &[]).args(["--public", "http://127.0.0.1:1"]));
    assert_eq!(code, 1);
    assert!(out.contains("FAIL  /health") && error.contains("nothing more was asked"), "{out}{error}");
    let keys = [("MT5_API_KEY", INGEST), ("INTERNAL_API_TOKEN", READ)];
    let url = "https://candles.example.com";
    for (arguments, variables, reason) in [
        (&[][..], vec![], "usage: smoke.sh"),
        (&["--privat", url], vec![], "usage: smoke.sh"),
        (&[url, url], vec![], "usage: smoke.sh"),
        (&["candles.example.com"], vec![], "usage: smoke.sh"),
        (&["https://candles.example.com/api"], vec![], "usage: smoke.sh"),
        (&[url], vec![], "ENVIRONMENT must be"),
        (&[url], vec![("ENVIRONMENT", "development")], "ENVIRONMENT must be"),
        (&[url], vec![("ENVIRONMENT", "staging"), ("MT5_API_KEY", "")], "MT5_API_KEY is not set"),
        (&[url], vec![("ENVIRONMENT", "staging"), ("INTERNAL_API_TOKEN", "")], "INTERNAL_API_TOKEN is not set"),
        (&[url], vec![("ENVIRONMENT", "staging"), ("MT5_API_KEY_FILE", "/etc/hostname")], "are both set"),
    ] {
        let (code, out, error) = output(script("smoke.sh", &[], &keys).args(arguments).envs(variables));
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn keys_are_neither_in_the_output_nor_in_a_command_line() {
    run(async {
        let staging = Deployed::start("staging", Database::sqlite());
        let printed = staging.folder.path().join("printed");
        let file = fs::File::create(&printed).unwrap();
        let mut command = staging.smoke(&staging.serving.url);
        let mut smoke = command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null()).spawn().unwrap();
        let mut seen = Vec::new();
        while smoke.try_wait().unwrap().is_none() {
            seen.extend(command_lines().into_iter().filter(|line| line.contains("curl") || line.contains("smoke.sh")));
            seen.sort();
            seen.dedup();
            // Often enough to see every curl, and seldom enough to leave the processor to others.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(smoke.wait().unwrap().success());
        assert!(seen.iter().any(|line| line.contains("--upload-file")), "{seen:#?}");
        assert_eq!(with_a_key(&seen.join("\n")), [""; 0]);
        assert_eq!(with_a_key(&fs::read_to_string(&printed).unwrap()), [""; 0]);
    });
}

fn with_a_key(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains("smoke-\"ingest") || line.contains(READ)).collect()
}
