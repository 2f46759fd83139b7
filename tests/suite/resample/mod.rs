//! Candles that are built from stored ones of a shorter timeframe: `source`, `align` and `week`.

mod exports;
mod model;
mod pages;
mod plans;

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, NOW, TestApp, both_stores, candle, send, with};

/// 2025-08-04T00:00:00Z, a Monday.
const MONDAY: i64 = 1_754_265_600;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A closed candle of EURUSD M1.
fn minute(second: i64, fields: Value) -> Value {
    with(with(candle(second), json!({"timeframe": "M1", "complete": true})), fields)
}

async fn built(app: &TestApp, query: &str) -> Answer {
    app.get(&format!("/api/v1/candles?symbol=EURUSD&{query}")).await
}

/// The opening times in seconds, and whether each candle is closed.
#[track_caller]
fn states(answer: &Answer) -> Vec<(i64, bool)> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let state = |candle: &Value| (candle["timestamp"].as_i64().unwrap() / 1000, candle.get("complete").is_none());
    answer.json().as_array().unwrap().iter().map(state).collect()
}

fn times(answer: &Answer) -> Vec<i64> {
    states(answer).into_iter().map(|(time, _)| time).collect()
}

#[apply(both_stores)]
async fn a_built_candle_is_exact_to_the_digit(app: TestApp) {
    app.ingest(&[
        minute(MONDAY, json!({"open": "1.10", "high": "1.2000", "low": "1.0999", "close": "1.1", "volume": 7})),
        minute(
            MONDAY + 60,
            json!({"open": "1.1", "high": "1.20000000000000000000000001", "low": "1.0", "close": "1.1", "volume": 5}),
        ),
        minute(
            MONDAY + 3540,
            json!({"open": "1.1", "high": "1.19", "low": "0.99999999999999999", "close": "1.150", "volume": 1}),
        ),
        minute(MONDAY + HOUR, json!({"open": "-37.630", "high": "-0.10", "low": "-40.00", "close": "-1", "volume": 0})),
        minute(MONDAY + HOUR + 60, json!({"open": "-0.5", "high": "-0.1", "low": "-40", "close": "-0.5", "volume": 3})),
        minute(MONDAY + 2 * HOUR, json!({"open": "0.00", "high": "100", "low": "0", "close": "100.0", "volume": 2})),
    ])
    .await;
    let answer = built(&app, "timeframe=H1&source=M1").await;
    assert_eq!(
        answer.body,
        [
            r#"[{"timestamp":1754265600000,"open":1.1,"high":1.20000000000000000000000001,"low":0.99999999999999999,"close":1.15,"volume":13}"#,
            r#"{"timestamp":1754269200000,"open":-37.63,"high":-0.1,"low":-40,"close":-0.5,"volume":3}"#,
            r#"{"timestamp":1754272800000,"open":0,"high":100,"low":0,"close":100,"volume":2,"complete":false}]"#,
        ]
        .join(",")
    );
    assert_eq!((answer.header("x-more-before"), answer.header("x-more-after")), (Some("false"), Some("false")));
    // Stored candles are answered as they are, and a series that is not stored is empty.
    assert_eq!(built(&app, "timeframe=H1").await.body, "[]");
    assert_eq!(built(&app, "timeframe=H1&source=M5").await.body, "[]");
    assert!(built(&app, "timeframe=M1&limit=6").await.body.contains(r#""open":1.10,"#));
}

#[apply(both_stores)]
async fn a_posted_minute_moves_a_forming_candle_and_its_last_one_closes_it(app: TestApp) {
    let start = NOW - NOW % (4 * HOUR);
    app.set_clock(start + 60);
    let forming = |second: i64, close: &str| minute(second, json!({"high": "1.09", "close": close, "complete": false}));
    app.ingest(&[minute(start - 60, json!({})), forming(start, "1.0870")]).await;
    let query = "timeframe=H4&source=M1&limit=2";
    let state = async || {
        let answer = built(&app, query).await;
        let last = answer.json()[1].clone();
        (states(&answer), last["close"].clone(), last["volume"].clone())
    };
    let stored = |closed| vec![(start - 4 * HOUR, true), (start, closed)];
    assert_eq!(state().await, (stored(false), json!(1.087), json!(1200)));
    app.ingest(&[with(forming(start, "1.0880"), json!({"volume": 1300}))]).await;
    assert_eq!(state().await, (stored(false), json!(1.088), json!(1300)));
    app.set_clock(start + 4 * HOUR);
    app.ingest(&[minute(start, json!({"high": "1.09", "close": "1.0890"})), minute(start + 4 * HOUR - 120, json!({}))])
        .await;
    assert_eq!(state().await, (stored(false), json!(1.0862), json!(2400)));
    // The last minute is open, and then closed.
    app.ingest(&[forming(start + 4 * HOUR - 60, "1.0891")]).await;
    assert_eq!(state().await, (stored(false), json!(1.0891), json!(3600)));
    app.ingest(&[minute(start + 4 * HOUR - 60, json!({"high": "1.09", "close": "1.0892"}))]).await;
    assert_eq!(state().await, (stored(true), json!(1.0892), json!(3600)));
}

#[apply(both_stores)]
async fn a_candle_is_closed_by_what_is_stored_and_not_by_the_clock(app: TestApp) {
    // Friday's last hour without its last minute.
    let friday = MONDAY + 4 * DAY + 20 * HOUR;
    app.ingest(&[minute(friday, json!({})), minute(friday + 58 * 60, json!({}))]).await;
    assert_eq!(states(&built(&app, "timeframe=H1&source=M1").await), [(friday, false)]);
    // Sunday's first one, even while it is open.
    app.set_clock(friday + 2 * DAY + 2 * HOUR);
    app.ingest(&[minute(friday + 2 * DAY + HOUR, json!({"complete": false}))]).await;
    let later = built(&app, "timeframe=H1&source=M1").await;
    assert_eq!(states(&later), [(friday, true), (friday + 2 * DAY + HOUR, false)]);
    // The page of Friday alone agrees.
    assert_eq!(states(&built(&app, &format!("timeframe=H1&source=M1&to={friday}")).await), [(friday, true)]);
}

#[apply(both_stores)]
async fn days_and_weeks_begin_where_align_and_week_say(app: TestApp) {
    // Hours of two weeks around the change of clocks in Athens, 2025-03-30T01:00:00Z.
    let change = 1_743_296_400;
    let first = change - 9 * DAY;
    let hours: Vec<_> = (0..14 * 24).map(|n| with(candle(first + n * HOUR), json!({"complete": true}))).collect();
    app.ingest(&hours).await;
    let days = |answer: &Answer| {
        let day = |candle: &Value| candle["volume"].as_i64().unwrap() / 1200;
        answer.json().as_array().unwrap().iter().map(day).collect::<Vec<_>>()
    };
    let around = format!("from={}&limit=4", change - 2 * DAY);
    let athens = built(&app, &format!("timeframe=D1&source=H1&align=Europe/Athens&{around}")).await;
    let midnight = change - 3 * HOUR;
    assert_eq!(times(&athens), [midnight - DAY, midnight, midnight + 23 * HOUR, midnight + 47 * HOUR]);
    assert_eq!(days(&athens), [24, 23, 24, 24]);
    let quarters = built(&app, &format!("timeframe=H6&source=H1&align=Europe/Athens&from={midnight}&limit=5")).await;
    assert_eq!(days(&quarters), [6, 6, 6, 5, 6]);
    let utc = built(&app, &format!("timeframe=D1&source=H1&{around}")).await;
    assert_eq!(days(&utc), [24; 4]);
    // The week from Monday 00:00 in Athens to the next has 167 hours.
    let monday = midnight - 6 * DAY;
    let week = built(&app, &format!("timeframe=W1&source=H1&align=Europe/Athens&from={monday}&limit=1")).await;
    assert_eq!((times(&week), days(&week)), (vec![monday], vec![167]));
    let week = built(&app, "timeframe=W1&source=H1&align=Europe/Athens&week=sunday").await;
    assert_eq!(times(&week), [midnight - 14 * DAY, midnight - 7 * DAY, midnight]);
    // Sunday 17:00 in New York opens Monday's day and the week.
    let sunday = MONDAY - 3 * HOUR;
    app.ingest(&[minute(sunday - 60, json!({})), minute(sunday, json!({})), minute(MONDAY, json!({}))]).await;
    let opened = built(&app, "timeframe=W1&source=M1&align=ny17&limit=1").await;
    assert_eq!(times(&opened), [sunday]);
}

#[apply(both_stores)]
async fn a_post_is_in_the_next_answer_and_an_unchanged_answer_is_a_304(app: TestApp) {
    app.ingest(&[minute(MONDAY, json!({})), minute(MONDAY + HOUR, json!({}))]).await;
    let path = "/api/v1/candles?symbol=EURUSD&timeframe=H1&source=M1&align=%2B03:00";
    let get = async |tag: &str| {
        let request = app.request(reqwest::Method::GET, path).bearer_auth(crate::harness::TOKEN);
        send(request.header("If-None-Match", tag)).await
    };
    let first = app.get(path).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(get(&tag).await.status, 304);
    app.ingest(&[minute(MONDAY + HOUR + 60, json!({"high": "1.5"}))]).await;
    let changed = get(&tag).await;
    assert_eq!((changed.status.as_u16(), &changed.json()[1]["high"]), (200, &json!(1.5)));
    assert_ne!(changed.header("etag"), Some(&*tag));
    // A large answer is compressed as stored pages are.
    let many: Vec<_> = (2..200).map(|n| minute(MONDAY + n * HOUR, json!({}))).collect();
    app.ingest(&many).await;
    let request = app.request(reqwest::Method::GET, path).bearer_auth(crate::harness::TOKEN);
    let encoded = send(request.header("Accept-Encoding", "gzip").header("If-None-Match", "\"none\"")).await;
    assert_eq!(encoded.header("content-encoding"), Some("gzip"));
}

#[apply(both_stores)]
async fn a_limit_is_bounded_by_the_candles_that_are_read(app: TestApp) {
    let days: Vec<_> = (0..1390).map(|n| minute(MONDAY - n * DAY, json!({}))).collect();
    app.ingest(&days).await;
    let query = "timeframe=D1&source=M1";
    assert_eq!(times(&built(&app, query).await).len(), 1000);
    let all = built(&app, &format!("{query}&from=2020-01-01&to=2026-01-01")).await;
    assert_eq!((times(&all).len(), all.header("x-more-after")), (1388, Some("true")));
    assert_eq!(times(&built(&app, &format!("{query}&limit=1388")).await).len(), 1388);
    let refused = built(&app, &format!("{query}&limit=1389")).await;
    assert_eq!(refused.errors(), [(r#"["query","limit"]"#.to_owned(), "out_of_range".to_owned())]);
    let message = refused.json()["errors"][0]["msg"].as_str().unwrap().to_owned();
    assert!(message.contains("from 1 to 1388") && message.contains("source=M5"), "{message}");
    // Months take the largest part, and a short limit.
    assert_eq!(times(&built(&app, "timeframe=MN1&source=M1").await).len(), 44);
    built(&app, "timeframe=MN1&source=M1&limit=45").await.problem(422, "invalid_values");
}

#[apply(both_stores)]
async fn what_cannot_be_built_is_refused_with_what_can(app: TestApp) {
    #[rustfmt::skip]
    let cases = [
        ("timeframe=H1&source=H1", "source", "not_shorter", "send one of M1 M2 M3 M4 M5 M6 M10 M12 M15 M20 M30, or drop it"),
        ("timeframe=H1&source=H4", "source", "not_shorter", "is not shorter than timeframe H1"),
        ("timeframe=M1&source=M1", "source", "not_shorter", "drop it"),
        ("timeframe=H4&source=H3", "source", "not_a_divisor", "send one of M1 M2 M3 M4 M5 M6 M10 M12 M15 M20 M30 H1 H2"),
        ("timeframe=M15&source=M4", "source", "not_a_divisor", "send one of M1 M3 M5"),
        ("timeframe=MN1&source=W1", "source", "not_a_divisor", "H12 D1"),
        ("timeframe=H4&source=X1", "source", "unknown_timeframe", "send one of M1"),
        ("timeframe=H4&align=ny17", "source", "missing", "such as M1, or drop align"),
        ("timeframe=H4&week=sunday", "source", "missing", "such as M1, or drop week"),
        ("timeframe=H4&source=M1&align=Europe/Athen", "align", "unknown_zone", "did you mean Europe/Athens?"),
        ("timeframe=H4&source=M1&align=%2B03:07", "align", "not_an_offset", "such as +03:00"),
        ("timeframe=H4&source=M1&align=+03:00", "align", "not_an_offset", "send %2B03:00"),
        ("timeframe=H4&source=M1&align=utc@24:00", "align", "not_a_time", "from 00:00 to 23:59"),
        ("timeframe=W1&source=M1&week=mon", "week", "unknown_weekday", "send monday"),
        ("timeframe=H4&source=M1&source=M5", "source", "repeated_parameter", "send it once"),
    ];
    for (query, name, kind, advice) in cases {
        let answer = built(&app, query).await;
        assert_eq!(answer.errors(), [(format!(r#"["query","{name}"]"#), kind.to_owned())], "{query}");
        let message = answer.json()["errors"][0]["msg"].as_str().unwrap().to_owned();
        assert!(message.contains(advice), "{query}: {message}");
    }
}

#[apply(both_stores)]
async fn a_volume_that_no_candle_can_have_is_refused(app: TestApp) {
    let most = i64::MAX;
    app.ingest(&[
        minute(MONDAY, json!({"volume": most - 1})),
        minute(MONDAY + 60, json!({"volume": 1})),
        minute(MONDAY + HOUR, json!({"volume": most})),
        minute(MONDAY + 2 * HOUR, json!({"volume": 1})),
    ])
    .await;
    let hours = built(&app, "timeframe=H1&source=M1").await;
    assert!(hours.body.contains(&format!("\"volume\":{most}}}")), "{hours:?}");
    let refused = built(&app, "timeframe=D1&source=M1").await;
    assert_eq!(refused.errors(), [(r#"["query","timeframe"]"#.to_owned(), "out_of_range".to_owned())]);
    let message = refused.json()["errors"][0]["msg"].as_str().unwrap().to_owned();
    assert!(message.contains("2025-08-04T00:00:00Z") && message.contains("9223372036854775807"), "{message}");
    // A bucket that the page does not show does no harm.
    assert_eq!(times(&built(&app, "timeframe=H2&source=M1&limit=1").await), [MONDAY + 2 * HOUR]);
}

#[apply(both_stores)]
async fn rows_that_are_not_candles_are_left_out_and_named(app: TestApp) {
    app.ingest(&[minute(MONDAY, json!({})), minute(MONDAY + 180, json!({})), minute(MONDAY + 2 * HOUR, json!({}))])
        .await;
    let insert = async |second: i64, [open, high, low, close]: [&str; 4]| {
        let time = match &app.database {
            Database::Postgres(_) => format!("to_timestamp({second})"),
            Database::Sqlite(_) => (second * 1000).to_string(),
        };
        let insert = format!(
            "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
             values ('EURUSD', 'M1', {time}, '{open}', '{high}', '{low}', '{close}', 7)"
        );
        app.database.rows(&insert).await;
    };
    let bad = ["NaN", "Infinity", "-Infinity"];
    let mut skipped = Vec::new();
    for (n, value) in bad.into_iter().enumerate() {
        for place in 0..4 {
            let mut prices = ["1.0"; 4];
            prices[place] = value;
            let second = MONDAY + 240 + (4 * n + place) as i64 * 60;
            insert(second, prices).await;
            skipped.push((second * 1000).to_string());
        }
        let answer = built(&app, &format!("timeframe=H1&source=M1&align=%2B0{}:00", n + 1)).await;
        assert_eq!(times(&answer), [MONDAY, MONDAY + 2 * HOUR]);
        let hour = &answer.json()[0];
        assert_eq!((&hour["volume"], &hour["low"], &hour["high"]), (&json!(2400), &json!(1.0848), &json!(1.0865)));
        assert_eq!(answer.header("x-skipped"), Some(&*skipped.join(",")), "{value}");
    }
    // A bucket of nothing else has its place in a page, but no candle.
    insert(MONDAY + HOUR, ["1", "NaN", "1", "1"]).await;
    let page = built(&app, "timeframe=H1&source=M1&limit=2").await;
    assert_eq!((times(&page), page.header("x-skipped")), (vec![MONDAY + 2 * HOUR], Some("1754269200000")));
    assert_eq!(page.header("x-more-before"), Some("true"));
}
