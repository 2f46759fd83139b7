//! Reports on the gaps of a series, and the verdict on its freshness by its learned week.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{Answer, Database, KEY, NOW, TestApp, both_stores, candle, send, with};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// Friday 2025-10-24 21:00 UTC, 17:00 in New York, where no clock changed in the 30 weeks before: the end of a Forex week.
const FRIDAY: i64 = 1_761_339_600;

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

/// Stores the M5 candles of `symbol` in the Forex weeks before [`FRIDAY`], and deletes those in `lost`.
async fn fill(database: &Database, symbol: &str, weeks: i64, lost: &[(i64, i64)]) {
    let count = weeks * WEEK / 300;
    let start = FRIDAY - weeks * WEEK;
    // The week begins 48 hours after the one before has ended.
    let open = "n * 300 % 604800 >= 172800";
    let (price, time, numbers, at) = if matches!(database, Database::Sqlite(_)) {
        let numbers = format!(
            "(with recursive n(n) as (select 0 union all select n + 1 from n where n < {count} - 1) select n from n)"
        );
        ("'1.1'", format!("1000 * ({start} + 300 * n)"), numbers, "timestamp / 1000")
    } else {
        let numbers = format!("generate_series(0, {count}::bigint - 1) n");
        ("1.1", format!("to_timestamp({start} + 300 * n)"), numbers, "extract(epoch from timestamp at time zone 'UTC')")
    };
    execute(
        database,
        &format!(
            "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
             select '{symbol}', 'M5', {time}, {price}, {price}, {price}, {price}, n from {numbers} where {open}"
        ),
    )
    .await;
    for (from, to) in lost {
        let delete =
            format!("delete from market_data_candles where symbol = '{symbol}' and {at} between {from} and {to}");
        execute(database, &delete).await;
    }
}

async fn gaps(app: &TestApp, query: &str) -> Answer {
    app.get(&format!("/api/v1/gaps?{query}")).await
}

