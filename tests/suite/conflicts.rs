//! Closed candles that are posted again with other values.

use candlewick::store::Store;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{
    Database, Environment, KEY, NOW, PgDatabase, Service, TestApp, both_stores, candle, plain_server, run, send, with,
};
use crate::program::Serving;

const HOUR: i64 = 3600;

/// A closed candle that opened this many hours ago.
fn closed(hours: i64, fields: Value) -> Value {
    with(with(candle(NOW - hours * HOUR), json!({"complete": true})), fields)
}

/// Posts candles and returns the number of conflicts and their list.
async fn post(app: &TestApp, candles: &[Value]) -> (Option<u64>, Value) {
    let answer = app.post(&json!({ "candles": candles })).await;
    answer.counts(candles.len());
    let body = answer.json();
    let count = body.get("records_conflicting").map(|count| count.as_u64().expect("a number"));
    (count, body.get("conflicts").cloned().unwrap_or_default())
}

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            let pool = sqlx::SqlitePool::connect(&database.url()).await.unwrap();
            sqlx::Executor::execute(&pool, sql).await.unwrap();
            pool.close().await;
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

#[apply(both_stores)]
async fn a_duplicate_with_other_values_is_named(app: TestApp) {
    assert_eq!(post(&app, &[closed(2, json!({})), closed(1, json!({}))]).await, (None, Value::Null));
    assert_eq!(post(&app, &[closed(2, json!({})), closed(1, json!({}))]).await, (None, Value::Null), "identical");
    let other = [closed(3, json!({})), closed(2, json!({"close": "1.08630", "volume": 7})), closed(1, json!({}))];
    assert_eq!(post(&app, &other).await, (Some(1), json!([{"index": 1, "fields": ["close", "volume"]}])));
    let all = closed(1, json!({"open": 2, "high": 3, "low": 1, "close": 2, "volume": 0}));
    assert_eq!(
        post(&app, &[all]).await,
        (Some(1), json!([{"index": 0, "fields": ["open", "high", "low", "close", "volume"]}]))
    );
    // The stored candle is unchanged.
    assert_eq!(app.database.closed().await.len(), 3);
    assert!(app.database.closed().await.iter().all(|row| row.ends_with("1.08500 1.08650 1.08480 1.08620 1200")));
}

#[apply(both_stores)]
async fn dense_sparse_and_mixed_batches_are_compared(app: TestApp) {
    let stored: Vec<_> = (1..=40).map(|hours| closed(hours, json!({}))).collect();
    assert_eq!(post(&app, &stored).await, (None, Value::Null));
    let gbpusd = |hours| closed(hours, json!({"symbol": "GBPUSD"}));
    assert_eq!(post(&app, &[gbpusd(1), gbpusd(2), closed(2000, json!({}))]).await, (None, Value::Null));
    let other = json!({"volume": 7});
    let batches = [
        // With stored candles in between that are not in the batch.
        [20, 15, 10].map(|hours| closed(hours, json!({}))),
        // Too far apart for one scan.
        [2000, 10, 5].map(|hours| closed(hours, json!({}))),
        // The same times in two series.
        [gbpusd(2), closed(2, json!({})), closed(1, json!({}))],
    ];
    for batch in batches {
        assert_eq!(post(&app, &batch).await, (None, Value::Null), "identical");
        for place in 0..batch.len() {
            let mut changed = batch.clone();
            changed[place] = with(changed[place].clone(), other.clone());
            let expected = (Some(1), json!([{"index": place, "fields": ["volume"]}]));
            assert_eq!(post(&app, &changed).await, expected);
        }
    }
}

#[apply(both_stores)]
async fn only_different_values_conflict_not_different_digits(app: TestApp) {
    let prices = |open: &str, high: &str, low: &str, close: &str| {
        closed(1, json!({"open": open, "high": high, "low": low, "close": close}))
    };
    assert_eq!(post(&app, &[prices("1.10", "1.2", "-0.5", "0")]).await.0, None);
    for same in [prices("1.1", "1.200", "-0.50", "0.00"), prices("11e-1", "1.2", "-5E-1", "-0")] {
        assert_eq!(post(&app, &[same]).await, (None, Value::Null));
    }
    let close = prices("1.1", "1.2", "-0.5", "0.0000000000000000000000000001");
    assert_eq!(post(&app, &[close]).await, (Some(1), json!([{"index": 0, "fields": ["close"]}])));
}

