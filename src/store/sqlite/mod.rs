//! Candles in a SQLite file: one connection writes, several read candles, two build candles, two read lists of
//! series, one counts candles, and one probes. [`writer`] has the first of these, on which [`append`] writes; [`read`], [`resample`] and
//! [`series`] read on the others. This file puts the parts together; the operations on jobs, signals, events and changes are in their
//! own modules.
//!
//! The connections that write, that build candles and that read lists are rusqlite's, because sqlx runs each statement
//! on a thread of the connection's own, and half of the time was spent waiting for that thread.

mod append;
mod changes;
mod closing;
mod compare;
mod digits;
mod file;
mod inspect;
mod jobs;
mod latest;
mod newest;
mod outbox;
mod read;
mod resample;
mod row_reader;
mod series;
mod service_lock;
mod signals;
mod statistics;
mod tables;
mod tails;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coalescer::{Limits, Size};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, Executor as _, SqlitePool};
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::digits::{CandleTable, CountedDigits};
use super::error::sqlite_code;
use super::latest::LatestRow;
use super::series::{Position, Sample, SeriesKey, SeriesRow};
use super::statistics::StepCounts;
use super::tails::{RecordPlace, RecordedChange, SeriesTail};
use super::versions::BumpOnDrop;
use super::{
    Appended, DueCandle, Findings, Grouping, PoolUse, Range, ResampleRange, Resampled, StoreError, Stored,
    StoredCandles, finished, not_prepared,
};
use crate::config::MissingFolder;
use crate::telemetry::panic_text;
use crate::telemetry::spans::spawn_blocking;
use candle::{Batch, Candle, Timestamp, Written};

use file::DatabaseFile;
use row_reader::RowReader;
use series::SeriesReader;
use service_lock::ServiceLock;
use writer::WriteConnection;

pub use resample::resample_statements;
pub use series::SERIES_STATEMENTS;
pub use statistics::COUNT_STATEMENTS;

/// A SQLite file. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Sqlite(Arc<SqliteShared>);

#[derive(Debug)]
struct SqliteShared {
    options: SqliteConnectOptions,
    file: Arc<DatabaseFile>,
    lock: ServiceLock,
    writer: WriteConnection,
    readers: SqlitePool,
    series_reader: SeriesReader,
    resampler: RowReader,
    /// Counts candles, so that counting keeps no list waiting.
    counter: RowReader,
    probe: SqlitePool,
    max_readers: u32,
    prepared: AtomicBool,
    tasks: TaskTracker,
}

/// The groups of batches, each of which is one transaction. A transaction waits for the disk before it ends, which
/// takes far longer than one more batch in it, so batches of every size share one.
pub(super) const GROUPING: Grouping = Grouping {
    max_batch_candles: usize::MAX,
    limits: Limits {
        // The batches that came first wait for all of them.
        group_candles: 10_000,
        // A fast disk takes this many candles within a few seconds. Admission bounds the memory for the bodies of posts
        // as well.
        waiting: Size { candles: 400_000, bytes: 64 << 20 },
        one_batch: false,
    },
};

/// The time for which housekeeping waits for a lock of another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum time for which a reader waits for a connection.
const READER_TIMEOUT: Duration = Duration::from_secs(4);
/// The maximum time of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The page cache of each reading connection, as SQLite's setting writes it: 512 KiB, which hold several pages of
/// candles. It is small because the system's memory holds what the connections have in common, and every write empties
/// their caches.
const READER_CACHE: &str = "-512";

