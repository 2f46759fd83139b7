//! Read-only databases on Postgres: a standby, and one that is read-only by its settings.

use std::path::Path;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::faults::database_server::DatabaseServer;
use crate::harness::{
    Database, Environment, NOW, PgDatabase, Service, TestApp, candle, eventually, leave_out, plain_server, run, send,
};
use crate::postgres::prepare;
use crate::program::{Serving, folder};

/// A server of a test's own, or `None` where this machine has no binaries.
pub fn server(place: &Path, settings: &[&str]) -> Option<DatabaseServer> {
    match DatabaseServer::start(place, settings) {
        Ok(server) => Some(server),
        Err(reason) => {
            leave_out(&reason);
            None
        }
    }
}

/// The address of a database on a standby of its server.
pub fn at(server: &DatabaseServer, database: &PgDatabase) -> String {
    server.url.replace("/postgres?", "/").trim_end_matches("/postgres").to_owned() + "/" + &database.name
}

async fn refuses_posts(app: &Service) {
    let single = app.post(&json!({"candles": [candle(NOW - 3600)]})).await;
    let many: Vec<_> = (1..=300).map(|n| candle(NOW - n * 3600)).collect();
    let copied = app.post(&json!({ "candles": many })).await;
    for answer in [single, copied] {
        let detail = answer.problem(503, "unavailable");
        assert!(
            detail.contains("read-only standby") && detail.contains("post to the service of its primary"),
            "{detail}"
        );
        assert!(answer.header("retry-after").is_some());
    }
}

async fn health(app: &Service) -> u16 {
    send(app.request(reqwest::Method::GET, "/health")).await.status.as_u16()
}

#[test]
fn a_standby_serves_reads_and_after_its_promotion_posts() {
    run(async {
        let place = std::env::temp_dir();
        let Some(primary) = server(&place, &[]) else { return };
        let database = PgDatabase::create(&primary.url).await;
        let mut writer = Service::start(&Environment::new(&database.url)).await;
        assert_eq!(writer.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (1, 0, 1));
        let standby = primary.standby(&place);
        let url = at(&standby, &database);
        let mut reader = Service::start(&Environment::new(&url)).await;
        assert_eq!(health(&reader).await, 200);
        assert_eq!(reader.candles("").await.json().as_array().unwrap().len(), 2);
        assert_eq!(reader.get("/api/v1/series").await.json().as_array().unwrap().len(), 1);
        refuses_posts(&reader).await;
        assert_eq!(health(&reader).await, 200);

        // Housekeeping silently does nothing there.
        let store = candlewick::store::Store::open(&Environment::new(&url).config().database).unwrap();
        store.prepare(true).await.unwrap();
        assert_eq!(store.sweep().await.unwrap(), 0);
        store.close().await;

        writer.stop().await.unwrap();
        let mut watch = PgConnection::connect(&url).await.unwrap();
        watch.execute("select pg_promote()").await.unwrap();
        assert_eq!(reader.ingest(&[candle(NOW - 7200), candle(NOW - 3600), candle(NOW)]).await, (1, 1, 1));
        reader.stop().await.unwrap();
    });
}

#[test]
fn a_standby_is_reported_in_the_log() {
    run(async {
        let place = std::env::temp_dir();
        let Some(primary) = server(&place, &[]) else { return };
        let database = PgDatabase::create(&primary.url).await;
        let standby = primary.standby(&place);
        // Before the primary's service has created its tables, there is nothing to serve.
        let own = folder();
        let keys = [("PORT", "0"), ("DATABASE_URL", &*at(&standby, &database))];
        let mut serving = Serving::start(own.path(), &keys);
        assert!(serving.first_line_with("not ready").contains("run candlewick migrate on its primary"));
        prepare(&database.url, true).await.unwrap();
        assert!(serving.line_with("is a standby").contains("WARN"));
        serving.is_ready();
        serving.signal("TERM");
        assert_eq!(serving.end().0, Some(0));
    });
}

#[test]
fn a_read_only_database_is_served_like_a_standby() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        prepare(&database.url, true).await.unwrap();
        let set = |value: &str| format!("alter database {} set default_transaction_read_only = {value}", database.name);
        database.execute(&set("on")).await;
        let (on, off) = (database.url.clone(), set("off"));
        let app = TestApp::start(Database::Postgres(database)).await;
        refuses_posts(&app).await;
        assert_eq!((health(&app).await, app.candles("").await.status.as_u16()), (200, 200));
        let mut owner = PgConnection::connect(&on).await.unwrap();
        owner.execute("set default_transaction_read_only = off").await.unwrap();
        owner.execute(&*off).await.unwrap();
        // Each connection that could not write is replaced, so the service notices the change.
        let batch = json!({"candles": [candle(NOW - 3600)]});
        eventually(async || app.post(&batch).await.status == 201).await;
    });
}
