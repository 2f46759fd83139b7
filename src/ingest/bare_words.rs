//! Words that stand in a body where JSON wants a value: `nan`, `1.#QNAN`, `None`, `+1.5`, `EURUSD` without quotes.
//!
//! A terminal or a script that prints a number without looking at it sends such a word, and a JSON parser gives up on the whole
//! body. Here each word becomes a string that begins with [`MARK`], so that the body can be parsed after all. A field's own parser
//! refuses such a string, so a word costs its own candle, and in a field that is ignored it costs nothing.

use std::borrow::Cow;

/// A private character of Unicode. It stands at the beginning of a string only before a bare word, once [`escape_marks`] has
/// written all other strings that begin with it differently.
const MARK: char = '\u{e000}';

/// The text with its [`MARK`]s at the beginning of strings written as an escape, which means the same.
pub(super) fn escape_marks(text: &str) -> Cow<'_, str> {
    const MARKED: &str = "\"\u{e000}";
    if text.contains(MARKED) { Cow::Owned(text.replace(MARKED, "\"\\ue000")) } else { Cow::Borrowed(text) }
}

/// The bare word of which [`mark`] made the string `json`.
pub(super) fn marked_word(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_prefix(MARK)?.strip_suffix('"')
}

/// The text with its bare words marked; `None` if there are none, or if it is not nearly JSON apart from them.
pub(super) fn mark(text: &str) -> Option<String> {
    let mut scanner = Scanner { text, at: 0, marked: String::new(), copied: 0 };
    scanner.document()?;
    if scanner.marked.is_empty() {
        return None;
    }
    scanner.marked.push_str(&text[scanner.copied..]);
    Some(scanner.marked)
}

/// Walks through text that is nearly JSON. Each step is `None` where the text is not what it would have to be.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The new text so far, and how much of the old one it holds.
    marked: String,
    copied: usize,
}

impl Scanner<'_> {
    /// The next byte that is not a blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over `wanted` if it is next, and says whether it was.
    fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes over a whole value and marks the bare words in it. A loop and not a recursion, because any depth may be sent.
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
                // A field may lack its value, but a list that lacks an element has a comma too many, which is malformed.
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

    /// Passes over the name before a value, which stands in an object and not in a list.
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
            // Skips the escaped character, because a quote there does not end the string.
            self.at += self.text[self.at..].chars().next()?.len_utf8();
        }
    }

    /// Passes over a value that is not a string, a list or an object, and marks it if it is a bare word.
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

/// True for a word that may be meant as a value: one without blanks and colons, unless it is a time, which does not begin with a
/// colon. An empty one is a value that was left out.
fn is_value_like(word: &str) -> bool {
    let is_time =
        || !word.starts_with(':') && word.bytes().all(|byte| byte.is_ascii_digit() || b" .-:+TZ".contains(&byte));
    !word.contains(['/', MARK]) && (!word.contains([' ', ':']) || is_time())
}
