//! Candles that are built from those of a shorter timeframe. What is read is decided here for both databases; which
//! buckets there are, and when a candle of theirs is closed, is decided by those who ask.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use calendar::{Bucket, Grid};
use candle::{Symbol, Timeframe};

use super::decimal::{compare, trimmed};
use super::{Direction, StoredCandle, UnreadableRow};

/// A request for candles that are built from those of a shorter timeframe, counted from one end of a span of time.
#[derive(Debug, Clone)]
pub struct ResampleRange {
    /// The instrument.
    pub symbol: Symbol,
    /// The timeframe whose candles are read.
    pub source: Timeframe,
    /// The buckets of the span.
    pub grid: Grid,
    /// First millisecond of the span, with which a bucket begins.
    pub start: i64,
    /// The millisecond after the span, with which a bucket ends.
    pub end: i64,
    /// The end of the span from which buckets are counted.
    pub direction: Direction,
    /// The maximum number of buckets that hold a row.
    pub limit: usize,
}

/// Buckets that hold a row, in ascending order, as they were at one moment.
#[derive(Debug, Clone, Default)]
pub struct Resampled {
    /// The buckets.
    pub buckets: Vec<ResampledBucket>,
    /// The opening time of the newest row of the series, which may lie beyond the span.
    pub newest: Option<i64>,
    /// The first of the rows that are not candles and were left out.
    pub unreadable: Vec<UnreadableRow>,
    /// The number of rows of the buckets.
    pub rows: u64,
}

/// A bucket that holds a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResampledBucket {
    /// Its time.
    pub bucket: Bucket,
    /// The sum of its rows; `None` if none of them is a candle.
    pub sum: Option<Sum>,
}

/// The sum of the candles of a bucket. Prices are plain decimals without trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// The open of the first candle.
    pub open: String,
    /// The highest price.
    pub high: String,
    /// The lowest price.
    pub low: String,
    /// The close of the last candle.
    pub close: String,
    /// The sum of the volumes, which may be too large for a candle.
    pub volume: i128,
    /// The opening time of the first candle.
    pub first: i64,
    /// The opening time of the last candle.
    pub last: i64,
    /// True if the last candle is closed.
    pub last_is_closed: bool,
}

/// The maximum number of unreadable rows that are kept of a span.
const MAX_UNREADABLE: usize = 1000;

impl ResampledBucket {
    /// Adds a candle, in any order.
    pub(super) fn add(&mut self, candle: &StoredCandle<'_>) {
        match &mut self.sum {
            Some(sum) => sum.add(candle),
            None => self.sum = Some(Sum::of(candle)),
        }
    }
}

impl Sum {
    fn of(candle: &StoredCandle<'_>) -> Self {
        let [open, high, low, close] = candle.prices.map(|price| trimmed(price).to_owned());
        Self {
            open,
            high,
            low,
            close,
            volume: candle.volume.into(),
            first: candle.time,
            last: candle.time,
            last_is_closed: candle.closed,
        }
    }

    fn add(&mut self, candle: &StoredCandle<'_>) {
        let [open, high, low, close] = candle.prices;
        if candle.time < self.first {
            self.first = candle.time;
            set(&mut self.open, open);
        }
        if candle.time > self.last {
            self.last = candle.time;
            self.last_is_closed = candle.closed;
            set(&mut self.close, close);
        }
        if compare(high, &self.high) == Ordering::Greater {
            set(&mut self.high, high);
        }
        if compare(low, &self.low) == Ordering::Less {
            set(&mut self.low, low);
        }
        self.volume += i128::from(candle.volume);
    }
}

/// Sets a price in the room that it has.
fn set(price: &mut String, text: &str) {
    price.clear();
    price.push_str(trimmed(text));
}

/// Adds up rows that come in the order of the range.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    range: &'a ResampleRange,
    buckets: Vec<ResampledBucket>,
    unreadable: Vec<UnreadableRow>,
    rows: u64,
}

impl<'a> Fold<'a> {
    pub(super) fn new(range: &'a ResampleRange) -> Self {
        Self { range, buckets: Vec::new(), unreadable: Vec::new(), rows: 0 }
    }

    /// Adds a row. Breaks, without it, if it belongs to one bucket too many.
    pub(super) fn add(&mut self, time: i64, row: Result<StoredCandle<'_>, UnreadableRow>) -> ControlFlow<()> {
        if !self.buckets.last().is_some_and(|last| last.bucket.holds(time)) {
            let Some(bucket) = self.range.grid.bucket(time) else { return ControlFlow::Break(()) };
            if self.buckets.len() == self.range.limit {
                return ControlFlow::Break(());
            }
            self.buckets.push(ResampledBucket { bucket, sum: None });
        }
        self.rows += 1;
        match (row, self.buckets.last_mut()) {
            (Ok(candle), Some(bucket)) => bucket.add(&candle),
            (Err(row), _) if self.unreadable.len() < MAX_UNREADABLE => self.unreadable.push(row),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// All rows were added.
    pub(super) fn finish(self, newest: Option<i64>) -> Resampled {
        let Self { range, mut buckets, mut unreadable, rows } = self;
        if range.direction == Direction::Descending {
            buckets.reverse();
            unreadable.reverse();
        }
        Resampled { buckets, newest, unreadable, rows }
    }
}
