//! The commands on research.

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{NOW, StoreKind, TestApp, both_store_kinds, candle, run, with};
use crate::program::{folder, output, program};

const HOUR: i64 = 3600;

fn commanded(variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let folder = folder();
    output(program(folder.path(), variables).args(arguments))
}

/// Prices that swing, so that averages cross.
async fn swinging(kind: StoreKind) -> TestApp {
    let app = TestApp::start(kind.database().await).await;
    let candles: Vec<_> = (0..600_i64)
        .map(|n| {
            let middle = 10_800 + (n % 60 - 30).abs() * 10 + n % 7;
            let price = |points: i64| format!("1.{:04}", points - 10_000);
            let prices = json!({"open": price(middle), "high": price(middle + 6), "low": price(middle - 5),
                                "close": price(middle + 3), "complete": true});
            with(candle(NOW - (700 - n) * HOUR), prices)
        })
        .collect();
    app.ingest(&candles).await;
    app.ingest(&[with(candle(NOW), json!({"complete": false}))]).await;
    app
}

#[apply(both_store_kinds)]
fn a_backtest_reads_the_closed_candles(#[case] kind: StoreKind) {
    run(async move {
        let app = swinging(kind).await;
        let url = app.database.url();
        let test = |arguments: &[&str]| {
            let series = ["backtest", "sma-cross", "EURUSD", "H1", "fast=5", "slow=15"];
            commanded(&[("DATABASE_URL", &url)], &[&series[..], arguments].concat())
        };
        let (code, printed, errors) = test(&["--json"]);
        assert_eq!(code, 0, "{errors}");
        let result: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((&result["bars"], &result["as_of"]), (&json!(600), &json!((NOW - 101 * HOUR) * 1000)));
        assert_eq!(result["parameters"], json!({"fast": 5, "slow": 15, "stop_atr": 0, "target_atr": 0}));
        let trades = result["trades"].as_array().unwrap();
        assert!(trades.len() > 10, "{}", trades.len());
        assert_eq!(result["metrics"]["trades"], trades.len());
        let profits: f64 = trades.iter().map(|trade| trade["profit"].as_f64().unwrap()).sum();
        assert!((profits - result["metrics"]["net_profit"].as_f64().unwrap()).abs() < 1e-6);
        let equity = result["equity"].as_array().unwrap();
        assert_eq!((equity.len(), &equity[0][1]), (600, &json!(10_000)));
        // Each fill is the open of a stored candle.
        let opens = app.candles("&limit=1000").await.json();
        let open = |time: &Value| {
            opens.as_array().unwrap().iter().find(|candle| candle["timestamp"] == *time).unwrap()["open"].clone()
        };
        for trade in trades {
            assert_eq!(trade["entry_price"], open(&trade["entry_time"]));
            assert_eq!(trade["exit_price"], open(&trade["exit_time"]));
        }
        // The same again, and costs take from the profit.
        assert_eq!(test(&["--json"]).1, printed);
        let costly: Value = serde_json::from_str(&test(&["--json", "--commission", "0.02"]).1).unwrap();
        assert!(costly["metrics"]["net_profit"].as_f64().unwrap() < result["metrics"]["net_profit"].as_f64().unwrap());

        // Candles before the span warm the indicators up, and are not traded.
        let from = (NOW - 400 * HOUR).to_string();
        let later: Value = serde_json::from_str(&test(&["--json", "--from", &from]).1).unwrap();
        assert_eq!((&later["bars"], &later["warmup_missing"]), (&json!(300), &json!(0)));
        let first = later["trades"][0]["entry_time"].as_i64().unwrap();
        assert!(first >= (NOW - 400 * HOUR) * 1000);
        let of_all = trades.iter().filter(|trade| trade["entry_time"].as_i64().unwrap() > first);
        let own = later["trades"].as_array().unwrap().iter().skip(1);
        assert!(of_all.map(|trade| &trade["entry_time"]).eq(own.map(|trade| &trade["entry_time"])));

        let (code, table, _) = test(&[]);
        assert_eq!(code, 0);
        assert!(table.contains("600 candles from ") && table.contains('█') && table.contains("Assumptions"), "{table}");
    });
}

