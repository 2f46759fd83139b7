//! Forming candles that the clock closes, and those that a closed candle hides.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::{ClosedByClock, MAX_CLOSED_AT_ONCE};

/// `?1` is the time in epoch milliseconds. Its first comparison names the index.
const DUE: &str = "
    select symbol, timeframe, timestamp from market_data_live_candles
    where closes_at < 9223372036854775807 and closes_at <= ?1
    order by symbol, timeframe, timestamp limit ?2";

/// Asked first, so that a file in which nothing is due is not written to.
const IS_ANY_DUE: &str = "
    select exists (
        select 1 from market_data_live_candles where closes_at < 9223372036854775807 and closes_at <= ?1)";

const CLOSE: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select symbol, timeframe, timestamp, open, high, low, close, volume from market_data_live_candles
    where symbol = ?1 and timeframe = ?2 and timestamp = ?3
    on conflict do nothing";

const DELETE: &str = "delete from market_data_live_candles where symbol = ?1 and timeframe = ?2 and timestamp = ?3";

const DELETE_HIDDEN: &str = "
    delete from market_data_live_candles as l where exists (
        select 1 from market_data_candles c
        where c.symbol = l.symbol and c.timeframe = l.timeframe and c.timestamp = l.timestamp)";

/// Closes the forming candles whose time has come, in their last state, all of them or none.
pub(super) fn close_due(connection: &mut Connection, now_millis: i64) -> rusqlite::Result<Vec<ClosedByClock>> {
    if !connection.prepare_cached(IS_ANY_DUE)?.query_row([now_millis], |row| row.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut closed = Vec::new();
    {
        let mut due = transaction.prepare_cached(DUE)?;
        let keys =
            due.query_map((now_millis, MAX_CLOSED_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let keys: Vec<(String, String, i64)> = keys.collect::<rusqlite::Result<_>>()?;
        let mut close = transaction.prepare_cached(CLOSE)?;
        let mut delete = transaction.prepare_cached(DELETE)?;
        for (symbol, timeframe, time) in keys {
            let is_new = close.execute((&symbol, &timeframe, time))? > 0;
            delete.execute((&symbol, &timeframe, time))?;
            closed.push(ClosedByClock { timeframe, time, is_new });
        }
    }
    transaction.commit()?;
    Ok(closed)
}

/// Removes forming candles whose closed form is stored, and says how many.
pub(super) fn delete_hidden(connection: &mut Connection) -> rusqlite::Result<usize> {
    connection.execute(DELETE_HIDDEN, ())
}
