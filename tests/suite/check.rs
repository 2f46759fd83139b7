//! `candlewick check`: its findings, that it changes nothing, and its exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use candle::Timestamp;
use candlewick::clock::Clock;
use candlewick::store::{Finding, Findings, Severity, Store};
use insta::assert_snapshot;

use crate::harness::{Database, Environment, NOW, PgDatabase, plain_server, run};
use crate::pooler::{Choice, Pooler};
use crate::postgres::{ADOPTED, prepare, scalar};
use crate::program::{Serving, folder, output, program};

/// Checks with a port that is always free, and returns the exit code and what was printed.
fn check(folder: &Path, variables: &[(&str, &str)]) -> (i32, String) {
    check_with(folder, &["--port", "0"], variables)
}

fn check_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let (code, printed, errors) = output(program(folder, variables).arg("check").args(arguments));
    assert_eq!(errors, "", "{printed}");
    println!("{printed}");
    (code, printed)
}

/// The rows of a report that begin with `mark`, each as its subject and text.
fn rows(report: &str, mark: &str) -> Vec<(String, String)> {
    let rows = report.lines().filter_map(|line| line.strip_prefix("  ")?.strip_prefix(mark)?.strip_prefix(' '));
    rows.map(|row| row.trim_start().split_once("  ").unwrap())
        .map(|(subject, text)| (subject.to_owned(), text.trim().to_owned()))
        .collect()
}

/// A report without the parts that differ between runs and releases.
fn shown(report: &str, folder: &Path) -> String {
    let release = format!("candlewick {}", env!("CARGO_PKG_VERSION"));
    report.replace(&*folder.to_string_lossy(), "[folder]").replace(&release, "candlewick [version]")
}

#[track_caller]
fn has_row(report: &str, mark: &str, subject: &str, text: &str) {
    let found = rows(report, mark);
    assert!(found.iter().any(|row| row.0 == subject && row.1.contains(text)), "{mark} {subject} {text} in {report}");
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn settings_are_listed_with_their_sources() {
    let folder = folder();
    let (keys, dotenv) = (folder.path().join("keys"), folder.path().join(".env"));
    fs::write(&keys, "london:geheim-0123456789abc,tokyo:geheim-abcdef0123456\n").unwrap();
    fs::write(dotenv, "LOG_LEVEL=debug\nSENTRY_DSN=https://geheim@sentry.example.com/42\nPOSTGRES_PASSWORD=geheim\n")
        .unwrap();
    let variables = [
        ("MT5_API_KEY_FILE", keys.to_str().unwrap()),
        ("MAX_BATCH", "500"),
        ("ALLOWED_HOSTS", "a.example.com, b.example.com"),
    ];
    let (code, report) = check(folder.path(), &variables);
    assert_eq!(code, 0, "{report}");
    let shown = shown(&report, folder.path());
    assert_snapshot!("settings", shown);
    assert!(candlewick::config::VARIABLES.iter().all(|variable| report.contains(&format!("\n  {} ", variable.name))));
    assert!(!report.contains("geheim"), "{report}");
    assert!(!folder.path().join("candlewick.keys").exists() && !folder.path().join("candlewick.db").exists());
}

#[test]
fn every_problem_and_every_misspelt_name_is_listed() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "PROT=8080\n").unwrap();
    let variables = [("ALLOWED_HOST", "x"), ("MAX_BATCH", "many"), ("LOG_LEVEL", "loud"), ("BIND_ADDR", "localhost")];
    let (code, report) = check(folder.path(), &variables);
    assert_eq!(code, 2, "{report}");
    let shown = shown(&report, folder.path());
    assert_snapshot!("wrong_settings", shown);
    let (code, report) =
        check(folder.path(), &[("ENVIRONMENT", "production"), ("DATABASE_URL", "mysql://u:geheim@h/d")]);
    assert_eq!(code, 2, "{report}");
    has_row(&report, "wrong", "setting", "MT5_API_KEY is missing, and production needs one");
    has_row(&report, "wrong", "setting", "DATABASE_URL must start with");
    has_row(&report, "warning", "address", "not looked at, because DATABASE_URL cannot be used");
    assert!(!report.contains("geheim"), "{report}");
}

