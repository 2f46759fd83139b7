//! The history of the signals that `SIGNALS` names.

use candle::{Symbol, Timeframe};
use candlewick::app::App;
use candlewick::clock::Clock;
use candlewick::store::{NewSignal, SeriesKey};
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{
    Database, Environment, NOW, RESEARCH_KEY, StoreKind, TestApp, both_store_kinds, both_stores, candle, eventually,
    run, send, with,
};
use crate::program::{folder, output, program};

const DAY: i64 = 86_400;
const HISTORY: &str = "/api/v1/signals/history";
/// The number of days before today of the newest candle of [`falling_days`].
const NEWEST: i64 = 30;

/// The candle of a day, counted back from today.
fn day(days: i64, points: i64, fields: Value) -> Value {
    let price = |points: i64| format!("{}.{:04}", points / 10_000, points % 10_000);
    let prices = json!({"timeframe": "D1", "open": price(points), "high": price(points + 6), "low": price(points - 5),
                        "close": price(points + 3), "complete": true});
    with(with(candle(opened(days) / 1000), prices), fields)
}

/// The opening time of a day, counted back from today, in epoch milliseconds.
fn opened(days: i64) -> i64 {
    (NOW - NOW % DAY - days * DAY) * 1000
}

/// Days that rise and then fall, so that the averages cross downwards.
fn falling_days() -> Vec<Value> {
    let points = |n: i64| 12_000 + if n < 60 { 10 * n } else { 1_200 - 10 * n };
    (0..120).map(|n| day(NEWEST + 119 - n, points(n), json!({}))).collect()
}

async fn watching(kind: StoreKind, signals: &str) -> TestApp {
    TestApp::start_with(kind.database().await, |environment| environment.with("SIGNALS", signals)).await
}

async fn history(app: &TestApp, query: &str) -> Value {
    app.get(&format!("{HISTORY}?{query}")).await.json()
}

