//! The console: its files, its sessions, and the requests for which their cookies count.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::abuse::wire::{self, Door};
use crate::harness::{
    Answer, Database, Environment, KEY, NOW, RESEARCH_KEY, Service, StoreKind, TOKEN, TestApp, both_store_kinds,
    candle, eventually, run, send, with,
};
use crate::proxies::Proxy;

const MAINTENANCE: &str = "maintenance-key-for-tests";
const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
const DELETION: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1&from=2020-01-01&to=2030-01-01&dry_run=true";
/// 12 hours in seconds.
const LIFETIME: i64 = 12 * 3600;
/// Paths below the console's that programs which resolve dot segments, before or after they decode, take for others.
const DOT_SEGMENTS: [&str; 11] = [
    "/console/..",
    "/console/../api",
    "/console/./",
    "/console/x/../session",
    "/console/%2e%2e/%2e%2e/etc/passwd",
    "/console/..%2f",
    "/console/..%2fx",
    "/console/..%2F..%2fconsole/chart",
    "/console/a%2f..%2f..%2fhealth",
    "/console/%2E%2e%5cx",
    "/console/..%5c",
];
/// A header of a browser, on a request from a page of the service.
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

fn keys(environment: Environment) -> Environment {
    environment.with("MAINTENANCE_KEY", format!("desk:{MAINTENANCE}"))
}

async fn start(change: impl FnOnce(Environment) -> Environment) -> TestApp {
    TestApp::start_with(Database::sqlite(), |environment| change(keys(environment))).await
}

async fn call(app: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(*name, *value));
    send(request).await
}

/// Posts `body` to the session as the console's page does.
async fn sign_in_with(app: &Service, cookie: Option<&str>, body: String) -> Answer {
    let request = app.request(Method::POST, "/console/session").header("Origin", app.url()).header(OWN.0, OWN.1);
    let request = cookie.into_iter().fold(request, |request, cookie| request.header("Cookie", cookie));
    send(request.body(body)).await
}

/// Signs in with a credential, and returns the cookie as the browser sends it.
async fn sign_in(app: &Service, cookie: Option<&str>, credential: &str) -> String {
    let answer = sign_in_with(app, cookie, json!({ "credential": credential }).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    cookie_of(&answer)
}

/// The cookie that an answer sets, as the browser sends it.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("a cookie in {answer:?}"));
    cookie.split_once(';').unwrap().0.to_owned()
}

async fn status(app: &Service, cookie: &str) -> Answer {
    call(app, Method::GET, "/console/session", &[OWN, ("Cookie", cookie)]).await
}

async fn scopes(app: &Service, cookie: &str) -> Value {
    status(app, cookie).await.json()["scopes"].clone()
}

/// Reads candles as the console's page does.
async fn read(app: &Service, cookie: &str) -> Answer {
    call(app, Method::GET, CANDLES, &[OWN, ("Cookie", cookie)]).await
}

#[apply(both_store_kinds)]
fn the_api_takes_a_session_in_place_of_each_key_that_was_entered(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start_with(kind.database().await, keys).await;
        app.ingest(&[with(candle(NOW - 7200), json!({"complete": true}))]).await;
        let reading = sign_in(&app, None, TOKEN).await;
        let page = read(&app, &reading).await;
        assert_eq!((page.status.as_u16(), page.body), (200, app.candles("").await.body));
        for path in ["/api/v1/series", "/api/v1/latest", "/api/v1/health/detailed", "/api/v1/changes"] {
            assert_eq!(call(&app, Method::GET, path, &[OWN, ("Cookie", &reading)]).await.status, 200, "{path}");
        }
        // Each scope needs its credential, and no session posts candles.
        let refused = call(&app, Method::DELETE, DELETION, &[OWN, ("Cookie", &reading)]).await;
        refused.problem(403, "wrong_scope");
        call(&app, Method::POST, "/api/v1/candles", &[OWN, ("Cookie", &reading)]).await.problem(403, "wrong_scope");

        let research = sign_in(&app, None, RESEARCH_KEY).await;
        assert_eq!(call(&app, Method::GET, "/api/v1/strategies", &[OWN, ("Cookie", &research)]).await.status, 200);
        read(&app, &research).await.problem(403, "wrong_scope");

        let both = sign_in(&app, Some(&reading), MAINTENANCE).await;
        assert_eq!(read(&app, &both).await.status, 200);
        let dry_run = call(&app, Method::DELETE, DELETION, &[OWN, ("Cookie", &both)]).await.json();
        assert_eq!(dry_run["matched"], 1);
        let confirm = dry_run["confirm"].as_str().unwrap();
        let deletion = DELETION.replace("dry_run=true", &format!("confirm={confirm}&reason=test"));
        assert_eq!(call(&app, Method::DELETE, &deletion, &[OWN, ("Cookie", &both)]).await.status, 200);
        assert!(app.database.closed().await.is_empty());
        let changes = app.get("/api/v1/changes").await.json();
        assert_eq!(changes[0]["actor"], "desk", "the record names the credential that was entered");
        call(&app, Method::POST, "/api/v1/candles", &[OWN, ("Cookie", &both)]).await.problem(403, "wrong_scope");
    });
}

