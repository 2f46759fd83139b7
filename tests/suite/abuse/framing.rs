//! Requests that two programs could parse differently, and bytes that are not HTTP at all.

use super::attack::{Attack, Bare, Closed, Expected, Problem, Taken, get, key, request};

/// A request inside another one. If it is answered or logged, it has been smuggled.
pub const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\nx-request-id: smuggled\r\n\r\n";

pub fn attacks() -> Vec<Attack> {
    [lengths(), encodings(), chunks(), heads(), lines()].into_iter().flatten().collect()
}

/// Like [`HIDDEN`], for attacks whose last bytes a proxy may pass on as a second request (`two_to_proxies`). It has no
/// request id, so that its line in the log does not count as smuggled.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn post(name: &str, lines: &str, body: &str, expected: Expected) -> Attack {
    let head = format!("POST /api/v1/candles HTTP/1.1\r\nHost: localhost\r\n{}{lines}\r\n", key());
    Attack::new(name, head + body, expected)
}

fn lengths() -> Vec<Attack> {
    let length = |name: &str, lines: &str| post(name, lines, &format!("abcde{HIDDEN}"), Bare(400));
    vec![
        length("two lengths that differ", "Content-Length: 5\r\nContent-Length: 100\r\n"),
        length("two lengths that differ in one line", "Content-Length: 5, 100\r\n"),
        length("a length with a plus", "Content-Length: +5\r\n"),
        length("a length below zero", "Content-Length: -5\r\n"),
        length("a length in hexadecimal", "Content-Length: 0x5\r\n"),
        length("a length with a space inside", "Content-Length: 1 5\r\n"),
        length("a length with letters", "Content-Length: five\r\n"),
        post("an empty length", "Content-Length: \r\n", SECOND, Bare(400)).two_to_proxies(),
        length("a length beyond 64 bits", "Content-Length: 18446744073709551621\r\n"),
        length("a length of 400 digits", &format!("Content-Length: {}\r\n", "9".repeat(400))),
        length("a length with a fraction", "Content-Length: 5.0\r\n"),
    ]
}

