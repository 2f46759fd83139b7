//! Reads candles.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::store::{Direction, Range, StoreError, StoredCandles, check_order, unreadable};

/// Reads both tables, each by its key's index from the wanted end. A closed candle hides the forming one with its time.
///
/// The page comes as one row, because encoding and decoding a row for each candle would be half of its cost. The
/// aggregates keep the order of the rows (PostgreSQL documentation, "Aggregate Functions"). [`StoredCandles`] parses
/// the text.
static ASCENDING: LazyLock<String> = LazyLock::new(|| select("asc"));
static DESCENDING: LazyLock<String> = LazyLock::new(|| select("desc"));

fn select(order: &str) -> String {
    include_str!("sql/candles.sql").replace("{order}", order)
}

/// Reads the candles of `range`.
pub(super) async fn range(connection: &mut PgConnection, range: &Range) -> sqlx::Result<PgRow> {
    let sql: &str = match range.direction {
        Direction::Ascending => &ASCENDING,
        Direction::Descending => &DESCENDING,
    };
    sqlx::query(sql)
        .bind(range.symbol.as_str())
        .bind(range.timeframe.name())
        .bind(at(range.start))
        .bind(at(range.end))
        .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await
}

/// Decodes the row of [`range`].
pub(super) fn candles(row: &PgRow, direction: Direction) -> Result<StoredCandles, StoreError> {
    let times: Vec<DateTime<Utc>> = row.try_get(0).map_err(unreadable)?;
    check_order(&times, direction)?;
    let times = times.iter().map(DateTime::timestamp_millis);
    let candles = StoredCandles::parse(times, row.try_get(1).map_err(unreadable)?).map_err(unreadable)?;
    Ok(if direction == Direction::Descending { candles.reversed() } else { candles })
}

pub(super) fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