#[test]
fn check_does_not_modify_a_sqlite_file() {
    let folder = folder();
    let (code, report) = check(folder.path(), &[]);
    assert_eq!(code, 0, "{report}");
    has_row(&report, "ok", "file", "candlewick.db does not exist yet; serve makes it");
    assert!(report.ends_with("No problem was found: candlewick serve would start.\n"), "{report}");
    assert_eq!(files(folder.path()), BTreeMap::new());
    let (code, report) = check(folder.path(), &[("MIGRATE_ON_START", "false")]);
    assert_eq!(code, 2, "{report}");
    has_row(&report, "wrong", "file", "does not exist; run candlewick migrate");

    assert_eq!(output(program(folder.path(), &[]).arg("migrate")).0, 0);
    let before = files(folder.path());
    let (code, report) = check(folder.path(), &[]);
    assert_eq!((code, files(folder.path())), (0, before.clone()), "{report}");
    has_row(&report, "ok", "tables", "up to date");
    assert!(rows(&report, "warning").is_empty(), "{report}");

    let (code, report) = check(folder.path(), &[("DATABASE_URL", "sqlite://trader%20data/c.db")]);
    assert_eq!((code, files(folder.path())), (2, before), "{report}");
    has_row(&report, "wrong", "file", "trader data/c.db cannot be made: its folder");
    assert!(report.contains(&format!("mkdir -p '{}/trader data'", folder.path().display())), "{report}");
    fs::write(folder.path().join("text.db"), "this text is not a database, even if it is read to the end").unwrap();
    let (code, report) = check(folder.path(), &[("DATABASE_URL", "sqlite://text.db")]);
    assert_eq!(code, 2, "{report}");
    has_row(&report, "wrong", "file", "is not a SQLite database");
}

#[test]
fn a_port_in_use_is_attributed_to_its_owner() {
    let folder = folder();
    let mut serving = Serving::start(folder.path(), &[("PORT", "0")]);
    serving.is_ready();
    let port = serving.url.rsplit(':').next().unwrap().to_owned();
    let (code, report) = check_with(folder.path(), &["--port", &port], &[]);
    assert_eq!(code, 0, "{report}");
    has_row(&report, "warning", "port", "a service on 127.0.0.1:");
    has_row(&report, "ok", "tables", "up to date");
    assert!(report.contains("generated, in candlewick.keys"), "{report}");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));

    // Another program's listener, which sends nothing.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let (code, report) = check_with(folder.path(), &["--port", &port], &[("ADMIN_ADDR", "192.0.2.1:9000")]);
    assert_eq!(code, 2, "{report}");
    has_row(&report, "failed", "port", "another program listens on 127.0.0.1:");
    has_row(&report, "wrong", "admin port", "192.0.2.1:9000 cannot be listened on");
    let (code, report) = check_with(folder.path(), &["--port", &port], &[]);
    assert_eq!(code, 1, "{report}");
}

#[test]
fn a_table_that_does_not_fit_is_reported_with_its_fix() {
    run(async {
        let place = folder();
        let file = Database::sqlite();
        let pool = sqlx::sqlite::SqlitePoolOptions::new().connect(&format!("{}?mode=rwc", file.url())).await.unwrap();
        sqlx::Executor::execute(&pool, "create table market_data_candles (symbol text, price real)").await.unwrap();
        pool.close().await;
        let (code, report) = check(place.path(), &[("DATABASE_URL", &file.url())]);
        assert_eq!(code, 2, "{report}");
        has_row(&report, "wrong", "file", "the table market_data_candles in the SQLite file");
        assert!(report.contains("alter table market_data_candles rename to market_data_candles_old"), "{report}");

        let database = PgDatabase::create(&plain_server()).await;
        database.execute(&ADOPTED.replace("open numeric", "open numeric(18,5)")).await;
        let (code, report) = check(place.path(), &[("DATABASE_URL", &database.url)]);
        assert_eq!(code, 2, "{report}");
        has_row(
            &report,
            "wrong",
            "database",
            "cannot hold every candle exactly and once: open is numeric(18,5), not numeric",
        );
        let indented = report.lines().find(|line| line.contains("run: alter table market_data_candles")).unwrap();
        assert!(indented.starts_with("               "), "{report}");
        let made = "select count(*)::text from pg_class where relname like '%market_data_live%' or relname = '_sqlx_migrations'";
        assert_eq!(scalar(&database, made).await, "0");
    });
}

