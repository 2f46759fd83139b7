//! Research over HTTP: strategies, backtests and signals of today.

use std::time::Duration;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Database, Environment, KEY, NOW, PgDatabase, RESEARCH_KEY, Service, StoreKind, TOKEN, TestApp,
    both_store_kinds, both_stores, candle, eventually, plain_server, run, send, with,
};
use crate::program::{folder, output, program};
use crate::proxy::{Link, Proxy};

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
const MAINTENANCE: &str = "maintenance-key-for-tests";
const BACKTESTS: &str = "/api/v1/backtests";
const RUN: &str = "/api/v1/run";

async fn post(service: &Service, path: &str, body: &Value) -> Answer {
    send(service.request(Method::POST, path).bearer_auth(TOKEN).body(body.to_string())).await
}

/// A closed candle around a price in points of a ten-thousandth.
fn around(symbol: &str, timeframe: &str, time: i64, points: i64) -> Value {
    let price = |points: i64| format!("{}.{:04}", points / 10_000, points % 10_000);
    let fields = json!({"symbol": symbol, "timeframe": timeframe, "open": price(points), "high": price(points + 6),
                        "low": price(points - 5), "close": price(points + 3), "complete": true});
    with(candle(time), fields)
}

/// Hours whose prices swing, so that averages cross. The newest one opened 101 hours ago.
fn swinging(symbol: &str) -> Vec<Value> {
    (0..600_i64)
        .map(|n| around(symbol, "H1", NOW - (700 - n) * HOUR, 10_800 + (n % 60 - 30).abs() * 10 + n % 7))
        .collect()
}

fn cross(fields: Value) -> Value {
    let body =
        json!({"strategy": "sma-cross", "parameters": {"fast": 5, "slow": 15}, "symbol": "EURUSD", "timeframe": "H1"});
    with(body, fields)
}

#[apply(both_stores)]
async fn strategies_are_listed_described_and_printed(app: TestApp) {
    let all = app.get("/api/v1/strategies").await;
    let list = all.json();
    assert_eq!((all.status.as_u16(), list.as_array().unwrap().len()), (200, 100));
    let donchian = list.as_array().unwrap().iter().find(|strategy| strategy["id"] == "donchian").unwrap();
    assert_eq!((&donchian["family"], &donchian["sides"]), (&json!("breakout"), &json!("long_short")));
    assert_eq!(donchian["parameters"][0]["name"], "entry");
    assert_eq!(donchian["parameters"][0]["default"], 20);
    let etag = all.header("etag").unwrap();
    let again = app.request(Method::GET, "/api/v1/strategies").bearer_auth(TOKEN).header("If-None-Match", etag);
    assert_eq!(send(again).await.status, 304);
    let ids = async |query: &str| -> Vec<String> {
        let list = app.get(&format!("/api/v1/strategies?{query}")).await.json();
        list.as_array().unwrap().iter().map(|strategy| strategy["id"].as_str().unwrap().to_owned()).collect()
    };
    let sessions = ids("family=session").await;
    assert!(sessions.contains(&"session-range".to_owned()) && !sessions.contains(&"donchian".to_owned()));
    assert_eq!(ids("q=DONCHIAN&family=breakout").await, ["donchian"]);
    assert!(ids("q=no such words").await.is_empty());
    let refused = app.get("/api/v1/strategies?family=trends&limit=1").await;
    let expected = [("[\"query\",\"limit\"]", "unknown_parameter"), ("[\"query\",\"family\"]", "wrong_type")];
    assert_eq!(refused.errors(), expected.map(|(loc, kind)| (loc.to_owned(), kind.to_owned())));

    let described = app.get("/api/v1/strategies/donchian").await;
    assert_eq!(described.status, 200);
    let described = described.json();
    assert!(described["rules"][0].as_str().unwrap().starts_with("Enters long when"), "{described}");
    assert!(described["expressions"]["rules"]["enter_long"].is_string() && described["warm_up"].as_u64() > Some(20));
    let detail = app.get("/api/v1/strategies/sma-crosss").await.problem(404, "unknown_strategy");
    assert!(detail.starts_with("There is no strategy sma-crosss; the nearest are sma-cross, "), "{detail}");

    let pine = app.get("/api/v1/strategies/donchian/pine?entry=30&commission=0.02&size=fixed:2&sides=long").await;
    assert_eq!(pine.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(pine.body.starts_with("//@version=6\n") && pine.body.contains("entry = input.int(30, "), "{}", pine.body);
    for part in ["commission_value = 0.02", "default_qty_type = strategy.fixed", "default_qty_value = 2"] {
        assert!(pine.body.contains(part), "{part}: {}", pine.body);
    }
    let refused = app.get("/api/v1/strategies/donchian/pine?entry=1&exits=3&sides=up&capital=0").await;
    let mut expected = ["capital", "entry", "exits", "sides"].map(|name| format!("[\"query\",\"{name}\"]"));
    let mut places: Vec<String> = refused.errors().into_iter().map(|(loc, _)| loc).collect();
    places.sort();
    expected.sort();
    assert_eq!(places, expected, "{refused:?}");
    let refused = app.get("/api/v1/strategies/donchian/pine?entry=10&exit=20").await;
    assert_eq!(refused.errors(), [("[\"query\"]".to_owned(), "constraint".to_owned())]);
}

#[apply(both_store_kinds)]
fn a_backtest_equals_that_of_the_command(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        app.ingest(&swinging("EURUSD")).await;
        let url = app.database.url();
        let from = NOW - 400 * HOUR;
        let printed = |arguments: &[&str]| {
            let folder = folder();
            let series = ["backtest", "sma-cross", "EURUSD", "H1", "fast=5", "slow=15", "--json"];
            let (code, printed, errors) =
                output(program(folder.path(), &[("DATABASE_URL", &url)]).args([&series[..], arguments].concat()));
            assert_eq!(code, 0, "{errors}");
            printed.trim_end().to_owned()
        };
        let include = json!({"include": ["trades", "equity"]});
        assert_eq!(post(&app, BACKTESTS, &cross(include.clone())).await.body, printed(&[]));
        let costs = with(
            include,
            json!({"from": from, "settings": {"commission": {"percent": 0.02}, "slippage_ticks": 1, "capital": 5000}}),
        );
        let from = from.to_string();
        let flags = ["--from", &from, "--commission", "0.02", "--slippage", "1", "--capital", "5000"];
        assert_eq!(post(&app, BACKTESTS, &cross(costs)).await.body, printed(&flags));
    });
}