#[apply(both_store_kinds)]
fn mistakes_of_a_backtest_are_named(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        let url = app.database.url();
        let refused = |arguments: &[&str]| {
            let (code, _, errors) = commanded(&[("DATABASE_URL", &url)], &[&["backtest"], arguments].concat());
            (code, errors)
        };
        let (code, errors) = refused(&["sma-crosss", "EURUSD", "H1"]);
        assert_eq!(code, 2);
        assert!(errors.contains("There is no strategy sma-crosss; the nearest are sma-cross"), "{errors}");
        assert!(refused(&["sma-cross", "EURUSD", "H7"]).1.starts_with("The timeframe "));
        assert!(refused(&["sma-cross", "EURUSD", "H1", "fast"]).1.contains("write it as NAME=VALUE"));
        assert!(refused(&["sma-cross", "EURUSD", "H1", "fats=3"]).1.contains("fats"));
        assert!(refused(&["sma-cross", "EURUSD", "H1", "fast=30", "slow=10"]).1.contains("fast < slow"));
        assert!(refused(&["sma-cross", "EURUSD", "H1", "--size", "120"]).1.contains("100"));
        let (code, errors) = refused(&["sma-cross", "EURUSD", "H1"]);
        assert_eq!(code, 1);
        assert!(errors.contains("No candle of EURUSD H1 is stored"), "{errors}");
    });
}

#[test]
fn strategies_are_listed_described_and_printed_without_a_database() {
    let (code, listed, _) = commanded(&[], &["strategies"]);
    assert_eq!(code, 0);
    assert!(listed.contains("\ndonchian ") && listed.contains("100 strategies"), "{listed}");
    let (_, listed, _) = commanded(&[], &["strategies", "--family", "session"]);
    assert!(listed.contains("session-range") && !listed.contains("donchian"), "{listed}");
    let (code, _, errors) = commanded(&[], &["strategies", "--family", "trends"]);
    assert_eq!((code, errors.contains("the families are trend, ")), (2, true), "{errors}");
    let (_, described, _) = commanded(&[], &["strategies", "donchian"]);
    for part in ["Enters long when", "Parameters", "Definition", "Source: ", "entry"] {
        assert!(described.contains(part), "{part}: {described}");
    }
    let (code, script, _) = commanded(&[], &["pine", "donchian", "entry=30", "--commission", "0.02"]);
    assert_eq!(code, 0);
    assert!(script.starts_with("//@version=6\n// Equal trades need equal candles.\nstrategy("), "{script}");
    assert!(script.contains("entry = input.int(30, ") && script.contains("commission_value = 0.02"), "{script}");
}

#[test]
fn own_strategies_stand_beside_the_catalogue() {
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
    let path = strategies.path().to_str().unwrap();
    std::fs::write(strategies.path().join("mine.toml"), OWN).unwrap();
    std::fs::write(strategies.path().join("notes.txt"), "not a strategy").unwrap();
    let (code, listed, errors) = commanded(&[("STRATEGIES_DIR", path)], &["strategies"]);
    assert_eq!(code, 0, "{errors}");
    assert!(listed.contains("my-cross") && listed.contains("101 strategies"), "{listed}");
    assert_eq!(commanded(&[("STRATEGIES_DIR", path)], &["pine", "my-cross"]).0, 0);

    // All faults of all files, with their places.
    std::fs::write(strategies.path().join("broken.toml"), OWN.replace("ta.crossover(f, s)", "ta.crossover(f, g)"))
        .unwrap();
    std::fs::write(strategies.path().join("twice.toml"), OWN.replace("my-cross", "donchian")).unwrap();
    let (code, _, errors) = commanded(&[("STRATEGIES_DIR", path)], &["strategies"]);
    assert_eq!(code, 2);
    assert!(errors.contains("broken.toml: line 8, column "), "{errors}");
    assert!(errors.contains("twice.toml: there is a strategy donchian already; choose another id"), "{errors}");
    let (code, _, errors) = commanded(&[("STRATEGIES_DIR", "/nonexistent")], &["strategies"]);
    assert_eq!(
        (code, errors.contains("cannot read /nonexistent") || errors.contains("Cannot read /nonexistent")),
        (2, true)
    );
}
