//! Keys that are wrong, repeated, misplaced or meant for something else, and claims about the origin of a request.

use super::attack::{Attack, Bare, Expected, Problem, Taken, batch, get, key, post, request, token};
use crate::harness::{KEY, TOKEN};

/// Keys that are not configured; none may appear in the log.
pub const WRONG: &str = "wrong-secret-0001";

/// The only allowed origin, and the allowed host.
pub const ORIGIN: &str = "https://chart.example.com";
pub const HOST: &str = "localhost";

pub fn attacks() -> Vec<Attack> {
    [wrong(), several(), misplaced(), scopes(), origins(), forwarded()].into_iter().flatten().collect()
}

fn unauthorized(name: impl Into<String>, lines: &str) -> Attack {
    Attack::new(name, get("/api/v1/series", lines), Problem(401, "unauthorized"))
}

fn wrong() -> Vec<Attack> {
    let mut attacks = vec![unauthorized("no key", "")];
    let keys = [
        ("empty", String::new()),
        ("wrong", WRONG.to_owned()),
        ("shortened", KEY[..KEY.len() - 1].to_owned()),
        ("lengthened", format!("{KEY}x")),
        ("in upper case", KEY.to_uppercase()),
        ("beyond ASCII", format!("{KEY}\u{e9}")),
        ("with its name", format!("terminal:{KEY}")),
        ("quoted", format!("\"{KEY}\"")),
        ("twice in one line", format!("{KEY}, {KEY}")),
        ("beside a wrong one in one line", format!("{KEY},{WRONG}")),
        ("of 8,000 bytes", WRONG.repeat(470)),
        ("percent-encoded", KEY.replace('-', "%2d")),
        ("SQL", "' or '1'='1".to_owned()),
    ];
    for (name, value) in &keys {
        attacks.push(unauthorized(format!("X-API-KEY {name}"), &format!("X-API-KEY: {value}\r\n")));
        attacks.push(unauthorized(format!("Bearer {name}"), &format!("Authorization: Bearer {value}\r\n")));
        attacks.push(unauthorized(format!("X-Internal-Token {name}"), &format!("X-Internal-Token: {value}\r\n")));
    }
    for value in
        ["Basic dGVybWluYWw6cGFzcw==", "Bearer", "Digest username=\"x\"", "Token x", &format!("Basic {KEY}"), KEY]
    {
        attacks.push(unauthorized(
            format!("Authorization: {}", value.replace(KEY, "…")),
            &format!("Authorization: {value}\r\n"),
        ));
    }
    attacks
}

fn several() -> Vec<Attack> {
    let good = key();
    let bad = format!("X-API-KEY: {WRONG}\r\n");
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    [
        ("good, bad", format!("{good}{bad}")),
        ("bad, good", format!("{bad}{good}")),
        ("the same twice", format!("{good}{good}")),
        ("twice in other case", format!("{good}x-Api-kEY: {KEY}\r\n")),
        ("key and Bearer", format!("{good}{bearer}")),
        ("Bearer twice", format!("{bearer}{bearer}")),
        ("far apart", format!("{good}{}{bad}", "x-filler: y\r\n".repeat(20))),
    ]
    .into_iter()
    .map(|(name, lines)| unauthorized(format!("two keys: {name}"), &lines))
    .chain([
        // A header without a value counts as absent, as some clients send one for a key that they do not have.
        Attack::new("a key and an empty one", get("/api/v1/series", &format!("{good}X-API-KEY:\r\n")), Taken(200)),
    ])
    .collect()
}

