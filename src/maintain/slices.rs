//! Divides the candles of a span into slices, so that a large deletion holds no lock for long.

use crate::store::{Matched, Span, Store, StoreError};

/// The slices of a span, oldest first. Each holds at least one candle, and at most a given number.
#[derive(Debug)]
pub(crate) struct Slices<'s> {
    store: &'s Store,
    rest: Span,
    most: usize,
}

impl<'s> Slices<'s> {
    /// Divides `span` into slices of at most `most` candles.
    pub(crate) fn of(store: &'s Store, span: Span, most: usize) -> Self {
        Self { store, rest: span, most }
    }

    /// The next slice and what it holds.
    pub(crate) async fn next(&mut self) -> Result<Option<(Span, Matched)>, StoreError> {
        let mut matched = self.store.matched(self.rest.clone(), self.most).await?;
        let Some(first) = matched.first else { return Ok(None) };
        let mut slice = self.rest.clone();
        if matched.candles() > self.most as u64 {
            // The first attempt is a span of as many periods as candles are allowed. Rows of other programs may be
            // closer together.
            let period = self.rest.key.timeframe.length().unwrap_or(28 * 86_400) * 1000;
            let mut length = period.saturating_mul(i64::try_from(self.most).unwrap_or(i64::MAX));
            loop {
                slice.end = first.saturating_add(length).min(self.rest.end);
                matched = self.store.matched(slice.clone(), self.most).await?;
                if matched.candles() <= self.most as u64 || length == 1 {
                    break;
                }
                length = (length / 2).max(1);
            }
        }
        self.rest.start = slice.end;
        Ok(Some((slice, matched)))
    }
}
