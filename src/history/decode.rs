//! Converts texts to UTF-8, from the encoding that the mark at their start (BOM) or the user names.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// The number of bytes that are decoded at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The encoding that a name means, such as `utf-16le` or `windows-1252`.
pub(super) fn encoding(name: &str) -> Option<&'static Encoding> {
    Encoding::for_label(name.as_bytes())
}

/// The encoding that the mark at the start of a text names, and the length of the mark.
fn by_mark(start: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(start)
}

/// A text in UTF-8, without its mark.
pub(super) struct Decoded {
    inner: Box<dyn Read + Send>,
    /// `None` if the bytes are in UTF-8 already.
    decoder: Option<Decoder>,
    encoding: &'static Encoding,
    input: Vec<u8>,
    /// The part of `input` that was not decoded yet.
    pending: std::ops::Range<usize>,
    output: Vec<u8>,
    given: usize,
    ended: bool,
    /// The number of bytes before `pending`, for errors.
    consumed: u64,
}

impl Decoded {
    /// Decodes `inner` by its mark, or by `given` if it has none.
    ///
    /// # Errors
    /// When the start cannot be read, looks like UTF-16 without a mark, or has a mark of another encoding than `given`.
    pub(super) fn new(mut inner: Box<dyn Read + Send>, given: Option<&'static Encoding>) -> io::Result<Self> {
        let mut input = vec![0; CHUNK_BYTES];
        let filled = fill(&mut inner, &mut input[..4096])?;
        let start = &input[..filled];
        let (encoding, mark) = match (by_mark(start), given) {
            (Some((marked, mark)), None) => (marked, mark),
            (Some((marked, mark)), Some(given)) if marked == given => (marked, mark),
            (Some((marked, _)), Some(_)) => {
                return Err(io::Error::other(format!(
                    "its first bytes say that it is in {}; leave --encoding out",
                    marked.name()
                )));
            }
            (None, Some(given)) => (given, 0),
            (None, None) => {
                let zeros = |odd: usize| start.iter().skip(odd).step_by(2).take(64).filter(|&&byte| byte == 0).count();
                let name = [(1, "utf-16le"), (0, "utf-16be")].into_iter().find(|&(odd, _)| zeros(odd) > 16);
                if let Some((odd, name)) = name
                    && zeros(1 - odd) == 0
                {
                    return Err(io::Error::other(format!(
                        "it looks like UTF-16 without a mark; say so with --encoding {name}"
                    )));
                }
                (UTF_8, 0)
            }
        };
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Ok(Self {
            inner,
            decoder,
            encoding,
            input,
            pending: mark..filled,
            output: Vec::new(),
            given: 0,
            ended: false,
            consumed: mark as u64,
        })
    }

    /// The encoding, for people.
    pub(super) fn encoding_name(&self) -> String {
        if self.encoding == UTF_16LE || self.encoding == UTF_16BE {
            return self.encoding.name().replace("LE", " LE").replace("BE", " BE");
        }
        self.encoding.name().to_owned()
    }

    /// Decodes some more into `output`.
    fn decode(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        while self.output.is_empty() && !self.ended {
            if self.pending.is_empty() {
                let read = fill(&mut self.inner, &mut self.input)?;
                self.pending = 0..read;
            }
            let last = self.pending.is_empty();
            let source = &self.input[self.pending.clone()];
            let room = decoder.max_utf8_buffer_length_without_replacement(source.len()).unwrap_or(4 * CHUNK_BYTES);
            self.output.resize(room, 0);
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(source, &mut self.output, last);
            self.output.truncate(written);
            self.pending.start += read;
            self.consumed += read as u64;
            self.ended = last && result == DecoderResult::InputEmpty;
            if let DecoderResult::Malformed(..) = result {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "it is not {} at byte {}; say its encoding with --encoding",
                        self.encoding.name(),
                        self.consumed
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() {
            if self.pending.is_empty() {
                return self.inner.read(buffer);
            }
            let given = self.pending.len().min(buffer.len());
            buffer[..given].copy_from_slice(&self.input[self.pending.start..self.pending.start + given]);
            self.pending.start += given;
            return Ok(given);
        }
        if self.given == self.output.len() && !self.ended {
            self.decode()?;
        }
        let rest = &self.output[self.given..];
        let given = rest.len().min(buffer.len());
        buffer[..given].copy_from_slice(&rest[..given]);
        self.given += given;
        Ok(given)
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A source that returns its bytes in pieces of a given length.
    struct Pieces(Vec<u8>, usize, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let given = self.2.min(buffer.len()).min(self.0.len() - self.1);
            buffer[..given].copy_from_slice(&self.0[self.1..self.1 + given]);
            self.1 += given;
            Ok(given)
        }
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    fn decoded(bytes: Vec<u8>, piece: usize, given: Option<&str>) -> Result<(String, String), String> {
        let given = given.map(|name| encoding(name).unwrap());
        let mut decoded = Decoded::new(Box::new(Pieces(bytes, 0, piece)), given).map_err(|error| error.to_string())?;
        let mut text = String::new();
        decoded.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok((text, decoded.encoding_name()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn utf16_may_be_cut_anywhere(text in "[a-zé€😀0-9\t\r\n]{0,40}", piece in 1_usize..9, little: bool) {
            let expected = if little { "UTF-16 LE" } else { "UTF-16 BE" };
            prop_assert_eq!(decoded(utf16(&text, little), piece, None).unwrap(), (text, expected.to_owned()));
        }
    }

    #[test]
    fn long_texts_are_decoded_in_chunks() {
        let text = "2025.08.04\t00:01:00\t1,5\r\n".repeat(20_000);
        assert_eq!(decoded(utf16(&text, true), 7777, None).unwrap().0, text);
        assert_eq!(decoded(text.clone().into_bytes(), 7777, None).unwrap(), (text, "UTF-8".to_owned()));
    }

    #[test]
    fn marks_and_names_say_the_encoding() {
        assert_eq!(decoded(b"\xef\xbb\xbfa".to_vec(), 1, None).unwrap().0, "a");
        assert_eq!(decoded(b"\xe4\x80".to_vec(), 1, Some("windows-1252")).unwrap().0, "ä€");
        assert_eq!(decoded(b"".to_vec(), 1, None).unwrap().0, "");
        let bare: Vec<u8> = utf16(&"1.5;".repeat(20), true)[2..].to_vec();
        assert!(decoded(bare.clone(), 9, None).unwrap_err().contains("--encoding utf-16le"));
        assert_eq!(decoded(bare, 9, Some("utf-16le")).unwrap().0, "1.5;".repeat(20));
        assert!(decoded(utf16("a", true), 9, Some("windows-1252")).unwrap_err().contains("leave --encoding out"));
        let mut cut = utf16("ab", true);
        cut.pop();
        assert!(decoded(cut, 9, None).unwrap_err().contains("is not UTF-16LE"));
    }
}
