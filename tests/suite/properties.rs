//! Properties of every input: digits survive, pages tile a series, counts add up.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{KEY, NOW, StoreKind, TestApp, both_store_kinds, candle, send, with};

const HOUR: i64 = 3600;

/// Checks a property with this many inputs, all against one service.
fn check<Input: Strategy>(
    kind: StoreKind,
    cases: u32,
    inputs: Input,
    property: &impl AsyncFn(&TestApp, &str, Input::Value) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::start_on(kind));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let case = Cell::new(0);
    let result = runner.run(&inputs, |input| {
        // A symbol of its own separates one case's candles from another's.
        case.set(case.get() + 1);
        runtime.block_on(property(&app, &format!("CASE{}", case.get()), input))
    });
    result.unwrap();
}

#[apply(both_store_kinds)]
fn digits_survive(kind: StoreKind) {
    check(kind, 48, vec(decimal(), 1..40), &digits_come_back);
}

#[apply(both_store_kinds)]
fn numbers_are_stored_exactly_or_refused(kind: StoreKind) {
    check(kind, 48, vec(number(), 1..40), &each_number_is_exact_or_refused);
}

#[apply(both_store_kinds)]
fn pages_tile_a_series(kind: StoreKind) {
    check(kind, 24, series(), &walks_meet_each_candle_once);
}

#[apply(both_store_kinds)]
fn a_page_can_be_posted_back(kind: StoreKind) {
    check(kind, 48, btree_set(opening(), 1..30), &posted_back_is_the_same);
}

#[apply(both_store_kinds)]
fn counts_add_up(kind: StoreKind) {
    check(kind, 32, vec(vec(post(), 1..12), 1..6), &the_store_agrees_with_a_model);
}

/// A decimal as a terminal may write it, and its canonical form.
fn decimal() -> impl Strategy<Value = (String, String)> {
    let digits = (any::<bool>(), 0..28_usize, "[0-9]{1,28}", -6..7_i32, 0..4_u8);
    digits.prop_filter_map("within 28 digits", |(negative, point, digits, exponent, style)| {
        let point = point.min(digits.len());
        let (integer, fraction) = digits.split_at(digits.len() - point);
        let integer = match integer.trim_start_matches('0') {
            "" => "0",
            trimmed => trimmed,
        };
        let mut text = String::from(if negative { "-" } else { "" });
        text.push_str(integer);
        if !fraction.is_empty() {
            text.push('.');
            text.push_str(fraction);
        }
        let exponent = if style == 0 { 0 } else { exponent };
        match style {
            0 => {}
            1 => text = format!("{text}e{exponent}"),
            2 => text = format!("{text}E{exponent:+}"),
            _ => text = format!("{text}e{exponent:+03}"),
        }
        canonical(negative, &format!("{integer}{fraction}"), fraction.len() as i32 - exponent).map(|form| (text, form))
    })
}

/// Any JSON number, however long, and its canonical form if it has one.
fn number() -> impl Strategy<Value = (String, Option<String>)> {
    ("-?", "0|[1-9][0-9]{0,39}", proptest::option::of("[0-9]{1,39}"), proptest::option::of(-60..61_i32)).prop_map(
        |(sign, integer, fraction, exponent)| {
            let fraction = fraction.unwrap_or_default();
            let point = if fraction.is_empty() { "" } else { "." };
            let power = exponent.map_or(String::new(), |exponent| format!("e{exponent}"));
            let scale = fraction.len() as i32 - exponent.unwrap_or(0);
            let form = canonical(!sign.is_empty(), &format!("{integer}{fraction}"), scale);
            (format!("{sign}{integer}{point}{fraction}{power}"), form)
        },
    )
}

