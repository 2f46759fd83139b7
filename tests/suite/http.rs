//! Behaviour that all routes share: access, the form of a refusal, ids, health, documentation.

use insta::assert_snapshot;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Answer, Database, KEY, NOW, RESEARCH_KEY, TOKEN, TestApp, both_stores, candle, run, send, with};

const GET_CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";

async fn call(app: &TestApp, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = app.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(json!({"candles": [candle(NOW - 7200)]}).to_string())).await
}

#[apply(both_stores)]
async fn each_route_accepts_only_its_own_kind_of_key(app: TestApp) {
    let bearer = |secret: &str| format!("Bearer {secret}");
    let (post, get, latest, export, gaps, config, series, fresh, detailed, strategies) = (
        (Method::POST, "/api/v1/candles"),
        (Method::GET, GET_CANDLES),
        (Method::GET, "/api/v1/latest"),
        (Method::GET, "/api/v1/export.csv?symbol=EURUSD&timeframe=H1"),
        (Method::GET, "/api/v1/gaps?symbol=EURUSD&timeframe=H1&from=2025-08-01&to=2025-08-02&session=24x7"),
        (Method::GET, "/api/v1/udf/config"),
        (Method::GET, "/api/v1/series"),
        (Method::GET, "/api/v1/freshness?max_age=31622400"),
        (Method::GET, "/api/v1/health/detailed"),
        (Method::GET, "/api/v1/strategies"),
    );
    for ((method, path), credential, expected) in [
        (&post, ("X-API-KEY", KEY.to_owned()), 201),
        (&post, ("x-api-key", KEY.to_owned()), 201),
        (&post, ("Authorization", bearer(KEY)), 201),
        (&post, ("Authorization", format!("bearer {KEY}")), 201),
        (&post, ("Authorization", bearer(TOKEN)), 403),
        (&post, ("X-Internal-Token", TOKEN.to_owned()), 403),
        (&post, ("X-API-KEY", TOKEN.to_owned()), 401),
        (&post, ("X-Internal-Token", KEY.to_owned()), 401),
        (&get, ("Authorization", bearer(TOKEN)), 200),
        (&get, ("X-Internal-Token", TOKEN.to_owned()), 200),
        (&get, ("Authorization", bearer(KEY)), 403),
        (&get, ("X-API-KEY", KEY.to_owned()), 403),
        (&get, ("X-API-KEY", TOKEN.to_owned()), 401),
        (&latest, ("Authorization", bearer(TOKEN)), 200),
        (&latest, ("X-API-KEY", KEY.to_owned()), 403),
        (&export, ("Authorization", bearer(TOKEN)), 200),
        (&export, ("X-API-KEY", KEY.to_owned()), 403),
        (&gaps, ("Authorization", bearer(TOKEN)), 200),
        (&gaps, ("X-API-KEY", KEY.to_owned()), 403),
        (&config, ("X-Internal-Token", TOKEN.to_owned()), 200),
        (&config, ("X-API-KEY", KEY.to_owned()), 403),
        (&series, ("X-API-KEY", KEY.to_owned()), 200),
        (&series, ("Authorization", bearer(TOKEN)), 200),
        (&fresh, ("X-API-KEY", KEY.to_owned()), 200),
        (&fresh, ("Authorization", bearer(TOKEN)), 200),
        (&detailed, ("X-Internal-Token", TOKEN.to_owned()), 200),
        (&detailed, ("X-API-KEY", KEY.to_owned()), 403),
        (&detailed, ("X-API-KEY", RESEARCH_KEY.to_owned()), 403),
        (&strategies, ("X-API-KEY", RESEARCH_KEY.to_owned()), 200),
        (&strategies, ("Authorization", bearer(RESEARCH_KEY)), 200),
        (&strategies, ("X-Internal-Token", TOKEN.to_owned()), 200),
        (&strategies, ("X-API-KEY", KEY.to_owned()), 403),
        (&get, ("X-API-KEY", RESEARCH_KEY.to_owned()), 403),
    ] {
        let answer = call(&app, method.clone(), path, &[(credential.0, &credential.1)]).await;
        assert_eq!(answer.status.as_u16(), expected, "{method} {path} {credential:?}");
        match expected {
            401 => drop(answer.problem(401, "unauthorized")),
            403 => drop(answer.problem(403, "wrong_scope")),
            _ => {}
        }
    }
}

