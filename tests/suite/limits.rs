//! Rate limits, and the address that a request counts for.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Database, Environment, KEY, NOW, Service, TOKEN, TestApp, candle, run, send};

const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";

async fn limited(change: impl FnOnce(Environment) -> Environment) -> TestApp {
    TestApp::start_with(Database::sqlite(), |environment| change(environment.with("RATE_LIMIT_ANONYMOUS", "3/m"))).await
}

async fn get(app: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = app.request(Method::GET, path);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[track_caller]
fn rate_limit(answer: &Answer) -> (u32, u32, u32) {
    let number = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{name} in {answer:?}")).parse().unwrap();
    (number("ratelimit-limit"), number("ratelimit-remaining"), number("ratelimit-reset"))
}

#[track_caller]
fn is_refused(answer: &Answer) {
    answer.problem(429, "rate_limited");
    let (_, remaining, reset) = rate_limit(answer);
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(remaining == 0 && (1..=reset).contains(&wait), "{answer:?}");
}

#[test]
fn each_key_and_token_has_its_own_limit() {
    run(async {
        let app = limited(|environment| {
            environment
                .with("MT5_API_KEY", format!("one:{KEY},two:another-ingest-key-0"))
                .with("INTERNAL_API_TOKEN", format!("{TOKEN},other:another-read-token-0"))
                .with("RATE_LIMIT_INGEST", "2/m")
                .with("RATE_LIMIT_QUERY", "1/m")
        })
        .await;
        let post = async |key: &str| {
            let body = json!({"candles": [candle(NOW - 7200)]}).to_string();
            send(app.request(Method::POST, "/api/v1/candles").header("X-API-KEY", key).body(body)).await
        };
        // Twice the limit may come at once, and the next post is refused.
        for left in (0..4).rev() {
            let answer = post(KEY).await;
            assert_eq!(answer.status, 201);
            let (limit, remaining, reset) = rate_limit(&answer);
            assert_eq!((limit, remaining), (4, left));
            assert!(reset <= (4 - left) * 30, "{reset}");
        }
        let refused = post(KEY).await;
        is_refused(&refused);
        assert!(rate_limit(&refused).2 <= 4 * 30, "RateLimit-Reset is at most 30 s for each used request: {refused:?}");
        // A request counts against the key's limit on every route and with the key in either header.
        is_refused(&get(&app, "/api/v1/series", &[("Authorization", &format!("Bearer {KEY}"))]).await);
        is_refused(&get(&app, "/nowhere", &[("X-API-KEY", KEY)]).await);
        // Other keys are not affected.
        assert_eq!(post("another-ingest-key-0").await.status, 201);
        for _ in 0..2 {
            assert_eq!(get(&app, CANDLES, &[("X-Internal-Token", TOKEN)]).await.status, 200);
        }
        is_refused(&get(&app, CANDLES, &[("X-Internal-Token", TOKEN)]).await);
        assert_eq!(get(&app, CANDLES, &[("X-Internal-Token", "another-read-token-0")]).await.status, 200);
        assert_eq!(get(&app, "/api/v1/openapi.json", &[]).await.status, 200);
        // A refusal for another reason has the rate-limit headers, too.
        assert_eq!(rate_limit(&get(&app, CANDLES, &[("X-API-KEY", "another-ingest-key-0")]).await).1, 2);
    });
}

#[test]
fn anonymous_requests_are_limited_per_address() {
    run(async {
        let app = limited(|environment| environment).await;
        for path in ["/api/v1/openapi.json", "/nowhere", CANDLES, "/api/docs/start.js", "/api/docs", "/api/v1/series"] {
            let answer = get(&app, path, &[]).await;
            assert_ne!(answer.status, 429);
            assert_eq!(rate_limit(&answer).0, 6);
        }
        is_refused(&get(&app, "/api/docs", &[]).await);
        is_refused(&get(&app, CANDLES, &[]).await);
        for path in ["/health", "/health/live", "/healthz", "/api/v1/health"] {
            let answer = get(&app, path, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.header("ratelimit-limit")), (200, None));
        }
        assert_eq!(app.candles("").await.status, 200, "a client with a key is not affected");
    });
}

