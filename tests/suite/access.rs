//! Access control by origin, host and transport, and the headers for browsers in every answer.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Database, Environment, KEY, NOW, Service, TOKEN, TestApp, candle, run, send};

const CHART: &str = "https://chart.example.com";

async fn call(app: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(*name, *value));
    send(request).await
}

/// Returns whether `Vary` names the headers that the answer depends on: `Origin`, and also `Accept-Encoding` for a
/// page, because pages may be compressed.
fn varies_by_origin(answer: &Answer) -> bool {
    let names: Vec<_> = answer.headers.get_all("vary").iter().collect();
    let is_page = answer.header("x-more-after").is_some();
    if is_page { names == ["accept-encoding", "origin"] } else { names == ["origin"] }
}

async fn with_origin(change: impl FnOnce(Environment) -> Environment) -> TestApp {
    TestApp::start_with(Database::sqlite(), |environment| change(environment.with("ALLOWED_ORIGINS", CHART))).await
}

const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";

#[test]
fn only_allowed_origins_may_call() {
    run(async {
        let app = with_origin(|environment| environment).await;
        let bearer = format!("Bearer {TOKEN}");
        let answer = call(&app, Method::GET, CANDLES, &[("Origin", CHART), ("Authorization", &bearer)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(CHART));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(varies_by_origin(&answer), "{answer:?}");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["etag", "link", "x-more-before", "x-more-after", "x-request-id", "retry-after"] {
            assert!(exposed.split(',').any(|exposed| exposed == name), "{name} in {exposed}");
        }
        // Pages of an allowed origin can also read why a request was refused.
        let refused = call(&app, Method::GET, CANDLES, &[("Origin", CHART)]).await;
        refused.problem(401, "unauthorized");
        assert_eq!(refused.header("access-control-allow-origin"), Some(CHART));

        for origin in [
            "null",
            "https://evil.example",
            "http://chart.example.com",
            "https://chart.example.com.evil.example",
            "https://evilchart.example.com",
            "https://chart.example.com:8443",
            "https://chart.example.com/",
            "HTTPS://CHART.EXAMPLE.COM",
            "https://sub.chart.example.com",
            "*",
            "",
            "file://",
            "https://127.0.0.1",
        ] {
            for (method, path) in [
                (Method::GET, CANDLES),
                (Method::POST, "/api/v1/candles"),
                (Method::GET, "/api/v1/series"),
                (Method::GET, "/api/v1/openapi.json"),
                (Method::OPTIONS, "/api/v1/candles"),
                (Method::GET, "/nowhere"),
            ] {
                let headers = [("Origin", origin), ("X-API-KEY", KEY), ("Access-Control-Request-Method", "POST")];
                let answer = call(&app, method.clone(), path, &headers).await;
                answer.problem(403, "foreign_origin");
                assert_eq!(answer.header("access-control-allow-origin"), None, "{origin} {method} {path}");
                assert!(varies_by_origin(&answer), "{answer:?}");
            }
        }
        // A request with two Origin headers is refused, even if both name an allowed origin.
        let two = [("Origin", CHART), ("Origin", CHART), ("Authorization", &*bearer)];
        call(&app, Method::GET, CANDLES, &two).await.problem(403, "foreign_origin");
        // Without an origin, the key alone decides.
        assert_eq!(app.get(CANDLES).await.status, 200);
        assert!(app.database.closed().await.is_empty());
    });
}

#[test]
fn a_preflight_needs_no_key() {
    run(async {
        let app = with_origin(|environment| environment).await;
        let headers = [
            ("Origin", CHART),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key,content-type,x-evil"),
        ];
        let answer = call(&app, Method::OPTIONS, "/api/v1/candles", &headers).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("access-control-allow-origin"), Some(CHART));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD,POST"));
        let allowed = answer.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("x-api-key") && allowed.contains("x-internal-token") && !allowed.contains("evil"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert!(varies_by_origin(&answer), "{answer:?}");
    });
}

#[test]
fn pages_of_the_service_itself_may_always_call() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let own = app.url();
        let answer = call(&app, Method::GET, "/api/v1/openapi.json", &[("Origin", &own)]).await;
        assert_eq!(answer.status, 200);
        let body = json!({"candles": [candle(NOW - 7200)]}).to_string();
        let post = app.request(Method::POST, "/api/v1/candles").header("Origin", &own).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(body)).await.counts(1), (1, 0, 0));
        // The same host with another scheme or port is another origin.
        for origin in [own.replace("http:", "https:"), "http://127.0.0.1:1".to_owned(), "http://127.0.0.1".to_owned()] {
            call(&app, Method::GET, CANDLES, &[("Origin", &origin)]).await.problem(403, "foreign_origin");
        }
    });
}