fn misplaced() -> Vec<Attack> {
    let target = |name: &str, target: &str| Attack::new(name, get(target, ""), Problem(401, "unauthorized"));
    vec![
        unauthorized("X_API_KEY", &format!("X_API_KEY: {KEY}\r\n")),
        unauthorized("X_Internal_Token", &format!("X_Internal_Token: {TOKEN}\r\n")),
        unauthorized("HTTP_X_API_KEY", &format!("HTTP_X_API_KEY: {KEY}\r\n")),
        unauthorized("Proxy-Authorization", &format!("Proxy-Authorization: Bearer {KEY}\r\n")),
        unauthorized("a cookie", &format!("Cookie: X-API-KEY={KEY}; token={TOKEN}\r\n")),
        unauthorized("token as key", &format!("X-API-KEY: {TOKEN}\r\n")),
        unauthorized("key as token", &format!("X-Internal-Token: {KEY}\r\n")),
        // A header that `Connection` names is for the next hop alone, so a proxy could remove it after a check.
        unauthorized("a header named by Connection", "Connection: X-API-KEY\r\n"),
        target("in the query", &format!("/api/v1/series?api_key={KEY}")),
        target("as a parameter of the header's name", &format!("/api/v1/series?X-API-KEY={KEY}&token={TOKEN}")),
        Attack::new(
            "as a login",
            get(&format!("http://x:{KEY}@localhost/api/v1/series"), ""),
            Problem(400, "invalid_host"),
        )
        .mended_by_proxies(Problem(401, "unauthorized")),
        Attack::new(
            "in the body",
            post("", format!(r#"{{"api_key":"{KEY}","candles":[]}}"#)),
            Problem(401, "unauthorized"),
        ),
    ]
}

fn scopes() -> Vec<Attack> {
    let read = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
    vec![
        Attack::new("a key that reads", get(read, &key()), Problem(403, "wrong_scope")),
        Attack::new(
            "a key as Bearer that reads",
            get(read, &format!("Authorization: Bearer {KEY}\r\n")),
            Problem(403, "wrong_scope"),
        ),
        Attack::new("a key that asks for details", get("/api/v1/health/detailed", &key()), Problem(403, "wrong_scope")),
        Attack::new("a token that posts", post(&token(), batch(&[])), Problem(403, "wrong_scope")),
        Attack::new(
            "a token as Bearer that posts",
            post(&format!("Authorization: Bearer {TOKEN}\r\n"), batch(&[])),
            Problem(403, "wrong_scope"),
        ),
    ]
}

fn origins() -> Vec<Attack> {
    let foreign: [&str; 14] = [
        "https://evil.example",
        "null",
        "",
        "*",
        "https://chart.example.com.evil.example",
        "https://evil-chart.example.com",
        "https://chart.example.com:8443",
        "http://chart.example.com",
        "HTTPS://CHART.EXAMPLE.COM",
        "https://chart.example.com/",
        "https://chart.example.com, https://evil.example",
        "https://x@chart.example.com",
        "file://",
        "https://chart%2eexample.com",
    ];
    let mut attacks = Vec::new();
    for origin in foreign {
        let lines = format!("Origin: {origin}\r\n");
        attacks.push(Attack::new(
            format!("read from {origin:?}"),
            get("/api/v1/series", &(lines.clone() + &token())),
            Problem(403, "foreign_origin"),
        ));
        attacks.push(Attack::new(
            format!("post from {origin:?}"),
            post(&(lines.clone() + &key()), batch(&[])),
            Problem(403, "foreign_origin"),
        ));
        let asks =
            format!("{lines}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n");
        attacks.push(Attack::new(
            format!("preflight from {origin:?}"),
            request("OPTIONS", "/api/v1/candles", &asks),
            Problem(403, "foreign_origin"),
        ));
    }
    let two = format!("Origin: {ORIGIN}\r\nOrigin: https://evil.example\r\n{}", token());
    attacks.push(Attack::new("two origins", get("/api/v1/series", &two), Problem(403, "foreign_origin")));
    attacks
}

/// Claims that only a proxy may make: none of them grants or denies access.
fn forwarded() -> Vec<Attack> {
    let claim = |name: &str, lines: &str, expected: Expected| {
        Attack::new(name, get("/api/v1/series", &(lines.to_owned() + &token())), expected)
    };
    let mut attacks: Vec<Attack> = [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1, 10.0.0.1, ::1",
        "X-Forwarded-For: nonsense",
        "X-Forwarded-For: \u{e9}",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: evil.example",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;proto=http;host=evil.example",
        "CF-Connecting-IP: 127.0.0.1",
        "Fly-Client-IP: 127.0.0.1",
        "True-Client-IP: 127.0.0.1",
        "Via: 1.1 evil.example",
    ]
    .iter()
    .map(|line| claim(line, &format!("{line}\r\n"), Taken(200)))
    .collect();
    let without_key = |line: &str| {
        Attack::new(
            format!("{line} without a key"),
            get("/api/v1/series", &format!("{line}\r\n")),
            Problem(401, "unauthorized"),
        )
    };
    attacks.extend(
        ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-User: admin", "X-Original-Host: localhost"].map(without_key),
    );
    let many = "X-Forwarded-For: 1.2.3.4\r\n".repeat(60);
    attacks.push(claim("many claims", &many, Taken(200)));
    attacks.push(claim(
        "a claim of 6,000 addresses",
        &format!("X-Forwarded-For: {}\r\n", "1.1.1.1,".repeat(6000)),
        Bare(431),
    ));
    attacks
}
