//! Starting, reading and cancelling jobs over HTTP.

use candlewick::store::{JobProgress, Lease};
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{begin, get, has_items, job, long, over, post, small, start, start_with};
use crate::harness::{
    Answer, Environment, KEY, RESEARCH_KEY, Service, StoreKind, TOKEN, both_store_kinds, run, send, with,
};

#[apply(both_store_kinds)]
fn an_optimization_ends_with_ranked_results(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let answer = post(&app, "/api/v1/optimizations", &with(small(), json!({"name": "first try"}))).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let started = answer.json();
        let id = started["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(&*format!("/api/v1/jobs/{id}")));
        assert_eq!(started["links"]["results"], format!("/api/v1/jobs/{id}/results"));
        let over = over(&app, id).await;
        assert_eq!(
            (&over["state"], &over["name"], &over["error"]),
            (&json!("done"), &json!("first try"), &Value::Null)
        );
        assert_eq!((&over["progress"]["done"], &over["progress"]["total"]), (&json!(18), &json!(18)));
        let item = &over["items"][0];
        assert_eq!((&item["trials"], &item["evaluations"], &item["bars"]), (&json!(18), &json!(18), &json!(900)));
        assert_eq!(over["best"][0]["parameters"], item["winner"]["parameters"]);

        // One backtest with the winner's parameters says the same.
        let body = json!({"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1",
                          "parameters": item["winner"]["parameters"]});
        let backtest = post(&app, "/api/v1/backtests", &body).await.json();
        assert_eq!(backtest["metrics"], item["winner"]["in_sample"]);
        assert_eq!(backtest["fingerprint"], item["fingerprint"]);

        let results = get(&app, &format!("/api/v1/jobs/{id}/results?limit=1000&include=objectives")).await.json();
        let ranked = results["results"].as_array().unwrap();
        assert_eq!((ranked.len(), results["objectives"].as_array().unwrap().len()), (18, 18));
        let objectives: Vec<f64> = ranked.iter().map(|point| point["objective"].as_f64().unwrap()).collect();
        assert!(objectives.is_sorted_by(|one, next| one >= next), "{objectives:?}");
        assert!(ranked.iter().zip(1..).all(|(point, rank)| point["rank"] == rank));
        let by_profit = get(&app, &format!("/api/v1/jobs/{id}/results?sort=net_profit&offset=1&limit=2")).await.json();
        let profits = |points: &[Value]| -> Vec<f64> {
            points.iter().map(|point| point["in_sample"]["net_profit"].as_f64().unwrap()).collect()
        };
        let mut all = profits(ranked);
        all.sort_by(|one, other| other.total_cmp(one));
        assert_eq!(profits(by_profit["results"].as_array().unwrap()), all[1..3]);
        get(&app, &format!("/api/v1/jobs/{id}/results?sort=luck")).await.problem(422, "invalid_values");
        let no_item = get(&app, &format!("/api/v1/jobs/{id}/results?item=1")).await.problem(404, "no_results");
        assert!(no_item.contains("no item 1"), "{no_item}");

        let csv = app.request(Method::GET, &format!("/api/v1/jobs/{id}/results")).header("Accept", "text/csv");
        let csv = send(csv.bearer_auth(TOKEN)).await;
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        let lines: Vec<&str> = csv.body.split("\r\n").collect();
        assert!(lines[0].starts_with("rank,fast,slow,stop_atr,target_atr,objective,trades,in_sample_"), "{}", lines[0]);
        assert_eq!((lines.len(), lines[19]), (20, ""));
        let beyond =
            app.request(Method::GET, &format!("/api/v1/jobs/{id}/results?offset=18")).header("Accept", "text/csv");
        let beyond = send(beyond.bearer_auth(TOKEN)).await;
        assert_eq!(beyond.body, format!("{}\r\n", lines[0]), "the head does not depend on the rows");
        let json = app.request(Method::GET, &format!("/api/v1/jobs/{id}/results"));
        let json = send(json.header("Accept", "text/csv;q=0.5, application/json").bearer_auth(TOKEN)).await;
        assert_eq!(json.header("content-type"), Some("application/json"));
    });
}

