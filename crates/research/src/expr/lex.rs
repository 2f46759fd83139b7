//! Tokens of the language.

use super::Refusal;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name, with dots inside: `close`, `ta.sma`.
    Name(&'a str),
    Int(f64),
    Float(f64),
    /// A text without its quotes. There are no escapes.
    Text(&'a str),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer signs come first, so that `<=` is not read as `<`.
const SIGNS: [&str; 20] =
    ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]", ",", "=", "."];

/// The largest literal. A double represents every whole number up to it exactly.
const MAX_LITERAL: f64 = 9_007_199_254_740_992.0;

/// The tokens of `text`, each with the offset at which it begins. The last is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, Refusal> {
    let mut tokens = Vec::with_capacity(text.len() / 3);
    let mut offset = 0;
    while let Some(next) = text[offset..].chars().next() {
        if next.is_ascii_whitespace() {
            offset += 1;
            continue;
        }
        let (token, length) = token(&text[offset..], next).map_err(|message| Refusal::new(offset, message))?;
        tokens.push((token, offset));
        offset += length;
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn token(rest: &str, next: char) -> Result<(Token<'_>, usize), String> {
    if next.is_ascii_digit() {
        return number(rest);
    }
    if next.is_ascii_alphabetic() || next == '_' {
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        // A dot at the end belongs to no name.
        let name = rest[..length].trim_end_matches('.');
        return Ok((Token::Name(name), name.len()));
    }
    if next == '"' || next == '\'' {
        let end = rest[1..].find(next).ok_or("this text has no closing quote")?;
        return Ok((Token::Text(&rest[1..=end]), end + 2));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(format!("{next:?} has no meaning here")),
    }
}

fn number(rest: &str) -> Result<(Token<'_>, usize), String> {
    let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    if rest[length..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err("a number contains digits and at most one point; write 0.001 for 1e-3".to_owned());
    }
    let text = &rest[..length];
    let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    if number > MAX_LITERAL {
        return Err(format!("{text} is too large; the largest number is 2^53"));
    }
    Ok((if text.contains('.') { Token::Float(number) } else { Token::Int(number) }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_tokens() {
        use Token::{End, Float, Int, Name, Sign, Text};
        let found: Vec<_> = tokens("ta.sma(close,20)[1] <= 0.5 ? \"UTC\" : x_1").unwrap().into_iter().collect();
        let expected = [
            (Name("ta.sma"), 0),
            (Sign("("), 6),
            (Name("close"), 7),
            (Sign(","), 12),
            (Int(20.0), 13),
            (Sign(")"), 15),
            (Sign("["), 16),
            (Int(1.0), 17),
            (Sign("]"), 18),
            (Sign("<="), 20),
            (Float(0.5), 23),
            (Sign("?"), 27),
            (Text("UTC"), 29),
            (Sign(":"), 35),
            (Name("x_1"), 37),
            (End, 40),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn other_texts_are_refused_where_they_begin() {
        for (text, offset) in
            [("a # b", 2), ("  \"open", 2), ("1e5", 0), ("a + 1.2.3", 4), ("9999999999999999999", 0), ("é", 0)]
        {
            assert_eq!(tokens(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
