//! Words that stand in a body where JSON wants a value: `nan`, `1.#QNAN`, `None`, `+1.5`, `EURUSD` without quotes.
//!
//! A terminal that prints a number without looking at it sends such a word, and a JSON parser gives up on the whole body. Here
//! each word becomes a string that begins with [`MARK`], so that the body can be parsed after all and the value's own parser
//! refuses exactly that value. Only values that a parser looks at are marked: a body that has a bare word anywhere else stays
//! malformed, so nothing that is not JSON is accepted.

/// A private character of Unicode, which no value may begin with.
pub(super) const MARK: char = '\u{e000}';

/// The fields of a candle, of which those of [`DEFAULTS`] may stand beside `candles` too.
const FIELDS: [&str; 13] = [
    "symbol",
    "timeframe",
    "timestamp",
    "time",
    "unit",
    "utc_offset",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "tick_volume",
    "complete",
];
const DEFAULTS: [&str; 4] = ["symbol", "timeframe", "unit", "utc_offset"];

/// The text with its bare words marked; `None` if there are none, or if it is not nearly JSON apart from them.
pub(super) fn mark(text: &str) -> Option<String> {
    let mut scanner = Scanner { text, at: 0, marked: String::new(), copied: 0 };
    scanner.object(|scanner, field| match field {
        "candles" if scanner.next_is(b'[') => scanner.list(|scanner| {
            if !scanner.next_is(b'{') {
                return scanner.skip_value();
            }
            scanner.object(
                |scanner, field| if FIELDS.contains(&field) { scanner.field_value() } else { scanner.skip_value() },
            )
        }),
        field if DEFAULTS.contains(&field) => scanner.field_value(),
        _ => scanner.skip_value(),
    })?;
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

impl<'a> Scanner<'a> {
    /// The next byte that is not a blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.text.as_bytes().get(self.at).copied()
    }

    fn next_is(&mut self, wanted: u8) -> bool {
        self.peek() == Some(wanted)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.next_is(wanted).then(|| self.at += 1)
    }

    fn object(&mut self, mut value: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        self.elements(b'}', |scanner| {
            let field = scanner.string()?;
            scanner.take(b':')?;
            value(scanner, field)
        })
    }

    fn list(&mut self, element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        self.elements(b']', element)
    }

    fn elements(&mut self, end: u8, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.take(end).is_some() {
            return Some(());
        }
        loop {
            element(self)?;
            if self.take(end).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    /// The text between the quotes of a string, as it is written.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))? + 1;
            if self.text.as_bytes()[self.at - 1] == b'"' {
                return Some(&self.text[start..self.at - 1]);
            }
            // Whatever is escaped, a quote above all.
            self.at += self.text[self.at..].chars().next()?.len_utf8();
        }
    }

    /// Passes over a value that nobody looks at. In it a bare word is malformed, which the parser says.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' if depth == 0 => return None,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    let end = self.end_of_word();
                    if end == self.at {
                        return None;
                    }
                    self.at = end;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes over the value of a field that is parsed, and marks it if it is a bare word.
    fn field_value(&mut self) -> Option<()> {
        if matches!(self.peek()?, b'"' | b'{' | b'[') {
            return self.skip_value();
        }
        let end = self.end_of_word();
        let word = self.text[self.at..end].trim_end();
        if serde_json::from_str::<serde::de::IgnoredAny>(word).is_err() {
            if !is_value_like(word) {
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

/// True for a word that may be meant as a value: one without blanks and colons, unless it is a time. An empty one is a value that was
/// left out.
fn is_value_like(word: &str) -> bool {
    let is_time = || word.bytes().all(|byte| byte.is_ascii_digit() || b" .-:+TZ".contains(&byte));
    !word.contains(['/', MARK]) && (!word.contains([' ', ':']) || is_time())
}
