//! The command line: commands, exit codes, and the settings with which the program refuses to start.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::harness::{PgDatabase, plain_server, run};
use crate::program::{Serving, folder, output, program};

#[test]
fn all_configuration_problems_are_reported_at_once() {
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
    assert_snapshot!("configuration_problems", errors);
    assert!(
        !errors.contains("tiny-secret") && std::fs::read_dir(folder.path()).unwrap().next().is_none(),
        "no file was created"
    );
}

#[test]
fn a_misspelt_environment_is_treated_as_production() {
    let folder = folder();
    let (code, _, errors) = output(&mut program(folder.path(), &[("ENVIRONMENT", "prod")]));
    assert_eq!(code, 2);
    for sentence in ["ENVIRONMENT must be one of", "DATABASE_URL is missing", "MT5_API_KEY is missing"] {
        assert!(errors.contains(sentence), "{sentence} in {errors}");
    }
    let (code, ..) = output(&mut program(folder.path(), &[("PORT", "none")]));
    assert_eq!(code, 2);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "no keys were generated");
}

#[test]
fn unusable_databases_are_exit_code_2() {
    let folder = folder();
    std::fs::write(folder.path().join("text.db"), "this text is not a database, even if it is read to the end")
        .unwrap();
    for (url, sentence) in [
        ("mysql://localhost/db", "must start with sqlite:// or postgres://"),
        ("postgres://u:hidden@db.example.com:6543/postgres", "port 6543"),
        (
            "sqlite://no/such/folder/candles.db",
            "no/such/folder does not exist; correct the path, or make the folder: mkdir -p",
        ),
        ("sqlite://text.db", "is not a SQLite database"),
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
fn migrate_is_idempotent() {
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
                serving.is_ready();
            };
            // In production the command needs the database URL alone.
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
fn a_service_without_migrate_on_start_waits_for_the_migration() {
    let folder = folder();
    let variables = [("PORT", "0"), ("MIGRATE_ON_START", "false")];
    let mut serving = Serving::start(folder.path(), &variables);
    assert!(serving.first_line_with("not ready").contains("run candlewick migrate"));
    assert_eq!(output(program(folder.path(), &[]).arg("migrate")).0, 0);
    serving.line_with("ready store");
}

#[test]
fn healthcheck_reports_by_its_exit_code() {
    let folder = folder();
    let mut serving = Serving::start(folder.path(), &[("PORT", "0")]);
    serving.is_ready();
    let port = serving.url.rsplit(':').next().unwrap().to_owned();
    let check = |arguments: &[&str], port: &str| {
        output(program(folder.path(), &[("PORT", port), ("BIND_ADDR", "0.0.0.0")]).arg("healthcheck").args(arguments))
    };
    let (code, printed, _) = check(&[], &port);
    assert_eq!((code, printed), (0, format!("http://127.0.0.1:{port}/health is healthy.\n")));
    assert_eq!(check(&[&format!("{}/health/live", serving.url)], "1").0, 0);
    let (code, _, errors) = check(&[&format!("{}/nowhere", serving.url)], "1");
    assert!(code == 1 && errors.contains("404"), "{errors}");
    assert_eq!(check(&[&serving.url], "1").0, 0, "a URL without a path means /health");
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
fn healthcheck_takes_the_flags_of_serve() {
    let folder = folder();
    let variables = [("PORT", "1"), ("BIND_ADDR", "127.0.0.2")];
    let arguments = ["--port", "0", "--bind", "127.0.0.1"];
    let mut serving = Serving::with_arguments(folder.path(), &arguments, &variables);
    serving.is_ready();
    let port = serving.url.rsplit(':').next().unwrap().to_owned();
    let check = |arguments: &[&str]| output(program(folder.path(), &variables).arg("healthcheck").args(arguments));
    let flags = ["--port", &port, "--bind", "127.0.0.1"];
    let (code, printed, errors) = check(&flags);
    assert_eq!((code, printed), (0, format!("http://127.0.0.1:{port}/health is healthy.\n")), "{errors}");
    let (code, _, errors) = check(&flags[..2]);
    assert!(code == 1 && errors.contains(&format!("http://127.0.0.2:{port}/health does not answer")), "{errors}");
    assert_eq!(check(&[&serving.url, "--port", "2", "--bind", "192.0.2.1"]).0, 0, "the URL overrides the flags");
    let (code, _, errors) = check(&["--port", "80000"]);
    assert!(code == 2 && errors.contains("--port must be a whole number from 0 to 65535"), "{errors}");
    // If a flag selects production, serve does not read .env, and neither does this command.
    std::fs::write(folder.path().join(".env"), "PORT=none\n").unwrap();
    let environment = |name: &str| {
        output(program(folder.path(), &[("BIND_ADDR", "127.0.0.2")]).args(["healthcheck", "--environment", name]))
    };
    let (code, _, errors) = environment("development");
    assert!(code == 2 && errors.contains("PORT in .env"), "{errors}");
    let (code, _, errors) = environment("production");
    assert!(code == 1 && errors.contains("http://127.0.0.2:8000/health does not answer"), "{errors}");
    let (_, help, _) = output(program(folder.path(), &[]).args(["healthcheck", "--help"]));
    for flag in ["--port", "--bind", "--environment"] {
        assert!(help.contains(flag), "{help}");
    }
}

/// A server that answers each connection with the same bytes, or not at all.
fn server(address: &str, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            stream.write_all(answer).unwrap();
            if answer.is_empty() {
                open.push(stream);
            }
        }
    });
    address
}

