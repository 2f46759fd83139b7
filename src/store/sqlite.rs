//! Candles in a SQLite file: one connection that writes, several that read, one that probes.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use tokio_util::task::TaskTracker;

use super::error::sqlite_code;
use super::{
    Appended, Direction, PoolUse, Range, Series, StoreError, StoredCandles, Written, WrittenKey, not_prepared,
    to_the_end,
};
use crate::candle::{Batch, Candle, Side, Symbol, Timeframe};

/// A SQLite file. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Sqlite(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: SqlitePool,
    readers: SqlitePool,
    probe: SqlitePool,
    max_readers: u32,
    prepared: AtomicBool,
    tasks: TaskTracker,
}

/// Longest that a writer waits for one in another process.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Longest that a batch waits behind others in this process: most Expert Advisors give up after 5 s.
const QUEUE_WAIT: Duration = Duration::from_secs(4);
/// Longest that a probe may take.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// `?1` is the batch as a JSON list of rows: one value to bind whatever the batch's size.
macro_rules! insert_closed {
    () => {
        "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 from json_each(?1)
    where true
    on conflict do nothing"
    };
}

macro_rules! upsert_forming {
    () => {
        "
    insert into market_data_live_candles as stored (symbol, timeframe, timestamp, open, high, low, close, volume)
    select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 from json_each(?1)
    where not exists (
        select 1 from market_data_candles c
        where c.symbol = value->>0 and c.timeframe = value->>1 and c.timestamp = value->>2)
    on conflict (symbol, timeframe, timestamp) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, updated_at = unixepoch()
        where excluded.volume >= stored.volume"
    };
}

