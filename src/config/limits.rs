//! The limits on one request.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::Reader;

/// The limits on one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum number of candles in a post.
    pub max_batch: usize,
    /// The maximum size of a post's body, in bytes.
    pub max_body_bytes: usize,
    /// The maximum number of candles in an answer.
    pub max_limit: usize,
    /// The maximum number of exports at once.
    pub max_exports: usize,
    /// The maximum number of live streams at once.
    pub max_streams: usize,
    /// The maximum number of live streams of one key at once.
    pub max_streams_per_key: usize,
    /// The time within which live streams look at what other processes have written. No variable sets it.
    pub look_interval: Duration,
}

/// The maximum of `MAX_BATCH`. An otherwise idle database stores such a batch in about a second (docs/performance.md),
/// and a statement may take 5 s.
const MAX_BATCH: usize = 100_000;
/// The maximum of `MAX_BODY_BYTES`. A candle takes 60 to 200 bytes in a post, so a body of this size holds about
/// [`MAX_BATCH`] of them. It is half of the 32 MiB that all bodies share.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The maximum of `MAX_LIMIT`. A candle takes some 100 bytes in an answer, so a page of this size takes a quarter of
/// the 40 MiB that all answers share.
const MAX_LIMIT: usize = 100_000;
/// The maximum of `MAX_EXPORTS`. An export takes some 10 MiB of memory, and a core while its client takes it in at full speed.
const MAX_EXPORTS: usize = 16;
/// The maximum of `LIVE_MAX_STREAMS`, below the number of connections that the service accepts, so that streams cannot keep posts out.
const MAX_STREAMS: usize = 3_500;

/// The promise of the API: what another process has stored arrives within a second.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn limits(&mut self) -> Limits {
        let max_streams = self.bounded(
            "LIVE_MAX_STREAMS",
            1_000,
            1..=MAX_STREAMS,
            "more streams would leave too few connections to everybody else",
        );
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
                "a larger body would, with its parsed form, take more memory than all bodies share",
            ),
            max_limit: self.bounded(
                "MAX_LIMIT",
                10_000,
                1..=MAX_LIMIT,
                "a larger page would take most of the memory that all answers share",
            ),
            max_exports: self.bounded(
                "MAX_EXPORTS",
                2,
                1..=MAX_EXPORTS,
                "more exports at once would take more memory than the service promises to stay within",
            ),
            max_streams,
            max_streams_per_key: self.bounded(
                "LIVE_MAX_STREAMS_PER_KEY",
                max_streams,
                1..=max_streams,
                "all keys together have LIVE_MAX_STREAMS",
            ),
            look_interval: LOOK_INTERVAL,
        }
    }

    /// Like [`Self::size`], with the reason for the maximum in the message.
    fn bounded(&mut self, name: &'static str, default: usize, allowed: RangeInclusive<usize>, reason: &str) -> usize {
        self.parsed(name, default, |text| {
            let size = text.parse().ok().filter(|size| allowed.contains(size));
            size.ok_or_else(|| {
                format!("must be a whole number from {} to {}: {reason}", allowed.start(), allowed.end())
            })
        })
    }
}
