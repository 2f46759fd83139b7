//! Counts the digits of prices.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use super::read::at;
use crate::store::Range;
use crate::store::digits::{CandleTable, CountedDigits, PriceDigits};

struct Select {
    closed: String,
    forming: String,
}

static SELECT: LazyLock<Select> = LazyLock::new(|| {
    let of = |table| include_str!("sql/price_digits.sql").replace("{table}", table);
    Select { closed: of("market_data_candles"), forming: of("market_data_live_candles") }
});

/// Counts the digits of the oldest candles of `range` in one table. A row whose price is not a number has none.
pub(super) async fn count(
    connection: &mut PgConnection,
    range: &Range,
    table: CandleTable,
) -> sqlx::Result<CountedDigits> {
    let sql: &str = match table {
        CandleTable::Closed => &SELECT.closed,
        CandleTable::Forming => &SELECT.forming,
    };
    let query = sqlx::query(sql)
        .bind(range.symbol.as_str())
        .bind(range.timeframe.name())
        .bind(at(range.start))
        .bind(at(range.end))
        .bind(i64::try_from(range.limit).unwrap_or(i64::MAX));
    let row = query.fetch_one(connection).await?;
    let rows: i64 = row.try_get(0)?;
    let last: Option<DateTime<Utc>> = row.try_get(1)?;
    let (fraction, whole): (Option<i32>, Option<i32>) = (row.try_get(2)?, row.try_get(3)?);
    let digits =
        PriceDigits { fraction: fraction.map_or(0, i32::unsigned_abs), whole: whole.map_or(1, i32::unsigned_abs) };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    Ok(CountedDigits { rows, last: last.map(|last| last.timestamp_millis()), digits })
}