#[apply(both_stores)]
async fn a_repeated_key_conflicts_where_it_differs_from_the_candle_that_counts(app: TestApp) {
    let twice = [closed(1, json!({"close": "1.0855"})), closed(1, json!({})), closed(1, json!({"close": "1.086200"}))];
    assert_eq!(post(&app, &twice).await, (Some(1), json!([{"index": 0, "fields": ["close"]}])));
    assert!(app.database.closed().await[0].ends_with(" 1.086200 1200"));
    // Both differ from the stored candle.
    let twice = [closed(1, json!({"close": "1.0855"})), closed(1, json!({"volume": 1}))];
    let conflicts = json!([{"index": 0, "fields": ["close"]}, {"index": 1, "fields": ["volume"]}]);
    assert_eq!(post(&app, &twice).await, (Some(2), conflicts));
}

#[apply(both_stores)]
async fn forming_candles_never_conflict(app: TestApp) {
    assert_eq!(post(&app, &[closed(1, json!({}))]).await.0, None);
    let late = with(closed(1, json!({"close": "1.0855"})), json!({"complete": false}));
    assert_eq!(post(&app, &[late]).await, (None, Value::Null));
    let states = [with(candle(NOW), json!({"volume": 5})), with(candle(NOW), json!({"volume": 4}))];
    assert_eq!(post(&app, &states).await, (None, Value::Null));
}

#[apply(both_stores)]
async fn all_conflicts_are_counted_and_the_first_hundred_are_named(app: TestApp) {
    let history = |volume: i64| (1..=300).map(|hours| closed(hours, json!({"volume": volume}))).collect::<Vec<_>>();
    assert_eq!(post(&app, &history(1)).await.0, None);
    let mut again = history(2);
    again.extend((301..=310).map(|hours| closed(hours, json!({}))));
    again[0] = closed(1, json!({"volume": 1}));
    let (count, conflicts) = post(&app, &again).await;
    assert_eq!(count, Some(299));
    let named: Vec<_> =
        conflicts.as_array().unwrap().iter().map(|conflict| conflict["index"].as_u64().unwrap()).collect();
    assert_eq!(named, (1..=100).collect::<Vec<_>>());
}

#[apply(both_stores)]
async fn a_lenient_batch_names_conflicts_by_their_index_in_the_body(app: TestApp) {
    post(&app, &[closed(1, json!({}))]).await;
    let body =
        json!({"candles": [closed(3, json!({"volume": -1})), closed(2, json!({})), closed(1, json!({"volume": 9}))]});
    let answer = app.post_lenient(&body).await;
    assert_eq!(answer.counts(3), (1, 1, 0));
    assert_eq!(answer.json()["conflicts"], json!([{"index": 2, "fields": ["volume"]}]));
}

#[apply(both_stores)]
async fn concurrent_posts_with_different_values_conflict_once(app: TestApp) {
    let one = async |poster: i64| post(&app, &[closed(1, json!({"volume": poster}))]).await.0;
    let posts = futures_util::future::join_all((0..32).map(one)).await;
    assert_eq!(posts.iter().filter(|count| count.is_none()).count(), 1, "the first one's values are stored");
    assert_eq!(posts.iter().filter(|count| **count == Some(1)).count(), 31);
}

#[apply(both_stores)]
async fn several_candles_within_one_period_are_compared_individually(app: TestApp) {
    let month = |minutes: i64| closed(2000, json!({"timeframe": "MN1", "timestamp": NOW - 2000 * HOUR + minutes * 60}));
    post(&app, &(0..60).map(month).collect::<Vec<_>>()).await;
    assert_eq!(post(&app, &[month(0), month(50)]).await, (None, Value::Null), "identical");
    for place in 0..2 {
        let mut batch = [month(0), month(50)];
        batch[place] = with(batch[place].clone(), json!({"volume": 7}));
        assert_eq!(post(&app, &batch).await, (Some(1), json!([{"index": place, "fields": ["volume"]}])));
    }
}

