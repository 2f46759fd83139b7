//! Builds the index that becomes the primary key's: with the values of a candle beside its key.
//!
//! Candles lie in the table as they came. Where many series grow together, each candle of a page lies in another block,
//! but their entries in the index lie side by side. An index that holds the values answers a page alone.
//!
//! On a large table that takes minutes, so it is built while other processes read and write. PostgreSQL then waits for
//! every transaction that may not see it, which may be one that waits for the lock of the migrations. So that lock must
//! not be held meanwhile.

use std::time::Duration;

use sqlx::{Executor as _, PgConnection};
use tokio::time::sleep;
use tracing::{info, warn};

use super::watch::Watch;
use crate::errors::chain;
use crate::store::StoreError;
use crate::store::error::sql_state;

const DROP: &str = "drop index concurrently if exists market_data_candles_covering";
const BUILD: &str = r#"create unique index concurrently market_data_candles_covering
    on market_data_candles (symbol, timeframe, "timestamp") include (open, high, low, close, volume)"#;

/// Builds the index, unless it is there or the key of this table stays as it is. The migration puts it in its place.
///
/// # Errors
/// When the connection is lost. If the server cannot build the index, a warning says so, and the key stays as it is.
pub(super) async fn build(connection: &mut PgConnection, watch: &Watch<'_>) -> Result<(), StoreError> {
    const UNLOCK: &str = "select pg_advisory_unlock(hashtextextended('candlewick covering key', 0))";
    lock(connection).await?;
    build_locked(connection, watch).await?;
    connection.execute(UNLOCK).await?;
    Ok(())
}

/// Waits until no other process builds the index. Between its looks this connection has no transaction, for which the
/// other process would wait.
async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    const TRY_LOCK: &str = "select pg_try_advisory_lock(hashtextextended('candlewick covering key', 0))";
    const PAUSE: Duration = Duration::from_secs(1);
    let mut has_waited = false;
    while !sqlx::query_scalar::<_, bool>(TRY_LOCK).fetch_one(&mut *connection).await? {
        if !has_waited {
            info!("waiting for another process that builds an index of the same table");
        }
        has_waited = true;
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn build_locked(connection: &mut PgConnection, watch: &Watch<'_>) -> Result<(), StoreError> {
    const STATE: &str = include_str!("sql/covering_key.sql");
    let Some((is_there, is_whole)) = sqlx::query_as::<_, (bool, bool)>(STATE).fetch_optional(&mut *connection).await?
    else {
        return Ok(());
    };
    if is_whole {
        return Ok(());
    }
    if is_there {
        // A process that ended while it built the index has left it.
        watch.over("an index that was built in part is being dropped", connection.execute(DROP)).await??;
    }
    let name = "an index is being built with which pages of market_data_candles are read faster; meanwhile candles \
                can be posted and read";
    match watch.over(name, connection.execute(BUILD)).await? {
        Ok(_) => Ok(()),
        Err(error) if is_of_the_table(&error) => {
            let cause = chain(&error).to_string();
            warn!(cause, "the index cannot be built, so the primary key of market_data_candles stays as it is");
            connection.execute(DROP).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns true if building the index again would fail likewise: rows too large for an index, no room on the disk, or
/// no permission (PostgreSQL documentation, appendix A: classes 54, 53 and 42).
fn is_of_the_table(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(sql_state);
    state.is_some_and(|state| ["54", "53", "42"].iter().any(|class| state.starts_with(class)))
}
