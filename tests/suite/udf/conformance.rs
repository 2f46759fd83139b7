//! TradingView's published tests of data (tradingview/rest_integrations_docs: source/data_tests), rebuilt from their
//! descriptions, on a market with pauses at night and at weekends.

use std::collections::BTreeMap;

use market::{INSTRUMENTS, Market};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{HOUR, MINUTE, get, of, read, times};
use crate::harness::{NOW, StoreKind, TestApp, both_store_kinds, run};
use rstest_reuse::apply;

const DAY: i64 = 24 * HOUR;
/// Gold, whose market rests for an hour each night.
const SYMBOL: &str = "XAUUSD";
/// The first minute that is stored.
const LEFT: i64 = NOW - 6 * DAY;

/// Minutes of six days, closed up to the clock, with every 97th missing, and the days of sessions that are whole.
struct Feed {
    app: TestApp,
    /// Times and open and close prices of the stored minutes.
    minutes: BTreeMap<i64, (Decimal, Decimal)>,
}

impl Feed {
    async fn start(kind: StoreKind) -> Self {
        let app = TestApp::start_on(kind).await;
        let mut market = Market::new();
        let instrument = INSTRUMENTS.iter().find(|instrument| instrument.symbol == SYMBOL).unwrap();
        let (mut minutes, mut posts) = (BTreeMap::new(), Vec::new());
        for time in (LEFT..NOW).step_by(60) {
            let Some(candle) = market.candle(instrument, time * 1000).filter(|_| (time / 60) % 97 != 0) else {
                continue;
            };
            let price = |field| {
                let mut text = String::new();
                candle.ohlc.get(field).write_to(&mut text);
                text
            };
            let [open, high, low, close] = candle::OhlcField::ALL.map(price);
            minutes.insert(time, (open.parse().unwrap(), close.parse().unwrap()));
            let values = json!({"open": open, "high": high, "low": low, "close": close, "volume": candle.volume.get()});
            posts.push(of(SYMBOL, "M1", time, values));
        }
        for part in posts.chunks(5000) {
            app.ingest(part).await;
        }
        let feed = Self { app, minutes };
        feed.app.ingest(&feed.days()).await;
        feed
    }

    /// The days that a terminal would send: from one 18:00 in New York to the next.
    fn days(&self) -> Vec<Value> {
        let mut days: BTreeMap<i64, Vec<(Decimal, Decimal)>> = BTreeMap::new();
        for (&time, &prices) in &self.minutes {
            days.entry(session(time)).or_default().push(prices);
        }
        let of_day = |(start, prices): (i64, Vec<(Decimal, Decimal)>)| {
            let all = prices.iter().flat_map(|(open, close)| [*open, *close]);
            let (low, high) = (all.clone().min().unwrap(), all.max().unwrap());
            let (open, close) = (prices.first().unwrap().0, prices.last().unwrap().1);
            let [open, high, low, close] = [open, high, low, close].map(|price| price.to_string());
            let complete = start + DAY <= NOW;
            of(
                SYMBOL,
                "D1",
                start,
                json!({"open": open, "high": high, "low": low, "close": close, "complete": complete}),
            )
        };
        days.into_iter().map(of_day).collect()
    }

    async fn history(&self, resolution: &str, query: &str) -> Value {
        let path = format!("history?symbol={SYMBOL}&resolution={resolution}&{query}");
        let answer = read(&self.app, &path).await;
        self.check_no_data(resolution, query, &answer).await;
        answer
    }

    /// The rules for answers without data, which every test of theirs applies.
    async fn check_no_data(&self, resolution: &str, query: &str, answer: &Value) {
        if answer["s"] != "no_data" {
            return;
        }
        let parameters: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name: &str| parameters[name].parse::<i64>().unwrap();
        // Beside a count, `to` is exclusive.
        let (from, to) = (number("from"), number("to") - i64::from(parameters.contains_key("countback")));
        let wider = format!("history?symbol={SYMBOL}&resolution={resolution}&from=0&to={to}");
        let wider = read(&self.app, &wider).await;
        match answer["nb"].as_i64() {
            Some(next) => assert!(next < from && times(&wider).last() == Some(&next), "{answer}"),
            None => assert_eq!(wider["s"], "no_data", "nothing precedes {query}"),
        }
    }
}

