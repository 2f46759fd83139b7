//! Forming candles that the clock closes, and those that a closed candle hides.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::candle::Timestamp;
use crate::store::{ClosedByClock, MAX_CLOSED_AT_ONCE};

/// Asked first, so that a database in which nothing is due is not written to.
const IS_ANY_DUE: &str =
    "select exists (select from market_data_live_candles where closes_at < 'infinity' and closes_at <= $1)";

/// Closes the forming candles whose time `$1` has come, at most `$2`, in the state that they are in once they are locked:
/// a writer that holds one has a newer state, which the next round closes. The first comparison names the index.
const CLOSE_DUE: &str = r#"
    with due as (
        select symbol, timeframe, "timestamp", open, high, low, close, volume
        from market_data_live_candles
        where closes_at < 'infinity' and closes_at <= $1
        order by symbol collate "C", timeframe collate "C", "timestamp"
        limit $2
        for update skip locked
    ), closed as (
        insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
        select symbol, timeframe, "timestamp", open, high, low, close, volume from due
        on conflict (symbol, timeframe, "timestamp") do nothing
        returning symbol, timeframe, "timestamp"
    ), deleted as (
        delete from market_data_live_candles l using due
        where l.symbol = due.symbol and l.timeframe = due.timeframe and l."timestamp" = due."timestamp"
    )
    select due.timeframe::text, due."timestamp", closed.symbol is not null
    from due left join closed using (symbol, timeframe, "timestamp")"#;

/// Skips what a writer holds: a sweep that waited could close a circle of waiting writers.
const DELETE_HIDDEN: &str = r#"
    delete from market_data_live_candles where (symbol, timeframe, "timestamp") in (
        select l.symbol, l.timeframe, l."timestamp" from market_data_live_candles l
        where exists (
            select from market_data_candles c
            where c.symbol = l.symbol and c.timeframe = l.timeframe and c."timestamp" = l."timestamp")
        for update skip locked)"#;

/// Closes the forming candles whose time has come, in their last state, all of them or none.
pub(super) async fn close_due(connection: &mut PgConnection, now: Timestamp) -> sqlx::Result<Vec<ClosedByClock>> {
    let now = DateTime::from_timestamp_millis(now.millis()).unwrap_or(DateTime::<Utc>::MIN_UTC);
    if !sqlx::query_scalar::<_, bool>(IS_ANY_DUE).bind(now).fetch_one(&mut *connection).await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(CLOSE_DUE).bind(now).bind(MAX_CLOSED_AT_ONCE).fetch_all(connection).await?;
    let one = |row: &PgRow| {
        let time: DateTime<Utc> = row.try_get(1)?;
        Ok(ClosedByClock { timeframe: row.try_get(0)?, time: time.timestamp_millis(), is_new: row.try_get(2)? })
    };
    rows.iter().map(one).collect()
}

/// Removes forming candles whose closed form is stored, and says how many.
pub(super) async fn delete_hidden(connection: &mut PgConnection) -> sqlx::Result<u64> {
    sqlx::query(DELETE_HIDDEN).execute(connection).await.map(|done| done.rows_affected())
}
