//! Strings, numbers and booleans of a body, and the errors for other types.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::bare_words;
use candle::{Rule, ValueError};

/// Applies `parse` to a number, or to a string that may hold one.
pub(crate) fn parse_scalar<T>(
    raw: &RawValue,
    parse: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<T, ValueError> {
    match raw.get().as_bytes() {
        [b'-' | b'0'..=b'9', ..] => parse(raw.get()),
        [b'"', ..] => parse_string(raw, parse),
        _ => Err(wrong_type(raw, "a number or a string")),
    }
}

/// Applies `parse` to a string. A word without quotes is always refused, with the error of `parse` if there is one.
pub(crate) fn parse_string<T>(
    raw: &RawValue,
    parse: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<T, ValueError> {
    match bare_words::marked_word(raw.get()) {
        None => parse(&string(raw)?),
        Some(word) => match parse(word) {
            Ok(_) => Err(ValueError::new(Rule::WrongType, "stands without quotes; put it in double quotes")),
            Err(invalid) => Err(invalid),
        },
    }
}

fn string(raw: &RawValue) -> Result<Cow<'_, str>, ValueError> {
    let text = raw.get();
    if !text.starts_with('"') {
        return Err(wrong_type(raw, "a string"));
    }
    // The text is valid JSON, so that a string without an escape is the text between the quotes.
    if !text.as_bytes().contains(&b'\\')
        && let Some(plain) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
    {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str(text)
        .map(Cow::Owned)
        .map_err(|_| ValueError::new(Rule::NotText, "holds an escape that is not a character; send it as plain UTF-8"))
}

pub(super) fn boolean(raw: &RawValue) -> Result<bool, ValueError> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong_type(raw, "true or false")),
    }
}

fn wrong_type(raw: &RawValue, wanted: &str) -> ValueError {
    const MAX_QUOTED_BYTES: usize = 40;
    let bare_word = bare_words::marked_word(raw.get()).filter(|word| (1..=MAX_QUOTED_BYTES).contains(&word.len()));
    let found = match raw.get().as_bytes() {
        [b'n', ..] => "null",
        [b't' | b'f', ..] => "true or false",
        [b'"', ..] => bare_word.unwrap_or("a string"),
        [b'[', ..] => "a list",
        [b'{', ..] => "an object",
        _ => "a number",
    };
    ValueError::new(Rule::WrongType, format!("is {found}; send {wanted}"))
}
