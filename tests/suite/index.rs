//! The page at `/` where no console is served, and `/docs`.

use reqwest::Method;

use crate::harness::{Answer, Database, TestApp, run, send};

async fn get(app: &TestApp, path: &str) -> Answer {
    send(app.request(Method::GET, path)).await
}

/// The addresses that a page links to.
fn links(page: &str) -> Vec<&str> {
    page.split("href=\"").skip(1).map(|link| link.split('"').next().unwrap()).collect()
}

#[test]
fn the_root_page_links_to_existing_pages() {
    run(async {
        for docs in [true, false] {
            let app = TestApp::start_with(Database::sqlite(), |env| {
                env.with("DOCS_ENABLED", docs).with("CONSOLE_ENABLED", false)
            })
            .await;
            let page = get(&app, "/").await;
            assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
            let expected: &[&str] = if docs { &["/api/docs", "/health"] } else { &["/health"] };
            assert_eq!(links(&page.body), expected);
            for link in links(&page.body) {
                assert_eq!(get(&app, link).await.status, 200, "{link}");
            }
            for told in ["POST /api/v1/candles", "X-API-KEY", "X-Internal-Token", "/api/v1/series", "docs/api.md"] {
                assert!(page.body.contains(told), "{told}");
            }
            assert!(page.body.contains("content=\"light dark\"") && !page.body.contains("<!-- "), "{}", page.body);
        }
    });
}

#[test]
fn the_root_page_reveals_nothing_and_has_a_strict_policy() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |env| env.with("CONSOLE_ENABLED", false)).await;
        let page = get(&app, "/").await;
        // The headers of every other answer; see access::every_answer_has_the_security_and_cache_headers.
        for (name, value) in [
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("vary", "origin"),
        ] {
            assert_eq!(page.header(name), Some(value), "{page:?}");
        }
        // The policy would block all of these.
        for element in ["<script", "<style", "style=", "<img", "<link", "<form", "http://", "https://", "onclick"] {
            assert!(!page.body.contains(element), "{element} in {}", page.body);
        }
        assert!(!page.body.contains(env!("CARGO_PKG_VERSION")) && page.body.len() < 2000, "{}", page.body);
        // No part of a request is echoed.
        let request = app.request(Method::GET, "/?x=<script>alert(1)</script>").header("user-agent", "<b>evil</b>");
        let odd = send(request.header("x-forwarded-host", "evil.example")).await;
        assert_eq!((odd.status.as_u16(), &odd.body), (200, &page.body));

        let head = send(app.request(Method::HEAD, "/")).await;
        assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), Some(&*page.body.len().to_string()));
        let post = send(app.request(Method::POST, "/").body("{}")).await;
        post.problem(405, "method_not_allowed");
    });
}

#[test]
fn the_root_page_is_rate_limited_like_every_other_route() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| {
            environment.with("RATE_LIMIT_ANONYMOUS", "1/m").with("ALLOWED_HOSTS", "127.0.0.1")
        })
        .await;
        let foreign = send(app.request(Method::GET, "/").header("host", "evil.example")).await;
        foreign.problem(403, "foreign_host");
        let statuses = [get(&app, "/").await, get(&app, "/docs").await, get(&app, "/").await];
        assert_eq!(statuses.each_ref().map(|answer| answer.status.as_u16()), [200, 200, 429]);
        assert_eq!(statuses[0].header("ratelimit-limit"), Some("2"));
    });
}

#[test]
fn docs_serves_the_documentation_without_a_redirect() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let (short, page) = (get(&app, "/docs").await, get(&app, "/api/docs").await);
        assert_eq!((short.status.as_u16(), short.header("location")), (200, None));
        assert_eq!(short.body, page.body);
        assert_eq!(short.header("content-security-policy"), page.header("content-security-policy"));
        let app = TestApp::start_with(Database::sqlite(), |env| env.with("DOCS_ENABLED", false)).await;
        get(&app, "/docs").await.problem(404, "not_found");
    });
}
