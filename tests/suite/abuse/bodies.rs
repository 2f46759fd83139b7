//! Bodies: malformed JSON, numbers, times and texts that break careless programs, SQL, and sizes.

use super::attack::{Attack, Expected, Problem, batch, key, post, post_candle, request};
use super::queries::SQL;

const MALFORMED: Expected = Problem(400, "malformed");
const INVALID: Expected = Problem(422, "invalid_values");
const CREATED: Expected = Expected::Taken(201);

pub fn attacks() -> Vec<Attack> {
    [json(), numbers(), prices(), times(), texts(), sql(), sizes()].into_iter().flatten().collect()
}

fn field(field: &str, value: &str, expected: Expected) -> Attack {
    let shown: String = value.chars().take(40).collect();
    Attack::new(format!("{field} {}", shown.escape_debug()), post_candle(&[(field, value)]), expected)
}

fn json() -> Vec<Attack> {
    let good = batch(&[]);
    let body = |name: &str, body: &[u8], expected: Expected| Attack::new(name, post(&key(), body), expected);
    let nested = |depth: usize| format!(r#"{{"candles":[],"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    vec![
        body("2 MB of brackets", "[".repeat(2_000_000).as_bytes(), MALFORMED),
        body("2 MB of braces", r#"{"a":"#.repeat(400_000).as_bytes(), MALFORMED),
        body("129 deep in an unknown field", nested(129).as_bytes(), INVALID),
        body("100,000 deep in an unknown field", nested(100_000).as_bytes(), INVALID),
        body("nothing", b"", MALFORMED),
        body("blanks", b"  \r\n\t", MALFORMED),
        body("NULs", b"\0\0\0\0", MALFORMED),
        body("a NUL inside", b"{\"candles\"\0:[]}", MALFORMED),
        body("broken off", &good.as_bytes()[..good.len() - 1], MALFORMED),
        body("bytes behind it", format!("{good}x").as_bytes(), MALFORMED),
        body("two of them", format!("{good}{good}").as_bytes(), MALFORMED),
        body("a mark of byte order inside", "{\u{feff}\"candles\":[]}".as_bytes(), MALFORMED),
        body("two marks of byte order", format!("\u{feff}\u{feff}{good}").as_bytes(), MALFORMED),
        body("UTF-16", &good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), MALFORMED),
        body("no UTF-8", b"{\"candles\":[{\"symbol\":\"\xff\xfe\"}]}", MALFORMED),
        body("an overlong slash", b"{\"candles\":[{\"symbol\":\"\xc0\xaf\"}]}", MALFORMED),
        body("a surrogate in UTF-8", b"{\"candles\":[{\"symbol\":\"\xed\xa0\x80\"}]}", MALFORMED),
        body("a comment", format!("/* x */{good}").as_bytes(), MALFORMED),
        body("a trailing comma", good.replace("}]}", "},]}").as_bytes(), MALFORMED),
        body("single quotes", good.replace('"', "'").as_bytes(), MALFORMED),
        body("names without quotes", good.replace(r#""open""#, "open").as_bytes(), MALFORMED),
        body("a field twice", good.replace(r#""open":1"#, r#""open":1,"open":2"#).as_bytes(), MALFORMED),
        body(
            "a field twice, once escaped",
            good.replace(r#""open":1"#, r#""open":1,"op\u0065n":2"#).as_bytes(),
            MALFORMED,
        ),
        body("candles twice", br#"{"candles":[],"candles":[]}"#, MALFORMED),
        body("symbol twice beside candles", br#"{"symbol":"A","symbol":"B","candles":[]}"#, MALFORMED),
        body("a form", b"candles=1&symbol=EURUSD", MALFORMED),
        body(
            "XML",
            b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><x>&a;</x>",
            MALFORMED,
        ),
        body("null", b"null", INVALID),
        body("a number", b"1", INVALID),
        body("a text", b"\"candles\"", INVALID),
        body("an empty object", b"{}", INVALID),
        body("no candles", br#"{"candles":[]}"#, INVALID),
        body("candles of another kind", br#"{"candles":{"symbol":"A"}}"#, INVALID),
        body("candles that are null", br#"{"candles":[null,null]}"#, INVALID),
        body("candles that are lists", br#"{"candles":[[1,2,3]]}"#, INVALID),
        body("fields of a prototype", br#"{"__proto__":{"admin":true},"constructor":{},"candles":[{}]}"#, INVALID),
    ]
}

fn numbers() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        ".5",
        "1.",
        "01",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "--1",
        "1 2",
        "\u{661}",
        "-",
    ] {
        attacks.push(field("open", number, INVALID));
        attacks.push(field("volume", number, INVALID));
    }
    // The comma ends the value, and the text after it is not a field.
    attacks.push(field("open", "1,5", MALFORMED));
    attacks.push(field("volume", "1,5", MALFORMED));
    for number in [
        "1e400",
        "-1e400",
        "1e-400",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "true",
        "null",
        "[]",
        "{}",
        "[1]",
    ] {
        attacks.push(field("open", number, INVALID));
        attacks.push(field("volume", number, INVALID));
    }
    attacks.push(field("open", &"9".repeat(400), INVALID));
    attacks.push(field("open", &format!("0.{}", "9".repeat(400)), INVALID));
    attacks
        .push(field("open", &format!("1e{}", "0".repeat(100_000)), CREATED).stores("ATTACK H1 1754215200 1 1 1 1 1"));
    for text in [
        "NaN",
        "Infinity",
        "1e400",
        "",
        " 1",
        "1 ",
        "1,5",
        "0x10",
        "1.0f",
        "١",
        "1\\u0000",
        "--1",
        "1'; drop table x; --",
    ] {
        attacks.push(field("open", &format!("\"{text}\""), INVALID));
        attacks.push(field("volume", &format!("\"{text}\""), INVALID));
    }
    for volume in ["-1", "1.5", "9223372036854775808", "18446744073709551616", "1e19", "-0.5"] {
        attacks.push(field("volume", volume, INVALID));
    }
    attacks
}

fn prices() -> Vec<Attack> {
    let prices = |name: &str, prices: [&str; 4], expected: Expected| {
        let [open, high, low, close] = prices;
        Attack::new(name, post_candle(&[("open", open), ("high", high), ("low", low), ("close", close)]), expected)
    };
    let at = |symbol: &str, fields: &[(&str, &str)]| {
        post_candle(&[&[("symbol", &*format!("\"{symbol}\""))], fields].concat())
    };
    vec![
        prices("high below low", ["2", "1", "3", "2"], INVALID),
        prices("open above high", ["9", "3", "1", "2"], INVALID),
        prices("close below low", ["2", "3", "1", "0"], INVALID),
        prices("a difference in the 28th digit", ["1.000000000000000000000000001", "1", "1", "1"], INVALID),
        Attack::new("minus zero", at("ZERO", &[("open", "-0"), ("low", "-0.00"), ("close", "-0e5")]), CREATED)
            .stores("ZERO H1 1754215200 0 1 0.00 0 1"),
        Attack::new(
            "beyond a float's digits",
            at("EXACT", &[("high", "9007199254740993.1"), ("volume", "9007199254740993")]),
            CREATED,
        )
        .stores("EXACT H1 1754215200 1 9007199254740993.1 1 1 9007199254740993"),
        Attack::new("the largest volume", at("LARGEST", &[("volume", "9223372036854775807")]), CREATED)
            .stores("LARGEST H1 1754215200 1 1 1 1 9223372036854775807"),
    ]
}

fn times() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let bad = [
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1754215200000000",
        "1754215200000000000",
        "99999999999999999999999999",
        "1e99",
        "1754215200.5",
        "1754215200.0000001",
        "1754215201001",
        "true",
        "null",
        "[]",
        "\"\"",
        "\"now\"",
        "\"2025-02-30T00:00:00Z\"",
        "\"2025-13-01T00:00:00Z\"",
        "\"2025-08-03T24:00:00Z\"",
        "\"2025-08-03T23:59:60Z\"",
        "\"2025-08-03T10:00:00\"",
        "\"2025-08-03T10:00:00+99:00\"",
        "\"2025-08-03T10:00:00.001Z\"",
        "\"10000-01-01T00:00:00Z\"",
        "\"+10000-01-01T00:00:00Z\"",
        "\"9999-12-31T23:00:00Z\"",
        "\"-0001-01-01T00:00:00Z\"",
        "\"2025.08.03\"",
        "\"2025.8.3 1:0\"",
        "\"2025.08.03 10:00; drop table x\"",
        "\"2025-08-03T10:00:00Z\\u0000\"",
    ];
    for time in bad {
        attacks.push(field("timestamp", time, INVALID));
    }
    for timeframe in [
        "\"\"",
        "\"1M\"",
        "\"H7\"",
        "\"M\"",
        "\"h1 \"",
        "\"PERIOD_PERIOD_H1\"",
        "60",
        "null",
        "\"\\u0000\"",
        "\"H1\\u0000\"",
    ] {
        attacks.push(field("timeframe", timeframe, INVALID));
    }
    for offset in ["50401", "-50401", "9223372036854775807", "1.5", "\"x\"", "[]"] {
        let body = batch(&[]).replacen('{', &format!(r#"{{"utc_offset":{offset},"#), 1);
        attacks.push(Attack::new(format!("utc_offset {offset}"), post(&key(), body), INVALID));
    }
    attacks
}

fn texts() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for text in [
        "\"\"",
        "\" \"",
        "\" EURUSD\"",
        "\"EURUSD \"",
        "\"EUR\\u0000USD\"",
        "\"\\u0000\"",
        "\"EUR\\nUSD\"",
        "\"EUR\\r\\nUSD\"",
        "\"\\u001b[31mEURUSD\"",
        "\"EUR\\u007fUSD\"",
        "\"EUR\\u0085USD\"",
        "\"\\u2028\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud83d\"",
        "1",
        "null",
        "[]",
        "{}",
        "true",
    ] {
        attacks.push(field("symbol", text, INVALID));
    }
    for text in ["\"\\u12\"", "\"\\x41\"", "\"EUR\nUSD\"", "\"EUR\tUSD\"", "\"EUR\0USD\""] {
        attacks.push(field("symbol", text, MALFORMED));
    }
    attacks.push(field("symbol", &format!("\"{}\"", "A".repeat(65)), INVALID));
    attacks.push(field("symbol", &format!("\"{}\"", "A".repeat(1_000_000)), INVALID));
    attacks.push(field("symbol", &format!("\"{}\"", "\\u0041".repeat(65)), INVALID));
    attacks
}

fn sql() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for text in SQL {
        let value = serde_json::to_string(text).unwrap();
        // A symbol is any printable text, so this one is stored as text.
        attacks.push(
            Attack::new(format!("symbol {text}"), post_candle(&[("symbol", &value)]), CREATED)
                .stores(format!("{text} H1 1754215200 1 1 1 1 1")),
        );
        for name in ["timeframe", "timestamp", "open", "volume"] {
            attacks.push(field(name, &value, INVALID));
        }
    }
    attacks
}

fn sizes() -> Vec<Attack> {
    const MOST: usize = 4_194_304;
    const TOO_LARGE: Expected = Problem(413, "too_large");
    let chunked = |name: &str, size: usize| {
        let chunk = [format!("{:x}\r\n", 65_536).into_bytes(), vec![b' '; 65_536], b"\r\n".to_vec()].concat();
        let head = request("POST", "/api/v1/candles", &format!("{}Transfer-Encoding: chunked\r\n", key()));
        Attack::new(name, [head, chunk.repeat(size / 65_536)].concat(), TOO_LARGE)
    };
    let announced = |name: &str, length: &str, body: usize| {
        let head = request("POST", "/api/v1/candles", &format!("{}Content-Length: {length}\r\n", key()));
        Attack::new(name, [head, vec![b' '; body]].concat(), TOO_LARGE)
    };
    let compressed = |encoding: &str| {
        let lines = format!("{}Content-Encoding: {encoding}\r\n", key());
        // The beginning of a gzip stream, which nothing may decompress.
        Attack::new(
            format!("compressed: {encoding}"),
            post(&lines, b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
            Problem(415, "unsupported_encoding"),
        )
    };
    let many = format!(r#"{{"candles":[{}]}}"#, vec!["{}"; 10_001].join(","));
    let mut attacks = vec![
        announced("one byte too many", &(MOST + 1).to_string(), MOST + 1),
        announced("20 MB", "20000000", 20_000_000),
        announced("a petabyte, of which little comes", "1000000000000000", 100_000),
        announced("2^63 bytes, of which little comes", "9223372036854775808", 100_000),
        chunked("endless chunks", 64 * 1024 * 1024),
        Attack::new("10,001 candles", post(&key(), many), TOO_LARGE),
    ];
    attacks.extend(
        ["gzip", "br", "zstd", "deflate", "x-gzip", "gzip, identity", "gzip,gzip,gzip", "unknown", "aws-chunked"]
            .map(compressed),
    );
    attacks
}