#[apply(both_stores)]
async fn values_with_more_than_28_digits_are_compared_by_value(app: TestApp) {
    post(&app, &[closed(1, json!({"open": "1.1", "high": "2", "low": "1.1", "close": "1.1"}))]).await;
    let (open, high) = (format!("'1.1{}'", "0".repeat(34)), format!("'2.{}'", "0".repeat(35)));
    execute(&app.database, &format!("update market_data_candles set open = {open}, high = {high}")).await;
    let same = closed(1, json!({"open": "1.1", "high": "2", "low": "1.1", "close": "1.1"}));
    assert_eq!(post(&app, std::slice::from_ref(&same)).await, (None, Value::Null));
    let other = with(same, json!({"volume": 2}));
    assert_eq!(post(&app, &[other]).await, (Some(1), json!([{"index": 0, "fields": ["volume"]}])));
}

#[apply(both_stores)]
async fn values_stored_by_other_programs_are_compared_by_value(app: TestApp) {
    post(&app, &[closed(1, json!({})), closed(2, json!({}))]).await;
    execute(&app.database, "update market_data_candles set close = 'NaN'").await;
    let (count, conflicts) = post(&app, &[closed(1, json!({})), closed(2, json!({}))]).await;
    assert_eq!((count, &conflicts[1]), (Some(2), &json!({"index": 1, "fields": ["close"]})));
}

#[test]
fn long_values_are_truncated_in_the_log() {
    for sqlite in [true, false] {
        run(async {
            let own = crate::program::folder();
            let database = if sqlite { Database::sqlite() } else { Database::postgres().await };
            let url = database.url();
            let variables = [("DATABASE_URL", &*url), ("PORT", "0"), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", "b")];
            let mut serving = Serving::start(own.path(), &variables);
            serving.is_ready();
            let post = async |candle: Value| {
                let post =
                    reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
                send(post.body(json!({"candles": [candle]}).to_string())).await.json()
            };
            let posted = closed(1, json!({}));
            post(posted.clone()).await;
            let long = format!("'1{}'", "0".repeat(100_000));
            execute(&database, &format!("update market_data_candles set close = {long}")).await;
            let answer = post(posted).await;
            assert_eq!(answer["conflicts"], json!([{"index": 0, "fields": ["close"]}]), "{answer}");
            let line = serving.line_with("posted again with other values");
            assert!(line.len() < 500 && line.contains("close 1.08620 for 1000"), "{line}");
        });
    }
}

#[test]
fn a_comparison_that_fails_does_not_fail_the_post() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        Store::open(&Environment::new(&database.url).config().database).unwrap().prepare(true).await.unwrap();
        let (login, url) = (database.login(), database.make_login().await);
        let service = Service::start(&Environment::new(&url).with("MIGRATE_ON_START", false)).await;
        let posted = closed(1, json!({}));
        assert_eq!(service.ingest(std::slice::from_ref(&posted)).await, (1, 0, 0));
        // To insert, the service reads only the columns of the key.
        let keys_alone = format!(
            "revoke select on market_data_candles from {login};
             grant select (symbol, timeframe, \"timestamp\") on market_data_candles to {login}"
        );
        database.execute(&keys_alone).await;
        let other = with(posted, json!({"volume": 9}));
        let answer = service.post(&json!({"candles": [closed(2, json!({})), other]})).await;
        assert_eq!(answer.counts(2), (1, 1, 0));
        assert_eq!(answer.json().get("records_conflicting"), Some(&Value::Null));
        assert_eq!(answer.json().get("conflicts"), None);
    });
}

#[test]
fn a_stored_null_conflicts_and_keeps_the_connection() {
    run(async {
        const SESSIONS: &str = "select pid::text from pg_stat_activity
            where datname = current_database() and application_name like 'candlewick-%'";
        let app = TestApp::start(Database::postgres().await).await;
        for field in ["open", "high", "low", "close", "volume"] {
            let drop = format!("alter table market_data_candles alter column {field} drop not null");
            execute(&app.database, &drop).await;
        }
        post(&app, &[closed(9, json!({}))]).await;
        let before = app.database.rows(SESSIONS).await;
        assert!(!before.is_empty());
        for (hours, field) in (1..).zip(["open", "high", "low", "close", "volume"]) {
            post(&app, &[closed(hours, json!({}))]).await;
            let time = NOW - hours * HOUR;
            let set = format!("update market_data_candles set {field} = null where timestamp = to_timestamp({time})");
            execute(&app.database, &set).await;
            let expected = json!([{"index": 0, "fields": [field]}]);
            assert_eq!(post(&app, &[closed(hours, json!({}))]).await, (Some(1), expected));
        }
        let after = app.database.rows(SESSIONS).await;
        assert!(before.iter().all(|session| after.contains(session)), "{before:?} {after:?}");
    });
}
