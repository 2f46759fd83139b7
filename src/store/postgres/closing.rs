//! Closes forming candles by the clock, and deletes those that a closed candle hides.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::engine::Engine;
use super::pool::{Pool, Purpose};
use super::retry::{read_with, write_with};
use super::runner::Runner;
use crate::errors::chain;
use crate::store::error::sql_state;
use crate::store::{ClosingOutcome, DueCandle, MAX_CLOSED_AT_ONCE, REFUSED_CLOSING_DELAY_SECONDS, StoreError};
use candle::{Batch, Timestamp};

/// Runs first, so that a database in which nothing is due is not written to.
const IS_ANY_DUE: &str =
    "select exists (select from market_data_live_candles where closes_at < 'infinity' and closes_at <= $1)";

/// Closes at most `$2` forming candles that are due at `$1`, in the state in which they are once they are locked.
/// Candles that a writer has locked are skipped, because it has a newer state, which the next round closes. The first
/// comparison makes the partial index applicable.
///
/// Lock order: writers lock closed candles before forming ones, and this statement the other way round. It therefore
/// waits for a writer's lock for less than the server takes to detect a deadlock (1 s), because a post may be waiting
/// for it meanwhile.
static CLOSE_DUE: LazyLock<String> = LazyLock::new(|| close(""));
static CLOSE_SYMBOL: LazyLock<String> = LazyLock::new(|| close("and symbol = $3"));
static CLOSE_ONE: LazyLock<String> =
    LazyLock::new(|| close(r#"and symbol = $3 and timeframe = $4 and "timestamp" = $5"#));

fn close(filter: &str) -> String {
    include_str!("sql/close_due.sql").replace("{filter}", filter)
}

/// The due candles that one statement closes.
#[derive(Debug, Clone)]
enum Extent {
    All,
    Symbol(String),
    Candle(DueKey),
}

const DUE: &str = r#"
    select symbol::text, timeframe::text, "timestamp" from market_data_live_candles
    where closes_at < 'infinity' and closes_at <= $1
    order by symbol collate "C", timeframe collate "C", "timestamp" limit $2"#;

const POSTPONE: &str = r#"
    update market_data_live_candles set closes_at = $1 where symbol = $2 and timeframe = $3 and "timestamp" = $4"#;

/// `$1` to `$3` are the keys, `$4` the times at which the clock may close these candles.
const KEEP_TIMES: &str = r#"
    update market_data_live_candles l set closes_at = f.closes_at
    from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        as f(symbol, timeframe, "timestamp", closes_at)
    where l.symbol = f.symbol and l.timeframe = f.timeframe and l."timestamp" = f."timestamp""#;

/// Skips rows that a writer has locked, because waiting for one could complete a deadlock.
const DELETE_HIDDEN: &str = r#"
    delete from market_data_live_candles where (symbol, timeframe, "timestamp") in (
        select l.symbol, l.timeframe, l."timestamp" from market_data_live_candles l
        where exists (
            select from market_data_candles c
            where c.symbol = l.symbol and c.timeframe = l.timeframe and c."timestamp" = l."timestamp")
        for update skip locked)"#;

/// Citus locks rows for no statement that runs on several servers. A deadlock with a writer is resolved there by a retry
/// of the writer, or by the next sweep.
const DELETE_HIDDEN_ON_CITUS: &str = r#"
    delete from market_data_live_candles l where exists (
        select from market_data_candles c
        where c.symbol = l.symbol and c.timeframe = l.timeframe and c."timestamp" = l."timestamp")"#;

/// The key of a candle that is due, as it is stored.
#[derive(Debug, Clone)]
struct DueKey {
    symbol: String,
    timeframe: String,
    time: DateTime<Utc>,
}

impl DueKey {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { symbol: row.try_get(0)?, timeframe: row.try_get(1)?, time: row.try_get(2)? })
    }

    fn symbol(&self) -> &str {
        &self.symbol
    }

    fn with(self, outcome: ClosingOutcome) -> DueCandle {
        DueCandle { symbol: self.symbol, timeframe: self.timeframe, time: self.time.timestamp_millis(), outcome }
    }
}

fn candle(row: &PgRow) -> sqlx::Result<DueCandle> {
    let outcome = if row.try_get(3)? { ClosingOutcome::Closed } else { ClosingOutcome::WasClosed };
    DueKey::read(row).map(|key| key.with(outcome))
}

/// Closes forming candles that are due, in their last state, all or none, at most [`MAX_CLOSED_AT_ONCE`]. If a writer
/// keeps one of them locked for too long, none is closed before the next round.
async fn close_due(connection: &mut PgConnection, now: Timestamp, extent: &Extent) -> sqlx::Result<Vec<DueCandle>> {
    let close = match extent {
        Extent::All => {
            if !sqlx::query_scalar::<_, bool>(IS_ANY_DUE).bind(now.to_chrono()).fetch_one(&mut *connection).await? {
                return Ok(Vec::new());
            }
            sqlx::query(&CLOSE_DUE).bind(now.to_chrono()).bind(MAX_CLOSED_AT_ONCE)
        }
        Extent::Symbol(symbol) => {
            sqlx::query(&CLOSE_SYMBOL).bind(now.to_chrono()).bind(MAX_CLOSED_AT_ONCE).bind(symbol)
        }
        Extent::Candle(DueKey { symbol, timeframe, time }) => {
            sqlx::query(&CLOSE_ONE).bind(now.to_chrono()).bind(1_i64).bind(symbol).bind(timeframe).bind(time)
        }
    };
    let rows = match close.fetch_all(connection).await {
        Err(error) if is_lock_timeout(&error) => return Ok(Vec::new()),
        rows => rows?,
    };
    rows.iter().map(candle).collect()
}

