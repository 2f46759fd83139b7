//! Pages of built candles are those of the slow model, whatever is asked for.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::model::{self, CLOCKS, Candles, Clock, DAY, Row};
use crate::harness::{Answer, Environment, NOW, StoreKind, TestApp, both_store_kinds};

const SOURCES: [&str; 6] = ["M1", "M5", "M15", "H1", "H4", "D1"];
const TIMEFRAMES: [&str; 11] = ["M2", "M5", "M10", "M30", "H1", "H2", "H4", "H12", "D1", "W1", "MN1"];
pub(super) const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A stored series, and what is built from it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) clock: Clock,
    pub(super) source: &'static str,
    pub(super) timeframe: &'static str,
    pub(super) week: i64,
    pub(super) rows: BTreeMap<i64, Row>,
    limit: usize,
    pub(super) bounds: (i64, i64),
}

fn divides(source: &str, timeframe: &str) -> bool {
    let (source, timeframe) = (model::length(source), model::length(timeframe));
    timeframe == 0 || (source < timeframe && (timeframe >= DAY || timeframe % source == 0))
}

fn row() -> impl Strategy<Value = Row> {
    let price = (-2_000_000_i64..2_000_000, 0..6_u32);
    (price, 0..500_i64, 0..500_i64, 0..1000_i64, prop::bool::weighted(0.9)).prop_map(
        |((middle, scale), up, down, volume, closed)| {
            let text = |value: i64| {
                let magnitude = format!("{:0>width$}", value.abs(), width = scale as usize + 1);
                let (whole, fraction) = magnitude.split_at(magnitude.len() - scale as usize);
                let sign = if value < 0 { "-" } else { "" };
                if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
            };
            let prices = [text(middle), text(middle + up), text(middle - down), text(middle + up / 2)];
            Row { prices, volume, closed }
        },
    )
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let clock = prop::sample::select(&CLOCKS[..])
        .prop_flat_map(|(clock, instants)| (Just(clock), prop::sample::select(instants)));
    let pairs: Vec<_> = SOURCES
        .iter()
        .flat_map(|&source| TIMEFRAMES.iter().map(move |&timeframe| (source, timeframe)))
        .filter(|(source, timeframe)| divides(source, timeframe))
        .collect();
    // Runs of candles with gaps between them, some of which are longer than a step of the service covers.
    let runs = prop::collection::vec((-4_000..4_000_i64, 1..40_usize), 1..6);
    (
        clock,
        prop::sample::select(pairs),
        0..7_i64,
        runs,
        prop::collection::vec(row(), 200),
        1..30_usize,
        any::<(u16, u16)>(),
    )
        .prop_map(|((clock, instant), (source, timeframe), week, runs, values, limit, bounds)| {
            let length = model::length(source);
            let middle = instant.div_euclid(length.max(900)) * length.max(900);
            // The clocks of the model are known for some months around the instant.
            let most = if length == DAY { 60 } else { 200 };
            let mut rows = BTreeMap::new();
            let mut values = values.into_iter();
            for (start, count) in runs {
                for n in 0..count as i64 {
                    let Some(row) = values.next() else { break };
                    rows.insert(middle + (start / 60 * 3 % most + n) * length, row);
                }
            }
            let (first, last) = (*rows.keys().next().unwrap(), *rows.keys().last().unwrap());
            let at = |part: u16| first - DAY + (last - first + 2 * DAY) * i64::from(part) / i64::from(u16::MAX);
            let (from, to) = (at(bounds.0), at(bounds.1));
            Case { clock, source, timeframe, week, rows, limit, bounds: (from.min(to), from.max(to)) }
        })
}

#[apply(both_store_kinds)]
fn pages_are_those_of_the_slow_model(kind: StoreKind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(async {
        let unlimited =
            |environment: Environment| environment.with("RATE_LIMIT_QUERY", "off").with("RATE_LIMIT_INGEST", "off");
        TestApp::start_with(kind.database().await, unlimited).await
    });
    // After all of the model's candles.
    app.set_clock(NOW + 2 * 365 * DAY);
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    let result = runner.run(&case(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(check(&app, &format!("CASE{}", number.get()), case))
    });
    result.unwrap();
}