#[apply(both_stores)]
async fn answers_have_their_headers_and_bodies(app: TestApp) {
    let key = [("X-API-KEY", KEY)];
    let post = async |body: Value| app.post(&body).await;
    let good = candle(NOW - 7200);
    let wrong = with(candle(NOW - 7200), json!({"open": "abc", "volume": null}));
    let answers = [
        ("a batch", post(json!({"candles": [good, candle(NOW)]})).await),
        ("the same batch with another price", post(json!({"candles": [with(good, json!({"close": "1.0855"}))]})).await),
        ("a page", app.candles("&limit=1").await),
        ("the list of series", app.get("/api/v1/series").await),
        ("no key", call(&app, Method::GET, GET_CANDLES, &[]).await),
        ("the key of a terminal", call(&app, Method::GET, GET_CANDLES, &key).await),
        ("an unknown route", call(&app, Method::GET, "/nowhere", &[]).await),
        ("a wrong method", call(&app, Method::PUT, "/api/v1/candles", &[]).await),
        ("a body that is not JSON", app.post_bytes("{\"candles\": [").await),
        ("values that are not a candle's", post(json!({"candles": [wrong]})).await),
        ("a wrong parameter", app.candles("&limit=0").await),
    ];
    let answers: Vec<_> = answers.iter().map(|(name, answer)| format!("# {name}\n{}", answer.shown())).collect();
    let answers = answers.join("\n");
    assert_snapshot!("answers", answers);
}

#[apply(both_stores)]
async fn all_wrong_keys_get_the_same_answer(app: TestApp) {
    let longer = format!("{KEY}x");
    let upper = KEY.to_uppercase();
    let cases: Vec<Vec<(&'static str, &str)>> = vec![
        vec![],
        vec![("X-API-KEY", "wrong")],
        vec![("X-API-KEY", &KEY[1..])],
        vec![("X-API-KEY", &longer)],
        vec![("X-API-KEY", &upper)],
        vec![("Authorization", "Bearer wrong")],
        vec![("Authorization", "Basic eDp5")],
        vec![("X-API-KEY", "schlüssel")],
    ];
    let mut bodies = std::collections::BTreeSet::new();
    for headers in cases {
        let answer = call(&app, Method::POST, "/api/v1/candles", &headers).await;
        assert_eq!(answer.problem(401, "unauthorized"), "Invalid or missing API Key", "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        bodies.insert(answer.body.replace(answer.header("x-request-id").unwrap(), ""));
    }
    assert_eq!(bodies.len(), 1);
    call(&app, Method::POST, "/api/v1/candles?key=wrong", &[]).await.problem(401, "unauthorized");
    assert!(app.database.closed().await.is_empty());
}

#[apply(both_stores)]
async fn unknown_routes_and_methods_are_problems(app: TestApp) {
    for path in [
        "/api",
        "/docs/",
        "/api/v1/candle",
        "/api/v1/candles/",
        "/api/v1/candles/EURUSD",
        "/API/v1/candles",
        "/api/v1/../v1/series/",
        "/%00",
        "/health/",
        "/api/docs/..%2f..%2fCargo.toml",
        "/api/docs/index.html",
    ] {
        call(&app, Method::GET, path, &[]).await.problem(404, "not_found");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/api/v1/candles", ["DELETE", "GET", "HEAD", "POST"].as_slice()),
        (Method::PATCH, GET_CANDLES, &["DELETE", "GET", "HEAD", "POST"]),
        (Method::POST, "/api/v1/series", &["GET", "HEAD"]),
        (Method::POST, "/health", &["GET", "HEAD"]),
        (Method::PATCH, "/api/v1/openapi.json", &["GET", "HEAD"]),
        (Method::OPTIONS, "/healthz", &["GET", "HEAD"]),
        (Method::from_bytes(b"FOO").unwrap(), "/api/docs", &["GET", "HEAD"]),
    ] {
        let answer = call(&app, method.clone(), path, &[]).await;
        answer.problem(405, "method_not_allowed");
        let mut allow: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow, allowed, "{method} {path}");
    }
    let head = call(&app, Method::HEAD, "/nowhere", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (404, ""));
    assert_eq!(head.header("content-type"), Some("application/problem+json"));
}