#[apply(both_store_kinds)]
fn candles_that_are_kept_from_the_search_judge_the_best(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let forward = begin(&app, &with(small(), json!({"out_of_sample": {"forward": 0.5}}))).await;
        let walk = json!({"out_of_sample": {"walk_forward": {"in": 300, "out": 200}}, "priority": 3});
        let walk = begin(&app, &with(small(), walk)).await;
        let product = json!({"strategies": ["all"], "series": [{"symbol": "EURUSD", "timeframe": "H1"}], "min_trades": 1,
                             "method": "sobol", "max_evaluations": 2});
        let product = begin(&app, &product).await;
        let forward = over(&app, &forward).await;
        let winner = &forward["items"][0]["winner"];
        assert!(winner["out_of_sample"]["trades"].is_number() && winner["in_sample"]["trades"].is_number());
        let walk = over(&app, &walk).await;
        let windows = walk["items"][0]["walk_forward"]["windows"].as_array().unwrap();
        assert_eq!((windows.len(), &walk["items"][0]["trials"]), (3, &json!(54)));
        assert_eq!(walk["priority"], 3);
        let path = format!("/api/v1/jobs/{}/results?include=objectives", walk["id"].as_str().unwrap());
        let results = get(&app, &path).await.json();
        let objectives = results["objectives"].as_array().unwrap().len();
        assert_eq!((objectives, &results["evaluations"]), (54, &json!(54)), "of all windows");
        let product = over(&app, &product).await;
        let items = product["items"].as_array().unwrap();
        assert!(items.len() > 90, "{}", items.len());
        assert!(items.iter().all(|item| item["state"] == "done"), "{product}");
    });
}

#[apply(both_store_kinds)]
fn a_request_that_cannot_be_searched_is_refused_with_a_sentence(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| environment.with("RESEARCH_MAX_EVALUATIONS", 1000)).await;
        let refused = async |change: Value| post(&app, "/api/v1/optimizations", &with(small(), change)).await;
        let item = |change: Value| json!({"items": [with(small()["items"][0].clone(), change)]});
        let ranges =
            json!({"ranges": {"fast": {"min": 2, "max": 50, "step": 1}, "slow": {"min": 60, "max": 99, "step": 1}}});
        let detail = refused(item(ranges)).await.problem(422, "invalid_values");
        assert!(detail.contains("grid of 1960 combinations") && detail.contains("at most 1000"), "{detail}");
        let detail = refused(item(json!({"strategy": "sma-crosss"}))).await.problem(404, "unknown_strategy");
        assert!(detail.contains("sma-cross"), "{detail}");
        refused(item(json!({"symbol": "NOTHING"}))).await.problem(404, "unknown_series");
        let several = json!({"methods": "grid", "priority": 11, "max_evaluations": 1001, "name": ""});
        let fields: Vec<String> = refused(several).await.errors().into_iter().map(|(loc, _)| loc).collect();
        assert_eq!(fields.len(), 4, "{fields:?}");
        refused(item(json!({"ranges": {"fast": [1], "quick": [5]}}))).await.problem(422, "invalid_values");
        let product = json!({"strategies": ["sma-cross", "donchian"], "method": "grid",
                             "series": [{"symbol": "EURUSD", "timeframe": "H1"}, {"symbol": "EURUSD", "timeframe": "M1"}]});
        let errors = post(&app, "/api/v1/optimizations", &product).await.errors();
        let expected = [0, 1].map(|n| (format!(r#"["body","strategies",{n}]"#), "grid_too_large".to_owned()));
        assert_eq!(errors, expected, "the places are those of the body that was sent");
        let items = vec![small()["items"][0].clone(); 501];
        assert!(refused(json!({ "items": items })).await.problem(422, "invalid_values").contains("501 values"));
        let series = vec![json!({"symbol": "EURUSD", "timeframe": "H1"}); 20];
        let product = json!({"strategies": ["all"], "series": series});
        let detail = post(&app, "/api/v1/optimizations", &product).await.problem(422, "invalid_values");
        assert!(detail.contains("at most 500"), "{detail}");
        for body in ["{", "[]"] {
            let request = app.request(Method::POST, "/api/v1/optimizations").header("X-API-KEY", RESEARCH_KEY);
            send(request.body(body)).await.problem(400, "malformed");
        }
        for secret in [TOKEN, KEY] {
            let request = app.request(Method::POST, "/api/v1/optimizations").bearer_auth(secret);
            send(request.body(small().to_string())).await.problem(403, "wrong_scope");
        }
        assert_eq!(get(&app, "/api/v1/jobs").await.json(), json!([]));
        get(&app, "/api/v1/jobs?state=over").await.problem(422, "invalid_values");
        get(&app, "/api/v1/jobs?before=00000000000000000000000000").await.problem(404, "unknown_job");
        get(&app, "/api/v1/jobs/00000000000000000000000000").await.problem(404, "unknown_job");
    });
}

