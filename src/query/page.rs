//! The bytes of a page, and the encoding of candles in JSON.

use std::ops::Range;

use bytes::Bytes;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::resample::BuiltCandles;
use super::{Encoding, Selection};
use crate::store::{Direction, StoreError, StoredCandle, StoredCandles};

/// A part of the stored candles or series, with the queries for the parts on either side.
#[derive(Debug, Clone)]
pub struct Page {
    /// A JSON array in some encoding: candles ascending by time, as klinecharts takes them, or series in their order.
    pub body: Bytes,
    /// The weak entity tag over everything that the answer says; the same in every encoding.
    pub etag: String,
    /// The query string for the rows before this page, if the request selects any.
    pub before: Option<String>,
    /// The query string for the rows after this page, if the request may select any.
    pub after: Option<String>,
    /// The opening times of the rows that the page leaves out, because they are not candles; in epoch milliseconds,
    /// separated by commas.
    pub skipped: Option<String>,
    /// The page holds everything that was stored before this time.
    pub(super) began: Instant,
}

/// The maximum number of rows left out of a page that its header names.
const MAX_SKIPPED: usize = 100;

impl Page {
    /// Encodes the rows that were read for `selection` since `began`, which are up to one more than its limit. Rows
    /// that are not candles are left out but count towards the limit, because an empty page would otherwise end the
    /// history.
    pub(super) fn new(selection: &Selection, candles: &StoredCandles, began: Instant) -> Self {
        let limit = selection.range.limit;
        let more = candles.len() > limit;
        let page = match selection.range.direction {
            Direction::Ascending => 0..candles.len().min(limit),
            Direction::Descending => candles.len().saturating_sub(limit)..candles.len(),
        };
        let skipped: Vec<_> = candles.unreadable_times(page.clone()).collect();
        Self::encode(selection, candles, page, more, &skipped, began)
    }

    /// Encodes the candles that were built for `selection` since `began`. Buckets without a candle count towards the
    /// limit, as rows that are not candles do.
    pub(super) fn of_built(selection: &Selection, built: &BuiltCandles, began: Instant) -> Self {
        Self::encode(selection, &built.candles, 0..built.candles.len(), built.more, &built.skipped, began)
    }

    /// Encodes the rows at the positions of `page`. `more` is true if there are further rows in the direction in
    /// which the limit counts.
    fn encode(
        selection: &Selection,
        candles: &StoredCandles,
        page: Range<usize>,
        more: bool,
        skipped: &[i64],
        began: Instant,
    ) -> Self {
        let (mut before, mut after) = (None, None);
        if more {
            match selection.range.direction {
                Direction::Ascending => after = candles.time(page.end - 1).map(|last| selection.after(last)),
                Direction::Descending => before = candles.time(page.start).map(|first| selection.before(first)),
            }
        }
        let mut body = Vec::with_capacity(length(candles.range(page.clone())));
        write(&mut body, candles.range(page));
        let skipped = Self::skipped_times(skipped);
        let etag = tag(&body, before.as_deref(), after.as_deref(), skipped.as_deref());
        Self { body: body.into(), etag, before, after, skipped, began }
    }

    /// The opening times of rows that are left out, in the form of [`Self::skipped`].
    pub(super) fn skipped_times(times: &[i64]) -> Option<String> {
        let times: Vec<_> = times.iter().take(MAX_SKIPPED).map(ToString::to_string).collect();
        (!times.is_empty()).then(|| times.join(","))
    }

    /// Returns the same page in another encoding.
    pub(super) fn encoded(&self, encoding: Encoding) -> Result<Self, StoreError> {
        let mut body = encoding.encode(&self.body).map_err(StoreError::internal)?;
        // The encoder reserves room for a body that does not get shorter.
        body.shrink_to_fit();
        Ok(Self { body: body.into(), ..self.clone() })
    }
}

