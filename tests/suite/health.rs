//! Health and its details report a store that is not available yet, or that can be read and not written.

use candlewick::config::DatabaseConfig;
use candlewick::store::Store;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;

use crate::harness::{
    Database, Environment, NOW, Service, StoreKind, TestApp, both_store_kinds, both_stores, candle, run, send,
};

/// Requests health without a pause from before the store is available, and once more when it is.
#[apply(both_store_kinds)]
fn health_reports_readiness_at_once(kind: StoreKind) {
    run(async {
        let database = kind.database().await;
        let environment = Environment::new(&database.url()).with("MIGRATE_ON_START", false);
        let (service, mut ready) = Service::launch(&environment);
        let health = || send(service.request(Method::GET, "/health"));
        assert_eq!(health().await.status, 503);
        let config: DatabaseConfig = environment.config().database;
        let watching = async {
            while !*ready.borrow_and_update() {
                let answer = health().await;
                assert!(answer.status == 503 || *ready.borrow(), "{answer:?}");
            }
        };
        let migrating = async {
            let store = Store::open(&config).unwrap();
            store.prepare(true).await.unwrap();
            store.close().await;
        };
        tokio::join!(watching, migrating);
        assert_eq!(health().await.status, 200, "an earlier result is not repeated");
    });
}

/// Statements of their own, because Citus passes each on to the other servers.
const FORBID: [&[&str]; 2] = [
    &["create trigger broken before insert on market_data_candles begin select raise(abort, 'hidden text'); end"],
    &[
        "create function broken() returns trigger language plpgsql as $$ begin raise 'hidden text'; end $$",
        "create trigger broken before insert on market_data_candles for each row execute function broken()",
    ],
];
const ALLOW: [&str; 2] = ["drop trigger broken", "drop trigger broken on market_data_candles"];

#[apply(both_stores)]
async fn a_read_only_store_is_reported_in_the_details(app: TestApp) {
    let store = usize::from(matches!(app.database, Database::Postgres(_)));
    let last = async || app.get("/api/v1/health/detailed").await.json()["last_write_error"].clone();
    app.ingest(&[candle(NOW - 7200)]).await;
    assert_eq!(last().await, json!(null));
    for statement in FORBID[store] {
        app.database.execute(statement).await;
    }
    // A single candle, and a batch too large to share a statement.
    for candles in [1, 150] {
        let batch: Vec<_> = (0..candles).map(|n| candle(NOW - 10 * 3600 - n * 3600)).collect();
        let answer = app.post(&json!({"candles": batch})).await;
        assert!(!answer.status.is_success(), "{answer:?}");
        let error = last().await;
        assert_eq!(error["recovered"], json!(false), "{error}");
        assert_eq!(error["kind"], "refused", "{error}");
        let at = error["at"].as_i64().unwrap();
        assert!((NOW * 1000..NOW * 1000 + 120_000).contains(&at), "{error}");
        assert!(
            error["meaning"].as_str().unwrap().contains("the log") && !error.to_string().contains("hidden"),
            "{error}"
        );
    }
    assert_eq!(send(app.request(Method::GET, "/health")).await.status, 200, "it can be read");
    app.database.execute(ALLOW[store]).await;
    app.ingest(&[candle(NOW - 3600)]).await;
    assert_eq!(last().await["recovered"], json!(true));
}
