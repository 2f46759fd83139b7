//! The console's page and its files.

use reqwest::Method;
use serde_json::json;

use super::{DOT_SEGMENTS, OWN, call, keys, read, sign_in, sign_in_with, start};
use crate::harness::{Environment, Service, TOKEN, run, send};

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
