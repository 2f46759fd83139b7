//! The catalogue of series in PostgreSQL: the statements in which it is read. Each comes as one row of arrays, because
//! taking thousands of rows to pieces costs more than reading them.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::store::precision::SAMPLE_CANDLES;
use crate::store::series::{Position, Sample, SeriesKey, SeriesRow};
use crate::store::{StoreError, unreadable};

/// Rows of the series behind one, in the order of the key. Aggregates read a subquery's rows in its order, which is not
/// promised, and so is checked by [`check_order`].
const ROWS_AFTER: &str = include_str!("sql/rows_after.sql");

/// Series behind one, by hopping over the key from each to the next.
const KEYS_AFTER: &str = include_str!("sql/keys_after.sql");

/// Symbols behind one, likewise.
const SYMBOLS_AFTER: &str = include_str!("sql/symbols_after.sql");

/// Both ends of each of some series, and the digits of its newest candles; nothing of those that are not stored. The years
/// are those that a candle may be of, and leave out what is infinite.
const SAMPLES: &str = include_str!("sql/samples.sql");

/// All of them, so that a test can ask the server for their plans.
pub const SERIES_STATEMENTS: [&str; 4] = [ROWS_AFTER, KEYS_AFTER, SYMBOLS_AFTER, SAMPLES];

fn text(bytes: &[u8]) -> sqlx::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) async fn rows_after(connection: &mut PgConnection, position: &Position, most: usize) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    sqlx::query(ROWS_AFTER).bind(symbol).bind(timeframe).bind(count(most)).fetch_one(connection).await
}

/// The candles in what [`rows_after`] has read.
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

/// Checks that the rows of each series come together and ascend by time. The order of the series is left to the collation,
/// which in a table of somebody else's may be any.
fn check_order(rows: &[SeriesRow]) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let in_order = rows
        .chunk_by(|one, next| one.position == next.position)
        .all(|series| seen.insert(&series[0].position) && series.iter().filter_map(|row| row.time).is_sorted());
    if in_order { Ok(()) } else { Err(unreadable("the rows of a list of series are not in the order of their key")) }
}

pub(super) async fn keys_after(connection: &mut PgConnection, position: &Position, most: usize) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    sqlx::query(KEYS_AFTER).bind(symbol).bind(timeframe).bind(count(most)).fetch_one(connection).await
}

/// The series in what [`keys_after`] has read.
pub(super) fn positions(row: &PgRow) -> Result<Vec<Position>, StoreError> {
    let symbols: Vec<String> = row.try_get(0).map_err(unreadable)?;
    let timeframes: Vec<String> = row.try_get(1).map_err(unreadable)?;
    let position =
        |(symbol, timeframe): (String, String)| Position { symbol: symbol.into(), timeframe: timeframe.into() };
    Ok(symbols.into_iter().zip(timeframes).map(position).collect())
}

pub(super) async fn symbols_after(connection: &mut PgConnection, symbol: &[u8], most: usize) -> sqlx::Result<PgRow> {
    sqlx::query(SYMBOLS_AFTER).bind(text(symbol)?).bind(count(most)).fetch_one(connection).await
}

/// The symbols in what [`symbols_after`] has read.
pub(super) fn symbols(row: &PgRow) -> Result<Vec<Vec<u8>>, StoreError> {
    let symbols: Vec<String> = row.try_get(0).map_err(unreadable)?;
    Ok(symbols.into_iter().map(String::into_bytes).collect())
}

pub(super) async fn samples(connection: &mut PgConnection, keys: &[SeriesKey]) -> sqlx::Result<Vec<PgRow>> {
    let (symbols, timeframes): (Vec<_>, Vec<_>) =
        keys.iter().map(|key| (key.symbol.as_str(), key.timeframe.name())).unzip();
    sqlx::query(SAMPLES).bind(symbols).bind(timeframes).bind(count(SAMPLE_CANDLES)).fetch_all(connection).await
}

/// The sample that [`samples`] has read of each of the `asked` series.
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
