//! How much one request may ask.

use std::ops::RangeInclusive;

use super::reader::Reader;

/// How much a request may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most candles in one post.
    pub max_batch: usize,
    /// Largest body of a post, in bytes.
    pub max_body_bytes: usize,
    /// Most candles in one answer.
    pub max_limit: usize,
}

/// Largest `MAX_BATCH`: by docs/performance.md it is stored in about a second where nothing else goes on, and a statement may
/// take 5 s.
const MAX_BATCH: usize = 100_000;
/// Largest `MAX_BODY_BYTES`: a candle is posted in 60 to 200 bytes, so that this holds [`MAX_BATCH`] of them. It is half of
/// the 32 MiB that bodies have in all.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Largest `MAX_LIMIT`: a candle is answered in some 100 bytes, so that a page is a quarter of the 40 MiB that answers have in
/// all.
const MAX_LIMIT: usize = 100_000;

impl Reader<'_> {
    pub(super) fn limits(&mut self) -> Limits {
        Limits {
            max_batch: self.bounded(
                "MAX_BATCH",
                10_000,
                1..=MAX_BATCH,
                "a larger batch might outlast the 5 s that a statement may take",
            ),
            max_body_bytes: self.bounded(
                "MAX_BODY_BYTES",
                4_194_304,
                1_024..=MAX_BODY_BYTES,
                "a larger body, and what it is parsed into, would take more memory than bodies have in all",
            ),
            max_limit: self.bounded(
                "MAX_LIMIT",
                10_000,
                1..=MAX_LIMIT,
                "a larger page would take most of the memory that answers have in all",
            ),
        }
    }

    /// As [`Self::size`], and says why there is an end.
    fn bounded(&mut self, name: &'static str, default: usize, allowed: RangeInclusive<usize>, reason: &str) -> usize {
        self.parsed(name, default, |text| {
            let size = text.parse().ok().filter(|size| allowed.contains(size));
            size.ok_or_else(|| {
                format!("must be a whole number from {} to {}: {reason}", allowed.start(), allowed.end())
            })
        })
    }
}
