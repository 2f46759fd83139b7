//! Parameters of reads: absurd limits, repeated and hidden parameters, SQL.

use super::attack::{Attack, Expected, Problem, Taken, get, token};

pub const SQL: [&str; 14] = [
    "'; drop table market_data_candles; --",
    "' or '1'='1",
    "' or 1=1 --",
    "') or true --",
    "\" or \"\"=\"",
    "x' union select null, null --",
    "x'; select pg_sleep(20); --",
    "x' || pg_sleep(20) || '",
    "1; attach database '/tmp/x' as y; --",
    "\\'; drop table market_data_candles; --",
    "$1",
    "%s %n %x",
    "{0} ${x} #{x}",
    "_%",
];

pub fn attacks() -> Vec<Attack> {
    [limits(), times(), parameters(), sql()].into_iter().flatten().collect()
}

fn read(name: impl Into<String>, query: &str, expected: Expected) -> Attack {
    Attack::new(name, get(&format!("/api/v1/candles?symbol=EURUSD&timeframe=H1{query}"), &token()), expected)
}

const INVALID: Expected = Problem(422, "invalid_values");

/// Encodes as `encodeURIComponent` does.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn limits() -> Vec<Attack> {
    let limits = [
        "1000000000",
        "10001",
        "-1",
        "0",
        "1e3",
        "1.0",
        "",
        "%20",
        "99999999999999999999",
        "0x10",
        "NaN",
        "null",
        "1;2",
        "%EF%BC%91",
        "+5",
    ];
    limits.iter().map(|limit| read(format!("limit={limit}"), &format!("&limit={limit}"), INVALID)).collect()
}

fn times() -> Vec<Attack> {
    let bad = [
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1.5",
        "NaN",
        "",
        "now",
        "2025-02-30T00:00:00Z",
        "2025-08-03T10:00:00",
        "2025-08-03T25:00:00Z",
        "2025-08-32",
        "2025-08",
        "99999-01-01T00:00:00Z",
        "'; select 1; --",
        "%00",
    ];
    let mut attacks: Vec<Attack> = bad
        .iter()
        .map(|time| read(format!("from={time}"), &format!("&from={}", time.replace(' ', "%20")), INVALID))
        .collect();
    attacks.extend([
        read("an empty range", "&from=1754215200&to=1754215199", INVALID),
        read("from and after", "&from=1754215200&after=1754215200", INVALID),
        read("before and after", "&before=1754215200&after=1754215100", INVALID),
        read("a hundred years", "&from=1900-01-01T00:00:00Z&to=1999-12-31T00:00:00Z", Taken(200)),
        read("eight thousand years", "&from=0001-01-01T00:00:00Z&to=8000-01-01T00:00:00Z&limit=10000", Taken(200)),
    ]);
    attacks
}

fn parameters() -> Vec<Attack> {
    let raw = |name: &str, query: &str| Attack::new(name, get(&format!("/api/v1/candles?{query}"), &token()), INVALID);
    vec![
        read("symbol twice", "&symbol=XAUUSD", INVALID),
        read("limit twice", "&limit=1&limit=2", INVALID),
        read("limit twice, once encoded", "&limit=1&l%69mit=2", INVALID),
        read("an array", "&limit[]=1", INVALID),
        read("an object", "&limit[gt]=1", INVALID),
        read("an unknown parameter", "&admin=true", INVALID),
        read("another case", "&LIMIT=1", INVALID),
        read("a parameter without a name", "&=1", INVALID),
        read("10,000 ampersands are nothing, one more parameter is", &format!("{}x", "&".repeat(4000)), INVALID),
        raw("no parameters", ""),
        raw("no symbol", "timeframe=H1"),
        raw("an empty symbol", "symbol=&timeframe=H1"),
        raw("a semicolon between parameters", "symbol=EURUSD;timeframe=H1"),
        raw("an ampersand inside", "symbol=EURUSD%26timeframe=H1"),
        raw("a NUL", "symbol=EUR%00USD&timeframe=H1"),
        raw("a line's end", "symbol=EUR%0d%0aUSD&timeframe=H1"),
        raw("an escape", "symbol=%1b[31mEURUSD&timeframe=H1"),
        raw("no UTF-8", "symbol=%ff%fe&timeframe=H1"),
        raw("a lone surrogate", "symbol=%ed%a0%80&timeframe=H1"),
        raw("an overlong slash", "symbol=%c0%af&timeframe=H1"),
        raw("65 letters", &format!("symbol={}&timeframe=H1", "A".repeat(65))),
        raw("blanks around", "symbol=%20EURUSD%20&timeframe=H1"),
        raw("an unknown timeframe", "symbol=EURUSD&timeframe=H7"),
        raw("the ambiguous timeframe", "symbol=EURUSD&timeframe=1M"),
        raw("a path for a timeframe", "symbol=EURUSD&timeframe=../../etc/passwd"),
    ]
}

fn sql() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for text in SQL {
        let value = encoded(text);
        let symbol = format!("/api/v1/candles?symbol={value}&timeframe=H1");
        attacks.push(Attack::new(format!("symbol {text}"), get(&symbol, &token()), Taken(200)));
        let series = format!("/api/v1/series?symbol={value}");
        attacks.push(Attack::new(format!("series of {text}"), get(&series, &token()), Taken(200)));
        let timeframe = format!("/api/v1/candles?symbol=EURUSD&timeframe={value}");
        attacks.push(Attack::new(format!("timeframe {text}"), get(&timeframe, &token()), INVALID));
        for name in ["from", "before", "limit"] {
            attacks.push(read(format!("{name} {text}"), &format!("&{name}={value}"), INVALID));
        }
    }
    attacks
}
