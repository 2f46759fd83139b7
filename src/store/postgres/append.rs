//! Writes candles: with COPY if every candle is likely to be new, else with one INSERT that skips stored candles.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres as Pg, Row};

use super::binary::{COPY_HEADER, COPY_TRAILER, ClosingTimes, write_row};
use super::citus_append;
use super::engine::Engine;
use super::rows::{bind, written};
use crate::store::Appended;
use crate::store::error::sql_state;
use candle::{Batch, Candle};

/// Binds `$1` to `$8`, the columns of both tables in the order of
/// [`CandleColumn::ALL`](super::binary::CandleColumn::ALL).
const INSERT_CLOSED: &str = include_str!("sql/insert_closed.sql");
const INSERT_CLOSED_RETURNING_KEYS: &str =
    concat!(include_str!("sql/insert_closed.sql"), r#"returning symbol, timeframe, "timestamp""#);

/// One statement for both kinds, so that a batch needs no transaction of several round trips. `$17` holds the times at
/// which the clock may close the forming candles.
///
/// Lock order: `forming` reads `counted`, which reads `closed`, and is therefore written after it, so that every writer
/// locks rows in the same order.
///
/// A state with less volume than the stored one is older, was overtaken on the way, and is ignored. If the stored state
/// is too old for that, the terminal has resynchronised its history, and the new state replaces it.
const INSERT_BOTH: &str = concat!(
    include_str!("sql/insert_both.sql"),
    "select added, (select count(*) from forming) as forming from counted"
);
const INSERT_BOTH_RETURNING_KEYS: &str = concat!(
    include_str!("sql/insert_both.sql"),
    "select *, true as closed from closed union all select *, false from forming"
);

const COPY_CLOSED: &str = r#"copy market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    from stdin with (format binary)"#;

fn counts(added: u64, forming: u64) -> Appended {
    let count = |rows| usize::try_from(rows).unwrap_or(usize::MAX);
    Appended { added: count(added), forming: count(forming) }
}

/// Inserts closed candles that are not stored yet, and inserts or replaces forming ones.
pub(super) async fn insert(connection: &mut PgConnection, engine: Engine, batch: &Batch) -> sqlx::Result<Appended> {
    if engine == Engine::Citus {
        let rows = citus_append::insert(connection, batch).await?;
        return Ok(written(batch, &rows)?.into());
    }
    if batch.forming().is_empty() {
        let done = bind(sqlx::query(INSERT_CLOSED), batch.closed()).execute(connection).await?;
        return Ok(counts(done.rows_affected(), 0));
    }
    let row = bind_both(sqlx::query(INSERT_BOTH), batch).fetch_one(connection).await?;
    let column = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    Ok(counts(column("added")?, column("forming")?))
}

/// Like [`insert`], but returns the keys of the changed candles, for [`written`].
pub(super) async fn insert_returning_positions(
    connection: &mut PgConnection,
    engine: Engine,
    batch: &Batch,
) -> sqlx::Result<Vec<PgRow>> {
    if engine == Engine::Citus {
        return citus_append::insert(connection, batch).await;
    }
    let query = if batch.forming().is_empty() {
        bind(sqlx::query(INSERT_CLOSED_RETURNING_KEYS), batch.closed())
    } else {
        bind_both(sqlx::query(INSERT_BOTH_RETURNING_KEYS), batch)
    };
    query.fetch_all(connection).await
}

/// The outcome of a COPY.
#[derive(Debug)]
pub(super) enum Copied {
    /// All candles are stored.
    All(Appended),
    /// None is stored, most likely because one of them already was.
    Nothing,
    /// None is stored, and COPY will keep failing, because row security has been turned on since the start.
    Forbidden,
}

/// Writes closed candles with COPY, all or none, at about half of the server's cost of an INSERT.
pub(super) async fn copy(connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<Copied> {
    // SQLSTATEs (PostgreSQL documentation, appendix A): the class of violated constraints, and "feature not supported".
    const CONSTRAINT: &str = "23";
    const NOT_SUPPORTED: &str = "0A000";
    let error = match send_copy(connection, candles).await {
        Ok(rows) => return Ok(Copied::All(counts(rows, 0))),
        Err(error) => error,
    };
    match error.as_database_error().and_then(sql_state) {
        Some(state) if state.starts_with(CONSTRAINT) => Ok(Copied::Nothing),
        Some(NOT_SUPPORTED) => Ok(Copied::Forbidden),
        _ => Err(error),
    }
}

async fn send_copy(connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<u64> {
    /// The size of a chunk. The server works on one chunk while the next is encoded.
    const COPY_CHUNK_BYTES: usize = 64 * 1024;
    let mut copy = connection.copy_in_raw(COPY_CLOSED).await?;
    let mut bytes = Vec::with_capacity(COPY_CHUNK_BYTES + 1024);
    bytes.extend_from_slice(COPY_HEADER);
    for candle in candles {
        write_row(candle, &mut bytes);
        if bytes.len() >= COPY_CHUNK_BYTES {
            copy.send(&*bytes).await?;
            bytes.clear();
        }
    }
    bytes.extend_from_slice(COPY_TRAILER);
    copy.send(&*bytes).await?;
    copy.finish().await
}

fn bind_both<'q>(query: Query<'q, Pg, PgArguments>, batch: &'q Batch) -> Query<'q, Pg, PgArguments> {
    bind(bind(query, batch.closed()), batch.forming()).bind(ClosingTimes(batch.forming()))
}
