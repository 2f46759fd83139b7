//! The catalogue of series in a SQLite file, read in steps.
//!
//! Lists have connections of their own, so that they take none from pages.

use std::path::PathBuf;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row as SqliteRow, ToSql, named_params};

use super::row_reader::RowReader;
use crate::store::StoreError;
use crate::store::candles::fraction_digits;
use crate::store::precision::SAMPLE_CANDLES;
use crate::store::series::{END_TIME_MILLISECONDS, FIRST_TIME_MILLISECONDS, Position, Sample, SeriesKey, SeriesRow};

// Each of the next two statements has two parts, because SQLite compares `(symbol, timeframe) > (?, ?)` row by row from
// the first candle of that series on.

/// Rows of the series after a given one, in the order of the key.
const ROWS_AFTER: &str = include_str!("sql/rows_after.sql");

/// The series after a given one.
pub(super) const KEY_AFTER: &str = include_str!("sql/key_after.sql");

const SYMBOL_AFTER: &str = "select symbol from market_data_candles where symbol > ?1 order by symbol limit 1";

const NEWEST_CANDLES: &str = "
    select timestamp, open, high, low, close from market_data_candles
    where symbol = :symbol and timeframe = :timeframe and timestamp >= :first and timestamp < :end
    order by timestamp desc limit :count";

const OLDEST_TIME: &str = "
    select min(timestamp) from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4";

/// All statements, so that a test can check their query plans.
pub const SERIES_STATEMENTS: [&str; 5] = [ROWS_AFTER, KEY_AFTER, SYMBOL_AFTER, NEWEST_CANDLES, OLDEST_TIME];

/// Connections that read lists of series.
#[derive(Debug)]
pub(super) struct SeriesReader(RowReader);

impl SeriesReader {
    /// The file has to exist at the first read, which opens it.
    pub(super) fn new(file: PathBuf) -> Self {
        Self(RowReader::new(file, "too many lists of its series are being read"))
    }

    pub(super) async fn rows_after(&self, position: Position, count: usize) -> Result<Vec<SeriesRow>, StoreError> {
        self.0
            .run(move |connection| {
                let (symbol, timeframe) = (Text(&position.symbol), Text(&position.timeframe));
                let mut statement = connection.prepare_cached(ROWS_AFTER)?;
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                let parameters = named_params! {":symbol": symbol, ":timeframe": timeframe, ":count": count};
                let rows = statement.query_map(parameters, |row| {
                    let position = Position { symbol: text(row, 0)?, timeframe: text(row, 1)? };
                    Ok(SeriesRow { position, time: Some(row.get(2)?), digits: digits(row, 3)? })
                })?;
                rows.collect()
            })
            .await
    }

    pub(super) async fn keys_after(&self, mut position: Position, count: usize) -> Result<Vec<Position>, StoreError> {
        self.0
            .run(move |connection| {
                let mut statement = connection.prepare_cached(KEY_AFTER)?;
                let mut keys = Vec::new();
                while keys.len() < count {
                    let (symbol, timeframe) = (Text(&position.symbol), Text(&position.timeframe));
                    let parameters = named_params! {":symbol": symbol, ":timeframe": timeframe};
                    let next = |row: &SqliteRow<'_>| Ok(Position { symbol: text(row, 0)?, timeframe: text(row, 1)? });
                    let Some(next) = statement.query_row(parameters, next).optional()? else { break };
                    position = next;
                    keys.push(position.clone());
                }
                Ok(keys)
            })
            .await
    }

    pub(super) async fn symbols_after(&self, mut symbol: Vec<u8>, count: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.0
            .run(move |connection| {
                let mut statement = connection.prepare_cached(SYMBOL_AFTER)?;
                let mut symbols = Vec::new();
                while symbols.len() < count {
                    let next = statement.query_row([Text(&symbol)], |row| text(row, 0)).optional()?;
                    let Some(next) = next else { break };
                    symbol = next;
                    symbols.push(symbol.clone());
                }
                Ok(symbols)
            })
            .await
    }

    pub(super) async fn samples(&self, keys: Vec<SeriesKey>) -> Result<Vec<Option<Sample>>, StoreError> {
        self.0.run(move |connection| keys.iter().map(|key| sample(connection, key)).collect()).await
    }

    /// Closes the idle connections, and lends none any more.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Runs `work` on a connection that nothing else uses.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.run(work).await
    }
}

fn sample(connection: &Connection, key: &SeriesKey) -> rusqlite::Result<Option<Sample>> {
    let (symbol, timeframe) = (key.symbol.as_str(), key.timeframe.name());
    let mut newest = connection.prepare_cached(NEWEST_CANDLES)?;
    let mut rows = newest.query(named_params! {
        ":symbol": symbol, ":timeframe": timeframe, ":first": FIRST_TIME_MILLISECONDS, ":end": END_TIME_MILLISECONDS, ":count": SAMPLE_CANDLES,
    })?;
    let (mut sample, mut count): (Option<Sample>, usize) = (None, 0);
    while let Some(row) = rows.next()? {
        let (time, digits) = (row.get(0)?, digits(row, 1)?);
        let sample = sample.get_or_insert_with(|| Sample {
            first: time,
            last: time,
            digits: Vec::with_capacity(SAMPLE_CANDLES),
        });
        sample.first = time;
        sample.digits.extend(digits);
        count += 1;
    }
    drop(rows);
    if let Some(sample) = sample.as_mut().filter(|_| count == SAMPLE_CANDLES) {
        let mut oldest = connection.prepare_cached(OLDEST_TIME)?;
        sample.first =
            oldest.query_row((symbol, timeframe, FIRST_TIME_MILLISECONDS, END_TIME_MILLISECONDS), |row| row.get(0))?;
    }
    Ok(sample)
}

/// Text as bytes, because text that other programs have written may not be UTF-8 but has a place in the order of the
/// key.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

pub(super) fn text(row: &SqliteRow<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(column)?.as_bytes()?.to_vec())
}

/// The text of a price.
pub(super) fn price<'a>(row: &'a SqliteRow<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(row.get_ref(column)?.as_bytes()?)
}

/// The maximum number of decimal places among the four prices from `column` on; `None` if one of them is not a price.
fn digits(row: &SqliteRow<'_>, column: usize) -> rusqlite::Result<Option<u32>> {
    let mut most = 0;
    for column in column..column + 4 {
        let Some(digits) = fraction_digits(price(row, column)?) else { return Ok(None) };
        most = most.max(digits);
    }
    Ok(Some(most))
}
