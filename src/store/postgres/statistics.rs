//! Counts the candles of a series by month. One statement serves every engine, because it names one symbol.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::read::at;
use super::series::count;
use crate::store::SeriesKey;
use crate::store::statistics::{Month, MonthCount, NewestRows, SIZED_ROWS, StepCounts};

const COUNT_MONTHS: &str = include_str!("sql/count_months.sql");

/// The statement that counts, for a test that asks the server for its plan.
#[must_use]
pub fn count_months_statement() -> &'static str {
    COUNT_MONTHS
}

pub(super) async fn count_months(
    connection: &mut PgConnection,
    key: &SeriesKey,
    start: i64,
    most: usize,
) -> sqlx::Result<StepCounts> {
    let row = sqlx::query(COUNT_MONTHS)
        .bind(key.symbol.as_str())
        .bind(key.timeframe.name())
        .bind(at(start))
        .bind(count(most))
        .bind(count(SIZED_ROWS))
        .fetch_one(connection)
        .await?;
    decoded(&row)
}

fn decoded(row: &PgRow) -> sqlx::Result<StepCounts> {
    let numbers: Vec<i32> = row.try_get(0)?;
    let candles: Vec<i64> = row.try_get(1)?;
    let months = numbers.into_iter().zip(candles);
    let months =
        months.map(|(number, candles)| MonthCount { month: Month::numbered(number), candles: candles.unsigned_abs() });
    let (rows, bytes): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let newest = NewestRows { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs(), received: row.try_get(4)? };
    Ok(StepCounts { months: months.collect(), newest })
}
