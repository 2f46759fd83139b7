//! Reads the catalogue of series from tables that Citus distributes.
//!
//! Citus runs a loose index scan only within one symbol, whose rows are on one server. So the symbols are found one
//! after the other, each with a statement that every server answers from its index, and the rest symbol by symbol.
//! `distinct` would be a single statement, but it reads every row of the index.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::pool::{Pool, PoolError};
use super::retry::read_with;
use super::series::{count, text};
use crate::store::precision::SAMPLE_CANDLES;
use crate::store::series::{Position, SeriesKey};

const NEXT_SYMBOL: &str = include_str!("sql/citus_next_symbol.sql");
const TIMEFRAMES_AFTER: &str = include_str!("sql/citus_timeframes_after.sql");
const SAMPLES: &str = include_str!("sql/citus_samples.sql");

/// The symbol after one that has closed candles.
pub(super) async fn next_symbol(connection: &mut PgConnection, symbol: &[u8]) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(NEXT_SYMBOL).bind(text(symbol)?).fetch_optional(connection).await
}

async fn timeframes_after(
    connection: &mut PgConnection,
    position: &Position,
    limit: usize,
) -> sqlx::Result<Vec<String>> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    sqlx::query_scalar(TIMEFRAMES_AFTER).bind(symbol).bind(timeframe).bind(count(limit)).fetch_one(connection).await
}

/// The series after a position, at most `limit`.
pub(super) async fn keys_after(pool: Pool, start: Position, limit: usize) -> Result<Vec<Position>, PoolError> {
    let (mut keys, mut position) = (Vec::new(), start);
    loop {
        let left = limit - keys.len();
        let timeframes = read_with!(pool, |connection| timeframes_after(connection, &position, left))?;
        let key = |timeframe: String| Position { symbol: position.symbol.clone(), timeframe: timeframe.into() };
        keys.extend(timeframes.into_iter().map(key));
        if keys.len() >= limit {
            return Ok(keys);
        }
        let Some(symbol) = read_with!(pool, |connection| next_symbol(connection, &position.symbol))? else {
            return Ok(keys);
        };
        position = Position { symbol: symbol.into(), timeframe: Vec::new() };
    }
}

/// The symbols after one, at most `limit`.
pub(super) async fn symbols_after(pool: Pool, start: Vec<u8>, limit: usize) -> Result<Vec<Vec<u8>>, PoolError> {
    let (mut symbols, mut last) = (Vec::new(), start);
    while symbols.len() < limit {
        let Some(symbol) = read_with!(pool, |connection| next_symbol(connection, &last))? else { break };
        last = symbol.into();
        symbols.push(last.clone());
    }
    Ok(symbols)
}

/// Like [`super::series::samples`]. The series of one symbol are read together.
pub(super) async fn samples(pool: Pool, keys: Vec<SeriesKey>) -> Result<Vec<PgRow>, PoolError> {
    let mut rows = Vec::with_capacity(keys.len());
    let mut before = 0;
    for keys in keys.chunk_by(|one, next| one.symbol == next.symbol) {
        let timeframes: Vec<_> = keys.iter().map(|key| key.timeframe.name()).collect();
        rows.extend(read_with!(pool, |connection| {
            let statement = sqlx::query(SAMPLES).bind(keys[0].symbol.as_str()).bind(&timeframes);
            statement.bind(count(SAMPLE_CANDLES)).bind(count(before)).fetch_all(connection)
        })?);
        before += keys.len();
    }
    Ok(rows)
}
