//! Reading candles: the candles that each parameter selects, the headers, and the refusals.

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Answer, NOW, TestApp, both_stores, candle, send, with};

const HOUR: i64 = 3600;

/// Opening times, in hours before [`NOW`]: five closed ones with a gap, then one that is forming.
const HOURS: [i64; 6] = [-9, -8, -5, -4, -3, 0];

async fn fill(app: &TestApp) {
    let candles: Vec<Value> = HOURS.iter().map(|hours| candle(NOW + hours * HOUR)).collect();
    app.ingest(&candles).await;
}

fn hours(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let hour = |candle: &Value| (candle["timestamp"].as_i64().unwrap() / 1000 - NOW) / HOUR;
    answer.json().as_array().unwrap().iter().map(hour).collect()
}

fn at(hours: i64) -> i64 {
    NOW + hours * HOUR
}

fn more(answer: &Answer) -> (&str, &str) {
    (answer.header("x-more-before").unwrap(), answer.header("x-more-after").unwrap())
}

#[apply(both_stores)]
async fn each_parameter_selects_by_the_contract(app: TestApp) {
    fill(&app).await;
    let all = HOURS.to_vec();
    let cases: Vec<(String, Vec<i64>, (&str, &str))> = vec![
        (String::new(), all.clone(), ("false", "false")),
        ("&limit=2".into(), vec![-3, 0], ("true", "false")),
        (format!("&before={}", at(-3)), vec![-9, -8, -5, -4], ("false", "false")),
        (format!("&before={}&limit=2", at(-3)), vec![-5, -4], ("true", "false")),
        (format!("&before={}&limit=2", at(-2)), vec![-4, -3], ("true", "false")),
        (format!("&before={}&from={}", at(-3), at(-5)), vec![-5, -4], ("false", "false")),
        (format!("&before={}&from={}&limit=1", at(-3), at(-5)), vec![-4], ("true", "false")),
        (format!("&before={}&from={}&limit=2", at(-3), at(-5)), vec![-5, -4], ("false", "false")),
        (format!("&after={}", at(-8)), vec![-5, -4, -3, 0], ("false", "false")),
        (format!("&after={}&limit=2", at(-8)), vec![-5, -4], ("false", "true")),
        (format!("&after={}&to={}&limit=2", at(-8), at(-4)), vec![-5, -4], ("false", "false")),
        (format!("&after={}&to={}&limit=1", at(-8), at(-4)), vec![-5], ("false", "true")),
        (format!("&from={}&limit=2", at(-8)), vec![-8, -5], ("false", "true")),
        (format!("&from={}", at(-3)), vec![-3, 0], ("false", "false")),
        (format!("&to={}&limit=2", at(-4)), vec![-5, -4], ("true", "false")),
        (format!("&to={}", at(-8)), vec![-9, -8], ("false", "false")),
        (format!("&from={}&to={}", at(-8), at(-4)), vec![-8, -5, -4], ("false", "false")),
        (format!("&from={}&to={}&limit=2", at(-8), at(-4)), vec![-8, -5], ("false", "true")),
        (format!("&from={}&to={}", at(-8), at(-8)), vec![-8], ("false", "false")),
        (format!("&from={}&to={}", at(-7), at(-6)), vec![], ("false", "false")),
        (format!("&after={}", at(0)), vec![], ("false", "false")),
        (format!("&before={}", at(-9)), vec![], ("false", "false")),
        // Milliseconds and RFC 3339 name the same moments, even between two seconds.
        (format!("&from={}", at(-3) * 1000), vec![-3, 0], ("false", "false")),
        (format!("&from={}", at(-3) * 1000 + 1), vec![0], ("false", "false")),
        (format!("&before={}", at(-8) * 1000 + 1), vec![-9, -8], ("false", "false")),
        ("&after=2026-03-04T09:00:00Z".into(), vec![0], ("false", "false")),
        ("&from=2026-03-04T11:00:00.000%2B02:00".into(), vec![-3, 0], ("false", "false")),
    ];
    for (query, expected, expected_more) in cases {
        let answer = app.candles(&query).await;
        assert_eq!(hours(&answer), expected, "{query}");
        assert_eq!(more(&answer), expected_more, "{query}");
    }
    assert_eq!(app.get("/api/v1/candles?symbol=NONE&timeframe=H1").await.body, "[]");
    assert_eq!(app.get("/api/v1/candles?symbol=EURUSD&timeframe=H4").await.body, "[]");
    assert_eq!(app.get("/api/v1/candles?symbol=eurusd&timeframe=1h").await.body, "[]", "case matters");
    assert_eq!(hours(&app.get("/api/v1/candles?symbol=EURUSD&timeframe=1h").await), all);
}

