//! Sign-ins: what is refused, limited and kept apart.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{CANDLES, OWN, call, cookie_of, over, read, scopes, sign_in, sign_in_with, start, status};
use crate::abuse::wire::Door;
use crate::harness::{KEY, Service, TOKEN, eventually, run, send};

#[test]
fn wrong_credentials_and_wrong_cookies_are_limited_as_wrong_keys_are() {
    run(async {
        for cookies in [false, true] {
            let app = start(|env| env.with("RATE_LIMIT_ANONYMOUS", "1000/s")).await;
            let session = sign_in(&app, None, TOKEN).await;
            let start = Instant::now();
            let mut tried = 0;
            for n in 0..30 {
                let answer = match (cookies, n % 2) {
                    (false, _) => {
                        sign_in_with(&app, None, json!({ "credential": format!("guess-{n}") }).to_string()).await
                    }
                    (true, 0) => read(&app, &format!("candlewick-session=guess{n}")).await,
                    (true, _) => status(&app, &format!("candlewick-session=guess{n}")).await,
                };
                if answer.status == 429 {
                    answer.problem(429, "rate_limited");
                    assert!(answer.header("retry-after").is_some());
                } else {
                    tried += 1;
                }
                assert_eq!(read(&app, &session).await.status, 200, "a session at the same address is not limited");
            }
            assert!((10..=11 + start.elapsed().as_secs() / 6).contains(&tried), "{tried} in {:?}", start.elapsed());
            // Keys and sessions share the limit, and valid credentials are accepted beyond it.
            let wrong = call(&app, Method::GET, CANDLES, &[("X-Internal-Token", "guess")]).await;
            assert!(wrong.status == 429 || start.elapsed().as_secs() >= 6, "{wrong:?}");
            sign_in(&app, None, TOKEN).await;
            sign_in(&app, Some("candlewick-session=stale"), TOKEN).await;
        }
        // A session takes from the quota of its credential.
        let app = start(|env| env.with("RATE_LIMIT_QUERY", "1/m")).await;
        let session = sign_in(&app, None, TOKEN).await;
        let statuses = [read(&app, &session).await, app.candles("").await, read(&app, &session).await];
        assert_eq!(statuses.map(|answer| answer.status.as_u16()), [200, 200, 429]);
    });
}

#[test]
fn a_sign_in_says_what_is_wrong_with_it_and_repeats_nothing() {
    run(async {
        let app = start(|env| env).await;
        let long = json!({ "credential": "x".repeat(20_000) }).to_string();
        for (body, code) in [
            ("", (400, "malformed")),
            ("{\"credential\":\"secret-value", (400, "malformed")),
            ("credential=secret-value", (400, "malformed")),
            ("[]", (422, "invalid_values")),
            ("{}", (422, "invalid_values")),
            ("{\"credential\":null}", (422, "invalid_values")),
            ("{\"credential\":[\"secret-value\"]}", (422, "invalid_values")),
            ("{\"credential\":5}", (422, "invalid_values")),
            ("{\"secret-value\":\"x\"}", (422, "invalid_values")),
            ("{\"development\":false}", (422, "invalid_values")),
            ("{\"credential\":\"secret-value\",\"development\":true}", (422, "invalid_values")),
            ("{\"credential\":\"\"}", (401, "unauthorized")),
            ("{\"credential\":\"secret-value\"}", (401, "unauthorized")),
            ("{\"credential\":\"chart:read-token-for-tests\"}", (401, "unauthorized")),
            (&*json!({ "credential": KEY }).to_string(), (403, "wrong_scope")),
            (&*long, (413, "too_large")),
        ] {
            let answer = sign_in_with(&app, None, body.to_owned()).await;
            let detail = answer.problem(code.0, code.1);
            assert!(!detail.contains("secret-value") && !detail.contains(KEY), "{detail}");
            assert_eq!(answer.header("set-cookie"), None, "{body}");
        }
        // A failed sign-in leaves the session as it is.
        let session = sign_in(&app, None, TOKEN).await;
        sign_in_with(&app, Some(&session), "{\"credential\":\"wrong\"}".to_owned()).await.problem(401, "unauthorized");
        assert_eq!(scopes(&app, &session).await, json!(["read"]));
    });
}

