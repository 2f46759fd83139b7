//! The accepted forms of a posted batch, and the rows that are stored.

use insta::assert_snapshot;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Environment, NOW, StoreKind, TestApp, both_store_kinds, both_stores, candle, run, with};

/// 2025-08-03T10:00:00Z
const TEN: i64 = 1_754_215_200;

#[apply(both_stores)]
async fn every_form_of_a_timestamp_is_read_as_the_same_time(app: TestApp) {
    let forms = [
        json!({"timestamp": "2025-08-03T10:00:00Z"}),
        json!({"timestamp": "2025-08-03T10:00:00.000Z"}),
        json!({"timestamp": "2025-08-03t12:00:00+02:00"}),
        json!({"timestamp": "2025-08-03 10:00:00Z"}),
        json!({"timestamp": TEN}),
        json!({"timestamp": TEN * 1000}),
        json!({"timestamp": TEN.to_string()}),
        json!({"timestamp": (TEN * 1000).to_string()}),
        json!({"timestamp": "2025.08.03 10:00"}),
        json!({"timestamp": "2025.08.03 10:00:00"}),
        json!({"timestamp": "2025.08.03 13:00", "utc_offset": 10800}),
        json!({"timestamp": "2025.08.03 13:00:00", "utc_offset": "10800"}),
        json!({"timestamp": TEN + 10800, "utc_offset": 10800}),
        json!({"timestamp": (TEN - 18000) * 1000, "utc_offset": -18000}),
        json!({"timestamp": "2025-08-03T10:00:00Z", "utc_offset": 0}),
        json!({"timestamp": "2025-08-03T10:00:00+0000"}),
        json!({"timestamp": "2025-08-03T13:00:00+03"}),
        json!({"timestamp": "2025-08-03 05:30:00-0430"}),
        json!({"timestamp": "2025-08-03T10:00Z"}),
        json!({"timestamp": "2025-08-03T10:00:00", "utc_offset": 0}),
        json!({"timestamp": "2025-08-03 13:00:00", "utc_offset": 10800}),
        json!({"timestamp": "2025-08-03T05:00:00.000", "utc_offset": -18000}),
        json!({"timestamp": "2025-08-03 13:00", "utc_offset": "10800"}),
        json!({"timestamp": TEN, "unit": "s"}),
        json!({"timestamp": TEN * 1000, "unit": "ms"}),
        json!({"timestamp": (TEN * 1000).to_string(), "unit": "ms"}),
        json!({"timestamp": (TEN + 10800) * 1000, "unit": "ms", "utc_offset": 10800}),
        json!({"timestamp": "2025-08-03T10:00:00Z", "unit": "ms"}),
        json!({"timestamp": "2025.08.03 10:00", "unit": "s"}),
    ];
    for (number, form) in forms.iter().enumerate() {
        let named = with(candle(0), json!({"symbol": format!("FORM{number:02}")}));
        assert_eq!(app.ingest(&[with(named, form.clone())]).await, (1, 0, 0), "{form}");
    }
    let stored = app.database.closed().await;
    assert_eq!(stored.len(), forms.len());
    for row in stored {
        assert_eq!(row.split(' ').nth(2), Some(&*TEN.to_string()), "{row}");
    }
}

#[apply(both_stores)]
async fn timestamps_before_1970_and_near_the_millisecond_threshold_are_read(app: TestApp) {
    let times = [
        (json!(-86_400), -86_400),
        (json!("1955-01-03T00:00:00Z"), -473_212_800),
        (json!(10_000_200_000_i64), 10_000_200),
        (json!(-10_000_200_000_i64), -10_000_200),
        (json!(-8_520_336_000_i64), -8_520_336_000_i64),
        (json!(-14_169_600_000_i64), -14_169_600),
    ];
    for (sent, seconds) in times {
        app.ingest(&[with(candle(sent), json!({"symbol": format!("AT{seconds}")}))]).await;
        let stored = app.database.closed().await;
        assert!(stored.iter().any(|row| row.starts_with(&format!("AT{seconds} H1 {seconds} "))), "{stored:?}");
    }
}