/// A weak entity tag over a body, its links, and the rows that it leaves out.
pub(super) fn tag(body: &[u8], before: Option<&str>, after: Option<&str>, skipped: Option<&str>) -> String {
    let mut hash = Xxh3::new();
    for part in [Some(body), before.map(str::as_bytes), after.map(str::as_bytes)] {
        hash.update(part.unwrap_or_default());
        hash.update(&[u8::from(part.is_some())]);
    }
    hash.update(skipped.unwrap_or_default().as_bytes());
    format!("W/\"{:032x}\"", hash.digest128())
}

const START: &[u8] = br#""timestamp":"#;
const PRICES: [&[u8]; 4] = [br#","open":"#, br#","high":"#, br#","low":"#, br#","close":"#];
const VOLUME: &[u8] = br#","volume":"#;
const CLOSED: &[u8] = b"";
const FORMING: &[u8] = br#","complete":false"#;

/// Appends the fields of a candle, without the braces around them. Prices are JSON numbers with their stored digits.
/// Serializers cannot write such numbers, because they convert them to floats.
pub(crate) fn write_fields(json: &mut Vec<u8>, candle: StoredCandle<'_>) {
    let mut number = itoa::Buffer::new();
    json.extend_from_slice(START);
    json.extend_from_slice(number.format(candle.time).as_bytes());
    for (name, price) in PRICES.iter().zip(candle.prices) {
        json.extend_from_slice(name);
        json.extend_from_slice(price.as_bytes());
    }
    json.extend_from_slice(VOLUME);
    json.extend_from_slice(number.format(candle.volume).as_bytes());
    json.extend_from_slice(if candle.closed { CLOSED } else { FORMING });
}

/// Appends candles as a JSON array.
fn write<'a>(json: &mut Vec<u8>, candles: impl Iterator<Item = StoredCandle<'a>>) {
    json.push(b'[');
    for (position, candle) in candles.enumerate() {
        if position > 0 {
            json.push(b',');
        }
        json.push(b'{');
        write_fields(json, candle);
        json.push(b'}');
    }
    json.push(b']');
}

/// The number of bytes that [`write()`] writes, so that a cached page has no unused capacity.
fn length<'a>(candles: impl Iterator<Item = StoredCandle<'a>>) -> usize {
    let digits = |number: i64| {
        let minus = usize::from(number < 0);
        number.unsigned_abs().checked_ilog10().map_or(1, |power| power as usize + 1) + minus
    };
    let names = START.len() + PRICES.map(<[u8]>::len).iter().sum::<usize>() + VOLUME.len();
    let candle = |candle: StoredCandle<'_>| {
        let prices: usize = candle.prices.iter().map(|price| price.len()).sum();
        let end = if candle.closed { CLOSED } else { FORMING };
        names + digits(candle.time) + prices + digits(candle.volume) + end.len()
    };
    // Braces are around each candle. A comma follows each but the last one, which a bracket follows, and a bracket
    // precedes them all.
    candles.map(|each| candle(each) + 3).sum::<usize>().max(1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Selection;

    #[test]
    fn the_capacity_of_a_page_is_its_length() {
        let prices = ["0.00001", "-12", "1", "9999999999999999999999999999"];
        let candle = |time, volume, closed| StoredCandle { time, prices, volume, closed };
        let candles = [
            candle(0, 0, true),
            candle(-1, 9, false),
            candle(-62_135_596_800_000, 10, true),
            candle(99, i64::MAX, true),
        ];
        for count in 0..=candles.len() {
            let mut json = Vec::new();
            write(&mut json, candles[..count].iter().copied());
            assert_eq!(length(candles[..count].iter().copied()), json.len(), "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn a_tag_is_the_same_on_every_machine() {
        let selection = Selection::parse("symbol=EURUSD&timeframe=H1", 10).unwrap();
        assert_eq!(
            Page::new(&selection, &StoredCandles::default(), Instant::now()).etag,
            "W/\"822bf3f6858dea7b135b4f9b9bbba179\""
        );
    }
}
