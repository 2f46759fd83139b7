//! Reads the newest candle of each series from tables that Citus distributes, symbol by symbol as [`super::citus_series`]
//! does.

use std::sync::LazyLock;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::citus_series::next_symbol;
use super::latest::{NEWEST_CANDLE, ROWS};
use super::pool::{Pool, PoolError};
use super::retry::read_with;
use super::series::{count, text};
use crate::store::series::{Position, SeriesKey};

/// Selects the series of the symbol `$1` after a timeframe, and the newest candle of each.
static AFTER: LazyLock<String> =
    LazyLock::new(|| format!("{}{ROWS}from series\n{}", include_str!("sql/citus_latest_after.sql"), newest_candle()));

/// Selects the newest candle of each of some series of the symbol `$1`.
static OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{ROWS}from (select $1::text as symbol, timeframe, number \
         from unnest($2::text[]) with ordinality as given(timeframe, number)) as series\n{}",
        newest_candle()
    )
});

/// Citus recognises that a statement concerns one server by the symbol in each condition.
fn newest_candle() -> String {
    NEWEST_CANDLE.replace("series.symbol", "$1")
}

async fn of_symbol(connection: &mut PgConnection, position: &Position, limit: usize) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    sqlx::query(&AFTER).bind(symbol).bind(timeframe).bind(count(limit)).fetch_one(connection).await
}

/// The symbol after one that has closed or forming candles.
async fn symbol_after(connection: &mut PgConnection, symbol: &[u8]) -> sqlx::Result<Option<String>> {
    const FORMING: &str =
        "select l.symbol::text from market_data_live_candles l where l.symbol > $1 order by l.symbol limit 1";
    let closed = next_symbol(connection, symbol).await?;
    let forming = sqlx::query_scalar(FORMING).bind(text(symbol)?).fetch_optional(connection).await?;
    Ok(closed.into_iter().chain(forming).min())
}

/// Like [`super::latest::after`], with a row for each symbol.
pub(super) async fn after(pool: Pool, start: Position, limit: usize) -> Result<Vec<PgRow>, PoolError> {
    let (mut rows, mut position, mut left) = (Vec::new(), start, limit);
    loop {
        let row = read_with!(pool, |connection| of_symbol(connection, &position, left))?;
        // A row that cannot be decoded is reported by the caller.
        left = left.saturating_sub(sqlx::Row::try_get::<Vec<String>, _>(&row, 0).map_or(left, |symbols| symbols.len()));
        rows.push(row);
        if left == 0 {
            return Ok(rows);
        }
        let Some(symbol) = read_with!(pool, |connection| symbol_after(connection, &position.symbol))? else {
            return Ok(rows);
        };
        position = Position { symbol: symbol.into(), timeframe: Vec::new() };
    }
}

/// Like [`super::latest::of`], with a row for each symbol.
pub(super) async fn of(pool: Pool, keys: Vec<SeriesKey>) -> Result<Vec<PgRow>, PoolError> {
    let mut rows = Vec::new();
    for keys in keys.chunk_by(|one, next| one.symbol == next.symbol) {
        let timeframes: Vec<_> = keys.iter().map(|key| key.timeframe.name()).collect();
        rows.push(read_with!(pool, |connection| {
            sqlx::query(&OF).bind(keys[0].symbol.as_str()).bind(&timeframes).fetch_one(connection)
        })?);
    }
    Ok(rows)
}