#[apply(both_stores)]
async fn fields_beside_candles_are_defaults_for_all(app: TestApp) {
    let mut bare = candle("2025.08.03 13:00");
    bare.as_object_mut().unwrap().retain(|name, _| name != "symbol" && name != "timeframe");
    let own = with(bare.clone(), json!({"symbol": "GBPUSD", "timeframe": "M30", "utc_offset": 7200}));
    let body = json!({"symbol": "XAUUSD", "timeframe": "PERIOD_H1", "utc_offset": 10800, "candles": [bare, own],
                          "terminal": {"build": 5120}});
    assert_eq!(app.post(&body).await.counts(2), (2, 0, 0));
    let stored = app.database.closed().await;
    assert!(stored[0].starts_with(&format!("GBPUSD M30 {} ", TEN + 3600)), "{stored:?}");
    assert!(stored[1].starts_with(&format!("XAUUSD H1 {TEN} ")), "{stored:?}");
}

#[apply(both_stores)]
async fn numbers_may_be_strings_exponents_and_integral_floats(app: TestApp) {
    let body = r#"{"candles":[{"symbol":"A","timeframe":"H1","timestamp":1754215200,
            "open":"1.08500","high":1.0850E1,"low":108500e-5,"close":"1.09e0","volume":1.2E+03},
            {"symbol":"B","timeframe":"H1","timestamp":1.7542152e9,
            "open":-37.630,"high":-0.0,"low":-40e0,"close":"-37.63","volume":"1200.0"},
            {"symbol":"C","timeframe":"H1","timestamp":1754215200,
            "open":0.00,"high":1E5,"low":0e400,"close":1.50e+1,"volume":9223372036854775807}]}"#;
    app.post_bytes(body).await.counts(3);
    assert_eq!(
        app.database.closed().await,
        [
            "A H1 1754215200 1.08500 10.850 1.08500 1.09 1200",
            "B H1 1754215200 -37.630 0.0 -40 -37.63 1200",
            "C H1 1754215200 0.00 100000 0 15.0 9223372036854775807",
        ]
    );
    let answer = app.get("/api/v1/candles?symbol=A&timeframe=H1").await;
    assert_eq!(
        answer.body,
        r#"[{"timestamp":1754215200000,"open":1.08500,"high":10.850,"low":1.08500,"close":1.09,"volume":1200}]"#
    );
}