/// The opening of the session that holds a time: 18:00 in New York, which is 23:00 UTC in these days of winter.
fn session(time: i64) -> i64 {
    (time - 23 * HOUR).div_euclid(DAY) * DAY + 23 * HOUR
}

#[apply(both_store_kinds)]
fn minutes_pass_the_tests(#[case] kind: StoreKind) {
    run(async move {
        let feed = Feed::start(kind).await;
        from_equals_to(&feed).await;
        countback_minutes(&feed).await;
        outside_bars_inclusion(&feed).await;
        several_short_queries_equal_a_large_one(&feed).await;
        repeatability(&feed).await;
        time_correctness(&feed).await;
        future_minutes(&feed).await;
        no_data_with_next_bar(&feed).await;
        beyond_the_left_boundary(&feed).await;
        no_data_changes(&feed).await;
        unauthorized_request(&feed).await;
    });
}

#[apply(both_store_kinds)]
fn days_pass_the_tests(#[case] kind: StoreKind) {
    run(async move {
        let feed = Feed::start(kind).await;
        future_daily(&feed).await;
        price_match(&feed).await;
        daily_history_availability(&feed).await;
    });
}

/// A request whose bounds are the time of a bar answers this bar.
async fn from_equals_to(feed: &Feed) {
    for time in feed.minutes.keys().step_by(500) {
        assert_eq!(times(&feed.history("1", &format!("from={time}&to={time}")).await), [*time]);
    }
}

/// Never more bars than asked for, and fewer only if nothing is older.
async fn countback_minutes(feed: &Feed) {
    for end in [NOW, NOW - 14 * HOUR, LEFT + 200 * MINUTE, LEFT] {
        for count in [1, 50, 329, 2000] {
            let answer = feed.history("1", &format!("from={LEFT}&to={end}&countback={count}")).await;
            let expected: Vec<i64> = feed.minutes.range(..end).rev().take(count).map(|(time, _)| *time).collect();
            let found = if answer["s"] == "ok" { times(&answer) } else { Vec::new() };
            assert_eq!(found, expected.into_iter().rev().collect::<Vec<_>>(), "{count} before {end}");
        }
    }
}

/// From 50 minutes and a second before an instant to that, a second off the minute, there are at most 50 bars.
async fn outside_bars_inclusion(feed: &Feed) {
    let to = NOW - 30 * MINUTE - 1;
    let from = to - 50 * MINUTE + 1;
    let found = times(&feed.history("1", &format!("from={from}&to={to}")).await);
    let expected: Vec<i64> = feed.minutes.range(from..=to).map(|(time, _)| *time).collect();
    assert_eq!(found, expected);
    assert!(found.len() <= 50 && found.len() >= 48, "{}", found.len());
    assert_eq!((found[0] / 60, found[found.len() - 1] / 60), (from / 60, to / 60));
}

/// Ten requests for 20 minutes each answer the bars of one for 200.
async fn several_short_queries_equal_a_large_one(feed: &Feed) {
    let start = session(NOW);
    let large = times(&feed.history("1", &format!("from={start}&to={}", start + 200 * MINUTE)).await);
    let mut joined = Vec::new();
    for part in 0..10 {
        let from = start + part * 20 * MINUTE;
        joined.extend(times(&feed.history("1", &format!("from={from}&to={}", from + 20 * MINUTE)).await));
    }
    joined.dedup();
    assert_eq!(joined, large);
}

async fn repeatability(feed: &Feed) {
    let query = format!("from={}&to={NOW}", NOW - 10 * HOUR);
    assert_eq!(feed.history("1", &query).await, feed.history("1", &query).await);
}

/// Times rise from bar to bar.
async fn time_correctness(feed: &Feed) {
    let found = times(&feed.history("1", &format!("from={LEFT}&to={NOW}")).await);
    assert!(found.is_sorted_by(|one, next| one < next));
    assert_eq!(found.len(), feed.minutes.len());
}

