//! A line as its fields. Nothing is allocated: fields are slices of the line.

use std::borrow::Cow;

use memchr::memchr;

/// The maximum number of fields that are looked at. A line with more is not of any dialect.
pub const MAX_FIELDS: usize = 96;

/// The fields of a line.
#[derive(Debug)]
pub struct Fields<'a> {
    fields: [&'a [u8]; MAX_FIELDS],
    count: usize,
}

/// The reason for which a line cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError {
    /// A quote opens a field and none closes it, or something follows the closing one.
    Quotes,
    /// There are more than [`MAX_FIELDS`].
    TooMany,
}

impl std::fmt::Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quotes => f.write_str("has a quote that is not closed at the end of its field"),
            Self::TooMany => write!(f, "has more than {MAX_FIELDS} fields"),
        }
    }
}

impl std::error::Error for SplitError {}

impl<'a> Fields<'a> {
    /// Splits a line at `delimiter`. Quotes around a field or around the whole line, and blanks around a field, are not
    /// part of it.
    ///
    /// ```
    /// use dialects::Fields;
    ///
    /// let fields = Fields::split(b"\"EUR,USD\", 1.1 ,,2", b',').unwrap();
    /// assert_eq!(fields.as_slice(), [&b"EUR,USD"[..], b"1.1", b"", b"2"]);
    /// assert_eq!(Fields::split(b"\"1,2\"", b',').unwrap().as_slice(), [b"1", b"2"]);
    /// ```
    ///
    /// # Errors
    /// When a quote is not closed, or there are too many fields.
    pub fn split(line: &'a [u8], delimiter: u8) -> Result<Self, SplitError> {
        if line.first() == Some(&b'"') && line.len() > 1 && memchr(b'"', &line[1..]) == Some(line.len() - 2) {
            return Self::split_at(&line[1..line.len() - 1], delimiter);
        }
        Self::split_at(line, delimiter)
    }

    fn split_at(line: &'a [u8], delimiter: u8) -> Result<Self, SplitError> {
        let mut fields: [&[u8]; MAX_FIELDS] = [&[]; MAX_FIELDS];
        let mut count = 0;
        let mut rest = line;
        loop {
            if count == MAX_FIELDS {
                return Err(SplitError::TooMany);
            }
            if let Some(quoted) = opening_quote(rest, delimiter) {
                let end = closing_quote(quoted).ok_or(SplitError::Quotes)?;
                fields[count] = quoted[..end].trim_ascii();
                count += 1;
                let behind = trim_start(&quoted[end + 1..], delimiter);
                match behind.first() {
                    None => break,
                    Some(&next) if next == delimiter => rest = &behind[1..],
                    Some(_) => return Err(SplitError::Quotes),
                }
                continue;
            }
            let end = memchr(delimiter, rest);
            fields[count] = rest[..end.unwrap_or(rest.len())].trim_ascii();
            count += 1;
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => break,
            }
        }
        Ok(Self { fields, count })
    }

    /// All fields.
    #[must_use]
    pub fn as_slice(&self) -> &[&'a [u8]] {
        &self.fields[..self.count]
    }

    /// The fields without empty ones at the end, which spreadsheets append.
    #[must_use]
    pub fn without_empty_end(&self) -> &[&'a [u8]] {
        let used = self.as_slice().iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        &self.fields[..used]
    }

    /// A field, empty if the line ends before it.
    #[must_use]
    pub fn get(&self, at: usize) -> &'a [u8] {
        self.as_slice().get(at).copied().unwrap_or_default()
    }
}

/// The text after an opening quote, if the next field has one.
fn opening_quote(rest: &[u8], delimiter: u8) -> Option<&[u8]> {
    match rest.first()? {
        b'"' => Some(&rest[1..]),
        b' ' => trim_start(rest, delimiter).strip_prefix(b"\""),
        _ => None,
    }
}

/// The text without blanks at its start, of which a tab is none if it delimits.
fn trim_start(text: &[u8], delimiter: u8) -> &[u8] {
    let start = text.iter().position(|&byte| byte == delimiter || !byte.is_ascii_whitespace());
    &text[start.unwrap_or(text.len())..]
}

/// The position of the quote that ends a field; two of them stand for one inside it.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr(b'"', &quoted[at..])?;
        if quoted.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The text of a field that people read, such as a header's name.
pub(crate) fn text(field: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(field)
}

/// A field as an error shows it: shortened, and without what cannot be printed.
pub(crate) fn quoted(field: &[u8]) -> String {
    const MAX_CHARS: usize = 40;
    if field.is_empty() {
        return "empty".to_owned();
    }
    let text = text(field);
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str, delimiter: u8) -> Result<Vec<String>, SplitError> {
        let fields = Fields::split(line.as_bytes(), delimiter)?;
        Ok(fields.as_slice().iter().map(|field| text(field).into_owned()).collect())
    }

    #[test]
    fn quotes_blanks_and_empty_fields() {
        assert_eq!(split("", b',').unwrap(), [""]);
        assert_eq!(split("a\t\tb\t", b'\t').unwrap(), ["a", "", "b", ""]);
        assert_eq!(split("\"a\";\"b;c\" ; d", b';').unwrap(), ["a", "b;c", "d"]);
        assert_eq!(split("\"a\"\"b\",c", b',').unwrap(), ["a\"\"b", "c"]);
        assert_eq!(split("\"a\tb\"\tc", b'\t').unwrap(), ["a\tb", "c"]);
        assert_eq!(split("\"a,b", b','), Err(SplitError::Quotes));
        assert_eq!(split("\"a\"b,c", b','), Err(SplitError::Quotes));
        assert_eq!(split(&",".repeat(MAX_FIELDS), b','), Err(SplitError::TooMany));
        let fields = Fields::split(b"1,,2,,", b',').unwrap();
        assert_eq!(fields.without_empty_end(), [&b"1"[..], b"", b"2"]);
        assert_eq!(fields.get(99), b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn fields_without_quotes_are_split_as_text(line in "[a-z0-9,;\t.]{0,60}") {
            for delimiter in [b',', b';', b'\t'] {
                let expected: Vec<_> =
                    line.split(char::from(delimiter)).map(|field| field.trim_ascii().to_owned()).collect();
                prop_assert_eq!(split(&line, delimiter).unwrap(), expected);
            }
        }
    }
}