#[apply(both_stores)]
async fn prices_keep_28_digits_and_refuse_more(app: TestApp) {
    let longest = "9999999999999999999999999999";
    let finest = "0.0000000000000000000000000001";
    let (one, zero) = ("-1.000000000000000000000000000", "0.0000000000000000000000000000");
    app.ingest(&[with(candle(TEN), json!({"open": finest, "high": longest, "low": one, "close": zero}))]).await;
    let row = format!("EURUSD H1 {TEN} {finest} {longest} {one} {zero} 1200");
    assert_eq!(app.database.closed().await, [row]);

    for price in [
        "10000000000000000000000000000",
        "1.0000000000000000000000000000",
        "1e28",
        "1e400",
        "1e-29",
        "0.00000000000000000000000000000",
        "1e99999999999999999999",
        "0e-99999999999999999999",
    ] {
        let body = format!(
            r#"{{"candles":[{{"symbol":"EURUSD","timeframe":"H1","timestamp":{TEN},"open":{price},"high":{price},"low":{price},"close":{price},"volume":1}}]}}"#
        );
        let errors = app.post_bytes(body).await.errors();
        assert_eq!(errors.len(), 4, "{price}");
        assert_eq!(errors[0], (r#"["body","candles",0,"open"]"#.to_owned(), "too_precise".to_owned()), "{price}");
    }
}

#[apply(both_stores)]
async fn every_spelling_of_a_timeframe_is_stored_as_metatrader_names_it(app: TestApp) {
    let names = [
        "M1", "M2", "M3", "M4", "M5", "M6", "M10", "M12", "M15", "M20", "M30", "H1", "H2", "H3", "H4", "H6", "H8",
        "H12", "D1", "W1", "MN1",
    ];
    let mut spellings: Vec<(String, &str)> = Vec::new();
    for name in names {
        spellings.push((name.to_owned(), name));
        spellings.push((format!("PERIOD_{name}"), name));
        spellings.push((name.to_lowercase(), name));
        if name != "MN1" {
            spellings.push((format!("{}{}", &name[1..], name[..1].to_lowercase()), name));
        }
    }
    for (spelling, name) in spellings {
        let sent = with(candle(TEN), json!({"symbol": spelling, "timeframe": spelling}));
        assert_eq!(app.ingest(&[sent]).await, (1, 0, 0), "{spelling}");
        let stored = app.database.closed().await;
        assert!(stored.iter().any(|row| row.starts_with(&format!("{spelling} {name} "))), "{spelling}");
    }
    for refused in ["1M", "5M", "M7", "60m", "H", "", "1", "PERIOD_CURRENT", "1mn", "N1m", "é"] {
        let errors = app.post(&json!({"candles": [with(candle(TEN), json!({"timeframe": refused}))]})).await.errors();
        let kind = if refused == "1M" { "ambiguous_timeframe" } else { "unknown_timeframe" };
        assert_eq!(errors, [(r#"["body","candles",0,"timeframe"]"#.to_owned(), kind.to_owned())], "{refused}");
    }
}

#[apply(both_stores)]
async fn symbols_are_kept_verbatim(app: TestApp) {
    let symbols = [
        "EURUSDm",
        "EURUSDM",
        "#AAPL",
        "S&P 500",
        "US30.cash",
        "日経225",
        "a'; drop table x; --",
        "%",
        "🕯",
        &"x".repeat(64),
    ];
    for symbol in symbols {
        assert_eq!(app.ingest(&[with(candle(TEN), json!({"symbol": symbol}))]).await, (1, 0, 0), "{symbol}");
    }
    let stored: Vec<_> = app
        .get("/api/v1/series")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|series| series["symbol"].as_str().unwrap().to_owned())
        .collect();
    let mut expected = symbols.map(str::to_owned);
    expected.sort();
    assert_eq!(stored, expected);
    for refused in [
        "",
        " EURUSD",
        "EURUSD ",
        "EUR\u{0}USD",
        "EUR\nUSD",
        "EUR\u{200b}USD",
        "\u{202e}EUR",
        "\u{fffd}",
        "\u{a0}",
        &"x".repeat(65),
    ] {
        let answer = app.post(&json!({"candles": [with(candle(TEN), json!({"symbol": refused}))]})).await;
        assert_eq!(answer.errors()[0].0, r#"["body","candles",0,"symbol"]"#, "{refused:?}");
    }
}

#[apply(both_stores)]
async fn a_body_is_read_as_json_whatever_its_content_type_or_padding(app: TestApp) {
    let body = json!({"candles": [candle(TEN)]}).to_string();
    let with_mark = format!("\u{feff}{body}");
    for (content_type, bytes) in [
        (None, body.clone()),
        (Some("text/plain"), format!("{body}\0")),
        (Some("application/json"), with_mark),
        (Some("multipart/form-data"), format!("{body}\0\0 \r\n\0")),
        (Some("nonsense"), format!(" {body}\n")),
    ] {
        let mut request = app.request(reqwest::Method::POST, "/api/v1/candles").bearer_auth(crate::harness::KEY);
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        crate::harness::send(request.body(bytes)).await.counts(1);
    }
    assert_eq!(app.database.closed().await.len(), 1);
}

#[apply(both_stores)]
async fn malformed_bodies_are_refused_with_the_position(app: TestApp) {
    let good = json!({"candles": [candle(TEN)]}).to_string();
    let cut = &good[..good.len() - 1];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "empty"),
        (b"\0\0".to_vec(), "empty"),
        (cut.into(), "truncated"),
        (b"{\"candles\":[".to_vec(), "truncated"),
        (vec![b'['; 2_000_000], "truncated"),
        (format!("{good}x").into(), "line 1, column"),
        (format!("{good}{good}").into(), "trailing characters"),
        (b"{\n  \"candles\": ['nul']\n}".to_vec(), "line 2, column"),
        (b"{\"candles\":[{\"open\":1,08500}]}".to_vec(), "line 1, column"),
        (b"{\"candles\":[{\"spread\":'NaN'}]}".to_vec(), "line 1, column"),
        (b"{\"candles\":[{\"open\":1,\"open\":1}]}".to_vec(), "duplicate field `open`"),
        (b"{\"candles\":[],\"candles\":[]}".to_vec(), "duplicate field `candles`"),
        (b"{\"symbol\":\"A\",\"symbol\":\"A\",\"candles\":[]}".to_vec(), "duplicate field `symbol`"),
        (b"{\"candles\":[{\"symbol\":\"\xff\"}]}".to_vec(), "not UTF-8 at byte 23"),
        (b"{\"candles\":[{\"symbol\":\"\xc3".to_vec(), "truncated"),
        (b"// a comment\n{}".to_vec(), "line 1, column"),
    ];
    for (body, sentence) in cases {
        let detail = app.post_bytes(body.clone()).await.problem(400, "malformed");
        assert!(detail.contains(sentence), "{detail} for {:?}", String::from_utf8_lossy(&body[..body.len().min(80)]));
    }
    assert!(app.database.closed().await.is_empty());
}

#[apply(both_stores)]
async fn json_of_the_wrong_shape_is_refused_with_the_field(app: TestApp) {
    for (body, place, kind) in [
        ("[]", r#"["body"]"#, "wrong_type"),
        ("7", r#"["body"]"#, "wrong_type"),
        ("null", r#"["body"]"#, "wrong_type"),
        ("{}", r#"["body","candles"]"#, "missing"),
        (r#"{"candles":[]}"#, r#"["body","candles"]"#, "empty"),
        (r#"{"candles":{}}"#, r#"["body","candles"]"#, "wrong_type"),
        (r#"{"candles":null}"#, r#"["body","candles"]"#, "wrong_type"),
        (r#"{"candles":[7]}"#, r#"["body","candles",0]"#, "wrong_type"),
        (r#"{"candles":[["EURUSD"]]}"#, r#"["body","candles",0]"#, "wrong_type"),
    ] {
        let errors = app.post_bytes(body).await.errors();
        assert_eq!(errors, [(place.to_owned(), kind.to_owned())], "{body}");
    }
}

#[apply(both_stores)]
async fn all_problems_of_a_batch_are_listed_and_nothing_is_stored(app: TestApp) {
    let body = json!({"candles": [
        candle(TEN),
        {"symbol": "EURUSD"},
        with(candle("yesterday"), json!({"open": "abc", "high": null, "low": true, "close": [],
                                         "volume": -1, "complete": "yes"})),
        with(candle(TEN), json!({"high": "1.0", "low": "2.0"})),
        with(candle(TEN), json!({"open": "9"})),
        with(candle(TEN), json!({"close": "0.5"})),
        with(candle(TEN + 30), json!({"timeframe": "M30"})),
        with(candle(TEN), json!({"volume": 1.5})),
        with(candle(TEN), json!({"volume": 9_223_372_036_854_775_808_u64})),
        with(candle(TEN * 1000 + 1), json!({"symbol": 5})),
        with(candle("2025-08-03T10:00:00"), json!({})),
        with(candle("2025-08-03T10:00:00+02:00"), json!({"utc_offset": 7200})),
        with(candle("2025-08-03T10:00:00.5Z"), json!({})),
        with(candle("2025-08-03T23:59:60Z"), json!({})),
        with(candle("2025-08-03T10:00:00.00000000001Z"), json!({})),
        with(candle("2025.13.03 10:00"), json!({})),
        with(candle("9999999999999000"), json!({})),
    ]});
    let answer = app.post(&body).await;
    let detail = answer.problem(422, "invalid_values");
    let errors: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            format!("{} {}: {}", error["loc"], error["type"].as_str().unwrap(), error["msg"].as_str().unwrap())
        })
        .collect();
    let problems = format!("{detail}\n\n{}", errors.join("\n"));
    assert_snapshot!("problems_of_a_batch", problems);
    assert!(app.database.closed().await.is_empty() && app.database.forming().await.is_empty());
}

#[apply(both_stores)]
async fn fractional_and_too_large_volumes_have_different_errors(app: TestApp) {
    let long = format!("1.{}1", "0".repeat(40));
    let zeros = format!("12{}e-40", "0".repeat(40));
    for (volume, kind) in [
        (&*long, "not_whole"),
        ("0.5", "not_whole"),
        ("12e-1", "not_whole"),
        ("1e-400", "not_whole"),
        ("1e19", "out_of_range"),
        ("1e400", "out_of_range"),
        ("9223372036854775808", "out_of_range"),
    ] {
        let errors = app.post(&json!({"candles": [with(candle(TEN), json!({"volume": volume}))]})).await.errors();
        assert_eq!(errors[0].1, kind, "{volume}");
    }
    for (n, volume) in (0..).zip([&*zeros, "120e-1", "12.000", "1.2e1", "0.000012e6"]) {
        app.ingest(&[with(candle(TEN + n * 3600), json!({"volume": volume}))]).await;
    }
    assert!(app.database.closed().await.iter().all(|row| row.ends_with(" 12")), "{:?}", app.database.closed().await);
}

#[apply(both_stores)]
async fn a_problem_does_not_mask_others(app: TestApp) {
    let body = json!({"symbol": "", "timeframe": "1M", "utc_offset": 50401, "candles": [
        {"timestamp": NOW + 9_999_999, "open": "x", "high": 1, "low": 2, "close": 9, "volume": 1},
        {"symbol": "A", "timestamp": NOW + 99_999, "utc_offset": 0,
         "open": 1, "high": 1, "low": 1, "close": 9, "volume": 1},
        {"timeframe": "M5", "timestamp": NOW + 30, "utc_offset": 0,
         "open": 1, "high": "x", "low": 3, "close": 2, "volume": 1},
    ]});
    let expected = [
        (r#"["body","symbol"]"#, "empty"),
        (r#"["body","timeframe"]"#, "ambiguous_timeframe"),
        (r#"["body","utc_offset"]"#, "out_of_range"),
        (r#"["body","candles",0,"open"]"#, "not_a_number"),
        (r#"["body","candles",0,"high"]"#, "inconsistent"),
        (r#"["body","candles",1,"timestamp"]"#, "future"),
        (r#"["body","candles",1,"high"]"#, "inconsistent"),
        (r#"["body","candles",2,"timestamp"]"#, "not_a_whole_minute"),
        (r#"["body","candles",2,"high"]"#, "not_a_number"),
        (r#"["body","candles",2,"low"]"#, "inconsistent"),
        (r#"["body","candles",2,"low"]"#, "inconsistent"),
    ]
    .map(|(place, kind)| (place.to_owned(), kind.to_owned()));
    assert_eq!(app.post(&body).await.errors(), expected);
    // An error outside the candles refuses even a lenient batch, because it concerns all of them.
    assert_eq!(app.post_lenient(&body).await.errors(), expected);
}

#[apply(both_stores)]
async fn the_first_hundred_problems_are_listed(app: TestApp) {
    let bad: Vec<Value> = (0..150).map(|n| with(candle(TEN + n * 3600), json!({"volume": -1}))).collect();
    let answer = app.post(&json!({"candles": bad})).await;
    assert_eq!(answer.errors().len(), 100);
    assert!(answer.json()["detail"].as_str().unwrap().contains("150 of 150"), "{answer:?}");
}

#[apply(both_stores)]
async fn a_lenient_batch_stores_valid_candles_and_names_the_others(app: TestApp) {
    let good = |n: i64| candle(TEN + n * 3600);
    let body = json!({"candles": [good(0), with(good(1), json!({"high": "0.1"})), 5, good(2), good(0)]});
    let answer = app.post_lenient(&body).await;
    assert_eq!(answer.counts(5), (2, 1, 0));
    assert_eq!(answer.header("preference-applied"), Some("handling=lenient"));
    let answer = answer.json();
    assert_eq!(answer["records_rejected"], 2);
    assert_eq!(answer["rejected"][0]["index"], 1);
    assert_eq!(answer["rejected"][0]["loc"], json!(["body", "candles", 1, "high"]));
    assert_eq!(answer["rejected"][0]["type"], "inconsistent");
    assert_eq!(
        answer["rejected"][1],
        json!({"index": 2, "loc": ["body", "candles", 2], "type": "wrong_type",
            "msg": "is not an object; send a candle's fields"})
    );
    assert_eq!(app.database.closed().await.len(), 2);

    let all_bad: Vec<Value> = (0..150).map(|_| json!({})).collect();
    let answer = app.post_lenient(&json!({"candles": all_bad})).await;
    assert_eq!(answer.counts(150), (0, 0, 0));
    assert_eq!(answer.json()["records_rejected"], 150);
    assert_eq!(answer.json()["rejected"].as_array().unwrap().len(), 100);

    let strict = app.post(&json!({"candles": [good(7)]})).await.json();
    assert!(strict.get("records_rejected").is_none() && strict.get("rejected").is_none());
    // An error outside the candles refuses even a lenient batch, because it concerns all of them.
    app.post_lenient(&json!({"candles": []})).await.problem(422, "invalid_values");
}

#[apply(both_store_kinds)]
fn size_limits_are_exact_and_named(kind: StoreKind) {
    run(async {
        let limits = |env: Environment| env.with("MAX_BATCH", 3).with("MAX_BODY_BYTES", 2000);
        let app = TestApp::start_with(kind.database().await, limits).await;
        let batch = |n: i64| json!({"candles": (0..n).map(|n| candle(TEN + n * 3600)).collect::<Vec<_>>()});
        app.post(&batch(3)).await.counts(3);
        let detail = app.post(&batch(4)).await.problem(413, "too_large");
        assert_eq!(detail, "The batch holds 4 candles and at most 3 are taken; send it in parts.");
        let mut body = batch(3).to_string();
        body.push_str(&" ".repeat(2000 - body.len()));
        app.post_bytes(body.clone()).await.counts(3);
        let detail = app.post_bytes(format!("{body} ")).await.problem(413, "too_large");
        assert!(detail.contains("2000 bytes"), "{detail}");
        let head = format!(
            "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: {}\r\nConnection: close\r\n",
            crate::harness::KEY
        );
        let unending = format!("{head}Transfer-Encoding: chunked\r\n\r\n7d1\r\n{}\r\n", " ".repeat(2001));
        let answer = app.raw(unending.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("2000 bytes"), "{answer}");
        let flood = format!(r#"{{"candles":[{}0]}}"#, "0,".repeat(900));
        let detail = app.post_bytes(flood).await.problem(413, "too_large");
        assert!(detail.starts_with("The batch holds 901 candles"), "{detail}");
    });
}

#[apply(both_stores)]
async fn a_client_that_sends_its_whole_body_first_receives_the_refusal(app: TestApp) {
    for (key, length, status) in
        [(crate::harness::KEY, 12_000_000, "413"), ("wrong", 12_000_000, "401"), ("wrong", 100_000, "401")]
    {
        let head = format!(
            "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = app.raw(&[head.as_bytes(), &vec![b' '; length]].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    // A client that sends Expect: 100-continue gets the refusal before it sends the body.
    let head = "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n";
    assert!(app.raw(head.as_bytes()).await.starts_with("HTTP/1.1 401 "));
}

#[apply(both_stores)]
async fn a_history_posted_in_batches_keeps_every_digit(app: TestApp) {
    let price = |n: i64, side: i64| format!("1.{:05}", 8000 + (n * 7919) % 900 + side);
    let line = |n: i64| {
        let (open, high, low, close) = (price(n, 20), price(n, 40), price(n, 0), price(n, 11));
        (format!(r#""open":{open},"high":{high},"low":{low},"close":{close},"volume":{}"#, n % 3000), TEN + n * 3600)
    };
    for added in [1500, 0] {
        let mut total = 0;
        for batch in 0..3 {
            let candles: Vec<String> = (batch * 500..(batch + 1) * 500)
                .map(line)
                .map(|(prices, time)| format!(r#"{{"timestamp":{time},{prices}}}"#))
                .collect();
            let body = format!(r#"{{"symbol":"EURUSD","timeframe":"H1","candles":[{}]}}"#, candles.join(","));
            total += app.post_bytes(body).await.counts(500).0;
        }
        assert_eq!(total, added);
    }
    let answer = app.candles(&format!("&from={TEN}&to={}", TEN + 1499 * 3600)).await;
    let expected: Vec<String> =
        (0..1500).map(line).map(|(prices, time)| format!(r#"{{"timestamp":{},{prices}}}"#, time * 1000)).collect();
    assert!(answer.body == format!("[{}]", expected.join(",")));
}

#[apply(both_stores)]
async fn a_compressed_body_is_refused(app: TestApp) {
    let request = app.request(reqwest::Method::POST, "/api/v1/candles").bearer_auth(crate::harness::KEY);
    crate::harness::send(request.header("Content-Encoding", "gzip").body("x"))
        .await
        .problem(415, "unsupported_encoding");
}