#[test]
fn only_in_development_and_only_on_this_machine_a_sign_in_needs_no_credential() {
    run(async {
        let body = json!({"development": true}).to_string();
        let app = start(|env| env).await;
        let answer = sign_in_with(&app, None, body.clone()).await;
        assert_eq!(answer.json()["scopes"], json!(["read", "maintenance", "research"]));
        assert_eq!(read(&app, &cookie_of(&answer)).await.status, 200);
        let local = ("Host", "localhost:8000");
        let request = app.request(Method::POST, "/console/session").header(local.0, local.1);
        let request = request.header("Origin", "http://localhost:8000").body(body.clone());
        assert_eq!(send(request).await.status, 200);

        // A page that reaches the service by a host name of its own (DNS rebinding), and clients that came by a proxy or tunnel.
        let refused = async |app: &Service, headers: &[(&str, &str)], origin: &str| {
            let request = app.request(Method::POST, "/console/session").header("Origin", origin);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let answer = send(request.body(body.clone())).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("set-cookie"), None);
            let state = call(app, Method::GET, "/console/session", &[headers, &[("Origin", origin)]].concat()).await;
            assert_eq!(state.json()["development"], false, "{headers:?}");
        };
        for host in ["evil.example", "localhost.evil.example", "192.168.1.5:8000", "candles.example.com"] {
            refused(&app, &[("Host", host)], &format!("http://{host}")).await;
        }
        let own = app.url();
        for name in ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP"] {
            refused(&app, &[(name, "127.0.0.1")], &own).await;
        }
        // As nginx forwards by default.
        let length = body.len();
        let head = format!("Host: {}\r\nOrigin: {own}\r\nContent-Length: {length}\r\nConnection: close", app.address());
        let answer = app.raw(format!("POST /console/session HTTP/1.0\r\n{head}\r\n\r\n{body}").as_bytes()).await;
        assert!(answer.contains(" 401 ") && !answer.contains("set-cookie"), "{answer}");
        let app = start(|env| env.with("TRUSTED_PROXIES", "127.0.0.1").with("CLIENT_IP_HEADER", "x-client")).await;
        refused(&app, &[("X-Client", "203.0.113.9")], &app.url()).await;
        for environment in ["staging", "production"] {
            let app = start(|env| env.with("ENVIRONMENT", environment).with("CONSOLE_ENABLED", true)).await;
            refused(&app, &[], &app.url()).await;
            assert_eq!(scopes(&app, &sign_in(&app, None, TOKEN).await).await, json!(["read"]));
        }
    });
}

#[test]
fn slow_sign_ins_of_one_address_keep_no_other_out() {
    run(async {
        let app = start(|env| env.with("RATE_LIMIT_ANONYMOUS", "off")).await;
        let door = Door::plain("directly", app.address());
        let neighbour = door.from([127, 0, 0, 3]);
        let credential = json!({ "credential": TOKEN }).to_string();
        let own = format!("Origin: http://localhost\r\n{}: {}\r\n", OWN.0, OWN.1);
        let slow = format!("POST /console/session HTTP/1.1\r\nHost: localhost\r\n{own}Content-Length: 99\r\n\r\n{{");
        // The slow ones get a place for two seconds, so they come again until an attempt beside them finds none.
        let mut streams = Vec::new();
        eventually(async || {
            for _ in 0..4 {
                let mut stream = door.connect().await.unwrap();
                stream.write_all(slow.as_bytes()).await.unwrap();
                streams.push(stream);
            }
            let refused = over(&door, "POST /console/session", &own, &credential).await;
            let elsewhere = over(&neighbour, "POST /console/session", &own, &credential).await;
            assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
            if refused.status == 200 {
                return false;
            }
            assert_eq!((refused.status, refused.code().as_deref()), (503, Some("overloaded")), "{refused:?}");
            refused.header("retry-after").is_some()
        })
        .await;
        let mut too_slow = 0;
        for mut stream in streams {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains("too_slow") || answer.contains("overloaded"), "{answer}");
            too_slow += usize::from(answer.starts_with("HTTP/1.1 408 "));
        }
        assert!(too_slow >= 4, "those that had a place were too slow: {too_slow}");
        // Their places are free again.
        eventually(async || over(&door, "POST /console/session", &own, &credential).await.status == 200).await;
    });
}
