//! Reads the catalogue of series. Lists come as one row of arrays, because decoding thousands of rows costs more than
//! reading them.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::engine::Engine;
use crate::store::precision::SAMPLE_CANDLES;
use crate::store::series::{Position, Sample, SeriesKey, SeriesRow};
use crate::store::{StoreError, unreadable};

/// Selects the rows of the series after a position, in key order. [`check_order`] checks the order, because PostgreSQL
/// does not promise that aggregates keep the order of a subquery's rows.
const ROWS_AFTER: &str = include_str!("sql/rows_after.sql");

/// Selects the series after a position with a loose index scan, which seeks from each key to the next.
const KEYS_AFTER: &str = include_str!("sql/keys_after.sql");

/// The same on hypertables, whose compressed chunks check the comparison of pairs row by row.
const ROWS_AFTER_ON_TIMESCALE: &str = include_str!("sql/timescale_rows_after.sql");
const KEYS_AFTER_ON_TIMESCALE: &str = include_str!("sql/timescale_keys_after.sql");

/// Selects the symbols after a given symbol, also with a loose index scan.
const SYMBOLS_AFTER: &str = include_str!("sql/symbols_after.sql");

/// Selects, for each of the given series, its first and last time and the digits of its newest candles. A series that
/// is not stored has no row. Only times in the years 1 to 9999 count, which leaves out infinite times.
const SAMPLES: &str = include_str!("sql/samples.sql");

/// All statements of this file, so that a test can ask the server for their plans.
pub const SERIES_STATEMENTS: [&str; 4] = [ROWS_AFTER, KEYS_AFTER, SYMBOLS_AFTER, SAMPLES];

pub(super) fn text(bytes: &[u8]) -> sqlx::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) async fn rows_after(
    connection: &mut PgConnection,
    engine: Engine,
    position: &Position,
    limit: usize,
) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    let select = if engine == Engine::Timescale { ROWS_AFTER_ON_TIMESCALE } else { ROWS_AFTER };
    sqlx::query(select).bind(symbol).bind(timeframe).bind(count(limit)).fetch_one(connection).await
}

/// Decodes the row of [`rows_after`].
pub(super) fn rows(row: &PgRow) -> Result<Vec<SeriesRow>, StoreError> {
    let times: Vec<Option<i64>> = row.try_get(2).map_err(unreadable)?;
    let digits: Vec<Option<i32>> = row.try_get(3).map_err(unreadable)?;
    let candles = positions(row)?.into_iter().zip(times).zip(digits);
    let digits = |digits: Option<i32>| digits.map(i32::unsigned_abs);
    let rows: Vec<_> =
        candles.map(|((position, time), most)| SeriesRow { position, time, digits: digits(most) }).collect();
    check_order(&rows)?;
    Ok(rows)
}

/// Checks that the rows of each series are adjacent and ascend by time. The order of the series is not checked, because
/// it depends on the collation, and an adopted table may have any collation.
fn check_order(rows: &[SeriesRow]) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let in_order = rows
        .chunk_by(|one, next| one.position == next.position)
        .all(|series| seen.insert(&series[0].position) && series.iter().filter_map(|row| row.time).is_sorted());
    if in_order { Ok(()) } else { Err(unreadable("the rows of a list of series are not in the order of their key")) }
}

pub(super) async fn keys_after(
    connection: &mut PgConnection,
    engine: Engine,
    position: &Position,
    limit: usize,
) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    let select = if engine == Engine::Timescale { KEYS_AFTER_ON_TIMESCALE } else { KEYS_AFTER };
    sqlx::query(select).bind(symbol).bind(timeframe).bind(count(limit)).fetch_one(connection).await
}

/// Decodes the row of [`keys_after`].
pub(super) fn positions(row: &PgRow) -> Result<Vec<Position>, StoreError> {
    let symbols: Vec<String> = row.try_get(0).map_err(unreadable)?;
    let timeframes: Vec<String> = row.try_get(1).map_err(unreadable)?;
    let position =
        |(symbol, timeframe): (String, String)| Position { symbol: symbol.into(), timeframe: timeframe.into() };
    Ok(symbols.into_iter().zip(timeframes).map(position).collect())
}

pub(super) async fn symbols_after(connection: &mut PgConnection, symbol: &[u8], limit: usize) -> sqlx::Result<PgRow> {
    sqlx::query(SYMBOLS_AFTER).bind(text(symbol)?).bind(count(limit)).fetch_one(connection).await
}

/// Decodes the row of [`symbols_after`].
pub(super) fn symbols(row: &PgRow) -> Result<Vec<Vec<u8>>, StoreError> {
    let symbols: Vec<String> = row.try_get(0).map_err(unreadable)?;
    Ok(symbols.into_iter().map(String::into_bytes).collect())
}

pub(super) async fn samples(connection: &mut PgConnection, keys: &[SeriesKey]) -> sqlx::Result<Vec<PgRow>> {
    let (symbols, timeframes): (Vec<_>, Vec<_>) =
        keys.iter().map(|key| (key.symbol.as_str(), key.timeframe.name())).unzip();
    sqlx::query(SAMPLES).bind(symbols).bind(timeframes).bind(count(SAMPLE_CANDLES)).fetch_all(connection).await
}

/// Decodes the rows of [`samples`], which was asked for `asked` series.
pub(super) fn found(rows: &[PgRow], asked: usize) -> Result<Vec<Option<Sample>>, StoreError> {
    let mut samples: Vec<Option<Sample>> = (0..asked).map(|_| None).collect();
    for row in rows {
        let (number, sample) = one_sample(row).map_err(unreadable)?;
        let place = usize::try_from(number - 1).ok().and_then(|place| samples.get_mut(place));
        *place.ok_or_else(|| unreadable("a series that was not asked for"))? = Some(sample);
    }
    Ok(samples)
}

fn one_sample(row: &PgRow) -> sqlx::Result<(i64, Sample)> {
    let digits: Vec<Option<i32>> = row.try_get("digits")?;
    let digits = digits.into_iter().flatten().map(i32::unsigned_abs).collect();
    Ok((row.try_get("number")?, Sample { first: row.try_get("first")?, last: row.try_get("last")?, digits }))
}