async fn check(app: &TestApp, symbol: &str, case: Case) -> Result<(), TestCaseError> {
    let Case { clock, source, timeframe, week, rows, limit, bounds: (from, to) } = case;
    let (closed, forming): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.closed);
    let posted = |(second, row): &(&i64, &Row)| model::posted(symbol, source, **second, row);
    for batch in [closed.iter().map(posted).collect::<Vec<Value>>()]
        .into_iter()
        .chain(forming.iter().map(|row| vec![posted(row)]))
    {
        if !batch.is_empty() {
            let answer = app.post(&json!({ "candles": batch })).await;
            prop_assert_eq!(answer.status.as_u16(), 201, "{:?}", answer);
        }
    }
    let all = model::build(&clock, week, source, timeframe, &rows);
    let path = format!(
        "/api/v1/candles?symbol={symbol}&timeframe={timeframe}&source={source}&align={}&week={}",
        clock.align,
        DAYS[usize::try_from(week).unwrap()]
    );
    let whole = app.get(&format!("{path}&from=1990-01-01&to=2030-01-01")).await;
    prop_assert_eq!(&whole.body, &model::body(all.values()), "{}", path);
    // The same page is selected as among stored candles.
    let (low, high) = (from * 1000, to * 1000);
    let kept = |bounds: std::ops::Range<i64>| all.range(bounds).map(|(_, candle)| candle).collect::<Vec<_>>();
    let ends = i64::MIN / 2..i64::MAX / 2;
    let newest = |candles: Vec<_>| model::body(candles[candles.len().saturating_sub(limit)..].iter().copied());
    let oldest = |candles: Vec<_>| model::body(candles.into_iter().take(limit));
    for (query, expected) in [
        (String::new(), newest(kept(ends.clone()))),
        (format!("&from={low}"), oldest(kept(low..ends.end))),
        (format!("&after={low}"), oldest(kept(low + 1..ends.end))),
        (format!("&to={high}"), newest(kept(ends.start..high + 1))),
        (format!("&before={high}"), newest(kept(ends.start..high))),
        (format!("&from={low}&to={high}"), oldest(kept(low..high + 1))),
        (format!("&from={low}&before={}", high + 1), newest(kept(low..high + 1))),
    ] {
        let page = app.get(&format!("{path}{query}&unit=ms&limit={limit}")).await;
        prop_assert_eq!(&page.body, &expected, "{}{}&limit={}", path, query, limit);
    }
    for (first, back) in [("&from=1990-01-01".to_owned(), false), (String::new(), true)] {
        let walked = walk(app, format!("{path}{first}&limit={limit}"), back).await;
        prop_assert_eq!(walked, model::body(all.values()), "{}{}", path, first);
    }
    Ok(())
}

/// All pages, by their links, as one body.
async fn walk(app: &TestApp, first: String, back: bool) -> String {
    let mut pages: Vec<String> = Vec::new();
    let mut path = Some(first);
    while let Some(next) = path {
        let answer = app.get(&next).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        path = link(&answer);
        assert_eq!(answer.header("x-more-before"), Some(if back && path.is_some() { "true" } else { "false" }));
        pages.push(answer.body[1..answer.body.len() - 1].to_owned());
        assert!(pages.len() <= 300, "the pages end");
    }
    if back {
        pages.reverse();
    }
    model::body(&pages)
}

fn link(answer: &Answer) -> Option<String> {
    answer.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned())
}

/// A series whose candles lie days, weeks and years apart takes no more than a few statements.
#[apply(both_store_kinds)]
fn candles_that_lie_far_apart_are_found(kind: StoreKind) {
    crate::harness::run(async move {
        let app = TestApp::start_on(kind).await;
        let row = Row { prices: ["1", "3", "1", "2"].map(str::to_owned), volume: 1, closed: true };
        // From 1843 on, ever further apart.
        let times: Vec<i64> = (0..60).map(|n: i64| -4_000_000_020 + n * n * n * 27_000).collect();
        let posted: Vec<_> = times.iter().map(|second| model::posted("FAR", "M1", *second, &row)).collect();
        app.ingest(&posted).await;
        let candle = |second: &i64| {
            let start = second.div_euclid(300) * 300_000;
            (start, format!(r#"{{"timestamp":{start},"open":1,"high":3,"low":1,"close":2,"volume":1}}"#))
        };
        let mut expected: Candles = times.iter().map(candle).collect();
        let newest = expected.last_entry().unwrap();
        let forming = newest.get().replace('}', r#","complete":false}"#);
        *newest.into_mut() = forming;
        for (query, back) in [("&from=1700-01-01", false), ("", true)] {
            let path = format!("/api/v1/candles?symbol=FAR&timeframe=M5&source=M1{query}");
            assert_eq!(app.get(&path).await.body, model::body(expected.values()));
            assert_eq!(walk(&app, format!("{path}&limit=7"), back).await, model::body(expected.values()));
        }
    });
}
