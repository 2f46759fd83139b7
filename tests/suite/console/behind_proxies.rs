//! The console behind the shipped proxies.

use serde_json::json;

use super::{CANDLES, DOT_SEGMENTS, over, over_host, start};
use crate::harness::{TOKEN, TestApp, run};
use crate::proxies::Proxy;

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
