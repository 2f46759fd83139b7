//! Closes forming candles by the clock, and deletes those that a closed candle hides.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::store::{ClosingOutcome, DueCandle, MAX_CLOSED_AT_ONCE, REFUSED_CLOSING_DELAY_SECONDS};
use candle::Batch;

/// Runs first, so that a file in which nothing is due is not written to. `?1` is the time in epoch milliseconds. The
/// first comparison makes the partial index applicable.
const IS_ANY_DUE: &str = "
    select exists (
        select 1 from market_data_live_candles where closes_at < 9223372036854775807 and closes_at <= ?1)";

const DUE: &str = "
    select symbol, timeframe, timestamp from market_data_live_candles
    where closes_at < 9223372036854775807 and closes_at <= ?1
    order by symbol, timeframe, timestamp limit ?2";

const CLOSE: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select symbol, timeframe, timestamp, open, high, low, close, volume from market_data_live_candles
    where symbol = ?1 and timeframe = ?2 and timestamp = ?3
    on conflict do nothing";

const DELETE: &str = "delete from market_data_live_candles where symbol = ?1 and timeframe = ?2 and timestamp = ?3";

const SET_CLOSING_TIME: &str = "
    update market_data_live_candles set closes_at = ?4 where symbol = ?1 and timeframe = ?2 and timestamp = ?3";

const DELETE_HIDDEN: &str = "
    delete from market_data_live_candles as l where exists (
        select 1 from market_data_candles c
        where c.symbol = l.symbol and c.timeframe = l.timeframe and c.timestamp = l.timestamp)";

/// Closes the forming candles that are due, in their last state.
pub(super) fn close_due(connection: &mut Connection, now_millis: i64) -> rusqlite::Result<Vec<DueCandle>> {
    if !connection.prepare_cached(IS_ANY_DUE)?.query_row([now_millis], |row| row.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut candles = Vec::new();
    {
        let mut due = transaction.prepare_cached(DUE)?;
        let keys =
            due.query_map((now_millis, MAX_CLOSED_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let keys: Vec<(String, String, i64)> = keys.collect::<rusqlite::Result<_>>()?;
        let mut close = transaction.prepare_cached(CLOSE)?;
        let mut delete = transaction.prepare_cached(DELETE)?;
        for (symbol, timeframe, time) in keys {
            // A refused statement rolls back only its own changes.
            let outcome = match close.execute((&symbol, &timeframe, time)) {
                Ok(0) => ClosingOutcome::WasClosed,
                Ok(_) => ClosingOutcome::Closed,
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    ClosingOutcome::Refused(error.to_string())
                }
                Err(error) => return Err(error),
            };
            if matches!(outcome, ClosingOutcome::Refused(_)) {
                let later = now_millis + REFUSED_CLOSING_DELAY_SECONDS * 1000;
                transaction.prepare_cached(SET_CLOSING_TIME)?.execute((&symbol, &timeframe, time, later))?;
            } else {
                delete.execute((&symbol, &timeframe, time))?;
            }
            candles.push(DueCandle { symbol, timeframe, time, outcome });
        }
    }
    transaction.commit()?;
    Ok(candles)
}

/// Stores the times at which the clock may close the forming candles of a batch.
pub(super) fn keep_times(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut set = transaction.prepare_cached(SET_CLOSING_TIME)?;
        for forming in batch.forming() {
            if let Some(time) = forming.closes_at() {
                let key = &forming.candle.key;
                set.execute((key.symbol().as_str(), key.timeframe().name(), key.time().millis(), time.millis()))?;
            }
        }
    }
    transaction.commit()
}

/// Deletes forming candles that are also stored as closed, and returns their number.
pub(super) fn delete_hidden(connection: &mut Connection) -> rusqlite::Result<usize> {
    connection.execute(DELETE_HIDDEN, ())
}
