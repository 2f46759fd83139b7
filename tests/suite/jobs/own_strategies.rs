//! Jobs with strategies that not every process knows, and with all strategies.

use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{begin, get, job, over, small, start, start_with};
use crate::harness::{Environment, Service, StoreKind, both_store_kinds, eventually, run, with};
use crate::program::folder;

const OWN: &str = r#"
id = "own-cross"
title = "Own cross"
family = "trend"
about = "Enters at a cross."
source = "nobody"
lets = ["f = ta.sma(close, length)"]
enter_long = "ta.crossover(close, f)"
enter_short = "ta.crossunder(close, f)"

[[parameters]]
name = "length"
type = "int"
default = 10
min = 2
max = 50
about = "bars of the average"
"#;

#[apply(both_store_kinds)]
fn a_process_leaves_a_job_to_others_whose_strategy_it_does_not_know(#[case] kind: StoreKind) {
    run(async move {
        let place = folder();
        std::fs::write(place.path().join("own.toml"), OWN).unwrap();
        let own = place.path().display().to_string();
        let knowing = |environment: Environment| environment.with("STRATEGIES_DIR", &own);
        // This service queues and shows; others work.
        let app = start_with(kind, |environment| knowing(environment).with("RESEARCH_THREADS", 0)).await;
        let environment =
            Environment::new(&app.database.url()).with("RATE_LIMIT_RESEARCH", "off").with("RESEARCH_THREADS", 1);
        let mut strange = Service::start(&environment).await;
        let item =
            json!({"strategy": "own-cross", "symbol": "EURUSD", "timeframe": "H1", "ranges": {"length": [5, 9]}});
        let own_job = begin(&app, &with(small(), json!({"items": [item]}))).await;
        // It waits behind the first one, so that the process has seen that.
        let other = begin(&app, &with(small(), json!({"priority": -1}))).await;
        assert_eq!(over(&strange, &other).await["state"], "done");
        let attempts =
            format!("select cast(attempts as text) || ' ' || state from research_jobs where id = '{own_job}'");
        eventually(async || app.database.rows(&attempts).await == ["0 queued"]).await;
        let warnings = job(&strange, &own_job).await["warnings"].clone();
        assert!(warnings[0].as_str().unwrap().contains("does not know the strategies own-cross"), "{warnings}");
        assert_eq!(job(&app, &own_job).await["warnings"], json!([]));
        strange.stop().await.unwrap();

        let knowing = Service::start(&knowing(environment)).await;
        let over = over(&knowing, &own_job).await;
        assert_eq!((&over["state"], &over["items"][0]["trials"]), (&json!("done"), &json!(2)), "{over}");
        assert_eq!(app.database.rows(&attempts).await, ["1 done"]);
    });
}

#[apply(both_store_kinds)]
fn a_job_of_all_strategies_says_which_are_left_out(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let series = json!([{"symbol": "EURUSD", "timeframe": "D1", "source": "H1"}]);
        let all = json!({"strategies": ["all"], "series": series, "method": "random", "max_evaluations": 1});
        let id = begin(&app, &all).await;
        let over = over(&app, &id).await;
        let warnings: Vec<&str> =
            over["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
        assert!(matches!(warnings[..], [only] if only.contains("left out on EURUSD D1")), "{warnings:?}");
        assert_eq!(over["request"]["warnings"], Value::Null);
        let listed = get(&app, "/api/v1/jobs").await.json();
        assert_eq!(listed[0]["warnings"], over["warnings"]);

        let queueing = start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let id = begin(&queueing, &all).await;
        assert_eq!(job(&queueing, &id).await["warnings"], over["warnings"]);
    });
}