async fn post_with_key(service: &Service, key: &str, body: &Value) -> Answer {
    let request = service.request(Method::POST, "/api/v1/optimizations").header("X-API-KEY", RESEARCH_KEY);
    send(request.header("Idempotency-Key", key).body(body.to_string())).await
}

#[apply(both_store_kinds)]
fn a_repeated_idempotency_key_gives_the_same_job(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let first = post_with_key(&app, "k-1", &small()).await;
        let again = post_with_key(&app, "k-1", &small()).await;
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
        assert_eq!(first.json()["id"], again.json()["id"]);
        post_with_key(&app, "k-1", &long()).await.problem(422, "idempotency_mismatch");
        assert_ne!(post_with_key(&app, "k-2", &small()).await.json()["id"], first.json()["id"]);
        post_with_key(&app, "two words", &small()).await.problem(422, "invalid_values");
        assert_eq!(get(&app, "/api/v1/jobs").await.json().as_array().unwrap().len(), 2);
    });
}

#[apply(both_store_kinds)]
fn a_replica_without_threads_queues_jobs_until_the_queue_is_full(#[case] kind: StoreKind) {
    run(async move {
        let app =
            start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0).with("RESEARCH_MAX_QUEUED", 3))
                .await;
        let mut ids = Vec::new();
        for priority in [0, -5, 5] {
            ids.push(begin(&app, &with(small(), json!({ "priority": priority }))).await);
        }
        let full = post(&app, "/api/v1/optimizations", &small()).await;
        assert!(full.problem(429, "queue_full").contains("3 queued jobs"));
        assert!(full.header("retry-after").is_some());
        let mut positions = Vec::new();
        for id in &ids {
            positions.push(job(&app, id).await["position"].as_i64().unwrap());
        }
        assert_eq!(positions, [2, 3, 1]);
        let listed = get(&app, "/api/v1/jobs?limit=2").await.json();
        assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&json!(ids[2]), &json!(ids[1])));
        let rest = get(&app, &format!("/api/v1/jobs?before={}", ids[1])).await.json();
        assert_eq!((rest.as_array().unwrap().len(), &rest[0]["id"]), (1, &json!(ids[0])));

        let cancel = async || {
            let request = app.request(Method::DELETE, &format!("/api/v1/jobs/{}", ids[2]));
            send(request.header("X-API-KEY", RESEARCH_KEY)).await
        };
        for _ in 0..2 {
            let answer = cancel().await;
            assert_eq!((answer.status.as_u16(), answer.json()["state"].as_str()), (200, Some("cancelled")));
        }
        assert_eq!(post(&app, "/api/v1/optimizations", &small()).await.status, 202);
        let body = json!({"job": ids[0], "format": "csv"});
        post(&app, "/api/v1/exports", &body).await.problem(503, "research_off");
    });
}

