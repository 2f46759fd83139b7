//! Opening times of the newest closed candles by timeframe, in a table of their own.

use rusqlite::{Connection, TransactionBehavior};
use sqlx::SqlitePool;

const SELECT: &str = "select timeframe, timestamp from market_data_newest_candles";

const UPSERT: &str = "
    insert into market_data_newest_candles as kept (timeframe, timestamp) values (?1, ?2)
    on conflict (timeframe) do update set timestamp = excluded.timestamp where excluded.timestamp > kept.timestamp";

/// Reads them in epoch milliseconds.
pub(super) async fn read(readers: &SqlitePool) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(SELECT).fetch_all(readers).await
}

/// Keeps each where it is later than the one that is kept.
pub(super) fn keep(connection: &mut Connection, rows: &[(&'static str, i64)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        transaction.execute(UPSERT, *row)?;
    }
    transaction.commit()
}
