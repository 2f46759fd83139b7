//! Files of built candles are those of the slow model, however small their pages are.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rstest_reuse::apply;
use serde_json::json;

use super::model::{self, DAY};
use super::pages::{Case, DAYS, case};
use super::{MONDAY, minute};
use crate::harness::{Environment, NOW, StoreKind, TestApp, both_store_kinds, both_stores};

#[apply(both_store_kinds)]
fn files_are_those_of_the_slow_model(kind: StoreKind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(async {
        let small = |environment: Environment| {
            environment.with("MAX_LIMIT", 5).with("RATE_LIMIT_QUERY", "off").with("RATE_LIMIT_INGEST", "off")
        };
        TestApp::start_with(kind.database().await, small).await
    });
    // After all of the model's candles.
    app.set_clock(NOW + 2 * 365 * DAY);
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    let result = runner.run(&case(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(check(&app, &format!("CASE{}", number.get()), case))
    });
    result.unwrap();
}

async fn check(app: &TestApp, symbol: &str, case: Case) -> Result<(), TestCaseError> {
    let Case { clock, source, timeframe, week, rows, bounds: (from, to), .. } = case;
    let (closed, forming): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.closed);
    for rows in [closed].into_iter().chain(forming.into_iter().map(|row| vec![row])) {
        let batch: Vec<_> = rows.iter().map(|(second, row)| model::posted(symbol, source, **second, row)).collect();
        if !batch.is_empty() {
            prop_assert_eq!(app.post(&json!({ "candles": batch })).await.status.as_u16(), 201);
        }
    }
    let all = model::build(&clock, week, source, timeframe, &rows);
    let query = format!(
        "symbol={symbol}&timeframe={timeframe}&source={source}&align={}&week={}&unit=ms",
        clock.align,
        DAYS[usize::try_from(week).unwrap()]
    );
    let (low, high) = (from * 1000, to * 1000);
    for (bounds, query, forming) in [
        (i64::MIN..i64::MAX, query.clone(), true),
        (i64::MIN..i64::MAX, query.clone(), false),
        (low..high + 1, format!("{query}&from={low}&to={high}"), true),
        (low..i64::MAX, format!("{query}&from={low}"), false),
    ] {
        let kept = || {
            let candles = all.range(bounds.clone()).map(|(_, candle)| candle);
            candles.filter(|candle| forming || !candle.contains("complete"))
        };
        let query = if forming { format!("{query}&forming=true") } else { query };
        let ndjson = app.get(&format!("/api/v1/export.ndjson?{query}")).await.body;
        prop_assert_eq!(ndjson, kept().map(|candle| candle.clone() + "\n").collect::<String>(), "{}", query);
        let csv = app.get(&format!("/api/v1/export.csv?{query}&time=ms")).await.body;
        let lines = csv.split_once('\n').unwrap().1;
        prop_assert_eq!(lines, kept().map(|candle| csv_line(candle, forming)).collect::<String>(), "{}", query);
    }
    Ok(())
}

/// The line of a candle that is given as JSON.
fn csv_line(candle: &str, forming: bool) -> String {
    let values: Vec<_> = candle[1..candle.len() - 1].split(',').map(|field| field.split_once(':').unwrap().1).collect();
    let complete = match (forming, values.len() == 6) {
        (false, _) => "",
        (true, true) => ",true",
        (true, false) => ",false",
    };
    format!("{}{complete}\n", values[..6].join(","))
}

#[apply(both_stores)]
async fn a_built_file_says_how_it_was_built_and_refuses_what_cannot_be(app: TestApp) {
    // Two minutes of one hour, the second of which is open, with more digits than the closed ones.
    app.ingest(&[minute(MONDAY, json!({})), minute(MONDAY + 3600, json!({}))]).await;
    app.ingest(&[minute(MONDAY + 60, json!({"close": "1.0862001", "complete": false}))]).await;
    let path = "/api/v1/export.parquet?symbol=EURUSD&timeframe=H1&source=M1&align=ny17&week=sunday";
    let request = app.request(reqwest::Method::GET, path).bearer_auth(crate::harness::TOKEN);
    let bytes = request.send().await.unwrap().bytes().await.unwrap();
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(bytes).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader).file_metadata().clone();
    let pairs: Vec<_> = metadata
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone().unwrap()))
        .collect();
    let expected = [("symbol", "EURUSD"), ("timeframe", "H1"), ("source", "M1"), ("align", "ny17"), ("week", "sunday")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(pairs[..5], expected);
    let closed = app.get("/api/v1/export.csv?symbol=EURUSD&timeframe=H1&source=M1").await.body;
    assert_eq!(closed.lines().skip(1).collect::<Vec<_>>(), ["2025-08-04T00:00:00Z,1.085,1.0865,1.0848,1.0862001,2400"]);
    for (query, errors) in [
        ("timeframe=H1&align=utc", &[("source", "missing")][..]),
        ("timeframe=H1&source=H4", &[("source", "not_shorter")]),
        ("timeframe=M5&source=M2", &[("source", "not_a_divisor")]),
        ("timeframe=H1&source=M1&align=Nowhere", &[("align", "unknown_zone")]),
        ("timeframe=H1&source=M1&limit=5", &[("limit", "unknown_parameter")]),
    ] {
        let refused = app.get(&format!("/api/v1/export.ndjson?symbol=EURUSD&{query}")).await;
        let names: Vec<_> = refused.errors().into_iter().map(|(name, _)| name).collect();
        let expected: Vec<_> = errors.iter().map(|(name, _)| format!("[\"query\",\"{name}\"]")).collect();
        assert_eq!(names, expected, "{query}");
    }
    // A sum of volumes that no candle holds.
    let huge = |second: i64| minute(second, json!({"symbol": "HUGE", "volume": i64::MAX}));
    app.ingest(&[huge(MONDAY), huge(MONDAY + 60)]).await;
    let refused = app.get("/api/v1/export.csv?symbol=HUGE&timeframe=H1&source=M1&forming=true").await;
    assert_eq!(refused.errors(), [("[\"query\",\"timeframe\"]".to_owned(), "out_of_range".to_owned())]);
}
