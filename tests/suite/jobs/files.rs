//! Files of results.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{begin, get, over, post, small, start};
use crate::harness::{Database, RESEARCH_KEY, Service, StoreKind, both_store_kinds, run, send, with};

pub(super) async fn export(service: &Service, job: &str, change: Value) -> Value {
    let answer = post(service, "/api/v1/exports", &with(json!({ "job": job, "format": "pine" }), change)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), answer.json()["href"].as_str());
    answer.json()
}

#[apply(both_store_kinds)]
fn scripts_and_tables_are_downloads(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &with(small(), json!({"settings": {"capital": 5000}}))).await;
        let item = over(&app, &id).await["items"][0].clone();
        let made = export(&app, &id, json!({})).await;
        let href = made["href"].as_str().unwrap();
        let file = get(&app, href).await;
        assert_eq!(file.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(file.header("content-disposition"), Some(r#"attachment; filename="sma-cross-EURUSD-H1.pine""#));
        assert!(file.body.starts_with("//@version=6\n// EURUSD H1 from "), "{}", file.body);
        let fast = format!("fast = input.int({}, \"fast\"", item["winner"]["parameters"]["fast"]);
        assert!(file.body.contains(&fast) && file.body.contains("initial_capital = 5000"), "{}", file.body);
        assert!(file.body.contains("Equal trades need equal candles."));
        // The same again is the same file, also for two requests at once.
        assert_eq!(export(&app, &id, json!({})).await, made);
        let both = tokio::join!(
            export(&app, &id, json!({"format": "csv"})),
            export(&app, &id, json!({"format": "csv", "rank": 5})),
        );
        assert_eq!(both.0, both.1, "a table has all ranks");
        assert_eq!(app.database.rows("select name from research_files").await.len(), 2);
        let second = export(&app, &id, json!({"rank": 2})).await;
        assert_ne!(second["sha256"], made["sha256"]);

        let etag = file.header("etag").unwrap();
        let known = app.request(Method::GET, href).header("X-API-KEY", RESEARCH_KEY).header("If-None-Match", etag);
        let known = send(known).await;
        assert_eq!((known.status.as_u16(), known.body.as_str()), (304, ""));

        let table = export(&app, &id, json!({"format": "csv"})).await;
        let table = get(&app, table["href"].as_str().unwrap()).await;
        assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(table.body.matches("\r\n").count(), 19);
    });
}

#[apply(both_store_kinds)]
fn what_cannot_be_exported_is_refused(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &small()).await;
        over(&app, &id).await;
        let refused = async |change: Value| {
            post(&app, "/api/v1/exports", &with(json!({ "job": id, "format": "pine" }), change)).await
        };
        let detail = refused(json!({"format": "docx"})).await.problem(422, "invalid_values");
        assert!(detail.contains("pine, pdf, csv"), "{detail}");
        refused(json!({"rang": 1})).await.problem(422, "invalid_values");
        assert!(refused(json!({"item": 1})).await.problem(404, "no_results").contains("no item 1"));
        assert!(refused(json!({"rank": 19})).await.problem(404, "no_results").contains("18 ranked results"));
        refused(json!({"job": "0".repeat(26)})).await.problem(404, "unknown_job");
    });
}

#[apply(both_store_kinds)]
fn a_file_that_has_expired_says_so(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &small()).await;
        over(&app, &id).await;
        let href = export(&app, &id, json!({})).await["href"].as_str().unwrap().to_owned();
        assert_eq!(get(&app, &href).await.status, 200);
        let past = match &app.database {
            Database::Sqlite(_) => "1",
            Database::Postgres(_) => "now() - interval '1 second'",
        };
        super::processes::execute(&app.database, &format!("update research_files set expires_at = {past}")).await;
        let detail = get(&app, &href).await.problem(404, "unknown_file");
        assert!(detail.contains("export it again"), "{detail}");
        assert_eq!(export(&app, &id, json!({})).await["href"], href);
        assert_eq!(get(&app, &href).await.status, 200);
        // One of a job that has expired would be gone at once.
        super::processes::execute(&app.database, &format!("update research_files set expires_at = {past}")).await;
        super::processes::execute(&app.database, &format!("update research_jobs set expires_at = {past}")).await;
        let again = post(&app, "/api/v1/exports", &json!({"job": id, "format": "pine"})).await;
        assert!(again.problem(404, "unknown_job").contains("expires"), "{again:?}");
    });
}