/// The contract's rule by string arithmetic alone: scale = max(0, fraction digits − exponent).
fn canonical(negative: bool, digits: &str, scale: i32) -> Option<String> {
    let significant = digits.trim_start_matches('0');
    let zeros = if significant.is_empty() { 0 } else { usize::try_from(-scale).unwrap_or(0) };
    let coefficient = format!("{significant}{}", "0".repeat(zeros));
    let scale = usize::try_from(scale).unwrap_or(0);
    if coefficient.len() > 28 || scale > 28 {
        return None;
    }
    let padded = format!("{coefficient:0>width$}", width = scale + 1);
    let (integer, fraction) = padded.split_at(padded.len() - scale);
    let sign = if negative && !significant.is_empty() { "-" } else { "" };
    Some(if scale == 0 { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") })
}

async fn digits_come_back(app: &TestApp, symbol: &str, decimals: Vec<(String, String)>) -> Result<(), TestCaseError> {
    let mut candles = Vec::new();
    for (n, (text, _)) in decimals.iter().enumerate() {
        let price = if n % 2 == 0 { text.clone() } else { format!("\"{text}\"") };
        let time = NOW - (n as i64 + 2) * HOUR;
        candles.push(format!(r#"{{"symbol":"{symbol}","timeframe":"H1","timestamp":{time},"open":{price},"high":{price},"low":{price},"close":{price},"volume":1}}"#));
    }
    let answer = app.post_bytes(format!(r#"{{"candles":[{}]}}"#, candles.join(","))).await;
    prop_assert_eq!(answer.counts(decimals.len()).0, decimals.len() as u64);
    let answer = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await;
    let expected: Vec<_> = decimals
        .iter()
        .enumerate()
        .rev()
        .map(|(n, (_, form))| {
            let time = (NOW - (n as i64 + 2) * HOUR) * 1000;
            format!(r#"{{"timestamp":{time},"open":{form},"high":{form},"low":{form},"close":{form},"volume":1}}"#)
        })
        .collect();
    prop_assert_eq!(answer.body, format!("[{}]", expected.join(",")));
    Ok(())
}

async fn each_number_is_exact_or_refused(
    app: &TestApp,
    symbol: &str,
    numbers: Vec<(String, Option<String>)>,
) -> Result<(), TestCaseError> {
    let time = |n: usize| NOW - (n as i64 + 2) * HOUR;
    let sent: Vec<String> = numbers
        .iter()
        .enumerate()
        .map(|(n, (text, _))| {
            let time = time(n);
            format!(r#"{{"symbol":"{symbol}","timeframe":"H1","timestamp":{time},"open":{text},"high":{text},"low":"{text}","close":"{text}","volume":1}}"#)
        })
        .collect();
    let request = app.request(reqwest::Method::POST, "/api/v1/candles").header("X-API-KEY", KEY);
    let body = format!(r#"{{"candles":[{}]}}"#, sent.join(","));
    let answer = send(request.header("Prefer", "handling=lenient").body(body)).await;
    let exact = numbers.iter().filter(|(_, form)| form.is_some()).count();
    prop_assert_eq!(answer.counts(numbers.len()).0, exact as u64);
    for rejection in answer.json()["rejected"].as_array().unwrap() {
        prop_assert_eq!(&rejection["type"], "too_precise");
    }
    let read = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await.body;
    let expected: Vec<_> = (0..numbers.len())
        .rev()
        .filter_map(|n| {
            let (form, time) = (numbers[n].1.as_ref()?, time(n) * 1000);
            Some(format!(
                r#"{{"timestamp":{time},"open":{form},"high":{form},"low":{form},"close":{form},"volume":1}}"#
            ))
        })
        .collect();
    prop_assert_eq!(read, format!("[{}]", expected.join(",")));
    Ok(())
}

/// Hours before now at which a candle opened, and whether it closed; gaps between them; and the size of a page.
fn series() -> impl Strategy<Value = (BTreeMap<i64, bool>, usize)> {
    (btree_map(1..60_i64, any::<bool>(), 0..30), 1..12_usize)
}

async fn walks_meet_each_candle_once(
    app: &TestApp,
    symbol: &str,
    (hours, page): (BTreeMap<i64, bool>, usize),
) -> Result<(), TestCaseError> {
    let at = |hours: i64, closed: bool| with(candle(NOW - hours * HOUR), json!({"symbol": symbol, "complete": closed}));
    let candles: Vec<Value> = hours.iter().map(|(hours, closed)| at(*hours, *closed)).collect();
    if !candles.is_empty() {
        app.ingest(&candles).await;
    }
    // Opening time and whether it is closed, of every candle that is stored at any moment.
    let mut stored: BTreeMap<i64, bool> = hours.iter().map(|(hours, closed)| (NOW - hours * HOUR, *closed)).collect();
    let oldest = stored.first_key_value().map_or(NOW, |(time, _)| *time);

    // After each page a newer candle arrives, and a candle that the page showed as forming is closed.
    let mut newest = NOW;
    for parameter in ["before", "after"] {
        let start = if parameter == "before" { newest + 1 } else { oldest - 1 };
        let mut expected = stored.clone();
        let mut met: Vec<(i64, bool)> = Vec::new();
        let mut path = format!("/api/v1/candles?symbol={symbol}&timeframe=H1&limit={page}&{parameter}={start}");
        for number in 0.. {
            let answer = app.get(&path).await;
            let body = answer.json();
            let candles = body.as_array().unwrap();
            let mut times: Vec<(i64, bool)> = candles
                .iter()
                .map(|candle| (candle["timestamp"].as_i64().unwrap() / 1000, candle.get("complete").is_none()))
                .collect();
            prop_assert!(times.len() <= page);
            prop_assert!(times.is_sorted_by(|a, b| a.0 < b.0));
            let read_while_forming = times.iter().find(|(_, closed)| !closed).map(|(time, _)| *time);
            if parameter == "before" {
                times.append(&mut met);
                met = times;
            } else {
                met.append(&mut times);
            }
            let Some(link) = answer.header("link") else { break };
            prop_assert_eq!(candles.len(), page, "only the last page is short");
            path = link[1..link.find('>').unwrap()].to_owned();

            if let Some(time) = read_while_forming {
                let closed = with(candle(time), json!({"symbol": symbol, "complete": true}));
                prop_assert_eq!(app.ingest(&[closed]).await, (1, 0, 0));
                stored.insert(time, true);
            }
            if number < 10 {
                newest += HOUR;
                app.set_clock(newest);
                app.ingest(&[with(candle(newest), json!({"symbol": symbol, "complete": false}))]).await;
                stored.insert(newest, false);
                if parameter == "after" {
                    expected.insert(newest, false);
                }
            }
        }
        prop_assert_eq!(met, expected.into_iter().collect::<Vec<_>>(), "{}", parameter);
    }

    // The parameters by hand, as a chart sends them, without following links.
    let mut met = BTreeSet::new();
    let mut before = (newest + 1) * 1000;
    loop {
        let body =
            app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1&limit={page}&before={before}")).await.json();
        let Some(first) = body[0]["timestamp"].as_i64() else { break };
        for candle in body.as_array().unwrap() {
            prop_assert!(met.insert(candle["timestamp"].as_i64().unwrap() / 1000), "twice");
        }
        before = first;
    }
    prop_assert_eq!(met.into_iter().collect::<Vec<_>>(), stored.into_keys().collect::<Vec<_>>());
    Ok(())
}

/// Seconds at which a candle of H1 may have opened, in all years and often in those whose milliseconds look like seconds.
fn opening() -> impl Strategy<Value = i64> {
    let seconds =
        prop_oneof![-8_520_336_000..NOW - 2 * HOUR, -120_000_000..120_000_000_i64, -12_000_000..12_000_000_i64];
    seconds.prop_map(|seconds| (seconds.div_euclid(300) * 300).max(-8_520_336_000))
}

async fn posted_back_is_the_same(app: &TestApp, symbol: &str, times: BTreeSet<i64>) -> Result<(), TestCaseError> {
    let candles: Vec<Value> = times
        .iter()
        .map(|time| with(candle(*time), json!({"symbol": symbol, "unit": "s", "complete": time % 600 == 0})))
        .collect();
    app.ingest(&candles).await;
    let read = async |symbol: &str| app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await.body;
    let page = read(symbol).await;
    let copy = format!("{symbol}COPY");
    for (symbol, added) in [(symbol, false), (&*copy, true)] {
        let body = format!(r#"{{"symbol":"{symbol}","timeframe":"H1","unit":"ms","candles":{page}}}"#);
        let answer = app.post_bytes(body).await;
        let (closed, ..) = answer.counts(times.len());
        prop_assert_eq!(closed > 0, added && page.matches("false").count() < times.len());
    }
    prop_assert_eq!(read(&copy).await, read(symbol).await);
    Ok(())
}

/// A candle as posted: hours before now, closed or forming, volume.
fn post() -> impl Strategy<Value = (i64, bool, i64)> {
    (1..6_i64, any::<bool>(), 0..5_i64)
}

/// Posts batches that overlap and compares counts and rows with the simplest correct model.
async fn the_store_agrees_with_a_model(
    app: &TestApp,
    symbol: &str,
    batches: Vec<Vec<(i64, bool, i64)>>,
) -> Result<(), TestCaseError> {
    let mut closed: BTreeMap<i64, i64> = BTreeMap::new();
    let mut forming: BTreeMap<i64, i64> = BTreeMap::new();
    for batch in batches {
        let candles: Vec<Value> = batch
            .iter()
            .map(|(hours, complete, volume)| {
                with(candle(NOW - hours * HOUR), json!({"symbol": symbol, "complete": complete, "volume": volume}))
            })
            .collect();
        let mut last: BTreeMap<i64, (bool, i64)> = BTreeMap::new();
        for (hours, complete, volume) in &batch {
            let entry = last.entry(*hours).or_insert((*complete, *volume));
            if *complete || !entry.0 {
                *entry = (*complete, *volume);
            }
        }
        let (mut added, mut live) = (0, 0);
        for (hours, (complete, volume)) in &last {
            if *complete && !closed.contains_key(hours) {
                closed.insert(*hours, *volume);
                added += 1;
            }
        }
        for (hours, (complete, volume)) in &last {
            if !*complete && !closed.contains_key(hours) && forming.get(hours).is_none_or(|stored| stored <= volume) {
                forming.insert(*hours, *volume);
                live += 1;
            }
        }
        let counts = app.ingest(&candles).await;
        prop_assert_eq!(counts, (added, batch.len() as u64 - added - live, live));
    }
    let stored = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await.json();
    let stored: Vec<(i64, i64, bool)> = stored
        .as_array()
        .unwrap()
        .iter()
        .map(|candle| {
            let hours = (NOW - candle["timestamp"].as_i64().unwrap() / 1000) / HOUR;
            (hours, candle["volume"].as_i64().unwrap(), candle.get("complete").is_none())
        })
        .collect();
    let mut expected: BTreeMap<i64, (i64, bool)> =
        forming.into_iter().map(|(hours, volume)| (hours, (volume, false))).collect();
    expected.extend(closed.into_iter().map(|(hours, volume)| (hours, (volume, true))));
    let expected: Vec<_> =
        expected.into_iter().rev().map(|(hours, (volume, closed))| (hours, volume, closed)).collect();
    prop_assert_eq!(stored, expected);
    Ok(())
}

#[test]
fn the_canonical_form_is_that_of_the_contract() {
    assert_eq!(canonical(false, "10850", 3).as_deref(), Some("10.850"));
    assert_eq!(canonical(true, "000", 2).as_deref(), Some("0.00"));
}
