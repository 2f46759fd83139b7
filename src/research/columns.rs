//! The columns of a series: stored decimals become doubles once, on loading.

use research::{Bars, Columns, TickGrid};

use super::ResearchError;
use crate::store::{Direction, Range, SeriesKey, Store, StoreError};

/// The number of candles of a page.
const PAGE_CANDLES: usize = 10_000;

/// The bars of a series, and the position of the first one to trade.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) bars: Bars,
    pub(super) first: usize,
}

/// Reads the closed candles that opened from `start` to before `end`, in epoch milliseconds, and up to `warm_up` before them.
pub(super) async fn load(
    store: &Store,
    key: &SeriesKey,
    (start, end): (i64, i64),
    warm_up: usize,
) -> Result<Loaded, ResearchError> {
    let mut reading = Reading::default();
    let mut before = start;
    let mut pages = Vec::new();
    let mut missing = warm_up;
    while missing > 0 && before > crate::query::FIRST_MILLISECOND {
        let limit = missing.min(PAGE_CANDLES);
        let span = (crate::query::FIRST_MILLISECOND, before);
        let mut page = Reading::default();
        let rows = page.read(store, key, span, Direction::Descending, limit).await?;
        before = page.first_row.unwrap_or(before);
        missing -= page.columns.time.len().min(missing);
        pages.push(page);
        if rows < limit {
            break;
        }
    }
    pages.into_iter().rev().for_each(|page| reading.append(page));
    let first = reading.columns.time.len();
    let mut from = start;
    while from < end {
        let mut page = Reading::default();
        let rows = page.read(store, key, (from, end), Direction::Ascending, PAGE_CANDLES).await?;
        let last = page.last_row;
        reading.append(page);
        match last {
            Some(last) if rows == PAGE_CANDLES => from = last + 1,
            _ => break,
        }
    }
    let period = key.timeframe.length().map(|seconds| seconds * 1000);
    let digits = reading.digits.min(TickGrid::MAX_DIGITS);
    let bars = TickGrid::of_digits(digits).and_then(|grid| Bars::new(reading.columns, grid, period));
    let bars = bars.map_err(|error| StoreError::internal(error.to_string()))?;
    Ok(Loaded { bars, first })
}

/// Columns that are being read.
#[derive(Debug, Default)]
struct Reading {
    columns: Columns,
    /// The most digits behind the point.
    digits: u8,
    first_row: Option<i64>,
    last_row: Option<i64>,
}

impl Reading {
    /// Reads one page, and returns the number of its rows.
    async fn read(
        &mut self,
        store: &Store,
        key: &SeriesKey,
        (start, end): (i64, i64),
        direction: Direction,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let range = Range { symbol: key.symbol.clone(), timeframe: key.timeframe, start, end, direction, limit };
        let candles = store.range(range).await?;
        (self.first_row, self.last_row) = (candles.time(0), candles.time(candles.len().saturating_sub(1)));
        for candle in candles.range(0..candles.len()).filter(|candle| candle.closed) {
            let [open, high, low, close] = candle.prices.map(|price| price.parse::<f64>().unwrap_or(f64::NAN));
            for price in candle.prices {
                let digits = price.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                self.digits = self.digits.max(u8::try_from(digits).unwrap_or(u8::MAX));
            }
            self.columns.time.push(candle.time);
            self.columns.open.push(open);
            self.columns.high.push(high);
            self.columns.low.push(low);
            self.columns.close.push(close);
            #[expect(clippy::cast_precision_loss, reason = "volumes of markets are below 2^53")]
            self.columns.volume.push(candle.volume as f64);
        }
        Ok(candles.len())
    }

    fn append(&mut self, mut later: Self) {
        let (own, other) = (&mut self.columns, &mut later.columns);
        own.time.append(&mut other.time);
        own.open.append(&mut other.open);
        own.high.append(&mut other.high);
        own.low.append(&mut other.low);
        own.close.append(&mut other.close);
        own.volume.append(&mut other.volume);
        self.digits = self.digits.max(later.digits);
    }
}