#[apply(both_stores)]
async fn a_report_has_the_gaps_of_the_learned_week(app: TestApp) {
    // An hour on Tuesday, and Wednesday from 10:00 in New York on.
    let (tuesday, wednesday) = (FRIDAY - 3 * DAY - 9 * HOUR, FRIDAY - 2 * DAY - 7 * HOUR);
    let lost = [(tuesday, tuesday + HOUR - 1), (wednesday, wednesday + 7 * HOUR - 1)];
    fill(&app.database, "EURUSD", 30, &lost).await;
    let (from, to) = (FRIDAY - 4 * WEEK, FRIDAY - 1);
    let query = format!("symbol=EURUSD&timeframe=M5&from={from}&to={to}");
    let answer = gaps(&app, &query).await;
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "symbol": "EURUSD", "timeframe": "M5", "from": from * 1000, "to": to * 1000,
        "session": {"source": "learned", "timezone": "America/New_York", "weeks": 26, "expected_per_week": 1440},
        "expected": 4 * 1440, "stored": 4 * 1440 - 12 - 84, "coverage": 0.98333,
        "gaps": [
            {"from": tuesday * 1000, "to": (tuesday + 55 * MINUTE) * 1000, "missing": 12, "kind": "hole"},
            {"from": wednesday * 1000, "to": (wednesday + 7 * HOUR - 300) * 1000, "missing": 84, "kind": "closure"},
        ],
        "more": false,
    });
    assert_eq!(answer.json(), expected);
    // The order of the fields is documented, too.
    assert!(answer.body.starts_with(r#"{"symbol":"EURUSD","timeframe":"M5","from":"#), "{}", answer.body);

    let one = gaps(&app, &format!("{query}&limit=1")).await.json();
    assert_eq!((one["gaps"].as_array().unwrap().len(), &one["more"]), (1, &json!(true)));
    let large = gaps(&app, &format!("{query}&min=13")).await.json();
    assert_eq!((large["gaps"][0]["missing"].as_i64(), &large["more"]), (Some(84), &json!(false)));
    let given = gaps(&app, &format!("{query}&session=1700-1700:23456")).await.json();
    let session = json!({
        "source": "given", "hours": "1700-1700:23456", "timezone": "America/New_York", "expected_per_week": 1440
    });
    assert_eq!((&given["session"], &given["gaps"]), (&session, &expected["gaps"]));
    let elsewhere = gaps(&app, &format!("{query}&session=2100-2100&tz=utc")).await.json();
    assert_eq!((&elsewhere["session"]["timezone"], &elsewhere["gaps"]), (&json!("utc"), &expected["gaps"]));
    let always = gaps(&app, &format!("{query}&session=24x7")).await.json();
    assert_eq!(always["session"]["expected_per_week"], 2016);
    assert_eq!(always["expected"], 4 * 2016);
    // Weekends are missing then.
    assert_eq!(always["gaps"].as_array().unwrap().len(), 4 + 2);
}

#[apply(both_stores)]
async fn days_and_forming_candles_count(app: TestApp) {
    // Days from 17:00 in New York on, from Sunday to Thursday, without one Tuesday.
    let lost = FRIDAY - 3 * DAY - 3 * WEEK;
    let of = |time: i64| json!({"timestamp": time, "timeframe": "D1", "complete": time < FRIDAY - DAY});
    let weeks = (1..12).flat_map(|week| (1..=5).map(move |day| FRIDAY - (week - 1) * WEEK - day * DAY));
    let candles: Vec<Value> = weeks.filter(|time| *time != lost).map(|time| with(candle(time), of(time))).collect();
    app.set_clock(FRIDAY);
    app.ingest(&candles).await;
    assert_eq!(app.database.forming().await.len(), 1);
    let query = format!("symbol=EURUSD&timeframe=D1&from={}&to={FRIDAY}", FRIDAY - 8 * WEEK);
    for session in ["learned", "24x7"] {
        let report = gaps(&app, &format!("{query}&session={session}")).await.json();
        let day = json!([{"from": lost * 1000, "to": lost * 1000, "missing": 1, "kind": "closure"}]);
        assert_eq!((&report["gaps"], &report["session"]["expected_per_week"]), (&day, &json!(5)), "{session}");
        assert_eq!((&report["expected"], &report["stored"]), (&json!(40), &json!(39)), "{session}");
    }
}

#[apply(both_stores)]
async fn reports_without_sense_are_refused(app: TestApp) {
    fill(&app.database, "YOUNG", 7, &[]).await;
    let of_young = format!("symbol=YOUNG&timeframe=M5&from={}&to={FRIDAY}", FRIDAY - WEEK);
    let detail = gaps(&app, &of_young).await.problem(422, "too_little_history");
    assert!(detail.contains("Only 7 of the 26 weeks") && detail.contains("session=24x7"), "{detail}");
    assert_eq!(gaps(&app, &format!("{of_young}&session=24x7")).await.status, 200);
    // Nothing is stored, and everything is missing.
    let nothing = gaps(&app, "symbol=NONE&timeframe=H1&from=2026-01-01&to=2026-01-02&session=24x7").await.json();
    assert_eq!((&nothing["expected"], &nothing["stored"], &nothing["coverage"]), (&json!(25), &json!(0), &json!(0.0)));
    let weekend = "symbol=NONE&timeframe=H1&from=2026-01-03&to=2026-01-03T05:00:00Z&session=0900-1700";
    assert_eq!(gaps(&app, weekend).await.json()["coverage"], Value::Null);
    let range = "symbol=A&timeframe=M1&from=2026-01-01&to=2026-01-02";
    for (query, place, kind) in [
        ("symbol=A&timeframe=M1&from=2026-01-01", "to", "missing"),
        ("symbol=A&timeframe=MN1&from=2026-01-01&to=2026-02-01", "timeframe", "out_of_range"),
        ("symbol=A&timeframe=M1&from=2026-01-02&to=2026-01-01", "to", "empty_range"),
        ("symbol=A&timeframe=M1&from=2024-01-01&to=2026-01-01", "to", "out_of_range"),
        (&format!("{range}&session=24/7"), "session", "wrong_type"),
        (&format!("{range}&session=0930-1600:8"), "session", "wrong_type"),
        (&format!("{range}&tz=New%20York%2017"), "tz", "wrong_type"),
        (&format!("{range}&tz=ny17"), "tz", "wrong_type"),
        (&format!("{range}&min=0"), "min", "out_of_range"),
        (&format!("{range}&limit=10001"), "limit", "out_of_range"),
        (&format!("{range}&fill=true"), "fill", "unknown_parameter"),
    ] {
        let errors = gaps(&app, query).await.errors();
        assert_eq!(errors, [(format!("[\"query\",\"{place}\"]"), kind.to_owned())], "{query}");
    }
}

#[apply(both_stores)]
async fn a_learned_week_does_not_age_a_series_while_its_market_is_shut(app: TestApp) {
    fill(&app.database, "EURUSD", 26, &[]).await;
    let received = async |seconds: i64| {
        let time = if matches!(app.database, Database::Sqlite(_)) {
            seconds.to_string()
        } else {
            format!("to_timestamp({seconds})")
        };
        execute(&app.database, &format!("update market_data_candles set created_at = {time}")).await;
    };
    let verdict = async |now: i64, max_age: i64| {
        app.set_clock(now);
        let query = format!("max_age={max_age}&symbol=EURUSD&timeframe=M5&session=learned");
        let answer = app.get(&format!("/api/v1/freshness?{query}")).await;
        (answer.status.as_u16(), answer.json())
    };
    received(FRIDAY - 100).await;
    let fresh = |age: i64, status: &str| json!({"status": status, "age": age, "series": 1});
    // The week is learned at the first question, and kept.
    assert_eq!(verdict(FRIDAY - 40, 300).await, (200, fresh(60, "fresh")));
    assert_eq!(verdict(FRIDAY + 10 * HOUR, 300).await, (200, fresh(100, "closed")));
    assert_eq!(verdict(FRIDAY + 2 * DAY - 1, 300).await, (200, fresh(100, "closed")));
    assert_eq!(verdict(FRIDAY + 2 * DAY + 200, 300).await, (200, fresh(300, "fresh")));
    let worst = json!({"symbol": "EURUSD", "timeframe": "M5"});
    let (status, stale) = verdict(FRIDAY + 2 * DAY + 201, 300).await;
    assert_eq!((status, &stale["status"], &stale["worst"]), (503, &json!("stale"), &worst));
    // A loss before the weekend is not excused by it.
    received(FRIDAY - HOUR).await;
    assert_eq!(verdict(FRIDAY + DAY, 300).await.0, 503);
    // The ingest key may ask, too.
    let path = "/api/v1/freshness?max_age=7200&symbol=EURUSD&timeframe=M5&session=learned&tz=America/New_York";
    assert_eq!(send(app.request(Method::GET, path).header("X-API-KEY", KEY)).await.json()["status"], "closed");

    for (query, place, kind) in [
        ("session=learned", "session", "missing"),
        ("session=learned&symbol=A&symbol=B&timeframe=M5", "session", "missing"),
        ("session=24x7&symbol=A&timeframe=M5", "session", "wrong_type"),
        ("session=learned&symbol=A&timeframe=MN1", "timeframe", "out_of_range"),
        ("tz=utc", "tz", "conflict"),
    ] {
        let errors = app.get(&format!("/api/v1/freshness?max_age=5&{query}")).await.errors();
        assert_eq!(errors, [(format!("[\"query\",\"{place}\"]"), kind.to_owned())], "{query}");
    }
    app.set_clock(NOW);
    app.ingest(&[with(candle(NOW - HOUR), json!({"symbol": "NEW", "complete": true}))]).await;
    let young = app.get("/api/v1/freshness?max_age=5&symbol=NEW&timeframe=H1&session=learned").await;
    young.problem(422, "too_little_history");
    let none = app.get("/api/v1/freshness?max_age=5&symbol=NONE&timeframe=H1&session=learned").await;
    assert_eq!((none.status.as_u16(), none.json()), (503, json!({"status": "empty"})));
}