#[apply(both_stores)]
async fn a_backtest_has_the_defaults_and_says_what_it_read(app: TestApp) {
    app.ingest(&swinging("EURUSD")).await;
    // A forming candle has no influence.
    app.ingest(&[with(candle(NOW), json!({"complete": false}))]).await;
    let answer = post(&app, BACKTESTS, &cross(json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, Some("private, no-store")));
    let result = answer.json();
    assert_eq!(result["parameters"], json!({"fast": 5, "slow": 15, "stop_atr": 0, "target_atr": 0}));
    assert_eq!(
        (&result["bars"], &result["gaps"], &result["warmup_missing"]),
        (&json!(600), &json!(0), &result["warmup_bars"])
    );
    assert_eq!(result["as_of"], (NOW - 101 * HOUR) * 1000);
    assert!(result.get("trades").is_none() && result.get("equity").is_none(), "{result}");
    let full = post(&app, BACKTESTS, &cross(json!({"include": ["trades", "equity"]}))).await;
    let trades = full.json()["trades"].as_array().unwrap().clone();
    assert_eq!(
        (trades.len(), full.json()["trades_omitted"].as_u64()),
        (result["metrics"]["trades"].as_u64().unwrap() as usize, Some(0))
    );
    assert!(trades.len() > 10 && full.json()["equity_every"] == 1);
    assert_eq!(full.json()["equity"].as_array().unwrap().len(), 600);
    // Prices have the digits of the series.
    let price = full.body.split("\"entry_price\":").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(price.split_once('.').unwrap().1.len(), 4, "{price}");
    // A setting has an effect.
    let one_side = post(&app, BACKTESTS, &cross(json!({"settings": {"sides": "long"}}))).await.json();
    assert_eq!(one_side["metrics"]["short_trades"], 0);
    // Candles before the span warm the indicators up.
    let later =
        post(&app, BACKTESTS, &cross(json!({"from": "2026-02-15T00:00:00Z", "to": "2026-02-20T00:00:00Z"}))).await;
    assert_eq!((&later.json()["bars"], &later.json()["warmup_missing"]), (&json!(121), &json!(0)), "{later:?}");
    // 2026-02-15, and 2026-02-20.
    assert_eq!(
        (later.json()["from"].as_i64(), later.json()["to"].as_i64()),
        (Some(1_771_113_600_000), Some(1_771_545_600_000))
    );
    // Built candles are those that pages have.
    let built = post(&app, BACKTESTS, &cross(json!({"timeframe": "H4", "source": "H1"}))).await.json();
    let page = app.get("/api/v1/candles?symbol=EURUSD&timeframe=H4&source=H1&limit=1000").await.json();
    let closed = page.as_array().unwrap().iter().filter(|candle| candle.get("complete").is_none()).count();
    assert_eq!(built["bars"], closed);
}

