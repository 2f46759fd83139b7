//! The reason of a change.

use candle::{Rule, ValueError};

/// The maximum number of characters of a reason.
const MAX_CHARS: usize = 200;

/// Parses the reason of a change: 1 to 200 printable characters.
///
/// # Errors
/// When it is empty, blank, longer, or holds a control character.
pub fn parse_reason(text: &str) -> Result<String, ValueError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ValueError::new(Rule::Empty, "is empty; say why, as in \"bad tick\""));
    }
    if text.chars().count() > MAX_CHARS {
        return Err(ValueError::new(Rule::TooLong, format!("is longer than {MAX_CHARS} characters; shorten it")));
    }
    if text.chars().any(char::is_control) {
        return Err(ValueError::new(Rule::Unprintable, "holds a control character; send one line of text"));
    }
    Ok(text.to_owned())
}
