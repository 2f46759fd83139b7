//! The digits that the prices of a range need.

use tokio::time::Instant;

use super::{Database, Range, Store, StoreError};

/// The maximum number of candles whose digits one statement counts, which takes a small part of the time that a statement may
/// take.
const MAX_COUNTED_CANDLES: usize = 50_000;

/// The number of digits that prices need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceDigits {
    /// Digits behind the point, trailing zeros included.
    pub fraction: u32,
    /// Digits before the point, at least one.
    pub whole: u32,
}

impl Default for PriceDigits {
    fn default() -> Self {
        Self { fraction: 0, whole: 1 }
    }
}

impl PriceDigits {
    fn and(self, other: Self) -> Self {
        Self { fraction: self.fraction.max(other.fraction), whole: self.whole.max(other.whole) }
    }
}

/// A table of candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CandleTable {
    Closed,
    Forming,
}

/// The digits of some rows, in the order of their time.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedDigits {
    /// The number of rows that were read.
    pub(super) rows: usize,
    /// The opening time of the last one, in epoch milliseconds.
    pub(super) last: Option<i64>,
    pub(super) digits: PriceDigits,
}

impl Store {
    /// The digits that all prices of `range` need that were stored at `since`, whatever its limit and direction; those of forming
    /// candles count only if `forming`. Counts in steps, and begins no further step once the caller stops waiting.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn price_digits(&self, range: &Range, forming: bool, since: Instant) -> Result<PriceDigits, StoreError> {
        self.measured("price_digits", async {
            let mut digits = self.digits_of(range, CandleTable::Closed, since).await?;
            if forming {
                digits = digits.and(self.digits_of(range, CandleTable::Forming, since).await?);
            }
            Ok(digits)
        })
        .await
    }

    async fn digits_of(&self, range: &Range, table: CandleTable, since: Instant) -> Result<PriceDigits, StoreError> {
        let mut step = Range { limit: MAX_COUNTED_CANDLES, ..range.clone() };
        let mut digits = PriceDigits::default();
        loop {
            let server = self.reading_since(&range.symbol, range.timeframe, since).server;
            let counted = match &self.database {
                Database::Postgres(postgres) => postgres.count_digits(server, step.clone(), table).await?,
                Database::Sqlite(sqlite) => sqlite.count_digits(step.clone(), table).await?,
            };
            digits = digits.and(counted.digits);
            match counted.last {
                Some(last) if counted.rows == step.limit => step.start = last + 1,
                _ => return Ok(digits),
            }
        }
    }
}
