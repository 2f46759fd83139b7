//! Explains why a body is not JSON, in words for the authors of programs that send one.

/// The explanation of a body that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// The advice for senders of another format.
const EXPECTED: &str = r#"send a JSON object such as {"candles":[{"symbol":"EURUSD",…}]}"#;

/// Explains what serde_json found wrong with `text`.
pub(super) fn explain(text: &str, error: &serde_json::Error) -> Malformed {
    if let Some(format) = other_format(text) {
        return Malformed(format!("the body looks like {format}, and only JSON is read; {EXPECTED}"));
    }
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        return Malformed(format!(
            "the body is truncated: it ends at line {line}, column {column}, inside a value; \
             send all of its bytes (StringToCharArray without the last one drops a brace)"
        ));
    }
    let message = error.to_string();
    let cause = message.split(" at line ").next().unwrap_or_default();
    let (cause, remedy) = plain_words(cause, Surroundings::of(text, line, column));
    Malformed(format!("the body is not valid JSON: {cause} at line {line}, column {column}; {remedy}"))
}

/// Explains that a candle has a field under both its names with different values.
pub(super) fn contradiction(index: usize, [name, alias]: [&str; 2]) -> Malformed {
    Malformed(format!(
        "the body is malformed: candles[{index}] has a duplicate field `{name}`, because `{alias}` is another name of \
         it and has another value; send one of the two"
    ))
}

/// The apparent format of a body that does not begin like JSON.
fn other_format(text: &str) -> Option<&'static str> {
    let text = text.trim_start();
    let first_line = text.lines().next().unwrap_or_default();
    let is_separator = |c: char| matches!(c, ',' | ';' | '\t');
    match text.chars().next()? {
        '{' | '[' | '"' => None,
        // MetaTrader's own CSV export has the names of its columns in angle brackets.
        '<' if first_line.split_once('>').is_some_and(|(_, rest)| rest.starts_with(is_separator)) => Some("CSV"),
        '<' => Some("XML or HTML"),
        '%' => Some("a URL-encoded form"),
        '-' if first_line.starts_with("--") => Some("a multipart form"),
        _ if is_form(first_line) => Some("a form (name=value)"),
        _ if first_line.matches(is_separator).count() >= 2 && !first_line.contains(['{', '[']) => Some("CSV"),
        _ => None,
    }
}

fn is_form(line: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%' | '+' | '[' | ']');
    line.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(is_name))
}

/// The characters around the place at which parsing stopped.
#[derive(Debug, Clone, Copy)]
struct Surroundings {
    /// The last two characters before it that are not blanks, the nearest first.
    before: [Option<char>; 2],
    at: Option<char>,
}

impl Surroundings {
    fn of(text: &str, line: usize, column: usize) -> Self {
        let line = text.split('\n').nth(line.saturating_sub(1)).unwrap_or_default();
        // Columns count bytes from 1, and may lie inside a character.
        let (before, at) = line.split_at_checked(column.saturating_sub(1)).unwrap_or((line, ""));
        let mut before = before.chars().rev().filter(|c| !c.is_whitespace());
        Self { before: [before.next(), before.next()], at: at.chars().next() }
    }
}

/// Translates serde_json's words, and says what to do.
fn plain_words(cause: &str, Surroundings { before, at }: Surroundings) -> (&str, &'static str) {
    const CORRECT: &str = "correct it and send it again";
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    if at == Some('\'') {
        return ("there is a single quote", "JSON puts names and texts in double quotes");
    }
    if at == Some('/') {
        return ("there is a comment", "remove it, because JSON has none");
    }
    if cause == "key must be a string" && before[0] == Some(',') && is_digit(before[1]) && is_digit(at) {
        return ("digits follow a comma", "write decimals behind a point, as in 1.0850");
    }
    match cause {
        "expected ident" => ("there is a word that JSON does not know", CORRECT),
        "expected value" => ("there is something other than a value", CORRECT),
        "expected `:`" => ("a name is not followed by a colon", CORRECT),
        "expected `,` or `}`" | "expected `,` or `]`" => {
            ("a comma or a closing bracket is missing", "write a comma between values and close what is open")
        }
        "key must be a string" | "expected `\"`" => {
            ("there is a name without double quotes", "put every name in double quotes")
        }
        "trailing comma" => ("nothing follows a comma", "remove it"),
        "trailing characters" => {
            ("there are trailing characters after its end", "send one object a post, with all candles in its list")
        }
        "invalid number" => ("a number is not written as JSON does", "send digits, such as 1.0850"),
        "invalid escape" => ("a backslash escapes nothing", "double it"),
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            ("there is a line break or other control character in a string", "remove it")
        }
        "recursion limit exceeded" => ("lists or objects are nested too deeply", "send all candles in one list"),
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" | "invalid unicode code point" => {
            ("an escape is not a character", "send the text as plain UTF-8")
        }
        other => (other, CORRECT),
    }
}