#[test]
fn a_session_holds_one_credential_of_each_scope_for_12_hours() {
    run(async {
        let other = "other-read-token-for-tests";
        let app = start(|env| env.with("INTERNAL_API_TOKEN", format!("chart:{TOKEN},report:{other}"))).await;
        let nobody = call(&app, Method::GET, "/console/session", &[OWN]).await;
        assert_eq!(nobody.json(), json!({"scopes": [], "credentials": [], "ends": null, "development": true}));
        assert_eq!((nobody.header("cache-control"), nobody.header("set-cookie")), (Some("no-store"), None));

        let first = sign_in(&app, None, &format!(" {TOKEN}\n")).await;
        app.set_clock(NOW + 3600);
        let body = json!({ "credential": MAINTENANCE }).to_string();
        let answer = sign_in_with(&app, Some(&first), body).await;
        let (read_ends, maintenance_ends) = ((NOW + LIFETIME) * 1000, (NOW + 3600 + LIFETIME) * 1000);
        let expected = json!({
            "scopes": ["read", "maintenance"],
            "credentials": [
                {"scope": "read", "name": "chart", "ends": read_ends},
                {"scope": "maintenance", "name": "desk", "ends": maintenance_ends},
            ],
            "ends": read_ends,
            "development": true,
        });
        assert_eq!(answer.json(), expected);
        let both = cookie_of(&answer);
        assert_eq!(status(&app, &both).await.json(), expected);
        // Entering another credential of a scope replaces the first one. It does not prolong the other scope.
        let replaced = sign_in(&app, Some(&both), other).await;
        let held = status(&app, &replaced).await.json()["credentials"].clone();
        assert_eq!(held[0], json!({"scope": "maintenance", "name": "desk", "ends": maintenance_ends}));
        assert_eq!(held[1]["name"], "report");

        app.set_clock(NOW + LIFETIME - 1);
        assert_eq!(read(&app, &both).await.status, 200);
        app.set_clock(NOW + LIFETIME);
        assert_eq!(scopes(&app, &both).await, json!(["maintenance"]));
        read(&app, &both).await.problem(403, "wrong_scope");
        let ended = read(&app, &first).await.problem(401, "unauthorized");
        assert!(ended.contains("has ended") && ended.contains("/console"), "{ended}");
        app.set_clock(NOW + 3600 + LIFETIME);
        let stale = status(&app, &both).await;
        assert_eq!(stale.json()["scopes"], json!([]));
        assert!(stale.header("set-cookie").unwrap().contains("Max-Age=0"), "the browser forgets it: {stale:?}");
    });
}

