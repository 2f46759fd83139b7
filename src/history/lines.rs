//! The lines of a text, one after the other in the same memory.

use std::io::{self, Read};

/// The maximum length of a line in bytes. No line of candles is near it.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;
/// The number of bytes that are read at once.
const BUFFER_BYTES: usize = 4 * MAX_LINE_BYTES;

/// A line, without its line ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// It is longer than [`MAX_LINE_BYTES`].
    TooLong,
}

/// Reads a text line by line.
pub(super) struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not returned yet.
    filled: std::ops::Range<usize>,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER_BYTES], filled: 0..0, ended: false }
    }

    /// The first whole lines that were not returned yet, up to [`MAX_LINE_BYTES`].
    pub(super) fn head(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.filled.len() < MAX_LINE_BYTES {
            self.fill()?;
        }
        let head = &self.buffer[self.filled.clone()];
        let head = &head[..head.len().min(MAX_LINE_BYTES)];
        if self.ended && self.filled.len() <= MAX_LINE_BYTES {
            return Ok(head);
        }
        Ok(&head[..memchr::memrchr(b'\n', head).map_or(head.len(), |end| end + 1)])
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        loop {
            let rest = &self.buffer[self.filled.start + searched..self.filled.end];
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let (start, end) = (self.filled.start, self.filled.start + searched + at);
                self.filled.start = end + 1;
                let line = &self.buffer[start..end];
                return Ok(Some(Self::text(line)));
            }
            searched = self.filled.len();
            if self.ended {
                let line = self.filled.clone();
                self.filled = 0..0;
                return Ok((!line.is_empty()).then(|| Self::text(&self.buffer[line])));
            }
            if searched > MAX_LINE_BYTES {
                return self.skip_line().map(|()| Some(Line::TooLong));
            }
            self.fill()?;
        }
    }

    fn text(line: &[u8]) -> Line<'_> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE_BYTES { Line::TooLong } else { Line::Text(line) }
    }

    /// Drops everything up to the end of the line.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            self.filled = 0..0;
            if self.ended {
                return Ok(());
            }
            self.fill()?;
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.filled.clone()]) {
                self.filled.start += at + 1;
                return Ok(());
            }
        }
    }

    /// Reads once, and appends to the buffer.
    fn fill(&mut self) -> io::Result<()> {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        match self.inner.read(&mut self.buffer[self.filled.end..]) {
            Ok(0) => self.ended = true,
            Ok(read) => self.filled.end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads as many bytes as `record` has, for files that have no lines. Returns the number of bytes.
    pub(super) fn record(&mut self, record: &mut [u8]) -> io::Result<usize> {
        while !self.ended && self.filled.len() < record.len() {
            self.fill()?;
        }
        let length = record.len().min(self.filled.len());
        record[..length].copy_from_slice(&self.buffer[self.filled.start..self.filled.start + length]);
        self.filled.start += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Option<String>> {
        let mut lines = Lines::new(text);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                Line::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                Line::TooLong => None,
            });
        }
        found
    }

    #[test]
    fn lines_end_in_any_way() {
        let text = |line: &str| Some(line.to_owned());
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\r\n\nb"), [text("a"), text(""), text("b")]);
        assert_eq!(lines(b"a\n"), [text("a")]);
        let long = vec![b'x'; 10 * MAX_LINE_BYTES];
        assert_eq!(lines(&[b"a\n", &long[..], b"\nb\n"].concat()), [text("a"), None, text("b")]);
        assert_eq!(lines(&long), [None]);
        let many = "12345678\r\n".repeat(100_000);
        assert_eq!(lines(many.as_bytes()).len(), 100_000);
    }

    #[test]
    fn the_head_is_whole_lines_and_is_given_again() {
        let many = "1234567\n".repeat(100_000);
        let mut lines = Lines::new(many.as_bytes());
        assert_eq!(lines.head().unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(lines.next().unwrap(), Some(Line::Text(b"1234567")));
        let mut lines = Lines::new(&b"a\nbc"[..]);
        assert_eq!(lines.head().unwrap(), b"a\nbc");
        let mut record = [0; 3];
        assert_eq!(lines.record(&mut record).unwrap(), 3);
        let rest = lines.record(&mut record).unwrap();
        assert_eq!((&record[..1], rest), (&b"c"[..], 1));
    }
}
