//! The newest candles of series, and the encoding of the answer.

use tokio::time::Instant;

use super::page::{Page, tag, write_fields};
use super::series::{MAX_BYTES_A_SERIES, after, max_series};
use crate::store::{LatestPage, SeriesSelection, StoreError};

/// The maximum number of bytes of memory that a list takes while it is read and written.
pub(super) fn max_bytes(selection: &SeriesSelection) -> usize {
    /// The bytes of four prices of at most 64 characters, once as they were read and once as JSON, and of the text
    /// around them.
    const MAX_BYTES_A_CANDLE: usize = 2 * 4 * 64 + 256;
    max_series(selection) * (MAX_BYTES_A_SERIES + MAX_BYTES_A_CANDLE)
}

/// Encodes the candles that were read for `selection` since `began`. Leaves out series whose newest row is not a candle.
pub(super) fn page(selection: &SeriesSelection, list: &LatestPage, began: Instant) -> Result<Page, StoreError> {
    let mut body = vec![b'['];
    let mut number = itoa::Buffer::new();
    for (candle, latest) in list.candles.iter().filter_map(|latest| Some((latest.candle()?, latest))) {
        body.extend_from_slice(if body.len() > 1 { br#",{"symbol":"# } else { br#"{"symbol":"# });
        serde_json::to_writer(&mut body, latest.key.symbol.as_str()).map_err(StoreError::internal)?;
        body.extend_from_slice(br#","timeframe":""#);
        body.extend_from_slice(latest.key.timeframe.name().as_bytes());
        body.extend_from_slice(br#"","#);
        write_fields(&mut body, candle);
        body.extend_from_slice(br#","received":"#);
        body.extend_from_slice(latest.received.map_or("null", |received| number.format(received)).as_bytes());
        body.push(b'}');
    }
    body.push(b']');
    body.shrink_to_fit();
    let after = list.next.as_ref().map(|last| after(selection, false, last));
    let etag = tag(&body, None, after.as_deref(), None);
    Ok(Page { body: body.into(), etag, before: None, after, skipped: None, began })
}
