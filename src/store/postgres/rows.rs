//! Binds candles to statements, and finds the candles of the rows that statements return.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres as Pg, Row as _};

use super::binary::{BoundColumn, BoundValue, CandleColumn};
use candle::{Batch, Candle, Written};

/// Binds the columns of `candles` in the order of [`CandleColumn::ALL`].
pub(super) fn bind<'q, C: AsRef<Candle> + Sync>(
    query: Query<'q, Pg, PgArguments>,
    candles: &'q [C],
) -> Query<'q, Pg, PgArguments> {
    CandleColumn::ALL.into_iter().fold(query, |query, column| query.bind(BoundColumn(column, candles)))
}

/// Binds the columns after symbol and timeframe, for candles of one series.
pub(super) fn bind_values<'q>(query: Query<'q, Pg, PgArguments>, candles: &'q [Candle]) -> Query<'q, Pg, PgArguments> {
    let columns = CandleColumn::ALL
        .into_iter()
        .skip_while(|column| matches!(column, CandleColumn::Symbol | CandleColumn::Timeframe));
    columns.fold(query, |query, column| query.bind(BoundColumn(column, candles)))
}

/// Binds the values of one candle in the order of [`CandleColumn::ALL`].
pub(super) fn bind_row<'q>(query: Query<'q, Pg, PgArguments>, candle: &'q Candle) -> Query<'q, Pg, PgArguments> {
    CandleColumn::ALL.into_iter().fold(query, |query, column| query.bind(BoundValue(column, candle)))
}

/// Finds the positions in `batch` of the candles that were written.
pub(super) fn written(batch: &Batch, rows: &[PgRow]) -> sqlx::Result<Written> {
    let mut written = Written::default();
    for row in rows {
        let is_closed = if row.len() > 3 { row.try_get(3)? } else { true };
        let time: DateTime<Utc> = row.try_get(2)?;
        let theirs: (&str, &str, i64) = (row.try_get(0)?, row.try_get(1)?, time.timestamp());
        if is_closed {
            written.closed.extend(position_of(theirs, batch.closed()));
        } else {
            written.forming.extend(position_of(theirs, batch.forming()));
        }
    }
    written.closed.sort_unstable();
    written.forming.sort_unstable();
    Ok(written)
}

/// The position of the candle with this symbol, timeframe and opening second.
pub(super) fn position_of<C: AsRef<Candle>>(key: (&str, &str, i64), candles: &[C]) -> Option<usize> {
    let found = candles.binary_search_by(|candle| {
        let own = &candle.as_ref().key;
        (own.symbol().as_str(), own.timeframe().name(), own.time().seconds()).cmp(&key)
    });
    found.ok()
}
