//! The opening times of candles: those that are accepted, their forms, and whether the advice of a refusal works.

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, NOW, TestApp, both_stores, candle, with};

/// 2025-08-03T10:00:00Z
const TEN: i64 = 1_754_215_200;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Each timeframe with the minutes of which its opening times are multiples.
const GRID: [(&str, i64); 21] = [
    ("M1", 1),
    ("M2", 1),
    ("M3", 3),
    ("M4", 1),
    ("M5", 5),
    ("M6", 3),
    ("M10", 5),
    ("M12", 3),
    ("M15", 15),
    ("M20", 5),
    ("M30", 15),
    ("H1", 5),
    ("H2", 5),
    ("H3", 5),
    ("H4", 5),
    ("H6", 5),
    ("H8", 5),
    ("H12", 5),
    ("D1", 1),
    ("W1", 1),
    ("MN1", 1),
];

/// The message of the first refused value.
#[track_caller]
fn message(answer: &Answer) -> String {
    answer.errors();
    answer.json()["errors"][0]["msg"].as_str().unwrap().to_owned()
}

/// Posts candles, keeps the good ones, and returns the first error of each rejected one by index.
async fn refused(app: &TestApp, candles: &[Value]) -> Vec<(u64, String)> {
    let answer = app.post_lenient(&json!({ "candles": candles })).await;
    answer.counts(candles.len());
    let mut refused: Vec<(u64, String)> = Vec::new();
    for rejection in answer.json()["rejected"].as_array().unwrap() {
        let index = rejection["index"].as_u64().unwrap();
        if refused.last().is_none_or(|(last, _)| *last != index) {
            refused.push((index, rejection["type"].as_str().unwrap().to_owned()));
        }
    }
    refused
}

fn all_zero(time: impl Into<Value>) -> Value {
    with(candle(time), json!({"open": 0, "high": "0.00000", "low": -0.0, "close": "0"}))
}

#[apply(both_stores)]
async fn candles_open_on_the_grid_of_their_timeframe(app: TestApp) {
    // A midnight of 2025 and one of 1955; an offset at a quarter of an hour changes nothing.
    for (day, offset) in [(TEN - 10 * HOUR, 0), (-473_212_800, 0), (TEN - 10 * HOUR, 20_700), (-473_212_800, -12_600)] {
        for (timeframe, minutes) in GRID {
            let at = |time: i64| {
                let symbol = format!("{timeframe} {offset}");
                with(
                    candle(time + offset),
                    json!({"symbol": symbol, "timeframe": timeframe, "utc_offset": offset, "complete": true}),
                )
            };
            let on: Vec<i64> = [0, 1, 7].map(|n| day + n * minutes * MINUTE).to_vec();
            let off: Vec<i64> = [1, 17, 59, 301, -1, -59, minutes * MINUTE + 1].map(|seconds| day + seconds).to_vec();
            let beside: Vec<i64> =
                if minutes == 1 { vec![] } else { vec![day + MINUTE, day - MINUTE, day + (minutes + 1) * MINUTE] };
            let sent: Vec<Value> = [on.clone(), off.clone(), beside.clone()].concat().into_iter().map(at).collect();
            let kinds: Vec<String> =
                refused(&app, &sent).await.into_iter().map(|(index, kind)| format!("{index} {kind}")).collect();
            let expected: Vec<String> = (on.len()..sent.len())
                .map(|index| {
                    let kind = if index < on.len() + off.len() { "not_a_whole_minute" } else { "not_an_opening_time" };
                    format!("{index} {kind}")
                })
                .collect();
            assert_eq!(kinds, expected, "{timeframe} {offset}");
        }
    }
    assert_eq!(app.database.closed().await.len(), 4 * 3 * GRID.len());
    let sentence = message(&app.post(&json!({"candles": [candle(TEN + 301)]})).await);
    assert!(
        sentence.contains("multiples of 5 minutes") && sentence.ends_with("send the time at which the candle opened"),
        "{sentence}"
    );
    let sentence = message(&app.post(&json!({"candles": [with(candle(TEN + 17), json!({"timeframe": "D1"}))]})).await);
    assert!(sentence.contains("whole minutes"), "{sentence}");
}