impl Sqlite {
    pub(super) fn open(path: &Path, max_connections: u32) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(LOCK_TIMEOUT)
            .disable_statement_logging();
        let reader = options.clone().pragma("query_only", "on").pragma("cache_size", READER_CACHE);
        // Connections to a file are not lost, and a ping takes longer than most reads.
        let pool = |size, wait| {
            SqlitePoolOptions::new().max_connections(size).acquire_timeout(wait).test_before_acquire(false)
        };
        let file = Arc::new(DatabaseFile::new(options.get_filename()));
        Self(Arc::new(SqliteShared {
            writer: WriteConnection::new(Arc::clone(&file)),
            series_reader: SeriesReader::new(options.get_filename().to_owned()),
            resampler: RowReader::new(options.get_filename().to_owned(), "too many candles are being built from it"),
            counter: RowReader::new(options.get_filename().to_owned(), "its candles are being counted"),
            file,
            lock: ServiceLock::default(),
            readers: pool(max_connections, READER_TIMEOUT).connect_lazy_with(reader.clone()),
            // Stays open until the store is closed, as [`DatabaseFile::pin`] requires.
            probe: pool(1, PROBE_TIMEOUT).idle_timeout(None).max_lifetime(None).connect_lazy_with(reader),
            max_readers: max_connections,
            options,
            prepared: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        }))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        /// Writes nothing, but fails if the file cannot be written. SQLite falls back to reading such a file, and
        /// treats "begin immediate" on it as "begin".
        const WRITE_NOTHING: &str = "delete from market_data_live_candles where false";
        let mut migrations = sqlx::migrate!("migrations/sqlite");
        // After a rollback to the release before, newer migrations stay in place; they only ever add.
        migrations.set_ignore_missing(true);
        if let Some(folder) = MissingFolder::of(self.0.file.path()) {
            return Err(StoreError::misconfigured(format!(
                "the SQLite file {} cannot be made ({folder})",
                self.0.file.path().display()
            )));
        }
        let options = self.0.options.clone().create_if_missing(true);
        let mut connection = options.connect().await.map_err(first_contact_error)?;
        // SQLite has no advisory lock, so the write lock is taken before checking which migrations have run: another
        // process that starts on the same file waits here.
        let mut transaction = connection.begin_with("begin immediate").await.map_err(first_contact_error)?;
        let problem = tables::problem(&mut transaction, self.0.file.path(), &migrations, migrate).await;
        if let Some(problem) = problem.map_err(first_contact_error)? {
            return Err(problem);
        }
        if migrate {
            // Not `run`, because its bounds keep this future from being spawned (sqlx).
            migrations.run_direct(&mut *transaction).await.map_err(migration_error)?;
            tables::restore_newest_candles(&mut transaction, &migrations).await.map_err(first_contact_error)?;
        }
        transaction.execute(WRITE_NOTHING).await.map_err(first_contact_error)?;
        transaction.commit().await.map_err(first_contact_error)?;
        // Closed before another connection is opened, because the last one to close empties the write-ahead log.
        connection.close().await.map_err(first_contact_error)?;
        self.probe().await.map_err(first_contact_error)?;
        self.0.file.pin()?;
        self.0.prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Inspects the file as [`Self::prepare`] would use it, and changes nothing.
    pub(super) async fn inspect(&self, migrate: bool, findings: &mut Findings) {
        inspect::inspect(self.0.file.path(), migrate, findings).await;
    }

    pub(super) async fn claim(&self) {
        let shared = Arc::clone(&self.0);
        let taking = spawn_blocking(move || shared.lock.take(shared.file.path()));
        // Limited in time, because the file system may not answer and nothing depends on the lock.
        let _ = timeout(LOCK_TIMEOUT, taking).await;
    }

    pub(super) async fn append(
        &self,
        batch: Arc<Batch>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Appended, StoreError> {
        let written = self.append_group(vec![batch], bump, write_by).await?;
        Ok(written.into_iter().next().unwrap_or_default().into())
    }

    pub(super) async fn append_group(
        &self,
        batches: Vec<Arc<Batch>>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Vec<Written>, StoreError> {
        let shared = Arc::clone(&self.0);
        self.run(async move {
            let _bump = bump;
            shared.writer.append(batches, write_by).await
        })
        .await
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let readers = self.0.readers.clone();
        self.read(async move { read::range(&readers, &range).await }).await
    }

    pub(super) async fn resample(&self, range: ResampleRange) -> Result<Resampled, StoreError> {
        let shared = Arc::clone(&self.0);
        let build = move |connection: &rusqlite::Connection| resample::resample(connection, &range);
        self.read(async move { shared.resampler.run(build).await }).await
    }

    pub(super) async fn count_digits(&self, range: Range, table: CandleTable) -> Result<CountedDigits, StoreError> {
        self.list(move |connection| digits::count(connection, &range, table)).await
    }

    pub(super) async fn rows_after(&self, position: Position, most: usize) -> Result<Vec<SeriesRow>, StoreError> {
        let shared = Arc::clone(&self.0);
        self.read(async move { shared.series_reader.rows_after(position, most).await }).await
    }

    pub(super) async fn keys_after(&self, position: Position, most: usize) -> Result<Vec<Position>, StoreError> {
        let shared = Arc::clone(&self.0);
        self.read(async move { shared.series_reader.keys_after(position, most).await }).await
    }

    pub(super) async fn symbols_after(&self, symbol: Vec<u8>, most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let shared = Arc::clone(&self.0);
        self.read(async move { shared.series_reader.symbols_after(symbol, most).await }).await
    }

    pub(super) async fn samples(&self, keys: Vec<SeriesKey>) -> Result<Vec<Option<Sample>>, StoreError> {
        let shared = Arc::clone(&self.0);
        self.read(async move { shared.series_reader.samples(keys).await }).await
    }

    pub(super) async fn latest_after(&self, position: Position, most: usize) -> Result<Vec<LatestRow>, StoreError> {
        self.list(move |connection| latest::after(connection, position, most)).await
    }

    pub(super) async fn latest_of(&self, keys: Vec<SeriesKey>) -> Result<Vec<LatestRow>, StoreError> {
        self.list(move |connection| latest::of(connection, &keys)).await
    }

    /// Counts the candles of a series by month, at most `most` months from `start` on.
    pub(super) async fn count_months(&self, key: SeriesKey, start: i64, most: usize) -> Result<StepCounts, StoreError> {
        let shared = Arc::clone(&self.0);
        let count = move |connection: &rusqlite::Connection| statistics::count_months(connection, &key, start, most);
        self.read(async move { shared.counter.run(count).await }).await
    }

    pub(super) async fn tails(&self, keys: Vec<SeriesKey>) -> Result<Vec<SeriesTail>, StoreError> {
        let rows = self.list(move |connection| tails::tails(connection, &keys)).await?;
        rows.into_iter().map(SeriesTail::of_rows).collect()
    }

    pub(super) async fn changes_since(
        &self,
        after: RecordPlace,
        keys: Vec<SeriesKey>,
        limit: usize,
    ) -> Result<(i64, Vec<RecordedChange>), StoreError> {
        self.list(move |connection| tails::changes_since(connection, after, &keys, limit)).await
    }

    pub(super) async fn newest(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let readers = self.0.readers.clone();
        self.read(async move { newest::read(&readers).await }).await
    }

    pub(super) async fn keep_newest(&self, rows: Vec<(&'static str, i64)>) -> Result<(), StoreError> {
        self.write(move |connection| newest::keep(connection, &rows)).await
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let deleted = self.write(closing::delete_hidden).await?;
        Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
    }

    pub(super) async fn close_due(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        self.write(move |connection| closing::close_due(connection, now.millis())).await
    }

    pub(super) async fn keep_closing_times(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.write(move |connection| closing::keep_times(connection, &batch)).await
    }

    pub(super) async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        let readers = self.0.readers.clone();
        self.read(async move { compare::stored(&readers, &candles).await }).await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let store = self.clone();
        self.read(async move { store.probe().await }).await
    }

    /// Reads from both tables, because somebody may have dropped one.
    async fn probe(&self) -> sqlx::Result<()> {
        const BOTH: &str =
            "select exists (select 1 from market_data_candles), exists (select 1 from market_data_live_candles)";
        sqlx::query(BOTH).execute(&self.0.probe).await.map(drop)
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let (open, idle) = self.0.writer.count();
        let idle_readers = u32::try_from(self.0.readers.num_idle()).unwrap_or(u32::MAX);
        PoolUse { open: open + self.0.readers.size(), idle: idle + idle_readers, max: self.0.max_readers + 1 }
    }

    pub(super) async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.series_reader.close();
        self.0.resampler.close();
        self.0.counter.close();
        self.0.probe.close().await;
        self.0.writer.close().await;
        self.0.lock.release();
    }

    /// Runs `work` on the connection that writes.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.0);
        self.run(async move { shared.writer.run(work).await }).await
    }

