//! A job over a million candles, while candles are posted.

use rstest_reuse::apply;
use serde_json::json;

use super::{begin, job, over, start};
use crate::harness::{NOW, StoreKind, both_store_kinds, candle, run, with};

const MINUTES: i64 = 1_000_000;

#[apply(both_store_kinds)]
fn no_candle_is_lost_or_refused_while_a_job_reads_a_million(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let first = NOW - (MINUTES + 1) * 60;
        app.database.fill_minutes(first, MINUTES).await;
        let search = json!({
            "items": [{"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "M1",
                       "ranges": {"fast": [5, 9], "slow": [40]}}],
            "method": "grid", "out_of_sample": null,
        });
        let id = begin(&app, &search).await;
        // Small and large posts, of the series that is read too, for as long as the job runs.
        let mut posted = 0;
        loop {
            let minute = |n: i64, symbol: &str| {
                let fields = json!({"symbol": symbol, "timeframe": "M1", "complete": true});
                with(candle(first - (n + 1) * 60), fields)
            };
            assert_eq!(app.ingest(&[minute(posted, "EURUSD")]).await, (1, 0, 0));
            let batch: Vec<_> = (0..100).map(|n| minute(posted * 100 + n, "GBPUSD")).collect();
            assert_eq!(app.ingest(&batch).await, (100, 0, 0));
            posted += 1;
            if !["queued", "running"].contains(&job(&app, &id).await["state"].as_str().unwrap()) {
                break;
            }
        }
        let over = over(&app, &id).await;
        let item = &over["items"][0];
        assert_eq!((&over["state"], &item["trials"]), (&json!("done"), &json!(2)), "{over}");
        assert!(item["bars"].as_i64().unwrap() >= MINUTES, "{over}");
        let count = |symbol: &str, timeframe: &str| {
            format!(
                "select cast(count(*) as text) from market_data_candles where symbol = '{symbol}' and timeframe = '{timeframe}'"
            )
        };
        let rows = [app.database.rows(&count("EURUSD", "M1")).await, app.database.rows(&count("GBPUSD", "M1")).await];
        assert_eq!(rows.concat(), [(MINUTES + posted).to_string(), (posted * 100).to_string()]);
    });
}
