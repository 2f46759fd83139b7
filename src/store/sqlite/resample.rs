//! Builds candles from the rows of a shorter timeframe. They are added up here, because SQLite's numbers keep 15 digits
//! and its text sorts as text.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use rusqlite::{Connection, Row};

use crate::store::candles::parse_columns;
use crate::store::resample::{Fold, ResampleRange, Resampled};
use crate::store::series::END_TIME_MILLISECONDS;
use crate::store::{Direction, StoredCandle, UnreadableRow};

static ASCENDING: LazyLock<String> = LazyLock::new(|| select("asc"));
static DESCENDING: LazyLock<String> = LazyLock::new(|| select("desc"));

fn select(order: &str) -> String {
    include_str!("sql/rows.sql").replace("{order}", order)
}

/// The newest row of a series.
const NEWEST: &str = "
    select max(timestamp) from (
        select max(timestamp) as timestamp from market_data_candles
        where symbol = ?1 and timeframe = ?2 and timestamp < ?3
        union all
        select max(timestamp) from market_data_live_candles
        where symbol = ?1 and timeframe = ?2 and timestamp < ?3)";

/// All statements, so that a test can check their query plans.
#[must_use]
pub fn resample_statements() -> [&'static str; 3] {
    [&ASCENDING, &DESCENDING, NEWEST]
}

/// Reads the rows of a range until it has its buckets, and the newest row as of the same moment.
pub(super) fn resample(connection: &Connection, range: &ResampleRange) -> rusqlite::Result<Resampled> {
    let moment = connection.unchecked_transaction()?;
    let (symbol, source) = (range.symbol.as_str(), range.source.name());
    let newest = moment
        .prepare_cached(NEWEST)?
        .query_row((symbol, source, END_TIME_MILLISECONDS), |row| row.get::<_, Option<i64>>(0))?;
    let mut statement = moment.prepare_cached(match range.direction {
        Direction::Ascending => &ASCENDING,
        Direction::Descending => &DESCENDING,
    })?;
    let mut rows = statement.query((symbol, source, range.start, range.end))?;
    let mut fold = Fold::new(range);
    while let Some(row) = rows.next()? {
        let time = row.get(0)?;
        if let ControlFlow::Break(()) = fold.add(time, candle(time, row)?) {
            break;
        }
    }
    Ok(fold.finish(newest))
}

fn candle<'a>(time: i64, row: &'a Row<'_>) -> rusqlite::Result<Result<StoredCandle<'a>, UnreadableRow>> {
    let price = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_bytes()?);
    let prices = [price(1)?, price(2)?, price(3)?, price(4)?];
    Ok(parse_columns(time, prices, row.get(5)?, row.get(6)?))
}