#[apply(both_stores)]
async fn a_candle_has_the_format_of_klinecharts(app: TestApp) {
    fill(&app).await;
    let answer = app.candles("&limit=2").await;
    let (closed, forming) = (at(-3) * 1000, at(0) * 1000);
    let prices = r#""open":1.08500,"high":1.08650,"low":1.08480,"close":1.08620,"volume":1200"#;
    assert_eq!(
        answer.body,
        format!(r#"[{{"timestamp":{closed},{prices}}},{{"timestamp":{forming},{prices},"complete":false}}]"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
}

#[apply(both_stores)]
async fn links_point_to_the_neighbouring_pages(app: TestApp) {
    let symbol = "S&P 500 ü+%";
    let candles: Vec<Value> = HOURS.iter().map(|hours| with(candle(at(*hours)), json!({"symbol": symbol}))).collect();
    app.ingest(&candles).await;
    let link = |answer: &Answer, rel: &str| {
        let (target, found) = answer.header("link").expect("a link").split_once(">; ").unwrap();
        assert_eq!(found, format!("rel=\"{rel}\""));
        target.trim_start_matches('<').to_owned()
    };
    let query = "symbol=S%26P%20500%20%C3%BC%2B%25&timeframe=H1";
    let page = app.get(&format!("/api/v1/candles?{query}&limit=2&before={}&from={}", at(0), at(-8))).await;
    assert_eq!(hours(&page), [-4, -3]);
    let target = link(&page, "prev");
    assert!(
        target.starts_with("/api/v1/candles?") && target.contains(&format!("before={}", at(-4) * 1000)),
        "{target}"
    );
    let page = app.get(&target).await;
    assert_eq!(hours(&page), [-8, -5]);
    assert_eq!((page.header("link"), page.header("x-more-before")), (None, Some("false")), "from is kept");

    let page = app.get(&format!("/api/v1/candles?{query}&limit=2&from={}&to={}", at(-9), at(-4))).await;
    assert_eq!(hours(&page), [-9, -8]);
    let page = app.get(&link(&page, "next")).await;
    assert_eq!(hours(&page), [-5, -4]);
    assert_eq!((page.header("link"), page.header("x-more-after")), (None, Some("false")), "to is kept");
}

#[apply(both_stores)]
async fn links_work_where_milliseconds_could_be_read_as_seconds(app: TestApp) {
    const DAY: i64 = 86_400;
    // From 1966 to 1974, to cross both ends of the years whose milliseconds could be seconds.
    let times: Vec<i64> = (0..40).map(|n| -120_000_000 / DAY * DAY + n * 77 * DAY).collect();
    let candles: Vec<Value> = times.iter().map(|time| with(candle(*time), json!({"timeframe": "D1"}))).collect();
    app.ingest(&candles).await;
    for first in [
        "limit=3",
        "limit=3&from=1960-01-01T00:00:00Z",
        "limit=3&from=1960-01-01T00:00:00Z&before=1980-01-01T00:00:00Z",
    ] {
        let mut met = Vec::new();
        let mut path = Some(format!("/api/v1/candles?symbol=EURUSD&timeframe=D1&{first}"));
        while let Some(next) = path {
            let answer = app.get(&next).await;
            met.extend(
                answer.json().as_array().unwrap().iter().map(|candle| candle["timestamp"].as_i64().unwrap() / 1000),
            );
            assert!(met.len() <= times.len(), "{met:?}");
            path = answer.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        }
        met.sort_unstable();
        assert_eq!(met, times, "{first}");
    }
}

#[apply(both_stores)]
async fn an_unchanged_page_is_a_304(app: TestApp) {
    fill(&app).await;
    let get = async |query: &str, tag: &str| {
        let path = format!("/api/v1/candles?symbol=EURUSD&timeframe=H1{query}");
        send(app.request(reqwest::Method::GET, &path).bearer_auth(crate::harness::TOKEN).header("If-None-Match", tag))
            .await
    };
    let first = app.candles("&limit=3").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""));
    for matching in [tag.clone(), tag[2..].to_owned(), format!("\"other\", {tag}"), "*".to_owned()] {
        let answer = get("&limit=3", &matching).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (304, ""), "{matching}");
        assert_eq!(answer.header("etag"), Some(&*tag));
        assert_eq!(answer.header("link"), first.header("link"));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    }
    assert_eq!(get("&limit=3", "\"other\"").await.status, 200);
    app.ingest(&[with(candle(NOW), json!({"volume": 1300}))]).await;
    assert_eq!(get("&limit=3", &tag).await.status, 200, "a forming candle changed");

    // The same candles, but now there are older ones: the page's headers change, so its tag does.
    let answer = app.candles("&limit=6").await;
    let tag = answer.header("etag").unwrap().to_owned();
    app.ingest(&[candle(at(-20))]).await;
    let changed = get("&limit=6", &tag).await;
    assert_eq!((changed.status.as_u16(), changed.header("x-more-before")), (200, Some("true")));
    assert_eq!(changed.body, answer.body);
}

