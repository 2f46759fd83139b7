//! The newest candle of every series.

use std::collections::BTreeMap;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{Answer, Database, NOW, TestApp, both_stores, candle, send, with};

const HOUR: i64 = 3600;
const PATH: &str = "/api/v1/latest";

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

fn of(symbol: &str, timeframe: &str, hours: i64, fields: Value) -> Value {
    let own = json!({"symbol": symbol, "timeframe": timeframe});
    with(with(candle(NOW - hours * HOUR), own), fields)
}

/// Series as `symbol timeframe`, in the order of the answer.
fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let name =
        |entry: &Value| format!("{} {}", entry["symbol"].as_str().unwrap(), entry["timeframe"].as_str().unwrap());
    answer.json().as_array().unwrap().iter().map(name).collect()
}

#[apply(both_stores)]
async fn the_newest_candle_of_each_series_is_answered_with_its_digits(app: TestApp) {
    assert_eq!(app.get(&format!("{PATH}?symbol=none")).await.body, "[]");
    let forming = json!({"complete": false, "close": "1.08500000", "volume": 7});
    app.ingest(&[
        of("b", "H1", 5, json!({})),
        of("b", "H1", 4, json!({"open": "1.0850"})),
        of("a\"=,", "H1", 3, json!({})),
        of("a\"=,", "H1", 2, forming.clone()),
        // Nothing of this series is closed.
        of("a", "M5", 2, forming),
        of("a", "D1", 60, json!({})),
    ])
    .await;
    let answer = app.get(PATH).await;
    assert_eq!(names(&answer), ["a D1", "a M5", "a\"=, H1", "b H1"]);
    let opened = (NOW - 2 * HOUR) * 1000;
    let start = format!(
        "{{\"symbol\":\"a\\\"=,\",\"timeframe\":\"H1\",\"timestamp\":{opened},\"open\":1.08500,\"high\":1.08650,\
         \"low\":1.08480,\"close\":1.08500000,\"volume\":7,\"complete\":false,\"received\":"
    );
    assert!(answer.body.contains(&start), "{}", answer.body);
    assert!(answer.body.contains("\"open\":1.0850,"), "{}", answer.body);
    let entries = answer.json();
    // The database's own clock says when they were stored.
    assert!(entries.as_array().unwrap().iter().all(|entry| entry["received"].as_i64().unwrap() > NOW * 1000));
    assert_eq!(entries[0].get("complete"), None);

    // The closed form replaces the forming one, and an older candle does not.
    app.ingest(&[of("a\"=,", "H1", 2, json!({"close": "1.086"})), of("b", "H1", 9, json!({}))]).await;
    let entries = app.get(&format!("{PATH}?symbol=a%22%3D%2C&symbol=b")).await.json();
    assert_eq!((entries[0]["close"].to_string(), entries[0].get("complete")), ("1.086".to_owned(), None));
    assert_eq!(entries[1]["timestamp"], (NOW - 4 * HOUR) * 1000);
}