#[apply(both_store_kinds)]
fn a_running_job_that_is_cancelled_keeps_what_is_over(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &long()).await;
        has_items(&app, &id, 1).await;
        assert_eq!(job(&app, &id).await["state"], "running");
        let cancel = async || {
            let request = app.request(Method::DELETE, &format!("/api/v1/jobs/{id}"));
            send(request.header("X-API-KEY", RESEARCH_KEY)).await
        };
        let answer = cancel().await;
        assert_eq!((answer.status.as_u16(), answer.json()["state"].as_str()), (202, Some("running")));
        let over = over(&app, &id).await;
        assert_eq!(over["state"], "cancelled");
        assert_eq!((&over["items"][0]["state"], &over["items"][1]["state"]), (&json!("done"), &json!("cancelled")));
        assert_eq!(get(&app, &format!("/api/v1/jobs/{id}/results")).await.status, 200);
        let item = get(&app, &format!("/api/v1/jobs/{id}/results?item=1")).await.problem(404, "no_results");
        assert!(item.contains("cancelled before the item was over"), "{item}");
        assert_eq!(cancel().await.status, 200);
    });
}

#[apply(both_store_kinds)]
fn an_item_that_takes_too_long_ends_with_what_it_has(#[case] kind: StoreKind) {
    run(async move {
        let app =
            start_with(kind, |environment| environment.with("RESEARCH_THREADS", 1).with("RESEARCH_MAX_SECONDS", 1))
                .await;
        // A method that plans nothing ahead, so that the time is spent on evaluations.
        let id = begin(&app, &with(long(), json!({"method": "tpe"}))).await;
        let over = over(&app, &id).await;
        let item = &over["items"][1];
        assert_eq!((&over["state"], &item["state"]), (&json!("done"), &json!("done")));
        assert!(item["trials"].as_u64().unwrap() < 100_000);
        let warnings = item["warnings"].to_string();
        assert!(warnings.contains("time"), "{warnings}");
    });
}

#[apply(both_store_kinds)]
fn a_job_without_enough_candles_fails_with_a_sentence(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &with(small(), json!({"from": "1999-01-01", "to": "1999-02-01"}))).await;
        let over = over(&app, &id).await;
        assert_eq!((&over["state"], &over["items"][0]["state"]), (&json!("failed"), &json!("failed")));
        assert!(over["error"].as_str().unwrap().contains("0 closed candles"), "{over}");
    });
}

#[apply(both_store_kinds)]
fn an_empty_part_of_the_candles_is_named(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let from = async |from: &str| {
            let id = begin(&app, &with(small(), json!({"out_of_sample": {"forward_from": from}}))).await;
            over(&app, &id).await["items"][0].clone()
        };
        let late = from("2030-01-01").await;
        let warnings = late["warnings"].to_string();
        assert!(warnings.contains("Fewer than 2 candles were kept from the search"), "{late}");
        assert_eq!((&late["state"], &late["winner"]["out_of_sample"]), (&json!("done"), &Value::Null));
        let early = from("2010-01-01").await;
        assert_eq!(early["state"], "failed");
        assert!(early["error"].as_str().unwrap().contains("0 closed candles before forward_from"), "{early}");
    });
}