/// Both tables, each by its key from the wanted end; a closed candle hides the forming one of its time.
macro_rules! select_range {
    ($order:literal) => {
        concat!(
            "select * from (
                select * from (
                    select timestamp, open, high, low, close, volume, true as closed
                    from market_data_candles
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                    order by timestamp ",
            $order,
            " limit ?5)
                union all
                select * from (
                    select timestamp, open, high, low, close, volume, false
                    from market_data_live_candles l
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                      and not exists (
                        select 1 from market_data_candles c
                        where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = l.timestamp)
                    order by timestamp ",
            $order,
            " limit ?5)
             ) order by timestamp ",
            $order,
            " limit ?5"
        )
    };
}

const SELECT_UP: &str = select_range!("asc");
const SELECT_DOWN: &str = select_range!("desc");

/// Lists the series by hopping over the key from symbol to symbol and from timeframe to timeframe, then reads both ends
/// of each. `?1` and `?2` filter where they are not null; `?3` is how many of the newest candles tell the precision.
/// Public so that a test can ask for its plan.
pub const SELECT_SERIES: &str = "
    with recursive symbols(symbol) as (
        select min(symbol) from market_data_candles where symbol >= coalesce(?1, '')
        union all
        select (select min(c.symbol) from market_data_candles c where c.symbol > symbols.symbol)
        from symbols where symbols.symbol is not null and ?1 is null
    ), series(symbol, timeframe) as (
        select symbol, (select min(c.timeframe) from market_data_candles c where c.symbol = symbols.symbol)
        from symbols where symbol is not null and (?1 is null or symbol = ?1)
        union all
        select symbol, (
            select min(c.timeframe) from market_data_candles c
            where c.symbol = series.symbol and c.timeframe > series.timeframe)
        from series where timeframe is not null
    )
    select symbol, timeframe,
        (select min(c.timestamp) from market_data_candles c
         where c.symbol = s.symbol and c.timeframe = s.timeframe) as oldest,
        (select max(c.timestamp) from market_data_candles c
         where c.symbol = s.symbol and c.timeframe = s.timeframe) as newest,
        (select max(max(
            0,
            length(n.open) - instr(n.open || '.', '.'),
            length(n.high) - instr(n.high || '.', '.'),
            length(n.low) - instr(n.low || '.', '.'),
            length(n.close) - instr(n.close || '.', '.')))
         from (
            select c.open, c.high, c.low, c.close from market_data_candles c
            where c.symbol = s.symbol and c.timeframe = s.timeframe
            order by c.timestamp desc limit ?3) n) as precision
    from series s where timeframe is not null and (?2 is null or timeframe = ?2)";

const DELETE_CLOSED_LIVE: &str = "
    delete from market_data_live_candles as l where exists (
        select 1 from market_data_candles c
        where c.symbol = l.symbol and c.timeframe = l.timeframe and c.timestamp = l.timestamp)";

impl Sqlite {
    pub(super) fn open(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let unfit = |sentence: &str| StoreError::Unfit(sentence.to_owned());
        let path = url.strip_prefix("sqlite://").unwrap_or_default();
        if path.is_empty() || path.starts_with(":memory:") || path.contains('?') {
            return Err(unfit("DATABASE_URL must name a SQLite file and nothing else, as sqlite://candlewick.db does"));
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| unfit("DATABASE_URL is not a valid path; write it as sqlite://candlewick.db"))?
            .journal_mode(SqliteJournalMode::Wal)
            // A 201 means durable: the write-ahead log is on disk before COMMIT returns.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_WAIT)
            .disable_statement_logging();
        let reader = options.clone().pragma("query_only", "on");
        let pool = |size, wait| SqlitePoolOptions::new().max_connections(size).acquire_timeout(wait);
        Ok(Self(Arc::new(Shared {
            writer: pool(1, QUEUE_WAIT).connect_lazy_with(options.create_if_missing(true)),
            readers: pool(max_connections, QUEUE_WAIT).connect_lazy_with(reader.clone()),
            probe: pool(1, PROBE_WAIT).connect_lazy_with(reader),
            max_readers: max_connections,
            prepared: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        if migrate {
            let mut migrations = sqlx::migrate!("migrations/sqlite");
            // A rollback to the release before leaves newer migrations in place; they only ever add.
            migrations.set_ignore_missing(true);
            let run = write(&self.0.writer, async |connection| {
                // SQLite has no advisory lock, so the write lock is taken before looking which migrations have run:
                // another process that starts on the same file waits here.
                let mut transaction = connection.begin_with("begin immediate").await?;
                // Not `run`: its bounds keep this future from being spawned (sqlx).
                match migrations.run_direct(&mut *transaction).await {
                    Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error),
                    result => transaction.commit().await.map(|()| result),
                }
            });
            run.await.map_err(first_contact_error)?.map_err(migration_error)?;
        }
        let tables: i64 = sqlx::query_scalar(
            "select count(*) from sqlite_schema where name in ('market_data_candles', 'market_data_live_candles')",
        )
        .fetch_one(&self.0.writer)
        .await
        .map_err(first_contact_error)?;
        if tables < 2 {
            return Err(StoreError::Unavailable("its tables are missing; run candlewick migrate".to_owned()));
        }
        self.0.prepared.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let writer = self.0.writer.clone();
        self.run(async move { write(&writer, async |connection| insert(connection, &batch).await).await }).await
    }

    pub(super) async fn append_telling(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let writer = self.0.writer.clone();
        let inserted = Arc::clone(&batch);
        let insert =
            async move { write(&writer, async |connection| insert_telling(connection, &inserted).await).await };
        let (closed, forming) = self.run(insert).await?;
        let closed = closed.iter().map(|row| written_key(row, true));
        let keys = closed.chain(forming.iter().map(|row| written_key(row, false))).collect::<sqlx::Result<_>>();
        Ok(Written::of(&batch, keys.map_err(StoreError::from)?))
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let readers = self.0.readers.clone();
        self.run(async move {
            let sql = match range.direction {
                Direction::Up => SELECT_UP,
                Direction::Down => SELECT_DOWN,
            };
            let mut rows = sqlx::query(sql)
                .bind(range.symbol.as_str())
                .bind(range.timeframe.name())
                .bind(range.start)
                .bind(range.end)
                .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
                .fetch_all(&readers)
                .await?;
            if range.direction == Direction::Down {
                rows.reverse();
            }
            let mut candles = StoredCandles::with_capacity(rows.len());
            rows.iter().try_for_each(|row| push(&mut candles, row)).map(|()| candles)
        })
        .await
    }

    pub(super) async fn series(
        &self,
        symbol: Option<Symbol>,
        timeframe: Option<Timeframe>,
        sample: i64,
    ) -> Result<Vec<Series>, StoreError> {
        let readers = self.0.readers.clone();
        self.run(async move {
            sqlx::query(SELECT_SERIES)
                .bind(symbol.as_ref().map(Symbol::as_str))
                .bind(timeframe.map(Timeframe::name))
                .bind(sample)
                .fetch_all(&readers)
                .await?
                .iter()
                .map(series)
                .collect()
        })
        .await
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let writer = self.0.writer.clone();
        let delete =
            async |connection: &mut SqliteConnection| sqlx::query(DELETE_CLOSED_LIVE).execute(connection).await;
        Ok(self.run(async move { write(&writer, delete).await }).await?.rows_affected())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let probe = self.0.probe.clone();
        self.run(
            async move { sqlx::query("select 1 from market_data_candles limit 1").execute(&probe).await.map(drop) },
        )
        .await
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let open = self.0.writer.size() + self.0.readers.size();
        let idle = u32::try_from(self.0.writer.num_idle() + self.0.readers.num_idle()).unwrap_or(u32::MAX);
        PoolUse { open, idle, max: self.0.max_readers + 1 }
    }

    pub(super) async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.probe.close().await;
        self.0.writer.close().await;
    }

    /// Runs `work` to its end, whether or not the caller still waits.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = sqlx::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.0.prepared.load(Ordering::Acquire) {
            return Err(not_prepared());
        }
        to_the_end(&self.0.tasks, async move { work.await.map_err(StoreError::from) }).await
    }
}

/// Runs `work` on the writer. A connection on which something failed is closed: where SQLite has rolled back by itself, as
/// on a full disk, sqlx still counts a transaction and would begin no other.
async fn write<T>(
    writer: &SqlitePool,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
) -> sqlx::Result<T> {
    let mut connection = writer.acquire().await?;
    let result = work(&mut connection).await;
    if result.is_err() {
        // What matters is that it is not used again.
        let _ = connection.close().await;
    }
    result
}

async fn insert(connection: &mut SqliteConnection, batch: &Batch) -> sqlx::Result<Appended> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let mut appended = Appended { added: 0, live: 0 };
    if !batch.closed().is_empty() {
        let done = sqlx::query(insert_closed!()).bind(rows(batch.closed())).execute(&mut *transaction).await?;
        appended.added = usize::try_from(done.rows_affected()).unwrap_or(usize::MAX);
    }
    if !batch.forming().is_empty() {
        let done = sqlx::query(upsert_forming!()).bind(rows(batch.forming())).execute(&mut *transaction).await?;
        appended.live = usize::try_from(done.rows_affected()).unwrap_or(usize::MAX);
    }
    transaction.commit().await?;
    Ok(appended)
}