#[apply(both_stores)]
async fn head_answers_like_get_without_a_body(app: TestApp) {
    fill(&app).await;
    let get = app.candles("").await;
    let head = send(
        app.request(reqwest::Method::HEAD, "/api/v1/candles?symbol=EURUSD&timeframe=H1")
            .bearer_auth(crate::harness::TOKEN),
    )
    .await;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    for name in ["etag", "x-more-before", "content-type", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[apply(both_stores)]
async fn invalid_parameters_are_refused_by_name(app: TestApp) {
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("", vec![("symbol", "missing"), ("timeframe", "missing")]),
        ("symbol=&timeframe=1M", vec![("symbol", "empty"), ("timeframe", "ambiguous_timeframe")]),
        ("symbol=A&timeframe=H1&from=1&after=2", vec![("from", "conflict")]),
        ("symbol=A&timeframe=H1&to=1&before=2", vec![("to", "conflict")]),
        ("symbol=A&timeframe=H1&before=1&after=2", vec![("before", "conflict")]),
        ("symbol=A&timeframe=H1&from=2&to=1", vec![("to", "empty_range")]),
        ("symbol=A&timeframe=H1&from=2&before=2", vec![("before", "empty_range")]),
        ("symbol=A&timeframe=H1&after=2&to=2", vec![("to", "empty_range")]),
        ("symbol=A&timeframe=H1&limit=0", vec![("limit", "out_of_range")]),
        ("symbol=A&timeframe=H1&limit=10001", vec![("limit", "out_of_range")]),
        ("symbol=A&timeframe=H1&limit=-1", vec![("limit", "out_of_range")]),
        ("symbol=A&timeframe=H1&limit=1e3", vec![("limit", "out_of_range")]),
        ("symbol=A&timeframe=H1&limit=99999999999999999999", vec![("limit", "out_of_range")]),
        ("symbol=A&timeframe=H1&limit=", vec![("limit", "out_of_range")]),
        ("symbol=A&symbol=B&timeframe=H1", vec![("symbol", "repeated_parameter")]),
        (
            "symbol=A&timeframe=H1&offset=5&Limit=5",
            vec![("offset", "unknown_parameter"), ("Limit", "unknown_parameter")],
        ),
        ("symbol=A&timeframe=H1&from=yesterday", vec![("from", "not_a_time")]),
        ("symbol=A&timeframe=H1&from=2025-08-03T10:00:00", vec![("from", "no_time_zone")]),
        ("symbol=A&timeframe=H1&from=2025-08-03T10:00:00+02:00", vec![("from", "not_a_time")]),
        ("symbol=A&timeframe=H1&from=2025-08-03T10:00:00.0001Z", vec![("from", "too_precise")]),
        ("symbol=A&timeframe=H1&from=99999999999999999", vec![("from", "out_of_range")]),
        ("symbol=A&timeframe=H1&from=1.5", vec![("from", "not_whole")]),
        ("symbol=%ff&timeframe=H1", vec![("symbol", "unprintable")]),
        ("symbol=%00&timeframe=H1", vec![("symbol", "unprintable")]),
    ];
    for (query, expected) in cases {
        let expected: Vec<_> =
            expected.into_iter().map(|(name, kind)| (format!(r#"["query","{name}"]"#), kind.to_owned())).collect();
        assert_eq!(app.get(&format!("/api/v1/candles?{query}")).await.errors(), expected, "{query}");
    }
    let detail = app.candles("&limit=10001").await.problem(422, "invalid_values");
    assert_eq!(detail, "The query is not valid: limit must be a whole number from 1 to 10000.");
    let answer = app.candles("&from=2025-08-03T10:00:00+02:00").await;
    assert!(answer.json()["errors"][0]["msg"].as_str().unwrap().contains("%2B"), "{answer:?}");
    let flood: String = (0..500).fold(String::new(), |query, n| format!("{query}&x{n}=1"));
    assert_eq!(app.candles(&flood).await.errors().len(), 100);
    let errors = app.get(&format!("/api/v1/candles?{}&symbol=A&timeframe=H1", &flood[1..])).await.errors();
    assert!(errors.len() == 100 && errors.iter().all(|(_, kind)| kind == "unknown_parameter"), "{errors:?}");
}

#[apply(both_stores)]
async fn the_limit_defaults_to_1000_and_between_two_bounds_to_the_maximum(app: TestApp) {
    let candles: Vec<Value> = (1..=1100).map(|n| candle(NOW - n * HOUR)).collect();
    app.ingest(&candles).await;
    assert_eq!(hours(&app.candles("").await).len(), 1000);
    assert_eq!(hours(&app.candles(&format!("&from={}", at(-1100))).await).len(), 1000);
    let answer = app.candles(&format!("&from={}&to={}", at(-1100), at(0))).await;
    assert_eq!((hours(&answer).len(), more(&answer)), (1100, ("false", "false")));
}

#[apply(both_stores)]
async fn a_maximum_limit_below_1000_is_also_the_default(app: TestApp) {
    let TestApp { service, database } = app;
    drop(service);
    let app = TestApp::start_with(database, |env| env.with("MAX_LIMIT", 3)).await;
    fill(&app).await;
    assert_eq!(hours(&app.candles("").await), [-4, -3, 0]);
    app.candles("&limit=4").await.problem(422, "invalid_values");
}
