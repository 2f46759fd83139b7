//! Candles in PostgreSQL. [`setup`] makes first contact, [`pool`] lends connections, this file holds the operations.

mod pool;
mod setup;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres as Pg, Row};
use tokio_util::task::TaskTracker;

use super::{
    Appended, Direction, PoolUse, Range, Series, StoreError, StoredCandles, Written, WrittenKey, not_prepared,
    to_the_end,
};
use crate::candle::{Batch, Candle, Side, Symbol, Timeframe};
use pool::{Pool, PoolError, Purpose};

/// A PostgreSQL database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Postgres(Arc<Shared>);

struct Shared {
    options: PgConnectOptions,
    work: Pool,
    /// One connection of its own, so that a probe never waits behind work.
    probe: Pool,
    prepared: AtomicBool,
    tasks: TaskTracker,
}

impl fmt::Debug for Shared {
    /// Where it connects to, but not as whom: sqlx would print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("tls", &self.options.get_ssl_mode())
            .finish_non_exhaustive()
    }
}

/// Columns of both tables in the order in which [`bind_candles`] binds them.
macro_rules! columns {
    () => {
        r#"symbol, timeframe, "timestamp", open, high, low, close, volume"#
    };
}

/// Binds `$1` to `$8`.
macro_rules! insert_closed {
    () => {
        concat!(
            "insert into market_data_candles (",
            columns!(),
            r#") select * from unnest(
                   $1::text[], $2::text[], $3::timestamptz[], $4::text[]::numeric[], $5::text[]::numeric[],
                   $6::text[]::numeric[], $7::text[]::numeric[], $8::bigint[])
               on conflict (symbol, timeframe, "timestamp") do nothing"#
        )
    };
}

