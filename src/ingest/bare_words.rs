//! Bare words in a body where JSON requires a value: `nan`, `1.#QNAN`, `None`, `+1.5`, `EURUSD` without quotes.
//!
//! Terminals and scripts that print numbers unchecked send such words, and a JSON parser refuses the whole body for one of them.
//! This module turns each word into a string that begins with [`MARK`], so that the body can be parsed. A field's parser refuses
//! such a string, so that a bare word costs only its own candle, and nothing in a field that is ignored.

use std::borrow::Cow;

/// A private-use character of Unicode. Only marked bare words begin with it, because [`escape_marks`] has written it as an escape
/// in other strings.
const MARK: char = '\u{e000}';

/// Writes [`MARK`] at the beginning of strings as an escape, which has the same meaning.
pub(super) fn escape_marks(text: &str) -> Cow<'_, str> {
    const MARKED: &str = "\"\u{e000}";
    if text.contains(MARKED) { Cow::Owned(text.replace(MARKED, "\"\\ue000")) } else { Cow::Borrowed(text) }
}

/// The bare word in `json`, if [`mark`] made that string.
pub(super) fn marked_word(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_prefix(MARK)?.strip_suffix('"')
}

/// Marks the bare words of a text; `None` if it has none, or would not be JSON without them.
pub(super) fn mark(text: &str) -> Option<String> {
    let mut scanner = Scanner { text, at: 0, marked: String::new(), copied: 0 };
    scanner.document()?;
    if scanner.marked.is_empty() {
        return None;
    }
    scanner.marked.push_str(&text[scanner.copied..]);
    Some(scanner.marked)
}

/// Scans text that is JSON but for bare words. Each step returns `None` where the text is malformed.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The new text so far, and the length of the old text that it holds.
    marked: String,
    copied: usize,
}

impl Scanner<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips `wanted` if it is next, and returns true if it was.
    fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    /// Skips a whole value and marks the bare words in it. It loops instead of recursing, because the depth of a body has no bound.
    fn document(&mut self) -> Option<()> {
        let mut closing_brackets = Vec::new();
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    let closing = if bracket == b'{' { b'}' } else { b']' };
                    if !self.take(closing) {
                        closing_brackets.push(closing);
                        self.field_name_in(closing)?;
                        continue;
                    }
                }
                // A field may lack its value. In a list, a missing element is a superfluous comma, which is malformed.
                _ => self.word(*closing_brackets.last()? == b'}')?,
            }
            loop {
                let Some(&closing) = closing_brackets.last() else { return Some(()) };
                if self.take(closing) {
                    closing_brackets.pop();
                } else if self.take(b',') {
                    break self.field_name_in(closing)?;
                } else {
                    return None;
                }
            }
        }
    }

    /// Skips the name before a value, which objects have and lists have not.
    fn field_name_in(&mut self, closing: u8) -> Option<()> {
        if closing == b']' {
            return Some(());
        }
        self.string()?;
        self.take(b':').then_some(())
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"').then_some(())?;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))? + 1;
            if self.text.as_bytes()[self.at - 1] == b'"' {
                return Some(());
            }
            // An escaped quote does not end the string.
            self.at += self.text[self.at..].chars().next()?.len_utf8();
        }
    }

    /// Skips a value that is not a string, a list or an object, and marks it if it is a bare word.
    fn word(&mut self, may_be_empty: bool) -> Option<()> {
        let end = self.end_of_word();
        let word = self.text[self.at..end].trim_end();
        if serde_json::from_str::<serde::de::IgnoredAny>(word).is_err() {
            if !is_value_like(word) || word.is_empty() && !may_be_empty {
                return None;
            }
            self.marked.push_str(&self.text[self.copied..self.at]);
            self.marked.extend(['"', MARK]);
            self.marked.push_str(word);
            self.marked.push('"');
            self.copied = self.at + word.len();
        }
        self.at = end;
        Some(())
    }

    /// The end of a word that begins here.
    fn end_of_word(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b'{' | b'[' | b'"' | b'\'' | b'\\' | 0..0x20);
        rest.iter().position(ends).map_or(self.text.len(), |length| self.at + length)
    }
}

/// True for a word that may be meant as a value: one without blanks and colons, or a time, which does not begin with a colon.
/// An empty word is a value that was left out.
fn is_value_like(word: &str) -> bool {
    let is_time =
        || !word.starts_with(':') && word.bytes().all(|byte| byte.is_ascii_digit() || b" .-:+TZ".contains(&byte));
    !word.contains(['/', MARK]) && (!word.contains([' ', ':']) || is_time())
}