/// A request into the future is answered up to the newest bar.
async fn future_minutes(feed: &Feed) {
    let found = times(&feed.history("1", &format!("from={}&to={}", NOW - HOUR, NOW + 10 * DAY)).await);
    assert_eq!(found.last(), feed.minutes.keys().last());
    assert!(found.iter().all(|time| *time <= NOW));
}

/// The answer for each hole of a session is `no_data` with the time of the bar before.
async fn no_data_with_next_bar(feed: &Feed) {
    let start = session(NOW);
    let found = times(&feed.history("1", &format!("from={start}&to={}", start + 500 * MINUTE)).await);
    let holes: Vec<_> = found.windows(2).filter(|pair| pair[1] - pair[0] == 2 * MINUTE).collect();
    assert!(holes.len() >= 5, "{holes:?}");
    for hole in holes {
        let missing = hole[0] + MINUTE;
        let answer = feed.history("1", &format!("from={missing}&to={missing}")).await;
        assert_eq!((&answer["s"], &answer["nb"]), (&json!("no_data"), &json!(hole[0])));
    }
}

/// Before the first bar there is no data, and no next bar.
async fn beyond_the_left_boundary(feed: &Feed) {
    let left = feed.minutes.keys().next().unwrap();
    let answer = feed.history("1", &format!("from={}&to={}", left - DAY, left - 10 * MINUTE)).await;
    assert_eq!(answer, json!({"s": "no_data"}));
}

/// A later answer begins with the bars of an earlier one.
async fn no_data_changes(feed: &Feed) {
    let from = NOW - 30 * MINUTE;
    let earlier = feed.history("1", &format!("from={from}&to={NOW}")).await;
    feed.app.set_clock(NOW + 2 * MINUTE);
    feed.app.ingest(&[of(SYMBOL, "M1", NOW, json!({"open": 2350, "high": 2350, "low": 2350, "close": 2350}))]).await;
    let later = feed.history("1", &format!("from={from}&to={}", NOW + 2 * MINUTE)).await;
    for column in ["t", "o", "h", "l", "c", "v"] {
        let (earlier, later) = (earlier[column].as_array().unwrap(), later[column].as_array().unwrap());
        assert_eq!(later.len(), earlier.len() + 1);
        assert!(later.starts_with(earlier), "{column}");
    }
}

async fn unauthorized_request(feed: &Feed) {
    let path = format!("/api/v1/udf/history?symbol={SYMBOL}&resolution=1&from=0&to={NOW}");
    let request = feed.app.request(reqwest::Method::GET, &path).bearer_auth("a-token-of-somebody-else");
    assert_eq!(crate::harness::send(request).await.status, 401);
}

/// A request into the future is answered with days that have begun.
async fn future_daily(feed: &Feed) {
    let found = times(&feed.history("1D", &format!("from={}&to={}", NOW - 30 * DAY, NOW + 30 * DAY)).await);
    assert!(found.iter().all(|time| *time <= NOW), "{found:?}");
    assert_eq!(found.last(), Some(&(NOW - 12 * HOUR)));
}

/// A day opens and closes as the first and the last minute of its session do.
async fn price_match(feed: &Feed) {
    let days = feed.history("1D", &format!("from={}&to={NOW}", NOW - 30 * DAY)).await;
    for (n, time) in times(&days).into_iter().enumerate() {
        let start = time - HOUR;
        let minutes = feed.history("1", &format!("from={start}&to={}", start + DAY - 1)).await;
        assert_eq!(days["o"][n], minutes["o"][0], "{time}");
        assert_eq!(days["c"][n], *minutes["c"].as_array().unwrap().last().unwrap(), "{time}");
    }
}

/// Days are there, and their times are at midnight UTC.
async fn daily_history_availability(feed: &Feed) {
    let info = get(&feed.app, &format!("symbols?symbol={SYMBOL}")).await.json();
    assert_eq!(info["has_daily"], true);
    let found = times(&feed.history("1D", &format!("from={}&to={NOW}", NOW - 365 * DAY)).await);
    assert!(found.len() >= 4, "{found:?}");
    assert!(found.iter().all(|time| time % DAY == 0));
}
