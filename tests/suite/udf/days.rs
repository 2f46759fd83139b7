//! Days of brokers whose days begin elsewhere than at midnight UTC, and the weeks and months that a chart builds from them.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{Datelike as _, Days, NaiveDate, Weekday};
use rstest_reuse::apply;
use serde_json::json;

use super::adapter::{Adapter, Bar, Front, Subscription, start, stored};
use super::{HOUR, MINUTE, get, of, read, times};
use crate::harness::{NOW, StoreKind, TestApp, both_store_kinds, both_stores, run};

const DAY: i64 = 24 * HOUR;

/// The hours by which a clock that changes with New York's is ahead in winter or summer, in 2025 and 2026.
fn with_new_york(date: NaiveDate, winter: i64) -> i64 {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    // The trading date after the night in which the clocks change.
    let in_summer = (day(2025, 3, 10)..day(2025, 11, 3)).contains(&date);
    winter + i64::from(in_summer)
}

/// The minutes by which a clock is ahead of UTC on a date.
type Offset = Box<dyn Fn(NaiveDate) -> i64>;

/// The clocks by which days begin.
fn clocks() -> Vec<(&'static str, Offset)> {
    vec![
        ("UTC", Box::new(|_| 0)),
        // New York's 17:00 is the midnight of a clock seven hours ahead of it, at +2 and in summer at +3.
        ("NY17", Box::new(|date| with_new_york(date, 2) * 60)),
        ("PLUS2", Box::new(|_| 120)),
        ("PLUS3", Box::new(|_| 180)),
        ("NEWYORK", Box::new(|date| with_new_york(date, -5) * 60)),
        ("TOKYO", Box::new(|_| 540)),
        ("WEST", Box::new(|_| -11 * 60 - 45)),
        ("EAST", Box::new(|_| 720)),
    ]
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()
}

/// The weekdays of a year, the last of which is over.
fn dates() -> Vec<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(2025, 2, 3).unwrap();
    let all = (0..390).map(|day| first + Days::new(day));
    all.filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)).collect()
}

#[apply(both_stores)]
async fn days_have_their_trading_dates_wherever_they_begin(app: TestApp) {
    let front = Front::start(&app).await;
    let dates = dates();
    for (symbol, ahead) in clocks() {
        let candles: Vec<_> = (0..)
            .zip(&dates)
            .map(|(n, &date)| {
                let fields = json!({"low": "1.00000", "high": format!("1.{:05}", 20_000 + n), "volume": n});
                of(symbol, "D1", midnight(date) - ahead(date) * MINUTE, fields)
            })
            .collect();
        app.ingest(&candles).await;
        let midnights: Vec<i64> = dates.iter().map(|&date| midnight(date)).collect();
        let history = async |query: String| read(&app, &format!("history?symbol={symbol}&resolution=1D&{query}")).await;
        let all = history(format!("from={}&to={NOW}", midnights[0])).await;
        assert_eq!(times(&all), midnights, "{symbol}");
        // The bounds are compared with these times, whatever the openings are.
        let (first, last) = (midnights[30], midnights[40]);
        assert_eq!(times(&history(format!("from={first}&to={last}")).await), midnights[30..=40], "{symbol}");
        let between = history(format!("from={}&to={}", first + 1, last - 1)).await;
        assert_eq!(times(&between), midnights[31..40], "{symbol}");
        assert_eq!(times(&history(format!("from={first}&to={first}")).await), [first]);
        assert_eq!(times(&history(format!("to={last}&countback=3")).await), midnights[37..40]);
        assert_eq!(times(&history(format!("to={}&countback=3", last + 1)).await), midnights[38..=40]);
        // From a Friday to the Monday after it there is no bar.
        let friday = midnight(NaiveDate::from_ymd_opt(2025, 6, 6).unwrap());
        let weekend = history(format!("from={}&to={}", friday + 1, friday + 3 * DAY - 1)).await;
        assert_eq!(weekend, json!({"s": "no_data", "nextTime": friday, "nb": friday}), "{symbol}");

        let adapter = Adapter { front: &front, symbol, resolution: "1D", max_response_length: 10_000 };
        let days = adapter.load(NOW, 40 * DAY, Some(100)).await;
        assert_eq!(days.keys().copied().collect::<Vec<_>>(), midnights);
        assert_eq!(days, adapter.load(NOW, 25 * DAY, None).await, "{symbol}");
        let in_database: Vec<_> = stored(&app.database, &format!("{symbol} D1")).await.into_values().collect();
        let values = |bars: Vec<Bar>| bars.into_iter().map(|(_, prices, volume)| (prices, volume)).collect::<Vec<_>>();
        assert_eq!(values(days.values().copied().collect()), values(in_database), "{symbol}");
        // A chart builds weeks and months by the times of the days, so these are those of the trading dates as well.
        for (name, start) in [("week", week as fn(NaiveDate) -> NaiveDate), ("month", month)] {
            let built = groups(&days, start);
            let mut expected: BTreeMap<NaiveDate, i64> = BTreeMap::new();
            for (n, &date) in (0..).zip(&dates) {
                *expected.entry(start(date)).or_default() += n;
            }
            assert_eq!(built, expected, "{symbol} {name}");
        }
    }
}