#[apply(both_store_kinds)]
fn a_cancelled_job_whose_process_has_left_it_keeps_its_progress(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let id = begin(&app, &small()).await;
        let store = app.database.store().await;
        let claimed = store.claim_job("left".to_owned(), Vec::new()).await.unwrap().unwrap();
        let lease = Lease { job: claimed.id, token: "left".to_owned() };
        let progress = JobProgress { done: 5, total: 18, summary: Vec::new() };
        store.renew_lease(lease.clone(), progress).await.unwrap();
        let cancel = app.request(Method::DELETE, &format!("/api/v1/jobs/{id}")).header("X-API-KEY", RESEARCH_KEY);
        assert_eq!(send(cancel).await.status, 202);
        store.release_lease(lease).await.unwrap();
        store.close().await;
        let environment =
            Environment::new(&app.database.url()).with("RATE_LIMIT_RESEARCH", "off").with("RESEARCH_THREADS", 1);
        let worker = Service::start(&environment).await;
        let over = over(&worker, &id).await;
        assert_eq!(over["state"], "cancelled");
        assert_eq!((&over["progress"]["done"], &over["progress"]["total"]), (&json!(5), &json!(18)));
    });
}

#[apply(both_store_kinds)]
fn jobs_belong_to_the_name_of_their_key(#[case] kind: StoreKind) {
    run(async move {
        let keys = "ana:research-key-of-ana,bob:research-key-of-bob";
        let app =
            start_with(kind, |environment| environment.with("RESEARCH_API_KEY", keys).with("RESEARCH_THREADS", 1))
                .await;
        let ask = async |method: Method, path: &str, secret: &str, body: &Value| {
            send(app.request(method, path).bearer_auth(secret).body(body.to_string())).await
        };
        let (ana, bob) = ("research-key-of-ana", "research-key-of-bob");
        let started = ask(Method::POST, "/api/v1/optimizations", ana, &small()).await.json();
        let id = started["id"].as_str().unwrap();
        let path = format!("/api/v1/jobs/{id}");
        let done = async || ask(Method::GET, &path, ana, &Value::Null).await.json()["state"] == "done";
        crate::harness::eventually(done).await;
        let export = json!({"job": id, "format": "csv"});
        let file = ask(Method::POST, "/api/v1/exports", ana, &export).await.json()["href"].as_str().unwrap().to_owned();
        for path in [path.clone(), format!("{path}/events"), format!("{path}/results")] {
            ask(Method::GET, &path, bob, &Value::Null).await.problem(404, "unknown_job");
            assert_eq!(ask(Method::GET, &path, TOKEN, &Value::Null).await.status, 200);
        }
        ask(Method::DELETE, &path, bob, &Value::Null).await.problem(404, "unknown_job");
        ask(Method::DELETE, &path, TOKEN, &Value::Null).await.problem(403, "wrong_scope");
        ask(Method::POST, "/api/v1/exports", bob, &export).await.problem(404, "unknown_job");
        ask(Method::GET, &file, bob, &Value::Null).await.problem(404, "unknown_file");
        assert_eq!(ask(Method::GET, &file, TOKEN, &Value::Null).await.status, 200);
        assert_eq!(ask(Method::GET, "/api/v1/jobs", bob, &Value::Null).await.json(), json!([]));
        let all = ask(Method::GET, "/api/v1/jobs", TOKEN, &Value::Null).await.json();
        assert_eq!((all.as_array().unwrap().len(), &all[0]["owner"]), (1, &json!("ana")));
    });
}

#[apply(both_store_kinds)]
fn candles_are_taken_while_jobs_run(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        for _ in 0..3 {
            begin(&app, &long()).await;
        }
        super::eventually(async || get(&app, "/api/v1/jobs?state=running").await.json().as_array().unwrap().len() == 3)
            .await;
        for minute in 0..200 {
            let posted = with(
                crate::harness::candle(crate::harness::NOW - 86_400 + minute * 60),
                json!({"timeframe": "M1", "symbol": "GBPUSD", "complete": true}),
            );
            assert_eq!(app.ingest(&[posted]).await, (1, 0, 0));
        }
        let kept = app.database.closed().await;
        assert_eq!(kept.iter().filter(|row| row.starts_with("GBPUSD M1")).count(), 200);
        let details = app.get("/api/v1/health/detailed").await.json();
        assert_eq!((&details["research"]["threads"], &details["research"]["running"]), (&json!(1), &json!(3)));
    });
}