#[test]
fn healthcheck_ignores_proxies_and_redirects_and_times_out() {
    const HEALTHY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const MOVED: &[u8] =
        b"HTTP/1.1 302 Found\r\nLocation: /health/live\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let folder = folder();
    let check =
        |url: String, variables: &[(&str, &str)]| output(program(folder.path(), variables).args(["healthcheck", &url]));
    let healthy = server("127.0.0.1:0", HEALTHY);
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let (code, _, errors) =
        check(format!("http://{healthy}/health"), &proxies.map(|name| (name, "http://127.0.0.1:1")));
    assert_eq!(code, 0, "the proxies are ignored: {errors}");
    let (code, printed, errors) = check(format!("http://localhost:{}/health", healthy.port()), &[]);
    assert_eq!((code, printed), (0, format!("http://localhost:{}/health is healthy.\n", healthy.port())), "{errors}");
    let healthy = server("[::1]:0", HEALTHY);
    let (code, printed, errors) = check(format!("http://{healthy}"), &[]);
    assert_eq!((code, printed), (0, format!("http://{healthy}/health is healthy.\n")), "{errors}");

    let (code, _, errors) = check(format!("http://{}", server("127.0.0.1:0", MOVED)), &[]);
    assert!(code == 1 && errors.contains("/health is unhealthy: HTTP 302 Found."), "{errors}");
    let (code, _, errors) = check(format!("http://{}", server("127.0.0.1:0", b"nonsense\r\n\r\n")), &[]);
    assert!(code == 1 && errors.contains("/health does not answer: "), "{errors}");
    // A server that never answers, with TLS and without.
    let silent = server("127.0.0.1:0", b"");
    for scheme in ["http", "https"] {
        let start = Instant::now();
        let (code, _, errors) = check(format!("{scheme}://{silent}/health"), &[]);
        assert!(
            code == 1 && errors.contains(&format!("{scheme}://{silent}/health did not answer within 3 s.")),
            "{errors}"
        );
        assert!(start.elapsed() >= Duration::from_secs(3));
    }
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
fn a_closed_stdout_does_not_cause_a_panic() {
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
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that closes the pipe isn't a failure");
}

#[test]
fn help_is_complete_and_unknown_arguments_are_refused() {
    let folder = folder();
    let (code, printed, _) = output(program(folder.path(), &[]).arg("--help"));
    assert_eq!(code, 0);
    assert_snapshot!("help", printed);
    for variable in candlewick::config::VARIABLES {
        assert!(printed.contains(&format!("\n  {} ", variable.name)), "{printed}");
    }
    assert_eq!(output(program(folder.path(), &[]).arg("sevre")).0, 2);
}

#[test]
fn a_port_in_use_is_reported_in_a_sentence() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = output(&mut program(folder.path(), &[("PORT", &port)]));
    assert_eq!(code, 1);
    assert!(errors.contains(&format!("Cannot listen on 127.0.0.1:{port}")), "{errors}");
}

#[test]
fn dotenv_is_read_only_in_development() {
    let folder = folder();
    std::fs::write(folder.path().join(".env"), "# comment\nPORT=0\nMT5_API_KEY='dotenv-key'\nexport LOG_FORMAT=json\n")
        .unwrap();
    let serving = Serving::start(folder.path(), &[("INTERNAL_API_TOKEN", "t")]);
    assert!(serving.printed.starts_with('{'), "{}", serving.printed);
    drop(serving);
    let serving = Serving::start(folder.path(), &[("INTERNAL_API_TOKEN", "t"), ("LOG_FORMAT", "text")]);
    assert!(!serving.printed.starts_with('{'), "the environment overrides .env: {}", serving.printed);
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
fn a_generated_key_is_strong_and_accepted_at_once() {
    let folder = folder();
    let keygen = || {
        let (code, printed, _) = output(program(folder.path(), &[]).arg("keygen"));
        assert_eq!(code, 0);
        printed.trim_end().to_owned()
    };
    let (key, token) = (keygen(), keygen());
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "256 bits: {key}");
    assert_ne!(key, token);
    let production = [
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", "sqlite://x.db"),
        ("MT5_API_KEY", &key),
        ("INTERNAL_API_TOKEN", &token),
        ("PORT", "0"),
    ];
    Serving::start(folder.path(), &production).is_ready();
}
