//! The opening time of the newest closed candle of each timeframe, in a separate table.

use rusqlite::{Connection, TransactionBehavior};
use sqlx::SqlitePool;

const SELECT: &str = "select timeframe, timestamp from market_data_newest_candles";

const UPSERT: &str = "
    insert into market_data_newest_candles as kept (timeframe, timestamp) values (?1, ?2)
    on conflict (timeframe) do update set timestamp = excluded.timestamp where excluded.timestamp > kept.timestamp";

/// Reads the timeframes and their times, in epoch milliseconds.
pub(super) async fn read(readers: &SqlitePool) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(SELECT).fetch_all(readers).await
}

/// Stores each time that is later than the stored one of its timeframe.
pub(super) fn keep(connection: &mut Connection, rows: &[(&'static str, i64)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        transaction.execute(UPSERT, *row)?;
    }
    transaction.commit()
}