#[apply(both_store_kinds)]
fn days_that_share_a_date_are_one_bar_and_count_once(#[case] kind: StoreKind) {
    run(async move {
        const MAX_LIMIT: usize = 4;
        let app = start(kind, MAX_LIMIT).await;
        let front = Front::start(&app).await;
        // A broker that moved its midnight several times: some dates have a candle from 22:00 and another from 00:00 UTC.
        let date = |n: i64| NOW - 12 * HOUR - DAY * (14 - n);
        let day = |n: i64, ahead: i64| of("EURUSD", "D1", date(n) - ahead * HOUR, json!({"volume": 10 * n + ahead}));
        let shared = [0, 3, 6, 9, 13];
        let candles: Vec<_> = (0..14).map(|n| day(n, 0)).chain(shared.iter().map(|&n| day(n, 2))).collect();
        app.ingest(&candles).await;
        let history = async |query: &str| get(&app, &format!("history?symbol=EURUSD&resolution=1D&{query}")).await;
        let dates = |numbers: Range<i64>| numbers.map(date).collect::<Vec<_>>();
        for (to, count, expected) in [
            (14, 1, 13..14),
            (14, 3, 11..14),
            (10, 2, 8..10),
            (10, 4, 6..10),
            (7, 1, 6..7),
            (4, 4, 0..4),
            // More than an answer holds.
            (13, 5, 9..13),
        ] {
            let answer = history(&format!("to={}&countback={count}", date(to) - 1)).await;
            assert_eq!(times(&answer.json()), dates(expected.clone()), "{count} before {to}");
            let volumes: Vec<i64> = expected.clone().map(|n| 10 * n).collect();
            assert_eq!(answer.json()["v"], json!(volumes), "the later candle of a date counts");
            let left_out: Vec<_> = expected.clone().filter(|n| shared.contains(n)).collect();
            let skipped: Vec<_> = left_out.iter().map(|&n| ((date(n) - 2 * HOUR) * 1000).to_string()).collect();
            assert_eq!(answer.header("x-skipped").unwrap_or_default(), skipped.join(","));
        }
        // The rest of the bars is counted in bars, too.
        let cut = history(&format!("to={}&countback=6", date(14) - 1)).await;
        let rest =
            format!("</api/v1/udf/history?symbol=EURUSD&resolution=1D&to={}&countback=2>; rel=\"prev\"", date(10));
        assert_eq!(cut.header("link"), Some(&*rest));
        assert_eq!(times(&history(&format!("to={}&countback=2", date(10))).await.json()), dates(8..10));
        // Before these four bars there is only the other candle of the first date.
        let all = history(&format!("from={}&to={}", date(0), date(3))).await;
        assert_eq!((times(&all.json()), all.header("x-more-before")), (dates(0..4), Some("false")));
        let more = history(&format!("from={}&to={}", date(0), date(4))).await;
        assert_eq!((times(&more.json()), more.header("x-more-before")), (dates(1..5), Some("true")));

        let adapter = Adapter { front: &front, symbol: "EURUSD", resolution: "1D", max_response_length: MAX_LIMIT };
        for (width, countback) in
            [(5 * DAY, Some(2)), (5 * DAY, Some(4)), (9 * DAY, Some(50)), (30 * DAY, None), (2 * DAY, None)]
        {
            let shown = adapter.load(NOW, width, countback).await;
            assert_eq!(shown.keys().copied().collect::<Vec<_>>(), dates(0..14), "{width} {countback:?}");
        }
    });
}

/// The sums of the volumes of days, by the start of their group.
fn groups(days: &BTreeMap<i64, Bar>, start: impl Fn(NaiveDate) -> NaiveDate) -> BTreeMap<NaiveDate, i64> {
    let mut groups = BTreeMap::new();
    for (time, _, volume) in days.values() {
        let date = chrono::DateTime::from_timestamp(*time, 0).unwrap().date_naive();
        *groups.entry(start(date)).or_default() += volume;
    }
    groups
}

fn week(date: NaiveDate) -> NaiveDate {
    date - Days::new(date.weekday().num_days_from_monday().into())
}

fn month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap()
}

#[apply(both_stores)]
async fn the_day_that_forms_is_followed(app: TestApp) {
    let front = Front::start(&app).await;
    let adapter = Adapter { front: &front, symbol: "EURUSD", resolution: "1D", max_response_length: 10_000 };
    // A broker at +3: Wednesday's candle opens on Tuesday at 21:00 UTC.
    let wednesday = NOW - 12 * HOUR;
    let opening = wednesday - 3 * HOUR;
    let day = |n: i64, volume: i64, complete: bool| {
        of("EURUSD", "D1", opening + n * DAY, json!({"volume": volume, "complete": complete}))
    };
    app.set_clock(opening + 60);
    app.ingest(&[day(-2, 1, true), day(-1, 2, true), day(0, 3, false)]).await;
    let mut subscription = Subscription::new();
    // In the evening before, its time has not come, as with TradingView's own candles.
    subscription.poll(&adapter, opening + HOUR, DAY).await;
    app.set_clock(NOW);
    app.ingest(&[day(0, 4, false)]).await;
    subscription.poll(&adapter, NOW, DAY).await;
    app.set_clock(NOW + 12 * HOUR);
    app.ingest(&[day(0, 5, true), day(1, 6, false)]).await;
    subscription.poll(&adapter, NOW + 13 * HOUR, DAY).await;
    let received: Vec<_> = subscription.received.iter().map(|bar| (bar.0, bar.2)).collect();
    assert_eq!(
        received,
        [(wednesday - DAY, 2), (wednesday - DAY, 2), (wednesday, 4), (wednesday, 5), (wednesday + DAY, 6)]
    );
}