#[apply(both_stores)]
async fn a_backtest_that_cannot_be_run_is_refused_with_everything_that_is_wrong(app: TestApp) {
    app.ingest(&swinging("EURUSD")[..40]).await;
    let refused = post(
        &app,
        BACKTESTS,
        &json!({"strategy": "sma-cross", "parameters": {"fast": 0, "slow": "x", "medium": 3}, "symbol": " ", "timeframe": "H7",
                "parameter": {}, "from": "yesterday", "align": "utc", "include": ["orders"],
                "settings": {"capital": -1, "size": {"fixed": 1, "cash": 2}, "commission": {"percent": 100}, "sides": "up",
                             "slippage": 1, "tick_size": "fine"}}),
    )
    .await;
    let mut places: Vec<String> = refused.errors().into_iter().map(|(loc, _)| loc.replace("[\"body\",", "[")).collect();
    places.sort();
    let mut expected = [
        "[\"parameter\"]",
        "[\"parameters\",\"fast\"]",
        "[\"parameters\",\"medium\"]",
        "[\"parameters\",\"slow\"]",
        "[\"symbol\"]",
        "[\"timeframe\"]",
        "[\"from\"]",
        "[\"source\"]",
        "[\"include\",0]",
        "[\"settings\",\"capital\"]",
        "[\"settings\",\"commission\"]",
        "[\"settings\",\"sides\"]",
        "[\"settings\",\"size\"]",
        "[\"settings\",\"slippage\"]",
        "[\"settings\",\"tick_size\"]",
    ];
    expected.sort_unstable();
    assert_eq!(places, expected, "{refused:?}");
    let refused = post(&app, BACKTESTS, &cross(json!({"parameters": {"fast": 20, "slow": 15}}))).await;
    assert_eq!(refused.errors(), [("[\"body\",\"parameters\"]".to_owned(), "constraint".to_owned())]);
    let refused = post(&app, BACKTESTS, &cross(json!({"from": 2000, "to": 1000}))).await;
    assert_eq!(refused.errors(), [("[\"body\",\"to\"]".to_owned(), "empty_range".to_owned())]);

    let unknown = post(&app, BACKTESTS, &cross(json!({"strategy": "smacross"}))).await;
    assert!(unknown.problem(404, "unknown_strategy").contains("the nearest are sma-cross, "), "{unknown:?}");
    let unknown = post(&app, BACKTESTS, &cross(json!({"symbol": "FOO"}))).await;
    assert!(unknown.problem(404, "unknown_series").contains("FOO H1"), "{unknown:?}");
    let few = post(&app, BACKTESTS, &cross(json!({"parameters": {"fast": 5, "slow": 100}}))).await;
    let detail = few.problem(422, "too_few_candles");
    assert!(detail.contains("has 40 closed candles") && detail.contains("needs at least 101"), "{detail}");
    let none = post(&app, BACKTESTS, &cross(json!({"from": "2020-01-01", "to": "2020-02-01"}))).await;
    none.problem(422, "too_few_candles");
    let session = json!({"strategy": "session-range", "parameters": {}, "timeframe": "D1"});
    assert!(post(&app, BACKTESTS, &cross(session)).await.problem(422, "intraday_only").contains("below D1"));
    let malformed = |body: &'static str| send(app.request(Method::POST, BACKTESTS).bearer_auth(TOKEN).body(body));
    assert!(malformed("{\"strategy\":").await.problem(400, "malformed").contains("line 1"));
    malformed("[1]").await.problem(400, "malformed");
    app.database.fill_minutes(1_500_000_000, 200_001).await;
    let long = post(&app, BACKTESTS, &cross(json!({"timeframe": "M1"}))).await;
    // On a busy machine the time for reading is over before the count is known.
    let detail = long.problem(413, "use_a_job");
    assert!(detail.contains("200000") || detail.contains("Reading the candles takes longer"), "{long:?}");
}

