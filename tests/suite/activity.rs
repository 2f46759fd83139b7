//! The counts of posts that a process has stored and refused.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Database, KEY, NOW, Service, StoreKind, TestApp, both_store_kinds, candle, run, send, with};

const OTHER: &str = "other-ingest-key-for-tests";

async fn activity(service: &Service, query: &str) -> Value {
    let answer = service.get(&format!("/api/v1/activity{query}")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cache-control")),
        (200, Some("private, no-store")),
        "{answer:?}"
    );
    answer.json()
}

async fn post_as(service: &Service, key: &str, body: &Value) -> u16 {
    let request = service.request(Method::POST, "/api/v1/candles").header("X-API-KEY", key);
    send(request.body(body.to_string())).await.status.as_u16()
}

fn closed(hours: i64, fields: Value) -> Value {
    with(with(candle(NOW - hours * 3600), json!({"complete": true})), fields)
}

#[apply(both_store_kinds)]
fn posts_are_counted_by_key_and_by_series_since_the_start(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start_with(kind.database().await, |environment| {
            environment.with("MT5_API_KEY", format!("terminal:{KEY},second:{OTHER}"))
        })
        .await;
        let nothing = json!({"since": NOW * 1000, "posters": [], "series": [], "untracked_posts": 0});
        assert_eq!(activity(&app, "").await, nothing);

        let batch = json!({"candles": [
            closed(5, json!({})), closed(4, json!({})), closed(4, json!({"symbol": "USDJPY"})), candle(NOW),
        ]});
        assert_eq!(post_as(&app, KEY, &batch).await, 201);
        app.set_clock(NOW + 60);
        // Two conflicts, one of them in a series that another key posted.
        let differing = json!({"candles": [
            closed(5, json!({"close": "1.08630"})), closed(4, json!({"symbol": "USDJPY", "volume": 7})), closed(3, json!({})),
        ]});
        assert_eq!(post_as(&app, OTHER, &differing).await, 201);
        app.set_clock(NOW + 120);
        assert_eq!(post_as(&app, OTHER, &json!({"candles": [closed(2, json!({"volume": -1}))]})).await, 422);
        let lenient =
            app.post_lenient(&json!({"candles": [closed(2, json!({})), closed(1, json!({"open": "x"}))]})).await;
        assert_eq!(lenient.status, 201);

        let said = activity(&app, "").await;
        let names = said["posters"].as_array().unwrap().iter().map(|poster| poster["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["second", "terminal"]);
        let second = &said["posters"][0];
        assert_eq!((&second["posts"], &second["refused_posts"]), (&json!(1), &json!(1)));
        assert_eq!(second["records_conflicting"], 2);
        assert_eq!(second["last_post"], (NOW + 120) * 1000);
        assert_eq!(second["last_refusal"]["at"], (NOW + 120) * 1000);
        assert!(second["last_refusal"]["detail"].as_str().unwrap().contains("candles[0].volume"), "{second}");
        let expected = json!({
            "name": "terminal", "last_post": (NOW + 120) * 1000, "posts": 2, "refused_posts": 0, "records_received": 6,
            "records_added": 4, "records_duplicate": 0, "records_live": 1, "records_rejected": 1, "records_conflicting": 0,
            "last_refusal": null,
        });
        assert_eq!(said["posters"][1], expected);
        let series = |symbol: &str, poster: &str, seconds: i64| json!({"symbol": symbol, "timeframe": "H1", "poster": poster, "last_post": (NOW + seconds) * 1000, "records_conflicting": 1});
        assert_eq!(said["series"], json!([series("EURUSD", "terminal", 120), series("USDJPY", "second", 60)]));

        let newer = activity(&app, &format!("?posted_after={}", NOW + 60)).await;
        assert_eq!(newer["series"], json!([series("EURUSD", "terminal", 120)]));
        assert_eq!(newer["posters"], said["posters"]);
        // Each process counts its own posts.
        let other = Service::start(&crate::harness::Environment::new(&app.database.url())).await;
        assert_eq!(activity(&other, "").await, nothing);
    });
}

#[test]
fn only_read_tokens_may_ask_and_questions_have_to_make_sense() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        send(app.request(Method::GET, "/api/v1/activity")).await.problem(401, "unauthorized");
        let with_key = app.request(Method::GET, "/api/v1/activity").header("X-API-KEY", KEY);
        send(with_key).await.problem(403, "wrong_scope");
        for (query, kind) in [
            ("?posted_after=yesterday", "not_a_time"),
            ("?since=1", "unknown_parameter"),
            ("?posted_after=1&posted_after=2", "repeated_parameter"),
        ] {
            let errors = app.get(&format!("/api/v1/activity{query}")).await.errors();
            assert_eq!(errors.len(), 1);
            assert_eq!(errors[0].1, kind, "{query}");
        }
        // Neither wrong JSON nor a refusal by the key's scope is a stored post, and a body that is not JSON is refused.
        app.post_bytes("{").await.problem(400, "malformed");
        let said = activity(&app, "").await;
        assert_eq!((&said["posters"][0]["posts"], &said["posters"][0]["refused_posts"]), (&json!(0), &json!(1)));
        assert_eq!(said["series"], json!([]));
    });
}