#[test]
fn wrong_keys_are_limited_without_limiting_valid_ones_from_the_same_address() {
    run(async {
        let app = limited(|environment| environment.with("RATE_LIMIT_ANONYMOUS", "1000/s")).await;
        let start = Instant::now();
        let two = [("X-Internal-Token", TOKEN), ("X-API-KEY", "guess")];
        let mut tried = 0;
        for n in 0..40 {
            // A wrong key counts on every route, even if the route needs no key.
            let path = [CANDLES, "/nowhere", "/api/v1/openapi.json", "/api/v1/health/detailed"][n % 4];
            let guess = format!("guess-{n}");
            let headers = if n % 2 == 0 { &[("X-Internal-Token", &*guess)][..] } else { &two };
            let answer = get(&app, path, headers).await;
            if answer.status == 429 {
                is_refused(&answer);
                assert_eq!(rate_limit(&answer).0, 10);
            } else {
                tried += 1;
            }
            assert_eq!(app.candles("").await.status, 200);
        }
        // Ten wrong keys may come at once, and one more every six seconds.
        assert!((10..=11 + start.elapsed().as_secs() / 6).contains(&tried), "{tried} in {:?}", start.elapsed());
        // A request without a key does not count as a guess.
        get(&app, CANDLES, &[]).await.problem(401, "unauthorized");
    });
}

#[test]
fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    run(async {
        // Headers from an untrusted peer are ignored, so that all these requests count for the peer's address.
        let app = limited(|environment| environment).await;
        for n in 0..6 {
            let spoofed = format!("203.0.113.{n}");
            let headers = [("X-Forwarded-For", spoofed.as_str()), ("X-Real-IP", &spoofed), ("Forwarded", &spoofed)];
            get(&app, "/nowhere", &headers).await.problem(404, "not_found");
        }
        is_refused(&get(&app, "/nowhere", &[("X-Forwarded-For", "198.51.100.1")]).await);

        // If the peer is trusted, the request counts for the last address in all lines of the header that is not a trusted
        // proxy.
        let trusting =
            |environment: Environment| environment.with("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8, fd00::/8");
        let app = limited(trusting).await;
        let use_up = async |lines: &[&str]| {
            let headers: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
            for _ in 0..6 {
                get(&app, "/nowhere", &headers).await.problem(404, "not_found");
            }
            is_refused(&get(&app, "/nowhere", &headers).await);
        };
        let is_used_up = async |lines: &[&str]| {
            let headers: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
            is_refused(&get(&app, "/nowhere", &headers).await);
        };
        use_up(&["203.0.113.1"]).await;
        for same in [
            &["203.0.113.1, 10.1.2.3"][..],
            &["evil, 203.0.113.1"],
            &["198.51.100.7, 203.0.113.1,10.0.0.1, 127.0.0.1"],
            &["198.51.100.7", "203.0.113.1"],
            &["198.51.100.7, 203.0.113.1", "10.0.0.1"],
            &["203.0.113.1:4711"],
            &["::ffff:203.0.113.1"],
            &["1.1.1.1, 203.0.113.1, fd00::1"],
        ] {
            is_used_up(same).await;
        }
        use_up(&["203.0.113.1, 203.0.113.2"]).await;
        // The 2^64 addresses of an IPv6 network count as one client, and the next network as another.
        use_up(&["2001:db8::1"]).await;
        is_used_up(&["2001:db8::ffff:1:2:3"]).await;
        is_used_up(&["[2001:db8::5]:443"]).await;
        use_up(&["2001:db8:0:1::1"]).await;
        // If the proxy sends a text that is not an address, the request counts for the proxy's own address.
        use_up(&["not an address"]).await;
        is_used_up(&["203.0.113.9, unknown"]).await;
        is_used_up(&[]).await;
    });
}

#[test]
fn the_client_ip_header_is_configurable() {
    run(async {
        let app = limited(|environment| {
            environment.with("TRUSTED_PROXIES", "127.0.0.1").with("CLIENT_IP_HEADER", "Fly-Client-IP")
        })
        .await;
        for n in 0..7 {
            let spoofed = format!("198.51.100.{n}");
            let headers = [("Fly-Client-IP", "203.0.113.1"), ("X-Forwarded-For", spoofed.as_str())];
            let answer = get(&app, "/nowhere", &headers).await;
            assert_eq!(answer.status == 429, n == 6);
        }
        get(&app, "/nowhere", &[("Fly-Client-IP", "203.0.113.2")]).await.problem(404, "not_found");
    });
}

#[test]
fn disabled_limits_send_no_ratelimit_headers() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| {
            environment.with("RATE_LIMIT_INGEST", "off").with("RATE_LIMIT_QUERY", "off")
        })
        .await;
        for _ in 0..500 {
            let answer = app.candles("").await;
            assert_eq!((answer.status.as_u16(), answer.header("ratelimit-limit")), (200, None));
        }
        get(&app, CANDLES, &[("X-Internal-Token", "wrong")]).await.problem(401, "unauthorized");
    });
}