fn encodings() -> Vec<Attack> {
    let ends_early = format!("0\r\n\r\n{HIDDEN}");
    let length = ends_early.len();
    let te = |name: &str, lines: &str| post(name, lines, &ends_early, Bare(400));
    // The service reads the chunks, ignores the length, and closes the connection after the chunks (RFC 9112 section
    // 6.3), because a proxy might treat the bytes that follow as part of this body.
    let both = |name: &str, lines: &str| {
        let body = format!("0\r\n\r\n{SECOND}");
        post(name, &lines.replace('N', &body.len().to_string()), &body, Problem(400, "malformed")).two_to_proxies()
    };
    vec![
        both("length then chunked", "Content-Length: N\r\nTransfer-Encoding: chunked\r\n"),
        both("chunked then length", "Transfer-Encoding: chunked\r\nContent-Length: N\r\n"),
        both("chunked between two lengths", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: N\r\n"),
        post(
            "chunks, and a length that is too short",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()),
            Problem(400, "malformed"),
        ),
        te("chunked is not the last encoding", "Transfer-Encoding: chunked, identity\r\n").proxies_may_answer(501),
        te("an unknown encoding", "Transfer-Encoding: xchunked\r\n").proxies_may_answer(501),
        te("an encoding that begins with chunked", "Transfer-Encoding: chunkedfoo\r\n").proxies_may_answer(501),
        te("a vertical tab before chunked", "Transfer-Encoding: \x0bchunked\r\n").proxies_may_answer(501),
        te("quoted chunked", "Transfer-Encoding: \"chunked\"\r\n").proxies_may_answer(501),
        te("an empty encoding", &format!("Transfer-Encoding: \r\nContent-Length: {length}\r\n"))
            .proxies_may_answer(501),
        te("identity and a length", &format!("Transfer-Encoding: identity\r\nContent-Length: {length}\r\n"))
            .proxies_may_answer(501),
        te("two encodings that differ", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")
            .proxies_may_answer(501),
        te("a space before the colon", "Transfer-Encoding : chunked\r\n"),
        post("a folded encoding", "Transfer-Encoding:\r\n chunked\r\n", &format!("0\r\n\r\n{SECOND}"), Bare(400))
            .two_to_proxies(),
        Attack::new(
            "chunks in HTTP/1.0",
            format!(
                "POST /api/v1/candles HTTP/1.0\r\nHost: localhost\r\n{}Transfer-Encoding: chunked\r\n\r\n{ends_early}",
                key()
            ),
            Bare(400),
        ),
    ]
}

fn chunks() -> Vec<Attack> {
    let chunked =
        |name: &str, body: &str| post(name, "Transfer-Encoding: chunked\r\n", body, Problem(400, "malformed"));
    vec![
        chunked("a chunk's size beyond 64 bits", &format!("10000000000000002\r\nab\r\n0\r\n\r\n{HIDDEN}")),
        chunked("a chunk's size of 100 digits", &format!("{}\r\nab\r\n0\r\n\r\n", "F".repeat(100))),
        chunked("a chunk's size below zero", "-2\r\nab\r\n0\r\n\r\n"),
        chunked("a chunk's size with 0x", "0x2\r\nab\r\n0\r\n\r\n"),
        chunked("a chunk's size with an underscore", "0_2\r\nab\r\n0\r\n\r\n"),
        chunked("a chunk without a size", "\r\nab\r\n0\r\n\r\n"),
        chunked("a chunk's size with letters", "zz\r\nab\r\n0\r\n\r\n"),
        chunked("more data than announced", "2\r\nabcd\r\n0\r\n\r\n"),
        chunked("no line end after a chunk", "2\r\nab0\r\n\r\n"),
        chunked("a line end inside an extension", "2;a=\"\nb\"\r\n0\r\n\r\n"),
        chunked("an endless extension", &format!("2;{}\r\nab\r\n0\r\n\r\n", "a".repeat(70_000))),
        chunked("endless trailers", &format!("2\r\nab\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000))),
        // A trailer is not a header, so the key in it does not count.
        Attack::new(
            "the key in a trailer",
            [
                request("POST", "/api/v1/candles", "Transfer-Encoding: chunked\r\nTrailer: X-API-KEY\r\n"),
                format!("2\r\n{{}}\r\n0\r\n{}\r\n", key()).into(),
            ]
            .concat(),
            Problem(401, "unauthorized"),
        ),
    ]
}

fn heads() -> Vec<Attack> {
    let head = |name: &str, lines: &str| Attack::new(name, get("/api/v1/series", lines), Bare(400));
    let series = |rest: &str| format!("GET /api/v1/series HTTP/1.1\r\n{rest}\r\n");
    vec![
        head("a NUL in a value", "x-a: b\0c\r\n"),
        head("an escape in a value", "x-a: b\x1b[31mc\r\n"),
        head("a bare carriage return in a value", "x-a: b\rx-b: c\r\n"),
        head("a line without a colon", "nonsense\r\n"),
        head("a space in a name", "x a: b\r\n"),
        head("a space before the colon", "X-API-KEY : k\r\n"),
        head("a header without a name", ": b\r\n"),
        head("a name of two bytes that are not text", "\u{e9}: b\r\n"),
        head("a folded line", "x-a: b\r\n c\r\n"),
        Attack::new("a first header that begins with a space", series(" x: y\r\nHost: localhost\r\n"), Bare(400)),
        Attack::new("no Host", series(""), Problem(400, "invalid_host")),
        Attack::new("two Hosts", series("Host: localhost\r\nHost: localhost\r\n"), Problem(400, "invalid_host")),
        Attack::new(
            "two Hosts that differ",
            series("Host: localhost\r\nHost: evil.example\r\n"),
            Problem(400, "invalid_host"),
        ),
        Attack::new("a foreign Host", series("Host: evil.example\r\n"), Problem(403, "foreign_host")),
        Attack::new("an empty Host", series("Host: \r\n"), Problem(400, "invalid_host")),
        Attack::new("a Host with a path", series("Host: localhost/x\r\n"), Problem(400, "invalid_host")),
        Attack::new("a Host with a login", series("Host: localhost@evil.example\r\n"), Problem(400, "invalid_host")),
        Attack::new("a Host with a space", series("Host: localhost evil.example\r\n"), Problem(400, "invalid_host")),
        Attack::new(
            "a Host that ends with the allowed one",
            series("Host: evil-localhost\r\n"),
            Problem(403, "foreign_host"),
        ),
        Attack::new(
            "a Host that begins with the allowed one",
            series("Host: localhost.evil.example\r\n"),
            Problem(403, "foreign_host"),
        ),
    ]
}

fn lines() -> Vec<Attack> {
    let line = |name: &str, line: &str| {
        Attack::new(name, format!("{line}\r\nHost: localhost\r\n\r\n"), Bare(400)).proxies_may_answer(505)
    };
    vec![
        line("HTTP/0.9", "GET /api/v1/series"),
        line("HTTP/9.9", "GET /api/v1/series HTTP/9.9"),
        line("HTTP/2.0 as the version", "GET /api/v1/series HTTP/2.0"),
        line("lower case", "GET /api/v1/series http/1.1"),
        line("another protocol", "GET /api/v1/series ICAP/1.1"),
        line("two spaces", "GET  /api/v1/series HTTP/1.1"),
        line("tabs in place of spaces", "GET\t/api/v1/series\tHTTP/1.1"),
        line("text after the version", "GET /api/v1/series HTTP/1.1 x"),
        line("a space in the target", "GET /api/v1/ser ies HTTP/1.1"),
        line("no method", " /api/v1/series HTTP/1.1"),
        line("a method with a colon", "GE:T /api/v1/series HTTP/1.1"),
        line("nothing but a method", "GET"),
        Attack::new("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Closed).proxies_may_answer(505),
        Attack::new(
            "the first bytes of a TLS handshake",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            Bare(400),
        ),
        Attack::new("every byte value", (0..=255).rev().collect::<Vec<u8>>(), Bare(400)),
        Attack::new("another protocol's greeting", "EHLO evil.example\r\nMAIL FROM:<a@b>\r\n\r\n", Bare(400)),
        // RFC 9112 section 2.2 lets a recipient accept a bare line feed as the end of a line. The service does, and
        // refuses this request only because it has no key.
        Attack::new(
            "bare line feeds",
            "GET /api/v1/series HTTP/1.1\nHost: localhost\n\n",
            Problem(401, "unauthorized"),
        ),
        Attack::new(
            "empty lines before the request",
            [b"\r\n\r\n".to_vec(), get("/health/live?", "")].concat(),
            Taken(200),
        ),
    ]
}