#[test]
fn only_listed_hosts_are_served_except_health() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| {
            environment.with("ALLOWED_HOSTS", "api.example.com, [::1]")
        })
        .await;
        for host in ["api.example.com", "API.example.com", "api.example.com:8000", "[::1]:8000", "[::1]"] {
            assert_eq!(call(&app, Method::GET, "/api/v1/openapi.json", &[("Host", host)]).await.status, 200, "{host}");
        }
        for host in ["127.0.0.1", "evil.example", "api.example.com.evil.example", "xapi.example.com", "[::2]"] {
            for path in ["/api/v1/openapi.json", CANDLES, "/nowhere", "/api/v1/health/detailed"] {
                let headers = [("Host", host), ("X-Internal-Token", TOKEN)];
                call(&app, Method::GET, path, &headers).await.problem(403, "foreign_host");
            }
            for path in ["/health", "/api/v1/health", "/health/live", "/healthz"] {
                assert_eq!(call(&app, Method::GET, path, &[("Host", host)]).await.status, 200, "{host}{path}");
            }
        }
        // A host in the request line counts as well, and a missing host is refused.
        for head in [
            "GET http://evil.example/api/v1/openapi.json HTTP/1.1\r\nHost: api.example.com\r\n",
            "GET /api/v1/openapi.json HTTP/1.0\r\n",
        ] {
            let answer = app.raw(format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
            assert!(answer.contains(" 403 Forbidden\r\n") && answer.contains("foreign_host"), "{head} {answer}");
        }
    });
}

#[test]
fn a_host_must_be_a_valid_dns_name() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        for (host, expected) in [
            ("a,b", 400),
            ("*", 400),
            ("*.example.com", 400),
            ("a..b", 400),
            (".", 400),
            (".a", 400),
            ("a..", 400),
            ("-a-.com", 400),
            ("a.-b", 400),
            ("a-.b", 400),
            ("a@b", 400),
            ("evil@api.example.com", 400),
            ("a;b", 400),
            ("a&b=c", 400),
            ("(a)", 400),
            ("a'b", 400),
            ("$a!", 400),
            ("a+b", 400),
            (&"a".repeat(300), 400),
            (&"a".repeat(64), 400),
            (&format!("{longest}a"), 400),
            (&longest, 200),
            ("my_service", 200),
            ("_a.b-c.example.com.", 200),
            ("xn--mnchen-3ya.de", 200),
            ("127.0.0.1:8000", 200),
            ("[2001:db8::1]", 200),
        ] {
            for head in [
                format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
                format!("GET http://{host}/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            ] {
                let answer = app.raw(head.as_bytes()).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{head} {answer}");
                // If the host makes the target in the request line invalid, the request is refused earlier, without the
                // code `invalid_host`.
                let has_code = expected == 200 || head.contains("http://") || answer.contains("\"invalid_host\"");
                assert!(has_code, "{head} {answer}");
            }
        }
    });
}

#[test]
fn a_request_without_exactly_one_valid_host_is_refused() {
    run(async {
        let any = TestApp::start(Database::sqlite()).await;
        let listed =
            TestApp::start_with(Database::sqlite(), |environment| environment.with("ALLOWED_HOSTS", "api.example.com"))
                .await;
        for app in [&any, &listed] {
            for target in [
                "/health",
                "/health/live",
                "/api/v1/openapi.json",
                CANDLES,
                "/nowhere",
                "http://api.example.com/health",
            ] {
                for hosts in [
                    "",
                    "Host: api.example.com\r\nHost: api.example.com\r\n",
                    "Host: api.example.com\r\nHost: evil.example\r\n",
                    "Host:\r\n",
                    "Host: :8000\r\n",
                    "Host: a b\r\n",
                    "Host: ::1\r\n",
                    "Host: [::1\r\n",
                    "Host: [nonsense]\r\n",
                    "Host: evil@api.example.com\r\n",
                    "Host: api.example.com:port\r\n",
                    "Host: api.example.com:99999\r\n",
                    "Host: api.example.com/x\r\n",
                    "Host: http://api.example.com\r\n",
                    "Host: api.example.com, evil.example\r\n",
                    "Host: api\u{e9}.example.com\r\n",
                ] {
                    let head = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
                    let answer = app.raw(head.as_bytes()).await;
                    assert!(
                        answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"invalid_host\""),
                        "{head} {answer}"
                    );
                    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
                }
            }
            for head in [
                "GET /health HTTP/1.0\r\n\r\n",
                "GET /health HTTP/1.0\r\nHost: whatever\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: my_service:8000\r\nConnection: close\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: [::1]:8000\r\nConnection: close\r\n\r\n",
            ] {
                let answer = app.raw(head.as_bytes()).await;
                assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK"), "{head} {answer}");
            }
        }
        let answer = any.raw(b"GET /api/v1/openapi.json HTTP/1.0\r\n\r\n").await;
        assert!(answer.contains(" 200 OK"), "{answer:.200}");
    });
}

