//! Heads that are too large, and values that try to add lines to the log.

use super::attack::{Attack, Bare, Expected, Problem, Taken, get, token};

pub fn attacks() -> Vec<Attack> {
    sizes().into_iter().chain(logs()).collect()
}

fn sizes() -> Vec<Attack> {
    let head = |name: &str, lines: &str, expected: Expected| Attack::new(name, get("/api/v1/series", lines), expected);
    vec![
        head("10,000 headers", &"x: y\r\n".repeat(10_000), Bare(431)),
        head("3,000 short headers", &"x:\r\n".repeat(3000), Bare(431)),
        head("a header of 1 MiB", &format!("x: {}\r\n", "y".repeat(1 << 20)), Bare(431)),
        head("a name of 1 MiB", &format!("{}: y\r\n", "x".repeat(1 << 20)), Bare(431)),
        head("a key of 1 MiB", &format!("X-API-KEY: {}\r\n", "y".repeat(1 << 20)), Bare(431)),
        head("a head of 17 KiB", &format!("x: {}\r\n", "y".repeat(1000)).repeat(17), Bare(431)),
        Attack::new("an address of 1 MiB", get(&format!("/{}", "a".repeat(1 << 20)), ""), Bare(431)),
        Attack::new(
            "a query of 70,000 bytes",
            get(&format!("/api/v1/series?symbol={}", "a".repeat(70_000)), &token()),
            Bare(431),
        ),
        Attack::new("a method of 1 MiB", [b"G".repeat(1 << 20), b" / HTTP/1.1\r\n\r\n".to_vec()].concat(), Bare(431)),
    ]
}

fn logs() -> Vec<Attack> {
    let logged = |name: &str, line: &[u8], expected: Expected| {
        let head = [b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n", line, b"\r\n\r\n"].concat();
        Attack::new(name, head, expected)
    };
    let ignored = Problem(404, "not_found");
    vec![
        logged("an id with an escape", b"x-request-id: \x1b[31mred", Bare(400)),
        logged("an id with a line feed", b"x-request-id: a\n{\"level\":\"INFO\",\"injected\":1}", Bare(400)),
        logged("an id with quotes", br#"x-request-id: a","injected":"1"#, ignored),
        logged("an id beyond ASCII", "x-request-id: é\u{2028}".as_bytes(), ignored),
        logged("an id that is not UTF-8", b"x-request-id: \xff\xfe", ignored),
        logged("an id of 4,000 letters", &[b"x-request-id: ".to_vec(), vec![b'a'; 4000]].concat(), ignored),
        logged("an id with percent signs", b"x-request-id: %0d%0ainjected", ignored),
        logged("two ids", b"x-request-id: a\r\nx-request-id: injected%0a", ignored),
        logged("an agent with an escape", b"user-agent: \x1b]0;injected\x07", Bare(400)),
        logged("an agent that is not UTF-8", b"user-agent: \xff\xfe\xfd", ignored),
        logged("an agent with quotes", br#"user-agent: "},{"injected":"1"#, ignored),
        logged("a trace that is none", b"traceparent: 00-\"injected\"-01", ignored),
        logged("a trace of zeros", b"traceparent: 00-00000000000000000000000000000000-0000000000000000-00", ignored),
        logged("Sentry's headers", b"sentry-trace: injected\r\nbaggage: sentry-release=injected", ignored),
        Attack::new("a path with line ends", get("/%0d%0a%7b%22injected%22%3a1%7d", ""), ignored),
        Attack::new("a path with an escape", get("/%1b[2Jinjected", ""), ignored),
        Attack::new(
            "a method with a colon in the log",
            b"INJECTED /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            ignored,
        ),
        Attack::new(
            "an agent like a terminal's",
            get(
                "/api/v1/series",
                &format!("User-Agent: MetaTrader 5 Terminal/5.5120 (Windows NT 10.0; x64)\r\n{}", token()),
            ),
            Taken(200),
        ),
    ]
}
