//! Several credentials in one request, and valid ones that are sent in the wrong way.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;

use crate::harness::{
    Answer, Database, Environment, KEY, NOW, Service, TOKEN, TestApp, both_stores, candle, run, send,
};

const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
/// Of a user `terminal` with the ingest key as password.
const BASIC: &str = "Basic dGVybWluYWw6aW5nZXN0LWtleS1mb3ItdGVzdHM=";

/// A method, a path and headers.
type Sent<'a> = (Method, &'a str, Vec<(&'a str, &'a str)>);

async fn call(app: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"candles": [candle(NOW - 7200)]}).to_string();
    let request = app.request(method, path).body(body);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn limited(change: impl FnOnce(Environment) -> Environment) -> TestApp {
    TestApp::start_with(Database::sqlite(), |environment| change(environment.with("RATE_LIMIT_ANONYMOUS", "1000/s")))
        .await
}

/// Asserts that no request in `tried` counts as a wrong key: ten wrong keys would lock the address.
async fn is_never_a_wrong_key(app: &Service, tried: &[Sent<'_>]) {
    for _ in 0..12 {
        for (method, path, headers) in tried {
            assert_ne!(call(app, method.clone(), path, headers).await.status, 429, "{headers:?}");
        }
    }
    assert_eq!(call(app, Method::GET, CANDLES, &[("X-API-KEY", "wrong")]).await.status, 401, "none was counted");
}

#[apply(both_stores)]
async fn the_key_that_fits_the_route_counts(app: TestApp) {
    let (bearer_key, bearer_token) = (format!("Bearer {KEY}"), format!("Bearer {TOKEN}"));
    for headers in [
        [("X-API-KEY", KEY), ("X-Internal-Token", TOKEN)],
        [("X-Internal-Token", TOKEN), ("X-API-KEY", KEY)],
        [("X-API-KEY", KEY), ("Authorization", &*bearer_token)],
        [("X-Internal-Token", TOKEN), ("Authorization", &*bearer_key)],
    ] {
        for (method, path, expected) in [
            (Method::POST, "/api/v1/candles", 201),
            (Method::GET, CANDLES, 200),
            (Method::HEAD, CANDLES, 200),
            (Method::GET, "/api/v1/series", 200),
            (Method::GET, "/api/v1/health/detailed", 200),
            (Method::GET, "/api/v1/openapi.json", 200),
            (Method::GET, "/nowhere", 404),
        ] {
            let answer = call(&app, method.clone(), path, &headers).await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {path} {headers:?}");
        }
    }
    assert_eq!(app.database.closed().await.len(), 1);
}

#[test]
fn the_key_that_does_not_fit_the_route_is_not_charged() {
    run(async {
        let app =
            limited(|environment| environment.with("RATE_LIMIT_INGEST", "1/m").with("RATE_LIMIT_QUERY", "5/m")).await;
        let both = [("X-API-KEY", KEY), ("X-Internal-Token", TOKEN)];
        for limit in ["2", "10"] {
            let method = if limit == "2" { Method::POST } else { Method::GET };
            let path = if limit == "2" { "/api/v1/candles" } else { CANDLES };
            assert_eq!(call(&app, method, path, &both).await.header("ratelimit-limit"), Some(limit));
        }
        assert_eq!(call(&app, Method::POST, "/api/v1/candles", &both).await.status, 201);
        call(&app, Method::POST, "/api/v1/candles", &both).await.problem(429, "rate_limited");
        assert_eq!(call(&app, Method::GET, CANDLES, &both).await.status, 200);
    });
}

#[test]
fn a_wrong_key_refuses_the_request_despite_a_valid_one() {
    run(async {
        let app = limited(|environment| environment).await;
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[("X-API-KEY", KEY), ("X-Internal-Token", "wrong")], "X-Internal-Token"),
            (&[("X-API-KEY", "wrong"), ("X-Internal-Token", TOKEN)], "X-API-KEY"),
            (&[("X-API-KEY", KEY), ("X-API-KEY", "wrong")], "X-API-KEY"),
            (&[("X-API-KEY", "wrong"), ("X-API-KEY", KEY)], "X-API-KEY"),
            (&[("X-API-KEY", KEY), ("Authorization", "Bearer wrong")], "Authorization"),
            (&[("X-Internal-Token", TOKEN), ("Authorization", "Basic wrong")], "Authorization"),
            // Also where the valid key alone would only get advice.
            (&[("X-API-KEY", TOKEN), ("X-Internal-Token", "wrong")], "X-Internal-Token"),
            (&[("X-Internal-Token", "wrong"), ("Authorization", KEY)], "X-Internal-Token"),
        ];
        for (headers, unknown) in cases {
            let detail = call(&app, Method::POST, "/api/v1/candles", headers).await.problem(401, "unauthorized");
            assert!(detail.contains(&format!("{unknown} holds one that is not known")), "{headers:?}: {detail}");
        }
        // A request with many keys does not learn whether any of them is valid.
        let many = [("X-API-KEY", "wrong"), ("X-API-KEY", "worse"), ("X-API-KEY", KEY), ("X-API-KEY", "worst")];
        for headers in [&many[..], &[("X-API-KEY", "wrong, ingest-key-for-tests")]] {
            let answer = call(&app, Method::POST, "/api/v1/candles", headers).await;
            assert_eq!(answer.problem(401, "unauthorized"), "Invalid or missing API Key", "{headers:?}");
        }
        call(&app, Method::POST, "/api/v1/candles", cases[0].0).await.problem(429, "rate_limited");
        assert!(app.database.closed().await.is_empty());
    });
}

