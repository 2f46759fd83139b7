//! The verdict for monitors on the age of what is stored.

use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{Database, NOW, TestApp, both_stores, candle, with};

const HOUR: i64 = 3600;

/// Sets the time at which the candles of `symbol` were stored.
async fn received(database: &Database, symbol: &str, seconds: i64) {
    match database {
        Database::Sqlite(_) => {
            let mut connection = SqliteConnection::connect(&database.url()).await.unwrap();
            let sql = format!("update market_data_candles set created_at = {seconds} where symbol = '{symbol}'");
            connection.execute(&*sql).await.unwrap();
        }
        Database::Postgres(database) => {
            let time = format!("to_timestamp({seconds})");
            database
                .execute(&format!("update market_data_candles set created_at = {time} where symbol = '{symbol}'"))
                .await;
        }
    }
}

async fn verdict(app: &TestApp, query: &str) -> (u16, Value) {
    let answer = app.get(&format!("/api/v1/freshness?{query}")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (answer.status.as_u16(), answer.json())
}

#[apply(both_stores)]
async fn the_series_that_waited_longest_decides(app: TestApp) {
    assert_eq!(verdict(&app, "max_age=300").await, (503, json!({"status": "empty"})));
    let of =
        |symbol: &str, timeframe: &str| with(candle(NOW - 9 * HOUR), json!({"symbol": symbol, "timeframe": timeframe}));
    app.ingest(&[of("A", "H1"), of("B", "M1"), of("B", "H1")]).await;
    received(&app.database, "A", NOW - 12).await;
    received(&app.database, "B", NOW - 4021).await;
    let stale = json!({"status": "stale", "age": 4021, "worst": {"symbol": "B", "timeframe": "H1"}});
    assert_eq!(verdict(&app, "max_age=4020").await, (503, stale));
    assert_eq!(verdict(&app, "max_age=4021").await, (200, json!({"status": "fresh", "age": 4021, "series": 3})));
    assert_eq!(verdict(&app, "max_age=12&symbol=A").await, (200, json!({"status": "fresh", "age": 12, "series": 1})));
    assert_eq!(verdict(&app, "max_age=11&symbol=A").await.0, 503);
    let stale = json!({"status": "stale", "age": 4021, "worst": {"symbol": "B", "timeframe": "M1"}});
    assert_eq!(verdict(&app, "max_age=300&timeframe=M1").await, (503, stale));
    assert_eq!(verdict(&app, "max_age=300&symbol=C").await, (503, json!({"status": "empty"})));
    // Time passes without a request, and a clock that is behind the database's makes nothing older.
    app.set_clock(NOW + 100);
    assert_eq!(verdict(&app, "max_age=112&symbol=A").await.1["age"], 112);
    app.set_clock(NOW - 100);
    assert_eq!(verdict(&app, "max_age=1&symbol=A").await.1["age"], 0);
    // A forming candle is something received, too.
    app.set_clock(NOW);
    app.ingest(&[with(of("B", "M1"), json!({"timestamp": NOW - 60, "complete": false}))]).await;
    assert_eq!(verdict(&app, "max_age=300&symbol=B&timeframe=M1").await.0, 200);
}

#[apply(both_stores)]
async fn wrong_questions_are_refused(app: TestApp) {
    for (query, place, kind) in [
        ("", "max_age", "missing"),
        ("max_age=0", "max_age", "out_of_range"),
        ("max_age=5m", "max_age", "out_of_range"),
        ("max_age=%2B5", "max_age", "out_of_range"),
        ("max_age=31622401", "max_age", "out_of_range"),
        ("max_age=5&max_age=5", "max_age", "repeated_parameter"),
        ("max_age=5&limit=3", "limit", "unknown_parameter"),
        ("max_age=5&timeframe=2d", "timeframe", "unknown_timeframe"),
    ] {
        let errors = app.get(&format!("/api/v1/freshness?{query}")).await.errors();
        assert_eq!(errors, [(format!("[\"query\",\"{place}\"]"), kind.to_owned())], "{query}");
    }
}