#[apply(both_stores)]
async fn a_valid_request_id_is_echoed_and_any_other_is_replaced(app: TestApp) {
    for id in ["a", "0f-3_x.Y", &"x".repeat(64)] {
        assert_eq!(call(&app, Method::GET, "/healthz", &[("x-request-id", id)]).await.header("x-request-id"), Some(id));
    }
    for id in ["", "with blank", "\"quote", "ü", &"x".repeat(65)] {
        let answer = call(&app, Method::GET, "/nowhere", &[("x-request-id", id)]).await;
        answer.problem(404, "not_found");
        let made = answer.header("x-request-id").unwrap();
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    }
}

#[apply(both_stores)]
async fn health_needs_no_key(app: TestApp) {
    for path in ["/health", "/api/v1/health", "/health/live", "/healthz"] {
        let answer = call(&app, Method::GET, path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, r#"{"status":"ok"}"#), "{path}");
        let head = call(&app, Method::HEAD, path, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""), "{path}");
    }
    call(&app, Method::GET, "/api/v1/health/detailed", &[]).await.problem(401, "unauthorized");
    let details = app.get("/api/v1/health/detailed").await.json();
    assert_eq!(details["status"], "ok");
    assert_eq!(details["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(details["revision"], option_env!("CANDLEWICK_REVISION").unwrap_or("unknown"));
    assert_eq!(details["last_ingest"], json!(null));
    let kind = if matches!(app.database, Database::Sqlite(_)) { "sqlite" } else { "postgres" };
    assert_eq!(details["store"]["kind"], kind);
    for count in ["connections_open", "connections_idle", "connections_max"] {
        assert!(details["store"][count].is_u64(), "{details}");
    }
    assert!(details["store"]["latency_ms"].is_f64() && details["uptime_seconds"].is_u64(), "{details}");
    assert!(details["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{details}");
    app.ingest(&[candle(NOW)]).await;
    assert_eq!(app.get("/api/v1/health/detailed").await.json()["last_ingest"], NOW * 1000);
}

#[apply(both_stores)]
async fn concurrent_health_requests_share_a_probe(app: TestApp) {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        asking.spawn(send(app.request(Method::GET, "/api/v1/health/detailed").bearer_auth(TOKEN)));
    }
    let latencies: std::collections::BTreeSet<String> =
        asking.join_all().await.iter().map(|answer| answer.json()["store"]["latency_ms"].to_string()).collect();
    assert!(latencies.len() <= 3, "all but a few a second of 100 requests share a probe: {latencies:?}");
}

#[test]
fn the_committed_openapi_document_matches_the_served_one() {
    run(async {
        let committed = include_str!("../../docs/openapi.json");
        let current = candlewick::http::openapi();
        assert!(committed.trim_end() == current, "docs/openapi.json is out of date; run `make openapi`");
        let app = TestApp::start(Database::sqlite()).await;
        let served = call(&app, Method::GET, "/api/v1/openapi.json", &[]).await;
        assert_eq!(served.header("content-type"), Some("application/json"));
        assert_eq!(served.body, current);
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a line for each route")]
fn the_openapi_document_is_complete() {
    let document: serde_json::Value = serde_json::from_str(&candlewick::http::openapi()).unwrap();
    let operations: Vec<(String, &serde_json::Value)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect();
    let statuses = |name: &str| -> Vec<&str> {
        let (_, operation) = operations.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{name}"));
        operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
    };
    assert_eq!(
        statuses("post /api/v1/candles"),
        ["201", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"]
    );
    assert_eq!(statuses("get /api/v1/candles"), ["200", "304", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/latest"), ["200", "304", "400", "401", "403", "422", "429", "500", "503"]);
    for format in ["ndjson", "parquet"] {
        let name = format!("get /api/v1/export.{format}");
        assert_eq!(statuses(&name), ["200", "400", "401", "403", "422", "429", "500", "503"], "{name}");
    }
    for route in ["config", "symbols", "search", "history", "marks", "timescale_marks"] {
        let name = format!("get /api/v1/udf/{route}");
        assert_eq!(statuses(&name), ["200", "304", "400", "401", "403", "429", "500", "503"], "{name}");
    }
    for name in ["get /api/v1/export.csv", "get /api/v1/signals.csv"] {
        assert_eq!(statuses(name), ["200", "400", "401", "403", "404", "413", "422", "429", "500", "503"], "{name}");
    }
    for name in ["post /api/v1/backtests", "post /api/v1/run"] {
        let expected = ["200", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"];
        assert_eq!(statuses(name), expected, "{name}");
    }
    let strategies = ["200", "304", "400", "401", "403", "404", "422", "429", "500", "503"];
    assert_eq!(statuses("get /api/v1/strategies"), strategies);
    assert_eq!(statuses("get /api/v1/strategies/{id}"), strategies);
    assert_eq!(statuses("get /api/v1/gaps"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/live"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    let corrections = ["200", "400", "401", "403", "408", "409", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("post /api/v1/corrections"), corrections);
    let deletions = ["200", "400", "401", "403", "409", "413", "422", "429", "500", "503"];
    assert_eq!(statuses("delete /api/v1/candles"), deletions);
    assert_eq!(statuses("get /api/v1/changes"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/freshness"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/series"), ["200", "304", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/health/detailed"), ["200", "400", "401", "403", "429", "500", "503"]);
    for name in ["get /health", "get /api/v1/health"] {
        assert_eq!(statuses(name), ["200", "400", "500", "503"]);
    }
    assert_eq!(statuses("get /health/live"), ["200", "400", "500"]);
    assert_eq!(statuses("get /healthz"), ["200", "400", "500"]);
    assert_eq!(statuses("get /api/v1/openapi.json"), ["200", "400", "403", "429", "500", "503"]);
    let posts = ["200", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("post /api/v1/backtests"), posts);
    assert_eq!(statuses("post /api/v1/run"), posts);
    let pages = ["200", "304", "400", "401", "403", "404", "422", "429", "500", "503"];
    assert_eq!(statuses("get /api/v1/strategies"), pages);
    assert_eq!(statuses("get /api/v1/strategies/{id}"), pages);
    let starts = ["202", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("post /api/v1/optimizations"), starts);
    assert_eq!(
        statuses("post /api/v1/exports"),
        ["201", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"]
    );
    let reads = ["200", "400", "401", "403", "404", "422", "429", "500", "503"];
    assert_eq!(statuses("get /api/v1/strategies/{id}/pine"), reads);
    assert_eq!(statuses("get /api/v1/jobs"), reads);
    assert_eq!(statuses("get /api/v1/jobs/{id}/results"), reads);
    assert_eq!(statuses("get /api/v1/jobs/{id}"), ["200", "400", "401", "403", "404", "429", "500", "503"]);
    let cancels = ["200", "202", "400", "401", "403", "404", "429", "500", "503"];
    assert_eq!(statuses("delete /api/v1/jobs/{id}"), cancels);
    let follows = ["200", "204", "400", "401", "403", "404", "429", "500", "503"];
    assert_eq!(statuses("get /api/v1/jobs/{id}/events"), follows);
    assert_eq!(statuses("get /api/v1/files/{id}"), ["200", "304", "400", "401", "403", "404", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/signals/history"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /api/v1/activity"), ["200", "400", "401", "403", "422", "429", "500", "503"]);
    assert_eq!(statuses("get /console/session"), ["200", "400", "403", "429", "500", "503"]);
    let sign_in = ["200", "400", "401", "403", "408", "413", "422", "429", "500", "503"];
    assert_eq!(statuses("post /console/session"), sign_in);
    assert_eq!(statuses("delete /console/session"), ["204", "400", "403", "429", "500", "503"]);
    assert_eq!(operations.len(), 45);

    let mut ids = std::collections::BTreeSet::new();
    for (name, operation) in &operations {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
        assert!(operation["summary"].is_string(), "{name}");
        assert!(operation["security"].is_array(), "{name}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["headers"]["x-request-id"].is_object(), "{name} {status}");
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            let content = response["content"].as_object().and_then(|content| content.keys().next()).map(String::as_str);
            let expected = match status.as_str() {
                "204" | "304" => None,
                "503" if name.contains("health") && !name.contains("detailed") => Some("application/json"),
                // Beside the problem.
                "503" if name.contains("freshness") => Some("application/json"),
                "200" if name == "get /api/v1/live" || name.ends_with("/events") => Some("text/event-stream"),
                "200" if name == "get /api/v1/udf/time" => Some("text/plain"),
                "200" if name.ends_with("/pine") => Some("text/plain"),
                "200" if name == "get /api/v1/files/{id}" => Some("application/pdf"),
                "200" if name.contains(".csv") => Some("text/csv"),
                "200" if name.contains("export.ndjson") => Some("application/x-ndjson"),
                "200" if name.contains("export.parquet") => Some("application/vnd.apache.parquet"),
                status if status.starts_with('2') => Some("application/json"),
                _ => Some("application/problem+json"),
            };
            assert_eq!(content, expected, "{name} {status}");
            match status.as_str() {
                "401" => assert!(response["headers"]["www-authenticate"].is_object(), "{name}"),
                "503" => assert!(response["headers"]["retry-after"].is_object(), "{name}"),
                _ => {}
            }
        }
    }
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(
        schemes.keys().collect::<Vec<_>>(),
        ["bearer", "ingest_key", "internal_token", "maintenance_key", "research_key"]
    );

    // Every reference has its target.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn openapi_has_an_example_per_error_code_and_a_credential_per_route() {
    let document: serde_json::Value = serde_json::from_str(&candlewick::http::openapi()).unwrap();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let answers = operations.clone().map(|operation| operation["responses"].as_object().unwrap());
    let shared = document["components"]["responses"].as_object().unwrap();
    let mut codes = std::collections::BTreeSet::new();
    for (status, answer) in answers.flatten().chain(shared) {
        let Some(content) = answer["content"].get("application/problem+json") else { continue };
        let examples = content["examples"].as_object().unwrap_or_else(|| panic!("{answer}"));
        for (code, example) in examples {
            let problem = &example["value"];
            assert_eq!(problem["code"], json!(code));
            assert!(answer["description"].as_str().unwrap().contains(&format!("`{code}`")), "{answer}");
            let of_status =
                shared.contains_key(status) || problem["status"] == status.parse::<u16>().unwrap_or_default();
            assert!(of_status && problem["detail"].as_str().unwrap().len() > 20, "{status} {problem}");
            assert_eq!(problem["errors"].is_array(), code == "invalid_values", "{problem}");
            codes.insert(code.clone());
        }
        // As many as the description lists.
        assert_eq!(answer["description"].as_str().unwrap().matches("`: ").count(), examples.len(), "{answer}");
    }
    // The rows of the table of codes begin with a status.
    let documented = include_str!("../../docs/api.md").lines().filter_map(|line| {
        let (status, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        let code = rest.split(" | ").next()?.strip_prefix('`')?.strip_suffix('`')?;
        status.parse::<u16>().is_ok().then(|| code.to_owned())
    });
    let documented: std::collections::BTreeSet<String> = documented.collect();
    assert_eq!(codes, documented, "docs/api.md lists them too");

    let security = |path: &str, method: &str| document["paths"][path][method]["security"].clone();
    assert_eq!(security("/api/v1/candles", "post"), json!([{"ingest_key": []}, {"bearer": []}]));
    assert_eq!(security("/api/v1/candles", "get"), json!([{"internal_token": []}, {"bearer": []}]));
    assert_eq!(security("/api/v1/health/detailed", "get"), json!([{"internal_token": []}, {"bearer": []}]));
    assert_eq!(security("/api/v1/series", "get"), json!([{"ingest_key": []}, {"internal_token": []}, {"bearer": []}]));
}

#[test]
fn the_documentation_page_is_served_from_the_binary() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let page = call(&app, Method::GET, "/api/docs", &[]).await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(call(&app, Method::GET, "/api/docs/", &[]).await.body, page.body, "no redirect");
        let mut files = Vec::new();
        for part in page.body.split(['"']).filter(|part| part.starts_with("/api/docs/")) {
            let file = call(&app, Method::GET, part, &[]).await;
            assert_eq!(file.status, 200, "{part}");
            files.push((part.rsplit('.').next().unwrap().to_owned(), file.header("content-type").unwrap().to_owned()));
        }
        let types = [("css", "text/css"), ("png", "image/png"), ("js", "text/javascript"), ("js", "text/javascript")];
        assert_eq!(files, types.map(|(ending, kind)| (ending.to_owned(), kind.to_owned())));
        assert!(!page.body.contains("http://") && !page.body.contains("https://"), "nothing from elsewhere");

        let app = TestApp::start_with(Database::sqlite(), |env| env.with("DOCS_ENABLED", false)).await;
        for path in ["/api/docs", "/api/v1/openapi.json", "/api/docs/swagger-ui.css"] {
            call(&app, Method::GET, path, &[]).await.problem(404, "not_found");
        }
    });
}

#[test]
fn http_2_is_refused() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        // HTTP/2's preface and an empty SETTINGS frame; a server with HTTP/2 would answer with its own SETTINGS.
        let answer = app.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("speaks HTTP/1.1"), "{answer:?}");
        // In pieces, and bytes that only begin like the preface.
        let mut stream = app.connect().await;
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            stream.write_all(&[*byte]).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("speaks HTTP/1.1"), "{answer:?}");
        let answer = app.raw(b"PRI * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer:?}");
    });
}

#[test]
fn a_refusal_before_the_end_of_the_body_closes_the_connection() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let head = "POST /api/v1/candles HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n";
        for unsent in [format!("{head}Expect: 100-continue\r\n\r\n"), format!("{head}\r\n{{")] {
            let answer = app.raw(unsent.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close\r\n"), "{answer}");
        }
        let sent =
            format!("{head}\r\n{}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " ".repeat(1000));
        let answers = app.raw(sent.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 401 ") && answers.contains("HTTP/1.1 200 OK"), "{answers}");
    });
}

#[apply(both_stores)]
async fn no_input_causes_a_500(app: TestApp) {
    let deep = format!("{{\"candles\":[{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_objects = format!("{{\"candles\":{}", "{\"a\":".repeat(100_000));
    let odd = [
        deep,
        deep_objects,
        "{\"candles\":[{\"symbol\":\"\\ud800\"}]}".into(),
        "{\"\\ud800\":1}".into(),
        "{\"candles\":[1e999]}".into(),
        "{\"candles\":[{\"volume\":1e999999999999999999999}]}".into(),
        "{\"candles\":[{\"timestamp\":-9223372036854775808}]}".into(),
        "{\"candles\":[{\"timestamp\":1e18}]}".into(),
        "{\"candles\":[{\"timestamp\":\"-262143-01-01T00:00:00Z\"}]}".into(),
        "{\"candles\":[{\"timestamp\":\"0000-01-01T00:00:00+14:00\",\"utc_offset\":\"1e400\"}]}".into(),
        "{\"candles\":[{\"timestamp\":\"2025.08.03 24:60:60\"}]}".into(),
        "\"\\u0000\"".into(),
    ];
    for body in odd {
        let answer = app.post_bytes(body.clone()).await;
        assert!(answer.status.is_client_error(), "{answer:?} for {body:.80}");
    }
    for query in [
        "&from=-9223372036854775808",
        "&before=9223372036854775807",
        "&after=253402300799999",
        "&to=253402300799",
        "&from=-62135596800",
        "&before=0001-01-01T00:00:00Z",
        "&from=%F0%9F&to=%",
        "&=",
        "&&&",
        "&limit=%31",
    ] {
        let answer = app.candles(query).await;
        assert!(!answer.status.is_server_error(), "{answer:?} for {query}");
    }
}
