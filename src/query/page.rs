//! A page of candles in the bytes in which it is answered.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::Selection;
use crate::store::{Direction, StoredCandle, StoredCandles};

/// Candles as klinecharts takes them, and whether there are more on either side.
#[derive(Debug, Clone)]
pub struct Page {
    /// A JSON array, ascending by time.
    pub body: String,
    /// Weak entity tag over everything that the answer says.
    pub etag: String,
    /// The query string for the candles before this page, if the request selects any.
    pub before: Option<String>,
    /// The query string for the candles after this page, if the request selects any.
    pub after: Option<String>,
}

impl Page {
    /// Encodes what was read for `selection` with one candle more than its limit, if there were so many.
    pub(super) fn new(selection: &Selection, candles: &StoredCandles) -> Self {
        let limit = selection.range.limit;
        let more = candles.len() > limit;
        let page = match selection.range.direction {
            Direction::Up => 0..candles.len().min(limit),
            Direction::Down => candles.len().saturating_sub(limit)..candles.len(),
        };
        let (mut before, mut after) = (None, None);
        if more {
            match selection.range.direction {
                Direction::Up => after = candles.get(page.end - 1).map(|last| selection.after(last.time)),
                Direction::Down => before = candles.get(page.start).map(|first| selection.before(first.time)),
            }
        }
        let body = encode(page.len(), candles.range(page));
        let mut digest = Sha256::new();
        for part in [Some(&body), before.as_ref(), after.as_ref()] {
            digest.update(part.map_or(&[][..], |part| part.as_bytes()));
            digest.update([u8::from(part.is_some())]);
        }
        let etag = format!("W/\"{}\"", hex::encode(&digest.finalize()[..16]));
        Self { body, etag, before, after }
    }
}

/// Writes prices as JSON numbers with the digits they are stored with: no serializer does, they go through floats.
fn encode<'a>(count: usize, candles: impl Iterator<Item = StoredCandle<'a>>) -> String {
    const USUAL_LENGTH: usize = 110;
    let mut json = String::with_capacity(2 + count * USUAL_LENGTH);
    json.push('[');
    for (position, candle) in candles.enumerate() {
        if position > 0 {
            json.push(',');
        }
        let StoredCandle { time, prices: [open, high, low, close], volume, closed } = candle;
        let _ = write!(
            json,
            r#"{{"timestamp":{time},"open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}"#
        );
        json.push_str(if closed { "}" } else { r#","complete":false}"# });
    }
    json.push(']');
    json
}