#[test]
fn an_empty_credential_counts_as_absent() {
    run(async {
        let app = limited(|environment| environment).await;
        let (bearer, bearer_token) = (format!("Bearer {KEY}"), format!("Bearer {TOKEN}"));
        let accepted = [
            (Method::POST, "/api/v1/candles", "X-API-KEY", KEY, 201),
            (Method::POST, "/api/v1/candles", "Authorization", &*bearer, 201),
            (Method::GET, CANDLES, "X-Internal-Token", TOKEN, 200),
            (Method::GET, CANDLES, "Authorization", &*bearer_token, 200),
        ];
        for empty in [
            ("X-API-KEY", ""),
            ("X-API-KEY", "  "),
            ("X-Internal-Token", ""),
            ("Authorization", ""),
            ("Authorization", "Bearer "),
        ] {
            for (method, path, header) in
                [(Method::POST, "/api/v1/candles", "in X-API-KEY"), (Method::GET, CANDLES, "in X-Internal-Token")]
            {
                let detail = call(&app, method, path, &[empty]).await.problem(401, "unauthorized");
                assert!(detail.starts_with(&format!("{} is empty", empty.0)) && detail.contains(header), "{detail}");
            }
            for (method, path, name, valid, expected) in &accepted {
                // The empty value before and after the valid one, and as two lines of one header.
                for headers in [[empty, (name, valid)], [(name, valid), empty]] {
                    let answer = call(&app, method.clone(), path, &headers).await;
                    assert_eq!(answer.status.as_u16(), *expected, "{headers:?}: {answer:?}");
                }
            }
            is_never_a_wrong_key(&app, &[(Method::POST, "/api/v1/candles", vec![empty])]).await;
        }
    });
}

#[test]
fn two_keys_of_one_kind_are_refused() {
    run(async {
        let app = limited(|environment| {
            environment.with("MT5_API_KEY", format!("terminal:{KEY},other:another-ingest-key-0"))
        })
        .await;
        let (bearer, bearer_token) = (format!("Bearer {KEY}"), format!("Bearer {TOKEN}"));
        let cases: [&[(&str, &str)]; 5] = [
            &[("X-API-KEY", KEY), ("X-API-KEY", KEY)],
            &[("X-API-KEY", KEY), ("X-API-KEY", "another-ingest-key-0")],
            &[("X-API-KEY", KEY), ("Authorization", &bearer)],
            &[("X-API-KEY", "another-ingest-key-0"), ("Authorization", &bearer), ("X-Internal-Token", TOKEN)],
            // One header twice, of which a proxy may read another one than the service.
            &[("Authorization", &bearer), ("Authorization", &bearer_token)],
        ];
        for headers in cases {
            for (method, path) in [(Method::POST, "/api/v1/candles"), (Method::GET, CANDLES)] {
                let answer = call(&app, method, path, headers).await;
                assert!(answer.problem(401, "unauthorized").contains("more than one"), "{headers:?} {answer:?}");
            }
        }
        let tried: Vec<_> = cases.iter().map(|headers| (Method::POST, "/api/v1/candles", headers.to_vec())).collect();
        is_never_a_wrong_key(&app, &tried).await;
        assert!(app.database.closed().await.is_empty());
    });
}

