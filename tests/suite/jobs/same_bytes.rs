//! The results of a job depend on its request and its candles alone.

use candlewick::store::{JobProgress, Lease};
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{begin, candles, over, start_with, with_key};
use crate::harness::{Environment, Service, StoreKind, both_store_kinds, run, send, with};

/// Methods whose points depend on what was found before, and a walk-forward run.
fn requests() -> Vec<Value> {
    let of = |method: &str, out_of_sample: Value| {
        json!({
            "items": [{"strategy": "donchian", "symbol": "EURUSD", "timeframe": "H1"},
                      {"strategy": "macd-signal", "symbol": "EURUSD", "timeframe": "H1"}],
            "method": method, "max_evaluations": 100, "min_trades": 1, "seed": 7, "out_of_sample": out_of_sample,
        })
    };
    vec![
        of("genetic", json!({"forward": 0.25})),
        of("tpe", Value::Null),
        of("sobol", json!({"walk_forward": {"in": 300, "out": 200}})),
    ]
}

/// The items and the evaluations of a job, as they are answered.
async fn found(service: &Service, id: &str) -> String {
    let over = over(service, id).await;
    assert_eq!(over["state"], "done", "{over}");
    let mut text = over["items"].to_string();
    for item in 0..2 {
        let path = format!("/api/v1/jobs/{id}/results?item={item}&limit=1000&include=objectives");
        let answer = send(with_key(service.request(Method::GET, &path))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        text += &answer.body.replace(id, "[id]");
    }
    text
}

#[apply(both_store_kinds)]
fn any_number_of_threads_finds_the_same_bytes(#[case] kind: StoreKind) {
    run(async move {
        let mut all: Vec<Vec<String>> = Vec::new();
        for threads in [1, 2, 4] {
            let app = start_with(kind, |environment| environment.with("RESEARCH_THREADS", threads)).await;
            let mut of_threads = Vec::new();
            for request in requests() {
                let id = begin(&app, &request).await;
                of_threads.push(found(&app, &id).await);
            }
            all.push(of_threads);
        }
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
    });
}

#[apply(both_store_kinds)]
fn a_job_that_is_begun_again_finds_the_same_bytes(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let request = &requests()[0];
        let id = begin(&app, request).await;
        // A process begins the job and dies, after the candles were changed that its second item had begun on.
        let store = app.database.store().await;
        let claimed = store.claim_job("dead".to_owned(), Vec::new()).await.unwrap().unwrap();
        let lease = Lease { job: claimed.id, token: "dead".to_owned() };
        let pin = br#"{"fingerprint":"0000000000000000","warnings":["An earlier process warned."]}"#;
        let pin = zstd::encode_all(&pin[..], 3).unwrap();
        assert!(store.begin_item(lease.clone(), 1, pin).await.unwrap());
        store.renew_lease(lease.clone(), JobProgress::default()).await.unwrap();
        store.release_lease(lease).await.unwrap();

        let environment =
            Environment::new(&app.database.url()).with("RESEARCH_THREADS", 1).with("RATE_LIMIT_RESEARCH", "off");
        let worker = Service::start(&environment).await;
        let restarted = over(&worker, &id).await;
        assert_eq!(restarted["items"][1]["warnings"][0], "An earlier process warned.");
        let warning = restarted["items"][1]["warnings"][1].as_str().unwrap();
        assert!(warning.contains("were changed"), "{warning}");
        assert_eq!(restarted["warnings"][0], "Item 1: An earlier process warned.");
        assert!(restarted["warnings"][1].as_str().unwrap().starts_with("Item 1: The candles"), "{restarted}");
        let undisturbed = begin(&worker, request).await;
        let undisturbed = over(&worker, &undisturbed).await;
        assert_eq!(restarted["items"][0], undisturbed["items"][0]);
        assert_eq!(restarted["items"][1]["winner"], undisturbed["items"][1]["winner"]);
        store.close().await;
    });
}

#[apply(both_store_kinds)]
fn a_correction_shows_in_the_fingerprint(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| {
            environment.with("RESEARCH_THREADS", 1).with("MAINTENANCE_KEY", "ops:maintenance-key-for-tests")
        })
        .await;
        let fingerprint = async || {
            let id = begin(&app, &super::small()).await;
            over(&app, &id).await["items"][0]["fingerprint"].clone()
        };
        let (before, again) = (fingerprint().await, fingerprint().await);
        assert_eq!(before, again);
        let changed = with(candles()[500].clone(), json!({"volume": 7}));
        let body = json!({"reason": "volume", "candles": [changed]}).to_string();
        let request = app.request(Method::POST, "/api/v1/corrections").bearer_auth("maintenance-key-for-tests");
        assert_eq!(send(request.body(body)).await.status, 200);
        assert_ne!(fingerprint().await, before);
    });
}