#[apply(both_stores)]
async fn filters_and_pages_select_series(app: TestApp) {
    let mut expected = Vec::new();
    let mut candles = Vec::new();
    for n in 10..40 {
        for timeframe in ["H1", "M1", "M5"] {
            expected.push(format!("S{n} {timeframe}"));
            candles.push(of(&format!("S{n}"), timeframe, 3, json!({"complete": n % 3 != 0})));
        }
    }
    app.ingest(&candles).await;
    assert_eq!(names(&app.get(PATH).await), expected);
    let of_h1: Vec<_> = expected.iter().filter(|name| name.ends_with("H1")).cloned().collect();
    assert_eq!(names(&app.get(&format!("{PATH}?timeframe=1h")).await), of_h1);
    assert_eq!(names(&app.get(&format!("{PATH}?symbol=S12&symbol=S15&timeframe=M5")).await), ["S12 M5", "S15 M5"]);
    assert_eq!(names(&app.get(&format!("{PATH}?symbol=S99")).await), Vec::<String>::new());
    for query in ["", "timeframe=M5", "symbol=S12&symbol=S30&symbol=S15"] {
        let whole = names(&app.get(&format!("{PATH}?{query}")).await);
        let (mut found, mut next) = (Vec::new(), Some(format!("{PATH}?{query}&limit=2")));
        while let Some(path) = next {
            let page = app.get(&path).await;
            assert!(names(&page).len() <= 2);
            found.extend(names(&page));
            let link = page.header("link").map(|link| link.strip_prefix('<').unwrap());
            next = link.map(|link| link.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
            assert_eq!(page.header("x-more-after"), Some(if next.is_some() { "true" } else { "false" }));
        }
        assert_eq!(found, whole, "{query}");
    }
    for (query, kind) in [
        ("limit=0", "out_of_range"),
        ("limit=10001", "out_of_range"),
        ("symbol=", "empty"),
        ("timeframe=1M", "ambiguous_timeframe"),
        ("from=1", "unknown_parameter"),
    ] {
        assert_eq!(app.get(&format!("{PATH}?{query}")).await.errors()[0].1, kind, "{query}");
    }
}

#[apply(both_stores)]
async fn unchanged_answers_are_not_sent_again(app: TestApp) {
    app.ingest(&[of("EURUSD", "H1", 3, json!({}))]).await;
    let path = format!("{PATH}?symbol=EURUSD");
    let first = app.get(&path).await;
    let again = || app.request(Method::GET, &path).bearer_auth(crate::harness::TOKEN);
    let same = send(again().header("If-None-Match", first.header("etag").unwrap())).await;
    assert_eq!((same.status.as_u16(), same.body.as_str()), (304, ""));
    // A write of this process is visible at once.
    app.ingest(&[of("EURUSD", "H1", 2, json!({}))]).await;
    let changed = send(again().header("If-None-Match", first.header("etag").unwrap())).await;
    assert_eq!(changed.json()[0]["timestamp"], (NOW - 2 * HOUR) * 1000);
}

/// Other programs may write rows that are not candles, and Postgres tables may not keep when a row was stored.
#[apply(both_stores)]
async fn rows_of_other_programs_are_answered_as_far_as_they_are_candles(app: TestApp) {
    app.ingest(&[of("bad", "H1", 3, json!({})), of("good", "H1", 3, json!({}))]).await;
    let is_sqlite = matches!(app.database, Database::Sqlite(_));
    let (nan, time) = if is_sqlite {
        ("'1' || char(10) || '2'", "timestamp + 3600000")
    } else {
        ("'NaN'", "timestamp + interval '1 hour'")
    };
    let newer = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select symbol, timeframe, {time}, {nan}, high, low, close, volume from market_data_candles where symbol = 'bad'"
    );
    execute(&app.database, &newer).await;
    assert_eq!(names(&app.get(&format!("{PATH}?symbol=bad&symbol=good")).await), ["good H1"]);
    if !is_sqlite {
        execute(&app.database, "alter table market_data_candles drop column created_at").await;
        let entries = app.get(&format!("{PATH}?symbol=good&timeframe=H1")).await.json();
        assert_eq!(entries[0]["received"], Value::Null, "{entries}");
    }
}

#[apply(both_stores)]
async fn the_latest_candles_are_those_of_the_pages(app: TestApp) {
    let mut newest = BTreeMap::new();
    let mut candles = Vec::new();
    for (n, symbol) in (0..).zip(["x", "y", "z", "ä"]) {
        for hours in (2..30).step_by(n + 1) {
            candles.push(of(symbol, "H1", hours, json!({"complete": hours > 3, "volume": hours})));
        }
    }
    app.ingest(&candles).await;
    for entry in app.get(PATH).await.json().as_array().unwrap() {
        let mut entry = entry.clone();
        let symbol = entry["symbol"].as_str().unwrap().to_owned();
        for own in ["symbol", "timeframe", "received"] {
            entry.as_object_mut().unwrap().remove(own);
        }
        newest.insert(symbol, entry);
    }
    assert_eq!(newest.len(), 4);
    for (symbol, entry) in newest {
        let page = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1&limit=1")).await.json();
        assert_eq!(page[0], entry, "{symbol}");
    }
}