#[test]
fn a_misplaced_valid_key_is_answered_with_advice() {
    run(async {
        let app = limited(|environment| environment).await;
        let post = |headers| (Method::POST, "/api/v1/candles", headers);
        let get = |headers| (Method::GET, CANDLES, headers);
        let text = |value: String| -> &'static str { value.leak() };
        let in_query = |name: &str, secret: &str| text(format!("/api/v1/series?{name}={secret}"));
        let cases: Vec<(Sent<'_>, [&str; 2])> = vec![
            (get(vec![("X-API-KEY", TOKEN)]), ["in a header where it does not count", "X-Internal-Token"]),
            (post(vec![("X-API-KEY", TOKEN)]), ["this route takes an ingest key", "X-API-KEY"]),
            (post(vec![("X-Internal-Token", KEY)]), ["in a header where it does not count", "X-API-KEY"]),
            (get(vec![("X-Internal-Token", KEY)]), ["this route takes a read token", "X-Internal-Token"]),
            (
                get(vec![("X-API-KEY", TOKEN), ("X-Internal-Token", KEY)]),
                ["where it does not count", "X-Internal-Token"],
            ),
            (post(vec![("X-API-KEY", text(format!("terminal:{KEY}")))]), ["after the colon", "X-API-KEY"]),
            (post(vec![("X-API-KEY", text(format!("whatever:{KEY}")))]), ["after the colon", "X-API-KEY"]),
            (
                post(vec![("X-API-KEY", text(format!("MT5_API_KEY=terminal:{KEY}")))]),
                ["with a name before it", "X-API-KEY"],
            ),
            (get(vec![("Authorization", text(format!("Bearer chart:{TOKEN}")))]), ["after the colon", "Bearer"]),
            (post(vec![("X-API-KEY", text(format!("\"{KEY}\"")))]), ["quotes", "X-API-KEY"]),
            (post(vec![("X-API-KEY", text(format!("' {KEY} '")))]), ["quotes", "X-API-KEY"]),
            (post(vec![("X-API-KEY", text(format!("<{KEY}>")))]), ["brackets", "X-API-KEY"]),
            (get(vec![("Authorization", text(format!("Bearer \"{TOKEN}\"")))]), ["quotes", "Bearer"]),
            (post(vec![("X-API-KEY", text(format!("Bearer {KEY}")))]), ["a word before it", "alone in X-API-KEY"]),
            (get(vec![("Authorization", TOKEN)]), ["after the word Bearer", "X-Internal-Token"]),
            (
                get(vec![("Authorization", text(format!("Token {TOKEN}")))]),
                ["after the word Bearer", "X-Internal-Token"],
            ),
            (
                get(vec![("Authorization", text(format!("Bearer: {TOKEN}")))]),
                ["after the word Bearer", "X-Internal-Token"],
            ),
            (post(vec![("Authorization", BASIC)]), ["Basic authentication", "X-API-KEY"]),
            (post(vec![("X-API-KEY", text(format!("{KEY}, terminal:{KEY}")))]), ["in a list", "X-API-KEY"]),
            (post(vec![("X_API_KEY", KEY)]), ["in a header where it does not count", "X-API-KEY"]),
            (get(vec![("token", TOKEN)]), ["in a header where it does not count", "X-Internal-Token"]),
            (
                get(vec![("Cookie", text(format!("a=b; token={TOKEN}")))]),
                ["where it does not count", "X-Internal-Token"],
            ),
            (
                get(vec![("Proxy-Authorization", text(format!("Bearer {TOKEN}")))]),
                ["does not count", "X-Internal-Token"],
            ),
            ((Method::GET, in_query("token", TOKEN), vec![]), ["in the address", "replace it"]),
            ((Method::GET, in_query("X-API-KEY", KEY), vec![]), ["in the address", "X-API-KEY"]),
            (
                (Method::GET, in_query("a=b&k", &TOKEN.replace('-', "%2D")), vec![]),
                ["in the address", "X-Internal-Token"],
            ),
        ];
        for ((method, path, headers), said) in &cases {
            let answer = call(&app, method.clone(), path, headers).await;
            let detail = answer.problem(401, "unauthorized");
            assert!(said.iter().all(|said| detail.contains(said)), "{path} {headers:?}: {detail}");
            assert!(!detail.contains(KEY) && !detail.contains(TOKEN), "{detail}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let tried: Vec<_> = cases.into_iter().map(|(tried, _)| tried).collect();
        is_never_a_wrong_key(&app, &tried).await;
        assert!(app.database.closed().await.is_empty(), "advice grants no access");
    });
}

#[test]
fn the_search_for_misplaced_keys_is_rate_limited() {
    run(async {
        let app = limited(|environment| environment).await;
        let misplaced = format!("/api/v1/series?token={TOKEN}");
        let mut told = 0;
        for _ in 0..40 {
            let detail = call(&app, Method::GET, &misplaced, &[]).await.problem(401, "unauthorized");
            told += usize::from(detail.contains("in the address"));
        }
        assert!((10..30).contains(&told), "ten at once, and one more every six seconds: {told}");
        // The service examines only the first few values.
        let app = TestApp::start(Database::sqlite()).await;
        let many = format!("/api/v1/series?{}token={TOKEN}", "a=b&".repeat(20));
        assert_eq!(
            call(&app, Method::GET, &many, &[]).await.problem(401, "unauthorized"),
            "Invalid or missing API Key"
        );
    });
}

#[test]
fn a_misplaced_wrong_key_is_answered_without_advice() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let wrong = "ingest-key-for-tesst";
        for value in [
            format!("terminal:{wrong}"),
            format!("\"{wrong}\""),
            format!("Bearer {wrong}"),
            format!("Basic {wrong}"),
            "Basic !!!".to_owned(),
            "Basic".to_owned(),
            "::::::::".to_owned(),
            "\"'`<>[]{}".to_owned(),
            format!("{}{KEY}", ":".repeat(9)),
            format!("{KEY}{KEY}"),
        ] {
            for name in ["X-API-KEY", "X-Internal-Token", "Authorization", "Cookie", "X-Other"] {
                let answer = call(&app, Method::POST, "/api/v1/candles", &[(name, &value)]).await;
                assert_eq!(answer.problem(401, "unauthorized"), "Invalid or missing API Key", "{name}: {value}");
            }
            let answer = call(&app, Method::GET, &format!("/api/v1/series?key={wrong}&{wrong}"), &[]).await;
            assert_eq!(answer.problem(401, "unauthorized"), "Invalid or missing API Key");
        }
    });
}