#[test]
fn a_backtest_whose_candles_take_too_long_to_read_is_one_for_a_job() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let service = Service::start(&Environment::new(&proxy.url(&database))).await;
        let database = Database::Postgres(database);
        database.fill_minutes(1_500_000_000, 60_000).await;
        // A page of 10,000 candles comes in many pieces. Each page is here before the store gives up, and all of them are not.
        proxy.set(Link::Delayed(Duration::from_millis(50)));
        let slow = post(&service, BACKTESTS, &cross(json!({"timeframe": "M1"}))).await;
        let detail = slow.problem(413, "use_a_job");
        assert!(detail.contains("Reading the candles takes longer than the 5 s"), "{detail}");
        proxy.set(Link::Open);
        let fast = post(
            &service,
            BACKTESTS,
            &cross(json!({"timeframe": "M1", "from": 1_500_000_000_000_i64,
                                                           "to": 1_500_060_000_000_i64})),
        )
        .await;
        assert_eq!(fast.status, 200, "{fast:?}");
    });
}

#[apply(both_store_kinds)]
fn corrections_and_posts_change_fingerprint_and_answer_at_once(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start_with(kind.database().await, |environment| {
            environment.with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"))
        })
        .await;
        app.ingest(&swinging("EURUSD")).await;
        let test = async || post(&app, BACKTESTS, &cross(json!({"include": ["equity"]}))).await;
        let before = test().await;
        assert_eq!(test().await.body, before.body);
        let corrected = with(around("EURUSD", "H1", NOW - 300 * HOUR, 10_800), json!({"high": "1.3000"}));
        let body = json!({"reason": "bad tick", "candles": [corrected]}).to_string();
        let request = app.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
        assert_eq!(send(request.body(body)).await.status, 200);
        let after = test().await;
        assert_ne!(after.json()["fingerprint"], before.json()["fingerprint"]);
        assert_eq!(after.json()["bars"], 600);
        app.ingest(&[around("EURUSD", "H1", NOW - 100 * HOUR, 10_900)]).await;
        let longer = test().await.json();
        assert_eq!((&longer["bars"], &longer["as_of"]), (&json!(601), &json!((NOW - 100 * HOUR) * 1000)));
        assert_ne!(longer["fingerprint"], after.json()["fingerprint"]);
    });
}