#[test]
fn the_cookie_is_out_of_reach_for_scripts_and_other_sites_and_holds_no_credential() {
    run(async {
        let app = start(|env| env).await;
        let plain = sign_in_with(&app, None, json!({ "credential": TOKEN }).to_string()).await;
        let cookie = plain.header("set-cookie").unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict; Max-Age=43200");
        let (name, value) = pair.split_once('=').unwrap();
        assert_eq!(name, "candlewick-session");
        // Nothing in it is the credential or a part of its digest.
        let decoded = BASE64URL.decode(value).unwrap();
        let digest = Sha256::digest(TOKEN);
        assert_eq!(decoded.len(), 48);
        for secret in [TOKEN.as_bytes(), digest.as_slice()] {
            for part in secret.windows(4) {
                assert!(decoded.windows(4).all(|window| window != part), "{decoded:?}");
            }
        }
        assert!(!plain.body.contains(TOKEN));

        // Over TLS, which a trusted proxy reports here, the cookie is secure and no other host can set one of its name.
        let app = start(|env| {
            env.with("TRUSTED_PROXIES", "127.0.0.1").with("ENVIRONMENT", "production").with("CONSOLE_ENABLED", true)
        })
        .await;
        let https = ("X-Forwarded-Proto", "https");
        let origin = app.url().replace("http:", "https:");
        let request = app.request(Method::POST, "/console/session").header("Origin", &origin).header(https.0, https.1);
        let answer = send(request.body(json!({ "credential": TOKEN }).to_string())).await;
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-candlewick-session="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"), "{cookie}");
        let pair = cookie_of(&answer);
        assert_eq!(call(&app, Method::GET, CANDLES, &[OWN, https, ("Cookie", &pair)]).await.status, 200);
        // A cookie without the prefix could come from anywhere.
        let bare = pair.replace("__Host-", "");
        call(&app, Method::GET, CANDLES, &[OWN, https, ("Cookie", &bare)]).await.problem(401, "unauthorized");
        let answer = call(&app, Method::GET, CANDLES, &[OWN, ("X-Forwarded-Proto", "http"), ("Cookie", &pair)]).await;
        answer.problem(403, "plain_http");
    });
}

