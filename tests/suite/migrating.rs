//! Creating and updating the tables of Postgres, for any duration, and tables that were dropped.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::json;

use crate::harness::{Environment, NOW, PgDatabase, Service, TableLock, candle, eventually, plain_server, run, send};
use crate::postgres::{ADOPTED, prepare, unfit};
use crate::program::{Serving, folder, output, program};

/// A running `migrate`, and its output.
pub struct Migrating {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Migrating {
    pub fn start(place: &std::path::Path, url: &str) -> Self {
        let mut command = program(place, &[("DATABASE_URL", url)]);
        let mut child = command.arg("migrate").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub fn line_with(&mut self, text: &str) {
        assert!(self.lines.by_ref().any(|line| line.unwrap().contains(text)), "{text}");
    }

    pub fn ends_well(mut self) {
        self.line_with("The tables are up to date.");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_long_migration_is_not_cut_and_reports_its_progress() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(ADOPTED).await;
        let lock = TableLock::take(&database).await;
        // Limits in the database's own settings would interrupt it, too.
        for bound in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
            database.execute(&format!("alter database {} set {bound} = '300ms'", database.name)).await;
        }
        let place = folder();
        let mut first = Migrating::start(place.path(), &database.url);
        first.line_with("migration 1 (candles) is running");
        let mut second = Migrating::start(place.path(), &database.url);
        second.line_with("waiting for another process that migrates the same database");
        lock.release().await;
        first.line_with("migrated");
        first.ends_well();
        second.ends_well();
    });
}

/// A service whose migration waits for a lock on the table that it adopts.
async fn held_up(place: &std::path::Path) -> (PgDatabase, TableLock, Serving) {
    let database = PgDatabase::create(&plain_server()).await;
    database.execute(ADOPTED).await;
    let lock = TableLock::take(&database).await;
    let mut serving = Serving::start(place, &[("PORT", "0"), ("DATABASE_URL", &database.url)]);
    serving.line_with("is running");
    (database, lock, serving)
}

#[test]
fn a_migrating_service_stops_on_sigterm() {
    run(async {
        let place = folder();
        let (database, lock, serving) = held_up(place.path()).await;
        serving.signal("TERM");
        assert_eq!(serving.end().0, Some(0));
        lock.release().await;
        // None of its changes remain, and the next run starts from the beginning.
        prepare(&database.url, true).await.unwrap();
    });
}

#[test]
fn a_migration_that_loses_its_connection_is_retried() {
    run(async {
        let place = folder();
        let (database, lock, mut serving) = held_up(place.path()).await;
        let end = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name like 'candlewick%'";
        database.execute(end).await;
        serving.line_with("not ready");
        lock.release().await;
        serving.is_ready();
    });
}

/// The statement and the command of "run: drop table …; and then candlewick migrate".
fn steps(refusal: &str) -> &str {
    let steps = refusal.split("run: ").nth(1).unwrap();
    let (statement, rest) = steps.split_once(';').unwrap();
    assert!(rest.contains("and then candlewick migrate"), "{refusal}");
    statement
}

#[test]
fn the_advised_steps_recreate_dropped_tables() {
    run(async {
        for (dropped, kept) in [
            ("market_data_candles, market_data_live_candles", 0),
            ("market_data_candles", 0),
            ("market_data_live_candles", 1),
        ] {
            let database = PgDatabase::create(&plain_server()).await;
            let app = Service::start(&Environment::new(&database.url)).await;
            assert_eq!(app.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (1, 0, 1));
            database.execute(&format!("drop table {dropped}")).await;

            // The running service reports it and loses nothing, because it refuses posts.
            eventually(async || send(app.request(reqwest::Method::GET, "/health")).await.status == 503).await;
            let batch = json!({"candles": [candle(NOW - 3600), candle(NOW)]});
            app.post(&batch).await.problem(503, "unavailable");
            app.candles("&limit=7").await.problem(503, "unavailable");

            let place = folder();
            let migrate = || output(program(place.path(), &[("DATABASE_URL", &database.url)]).arg("migrate"));
            let (code, _, refusal) = migrate();
            assert_eq!(code, 2, "{refusal}");
            assert!(refusal.contains("is missing, although") || refusal.contains("are missing, although"), "{refusal}");
            assert_eq!(unfit(&database.url).await.trim(), refusal.trim());
            database.execute(steps(&refusal)).await;
            assert_eq!(migrate().0, 0);

            eventually(async || send(app.request(reqwest::Method::GET, "/health")).await.status == 200).await;
            assert_eq!(app.post(&batch).await.counts(2), (1, 0, 1));
            assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 2 + kept, "{dropped}");
        }
    });
}