const INSERT_CLOSED: &str = insert_closed!();
const INSERT_CLOSED_TELLING: &str = concat!(insert_closed!(), r#" returning symbol, timeframe, "timestamp""#);

/// One statement for both kinds, so that a batch needs no transaction of several round trips. `live` reads `closed`
/// and is therefore written after it: every writer locks rows in the same order.
macro_rules! insert_both {
    ($select:literal) => {
        concat!(
            "with closed as (",
            insert_closed!(),
            r#" returning symbol, timeframe, "timestamp"),
     counted as (select count(*) as added from closed),
     live as (insert into market_data_live_candles as stored ("#,
            columns!(),
            r#") select f.symbol, f.timeframe, f."timestamp", f.open, f.high, f.low, f.close, f.volume
       from counted, unnest(
           $9::text[], $10::text[], $11::timestamptz[], $12::text[]::numeric[], $13::text[]::numeric[],
           $14::text[]::numeric[], $15::text[]::numeric[], $16::bigint[]) with ordinality
           as f(symbol, timeframe, "timestamp", open, high, low, close, volume, position)
       where not exists (
           select from market_data_candles c
           where c.symbol = f.symbol and c.timeframe = f.timeframe and c."timestamp" = f."timestamp")
       order by f.position
       on conflict (symbol, timeframe, "timestamp") do update set
           open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
           volume = excluded.volume, updated_at = now()
           where excluded.volume >= stored.volume
       returning symbol, timeframe, "timestamp")
     "#,
            $select
        )
    };
}

const INSERT_BOTH: &str = insert_both!("select added, (select count(*) from live) as live from counted");
const INSERT_BOTH_TELLING: &str =
    insert_both!("select *, true as closed from closed union all select *, false from live");

/// Both tables, each by its key's index from the wanted end; a closed candle hides the forming one of its time.
macro_rules! select_range {
    ($order:literal) => {
        concat!(
            r#"select * from (
                 (select "timestamp", open::text, high::text, low::text, close::text, volume, true as closed
                  from market_data_candles
                  where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
                  order by "timestamp" "#,
            $order,
            r#" limit $5)
                 union all
                 (select "timestamp", open::text, high::text, low::text, close::text, volume, false
                  from market_data_live_candles l
                  where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
                    and not exists (
                      select from market_data_candles c
                      where c.symbol = $1 and c.timeframe = $2 and c."timestamp" = l."timestamp")
                  order by "timestamp" "#,
            $order,
            r#" limit $5)
               ) candle order by "timestamp" "#,
            $order,
            " limit $5"
        )
    };
}

const SELECT_UP: &str = select_range!("asc");
const SELECT_DOWN: &str = select_range!("desc");

/// Lists the series by hopping from one to the next over the key's index, then reads both ends of each.
///
/// `$1` and `$2` filter by symbol and timeframe where they are not null; `$3` is how many of the newest candles tell
/// the precision. Public so that a test can ask the server for its plan.
pub const SELECT_SERIES: &str = r#"
    with recursive series as (
        (select symbol, timeframe from market_data_candles
         where symbol >= coalesce($1, '')
         order by symbol, timeframe limit 1)
        union all
        select next.symbol, next.timeframe
        from series, lateral (
            select c.symbol, c.timeframe from market_data_candles c
            where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
            order by c.symbol, c.timeframe limit 1) next
        where $1 is null or series.symbol = $1
    )
    select s.symbol, s.timeframe, oldest."timestamp" as oldest, newest."timestamp" as newest, digits.most as precision
    from series s,
        lateral (select c."timestamp" from market_data_candles c
                 where c.symbol = s.symbol and c.timeframe = s.timeframe and isfinite(c."timestamp")
                 order by c."timestamp" limit 1) oldest,
        lateral (select c."timestamp" from market_data_candles c
                 where c.symbol = s.symbol and c.timeframe = s.timeframe and isfinite(c."timestamp")
                 order by c."timestamp" desc limit 1) newest,
        lateral (select max(greatest(scale(n.open), scale(n.high), scale(n.low), scale(n.close))) as most
                 from (select c.open, c.high, c.low, c.close from market_data_candles c
                       where c.symbol = s.symbol and c.timeframe = s.timeframe
                       order by c."timestamp" desc limit $3) n) digits
    where ($1 is null or s.symbol = $1) and ($2::text is null or s.timeframe = $2)"#;

/// Skips what a writer holds: a sweep that waited could close a circle of waiting writers.
const DELETE_CLOSED_LIVE: &str = r#"
    delete from market_data_live_candles where (symbol, timeframe, "timestamp") in (
        select l.symbol, l.timeframe, l."timestamp" from market_data_live_candles l
        where exists (
            select from market_data_candles c
            where c.symbol = l.symbol and c.timeframe = l.timeframe and c."timestamp" = l."timestamp")
        for update skip locked)"#;

/// How often a batch is tried again after another transaction made the server cancel it.
const RETRIES: usize = 3;

impl Postgres {
    pub(super) fn open(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let options = setup::options(url)?;
        let tasks = TaskTracker::new();
        Ok(Self(Arc::new(Shared {
            work: Pool::new(&options, max_connections, pool::WORK),
            probe: Pool::new(&options, 1, pool::PROBE),
            options,
            prepared: AtomicBool::new(false),
            tasks,
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        setup::prepare(&self.0.options, migrate).await?;
        self.0.prepared.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        Ok(self.write(Arc::new(batch), Tell::Counts).await?.appended)
    }

    pub(super) async fn append_telling(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let rows = self.write(Arc::clone(&batch), Tell::Keys).await?.keys;
        let keys = rows.iter().map(written_key).collect::<sqlx::Result<Vec<_>>>();
        Ok(Written::of(&batch, keys.map_err(|error| unreadable(&error))?))
    }

    /// Inserts a batch, again where another transaction made the server cancel it.
    async fn write(&self, batch: Arc<Batch>, tell: Tell) -> Result<Inserted, StoreError> {
        self.on(&self.0.work, move |pool| async move {
            let mut attempt = 0;
            loop {
                match pool.run(Purpose::Write, async |connection| insert(connection, &batch, tell).await).await {
                    Err(error) if attempt < RETRIES && error.is_conflict() => attempt += 1,
                    result => return result,
                }
            }
        })
        .await
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let direction = range.direction;
        let select = move |pool: Pool| async move {
            let sql = match direction {
                Direction::Up => SELECT_UP,
                Direction::Down => SELECT_DOWN,
            };
            let query = sqlx::query(sql)
                .bind(range.symbol.as_str())
                .bind(range.timeframe.name())
                .bind(at(range.start))
                .bind(at(range.end))
                .bind(i64::try_from(range.limit).unwrap_or(i64::MAX));
            pool.run(Purpose::Read, async |connection| query.fetch_all(connection).await).await
        };
        let rows = self.on(&self.0.work, select).await?;
        let mut candles = StoredCandles::with_capacity(rows.len());
        rows.iter().try_for_each(|row| push(&mut candles, row))?;
        if direction == Direction::Down {
            candles.reverse();
        }
        Ok(candles)
    }

    pub(super) async fn series(
        &self,
        symbol: Option<Symbol>,
        timeframe: Option<Timeframe>,
        sample: i64,
    ) -> Result<Vec<Series>, StoreError> {
        let select = move |pool: Pool| async move {
            let query = sqlx::query(SELECT_SERIES)
                .bind(symbol.as_ref().map(Symbol::as_str))
                .bind(timeframe.map(Timeframe::name))
                .bind(sample);
            pool.run(Purpose::Read, async |connection| query.fetch_all(connection).await).await
        };
        self.on(&self.0.work, select).await?.iter().map(|row| series(row).map_err(|error| unreadable(&error))).collect()
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let delete = |pool: Pool| async move {
            pool.run(Purpose::Write, async |connection| sqlx::query(DELETE_CLOSED_LIVE).execute(connection).await).await
        };
        Ok(self.on(&self.0.work, delete).await?.rows_affected())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let ping = |pool: Pool| async move {
            pool.run(Purpose::Read, async |connection| sqlx::query("select 1").execute(connection).await).await
        };
        self.on(&self.0.probe, ping).await.map(drop)
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        self.0.work.pool_use()
    }

    pub(super) async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.work.close().await;
        self.0.probe.close().await;
    }

    /// Runs `work` to its end on `pool`, whether or not the caller still waits.
    async fn on<T, F>(&self, pool: &Pool, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        if !self.0.prepared.load(Ordering::Acquire) {
            return Err(not_prepared());
        }
        let work = work(pool.clone());
        to_the_end(&self.0.tasks, async move { work.await.map_err(StoreError::from) }).await
    }
}

/// What a writer wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    Counts,
    Keys,
}

/// What a statement changed, and the keys of what it changed if they were wanted.
struct Inserted {
    appended: Appended,
    keys: Vec<PgRow>,
}

async fn insert(connection: &mut PgConnection, batch: &Batch, tell: Tell) -> sqlx::Result<Inserted> {
    let counted = |added, live| Inserted { appended: Appended { added, live }, keys: Vec::new() };
    if batch.forming().is_empty() {
        if tell == Tell::Counts {
            let done = bind_candles(sqlx::query(INSERT_CLOSED), batch.closed()).execute(connection).await?;
            return Ok(counted(count(done.rows_affected()), 0));
        }
        let keys = bind_candles(sqlx::query(INSERT_CLOSED_TELLING), batch.closed()).fetch_all(connection).await?;
        return Ok(Inserted { appended: Appended { added: keys.len(), live: 0 }, keys });
    }
    let both = |sql| bind_candles(bind_candles(sqlx::query(sql), batch.closed()), batch.forming());
    if tell == Tell::Counts {
        let row = both(INSERT_BOTH).fetch_one(connection).await?;
        let column = |name| row.try_get::<i64, _>(name).map(|n| count(n.unsigned_abs()));
        return Ok(counted(column("added")?, column("live")?));
    }
    let keys = both(INSERT_BOTH_TELLING).fetch_all(connection).await?;
    Ok(Inserted { appended: Appended { added: 0, live: 0 }, keys })
}

/// The key of a candle that was written, and whether as a closed one.
fn written_key(row: &PgRow) -> sqlx::Result<WrittenKey<'_>> {
    let closed = if row.len() > 3 { row.try_get(3)? } else { true };
    let time: DateTime<Utc> = row.try_get(2)?;
    Ok(WrittenKey { symbol: row.try_get(0)?, timeframe: row.try_get(1)?, seconds: time.timestamp(), closed })
}

/// Binds candles column by column. Prices travel as text, which keeps their scale; the server casts them.
fn bind_candles<'q>(query: Query<'q, Pg, PgArguments>, candles: &'q [Candle]) -> Query<'q, Pg, PgArguments> {
    let column = |side: Side| candles.iter().map(|candle| candle.ohlc.get(side).to_string()).collect::<Vec<_>>();
    query
        .bind(candles.iter().map(|candle| candle.key.symbol().as_str()).collect::<Vec<_>>())
        .bind(candles.iter().map(|candle| candle.key.timeframe().name()).collect::<Vec<_>>())
        .bind(candles.iter().map(|candle| at(candle.key.time().millis())).collect::<Vec<_>>())
        .bind(column(Side::Open))
        .bind(column(Side::High))
        .bind(column(Side::Low))
        .bind(column(Side::Close))
        .bind(candles.iter().map(|candle| candle.volume.get()).collect::<Vec<_>>())
}

fn push(candles: &mut StoredCandles, row: &PgRow) -> Result<(), StoreError> {
    let time: DateTime<Utc> = row.try_get(0).map_err(|error| unreadable(&error))?;
    let volume = row.try_get(5).map_err(|error| unreadable(&error))?;
    let closed = row.try_get(6).map_err(|error| unreadable(&error))?;
    candles.push(time.timestamp_millis(), volume, closed, |position, digits| {
        let price: &str = row.try_get(position + 1).map_err(|error| unreadable(&error))?;
        // A table that others write too may hold NaN or Infinity, which no JSON number can say.
        if price.ends_with(['N', 'y']) {
            return Err(StoreError::Internal(format!("market_data_candles holds the price {price} at {time}")));
        }
        digits.push_str(price);
        Ok(())
    })
}

fn series(row: &PgRow) -> sqlx::Result<Series> {
    Ok(Series {
        symbol: row.try_get("symbol")?,
        timeframe: row.try_get("timeframe")?,
        first: row.try_get::<DateTime<Utc>, _>("oldest")?.timestamp_millis(),
        last: row.try_get::<DateTime<Utc>, _>("newest")?.timestamp_millis(),
        price_precision: row.try_get::<Option<i32>, _>("precision")?.map_or(0, i32::unsigned_abs),
    })
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn unreadable(error: &sqlx::Error) -> StoreError {
    StoreError::Internal(format!("a stored row cannot be read: {error}"))
}
