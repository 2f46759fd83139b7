//! Counts the candles of a series by month.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::store::SeriesKey;
use crate::store::series::{END_TIME_MILLISECONDS, FIRST_TIME_MILLISECONDS};
use crate::store::statistics::{Month, MonthCount, NewestRows, SIZED_ROWS, StepCounts};

const NEXT_TIME: &str = "
    select timestamp from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp limit 1";

const COUNT: &str = "
    select count(*) from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4";

/// The bytes of a row are those of its text and some 28 for three numbers and the headers of record and cell.
const NEWEST_ROWS: &str = "
    select created_at,
           28 + octet_length(symbol) + octet_length(timeframe)
              + octet_length(open) + octet_length(high) + octet_length(low) + octet_length(close)
    from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp desc limit ?5";

/// All statements, so that a test can check their query plans.
pub const COUNT_STATEMENTS: [&str; 3] = [NEXT_TIME, COUNT, NEWEST_ROWS];

pub(super) fn count_months(
    connection: &Connection,
    key: &SeriesKey,
    mut start: i64,
    most: usize,
) -> rusqlite::Result<StepCounts> {
    let (symbol, timeframe) = (key.symbol.as_str(), key.timeframe.name());
    let mut next_time = connection.prepare_cached(NEXT_TIME)?;
    let mut count = connection.prepare_cached(COUNT)?;
    let mut months = Vec::new();
    while months.len() < most {
        let bounds = (symbol, timeframe, start, END_TIME_MILLISECONDS);
        let opened: Option<i64> = next_time.query_row(bounds, |row| row.get(0)).optional()?;
        let Some(month) = opened.and_then(Month::holding) else { break };
        let end = month.next().start();
        let candles: i64 = count.query_row((symbol, timeframe, month.start(), end), |row| row.get(0))?;
        months.push(MonthCount { month, candles: candles.unsigned_abs() });
        start = end;
    }
    Ok(StepCounts { months, newest: newest_rows(connection, key)? })
}

fn newest_rows(connection: &Connection, key: &SeriesKey) -> rusqlite::Result<NewestRows> {
    let (symbol, timeframe) = (key.symbol.as_str(), key.timeframe.name());
    let most = i64::try_from(SIZED_ROWS).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(NEWEST_ROWS)?;
    let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let rows =
        statement.query_map(params![symbol, timeframe, FIRST_TIME_MILLISECONDS, END_TIME_MILLISECONDS, most], row)?;
    let mut newest = NewestRows::default();
    for row in rows {
        let (created_at, bytes) = row?;
        newest.rows += 1;
        newest.bytes += bytes.unsigned_abs();
        newest.received.get_or_insert(created_at * 1000);
    }
    Ok(newest)
}