#[test]
fn health_answers_other_origins_without_cors_headers() {
    run(async {
        let app = with_origin(|environment| environment).await;
        for path in ["/health", "/api/v1/health", "/health/live", "/healthz"] {
            for origin in ["https://evil.example", "null", ""] {
                let answer = call(&app, Method::GET, path, &[("Origin", origin)]).await;
                assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, r#"{"status":"ok"}"#), "{path}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
                assert!(varies_by_origin(&answer), "{answer:?}");
            }
            let answer = call(&app, Method::GET, path, &[("Origin", CHART)]).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(CHART));
        }
        let preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "GET")];
        let answer = call(&app, Method::OPTIONS, "/health", &preflight).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (405, None));
    });
}

#[test]
fn forwarded_plain_http_is_refused_in_production_and_never_redirected() {
    run(async {
        let production = |environment: Environment| {
            environment
                .with("ENVIRONMENT", "production")
                .with("DOCS_ENABLED", true)
                .with("TRUSTED_PROXIES", "127.0.0.0/8")
        };
        let app = TestApp::start_with(Database::sqlite(), production).await;
        let get = async |proto: &[&str], path: &str| {
            let mut headers: Vec<_> = proto.iter().map(|proto| ("X-Forwarded-Proto", *proto)).collect();
            headers.push(("X-Internal-Token", TOKEN));
            call(&app, Method::GET, path, &headers).await
        };
        for proto in [&["http"][..], &["HTTP"], &["https, http"], &["http, https"], &["http", "https"], &["ftp"]] {
            let answer = get(proto, CANDLES).await;
            assert!(answer.problem(403, "plain_http").contains("https://"), "{proto:?}");
            assert_eq!(answer.header("strict-transport-security"), None);
            assert_eq!(get(proto, "/health").await.status, 200);
        }
        for proto in [&["https"][..], &["HTTPS"], &["https, https"]] {
            let answer = get(proto, CANDLES).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{proto:?}");
        }
        // The proxy sends no X-Forwarded-Proto.
        let answer = get(&[], CANDLES).await;
        assert_eq!((answer.status.as_u16(), answer.header("strict-transport-security")), (200, None));
        // A page that the browser loaded from the service over TLS may call.
        let origin = app.url().replace("http:", "https:");
        let headers = [("X-Forwarded-Proto", "https"), ("Origin", origin.as_str())];
        assert_eq!(call(&app, Method::GET, "/api/v1/openapi.json", &headers).await.status, 200);

        // The header is ignored if it does not come from a trusted proxy.
        let direct = |environment: Environment| environment.with("ENVIRONMENT", "production");
        let app = TestApp::start_with(Database::sqlite(), direct).await;
        for proto in ["http", "https"] {
            let headers = [("X-Forwarded-Proto", proto), ("X-Internal-Token", TOKEN)];
            let answer = call(&app, Method::GET, CANDLES, &headers).await;
            assert_eq!((answer.status.as_u16(), answer.header("strict-transport-security")), (200, None));
        }
    });
}

#[test]
fn every_answer_has_the_security_and_cache_headers() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| environment.with("MAX_BODY_BYTES", 2048)).await;
        let key = ("X-API-KEY", KEY);
        let large = "x".repeat(3000);
        let post = async |body: &str| {
            send(app.request(Method::POST, "/api/v1/candles").header(key.0, key.1).body(body.to_owned())).await
        };
        let batch = json!({"candles": [candle(NOW - 7200)]}).to_string();
        let cases = [
            (201, "no-store", post(&batch).await),
            (400, "no-store", post("{").await),
            (413, "no-store", post(&large).await),
            (422, "no-store", post("{}").await),
            (401, "no-store", call(&app, Method::GET, CANDLES, &[]).await),
            (403, "no-store", call(&app, Method::GET, CANDLES, &[key]).await),
            (403, "no-store", call(&app, Method::GET, CANDLES, &[("Origin", "null")]).await),
            (404, "no-store", call(&app, Method::GET, "/nowhere", &[]).await),
            (405, "no-store", call(&app, Method::PUT, "/api/v1/candles", &[]).await),
            (200, "no-store", call(&app, Method::GET, "/health", &[]).await),
            (200, "private, no-cache", app.get("/api/v1/series").await),
            (200, "no-store", app.get("/api/v1/health/detailed").await),
            (200, "private, no-cache", app.candles("").await),
            (200, "no-cache", call(&app, Method::GET, "/api/v1/openapi.json", &[]).await),
        ];
        for (status, cache, answer) in &cases {
            assert_eq!(answer.status.as_u16(), *status, "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
            let policy = Some("default-src 'none'; frame-ancestors 'none'");
            assert_eq!(answer.header("content-security-policy"), policy, "{answer:?}");
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
            assert_eq!(answer.header("cache-control"), Some(*cache), "{answer:?}");
            assert_eq!(answer.header("strict-transport-security"), None, "{answer:?}");
            assert!(varies_by_origin(answer), "{answer:?}");
            assert_eq!(answer.header("server"), None);
        }
        let page = call(&app, Method::GET, "/api/docs", &[]).await;
        let policy = page.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "connect-src 'self'"] {
            assert!(policy.contains(rule), "{rule} in {policy}");
        }
        assert!(!policy.split(';').any(|rule| rule.contains("script-src") && rule.contains("unsafe")));
    });
}
