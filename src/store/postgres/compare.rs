//! Compares candles with the values that are stored under their keys.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::rows::{bind, bind_values};
use crate::store::{MAX_STORED_VALUE_CHARS, StoreError, Stored, unreadable};
use candle::{Candle, Key, Timestamp};

/// Selects the stored rows whose values differ from those of the candle with the same key, and the text of each field
/// that differs. NaN and null differ from every number.
const SELECT_DIFFERING: &str = include_str!("sql/differing_candles.sql");

/// Selects whether at least one of the given candles, all of one series, is not stored with the same values. It is used
/// for candles that lie close together, because one scan of their range costs half as much as looking up each of them.
///
/// The statement reads at most `$11` rows. If a range holds more rows, as when the rows of a monthly series open every
/// minute, the result may be true although all candles are stored. Each candle is then looked up.
const IS_ANY_OTHER: &str = include_str!("sql/is_any_other.sql");

/// Reads the stored candles that have the keys of `candles` but other values, for [`stored`].
pub(super) async fn read(connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<Vec<PgRow>> {
    if let Some(span) = KeyRange::of(candles)
        && !span.is_any_other(connection, candles).await?
    {
        return Ok(Vec::new());
    }
    let query = bind(sqlx::query(SELECT_DIFFERING), candles);
    query.bind(i32::try_from(MAX_STORED_VALUE_CHARS).unwrap_or(i32::MAX)).fetch_all(connection).await
}

/// The first and the last key of candles of one series that lie close together.
#[derive(Debug)]
struct KeyRange<'a> {
    first: &'a Key,
    last: &'a Key,
    /// The maximum number of rows in the range, if each period has at most one.
    max_rows: i64,
}

impl<'a> KeyRange<'a> {
    fn of(candles: &'a [Candle]) -> Option<Self> {
        /// The maximum number of periods per candle in the range. A stock has three to five, because of nights and
        /// weekends.
        const MAX_PERIODS_PER_CANDLE: i64 = 6;
        let keys = || candles.iter().map(|candle| &candle.key);
        let first = keys().min_by_key(|key| key.time())?;
        let last = keys().max_by_key(|key| key.time())?;
        let seconds = |end: Timestamp| end.seconds() - first.time().seconds();
        let period = seconds(first.timeframe().nominal_end(first.time(), None));
        let count = i64::try_from(candles.len()).ok()?;
        let periods = MAX_PERIODS_PER_CANDLE * count;
        let is_dense = seconds(last.time()) <= period * periods;
        let max_rows = periods + 1;
        (is_dense && keys().all(|key| key.same_series(first))).then_some(Self { first, last, max_rows })
    }

    async fn is_any_other(&self, connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<bool> {
        let query = sqlx::query(IS_ANY_OTHER).bind(self.first.symbol().as_str()).bind(self.first.timeframe().name());
        let query = query.bind(self.first.time().to_chrono()).bind(self.last.time().to_chrono());
        bind_values(query, candles).bind(self.max_rows).fetch_one(connection).await?.try_get(0)
    }
}

/// Decodes the rows of [`read`].
pub(super) fn stored(rows: &[PgRow]) -> Result<Vec<Stored>, StoreError> {
    let one = |row: &PgRow| {
        Ok(Stored {
            position: usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX),
            values: [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?],
        })
    };
    rows.iter().map(one).collect::<sqlx::Result<_>>().map_err(unreadable)
}