/// The keys of the candles that [`close_due`] would close.
async fn due(connection: &mut PgConnection, now: Timestamp) -> sqlx::Result<Vec<DueKey>> {
    let rows = sqlx::query(DUE).bind(now.to_chrono()).bind(MAX_CLOSED_AT_ONCE).fetch_all(connection).await?;
    rows.iter().map(DueKey::read).collect()
}

/// Makes a candle due again at `time`.
async fn postpone(connection: &mut PgConnection, key: &DueKey, time: Timestamp) -> sqlx::Result<()> {
    let statement = sqlx::query(POSTPONE).bind(time.to_chrono()).bind(&key.symbol).bind(&key.timeframe).bind(key.time);
    statement.execute(connection).await.map(drop)
}

/// Stores the times at which the clock may close the forming candles of a batch.
pub(super) async fn keep_times(connection: &mut PgConnection, batch: &Batch) -> sqlx::Result<()> {
    let (mut symbols, mut timeframes, mut opened, mut closes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for forming in batch.forming() {
        if let Some(time) = forming.closes_at() {
            let key = &forming.candle.key;
            symbols.push(key.symbol().as_str());
            timeframes.push(key.timeframe().name());
            opened.push(key.time().to_chrono());
            closes.push(time.to_chrono());
        }
    }
    let statement = sqlx::query(KEEP_TIMES).bind(symbols).bind(timeframes).bind(opened).bind(closes);
    statement.execute(connection).await.map(drop)
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    error.as_database_error().and_then(sql_state) == Some(LOCK_NOT_AVAILABLE)
}

/// Deletes forming candles that are also stored as closed, and returns their number.
async fn delete_hidden(connection: &mut PgConnection, engine: Engine) -> sqlx::Result<u64> {
    let delete = if engine == Engine::Citus { DELETE_HIDDEN_ON_CITUS } else { DELETE_HIDDEN };
    sqlx::query(delete).execute(connection).await.map(|done| done.rows_affected())
}

pub(super) async fn sweep(runner: &Runner) -> Result<u64, StoreError> {
    let engine = runner.engine()?;
    let delete = move |pool: Pool| async move {
        pool.run(Purpose::Write { by: None }, async |connection| delete_hidden(connection, engine).await).await
    };
    match runner.on_primary(delete).await {
        // A standby cannot be written, and the primary's service sweeps.
        Err(StoreError::ReadOnly(_)) => Ok(0),
        result => result,
    }
}

pub(super) async fn close_all_due(runner: &Runner, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
    let close = async {
        if runner.engine()? == Engine::Citus {
            return close_by_symbol(runner, now).await;
        }
        match close_candles(runner, now, Extent::All).await {
            Err(StoreError::ConstraintViolated(_)) => close_one_by_one(runner, now, due_keys(runner, now).await?).await,
            result => result,
        }
    };
    match close.await {
        // A standby cannot be written, and the primary's service closes.
        Err(StoreError::ReadOnly(_)) => Ok(Vec::new()),
        result => result,
    }
}

async fn close_candles(runner: &Runner, now: Timestamp, extent: Extent) -> Result<Vec<DueCandle>, StoreError> {
    let close = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| close_due(connection, now, &extent))
    };
    runner.on_primary(close).await
}

async fn due_keys(runner: &Runner, now: Timestamp) -> Result<Vec<DueKey>, StoreError> {
    let due = move |pool: Pool| async move { read_with!(pool, |connection| due(connection, now)) };
    runner.on_primary(due).await
}

/// Closes the due candles of each symbol in a statement of their own, because Citus locks rows on one server only.
async fn close_by_symbol(runner: &Runner, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
    let mut candles = Vec::new();
    for keys in due_keys(runner, now).await?.chunk_by(|one, next| one.symbol() == next.symbol()) {
        match close_candles(runner, now, Extent::Symbol(keys[0].symbol().to_owned())).await {
            Err(StoreError::ConstraintViolated(_)) => {
                candles.extend(close_one_by_one(runner, now, keys.to_vec()).await?);
            }
            closed => candles.extend(closed?),
        }
    }
    Ok(candles)
}

/// Closes each of these candles in a statement of its own, so that a refused candle does not keep the others from
/// being closed.
async fn close_one_by_one(runner: &Runner, now: Timestamp, keys: Vec<DueKey>) -> Result<Vec<DueCandle>, StoreError> {
    let mut candles = Vec::new();
    for key in keys {
        match close_candles(runner, now, Extent::Candle(key.clone())).await {
            Ok(closed) => candles.extend(closed),
            Err(StoreError::ConstraintViolated(cause)) => {
                let (one, later) = (key.clone(), now.plus_seconds(REFUSED_CLOSING_DELAY_SECONDS));
                let postpone = move |pool: Pool| async move {
                    write_with!(pool, Purpose::Write { by: None }, |connection| postpone(connection, &one, later))
                };
                runner.on_primary(postpone).await?;
                candles.push(key.with(ClosingOutcome::Refused(chain(&cause).to_string())));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(candles)
}