#[apply(both_store_kinds)]
fn each_change_of_a_watched_signal_is_kept(#[case] kind: StoreKind) {
    run(async move {
        let app = watching(kind, "symbols=NONE,EURUSD&timeframe=D1&strategies=sma-cross").await;
        assert_eq!(history(&app, "").await, json!([]));
        app.ingest(&falling_days()).await;
        let signals = async || {
            let history = history(&app, "").await;
            let signals = history.as_array().unwrap().iter();
            signals.map(|entry| entry["signal"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        // The watch looks for symbols without candles once a minute, and this one has had none.
        eventually(async || signals().await == ["sell"]).await;
        // It has the form of today's signals.
        let body = json!({"symbols": ["EURUSD"], "strategies": ["sma-cross"]}).to_string();
        let request = app.request(Method::POST, "/api/v1/run").header("X-API-KEY", RESEARCH_KEY);
        let mut today = send(request.body(body)).await.json()["signals"][0].clone();
        let stored = history(&app, "").await[0].clone();
        today.as_object_mut().unwrap().remove("stale");
        assert_eq!(with(today, json!({"at": stored["at"]})), stored);
        assert!(stored["at"].is_i64());

        // A forming candle changes nothing.
        app.ingest(&[day(NEWEST - 1, 30_000, json!({"complete": false}))]).await;
        app.ingest(&[day(NEWEST - 1, 30_001, json!({}))]).await;
        eventually(async || signals().await == ["sell", "buy"]).await;
        let flipped = history(&app, "").await[1].clone();
        assert_eq!(
            (&flipped["candle"], flipped["close"].to_string()),
            (&json!(opened(NEWEST - 1)), "3.0004".to_owned())
        );
        assert_eq!(flipped["votes"][0]["order"], "enter_long");
        // The signal stays, and then falls at the newest of many candles.
        app.ingest(&[day(NEWEST - 2, 30_100, json!({}))]).await;
        app.ingest(&(3..25).map(|days| day(NEWEST - days, 5_000, json!({}))).collect::<Vec<_>>()).await;
        eventually(async || signals().await.len() == 3).await;
        assert_eq!(signals().await, ["sell", "buy", "sell"]);
        assert_eq!(history(&app, "").await[2]["candle"], opened(NEWEST - 24));
    });
}

#[apply(both_store_kinds)]
fn a_corrected_candle_is_evaluated_again(#[case] kind: StoreKind) {
    run(async move {
        let watching = |environment: Environment| {
            let signals = "symbols=EURUSD&timeframe=D1&strategies=sma-cross";
            environment.with("SIGNALS", signals).with("MAINTENANCE_KEY", "ops:maintenance-key-for-tests")
        };
        let app = TestApp::start_with(kind.database().await, watching).await;
        let entries = async || history(&app, "").await.as_array().unwrap().clone();
        let signals = async || {
            let signals = entries().await.into_iter();
            signals
                .map(|entry| format!("{} {}", entry["candle"], entry["signal"].as_str().unwrap()))
                .collect::<Vec<_>>()
        };
        let correct = async |candle: Value| {
            let body = json!({"reason": "a wrong digit", "candles": [candle]}).to_string();
            let request = app.request(Method::POST, "/api/v1/corrections").bearer_auth("maintenance-key-for-tests");
            assert_eq!(send(request.body(body)).await.status, 200);
        };
        app.ingest(&falling_days()).await;
        let first = format!("{} sell", opened(NEWEST));
        eventually(async || signals().await == [&*first]).await;
        app.ingest(&[day(NEWEST - 1, 30_000, json!({}))]).await;
        let [sell, buy] = ["sell", "buy"].map(|signal| format!("{} {signal}", opened(NEWEST - 1)));
        eventually(async || signals().await == [&*first, &*buy]).await;
        let before = entries().await;

        correct(day(NEWEST - 1, 5_000, json!({}))).await;
        eventually(async || signals().await == [&*first, &*sell]).await;
        let corrected = entries().await;
        assert_eq!(corrected[0], before[0]);
        assert_eq!(corrected[1]["close"].to_string(), "0.5003");
        assert!(corrected[1]["at"].as_i64() > before[1]["at"].as_i64(), "{corrected:?}");
        assert_eq!(corrected[1]["votes"][0]["order"], Value::Null);
        correct(day(NEWEST - 1, 30_000, json!({}))).await;
        eventually(async || signals().await == [&*first, &*buy]).await;
    });
}

#[apply(both_store_kinds)]
fn a_timeframe_is_chosen_for_each_symbol_if_none_is_named(#[case] kind: StoreKind) {
    run(async move {
        let database = kind.database().await;
        let app = TestApp::start(database).await;
        app.ingest(&falling_days()).await;
        let hour = |n: i64| {
            let fields = json!({"symbol": "USDJPY", "complete": true});
            with(candle(NOW - (302 - n) * 3600), fields)
        };
        app.ingest(&(0..300).map(hour).collect::<Vec<_>>()).await;
        let environment = Environment::new(&app.database.url());
        let _watching = crate::harness::Service::start(&environment.with("SIGNALS", "symbols=EURUSD,USDJPY")).await;
        eventually(async || history(&app, "").await.as_array().unwrap().len() == 2).await;
        let entries = history(&app, "").await;
        let chosen = |n: usize| (entries[n]["symbol"].clone(), entries[n]["timeframe"].clone());
        assert_eq!((chosen(0), chosen(1)), ((json!("EURUSD"), json!("D1")), (json!("USDJPY"), json!("H1"))));
        assert_eq!(entries[0]["votes"].as_array().unwrap().len(), 12);
    });
}

fn signal(symbol: &str, candle: i64, signal: &'static str) -> NewSignal {
    NewSignal {
        key: SeriesKey { symbol: Symbol::parse(symbol).unwrap(), timeframe: Timeframe::H1 },
        candle,
        close: "1.10".to_owned(),
        signal,
        score: -0.25,
        votes: "[]".to_owned(),
    }
}

#[apply(both_store_kinds)]
fn of_processes_that_find_the_next_signal_at_once_one_stores_it(#[case] kind: StoreKind) {
    run(async move {
        let TestApp { database, service: _service } = TestApp::start_on(kind).await;
        let store = database.store().await;
        for (round, next) in ["buy", "sell", "hold"].into_iter().enumerate() {
            let start = 1_000_000 * i64::try_from(round).unwrap();
            let adding = (0..20).map(|n| store.add_signal(signal("EURUSD", start + n * 1000, next)));
            let added = futures_util::future::join_all(adding).await;
            assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1, "{next}");
        }
        let rows = "select signal || ' ' || coalesce(previous, '') from research_signals order by candle";
        assert_eq!(database.rows(rows).await, ["buy ", "sell buy", "hold sell"]);
        // Neither an older candle nor the same signal is added.
        assert!(!store.add_signal(signal("EURUSD", 500_000, "buy")).await.unwrap());
        assert!(!store.add_signal(signal("EURUSD", 9_000_000, "hold")).await.unwrap());
        assert!(store.add_signal(signal("GBPUSD", 9_000_000, "hold")).await.unwrap());
        // The newest one alone is replaced, by another signal at the same candle.
        let candles = match kind {
            StoreKind::Sqlite => {
                "select cast(candle as text) from research_signals where symbol = 'EURUSD' order by candle"
            }
            StoreKind::Postgres => {
                "select (extract(epoch from candle) * 1000)::bigint::text from research_signals where symbol = 'EURUSD' order by candle"
            }
        };
        let candles: Vec<i64> = database.rows(candles).await.iter().map(|candle| candle.parse().unwrap()).collect();
        let (second, newest) = (candles[1], candles[2]);
        let correcting = (0..20).map(|_| store.correct_signal(signal("EURUSD", newest, "buy")));
        let corrected = futures_util::future::join_all(correcting).await;
        assert_eq!(corrected.into_iter().filter(|corrected| *corrected.as_ref().unwrap()).count(), 1);
        for candle in [second, newest + 1, newest] {
            assert!(!store.correct_signal(signal("EURUSD", candle, "buy")).await.unwrap());
        }
        let rows = "select signal || ' ' || coalesce(previous, '') from research_signals where symbol = 'EURUSD' order by candle";
        assert_eq!(database.rows(rows).await, ["buy ", "sell buy", "buy hold"]);
    });
}

#[apply(both_stores)]
async fn the_history_is_read_in_pages(app: TestApp) {
    let store = app.database.store().await;
    let hour = |n: i64| (NOW - n * 3600) * 1000;
    for symbol in ["A:B", "EURUSD", "ü"] {
        for (n, next) in [(3, "buy"), (2, "hold"), (1, "sell")] {
            assert!(store.add_signal(signal(symbol, hour(n), next)).await.unwrap());
        }
    }
    let of = |answer: &Value| {
        let entries = answer.as_array().unwrap().iter();
        entries.map(|entry| format!("{} {}", entry["symbol"].as_str().unwrap(), entry["candle"])).collect::<Vec<_>>()
    };
    let all = of(&history(&app, "").await);
    let expected = [3, 2, 1].map(|n| ["A:B", "EURUSD", "ü"].map(|symbol| format!("{symbol} {}", hour(n))));
    assert_eq!(all, expected.concat());
    let entry = app.get(&format!("{HISTORY}?symbol=EURUSD&limit=1")).await.body;
    assert!(entry.contains(r#""close":1.10,"signal":"buy","score":-0.25,"votes":[],"at":"#), "{entry}");
    // Links lead through all of it.
    let (mut path, mut seen) = (format!("{HISTORY}?limit=2"), Vec::new());
    loop {
        let answer = app.get(&path).await;
        seen.extend(of(&answer.json()));
        let Some(link) = answer.header("link") else {
            assert_eq!(answer.header("x-more-after"), Some("false"));
            break;
        };
        assert_eq!(answer.header("x-more-after"), Some("true"));
        path = link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0.to_owned();
    }
    assert_eq!(seen, all);
    let some = async |query: String| of(&history(&app, &query).await);
    assert_eq!(some("symbol=EURUSD&timeframe=1h".to_owned()).await.len(), 3);
    assert_eq!(some("timeframe=D1".to_owned()).await.len(), 0);
    let bounds = format!("from={}&to={}", hour(2), hour(2));
    assert_eq!(some(bounds.clone()).await, expected[1]);
    assert_eq!(some(format!("{bounds}&after={}:H1:A:B", hour(2))).await, expected[1][1..]);
    for (query, place, kind) in [
        ("limit=1001", "limit", "out_of_range"),
        ("after=1754092800000", "after", "wrong_type"),
        ("from=2026-01-02&to=2026-01-01", "to", "empty_range"),
        ("symbols=EURUSD", "symbols", "unknown_parameter"),
    ] {
        let errors = app.get(&format!("{HISTORY}?{query}")).await.errors();
        assert_eq!(errors, [(format!("[\"query\",\"{place}\"]"), kind.to_owned())], "{query}");
    }
}

#[test]
fn a_setting_that_names_no_signals_stops_the_start() {
    let place = folder();
    let database = Database::sqlite();
    for (setting, why) in [
        ("timeframe=H1", "symbols is missing"),
        ("EURUSD,XAUUSD", "EURUSD,XAUUSD is none of symbols, timeframe, strategies"),
        ("symbols=EURUSD&timeframe=H7", "timeframe"),
        ("symbols=EURUSD,EURUSD", "symbols holds one that is there more than once"),
        ("symbols=EURUSD&strategies=sma-crosss", "there is no strategy sma-crosss; the nearest are sma-cross"),
        ("symbols=EURUSD&timeframe=D1&strategies=session-range", "session-range reads the hour"),
    ] {
        let right = "write it as symbols=EURUSD,XAUUSD&timeframe=H1&strategies=ema-cross,donchian";
        let config = Environment::new(&database.url()).with("SIGNALS", setting).config();
        run(async move {
            let error = App::start(&config, Clock::system(), None).unwrap_err().to_string();
            assert!(error.starts_with("SIGNALS cannot be used: ") && error.contains(why), "{error}");
            assert!(error.ends_with(right), "{error}");
        });
        let settings = [("DATABASE_URL", &*database.url()), ("PORT", "0"), ("SIGNALS", setting)];
        for command in ["serve", "check"] {
            let (code, printed, errors) = output(program(place.path(), &settings).arg(command));
            assert_eq!(code, 2, "{command} {printed} {errors}");
            assert!(format!("{printed}{errors}").contains(why), "{command} {printed} {errors}");
        }
    }
    let settings = [("DATABASE_URL", &*database.url()), ("PORT", "0"), ("SIGNALS", "symbols=EURUSD&timeframe=H1")];
    let (code, report, _) = output(program(place.path(), &settings).arg("check"));
    assert!(code == 0 && report.contains("EURUSD at H1 are watched, by ema-cross, supertrend,"), "{report}");
    let threads = settings.into_iter().chain([("RESEARCH_THREADS", "0")]).collect::<Vec<_>>();
    let (_, report, _) = output(program(place.path(), &threads).arg("check"));
    assert!(report.contains("but not by this replica, because RESEARCH_THREADS is 0"), "{report}");
}
