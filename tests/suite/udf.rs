//! Candles for charts of TradingView's, as its own adapter asks for them.

mod adapter;
mod conformance;
mod days;
mod marks;
mod symbols_file;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, NOW, TOKEN, TestApp, both_stores, candle, send, with};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// A candle of a symbol.
fn of(symbol: &str, timeframe: &str, time: i64, fields: Value) -> Value {
    let own = json!({"symbol": symbol, "timeframe": timeframe, "complete": true});
    with(with(candle(time), own), fields)
}

async fn get(app: &TestApp, path: &str) -> Answer {
    app.get(&format!("/api/v1/udf/{path}")).await
}

async fn read(app: &TestApp, path: &str) -> Value {
    let answer = get(app, path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The sentence of a fault.
async fn fault(app: &TestApp, path: &str) -> String {
    let answer = get(app, path).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["s"], "error", "{path}: {body}");
    body["errmsg"].as_str().unwrap().to_owned()
}

/// The times of an answer with bars.
#[track_caller]
fn times(answer: &Value) -> Vec<i64> {
    assert_eq!(answer["s"], "ok", "{answer}");
    answer["t"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap()).collect()
}

async fn execute(database: &Database, sql: &str) {
    use sqlx::{Connection as _, Executor as _, SqliteConnection};
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

#[apply(both_stores)]
async fn the_configuration_names_what_is_stored_or_can_be_built(app: TestApp) {
    let config = read(&app, "config").await;
    assert_eq!(config["supported_resolutions"], json!(["1", "5", "15", "30", "60", "240"]));
    assert_eq!(config["exchanges"], json!([{"value": "", "name": "All", "desc": ""}]));
    assert_eq!(config["symbols_types"], json!([{"name": "All", "value": ""}]));
    for (name, is) in [
        ("supports_search", true),
        ("supports_group_request", false),
        ("supports_marks", true),
        ("supports_timescale_marks", true),
        ("supports_time", true),
    ] {
        assert_eq!(config[name], is, "{name}");
    }
    app.ingest(&[of("A", "M10", NOW - HOUR, json!({})), of("B", "D1", NOW - 36 * HOUR, json!({}))]).await;
    // An answer about all symbols may be a second old.
    crate::harness::eventually(async || {
        let resolutions = &read(&app, "config").await["supported_resolutions"];
        *resolutions
            == json!([
                "1", "5", "10", "15", "20", "30", "60", "120", "180", "240", "360", "480", "720", "1D", "1W", "1M"
            ])
    })
    .await;
}

#[apply(both_stores)]
async fn a_symbol_is_described_by_what_is_stored_of_it(app: TestApp) {
    assert_eq!(read(&app, "symbols?symbol=A").await, json!({"s": "error", "errmsg": "unknown_symbol"}));
    let symbol = "a:b/c d";
    app.ingest(&[of(symbol, "M1", NOW - 3 * MINUTE, json!({})), of(symbol, "H1", NOW - 2 * HOUR, json!({}))]).await;
    let path = "symbols?symbol=a%3Ab%2Fc%20d";
    assert_eq!(
        read(&app, path).await,
        json!({
            "name": symbol, "ticker": symbol, "description": symbol, "type": "cfd", "exchange": "", "listed_exchange": "",
            "session": "24x7", "timezone": "Etc/UTC", "format": "price", "minmov": 1, "pricescale": 100_000,
            "has_intraday": true, "intraday_multipliers": ["1", "60"], "has_seconds": false, "has_daily": false,
            "has_weekly_and_monthly": false, "visible_plots_set": "ohlcv", "volume_precision": 0,
            "data_status": "streaming",
            "supported_resolutions": ["1", "2", "3", "4", "5", "6", "10", "12", "15", "20", "30", "60", "120", "180", "240",
                                      "360", "480", "720"],
        })
    );
    // A day is seen at once by the process that stored it.
    app.ingest(&[of(symbol, "D1", NOW - 36 * HOUR, json!({"open": "1.085001"}))]).await;
    let info = read(&app, path).await;
    assert_eq!(info["has_daily"], true);
    assert!(info["supported_resolutions"].as_array().unwrap().ends_with(&[json!("1D"), json!("1W"), json!("1M")]));
    assert_eq!(info["pricescale"], 1_000_000);

    // Of this symbol no candle is closed, and of that one only days are stored.
    let forming = json!({"complete": false, "open": "12", "high": "12.5", "low": "12", "close": "12.25"});
    app.ingest(&[of("F", "M5", NOW - 5 * MINUTE, forming), of("D", "D1", NOW - 36 * HOUR, json!({}))]).await;
    let info = read(&app, "symbols?symbol=F").await;
    assert_eq!((&info["pricescale"], &info["intraday_multipliers"]), (&json!(100), &json!(["5"])));
    let info = read(&app, "symbols?symbol=D").await;
    assert_eq!((&info["has_intraday"], &info["supported_resolutions"]), (&json!(false), &json!(["1D", "1W", "1M"])));
}

#[apply(both_stores)]
async fn a_search_finds_symbols_that_contain_a_text(app: TestApp) {
    let symbols = ["EURUSD", "eurjpy", "USDJPY", "XEUR", "Ärzte", "GOLD"];
    let candles: Vec<_> = symbols.iter().map(|symbol| of(symbol, "H1", NOW - 2 * HOUR, json!({}))).collect();
    app.ingest(&candles).await;
    app.ingest(&[of("EURUSD", "M1", NOW - 2 * HOUR, json!({}))]).await;
    let found = async |query: &str| -> Vec<String> {
        let list = read(&app, &format!("search?{query}")).await;
        list.as_array().unwrap().iter().map(|found| found["symbol"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("query=EUR&type=&exchange=&limit=30").await, ["EURUSD", "eurjpy", "XEUR"]);
    assert_eq!(found("query=eur&limit=2").await, ["EURUSD", "eurjpy"]);
    assert_eq!(found("query=JPY").await, ["USDJPY", "eurjpy"]);
    assert_eq!(found("query=%C3%A4RZ").await, ["Ärzte"]);
    assert_eq!(found("").await.len(), symbols.len());
    assert_eq!(found("query=usd&exchange=ICM").await, Vec::<String>::new());
    assert_eq!(found("query=usd&type=cfd").await.len(), 2);
    assert_eq!(
        read(&app, "search?query=gol").await,
        json!([{"symbol": "GOLD", "full_name": "GOLD", "ticker": "GOLD", "description": "GOLD", "exchange": "", "type": "cfd"}])
    );
    assert_eq!(
        fault(&app, "search?limit=0").await,
        "The query is not valid: limit must be a whole number from 1 to 1000."
    );
}

#[apply(both_stores)]
async fn bars_are_columns_with_the_digits_that_are_stored(app: TestApp) {
    let start = NOW - 5 * HOUR;
    app.ingest(&[
        of("EURUSD", "H1", start, json!({"open": "1.0850", "volume": 7})),
        of("EURUSD", "H1", start + HOUR, json!({})),
        of("EURUSD", "H1", start + 4 * HOUR, json!({"complete": false, "volume": 0})),
    ])
    .await;
    let answer = get(&app, &format!("history?symbol=EURUSD&resolution=60&from={start}&to={NOW}")).await;
    assert_eq!(
        answer.body,
        format!(
            r#"{{"s":"ok","t":[{start},{},{}],"o":[1.0850,1.08500,1.08500],"h":[1.08650,1.08650,1.08650],"l":[1.08480,1.08480,1.08480],"c":[1.08620,1.08620,1.08620],"v":[7,1200,0]}}"#,
            start + HOUR,
            start + 4 * HOUR
        )
    );
    assert_eq!(answer.header("x-more-before"), Some("false"));
    assert_eq!((answer.header("x-more-after"), answer.header("link")), (None, None));
    // As with pages, an unchanged answer is a 304, and a post to the series is in the next answer.
    let etag = answer.header("etag").unwrap().to_owned();
    let path = format!("/api/v1/udf/history?symbol=EURUSD&resolution=60&from={start}&to={NOW}");
    let again = async || {
        let request = app.request(Method::GET, &path).bearer_auth(TOKEN).header("If-None-Match", &etag);
        send(request).await.status
    };
    assert_eq!(again().await, 304);
    app.ingest(&[of("EURUSD", "H1", start + 2 * HOUR, json!({}))]).await;
    assert_eq!(again().await, 200);
    let head = send(app.request(Method::HEAD, &path).bearer_auth(TOKEN)).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
}

#[apply(both_stores)]
async fn the_bounds_of_bars_are_those_of_the_protocol(app: TestApp) {
    let start = NOW - HOUR;
    let candles: Vec<_> = (0..10).map(|n| of("EURUSD", "M1", start + n * MINUTE, json!({}))).collect();
    app.ingest(&candles).await;
    let at = |n: i64| start + n * MINUTE;
    let history = async |query: String| read(&app, &format!("history?symbol=EURUSD&resolution=1&{query}")).await;
    // Both bounds are inclusive, and `to` is exclusive beside a count, which outranks `from`.
    assert_eq!(times(&history(format!("from={}&to={}", at(2), at(4))).await), [at(2), at(3), at(4)]);
    assert_eq!(times(&history(format!("from={}&to={}&countback=2", at(0), at(4))).await), [at(2), at(3)]);
    assert_eq!(times(&history(format!("to={}&countback=3", at(100))).await), [at(7), at(8), at(9)]);
    assert_eq!(times(&history(format!("from={}&to={}&countback=5", at(8), at(2))).await), [at(0), at(1)]);
    // Times beyond all calendars select whatever lies within.
    assert_eq!(times(&history(format!("from={}&to={}", i64::MIN + 1, i64::MAX)).await).len(), 10);
    assert_eq!(times(&history(format!("to={}&countback=99999999999", i64::MAX)).await).len(), 10);
    // Where there is nothing, the nearest earlier bar is named.
    let earlier = json!({"s": "no_data", "nextTime": at(9), "nb": at(9)});
    assert_eq!(history(format!("from={}&to={}", at(20), at(30))).await, earlier);
    assert_eq!(history(format!("to={}&countback=0", at(30))).await, earlier);
    let none = json!({"s": "no_data"});
    assert_eq!(history(format!("from={}&to={}", at(-20), at(-1))).await, none);
    assert_eq!(history(format!("to={}&countback=5", at(0))).await, none);
    assert_eq!(history(format!("from={}&to={}", i64::MIN + 1, i64::MIN + 2)).await, none);
}

#[apply(both_stores)]
async fn faults_of_the_question_are_answers_of_the_protocol(app: TestApp) {
    app.ingest(&[of("EURUSD", "M5", NOW - HOUR, json!({})), of("DAYS", "D1", NOW - 36 * HOUR, json!({}))]).await;
    for (path, sentence) in [
        ("history?symbol=GBPUSD&resolution=5&from=0&to=9", "unknown_symbol"),
        ("history?symbol=GBPUSD&resolution=1D&from=0&to=9", "unknown_symbol"),
        ("history?resolution=5&from=0&to=9", "The query is not valid: symbol is missing."),
        ("history?symbol=EURUSD&resolution=5&to=9", "The query is not valid: from is missing."),
        ("history?symbol=EURUSD&resolution=5&countback=3", "The query is not valid: to is missing."),
        (
            "history?symbol=EURUSD&resolution=5&from=9&to=8",
            "The query is not valid: to is earlier than from; send from and to in their order.",
        ),
        (
            "history?symbol=EURUSD&resolution=5&from=2025-08-01&to=9",
            "The query is not valid: from must be a whole number of seconds since 1970.",
        ),
        (
            "history?symbol=EURUSD&resolution=5&to=9&countback=-1",
            "The query is not valid: countback must be a whole number of bars.",
        ),
        (
            "history?symbol=EURUSD&resolution=7&from=0&to=9",
            "The query is not valid: resolution must be one of 1 2 3 4 5 6 10 12 15 20 30 60 120 180 240 360 480 720 1D 1W 1M.",
        ),
        (
            "history?symbol=EURUSD&resolution=1W&from=0&to=9",
            "The query is not valid: resolution is built by charts from days; ask for 1D.",
        ),
        (
            "history?symbol=EURUSD&resolution=5&from=0&to=9&currencyCode=EUR",
            "The query is not valid: currencyCode is not a parameter of this route, which takes symbol, resolution, from, to, \
             countback.",
        ),
        (
            "history?symbol=EURUSD&resolution=1&from=0&to=9",
            "M1 candles of EURUSD are neither stored nor can they be built from what is: M5.",
        ),
        (
            "history?symbol=EURUSD&resolution=1D&from=0&to=9",
            "D1 candles of EURUSD are not stored; a chart builds days from minutes.",
        ),
        (
            "history?symbol=DAYS&resolution=60&from=0&to=9",
            "H1 candles of DAYS are neither stored nor can they be built from what is: D1.",
        ),
        ("symbols", "The query is not valid: symbol is missing."),
        ("symbols?symbol=", "The query is not valid: symbol is empty; send the symbol's name, such as EURUSD."),
        ("marks?symbol=EURUSD&from=0&to=9", "The query is not valid: resolution is missing."),
        (
            "timescale_marks?symbol=EURUSD&from=9&to=0&resolution=5",
            "The query is not valid: to is earlier than from; send from and to in their order.",
        ),
    ] {
        assert_eq!(fault(&app, path).await, sentence, "{path}");
    }
}

#[apply(both_stores)]
async fn refusals_stay_problems(app: TestApp) {
    for route in [
        "config",
        "symbols?symbol=EURUSD",
        "search",
        "history?symbol=EURUSD&resolution=1&from=0&to=9",
        "marks?symbol=EURUSD&from=0&to=9&resolution=1",
        "timescale_marks?symbol=EURUSD&from=0&to=9&resolution=1",
        "time",
    ] {
        let path = format!("/api/v1/udf/{route}");
        send(app.request(Method::GET, &path)).await.problem(401, "unauthorized");
        send(app.request(Method::GET, &path).header("X-API-KEY", crate::harness::KEY))
            .await
            .problem(403, "wrong_scope");
        send(app.request(Method::POST, &path).bearer_auth(TOKEN)).await.problem(405, "method_not_allowed");
        assert_eq!(app.get(&path).await.status, 200, "{route}");
    }
    app.get("/api/v1/udf/quotes").await.problem(404, "not_found");
    for table in ["market_data_candles", "market_data_live_candles"] {
        execute(&app.database, &format!("drop table {table}")).await;
    }
    get(&app, "history?symbol=X&resolution=1&from=0&to=9").await.problem(503, "unavailable");
    get(&app, "symbols?symbol=X").await.problem(503, "unavailable");
}

#[apply(both_stores)]
async fn the_time_is_the_servers(app: TestApp) {
    let answer = get(&app, "time").await;
    assert_eq!((answer.body.as_str(), answer.header("cache-control")), (&*NOW.to_string(), Some("private, no-store")));
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
}

#[apply(both_stores)]
async fn a_resolution_that_is_not_stored_is_built_from_the_shortest_that_is(app: TestApp) {
    let start = NOW - 12 * HOUR;
    let price = |n: i64| format!("1.{:03}0", 100 + n);
    let minute = |n: i64| {
        let fields = json!({"open": price(n), "high": price(n), "low": price(n), "close": price(n), "volume": 1});
        of("EURUSD", "M5", start + n * 5 * MINUTE, fields)
    };
    let candles: Vec<_> = (0..100).map(minute).collect();
    app.ingest(&candles).await;
    let (from, to) = (start + HOUR, start + 3 * HOUR);
    let built = read(&app, &format!("history?symbol=EURUSD&resolution=60&from={from}&to={to}")).await;
    assert_eq!(times(&built), [from, from + HOUR, to]);
    assert_eq!(built["o"].to_string(), "[1.112,1.124,1.136]");
    assert_eq!(built["c"].to_string(), "[1.123,1.135,1.147]");
    assert_eq!(built["v"], json!([12, 12, 12]));
    // The same candles as a page builds of them.
    let page =
        app.get(&format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&source=M5&from={from}&to={to}")).await.json();
    let highs: Vec<_> = page.as_array().unwrap().iter().map(|candle| candle["high"].clone()).collect();
    assert_eq!(built["h"], json!(highs));
    let newest = read(&app, &format!("history?symbol=EURUSD&resolution=60&to={NOW}&countback=2")).await;
    assert_eq!(times(&newest), [start + 7 * HOUR, start + 8 * HOUR]);
    let none = read(&app, &format!("history?symbol=EURUSD&resolution=60&from={}&to={NOW}", NOW - HOUR)).await;
    assert_eq!(none["nextTime"], start + 8 * HOUR);
    let before = read(&app, &format!("history?symbol=EURUSD&resolution=60&to={start}&countback=9")).await;
    assert_eq!(before, json!({"s": "no_data"}));
    // A stored candle ends that: stored bars are answered as they are.
    app.ingest(&[of("EURUSD", "H1", from, json!({}))]).await;
    let stored = read(&app, &format!("history?symbol=EURUSD&resolution=60&from={start}&to={NOW}")).await;
    assert_eq!(times(&stored), [from]);
}

#[apply(both_stores)]
async fn rows_that_are_not_candles_do_not_count(app: TestApp) {
    let start = NOW - HOUR;
    let candles: Vec<_> = (0..10).map(|n| of("EURUSD", "M1", start + n * MINUTE, json!({}))).collect();
    app.ingest(&candles).await;
    let broken = (start + 8 * MINUTE) * 1000;
    let time = match &app.database {
        Database::Sqlite(_) => broken.to_string(),
        Database::Postgres(_) => format!("to_timestamp({broken} / 1000)"),
    };
    execute(&app.database, &format!("update market_data_candles set high = 'NaN' where timestamp = {time}")).await;
    let answer = get(&app, &format!("history?symbol=EURUSD&resolution=1&to={NOW}&countback=3")).await;
    let at = |n: i64| start + n * MINUTE;
    assert_eq!(times(&answer.json()), [at(6), at(7), at(9)]);
    assert_eq!(answer.header("x-skipped"), Some(&*broken.to_string()));
    // Nothing else is there, so the next bar is an earlier one.
    let alone = read(&app, &format!("history?symbol=EURUSD&resolution=1&from={0}&to={0}", at(8))).await;
    assert_eq!(alone, json!({"s": "no_data", "nextTime": at(7), "nb": at(7)}));
}
