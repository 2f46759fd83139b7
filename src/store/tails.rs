//! The newest candles of many series, and the newest entries of the record of changes: what a look at everything that is watched
//! reads, in statements whose cost does not depend on the length of the series.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::series::{END_TIME_MILLISECONDS, FIRST_TIME_MILLISECONDS, SeriesKey};
use super::{Database, Direction, Range, Store, StoreError, StoredCandles, either};
use candle::{Batch, Candle};

/// The maximum number of series of one statement.
pub const MAX_TAILS: usize = 500;
/// The newest closed and the newest forming candles that are read of each series.
pub(super) const CLOSED_OF_TAIL: usize = 3;
pub(super) const FORMING_OF_TAIL: usize = 2;
/// The maximum number of entries of a part of the record.
const MAX_ENTRIES_AT_ONCE: usize = 1_000;

/// The newest candles of a series.
#[derive(Debug, Clone)]
pub struct SeriesTail {
    /// Ascending, one for each time.
    pub candles: StoredCandles,
    /// No candle that opened then or later is missing, in epoch milliseconds; `i64::MIN` if the series has no others.
    pub complete_from: i64,
}

/// A row of a tail as it is read.
#[derive(Debug)]
pub(super) struct TailRow {
    /// Opening time in epoch milliseconds.
    pub(super) time: i64,
    pub(super) is_closed: bool,
    /// The line of the row, as [`StoredCandles::of_lines`] takes it.
    pub(super) line: String,
}

impl SeriesTail {
    /// Puts the rows of both tables together. A closed candle hides the forming one with its time.
    pub(super) fn of_rows(mut rows: Vec<TailRow>) -> Result<Self, StoreError> {
        let oldest = |is_closed: bool, most: usize| {
            let times = rows.iter().filter(|row| row.is_closed == is_closed).map(|row| row.time);
            if times.clone().count() < most { i64::MIN } else { times.min().unwrap_or(i64::MIN) }
        };
        let complete_from = oldest(true, CLOSED_OF_TAIL).max(oldest(false, FORMING_OF_TAIL));
        rows.sort_by_key(|row| (row.time, !row.is_closed));
        rows.dedup_by_key(|row| row.time);
        let text = rows.iter().map(|row| &*row.line).collect::<Vec<_>>().join("\n");
        let candles = StoredCandles::of_lines(rows.iter().map(|row| row.time), text)?;
        Ok(Self { candles, complete_from })
    }

    /// The newest candles of a page that was read from its end.
    fn of_page(candles: StoredCandles, most: usize) -> Self {
        let complete_from = if candles.len() < most { i64::MIN } else { candles.time(0).unwrap_or(i64::MIN) };
        Self { candles, complete_from }
    }
}

/// The place in the record from which it is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Only changes after this time, in epoch milliseconds.
    pub at: i64,
    /// Or at it, with a higher id.
    pub id: i64,
}

/// An entry of the record that concerns what streams have sent: a correction, a deletion or an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// The place of the entry.
    pub place: RecordPlace,
    /// `correction`, `deletion`, `retention` or `import`.
    pub kind: String,
    /// The instrument, as it is stored.
    pub symbol: String,
    /// The length of the period, as it is stored.
    pub timeframe: String,
    /// Opening time of the first candle, in epoch milliseconds.
    pub first: i64,
    /// Opening time of the last candle.
    pub last: i64,
}

/// A part of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChanges {
    /// The database's time of this read, in epoch milliseconds.
    pub now: i64,
    /// In the order of their places.
    pub changes: Vec<RecordedChange>,
    /// The place to go on from, if there may be more.
    pub next: Option<RecordPlace>,
}

/// The spans of closed candles that this process has added to series, kept only while somebody listens. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedSpans(Arc<Spans>);

#[derive(Debug, Default)]
struct Spans {
    is_wanted: AtomicBool,
    /// Opening times of the first and the last candle of each series, in epoch milliseconds.
    spans: Mutex<HashMap<SeriesKey, (i64, i64)>>,
}

impl AddedSpans {
    pub(super) fn are_wanted(&self) -> bool {
        self.0.is_wanted.load(Ordering::Relaxed)
    }

    fn want(&self, is_wanted: bool) {
        if self.0.is_wanted.swap(is_wanted, Ordering::Relaxed) && !is_wanted {
            drop(self.take());
        }
    }