#[apply(both_stores)]
async fn days_before_1940_open_on_any_second_and_hours_do_not(app: TestApp) {
    const YEAR_1940: i64 = -946_771_200;
    let mut sent = Vec::new();
    for (timeframe, time) in [
        ("D1", YEAR_1940 - 1),
        ("W1", YEAR_1940 - 7 * DAY + 1172),
        ("MN1", -5_364_662_400 - 208),
        ("D1", YEAR_1940 + 1),
        ("MN1", YEAR_1940 + 30),
        ("H1", YEAR_1940 - HOUR + 1),
        ("M1", YEAR_1940 - 1),
    ] {
        sent.push(with(candle(time), json!({"timeframe": timeframe})));
    }
    let refused = refused(&app, &sent).await;
    assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[apply(both_stores)]
async fn an_offset_is_a_multiple_of_900_seconds(app: TestApp) {
    let post = async |offset: Value| {
        let sent = with(candle("2025-08-03 10:00"), json!({"timeframe": "M5", "utc_offset": offset}));
        app.post(&json!({"candles": [sent]})).await
    };
    for offset in [0, 900, -900, 12_600, 20_700, 50_400, -50_400] {
        assert_eq!(post(json!(offset)).await.counts(1), (1, 0, 0), "{offset}");
    }
    // The offset that was sent, and the advised one; following the advice works.
    for (sent, advised) in [
        (json!(120), 7200),
        (json!(3), 10_800),
        (json!(-5), -18_000),
        (json!("2"), 7200),
        (json!(330), 19_800),
        (json!(-210), -12_600),
        (json!(840), 50_400),
        (json!(10_800_000), 10_800),
        (json!(3.0), 10_800),
    ] {
        let answer = post(sent.clone()).await;
        assert!(["not_a_quarter_hour", "out_of_range"].contains(&&*answer.errors()[0].1), "{answer:?}");
        let sentence = message(&answer);
        assert!(
            sentence.contains("counted in seconds") && sentence.contains(&format!("send {advised} if")),
            "{sentence}"
        );
        assert_eq!(post(json!(advised)).await.status, 201, "{advised}");
    }
    for sent in [
        json!(1000),
        json!(10_801),
        json!(899),
        json!(-1),
        json!(5.5),
        json!("+03:00"),
        json!("x"),
        json!(""),
        json!(50_401),
        json!(i64::MIN),
    ] {
        let answer = post(sent.clone()).await;
        assert_eq!(answer.errors()[0].0, r#"["body","candles",0,"utc_offset"]"#);
        assert!(message(&answer).contains("seconds"), "{answer:?}");
    }
    let beside = app.post(&json!({"utc_offset": 120, "candles": [candle(TEN)]})).await;
    assert_eq!(beside.errors(), [(r#"["body","utc_offset"]"#.to_owned(), "not_a_quarter_hour".to_owned())]);
}

#[apply(both_stores)]
async fn the_unit_of_numeric_times_can_be_given(app: TestApp) {
    // The unit in the candle, the unit beside `candles`, the time that is sent, and the seconds that are stored.
    let cases = [
        (Some("ms"), None, json!(-14_169_600_000_i64), -14_169_600),
        (None, Some("ms"), json!(300_000), 300),
        (None, Some("ms"), json!("-300000"), -300),
        (Some("s"), Some("ms"), json!(300), 300),
        (Some("ms"), Some("s"), json!(300_000), 300),
        (None, Some("s"), json!(TEN), TEN),
        (None, Some("ms"), json!(3_600_000), 3600),
        (None, Some("ms"), json!("2025-08-03T10:00:00Z"), TEN),
    ];
    for (n, (own, beside, time, _)) in cases.iter().enumerate() {
        let mut sent = with(candle(time.clone()), json!({"symbol": format!("UNIT{n}")}));
        if let Some(own) = own {
            sent = with(sent, json!({"unit": own}));
        }
        let beside = beside.map_or(String::new(), |unit| format!(r#""unit":"{unit}""#));
        // Before `candles` and after them.
        let comma = if beside.is_empty() { "" } else { "," };
        assert_eq!(app.post_bytes(format!(r#"{{{beside}{comma}"candles":[{sent}]}}"#)).await.counts(1).0, 1, "{sent}");
        assert_eq!(app.post_bytes(format!(r#"{{"candles":[{sent}]{comma}{beside}}}"#)).await.counts(1).1, 1, "{sent}");
    }
    let stored = app.database.closed().await;
    for (n, (.., seconds)) in cases.iter().enumerate() {
        assert!(stored[n].starts_with(&format!("UNIT{n} H1 {seconds} ")), "{stored:?}");
    }
    for unit in [json!("us"), json!("S"), json!("seconds"), json!(""), json!(1), json!(null)] {
        let kind = if unit.is_string() { "unknown_unit" } else { "wrong_type" };
        let answer = app.post(&json!({"candles": [with(candle(TEN), json!({"unit": unit}))]})).await;
        assert_eq!(answer.errors(), [(r#"["body","candles",0,"unit"]"#.to_owned(), kind.to_owned())]);
        let answer = app.post(&json!({"unit": unit, "candles": [candle(TEN)]})).await;
        assert_eq!(answer.errors(), [(r#"["body","unit"]"#.to_owned(), kind.to_owned())]);
    }
    // A unit that does not fit the number.
    let answer = app.post(&json!({"unit": "s", "candles": [candle(TEN * 1000)]})).await;
    assert!(message(&answer).ends_with("send unit ms if it counts milliseconds"), "{answer:?}");
    let answer = app.post(&json!({"unit": "ms", "candles": [candle(TEN + 1)]})).await;
    assert_eq!(answer.errors()[0].1, "not_a_whole_second");
}

#[apply(both_stores)]
async fn the_unit_of_numeric_query_times_can_be_given(app: TestApp) {
    let times = [-14_169_600, HOUR, 3_600_000, TEN];
    let sent: Vec<Value> = times.iter().map(|time| candle(*time)).collect();
    app.ingest(&sent).await;
    let read = async |query: &str| {
        let answer = app.candles(query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|candle| candle["timestamp"].as_i64().unwrap() / 1000)
            .collect::<Vec<_>>()
    };
    for time in times {
        for (unit, number) in [("s", time), ("ms", time * 1000)] {
            assert_eq!(read(&format!("&from={number}&to={number}&unit={unit}")).await, [time], "{number} {unit}");
        }
    }
    assert_eq!(read("&before=0&unit=ms").await, [-14_169_600]);
    assert_eq!(read("&after=3600001&unit=ms&limit=1").await, [3_600_000]);
    assert_eq!(read("&unit=s&from=1970-01-01T00:00:00Z&limit=1").await, [HOUR]);
    assert_eq!(app.candles("&unit=us").await.errors(), [(r#"["query","unit"]"#.to_owned(), "unknown_unit".to_owned())]);
    let errors = app.candles(&format!("&unit=s&from={}", TEN * 1000)).await.errors();
    assert_eq!(errors, [(r#"["query","from"]"#.to_owned(), "out_of_range".to_owned())]);
    assert_eq!(app.candles(&format!("&unit=s&from={}", i64::MAX)).await.errors(), errors);
    // A link contains no unit and means the same without one.
    let page = app.candles("&unit=ms&from=-20000000000&limit=1").await;
    let link = page.header("link").unwrap();
    assert!(link.contains("after=1969-07-21T") && !link.contains("unit"), "{link}");
    let next = app.get(&link[1..link.find('>').unwrap()]).await;
    assert_eq!(next.json()[0]["timestamp"], 3_600_000);
}

#[apply(both_stores)]
async fn an_unfilled_record_is_refused(app: TestApp) {
    let empty = [
        all_zero(0),
        all_zero("0"),
        all_zero("1970-01-01T00:00:00Z"),
        all_zero("1970.01.01 00:00"),
        all_zero("1970-01-01 00:00:00+00:00"),
        with(all_zero(0), json!({"volume": 5, "utc_offset": 10_800})),
        with(all_zero("1970.01.01 00:00:00"), json!({"utc_offset": -7200})),
        with(all_zero("1970.01.01"), json!({"timeframe": "D1"})),
        with(all_zero("1970-01-01"), json!({"timeframe": "D1", "utc_offset": 10_800})),
        all_zero(-10_800),
        all_zero("1969-12-31T22:00:00Z"),
        all_zero("1970-01-01T03:00:00+03:00"),
        all_zero("1970-01-01T00:00:00+03:00"),
        with(all_zero(0), json!({"unit": "ms"})),
    ];
    let indexes: Vec<(u64, String)> = (0..empty.len()).map(|index| (index as u64, "unfilled".to_owned())).collect();
    assert_eq!(refused(&app, &empty).await, indexes);
    assert!(app.database.closed().await.is_empty());
    // Prices of 0 are valid.
    let filled = [all_zero(15 * HOUR), with(all_zero(0), json!({"timeframe": "D1", "high": "0.01"}))];
    assert_eq!(app.ingest(&filled).await, (2, 0, 0));
}

#[apply(both_stores)]
async fn time_0_below_d1_is_refused_because_itime_failed(app: TestApp) {
    for (timeframe, minutes) in GRID {
        let of = |fields: Value| with(with(candle(0), json!({"timeframe": timeframe})), fields);
        let zeros = [
            of(json!({})),
            of(json!({"timestamp": "0"})),
            of(json!({"timestamp": "1970.01.01 00:00"})),
            of(json!({"timestamp": "1970-01-01T00:00:00Z"})),
            of(json!({"utc_offset": 10_800})),
            of(json!({"timestamp": 10_800, "utc_offset": 10_800})),
            of(json!({"timestamp": "1970-01-01T03:00:00+03:00"})),
            of(json!({"unit": "ms"})),
        ];
        if ["D1", "W1", "MN1"].contains(&timeframe) {
            assert_eq!(app.ingest(&zeros).await.0, 2, "at 0 and, by an offset, 3 hours before");
            continue;
        }
        let kinds = refused(&app, &zeros).await;
        assert_eq!(
            kinds,
            (0..zeros.len()).map(|index| (index as u64, "unfilled".to_owned())).collect::<Vec<_>>(),
            "{timeframe}"
        );
        let answer = app.post(&json!({"candles": [of(json!({}))]})).await;
        assert!(message(&answer).contains("iTime"), "{answer:?}");
        // It is reported beside wrong prices, too.
        let both = app.post(&json!({"candles": [of(json!({"low": "nan"}))]})).await.errors();
        let kinds: Vec<&str> = both.iter().map(|(_, kind)| &**kind).collect();
        assert_eq!(kinds, ["not_a_number", "unfilled"]);
        let near = [
            of(json!({"timestamp": minutes * MINUTE})),
            of(json!({"timestamp": HOUR})),
            of(json!({"timestamp": -HOUR})),
        ];
        assert_eq!(app.ingest(&near).await, (3, 0, 0));
        let stored = app.database.closed().await;
        assert!(stored.iter().any(|row| row.starts_with(&format!("EURUSD {timeframe} 3600 "))), "{stored:?}");
        assert!(!stored.iter().any(|row| row.starts_with(&format!("EURUSD {timeframe} 0 "))), "{stored:?}");
    }
}

#[apply(both_stores)]
async fn years_before_1700_are_refused_and_stored_ones_are_read(app: TestApp) {
    const YEAR_1700: i64 = -8_520_336_000;
    let sent = [
        candle(YEAR_1700),
        candle("1700-01-01T00:00:00Z"),
        candle("1699-12-31T23:00:00Z"),
        candle("0001-01-01T00:00:00Z"),
        with(candle("0001.01.01"), json!({"timeframe": "D1"})),
        with(candle(YEAR_1700 - HOUR), json!({"timeframe": "M1"})),
        with(candle("1520-12-22T00:00:00Z"), json!({"timeframe": "MN1"})),
        candle(-62_135_596_800_000_i64),
    ];
    let kinds = refused(&app, &sent).await;
    assert_eq!(kinds, (2..8).map(|index| (index, "out_of_range".to_owned())).collect::<Vec<_>>());

    // Times that an earlier release accepted: year 1, and openings between those of today.
    for (seconds, millis) in
        [(-62_135_596_800_i64, -62_135_596_800_000_i64), (-14_169_583, -14_169_583_000), (TEN + 17, (TEN + 17) * 1000)]
    {
        let time = match &app.database {
            Database::Sqlite(_) => millis.to_string(),
            Database::Postgres(_) => format!("to_timestamp({seconds})"),
        };
        let quoted = |price: &str| {
            if matches!(app.database, Database::Sqlite(_)) { format!("'{price}'") } else { price.to_owned() }
        };
        let price = quoted("0");
        app.database
            .rows(&format!(
                "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                values ('OLD', 'H1', {time}, {price}, {price}, {price}, {price}, 0) returning symbol"
            ))
            .await;
    }
    app.ingest(&[with(candle(TEN + HOUR), json!({"symbol": "OLD"}))]).await;
    let mut path = Some("/api/v1/candles?symbol=OLD&timeframe=H1&limit=1".to_owned());
    let mut met = Vec::new();
    while let Some(next) = path {
        let answer = app.get(&next).await;
        met.push(answer.json()[0]["timestamp"].as_i64().unwrap());
        path = answer.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
    }
    assert_eq!(met, [(TEN + HOUR) * 1000, (TEN + 17) * 1000, -14_169_583_000, -62_135_596_800_000]);
    let whole = app.get("/api/v1/candles?symbol=OLD&timeframe=H1&from=0001-01-01").await;
    assert_eq!(whole.json().as_array().unwrap().len(), 4);
    assert_eq!(app.get("/api/v1/series?symbol=OLD").await.json()[0]["first"], -62_135_596_800_000_i64);
}

#[apply(both_stores)]
async fn iso_times_without_a_zone_are_broker_time_where_an_offset_is_given(app: TestApp) {
    for time in ["2024-02-26 02:00:00", "2024-02-26T02:00:00", "2024-02-26 02:00", "2024-02-26"] {
        let of = |fields: Value| with(with(candle(time), json!({"timeframe": "D1"})), fields);
        let answer = app.post(&json!({"candles": [of(json!({}))]})).await;
        assert_eq!(answer.errors()[0].1, "no_time_zone", "{time}");
        assert!(message(&answer).contains("utc_offset"), "{answer:?}");
        let midnight = 1_708_905_600 + if time.len() > 10 { 2 * HOUR } else { 0 };
        for offset in [0, 10_800] {
            let symbol = format!("{time} {offset}");
            app.ingest(&[of(json!({"symbol": symbol, "utc_offset": offset}))]).await;
            let stored = app.database.closed().await;
            assert!(
                stored.iter().any(|row| row.starts_with(&format!("{symbol} D1 {} ", midnight - offset))),
                "{symbol} in {stored:?}"
            );
        }
    }
    // Where the time names its zone, an additional offset is refused, and each half of the advice works.
    let both = with(candle("2024-02-26T02:00:00+0200"), json!({"utc_offset": 7200}));
    let answer = app.post(&json!({"candles": [both]})).await;
    assert!(
        answer.errors()[0].1 == "zone_and_offset" && message(&answer).ends_with("drop one of the two"),
        "{answer:?}"
    );
    assert_eq!(app.ingest(&[candle("2024-02-26T02:00:00+0200")]).await, (1, 0, 0));
    assert_eq!(app.ingest(&[with(candle("2024-02-26T02:00:00"), json!({"utc_offset": 7200}))]).await, (0, 1, 0));
    for time in [
        "2024-02-26 02",
        "2024-02-26T2:00",
        "2024-2-26 02:00:00",
        "26.02.2024 02:00",
        "02/26/2024",
        "2024-02-30",
        "2024.02.30",
        "2024-02-26T25:00",
        "2024-02-26T02:00:00+3",
        "2024-02-26T02:00:00+03:0",
        "2024-02-26T02:00:00 EST",
        "20240226T020000",
        "2024-02-26T02:00:00+é",
        "2024-02-26T02:0é",
    ] {
        let answer =
            app.post(&json!({"candles": [with(candle(time), json!({"timeframe": "D1", "utc_offset": 0}))]})).await;
        assert_eq!(answer.errors()[0].1, "not_a_time", "{time}");
    }
}

#[apply(both_stores)]
async fn a_date_alone_opens_a_day_a_week_or_a_month(app: TestApp) {
    for (timeframe, date, midnight) in
        [("D1", "2024.11.25", 1_732_492_800), ("W1", "2024.11.24", 1_732_406_400), ("MN1", "2024.11.01", 1_730_419_200)]
    {
        for offset in [None, Some(0), Some(7200)] {
            let symbol = format!("{timeframe} {offset:?}");
            let mut sent = with(candle(date), json!({"symbol": symbol, "timeframe": timeframe}));
            if let Some(offset) = offset {
                sent = with(sent, json!({"utc_offset": offset}));
                let dashed = with(sent.clone(), json!({"timestamp": date.replace('.', "-")}));
                assert_eq!(app.ingest(&[dashed]).await, (1, 0, 0), "{sent}");
                assert_eq!(app.ingest(&[sent]).await, (0, 1, 0));
            } else {
                assert_eq!(app.ingest(&[sent]).await, (1, 0, 0));
            }
            let stored = app.database.closed().await;
            let start = format!("{symbol} {timeframe} {} ", midnight - offset.unwrap_or(0));
            assert!(stored.iter().any(|row| row.starts_with(&start)), "{start} in {stored:?}");
        }
    }
    for timeframe in ["M1", "H1", "H12"] {
        for fields in [json!({"timestamp": "2024.11.25"}), json!({"timestamp": "2024-11-25", "utc_offset": 0})] {
            let sent = with(with(candle(0), fields), json!({"timeframe": timeframe}));
            let answer = app.post(&json!({"candles": [sent]})).await;
            assert_eq!(answer.errors()[0].1, "not_a_time");
            assert!(message(&answer).contains("time of day"), "{answer:?}");
        }
    }
}

#[apply(both_stores)]
async fn the_field_names_of_mqlrates_are_accepted(app: TestApp) {
    let body = r#"{"symbol":"EURUSD","timeframe":"H1","candles":[
            {"time":1754215200,"open":1,"high":2,"low":1,"close":2,"tick_volume":7,"spread":12,"real_volume":99},
            {"time":"2025.08.03 11:00","open":1,"high":2,"low":1,"close":2,"volume":8},
            {"timestamp":1754222400,"time":1754222400,"open":1,"high":2,"low":1,"close":2,"volume":9,"tick_volume":9}]}"#;
    assert_eq!(app.post_bytes(body).await.counts(3), (3, 0, 0));
    assert_eq!(
        app.database.closed().await,
        ["EURUSD H1 1754215200 1 2 1 2 7", "EURUSD H1 1754218800 1 2 1 2 8", "EURUSD H1 1754222400 1 2 1 2 9"]
    );
    for (fields, name) in [
        (r#""time":1754215200,"timestamp":1754215201,"volume":1"#, "timestamp"),
        (r#""timestamp":"2025-08-03T10:00:00Z","time":1754218800,"volume":1"#, "timestamp"),
        (r#""timestamp":1754215200000,"time":1754215200,"unit":"ms","volume":1"#, "timestamp"),
        (r#""timestamp":"2025-08-03T10:00:00+03:00","time":1754215200,"volume":1"#, "timestamp"),
        (r#""timestamp":1754215200,"time":"now","volume":1"#, "timestamp"),
        (r#""timestamp":1754215200,"time":null,"volume":1"#, "timestamp"),
        (r#""time":1754215200,"time":1754215200,"volume":1"#, "time"),
        (r#""time":1754215200,"volume":1,"tick_volume":1.5"#, "volume"),
        (r#""time":1754215200,"volume":1200,"tick_volume":"1201""#, "volume"),
        (r#""time":1754215200,"volume":1,"tick_volume":nan"#, "volume"),
        (r#""time":1754215200,"tick_volume":1,"tick_volume":1"#, "tick_volume"),
    ] {
        let body = format!(
            r#"{{"candles":[{{"symbol":"A","timeframe":"H1","open":1,"high":1,"low":1,"close":1,{fields}}}]}}"#
        );
        let detail = app.post_bytes(body).await.problem(400, "malformed");
        assert!(detail.contains(&format!("duplicate field `{name}`")), "{detail}");
    }
    // A wrong or missing field is reported by its name in the contract.
    let body = json!({"symbol": "A", "timeframe": "H1",
                      "candles": [{"open": 1, "high": 1, "low": 1, "close": 1, "time": "now"}]});
    let answer = app.post(&body).await;
    assert_eq!(
        answer.errors().iter().map(|(place, _)| &**place).collect::<Vec<_>>(),
        [r#"["body","candles",0,"timestamp"]"#, r#"["body","candles",0,"volume"]"#]
    );
}

#[apply(both_stores)]
async fn both_names_of_a_field_are_accepted_with_equal_values(app: TestApp) {
    let of = |hour: i64, fields: Value| with(candle(TEN + hour * HOUR), fields);
    let sent = [
        of(0, json!({"time": "2025-08-03T10:00:00Z", "tick_volume": 1200.0})),
        of(1, json!({"time": (TEN + HOUR).to_string(), "tick_volume": "1.2E+03"})),
        of(2, json!({"time": (TEN + 2 * HOUR) * 1000, "tick_volume": 1200})),
        of(3, json!({"time": "2025.08.03 13:00"})),
        of(4, json!({"timestamp": "2025.08.03 17:00", "time": "2025-08-03T17:00", "utc_offset": 10_800})),
        of(5, json!({"timestamp": "2025-08-03T18:00:00+03:00", "time": TEN + 5 * HOUR})),
    ];
    assert_eq!(app.ingest(&sent).await, (6, 0, 0));
    let stored: Vec<String> =
        (0..6).map(|hour| format!("EURUSD H1 {} 1.08500 1.08650 1.08480 1.08620 1200", TEN + hour * HOUR)).collect();
    assert_eq!(app.database.closed().await, stored);
    // The offset and the unit may come after the candles.
    let times = json!({"timestamp": "2025-08-03 13:00:00", "time": (TEN + 3 * HOUR) * 1000});
    let body = format!(r#"{{"candles":[{}],"utc_offset":10800,"unit":"ms"}}"#, with(candle(0), times));
    assert_eq!(app.post_bytes(body).await.counts(1), (0, 1, 0));
    // A wrong offset or unit is reported by its own name, and rejects only its own candle.
    for wrong in [json!({"utc_offset": 3}), json!({"unit": "us"})] {
        let name = wrong.as_object().unwrap().keys().next().unwrap().clone();
        let sent = with(with(candle("2025-08-03T13:00"), json!({"time": TEN})), wrong);
        let errors = app.post(&json!({"candles": [candle(TEN), sent]})).await.errors();
        assert!(errors.iter().any(|(place, _)| *place == format!(r#"["body","candles",1,"{name}"]"#)), "{errors:?}");
    }
    // A wrong value that is the same under both names is refused as it is under one.
    let errors = app.post(&json!({"candles": [with(candle("now"), json!({"time": "now"}))]})).await.errors();
    assert_eq!(errors, [(r#"["body","candles",0,"timestamp"]"#.to_owned(), "not_a_time".to_owned())]);
}

#[apply(both_stores)]
async fn broker_time_is_refused_with_the_offsets_that_would_fit(app: TestApp) {
    let post = async |fields: Value| app.post(&json!({"candles": [with(candle(0), fields)]})).await;
    // The server's clock, the time that is sent, and the offsets in the message.
    for (now, sent, timeframe, least, offsets) in [
        (NOW, NOW + 3 * HOUR, "H1", 10_740, "10800"),
        (NOW + 1200, NOW + 3 * HOUR, "H1", 9540, "10800"),
        (NOW + 30, NOW + 2 * HOUR, "M1", 7110, "7200"),
        (NOW + 30, NOW + 19_800, "M1", 19_710, "19800"),
        (NOW + 30, NOW + 20_700, "M1", 20_610, "20700"),
        // The server's clock is a little late, or a little early.
        (NOW - 30, NOW + 2 * HOUR, "M1", 7170, "7200"),
        (NOW + 90, NOW + 2 * HOUR, "M1", 7050, "7200"),
        // 18:57 at Greenwich, and the candle of 20:00 by a clock that is 3 hours ahead.
        (NOW + 25_020, NOW + 8 * HOUR, "H4", 3720, "7200, 10800, 14400 or 18000"),
        // 14:00, and a day that began at 24:00 by some clock.
        (NOW + 2 * HOUR, NOW + 12 * HOUR, "D1", 35_940, "36000, 39600, 43200, 46800 or 50400"),
    ] {
        app.set_clock(now);
        let answer = post(json!({"timestamp": sent, "timeframe": timeframe})).await;
        assert_eq!(answer.errors(), [(r#"["body","candles",0,"timestamp"]"#.to_owned(), "future".to_owned())]);
        let sentence = message(&answer);
        assert!(sentence.starts_with(&format!("is {} s ahead of UTC: ", sent - now)), "{sentence}");
        assert!(sentence.contains(&format!("is {least} or more: {offsets} would fit")), "{sentence}");
        // The candle may be older than the market's last tick.
        let may_be_older =
            sentence.contains(" if the candle is the one that is forming, or a greater whole hour if it is older; ");
        assert_eq!(may_be_older, !offsets.ends_with("50400"), "{sentence}");
        assert!(sentence.contains("TimeTradeServer()-TimeGMT()"), "{sentence}");
        // With each of these offsets it would have been the forming candle.
        for (n, offset) in offsets.replace(" or", ",").split(", ").enumerate() {
            let symbol = format!("{timeframe}{now}{n}");
            let sent = with(
                candle(sent),
                json!({"symbol": symbol, "timeframe": timeframe, "utc_offset": offset, "complete": false}),
            );
            assert_eq!(app.ingest(&[sent]).await, (0, 0, 1));
        }
    }
    app.set_clock(NOW);
    // In addition to the offset that is sent.
    let sentence = message(&post(json!({"timestamp": NOW + 3 * HOUR, "utc_offset": 3600})).await);
    assert!(
        sentence.starts_with("is 7200 s ahead") && sentence.contains("10740 or more: 10800 would fit"),
        "{sentence}"
    );
    let sentence = message(&post(json!({"timestamp": NOW + 15 * HOUR, "utc_offset": 3600})).await);
    assert!(sentence.contains("no broker's clock explains that"), "{sentence}");
    for fields in
        [json!({"timestamp": (NOW + 365 * DAY) * 1000}), json!({"timestamp": NOW + 15 * HOUR, "timeframe": "M1"})]
    {
        let sentence = message(&post(fields).await);
        assert!(sentence.contains("no broker's clock explains that") && !sentence.contains("or more"), "{sentence}");
    }
    // Without a timeframe the message gives only a lower bound.
    let answer = post(json!({"timestamp": NOW + 3 * HOUR, "timeframe": "H7"})).await;
    let sentence = answer.json()["errors"][1]["msg"].as_str().unwrap().to_owned();
    assert!(sentence.contains("is 10740 or more; ") && !sentence.contains("would fit"), "{sentence}");
    // The tolerance between clocks is a minute.
    app.set_clock(NOW - 60);
    assert_eq!(app.ingest(&[candle(NOW)]).await, (0, 0, 1));
    app.set_clock(NOW - 61);
    assert!(message(&post(json!({"timestamp": NOW})).await).starts_with("is 61 s ahead of UTC"));
}

#[apply(both_stores)]
async fn broker_time_marked_as_utc_is_advised_to_drop_the_zone(app: TestApp) {
    for (sent, bare) in
        [("2026-03-04T15:00:00Z", "2026.03.04 15:00"), ("2026-03-04T16:00:00+01:00", "2026.03.04 16:00")]
    {
        let answer = app.post(&json!({"candles": [candle(sent)]})).await;
        let sentence = message(&answer);
        assert!(sentence.contains("with times as 2025.08.03 13:00, without a zone"), "{sentence}");
        let offset = sentence.split("or more: ").nth(1).unwrap().split(' ').next().unwrap();
        let advised = with(candle(bare), json!({"symbol": sent, "utc_offset": offset}));
        assert_eq!(app.ingest(&[advised]).await, (0, 0, 1), "{sentence}");
    }
}

#[apply(both_stores)]
async fn broker_time_of_a_quiet_market_gets_no_wrong_advice(app: TestApp) {
    app.set_clock(NOW + 7);
    // A clock that is 3 hours ahead, and the last candle that had a tick.
    for (timeframe, age, least) in
        [("M1", 600, 10_133), ("M1", 1560, 9173), ("M5", 1200, 9533), ("M15", 2700, 8033), ("M1", 5400, 5333)]
    {
        let time = NOW + 3 * HOUR - age;
        let sentence = message(
            &app.post(&json!({"candles": [with(candle(time - time % 300), json!({"timeframe": timeframe}))]})).await,
        );
        let lower = least - time % 300;
        let first = (lower + HOUR - 1) / HOUR * HOUR;
        assert!(
            sentence.contains(&format!("is {lower} or more: {first} or a greater whole hour would fit; ")),
            "{timeframe} {age}: {sentence}"
        );
    }
}

#[apply(both_stores)]
async fn a_date_in_digits_is_not_a_number_of_seconds(app: TestApp) {
    for (sent, timeframe) in
        [(json!(20_251_020), "D1"), (json!("20251020"), "D1"), (json!(20_250_803), "H1"), (json!("17000101"), "MN1")]
    {
        let answer = app.post(&json!({"candles": [with(candle(sent.clone()), json!({"timeframe": timeframe}))]})).await;
        assert_eq!(answer.errors()[0].1, "not_a_time", "{sent}");
        let advised = message(&answer);
        let digits = sent.to_string().replace('"', "");
        assert!(
            advised.contains(&format!("send {}.{}.{}, or unit s", &digits[..4], &digits[4..6], &digits[6..])),
            "{advised}"
        );
    }
    // With its unit it is read as seconds; and a number that is not a date is not read as one.
    let seconds = with(candle(20_250_900), json!({"unit": "s", "timeframe": "M5"}));
    let others = with(candle(20_256_000), json!({"timeframe": "M5", "symbol": "B"}));
    assert_eq!(app.ingest(&[seconds, others]).await, (2, 0, 0));
    for bound in ["from", "to", "before", "after"] {
        let answer = app.candles(&format!("&{bound}=20200913")).await;
        assert!(message(&answer).contains("send 2020-09-13, or unit=s"), "{answer:?}");
    }
    assert_eq!(app.candles("&from=20200913&unit=s").await.status, 200);
}

#[apply(both_stores)]
async fn a_zone_offset_that_does_not_exist_is_refused(app: TestApp) {
    for zone in ["+02:05", "+00:03", "+03:20", "+14:30", "+23:00", "-0001"] {
        let answer = app.post(&json!({"candles": [candle(format!("2025-08-03T10:00:00{zone}"))]})).await;
        assert_eq!(answer.errors()[0].1, "not_a_quarter_hour", "{zone}");
    }
    let zones = ["+14:00", "-12:00", "+05:45", "Z"].map(|zone| candle(format!("2025-08-03T10:00:00{zone}")));
    assert_eq!(app.ingest(&zones).await, (4, 0, 0));
    // Amsterdam was 19 minutes and 32 seconds ahead until 1937.
    let old = with(candle("1930-01-01T00:00:00+00:19"), json!({"timeframe": "D1"}));
    assert_eq!(app.ingest(&[old]).await, (1, 0, 0));
}

#[apply(both_stores)]
async fn a_batch_of_broker_time_gets_one_advice(app: TestApp) {
    // The running H4 candle fits four offsets, and the running minute beside it only one.
    app.set_clock(NOW + 1830);
    let of = |symbol: &str, timeframe: &str, time: i64| {
        with(candle(time), json!({"symbol": symbol, "timeframe": timeframe}))
    };
    let batch = [
        of("A", "H1", NOW - HOUR),
        of("A", "H4", NOW + 2 * HOUR),
        of("A", "M1", NOW + 1740 + 3 * HOUR),
        of("B", "M1", NOW + 1800 + 3 * HOUR),
        of("C", "M5", NOW + 1500 + 3 * HOUR),
    ];
    let answer = app.post(&json!({ "candles": batch })).await;
    let sentences: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["msg"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        sentences[0].starts_with("is 5370 s ahead of UTC: ") && sentences[0].contains("10710 or more: 10800 would fit"),
        "{sentences:?}"
    );
    assert_eq!(sentences[1..], ["is 10710 s ahead of UTC", "is 10770 s ahead of UTC", "is 10470 s ahead of UTC"]);
    assert!(answer.json()["detail"].as_str().unwrap().contains(&sentences[0]), "{answer:?}");
    // The same in a lenient batch, which keeps the candle that is not ahead.
    let answer = app.post_lenient(&json!({ "candles": batch })).await;
    assert_eq!(answer.counts(5), (1, 0, 0));
    assert_eq!(answer.json()["rejected"][0]["msg"], sentences[0]);
    // With the advised offset, the rest of the batch is accepted.
    let advised: Vec<Value> =
        batch[1..].iter().map(|candle| with(candle.clone(), json!({"utc_offset": 10_800}))).collect();
    app.post(&json!({ "candles": advised })).await.counts(4);
    // No clock shows both a day and an hour ahead.
    let answer = app.post(&json!({"candles": [of("A", "M1", NOW + HOUR), of("B", "M1", NOW + DAY)]})).await;
    assert!(message(&answer).contains("no broker's clock explains that"), "{answer:?}");
}

#[apply(both_stores)]
async fn query_bounds_are_utc_and_the_advice_about_them_works(app: TestApp) {
    const AUGUST: i64 = 1_754_006_400;
    app.ingest(&[candle(AUGUST - HOUR), candle(AUGUST), candle(AUGUST + HOUR)]).await;
    let count = async |query: &str| {
        let answer = app.candles(query).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json().as_array().unwrap().len()
    };
    for (query, found) in [
        ("&from=2025-08-01", 2),
        ("&before=2025-08-01", 1),
        ("&to=2025-08-01", 2),
        ("&after=2025-08-01", 1),
        ("&from=2025-08-01T00:00:00%2B0000", 2),
        ("&from=2025-08-01T03:00:00%2B03", 2),
        ("&from=2025-08-01%2001:00Z", 1),
    ] {
        assert_eq!(count(query).await, found, "{query}");
    }
    // The refused times, and the words of the advice that are sent then.
    for sent in [
        "2025-08-01T00:00:00",
        "2025-08-01%2000:00:00",
        "2025-08-01T00:00",
        "2025-08-01+00:00:00.000",
        "2025.08.01%2000:00",
        "2025.08.01%2000:00:00",
        "2025.08.01",
    ] {
        for name in ["from", "to", "before", "after"] {
            let answer = app.candles(&format!("&{name}={sent}")).await;
            assert!(["no_time_zone", "not_a_time"].contains(&&*answer.errors()[0].1), "{answer:?}");
            let sentence = message(&answer);
            assert!(!sentence.contains("utc_offset"), "{sentence}");
            let advised = sentence.split("send ").nth(1).unwrap().split(' ').next().unwrap();
            assert_eq!(
                count(&format!("&{name}={advised}")).await,
                match name {
                    "from" | "to" => 2,
                    _ => 1,
                },
                "{sentence}"
            );
        }
    }
    for sent in
        ["2025-08-01T02:00:00+02:00", "2025-08-01T02:00:00+0200", "2025-08-01T02:00:00+02", "2025-08-01+02:00:00+02:00"]
    {
        let answer = app.candles(&format!("&from={sent}")).await;
        assert!(message(&answer).contains("write %2B for a plus"), "{answer:?}");
        let (time, zone) = sent.rsplit_once('+').unwrap();
        assert_eq!(count(&format!("&from={time}%2B{zone}")).await, 2);
    }
    let sentence = message(&app.candles("&from=yesterday").await);
    for advised in ["2025-08-03T10:00:00Z", "2025-08-03"] {
        assert!(sentence.starts_with("is yesterday, which is not a time") && sentence.contains(advised), "{sentence}");
        assert_eq!(count(&format!("&from={advised}")).await, 0);
    }
}

#[apply(both_stores)]
async fn a_value_corrected_by_the_advice_is_accepted(app: TestApp) {
    // A field, the value that is sent, and the value that is sent after reading the answer.
    let cases = [
        ("open", json!("nan"), "1.0850"),
        ("open", json!("+1.0850"), "1.0850"),
        ("low", json!(".5"), "0.5"),
        ("close", json!("1."), "1"),
        ("open", json!("01.085"), "1.085"),
        ("open", json!(" 1.085 "), "1.085"),
        ("open", json!(""), "1.0850"),
        ("low", json!("-.50"), "-0.50"),
        ("volume", json!("many"), "1200"),
        ("volume", json!("007"), "7"),
        ("volume", json!(".5"), "1200"),
        ("volume", json!("-01"), "1200"),
        ("timestamp", json!("now"), "2025-08-03T10:00:00Z"),
        ("timestamp", json!(""), "2025-08-03T10:00:00Z"),
        ("utc_offset", json!("two"), "10800"),
        ("utc_offset", json!("+3"), "10800"),
        ("symbol", json!(""), "EURUSD"),
        ("timeframe", json!("1M"), "M1"),
        ("timeframe", json!("H7"), "M1"),
    ];
    for (field, sent, advised) in cases {
        let at = |value: Value| with(candle("2025.08.03 10:00"), json!({"symbol": "ADVISED", "low": 0, field: value}));
        let answer = app.post(&json!({"candles": [at(sent.clone())]})).await;
        let sentence = message(&answer);
        assert!(sentence.contains(advised), "{field} {sent}: {sentence}");
        app.post(&json!({"candles": [at(json!(advised))]})).await.counts(1);
    }
}
