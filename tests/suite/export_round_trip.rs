//! Posted candles come back from a file in every format: digit by digit from text, and by value from Parquet.

use std::cell::Cell;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::{Method, Response};
use rstest_reuse::apply;
use rust_decimal::Decimal;
use serde_json::json;
use url::form_urlencoded;

use crate::harness::{NOW, StoreKind, TOKEN, TestApp, both_store_kinds};

const HOUR: i64 = 3600;
/// The candles of a page, so that files have several.
const PAGE: usize = 7;
/// The maximum number of digits of a decimal of Parquet.
const MAX_DIGITS: u32 = 38;

/// A candle as it is posted and as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Posted {
    /// In epoch milliseconds.
    opened: i64,
    /// Open, high, low and close.
    prices: [Decimal; 4],
    volume: i64,
}

/// Any price with up to 28 digits, of which up to 28 are behind the point.
fn price() -> impl Strategy<Value = Decimal> {
    let digits = (any::<bool>(), 1..29_u32, any::<u128>(), 0..29_u32);
    let any_size = digits.prop_map(|(negative, digits, coefficient, scale)| {
        let coefficient = i128::try_from(coefficient % 10_u128.pow(digits)).unwrap();
        Decimal::from_i128_with_scale(if negative { -coefficient } else { coefficient }, scale)
    });
    // Prices of a market are near each other, and others need more digits together than a decimal of Parquet has.
    prop_oneof![(-200_000..200_000_i64, 0..6_u32).prop_map(|(value, scale)| Decimal::new(value, scale)), any_size]
}

fn candles() -> impl Strategy<Value = Vec<Posted>> {
    let volume = prop_oneof![0..10_000_i64, Just(i64::MAX)];
    vec(([price(), price(), price(), price()], volume), 1..40).prop_map(|rows| {
        let candle = |(n, (mut prices, volume)): (usize, ([Decimal; 4], i64))| {
            prices.sort_unstable();
            let [low, open, close, high] = prices;
            Posted { opened: (NOW - (50 - n as i64) * HOUR) * 1000, prices: [open, high, low, close], volume }
        };
        rows.into_iter().enumerate().map(candle).collect()
    })
}

/// Symbols with characters that headers, file systems and spreadsheets take for their own.
fn symbol() -> impl Strategy<Value = String> {
    "[-=+@A-Z]{1,4}[\"'/\\\\:*?<>|%,;#&.~ é漢\u{1f600}a-z]{0,12}"
}

#[apply(both_store_kinds)]
fn files_hold_what_was_posted(kind: StoreKind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(async {
        TestApp::start_with(kind.database().await, |environment| {
            environment.with("MAX_LIMIT", PAGE).with("RATE_LIMIT_QUERY", "off").with("RATE_LIMIT_INGEST", "off")
        })
        .await
    });
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let case = Cell::new(0);
    let result = runner.run(&(candles(), symbol()), |(candles, symbol)| {
        // A number of its own separates one case's candles from another's.
        case.set(case.get() + 1);
        runtime.block_on(check(&app, &format!("{symbol}{}", case.get()), &candles))
    });
    result.unwrap();
}

async fn check(app: &TestApp, symbol: &str, candles: &[Posted]) -> Result<(), TestCaseError> {
    let posted = |candle: &Posted| {
        let [open, high, low, close] = candle.prices.map(|price| price.to_string());
        json!({"symbol": symbol, "timeframe": "H1", "timestamp": candle.opened, "unit": "ms", "open": open,
               "high": high, "low": low, "close": close, "volume": candle.volume, "complete": true})
    };
    let answer = app.post(&json!({"candles": candles.iter().map(posted).collect::<Vec<_>>()})).await;
    prop_assert_eq!(answer.counts(candles.len()).0, candles.len() as u64);

    let query = form_urlencoded::Serializer::new(String::new()).append_pair("symbol", symbol).finish();
    let query = format!("{query}&timeframe=H1");
    let answer = file(app, "csv", &format!("{query}&time=ms")).await;
    is_named(&answer, &format!("{symbol}_H1.csv"))?;
    prop_assert_eq!(answer.text().await.unwrap(), csv(candles));
    let ndjson = file(app, "ndjson", &query).await.text().await.unwrap();
    prop_assert_eq!(ndjson, candles.iter().map(|candle| json_line(candle) + "\n").collect::<String>());

    let text = rows(file(app, "parquet", &format!("{query}&prices=text")).await.bytes().await.unwrap());
    let digits = |prices: [String; 4]| prices.map(|price| price.parse::<Decimal>().unwrap().to_string());
    for (row, candle) in text.iter().zip(candles) {
        let (opened, prices, volume) = values(row);
        prop_assert_eq!((opened, volume), (candle.opened, candle.volume));
        prop_assert_eq!(digits(prices.clone()), prices.clone());
        prop_assert_eq!(prices, candle.prices.map(|price| price.to_string()));
    }
    prop_assert_eq!(text.len(), candles.len());
    in_decimals(app, &query, candles).await
}