#[test]
fn answers_are_equal_on_both_stores_and_for_any_number_of_threads() {
    run(async {
        let mut answers: Vec<Vec<String>> = Vec::new();
        for (kind, threads) in [(StoreKind::Sqlite, 1), (StoreKind::Sqlite, 4), (StoreKind::Postgres, 2)] {
            let app =
                TestApp::start_with(kind.database().await, |environment| environment.with("RESEARCH_THREADS", threads))
                    .await;
            for symbol in ["EURUSD", "USDJPY", "=A1"] {
                app.ingest(&swinging(symbol)).await;
            }
            let mut of_store = Vec::new();
            for strategy in ["donchian", "macd-signal", "bollinger-reversal"] {
                let body = json!({"strategy": strategy, "symbol": "EURUSD", "timeframe": "H1", "include": ["trades", "equity"],
                                  "settings": {"commission": {"percent": 0.01}}});
                of_store.push(post(&app, BACKTESTS, &body).await.body);
            }
            of_store.push(post(&app, RUN, &json!({"symbols": ["USDJPY", "EURUSD", "FOO", "=A1"]})).await.body);
            of_store.push(app.get("/api/v1/signals.csv").await.body);
            assert!(of_store.iter().all(|body| !body.contains("request_id")), "{of_store:?}");
            answers.push(of_store);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    });
}

#[apply(both_stores)]
async fn each_route_takes_read_tokens_and_research_keys(app: TestApp) {
    app.ingest(&swinging("EURUSD")).await;
    let routes = [
        (Method::GET, "/api/v1/strategies", None),
        (Method::GET, "/api/v1/strategies/donchian", None),
        (Method::GET, "/api/v1/strategies/donchian/pine", None),
        (Method::POST, BACKTESTS, Some(cross(json!({})))),
        (Method::POST, RUN, Some(json!({"symbols": ["EURUSD"]}))),
        (Method::GET, "/api/v1/signals.csv", None),
        (Method::GET, "/api/v1/export.csv", None),
    ];
    for (method, path, body) in routes {
        let call = async |credential: Option<(&str, String)>| {
            let mut request = app.request(method.clone(), path);
            if let Some((name, value)) = credential {
                request = request.header(name, value);
            }
            send(request.body(body.as_ref().map(Value::to_string).unwrap_or_default())).await
        };
        for credential in [
            ("X-Internal-Token", TOKEN.to_owned()),
            ("X-API-KEY", RESEARCH_KEY.to_owned()),
            ("Authorization", format!("Bearer {RESEARCH_KEY}")),
        ] {
            assert_eq!(call(Some(credential.clone())).await.status, 200, "{path} {credential:?}");
        }
        call(Some(("X-API-KEY", KEY.to_owned()))).await.problem(403, "wrong_scope");
        call(None).await.problem(401, "unauthorized");
        assert!(
            call(Some(("X-Internal-Token", RESEARCH_KEY.to_owned())))
                .await
                .problem(401, "unauthorized")
                .contains("X-API-KEY")
        );
    }
    // A research key reads no candles and posts none.
    for path in ["/api/v1/candles?symbol=EURUSD&timeframe=H1", "/api/v1/export.csv?symbol=EURUSD&timeframe=H1"] {
        send(app.request(Method::GET, path).header("X-API-KEY", RESEARCH_KEY)).await.problem(403, "wrong_scope");
    }
    let request = app.request(Method::POST, "/api/v1/candles").header("X-API-KEY", RESEARCH_KEY);
    let detail = send(request.body("{}")).await.problem(403, "wrong_scope");
    assert!(detail.starts_with("This key may test strategies"), "{detail}");
}

#[apply(both_store_kinds)]
fn research_keys_have_a_limit_of_their_own_and_no_threads_compute_nothing(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start_with(kind.database().await, |environment| {
            environment.with("RATE_LIMIT_RESEARCH", "1/m").with("RESEARCH_THREADS", 0)
        })
        .await;
        let list =
            async || send(app.request(Method::GET, "/api/v1/strategies").header("X-API-KEY", RESEARCH_KEY)).await;
        assert_eq!((list().await.status.as_u16(), list().await.status.as_u16()), (200, 200));
        assert!(list().await.problem(429, "rate_limited").starts_with("This key asks too often"));
        assert_eq!(app.get("/api/v1/strategies").await.status, 200);

        post(&app, BACKTESTS, &cross(json!({}))).await.problem(503, "research_off");
        post(&app, RUN, &json!({"symbols": ["EURUSD"]})).await.problem(503, "research_off");
        app.get("/api/v1/signals.csv").await.problem(503, "research_off");
        assert_eq!(app.get("/api/v1/strategies/donchian/pine").await.status, 200);
        assert_eq!(app.get("/api/v1/health/detailed").await.json()["research"]["threads"], 0);
    });
}

/// Days that rise and then fall, so that the averages cross downwards. The newest one opened three days ago.
fn falling_days(symbol: &str) -> Vec<Value> {
    let today = NOW - NOW % DAY;
    let points = |n: i64| 12_000 + if n < 60 { 10 * n } else { 1_200 - 10 * n };
    (0..120).map(|n| around(symbol, "D1", today - (122 - n) * DAY, points(n))).collect()
}

