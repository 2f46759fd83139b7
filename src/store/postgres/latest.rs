//! Reads the newest candle of each series.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::series::{count, text};
use crate::store::latest::LatestRow;
use crate::store::series::{Position, SeriesKey};
use crate::store::{StoreError, unreadable};

pub(super) const ROWS: &str = include_str!("sql/latest_rows.sql");
pub(super) const NEWEST_CANDLE: &str = include_str!("sql/newest_candle.sql");

/// Selects the series after a position that have closed or forming candles, by a loose index scan over both tables, and the
/// newest candle of each.
static AFTER: LazyLock<String> =
    LazyLock::new(|| format!("{}{ROWS}from series\n{NEWEST_CANDLE}", include_str!("sql/latest_after.sql")));

/// Selects the newest candle of each of some series.
static OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{ROWS}from unnest($1::text[], $2::text[]) with ordinality as series(symbol, timeframe, number)\n{NEWEST_CANDLE}"
    )
});

pub(super) async fn after(connection: &mut PgConnection, position: &Position, limit: usize) -> sqlx::Result<PgRow> {
    let (symbol, timeframe) = (text(&position.symbol)?, text(&position.timeframe)?);
    sqlx::query(&AFTER).bind(symbol).bind(timeframe).bind(count(limit)).fetch_one(connection).await
}

pub(super) async fn of(connection: &mut PgConnection, keys: &[SeriesKey]) -> sqlx::Result<PgRow> {
    let (symbols, timeframes): (Vec<_>, Vec<_>) =
        keys.iter().map(|key| (key.symbol.as_str(), key.timeframe.name())).unzip();
    sqlx::query(&OF).bind(symbols).bind(timeframes).fetch_one(connection).await
}

/// Decodes the rows of [`after`] or [`of`].
pub(super) fn rows<'a>(rows: impl IntoIterator<Item = &'a PgRow>) -> Result<Vec<LatestRow>, StoreError> {
    let rows = rows.into_iter().map(decoded).collect::<sqlx::Result<Vec<_>>>().map_err(unreadable)?;
    Ok(rows.into_iter().flatten().collect())
}

fn decoded(row: &PgRow) -> sqlx::Result<Vec<LatestRow>> {
    let symbols: Vec<String> = row.try_get(0)?;
    let timeframes: Vec<String> = row.try_get(1)?;
    let times: Vec<Option<i64>> = row.try_get(2)?;
    let lines: Vec<Option<String>> = row.try_get(3)?;
    let received: Vec<Option<i64>> = row.try_get(4)?;
    let keys = symbols.into_iter().zip(timeframes);
    let rows = keys.zip(times).zip(lines).zip(received).map(|((((symbol, timeframe), time), line), received)| {
        let position = Position { symbol: symbol.into(), timeframe: timeframe.into() };
        LatestRow { position, newest: time.zip(line), received }
    });
    Ok(rows.collect())
}
