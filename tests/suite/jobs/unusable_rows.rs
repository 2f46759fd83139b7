//! Rows of numbers that other programs wrote and that are not candles: they fail what would read them, and nothing waits for them.

use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{HOUR, begin, candles, get, over, post, small, start};
use crate::harness::{Database, NOW, StoreKind, TestApp, both_store_kinds, run, with};

/// 300 hours before the last full one.
const BAD: i64 = NOW - 301 * HOUR;

/// Swaps the high and the low of a candle of EURUSD H1, without the service.
async fn spoil(app: &TestApp) {
    let time = match &app.database {
        Database::Postgres(_) => format!("to_timestamp({BAD})"),
        Database::Sqlite(_) => (BAD * 1000).to_string(),
    };
    let set = "set high = low, low = high where symbol = 'EURUSD' and timestamp";
    super::processes::execute(&app.database, &format!("update market_data_candles {set} = {time}")).await;
    let other = candles().into_iter().map(|candle| with(candle, json!({"symbol": "GBPUSD"})));
    app.ingest(&other.collect::<Vec<_>>()).await;
}

fn names_it(text: &Value) {
    let text = text.as_str().unwrap();
    for part in ["EURUSD H1", "2026-02-19T23:00:00Z", "its low is above its high"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[apply(both_store_kinds)]
fn a_row_that_is_not_a_candle_fails_its_item_and_no_other(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        spoil(&app).await;
        let of = |symbol: &str| with(small()["items"][0].clone(), json!({ "symbol": symbol }));
        let id = begin(&app, &with(small(), json!({"items": [of("EURUSD"), of("GBPUSD")]}))).await;
        let both = over(&app, &id).await;
        let states = [&both["state"], &both["items"][0]["state"], &both["items"][1]["state"]];
        assert_eq!(states, ["done", "failed", "done"], "{both}");
        names_it(&both["items"][0]["error"]);
        let id = begin(&app, &small()).await;
        let alone = over(&app, &id).await;
        assert_eq!(alone["state"], "failed", "{alone}");
        names_it(&alone["error"]);
    });
}

#[apply(both_store_kinds)]
fn a_row_that_is_not_a_candle_is_named_to_backtests_and_left_out_of_signals(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        spoil(&app).await;
        let body = json!({"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1",
                          "parameters": {"fast": 2, "slow": 5}});
        names_it(&post(&app, "/api/v1/backtests", &body).await.problem(422, "invalid_candle").into());
        let without = with(body, json!({"from": NOW - 50 * HOUR}));
        assert_eq!(post(&app, "/api/v1/backtests", &without).await.status, 200);
        let signals = json!({"symbols": ["EURUSD", "GBPUSD"], "timeframe": "H1"});
        let answer = post(&app, "/api/v1/run", &signals).await.json();
        assert_eq!(answer["errors"], json!([{"symbol": "EURUSD", "code": "invalid_candle"}]));
        assert_eq!(answer["signals"][0]["symbol"], "GBPUSD");
        let alone = post(&app, "/api/v1/run", &with(signals, json!({"symbols": ["EURUSD"]}))).await;
        assert!(alone.problem(404, "no_signals").contains("EURUSD (invalid_candle)"));
        let csv = get(&app, "/api/v1/signals.csv?symbols=EURUSD,GBPUSD&timeframe=H1").await;
        assert_eq!(csv.header("x-skipped"), Some("EURUSD invalid_candle"));
    });
}