/// Compares the file with decimals, whose prices have one number of places, by value.
async fn in_decimals(app: &TestApp, query: &str, candles: &[Posted]) -> Result<(), TestCaseError> {
    let prices = || candles.iter().flat_map(|candle| candle.prices);
    let fraction = prices().map(|price| price.scale()).max().unwrap();
    let whole = prices().map(|price| price.trunc().abs().to_string().len() as u32).max().unwrap();
    if fraction + whole > MAX_DIGITS {
        let refused = app.get(&format!("/api/v1/export.parquet?{query}")).await;
        prop_assert_eq!(refused.errors(), [("[\"query\",\"prices\"]".to_owned(), "too_precise".to_owned())]);
        return Ok(());
    }
    let decimals = rows(file(app, "parquet", query).await.bytes().await.unwrap());
    prop_assert_eq!(decimals.len(), candles.len());
    for (row, candle) in decimals.iter().zip(candles) {
        let (opened, prices, volume) = values(row);
        prop_assert_eq!((opened, volume), (candle.opened, candle.volume));
        for (price, posted) in prices.iter().zip(candle.prices) {
            prop_assert_eq!(price, &unscaled(posted, fraction));
        }
    }
    Ok(())
}

/// The integer `price × 10^scale` with the scale behind it.
fn unscaled(price: Decimal, scale: u32) -> String {
    let zeros = "0".repeat((scale - price.scale()) as usize);
    let digits = format!("{}{zeros}", price.mantissa());
    format!("{}e-{scale}", digits.parse::<i128>().unwrap())
}

async fn file(app: &TestApp, format: &str, query: &str) -> Response {
    let request = app.request(Method::GET, &format!("/api/v1/export.{format}?{query}")).bearer_auth(TOKEN);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{query}");
    response
}

/// Checks that the header gives a name that file systems take, and the true one.
fn is_named(answer: &Response, name: &str) -> Result<(), TestCaseError> {
    let header = answer.headers()["content-disposition"].to_str().unwrap();
    let (safe, encoded) = match header.strip_prefix("attachment; filename=\"").unwrap().split_once('"').unwrap() {
        (safe, "") => (safe, None),
        (safe, rest) => (safe, Some(rest.strip_prefix("; filename*=UTF-8''").unwrap())),
    };
    prop_assert!(!safe.contains(|c: char| !c.is_ascii() || "/\\:*?\"<>|%".contains(c)), "{}", header);
    prop_assert_eq!(safe.chars().count(), name.chars().count());
    let decoded = encoded.map_or_else(
        || safe.to_owned(),
        |text| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned(),
    );
    prop_assert_eq!(decoded, name);
    Ok(())
}

fn csv(candles: &[Posted]) -> String {
    let line = |Posted { opened, prices: [open, high, low, close], volume }: &Posted| {
        format!("{opened},{open},{high},{low},{close},{volume}\n")
    };
    let lines: String = candles.iter().map(line).collect();
    format!("timestamp,open,high,low,close,volume\n{lines}")
}

fn json_line(Posted { opened, prices: [open, high, low, close], volume }: &Posted) -> String {
    format!(r#"{{"timestamp":{opened},"open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}}}"#)
}

fn rows(bytes: Bytes) -> Vec<Row> {
    let reader = SerializedFileReader::new(bytes).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

/// The time in epoch milliseconds, the prices as text or as `…e-scale`, and the volume.
fn values(row: &Row) -> (i64, [String; 4], i64) {
    let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
    let [Field::TimestampMillis(opened), prices @ .., Field::Long(volume)] = &fields[..] else { panic!("{row:?}") };
    let price = |field: &&Field| match field {
        Field::Str(text) => text.clone(),
        Field::Decimal(decimal) => {
            let mut bytes = [if decimal.data()[0] >= 0x80 { 0xff } else { 0 }; 16];
            bytes[16 - decimal.data().len()..].copy_from_slice(decimal.data());
            format!("{}e-{}", i128::from_be_bytes(bytes), decimal.scale())
        }
        other => panic!("{other:?}"),
    };
    (*opened, prices.iter().map(price).collect::<Vec<_>>().try_into().unwrap(), *volume)
}
