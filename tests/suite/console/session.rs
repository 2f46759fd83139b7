//! Sessions: the requests for which their cookies count, and for how long.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    CANDLES, DELETION, LIFETIME, MAINTENANCE, OWN, call, cookie_of, keys, read, scopes, sign_in, sign_in_with, start,
    status,
};
use crate::harness::{
    Environment, KEY, NOW, RESEARCH_KEY, Service, StoreKind, TOKEN, TestApp, both_store_kinds, candle, run, send, with,
};

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
