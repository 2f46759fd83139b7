//! Candles in a SQLite file: one connection that writes, several that read, one that probes. [`append`] writes and [`read`]
//! reads on them; this file puts them together.

mod append;
mod read;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio_util::task::TaskTracker;

use super::error::sqlite_code;
use super::{Appended, PoolUse, Range, Series, StoreError, StoredCandles, Written, finished, not_prepared};
use crate::candle::{Batch, Symbol, Timeframe};

pub use read::SELECT_SERIES;

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
        self.run(async move { write(&writer, async |connection| append::insert(connection, &batch).await).await }).await
    }

    pub(super) async fn append_telling(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let writer = self.0.writer.clone();
        let inserted = Arc::clone(&batch);
        let insert =
            async move { write(&writer, async |connection| append::insert_telling(connection, &inserted).await).await };
        let [closed, forming] = self.run(insert).await?;
        let closed = closed.iter().map(|row| append::written_key(row, true));
        let keys = closed.chain(forming.iter().map(|row| append::written_key(row, false))).collect::<sqlx::Result<_>>();
        Ok(Written::of(&batch, keys.map_err(StoreError::from)?))
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let (readers, direction) = (self.0.readers.clone(), range.direction);
        let read = self.run(async move { read::range(&readers, &range).await });
        read::candles(read.await?, direction)
    }

    pub(super) async fn series(
        &self,
        symbol: Option<Symbol>,
        timeframe: Option<Timeframe>,
        sample: i64,
    ) -> Result<Vec<Series>, StoreError> {
        let readers = self.0.readers.clone();
        self.run(async move { read::series(&readers, symbol.as_ref(), timeframe, sample).await }).await
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
        finished(&self.0.tasks, async move { work.await.map_err(StoreError::from) }).await
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
