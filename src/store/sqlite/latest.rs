//! Reads the newest candle of each series.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::series::{KEY_AFTER, Text, text};
use crate::store::latest::LatestRow;
use crate::store::series::{END_TIME_MILLISECONDS, FIRST_TIME_MILLISECONDS, Position, SeriesKey};

/// The series of forming candles after a given one.
static FORMING_KEY_AFTER: LazyLock<String> =
    LazyLock::new(|| KEY_AFTER.replace("market_data_candles", "market_data_live_candles"));

const NEWEST_CANDLE: &str = include_str!("sql/newest_candle.sql");

/// The newest candles of the `count` series after `position`, each of which has closed or forming ones.
pub(super) fn after(connection: &Connection, mut position: Position, count: usize) -> rusqlite::Result<Vec<LatestRow>> {
    let mut rows = Vec::new();
    while rows.len() < count {
        let next = [KEY_AFTER, &FORMING_KEY_AFTER].map(|key_after| key(connection, key_after, &position));
        let [closed, forming] = next;
        let Some(next) = [closed?, forming?].into_iter().flatten().min() else { break };
        position = next;
        rows.push(newest(connection, position.clone())?);
    }
    Ok(rows)
}

/// The newest candle of each of `keys`.
pub(super) fn of(connection: &Connection, keys: &[SeriesKey]) -> rusqlite::Result<Vec<LatestRow>> {
    keys.iter().map(|key| newest(connection, Position::after(key))).collect()
}

fn key(connection: &Connection, key_after: &str, position: &Position) -> rusqlite::Result<Option<Position>> {
    let (symbol, timeframe) = (Text(&position.symbol), Text(&position.timeframe));
    let mut statement = connection.prepare_cached(key_after)?;
    let key = |row: &Row<'_>| Ok(Position { symbol: text(row, 0)?, timeframe: text(row, 1)? });
    statement.query_row(named_params! {":symbol": symbol, ":timeframe": timeframe}, key).optional()
}

fn newest(connection: &Connection, position: Position) -> rusqlite::Result<LatestRow> {
    let mut statement = connection.prepare_cached(NEWEST_CANDLE)?;
    let parameters = named_params! {
        ":symbol": Text(&position.symbol), ":timeframe": Text(&position.timeframe),
        ":first": FIRST_TIME_MILLISECONDS, ":end": END_TIME_MILLISECONDS,
    };
    let newest = |row: &Row<'_>| {
        // Text that another program stored may not be UTF-8, and may hold line breaks, which would be taken for rows.
        let line = String::from_utf8_lossy(&text(row, 1)?).replace('\n', " ");
        Ok(((row.get::<_, i64>(0)?, line), row.get::<_, i64>(2)? * 1000))
    };
    let (newest, received) = statement.query_row(parameters, newest).optional()?.unzip();
    Ok(LatestRow { position, newest, received })
}