async fn insert_telling(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> sqlx::Result<(Vec<SqliteRow>, Vec<SqliteRow>)> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let (mut closed, mut forming) = (Vec::new(), Vec::new());
    if !batch.closed().is_empty() {
        let insert = concat!(insert_closed!(), " returning symbol, timeframe, timestamp");
        closed = sqlx::query(insert).bind(rows(batch.closed())).fetch_all(&mut *transaction).await?;
    }
    if !batch.forming().is_empty() {
        let upsert = concat!(upsert_forming!(), " returning symbol, timeframe, timestamp");
        forming = sqlx::query(upsert).bind(rows(batch.forming())).fetch_all(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok((closed, forming))
}

fn written_key(row: &SqliteRow, closed: bool) -> sqlx::Result<WrittenKey<'_>> {
    let millis: i64 = row.try_get(2)?;
    Ok(WrittenKey { symbol: row.try_get(0)?, timeframe: row.try_get(1)?, seconds: millis.div_euclid(1000), closed })
}

fn rows(candles: &[Candle]) -> String {
    let row = |candle: &Candle| {
        let [open, high, low, close] = Side::ALL.map(|side| candle.ohlc.get(side).to_string());
        let key = &candle.key;
        json!([
            key.symbol().as_str(),
            key.timeframe().name(),
            key.time().millis(),
            open,
            high,
            low,
            close,
            candle.volume.get()
        ])
    };
    candles.iter().map(row).collect::<serde_json::Value>().to_string()
}

fn push(candles: &mut StoredCandles, row: &SqliteRow) -> sqlx::Result<()> {
    candles.push(row.try_get(0)?, row.try_get(5)?, row.try_get(6)?, |position, digits| {
        digits.push_str(row.try_get(position + 1)?);
        Ok(())
    })
}

fn series(row: &SqliteRow) -> sqlx::Result<Series> {
    Ok(Series {
        symbol: row.try_get("symbol")?,
        timeframe: row.try_get("timeframe")?,
        first: row.try_get("oldest")?,
        last: row.try_get("newest")?,
        price_precision: row.try_get::<Option<u32>, _>("precision")?.unwrap_or(0),
    })
}

/// By the names of SQLite's documentation, "Result and Error Codes".
fn first_contact_error(error: sqlx::Error) -> StoreError {
    const READONLY: u32 = 8;
    const CORRUPT: u32 = 11;
    const CANTOPEN: u32 = 14;
    const NOTADB: u32 = 26;
    let sentence = match error.as_database_error().and_then(sqlite_code) {
        Some(CANTOPEN) => "The SQLite file cannot be opened; check that its folder exists and may be written.",
        Some(READONLY) => "The SQLite file may not be written; change its owner or choose another path.",
        Some(NOTADB) => "The file that DATABASE_URL names is no SQLite database; choose another path.",
        Some(CORRUPT) => "The SQLite file is damaged; restore it from a backup.",
        _ => return error.into(),
    };
    StoreError::Unfit(sentence.to_owned())
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMismatch(version) => StoreError::Unfit(super::changed_migration(version)),
        other => StoreError::Unfit(format!("The tables cannot be brought up to date: {other}.")),
    }
}