    pub(super) fn add<'c>(&self, candles: impl IntoIterator<Item = &'c Candle>) {
        let mut spans = self.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for Candle { key, .. } in candles {
            let time = key.time().millis();
            let series = SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() };
            let (first, last) = spans.entry(series).or_insert((time, time));
            (*first, *last) = ((*first).min(time), (*last).max(time));
        }
    }

    /// Adds the first and the last closed candle of each series of a batch of which it is not known which were new.
    pub(super) fn add_ends(&self, batch: &Batch) {
        let series = batch.closed().chunk_by(|one, next| one.key.same_series(&next.key));
        self.add(series.flat_map(|candles| candles.first().into_iter().chain(candles.last())));
    }

    fn take(&self) -> HashMap<SeriesKey, (i64, i64)> {
        std::mem::take(&mut *self.0.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store {
    /// Says whether [`Self::take_added`] will be called. Until then nothing is kept for it.
    pub fn keep_added(&self, is_wanted: bool) {
        self.added.want(is_wanted);
    }

    /// The opening times of the first and the last closed candle that this process has added to each series since the last call, in
    /// epoch milliseconds. Of a large batch that added something, all candles count.
    #[must_use]
    pub fn take_added(&self) -> HashMap<SeriesKey, (i64, i64)> {
        self.added.take()
    }

    /// Waits for the end of a write of this process that has not been waited for yet. Only one task may wait.
    pub async fn written(&self) {
        self.versions.written().await;
    }

    /// Reads the newest candles of at most [`MAX_TAILS`] series, closed and forming ones, in the order of `keys`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tails(&self, keys: &[SeriesKey]) -> Result<Vec<SeriesTail>, StoreError> {
        let tails = match &self.database {
            Database::Postgres(postgres) if postgres.is_distributed()? => self.tails_one_by_one(keys).await?,
            _ => self.measured("tails", async { either!(self, store => store.tails(keys.to_vec()).await) }).await?,
        };
        for (key, tail) in keys.iter().zip(&tails) {
            self.unreadable.report(&key.symbol, key.timeframe, tail.candles.unreadable());
        }
        Ok(tails)
    }

    /// A statement for each series, because Citus sends a statement to one server only if it names one symbol.
    async fn tails_one_by_one(&self, keys: &[SeriesKey]) -> Result<Vec<SeriesTail>, StoreError> {
        let mut tails = Vec::with_capacity(keys.len());
        for key in keys {
            tails.push(self.newest_candles(key, CLOSED_OF_TAIL + FORMING_OF_TAIL).await?);
        }
        Ok(tails)
    }

    /// Reads the newest `most` candles of a series.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn newest_candles(&self, key: &SeriesKey, most: usize) -> Result<SeriesTail, StoreError> {
        let range = Range { direction: Direction::Descending, limit: most, ..Self::whole(key) };
        Ok(SeriesTail::of_page(self.range(range).await?, most))
    }

    /// Reads the candles of a series from an opening time in epoch milliseconds on, at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn candles_from(&self, key: &SeriesKey, start: i64, most: usize) -> Result<StoredCandles, StoreError> {
        let start = start.max(FIRST_TIME_MILLISECONDS);
        self.range(Range { start, limit: most, ..Self::whole(key) }).await
    }

    fn whole(SeriesKey { symbol, timeframe }: &SeriesKey) -> Range {
        Range {
            symbol: symbol.clone(),
            timeframe: *timeframe,
            start: FIRST_TIME_MILLISECONDS,
            end: END_TIME_MILLISECONDS,
            direction: Direction::Ascending,
            limit: 0,
        }
    }

    /// Reads the corrections, deletions (by retention too) and imports of these series after a place of the record. A change may become visible
    /// after others that have a later place, so ask from a minute before the last answer on.
    ///
    /// # Errors
    /// When the database cannot be read, or has no record yet.
    pub async fn changes_since(&self, after: RecordPlace, keys: &[SeriesKey]) -> Result<RecordedChanges, StoreError> {
        let limit = MAX_ENTRIES_AT_ONCE;
        let read = async { either!(self, store => store.changes_since(after, keys.to_vec(), limit).await) };
        let (now, changes) = self.measured("changes_since", read).await?;
        let next = changes.last().map(|change| change.place).filter(|_| changes.len() == limit);
        Ok(RecordedChanges { now, changes, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_complete_from_the_oldest_row_of_a_table_that_may_have_more() {
        let tail = |rows: &[(i64, bool)]| {
            let row = |&(time, is_closed): &(i64, bool)| TailRow {
                time,
                is_closed,
                line: format!("1 1 1 1 0 {}", u8::from(is_closed)),
            };
            let tail = SeriesTail::of_rows(rows.iter().map(row).collect()).unwrap();
            let candles = tail.candles.range(0..tail.candles.len()).map(|candle| (candle.time, candle.closed));
            (candles.collect::<Vec<_>>(), tail.complete_from)
        };
        assert_eq!(tail(&[]), (vec![], i64::MIN));
        assert_eq!(tail(&[(3, true), (2, true), (4, false)]), (vec![(2, true), (3, true), (4, false)], i64::MIN));
        assert_eq!(tail(&[(3, true), (2, true), (1, true)]).1, 1);
        // The closed candle hides the forming one.
        assert_eq!(tail(&[(3, true), (3, false), (4, false)]), (vec![(3, true), (4, false)], 3));
        assert_eq!(tail(&[(9, true), (8, true), (7, true), (5, false), (4, false)]).1, 7);
    }
}