#[test]
fn check_does_not_modify_a_postgres_database() {
    run(async {
        let place = folder();
        let database = PgDatabase::create(&plain_server()).await;
        let tables =
            "select count(*)::text from pg_class where relname like '%market_data%' or relname = '_sqlx_migrations'";
        let url = [("DATABASE_URL", &*database.url)];
        let (code, report) = check(place.path(), &url);
        assert_eq!((code, &*scalar(&database, tables).await), (0, "0"), "{report}");
        let parsed = url::Url::parse(&database.url).unwrap();
        let server =
            format!("at {}:{}, database {}", parsed.host_str().unwrap(), parsed.port().unwrap(), database.name);
        has_row(&report, "ok", "server", &server);
        has_row(&report, "ok", "pooler", "none that lends connections for single transactions");
        has_row(&report, "ok", "clock", "agree to the second");
        has_row(&report, "ok", "writing", "can be written");
        has_row(&report, "ok", "tables", "there are none yet; serve makes what is missing (migration 1 candles");
        has_row(&report, "ok", "access", "may make tables");
        assert!(!report.contains(parsed.password().unwrap()) && report.contains("set, see below"), "{report}");
        let tls = scalar(&database, "select current_setting('ssl')").await == "on";
        has_row(&report, "ok", "encryption", if tls { "TLSv1." } else { "none, and the server is on this machine" });

        let (code, report) = check(place.path(), &[url[0], ("MIGRATE_ON_START", "false")]);
        assert_eq!(code, 2, "{report}");
        has_row(&report, "wrong", "tables", "its tables are missing; run candlewick migrate");

        database.execute(ADOPTED).await;
        let (code, report) = check(place.path(), &url);
        assert_eq!(code, 0, "{report}");
        has_row(&report, "ok", "tables", "market_data_candles is there and fits, so it is used as it is");

        prepare(&database.url, true).await.unwrap();
        let (code, report) = check(place.path(), &url);
        assert_eq!(code, 0, "{report}");
        has_row(&report, "ok", "tables", "up to date");
        has_row(&report, "ok", "access", "the login may do what the service does, and sees every row");
        database.execute("delete from _sqlx_migrations where version = 3").await;
        let (_, report) = check(place.path(), &url);
        has_row(&report, "ok", "tables", "of an earlier release; serve brings them up to date (migration 3 newest)");

        let owner = database.make_login().await;
        let (code, report) = check(place.path(), &[("DATABASE_URL", &owner), ("MIGRATE_ON_START", "false")]);
        assert_eq!(code, 0, "{report}");
        has_row(&report, "ok", "tables", "this login may not see which migrations have run");
        let login = database.login();
        database.execute(&format!("revoke select on market_data_live_candles from {login}")).await;
        let (code, report) = check(place.path(), &[("DATABASE_URL", &owner), ("MIGRATE_ON_START", "false")]);
        assert_eq!(code, 2, "{report}");
        has_row(&report, "wrong", "database", "may not select on market_data_live_candles");

        database.execute("drop table market_data_live_candles").await;
        let (code, report) = check(place.path(), &url);
        assert_eq!(code, 2, "{report}");
        has_row(
            &report,
            "wrong",
            "database",
            "the table market_data_live_candles is missing, although it was made once",
        );
    });
}

#[test]
fn a_login_without_the_right_to_create_tables_is_reported() {
    run(async {
        let place = folder();
        let database = PgDatabase::create(&plain_server()).await;
        let login = database.login();
        database.execute(&format!("create role {login} login password 'pass-word'")).await;
        database.execute("revoke create on schema public from public").await;
        let url = database.url_with(|url| {
            url.set_username(&login).unwrap();
            url.set_password(Some("pass-word")).unwrap();
        });
        let (code, report) = check(place.path(), &[("DATABASE_URL", &url)]);
        assert_eq!(code, 2, "{report}");
        has_row(
            &report,
            "wrong",
            "access",
            "the login may not create tables; run candlewick migrate with one that may",
        );
    });
}

#[test]
fn a_read_only_database_and_a_pooler_are_reported() {
    run(async {
        let place = folder();
        let database = PgDatabase::create(&plain_server()).await;
        let pooler = Pooler::to(&database, Choice::LastUsed, 3).await;
        let url = pooler.url(&database);
        let folder = place.path().to_owned();
        let checking = tokio::task::spawn_blocking(move || check(&folder, &[("DATABASE_URL", &url)]));
        let (code, report) = checking.await.unwrap();
        assert_eq!(code, 2, "{report}");
        has_row(&report, "wrong", "connection", "a pooler that lends a connection for one transaction only");

        let url = [("DATABASE_URL", &*database.url)];
        let set = |value: &str| format!("alter database {} set default_transaction_read_only = {value}", database.name);
        database.execute(&set("on")).await;
        let (code, report) = check(place.path(), &url);
        assert_eq!(code, 2, "{report}");
        has_row(&report, "warning", "writing", "the database can only be read (default_transaction_read_only is on)");
        has_row(&report, "wrong", "tables", "run candlewick migrate on its primary");
    });
}

#[test]
fn an_unreachable_database_is_exit_code_1_within_the_timeout() {
    let folder = folder();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, report) = check(folder.path(), &[("DATABASE_URL", &format!("postgres://u:geheim@{nobody}/d"))]);
    assert_eq!(code, 1, "{report}");
    has_row(&report, "failed", "connection", "refuses connections; start the server");
    assert!(
        report.ends_with("Something does not work now and may recover by itself; see what is marked \"failed\".\n"),
        "{report}"
    );
    // Without a timeout this test would not end, because the server accepts the connection and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (code, report) = check(folder.path(), &[("DATABASE_URL", &format!("postgres://u:geheim@{address}/d"))]);
    assert_eq!(code, 1, "{report}");
    has_row(&report, "failed", "connection", "does not answer within 3 s");
    assert!(!report.contains("geheim"), "{report}");
}

#[test]
fn a_clock_that_differs_from_the_database_is_a_warning() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let store = Store::open(&Environment::new(&database.url).config().database).unwrap();
        let mut findings = Findings::default();
        store.inspect(true, &Clock::new(|| Timestamp::from_seconds(NOW).unwrap()), &mut findings).await;
        let clock = |finding: &&Finding| finding.subject == "clock";
        let found = findings.0.iter().find(clock).unwrap_or_else(|| panic!("{findings:?}"));
        assert!(found.severity == Severity::Warning && found.text.contains("ahead of this machine's"), "{found:?}");
        store.close().await;
    });
}