#[test]
fn cookies_count_only_for_requests_from_a_page_of_the_service() {
    run(async {
        const CHART: &str = "https://chart.example.com";
        let app = start(|env| env.with("ALLOWED_ORIGINS", CHART)).await;
        let session = sign_in(&app, None, TOKEN).await;
        let own = app.url();
        let origin = ("Origin", own.as_str());
        for headers in [&[OWN][..], &[origin], &[OWN, origin]] {
            let headers = [headers, &[("Cookie", session.as_str())]].concat();
            assert_eq!(call(&app, Method::GET, CANDLES, &headers).await.status, 200, "{headers:?}");
        }
        let other_port = "http://127.0.0.1:1";
        for (headers, code) in [
            (vec![], "unauthorized"),
            (vec![("Sec-Fetch-Site", "cross-site")], "unauthorized"),
            // Another port or subdomain of this host, to which browsers send its cookies too.
            (vec![("Sec-Fetch-Site", "same-site")], "unauthorized"),
            // An address that was typed, a bookmark.
            (vec![("Sec-Fetch-Site", "none")], "unauthorized"),
            (vec![("Sec-Fetch-Site", "")], "unauthorized"),
            (vec![("Sec-Fetch-Site", "Same-Origin")], "unauthorized"),
            (vec![("Sec-Fetch-Site", "same-origin, same-origin")], "unauthorized"),
            (vec![OWN, OWN], "unauthorized"),
            (vec![OWN, ("Sec-Fetch-Site", "cross-site")], "unauthorized"),
            (vec![("Sec-Fetch-Site", "cross-site"), origin], "unauthorized"),
            (vec![("Referer", &*own)], "unauthorized"),
            (vec![("Sec-Fetch-Mode", "same-origin")], "unauthorized"),
            // An allowed origin may call with a key, and not with somebody's session.
            (vec![("Origin", CHART)], "unauthorized"),
            (vec![OWN, ("Origin", CHART)], "unauthorized"),
            (vec![OWN, ("Origin", other_port)], "foreign_origin"),
            (vec![OWN, ("Origin", "null")], "foreign_origin"),
            (vec![origin, origin], "foreign_origin"),
        ] {
            let cookie = [("Cookie", session.as_str())];
            for (method, path) in [
                (Method::GET, CANDLES),
                (Method::HEAD, CANDLES),
                (Method::DELETE, DELETION),
                (Method::GET, "/api/v1/export.csv?symbol=EURUSD&timeframe=H1"),
                (Method::GET, "/api/v1/live?series=EURUSD:H1"),
            ] {
                let answer = call(&app, method.clone(), path, &[&headers[..], &cookie].concat()).await;
                if method == Method::HEAD {
                    assert!(matches!(answer.status.as_u16(), 401 | 403), "{headers:?}");
                } else {
                    answer.problem(if code == "unauthorized" { 401 } else { 403 }, code);
                }
            }
            // Nor can such a request sign anybody in or out, or ask who is signed in.
            if code == "unauthorized" {
                let state = call(&app, Method::GET, "/console/session", &[&headers[..], &cookie].concat()).await;
                assert_eq!((&state.json()["scopes"], state.header("set-cookie")), (&json!([]), None), "{headers:?}");
                for method in [Method::POST, Method::DELETE] {
                    let request =
                        headers.iter().fold(app.request(method, "/console/session"), |request, (name, value)| {
                            request.header(*name, *value)
                        });
                    let answer = send(request.body(json!({ "credential": TOKEN }).to_string())).await;
                    answer.problem(403, "foreign_origin");
                    assert_eq!(answer.header("set-cookie"), None, "{headers:?}");
                }
            }
        }
        // The refusal says that the session is there and has no effect.
        let answer = call(&app, Method::GET, CANDLES, &[("Cookie", &session)]).await;
        assert!(answer.problem(401, "unauthorized").contains("session"), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    });
}

#[test]
fn a_session_is_accepted_by_every_replica_and_ends_with_its_credential() {
    run(async {
        let app = start(|env| env).await;
        let both = sign_in(&app, Some(&sign_in(&app, None, TOKEN).await), MAINTENANCE).await;
        let replica = async |change: fn(Environment) -> Environment| {
            Service::start(&change(keys(Environment::new(&app.database.url())))).await
        };
        let same = replica(|env| env.with("MT5_API_KEY", "another-ingest-key")).await;
        assert_eq!(scopes(&same, &both).await, json!(["read", "maintenance"]), "ingest keys have no part in it");
        assert_eq!(read(&same, &both).await.status, 200);
        assert_eq!(scopes(&same, &sign_in(&same, Some(&both), TOKEN).await).await, json!(["maintenance", "read"]));

        // The name of a credential is the log's, and may differ.
        let renamed = replica(|env| env.with("INTERNAL_API_TOKEN", format!("page:{TOKEN}"))).await;
        assert_eq!(status(&renamed, &both).await.json()["credentials"][0]["name"], "page");
        let beside =
            replica(|env| env.with("INTERNAL_API_TOKEN", format!("new:new-read-token-for-tests,chart:{TOKEN}"))).await;
        assert_eq!(read(&beside, &both).await.status, 200, "a new token beside the old one ends nothing");

        let changed = replica(|env| env.with("INTERNAL_API_TOKEN", "chart:new-read-token-for-tests")).await;
        assert_eq!(scopes(&changed, &both).await, json!(["maintenance"]), "the other credential has not changed");
        read(&changed, &both).await.problem(403, "wrong_scope");
        let moved = replica(|env| {
            env.with("INTERNAL_API_TOKEN", format!("chart:{MAINTENANCE}"))
                .with("MAINTENANCE_KEY", format!("desk:{TOKEN}"))
        })
        .await;
        read(&moved, &both).await.problem(401, "unauthorized");
        let gone = replica(|env| {
            env.with("INTERNAL_API_TOKEN", "new-read-token-for-tests").with("MAINTENANCE_KEY", "new-maintenance-key")
        })
        .await;
        read(&gone, &both).await.problem(401, "unauthorized");
    });
}

#[test]
fn signing_out_removes_the_cookie_and_cannot_call_back_a_copy() {
    run(async {
        let app = start(|env| env).await;
        let session = sign_in(&app, None, TOKEN).await;
        let own = app.url();
        let out = call(&app, Method::DELETE, "/console/session", &[OWN, ("Origin", &own), ("Cookie", &session)]).await;
        assert_eq!((out.status.as_u16(), out.body.as_str()), (204, ""));
        let cookie = out.header("set-cookie").unwrap();
        assert_eq!(cookie, "candlewick-session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        // No store knows which sessions were ended. A copy of the cookie counts until its end, or until the credential is
        // changed (docs/security.md).
        assert_eq!(read(&app, &session).await.status, 200);
        app.set_clock(NOW + LIFETIME);
        read(&app, &session).await.problem(401, "unauthorized");
    });
}

#[test]
fn a_cookie_that_was_tampered_with_is_a_wrong_key() {
    run(async {
        let app = start(|env| env).await;
        let reading = sign_in(&app, None, TOKEN).await;
        let (name, value) = reading.split_once('=').unwrap();
        let bytes = BASE64URL.decode(value).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let answer = read(&app, &format!("{name}={}", BASE64URL.encode(changed))).await;
            assert_eq!(answer.problem(401, "unauthorized"), "Invalid or missing API Key", "byte {position}");
        }
        let desk = sign_in(&app, None, MAINTENANCE).await;
        let (_, desk_value) = desk.split_once('=').unwrap();
        let desk_bytes = BASE64URL.decode(desk_value).unwrap();
        // A grant with the name of another credential, and one with another time.
        let spliced = BASE64URL.encode([&desk_bytes[..8], &bytes[8..]].concat());
        let ends = BASE64URL.encode([&bytes[..8], &i64::MAX.to_be_bytes()[..], &bytes[16..]].concat());
        let half_wrong = BASE64URL.encode([&bytes[..], &desk_bytes[..47], &[!desk_bytes[47]]].concat());
        for (what, cookie) in [
            ("spliced", format!("{name}={spliced}")),
            ("prolonged", format!("{name}={ends}")),
            ("one right and one wrong", format!("{name}={half_wrong}")),
            ("empty", format!("{name}=")),
            ("quoted", format!("{name}=\"{value}\"")),
            ("padded", format!("{name}={value}==")),
            ("cut", format!("{name}={}", &value[..60])),
            ("longer", format!("{name}={value}AAAA")),
            ("percent", format!("{name}=%41{}", &value[1..])),
            ("standard alphabet", format!("{name}={}+/", &value[..62])),
            ("not base64", format!("{name}=!!!")),
            ("the credential itself", format!("{name}={TOKEN}")),
            ("twice", format!("{reading}; {reading}")),
            ("twice in other places", format!("{reading}; a=b; {desk}")),
            ("nine grants", format!("{name}={}", BASE64URL.encode(bytes.repeat(9)))),
            ("long", format!("{name}={}", "A".repeat(12_000))),
        ] {
            read(&app, &cookie).await.problem(401, "unauthorized");
            assert_eq!(scopes(&app, &cookie).await, json!([]), "{what}");
        }
        let not_text = app.request(Method::GET, CANDLES).header(OWN.0, OWN.1);
        let not_text = not_text.header("Cookie", [name.as_bytes(), b"=\xff\xfe\x80"].concat());
        send(not_text).await.problem(401, "unauthorized");
        // The same grant repeated is one grant, and cookies of other names are not looked at.
        assert_eq!(read(&app, &format!("{name}={}", BASE64URL.encode(bytes.repeat(8)))).await.status, 200);
        for cookie in [
            format!("a=b; {reading}; c"),
            format!("x{name}=evil; {reading}"),
            format!("{name}x=evil;{reading}"),
            format!("{}; {reading}", "a=b; ".repeat(500)),
        ] {
            assert_eq!(read(&app, &cookie).await.status, 200, "{cookie}");
        }
        let two_lines = call(&app, Method::GET, CANDLES, &[OWN, ("Cookie", "a=b"), ("Cookie", &reading)]).await;
        assert_eq!(two_lines.status, 200);
        // More than a head may hold is refused before anything is read.
        let huge = format!("{name}={}", "A".repeat(17_000));
        let head =
            format!("GET {CANDLES} HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nCookie: {huge}\r\n\r\n");
        assert!(app.raw(head.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn a_key_in_a_header_counts_before_the_session() {
    run(async {
        let app = start(|env| env).await;
        let reading = sign_in(&app, None, TOKEN).await;
        let cookie = ("Cookie", reading.as_str());
        // Otherwise the documentation's page could not try other keys.
        let refused = call(&app, Method::GET, CANDLES, &[OWN, cookie, ("X-API-KEY", KEY)]).await;
        refused.problem(403, "wrong_scope");
        call(&app, Method::GET, CANDLES, &[OWN, cookie, ("X-API-KEY", "wrong")]).await.problem(401, "unauthorized");
        assert_eq!(call(&app, Method::GET, CANDLES, &[OWN, cookie, ("X-Internal-Token", TOKEN)]).await.status, 200);
        assert_eq!(call(&app, Method::GET, CANDLES, &[OWN, cookie, ("X-Internal-Token", "")]).await.status, 200);
    });
}

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
fn without_the_console_neither_its_routes_nor_its_cookies_are_known() {
    run(async {
        let on = start(|env| env).await;
        let session = sign_in(&on, None, TOKEN).await;
        for (name, value) in [("CONSOLE_ENABLED", "false"), ("ENVIRONMENT", "staging"), ("ENVIRONMENT", "production")] {
            let off = Service::start(&keys(Environment::new(&on.database.url())).with(name, value)).await;
            let refusal = read(&off, &session).await;
            assert_eq!(refusal.problem(401, "unauthorized"), "Invalid or missing API Key");
            for path in ["/console", "/console/", "/console/session", "/console/series", "/console/index.html"] {
                call(&off, Method::GET, path, &[]).await.problem(404, "not_found");
            }
            sign_in_with(&off, None, json!({ "credential": TOKEN }).to_string()).await.problem(404, "not_found");
            let page = call(&off, Method::GET, "/", &[]).await;
            assert!(page.body.contains("POST /api/v1/candles") && !page.body.contains("<script"), "{}", page.body);
            assert_eq!(page.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        }
    });
}

/// The addresses of the console's files that its page names.
fn files(page: &str) -> Vec<&str> {
    page.split('"').filter(|text| text.starts_with("/console/")).collect()
}

#[test]
fn every_view_is_the_page_and_every_file_has_its_type_and_may_be_kept() {
    run(async {
        let app = start(|env| env).await;
        let page = call(&app, Method::GET, "/", &[]).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        for view in ["/console", "/console/", "/console/series/EURUSD/H1", "/console/a%20b?x=1", "/console/index.html"]
        {
            let answer = call(&app, Method::GET, view, &[]).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &page.body), "{view}");
        }
        let mut kinds = Vec::new();
        for path in files(&page.body) {
            let file = call(&app, Method::GET, path, &[]).await;
            assert_eq!(file.status, 200, "{path}");
            if path.starts_with("/console/assets/") {
                assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
            }
            assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(file.header("vary"), Some("accept-encoding"), "and origin, in a line of its own");
            let etag = file.header("etag").unwrap();
            let again = call(&app, Method::GET, path, &[("If-None-Match", etag)]).await;
            assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
            let head = call(&app, Method::HEAD, path, &[]).await;
            assert_eq!(head.header("content-length"), Some(&*file.body.len().to_string()));
            kinds.push(file.header("content-type").unwrap().to_owned());
        }
        kinds.sort();
        assert!(kinds.iter().any(|kind| kind == "text/javascript; charset=utf-8"), "{kinds:?}");
        assert!(kinds.iter().any(|kind| kind == "text/css; charset=utf-8"), "{kinds:?}");
        // An old page that names files of another release must not take the page for a script.
        call(&app, Method::GET, "/console/assets/gone-00000000.js", &[]).await.problem(404, "not_found");
        let raw = async |path: &str| {
            app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
        };
        for odd in ["/console/%ff", "/console//assets", "/console/a..b", "/console/a%2fb"] {
            let answer = raw(odd).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("<!doctype html>"), "{odd} {answer}");
        }
        // A proxy may take these for paths outside the console.
        for path in DOT_SEGMENTS {
            let answer = raw(path).await;
            assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("not_found"), "{path} {answer}");
        }
        call(&app, Method::POST, "/", &[]).await.problem(405, "method_not_allowed");
        call(&app, Method::PUT, "/console/session", &[OWN]).await.problem(405, "method_not_allowed");
    });
}

#[test]
fn files_are_compressed_for_browsers_that_can_read_that() {
    run(async {
        let app = start(|env| env).await;
        let page = call(&app, Method::GET, "/", &[]).await;
        let script = files(&page.body).into_iter().find(|path| path.contains(".js")).unwrap().to_owned();
        let plain = send(app.request(Method::GET, &script)).await;
        for (accepted, encoding) in [("gzip, deflate, br", "gzip"), ("gzip, deflate, br, zstd", "zstd")] {
            let response = app.request(Method::GET, &script).header("Accept-Encoding", accepted).send().await.unwrap();
            assert_eq!(response.headers()["content-encoding"], encoding);
            assert_eq!(response.headers()["etag"], plain.headers["etag"], "the tag is weak");
            let bytes = response.bytes().await.unwrap();
            let decoded = if encoding == "zstd" {
                zstd::bulk::decompress(&bytes, 10_000_000).unwrap()
            } else {
                let mut text = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut text).unwrap();
                text
            };
            assert!(bytes.len() < plain.body.len());
            assert_eq!(String::from_utf8(decoded).unwrap(), plain.body);
        }
    });
}

#[test]
fn the_page_has_a_strict_policy_and_is_the_same_for_everybody() {
    run(async {
        let app = start(|env| env).await;
        let page = call(&app, Method::GET, "/", &[]).await;
        let policy = page.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|found| found == rule), "{rule} in {policy}");
        }
        for unsafe_rule in ["unsafe", "*", "http:", "https:", "nonce", "sha256"] {
            assert!(!policy.contains(unsafe_rule), "{policy}");
        }
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(!page.body.contains(env!("CARGO_PKG_VERSION")), "{}", page.body);
        let session = sign_in(&app, None, TOKEN).await;
        let headers = [OWN, ("Cookie", &*session), ("User-Agent", "<b>evil</b>"), ("X-Forwarded-Host", "evil.example")];
        let odd = call(&app, Method::GET, "/?x=<script>alert(1)</script>", &headers).await;
        assert_eq!((odd.status.as_u16(), &odd.body), (200, &page.body));
        assert_eq!(odd.header("set-cookie"), None);
    });
}