    /// Runs `work` on a connection that reads lists, and whatever else is small.
    async fn list<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.0);
        self.read(async move { shared.series_reader.run(work).await }).await
    }

    /// Runs a read to its end, even if the caller stops waiting, but only while the file is at its path, because a
    /// connection that is opened after that would lead to another file.
    async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, impl Into<StoreError>>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.0.file);
        self.run(async move {
            file.check()?;
            match work.await {
                Ok(read) => Ok(read),
                // A lost file explains every other error.
                Err(error) => Err(file.check().err().unwrap_or_else(|| error.into())),
            }
        })
        .await
    }

    /// Runs `work` to its end, even if the caller stops waiting.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.0.prepared.load(Ordering::Acquire) {
            return Err(not_prepared());
        }
        finished(&self.0.tasks, work).await
    }
}

/// The advice if a file can only be read.
const NOT_WRITABLE: &str = "the SQLite file may not be written; change the owner of it, of its folder, and of the \
                            files beside it that end in -wal and -shm, or choose another path";

/// Explains an error of first contact. The codes have the names of SQLite's documentation, "Result and Error Codes".
fn first_contact_error(error: sqlx::Error) -> StoreError {
    const SQLITE_READONLY: u32 = 8;
    const SQLITE_CORRUPT: u32 = 11;
    const SQLITE_CANTOPEN: u32 = 14;
    const SQLITE_NOTADB: u32 = 26;
    let sentence = match error.as_database_error().and_then(sqlite_code) {
        Some(SQLITE_CANTOPEN) => {
            "the SQLite file cannot be opened; check that the user who runs candlewick may read and write it, its \
             folder, and the files beside it that end in -wal and -shm"
        }
        Some(SQLITE_READONLY) => NOT_WRITABLE,
        Some(SQLITE_NOTADB) => "the file that DATABASE_URL names is not a SQLite database; choose another path",
        Some(SQLITE_CORRUPT) => "the SQLite file is damaged; restore it from a backup",
        _ => return error.into(),
    };
    StoreError::misconfigured(sentence)
}

/// The migrations failed, so the tables stay as they are.
#[derive(Debug, thiserror::Error)]
#[error("the tables cannot be brought up to date")]
struct OutdatedTables(#[source] MigrateError);

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => first_contact_error(error),
        MigrateError::VersionMismatch(version) => StoreError::misconfigured(super::changed_migration(version)),
        other => StoreError::misconfigured(OutdatedTables(other)),
    }
}

/// The error of work on a thread of its own that did not run to its end.
fn unfinished(error: JoinError) -> StoreError {
    match error.try_into_panic() {
        Ok(panic) => StoreError::internal(format!("panic: {}", panic_text(&*panic))),
        Err(_) => StoreError::unavailable("the process is ending"),
    }
}