#[apply(both_stores)]
async fn signals_follow_a_flip(app: TestApp) {
    let today = NOW - NOW % DAY;
    app.ingest(&falling_days("EURUSD")).await;
    let ask = async || post(&app, RUN, &json!({"symbols": ["EURUSD"], "strategies": ["sma-cross"]})).await.json();
    let before = ask().await;
    let signal = &before["signals"][0];
    assert_eq!((&signal["timeframe"], &signal["candle"]), (&json!("D1"), &json!((today - 3 * DAY) * 1000)));
    assert_eq!((&signal["signal"], &signal["score"]), (&json!("sell"), &json!(-1)));
    assert_eq!((&signal["votes"][0]["position"], &signal["votes"][0]["order"]), (&json!("short"), &Value::Null));
    assert_eq!((before["as_of"].as_i64(), &signal["stale"]), (Some(NOW * 1000), &json!(false)));

    app.ingest(&[around("EURUSD", "D1", today - 2 * DAY, 30_000)]).await;
    let flipped = ask().await;
    let vote = &flipped["signals"][0]["votes"][0];
    assert_eq!(flipped["signals"][0]["signal"], "buy");
    assert_eq!(flipped["signals"][0]["close"].to_string(), "3.0003");
    let expected = json!({"strategy": "sma-cross", "position": "long", "order": "enter_long", "bars_in_position": 0,
                          "since": (today - 2 * DAY) * 1000});
    assert_eq!(vote, &with(expected, vote.get("warmup_missing").map_or(json!({}), |n| json!({"warmup_missing": n}))));
    app.ingest(&[around("EURUSD", "D1", today - DAY, 30_100)]).await;
    let held = ask().await;
    let vote = &held["signals"][0]["votes"][0];
    assert_eq!((&vote["order"], &vote["bars_in_position"]), (&Value::Null, &json!(1)));
    assert_eq!((&vote["position"], &vote["since"]), (&json!("long"), &json!((today - DAY) * 1000)));

    // A week later nothing new has come. The answer of a second ago is not given again.
    app.set_clock(NOW + 7 * DAY);
    eventually(async || ask().await["signals"][0]["stale"] == true).await;
}

#[apply(both_stores)]
async fn signals_choose_a_timeframe_for_each_symbol_and_name_those_without(app: TestApp) {
    app.ingest(&falling_days("EURUSD")).await;
    app.ingest(&swinging("USDJPY")).await;
    app.ingest(&swinging("=A1")).await;
    app.ingest(&swinging("GBPUSD")[..299]).await;
    let answer = post(&app, RUN, &json!({"symbols": ["USDJPY", "FOO", "EURUSD", "GBPUSD"]})).await.json();
    let chosen: Vec<_> =
        answer["signals"].as_array().unwrap().iter().map(|signal| (&signal["symbol"], &signal["timeframe"])).collect();
    assert_eq!(chosen, [(&json!("USDJPY"), &json!("H1")), (&json!("EURUSD"), &json!("D1"))]);
    assert_eq!(answer["signals"][0]["votes"].as_array().unwrap().len(), 12);
    let errors = json!([{"symbol": "FOO", "code": "unknown_series"}, {"symbol": "GBPUSD", "code": "too_few_candles"}]);
    assert_eq!(answer["errors"], errors);
    for signal in answer["signals"].as_array().unwrap() {
        let positions: Vec<f64> = signal["votes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|vote| match vote["position"].as_str().unwrap() {
                "long" => 1.0,
                "short" => -1.0,
                _ => 0.0,
            })
            .collect();
        let mean = positions.iter().sum::<f64>() / 12.0;
        assert!((signal["score"].as_f64().unwrap() - mean).abs() < 1e-9, "{signal}");
    }
    post(&app, RUN, &json!({"symbols": ["FOO", "BAR"]})).await.problem(404, "unknown_series");
    post(&app, RUN, &json!({"symbols": ["FOO", "GBPUSD"]})).await.problem(404, "no_signals");
    post(&app, RUN, &json!({"symbols": ["EURUSD"], "strategies": ["sma"]})).await.problem(404, "unknown_strategy");
    let session = json!({"symbols": ["EURUSD"], "strategies": ["session-range"]});
    post(&app, RUN, &session).await.problem(404, "no_signals");
    post(&app, RUN, &with(session, json!({"timeframe": "D1"}))).await.problem(422, "intraday_only");
    let refused = post(&app, RUN, &json!({"symbols": ["A", "A"], "strategies": [], "symbol": "A"})).await;
    let places: Vec<String> = refused.errors().into_iter().map(|(loc, _)| loc).collect();
    assert_eq!(places, ["[\"body\",\"symbol\"]", "[\"body\",\"symbols\",1]", "[\"body\",\"strategies\"]"]);
    let many: Vec<String> = (0..201).map(|n| format!("S{n}")).collect();
    assert_eq!(post(&app, RUN, &json!({"symbols": many})).await.errors().len(), 1);

    // The CSV has the same rows.
    let csv = app.get("/api/v1/signals.csv?symbols=USDJPY,FOO&symbols=EURUSD").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(csv.header("x-skipped"), Some("FOO unknown_series"));
    let lines: Vec<&str> = csv.body.split("\r\n").collect();
    assert_eq!(lines[0], "symbol,timeframe,candle,close,signal,score,strategies_long,strategies_short,stale");
    assert_eq!((lines.len(), lines[3]), (4, ""));
    let cells: Vec<&str> = lines[1].split(',').collect();
    let signal = &answer["signals"][0];
    assert_eq!(cells[..3], ["USDJPY", "H1", &*signal["candle"].to_string()]);
    assert_eq!(
        cells[3..6],
        [&*signal["close"].to_string(), signal["signal"].as_str().unwrap(), &*signal["score"].to_string()]
    );
    let held = |side: &str| -> String {
        let votes = signal["votes"].as_array().unwrap().iter().filter(|vote| vote["position"] == side);
        votes.map(|vote| vote["strategy"].as_str().unwrap()).collect::<Vec<_>>().join(";")
    };
    assert_eq!(cells[6..], [&*held("long"), &*held("short"), &*signal["stale"].to_string()]);
    // All symbols, each of which a spreadsheet takes for text.
    let all = app.get("/api/v1/export.csv").await;
    let symbols: Vec<&str> = all.body.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((symbols, all.header("x-skipped")), (vec!["'=A1", "EURUSD", "USDJPY"], Some("GBPUSD too_few_candles")));
    let strategies = app.get("/api/v1/signals.csv?symbols=EURUSD&strategies=sma-cross,donchian&timeframe=D1").await;
    assert_eq!(strategies.body.lines().count(), 2, "{strategies:?}");
}