/// Sends a request over a proxy, and returns its answer.
async fn over(door: &Door, head: &str, lines: &str, body: &str) -> wire::Answer {
    over_host(door, "localhost", head, lines, body).await
}

/// The same, with the host of the address, and its port where that is not the usual one.
async fn over_host(door: &Door, host: &str, head: &str, lines: &str, body: &str) -> wire::Answer {
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {length}\r\n\r\n{body}");
    let answers = door.exchange(request.as_bytes()).await.unwrap();
    assert_eq!(answers.0.len(), 2, "{answers:?}");
    answers.0.into_iter().next().unwrap()
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

/// A service behind the shipped proxies, with the console.
async fn start_behind_proxies() -> TestApp {
    start(|env| {
        let env = env.with("ENVIRONMENT", "production").with("CONSOLE_ENABLED", true);
        env.with("TRUSTED_PROXIES", "127.0.0.1/32").with("ALLOWED_HOSTS", "localhost")
    })
    .await
}

#[test]
fn behind_the_shipped_proxies_no_spelling_of_a_path_opens_a_console_that_is_closed() {
    run(async {
        let app = start_behind_proxies().await;
        for name in ["nginx", "Caddy"] {
            let Some(narrow) = Proxy::start_for(name, app.address(), Some("127.0.0.3")).await else { continue };
            let encoded = [
                "/%63onsole",
                "/console%2fsession",
                "/./console",
                "/x/../console/",
                "/x/%2e%2e/console/session",
                "/x/..%2fconsole/",
                "/%2f",
                "/.",
                "/console;x",
            ];
            for path in DOT_SEGMENTS.iter().chain(&encoded) {
                for from in [[127, 0, 0, 2], [127, 0, 0, 3]] {
                    let request =
                        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n");
                    let answers = narrow.tls.from(from).exchange(request.as_bytes()).await.unwrap();
                    let answer = answers.0.first().unwrap_or_else(|| panic!("{name} {path}"));
                    // nginx itself refuses paths that lead above its root.
                    assert!(matches!(answer.status, 400 | 404), "{name} {path} {from:?}: {answer:?}");
                }
            }
        }
    });
}

#[test]
fn behind_the_shipped_proxies_the_console_signs_in_on_any_port() {
    run(async {
        let app = start_behind_proxies().await;
        let credential = json!({ "credential": TOKEN }).to_string();
        for name in ["nginx", "Caddy"] {
            let Some(proxy) = Proxy::start(name, app.address()).await else { continue };
            let host = format!("localhost:{}", proxy.tls.address.port());
            for (host, origin, status) in [
                (&*host, &*host, 200),
                ("localhost", "localhost", 200),
                (&*host, "localhost", 403),
                ("localhost", &*host, 403),
                (&*host, "localhost:1", 403),
            ] {
                let own = format!("Origin: https://{origin}\r\nSec-Fetch-Site: same-origin\r\n");
                let answer = over_host(&proxy.tls, host, "POST /console/session", &own, &credential).await;
                assert_eq!(answer.status, status, "{name}, Host {host}, Origin {origin}: {answer:?}");
            }
        }
    });
}

#[test]
fn behind_the_shipped_proxies_the_console_signs_in_over_tls_and_can_be_kept_from_addresses() {
    run(async {
        let app = start_behind_proxies().await;
        let credential = json!({ "credential": TOKEN }).to_string();
        let own = "Origin: https://localhost\r\nSec-Fetch-Site: same-origin\r\n";
        for name in ["nginx", "Caddy"] {
            let Some(open) = Proxy::start(name, app.address()).await else { continue };
            let page = over(&open.tls, "GET /", "", "").await;
            assert!(page.status == 200 && page.body.contains("/console/assets/"), "{page:?}");
            let policies = page.values("content-security-policy");
            assert!(policies.len() == 1 && policies[0].contains("script-src 'self'"), "{policies:?}");
            assert_eq!(page.values("cache-control"), ["no-cache"]);
            let signed_in = over(&open.tls, "POST /console/session", own, &credential).await;
            let cookie = signed_in.header("set-cookie").unwrap_or_else(|| panic!("{name}: {signed_in:?}")).to_owned();
            assert!(cookie.starts_with("__Host-candlewick-session=") && cookie.ends_with("; Secure"), "{cookie}");
            let session = format!("{own}Cookie: {}\r\n", cookie.split_once(';').unwrap().0);
            assert_eq!(over(&open.tls, &format!("GET {CANDLES}"), &session, "").await.status, 200, "{name}");
            let other = session.replace("same-origin", "cross-site").replace("Origin: https://localhost\r\n", "");
            assert_eq!(over(&open.tls, &format!("GET {CANDLES}"), &other, "").await.status, 401, "{name}");
            let out = over(&open.tls, "DELETE /console/session", &session, "").await;
            assert!(out.status == 204 && out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");

            let narrow = Proxy::start_for(name, app.address(), Some("127.0.0.3")).await.unwrap();
            let inside = narrow.tls.from([127, 0, 0, 3]);
            for path in
                ["/", "/console", "/console/", "/console/session", "/console/assets/x.js", "//console/session", "/?x"]
            {
                let outside = over(&narrow.tls, &format!("GET {path}"), own, "").await;
                assert_eq!((outside.status, outside.code().as_deref()), (404, Some("not_found")), "{name} {path}");
            }
            let refused = over(&narrow.tls, "POST /console/session", own, &credential).await;
            assert_eq!((refused.status, refused.header("set-cookie")), (404, None), "{name}");
            assert_eq!(over(&inside, "GET /console", "", "").await.status, 200, "{name}");
            assert_eq!(over(&inside, "POST /console/session", own, &credential).await.status, 200, "{name}");
            // The API itself stays open to all.
            let key = format!("X-Internal-Token: {TOKEN}\r\n");
            assert_eq!(over(&narrow.tls, &format!("GET {CANDLES}"), &key, "").await.status, 200, "{name}");
        }
    });
}
