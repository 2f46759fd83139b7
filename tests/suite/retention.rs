//! Deletion of what is older than the configured retention.

use candlewick::clock::Clock;
use candlewick::config::Retention;
use rstest_reuse::apply;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Database, Environment, NOW, StoreKind, TestApp, both_store_kinds, candle, eventually, run, with};
use crate::program::{folder, output, program};

const DAY: i64 = 86_400;

fn retention(text: &str) -> Retention {
    Environment::new("sqlite://unused.db").with("RETENTION", text).config().retention
}

fn clock() -> Clock {
    Clock::new(|| candle::Timestamp::from_seconds(NOW).unwrap())
}

#[apply(both_store_kinds)]
fn what_is_older_goes_and_is_recorded(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        let at = |days: i64, timeframe: &str, symbol: &str| {
            let fields = json!({"timeframe": timeframe, "symbol": symbol, "complete": true});
            with(candle(NOW - days * DAY), fields)
        };
        let candles: Vec<_> = [1, 29, 30, 31, 40, 400]
            .into_iter()
            .flat_map(|days| [at(days, "M1", "EURUSD"), at(days, "M1", "GBPUSD"), at(days, "H1", "EURUSD")])
            .collect();
        app.ingest(&candles).await;
        let store = app.database.store().await;
        let deleted = candlewick::retention::pass(&store, &retention("M1:30d,H1:1y"), &clock()).await.unwrap();
        // The candle that opened exactly 30 days ago stays.
        assert_eq!(deleted, 7);
        let left = app.database.closed().await;
        assert_eq!(left.len(), 11);
        assert_eq!(left.iter().filter(|row| row.contains(" M1 ")).count(), 6);
        let record = app.get("/api/v1/changes").await.json();
        let rows: Vec<_> = record.as_array().unwrap().iter().map(|row| (&row["kind"], &row["reason"])).collect();
        assert_eq!(rows.len(), 3, "{record}");
        assert!(rows.iter().all(|(kind, _)| *kind == "retention"));
        assert!(rows.iter().any(|(_, reason)| *reason == "RETENTION=M1:30d"), "{record}");
        // Again there is nothing to do.
        assert_eq!(candlewick::retention::pass(&store, &retention("M1:30d,H1:1y"), &clock()).await.unwrap(), 0);
        assert_eq!(app.get("/api/v1/changes").await.json().as_array().unwrap().len(), 3);
    });
}

#[apply(both_store_kinds)]
fn a_long_series_goes_in_slices(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        app.database.fill_minutes(NOW - 100 * DAY, 9_000).await;
        app.database.fill_minutes(NOW - 60 * DAY, 4_000).await;
        let store = app.database.store().await;
        let deleted = candlewick::retention::pass(&store, &retention("M1:30d"), &clock()).await.unwrap();
        assert_eq!(deleted, 13_000);
        assert!(app.database.closed().await.is_empty());
        let record = app.get("/api/v1/changes").await.json();
        let counts: Vec<_> = record.as_array().unwrap().iter().map(|row| row["candles"].as_i64().unwrap()).collect();
        assert!(counts.iter().all(|count| *count <= 5_000) && counts.iter().sum::<i64>() == 13_000, "{counts:?}");
    });
}

/// While `pg_dump` reads the database, nothing is deleted.
#[test]
fn a_backup_is_waited_for() {
    run(async {
        let app = TestApp::start_on(StoreKind::Postgres).await;
        app.ingest(&[with(candle(NOW - 400 * DAY), json!({"complete": true}))]).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        let url = database.url_with(|url| _ = url.query_pairs_mut().append_pair("application_name", "pg_dump"));
        let dump = PgConnection::connect(&url).await.unwrap();
        let store = app.database.store().await;
        assert!(store.is_being_backed_up().await.unwrap());
        let (clock, retention) = (clock(), retention("H1:1y"));
        let mut pass = Box::pin(candlewick::retention::pass(&store, &retention, &clock));
        let mut waited = false;
        tokio::select! {
            _ = &mut pass => panic!("it deletes during a backup"),
            () = eventually(async || { let first = !waited; waited = true; !first }) => {}
        }
        assert_eq!(app.database.closed().await.len(), 1);
        dump.close().await.unwrap();
        eventually(async || !store.is_being_backed_up().await.unwrap()).await;
        assert_eq!(pass.await.unwrap(), 1);
    });
}

#[apply(both_store_kinds)]
fn the_command_shows_what_would_go(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        app.ingest(&[with(candle(NOW - 400 * DAY), json!({"complete": true}))]).await;
        let (url, folder) = (app.database.url(), folder());
        let show = |retention: &str| {
            let variables = [("DATABASE_URL", &*url), ("RETENTION", retention)];
            output(program(folder.path(), &variables).arg("retention"))
        };
        let (code, printed, errors) = show("H1:2w");
        assert_eq!(code, 0, "{errors}");
        assert!(
            printed.contains("EURUSD H1  1 candles from 2025-01-28T12:00:00Z to 2025-01-28T12:00:00Z"),
            "{printed}"
        );
        assert!(printed.trim_end().ends_with("1 candles would be deleted; nothing was deleted"), "{printed}");
        assert_eq!(app.database.closed().await.len(), 1);
        assert_eq!(show("").1.trim_end(), "RETENTION is not set, so all candles stay.");
        let (code, _, errors) = show("H1:2");
        assert_eq!(code, 2);
        assert!(errors.contains("RETENTION must be a list such as M1:2y,M5:18mo"), "{errors}");
    });
}