#[apply(both_stores)]
async fn the_two_uses_of_the_address_of_csv_are_not_mixed(app: TestApp) {
    for (query, names) in [
        ("symbol=EURUSD&timeframe=H1&symbols=EURUSD", &["symbols"][..]),
        ("symbol=EURUSD&timeframe=H1&strategies=sma-cross", &["strategies"]),
        ("from=1&to=2", &["from", "to"]),
        (
            "symbols=EURUSD&source=M1&align=utc&week=monday&time=ms&forming=true",
            &["source", "align", "week", "time", "forming"],
        ),
    ] {
        let refused = app.get(&format!("/api/v1/export.csv?{query}")).await;
        let expected: Vec<_> =
            names.iter().map(|name| (format!("[\"query\",\"{name}\"]"), "conflict".to_owned())).collect();
        assert_eq!(refused.errors(), expected, "{query}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("exports candles") && detail.contains("signals"), "{detail}");
    }
    let refused = app.get("/api/v1/export.csv?symbols=EURUSD&timeframe=H7&strategy=sma-cross").await;
    let places: Vec<String> = refused.errors().into_iter().map(|(loc, _)| loc).collect();
    assert_eq!(places, ["[\"query\",\"strategy\"]", "[\"query\",\"timeframe\"]"]);
}

#[test]
fn own_strategies_are_served_and_a_faulty_one_stops_the_start() {
    const OWN: &str = r#"
        id = "my-cross"
        title = "My crossing"
        family = "trend"
        about = "Follows the crossing of two averages."
        source = "my notes"
        lets = ["f = ta.ema(close, 5)", "s = ta.ema(close, 20)"]
        enter_long = "ta.crossover(f, s)"
        enter_short = "ta.crossunder(f, s)"
    "#;
    let strategies = folder();
    let path = strategies.path().to_str().unwrap().to_owned();
    std::fs::write(strategies.path().join("mine.toml"), OWN).unwrap();
    run(async {
        let app =
            TestApp::start_with(Database::sqlite(), |environment| environment.with("STRATEGIES_DIR", &path)).await;
        assert_eq!(app.get("/api/v1/strategies?q=my-cross").await.json()[0]["title"], "My crossing");
        app.ingest(&swinging("EURUSD")).await;
        let tested =
            post(&app, BACKTESTS, &json!({"strategy": "my-cross", "symbol": "EURUSD", "timeframe": "H1"})).await;
        assert_eq!(tested.status, 200, "{tested:?}");
    });
    std::fs::write(strategies.path().join("broken.toml"), OWN.replace("crossover(f, s)", "crossover(f, g)")).unwrap();
    let database = Database::sqlite();
    let config = Environment::new(&database.url()).with("STRATEGIES_DIR", &path).config();
    let clock = candlewick::clock::Clock::system();
    run(async move {
        let error = candlewick::app::App::start(&config, clock, None).unwrap_err();
        assert!(error.to_string().contains("broken.toml"), "{error}");
    });
}
