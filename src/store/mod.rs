//! The store of candles. [`postgres`] and [`sqlite`] behave alike, and only these two modules hold SQL.

mod candles;
mod changes;
mod decimal;
mod digits;
mod error;
mod hints;
mod inspection;
mod jobs;
mod latest;
mod outbox;
pub mod postgres;
mod precision;
mod reading;
mod resample;
mod series;
mod signals;
pub mod sqlite;
mod statistics;
mod tails;
mod unreachable;
mod unreadable;
mod versions;
mod write_log;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use metrics::{counter, histogram};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::detach_on_drop::detach_on_drop;
use crate::telemetry::metrics::{OPERATION_DURATION, RESAMPLED};
use crate::telemetry::{panic_text, spans};
use candle::{Batch, Candle, Symbol, Timeframe, Timestamp, Written};
use coalescer::Limits;

pub use candles::{StoredCandle, StoredCandles, UnreadableRow};
pub use changes::{
    Amended, Change, ChangesSelection, Correction, Detail, Expected, Found, Imported, Matched, Note, RecordedCandle,
    Removal, RemovalKind, Span,
};
pub use digits::PriceDigits;
pub use error::{Cause, Missing, StoreError};
pub use hints::WrittenSeries;
pub use inspection::{Finding, Findings, Severity};
pub use jobs::{
    Expired, IDEMPOTENCY, Job, JobAdded, JobCounts, JobEnd, JobItem, JobProgress, JobState, JobsSelection, LEASE,
    Lease, MAX_ATTEMPTS, NewFile, NewJob, SWEEP_ROWS, StoredFile,
};
pub use latest::{LatestCandle, LatestPage};
pub use outbox::{ClaimedEvent, EVENT_RETENTION, EndedJob, NotedChange, OutboxEvent, ReportedFeed, Settlement};
pub use precision::Outliers;
pub use reading::Reading;
pub use resample::{ResampleRange, Resampled, ResampledBucket, Sum};
pub use series::{Series, SeriesKey, SeriesPage, SeriesSelection};
pub use signals::{NewSignal, SignalPlace, SignalsSelection, StoredSignal};
pub use statistics::{CountedMonths, Month, MonthCount, NewestRows};
pub use tails::{MAX_TAILS, RecordPlace, RecordedChange, RecordedChanges, SeriesTail};
pub use versions::SeriesVersion;
pub use write_log::WriteError;

use error::unreadable;
use hints::Outbox;
use tails::AddedSpans;
use unreadable::UnreadableRows;
use versions::SeriesVersions;
use write_log::WriteLog;

/// The maximum number of candles that the clock closes in one transaction.
pub const MAX_CLOSED_AT_ONCE: i64 = 1000;
/// The time after which the clock tries again to close a candle that the database refused.
pub const REFUSED_CLOSING_DELAY_SECONDS: i64 = 3600;

/// A database of candles. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    versions: SeriesVersions,
    added: AddedSpans,
    outbox: Outbox,
    unreadable: UnreadableRows,
    writes: WriteLog,
    /// The last time at which an operation found the database's file or a table missing.
    missed_at: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, Clone)]
enum Database {
    /// A PostgreSQL database, which any number of processes may share.
    Postgres(postgres::Postgres),
    /// A SQLite file.
    Sqlite(sqlite::Sqlite),
}

/// The number of candles that a batch changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Closed candles that were not stored before.
    pub added: usize,
    /// Forming candles that were stored or replaced an earlier state.
    pub forming: usize,
}

impl From<Written> for Appended {
    fn from(written: Written) -> Self {
        Self { added: written.closed.len(), forming: written.forming.len() }
    }
}

/// The groups in which concurrent batches are written to a database.
#[derive(Debug, Clone, Copy)]
pub struct Grouping {
    /// The maximum number of candles of a batch that is written together with others. A larger batch gains little by it,
    /// and would make others wait for its rows.
    pub max_batch_candles: usize,
    /// The bounds of a group, and of the batches that wait for one.
    pub limits: Limits,
}

/// A forming candle that was due to be closed by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCandle {
    /// The instrument, as it is stored.
    pub symbol: String,
    /// The length of the period, as it is stored.
    pub timeframe: String,
    /// Opening time of the candle, in epoch milliseconds.
    pub time: i64,
    /// The outcome.
    pub outcome: ClosingOutcome,
}

/// The outcome of closing a candle that was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosingOutcome {
    /// It is stored as a closed candle now.
    Closed,
    /// A closed candle was stored under its key before, and stays.
    WasClosed,
    /// A constraint or a trigger that we did not make refuses it for this reason. It stays forming, and is due again
    /// after [`REFUSED_CLOSING_DELAY_SECONDS`].
    Refused(String),
}

/// A stored candle whose values differ from those of a candle that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The position of the candle among those that were asked about.
    pub position: usize,
    /// The stored open, high, low, close and volume, as the first [`MAX_STORED_VALUE_CHARS`] characters of their text;
    /// `None` where the value is the same.
    pub values: [Option<String>; 5],
}

/// The maximum number of characters of a stored value that are read for the log, because other programs may have stored
/// a number of 131,072 digits.
const MAX_STORED_VALUE_CHARS: usize = 64;

/// A request for candles of one series in a span of time, counted from one end of the span.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    /// The instrument.
    pub symbol: Symbol,
    /// The length of the period.
    pub timeframe: Timeframe,
    /// First millisecond of the span.
    pub start: i64,
    /// The millisecond after the span.
    pub end: i64,
    /// The end of the span from which candles are counted.
    pub direction: Direction,
    /// The maximum number of candles to return.
    pub limit: usize,
}

/// The order in which the candles of a span are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the oldest to the newest.
    Ascending,
    /// From the newest to the oldest.
    Descending,
}

/// The number of connections that a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open connections.
    pub open: u32,
    /// Idle connections among the open ones.
    pub idle: u32,
    /// The maximum number of open connections.
    pub max: u32,
}

/// Calls the same operation of the store on Postgres or on SQLite.
macro_rules! either {
    ($store:expr, $inner:ident => $call:expr) => {
        match &$store.database {
            Database::Postgres($inner) => $call,
            Database::Sqlite($inner) => $call,
        }
    };
}
use either;

impl Store {
    /// Creates a store for the database that the configuration names, without touching the database.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] when the address cannot work.
    pub fn open(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let database = match config.sqlite_file() {
            Some(path) => {
                let path = path.map_err(StoreError::misconfigured)?;
                Database::Sqlite(sqlite::Sqlite::open(&path, config.max_connections))
            }
            None => Database::Postgres(postgres::Postgres::open(config)?),
        };
        Ok(Self {
            database,
            versions: SeriesVersions::default(),
            added: AddedSpans::default(),
            outbox: Outbox::default(),
            unreadable: UnreadableRows::default(),
            writes: WriteLog::default(),
            missed_at: Arc::default(),
        })
    }

    /// Runs an operation in a span of its name, measures its duration including the wait for a connection, and notes
    /// the time if the operation finds something missing.
    async fn measured<T>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let result = operation.instrument(spans::statement(name)).await;
        let error = result.as_ref().err().map_or("", StoreError::kind);
        histogram!(OPERATION_DURATION, "db_operation_name" => name, "error_type" => error).record(start.elapsed());
        if let Err(StoreError::Missing(..)) = result {
            *self.missed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        result
    }

    /// The last time at which an operation found the database's file or a table missing, if any did.
    #[must_use]
    pub fn missed_at(&self) -> Option<Instant> {
        *self.missed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `postgres` or `sqlite`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.database {
            Database::Postgres(_) => "postgres",
            Database::Sqlite(_) => "sqlite",
        }
    }

    /// Makes first contact: checks that the database can be used, brings its tables up to date if `migrate`, and from
    /// then on lets the other operations through. May be called again after a failure.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] is worth another try, [`StoreError::Denied`] is worth one for a while, and
    /// [`StoreError::Misconfigured`] is not.
    pub async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let prepare = async { either!(self, store => store.prepare(migrate).await) };
        prepare.instrument(spans::statement("prepare")).await
    }

    /// Inspects the database as [`Self::prepare`] would use it, and changes nothing: it makes no table and no file. If
    /// the caller stops waiting, `findings` holds what was found until then.
    pub async fn inspect(&self, migrate: bool, clock: &Clock, findings: &mut Findings) {
        match &self.database {
            Database::Postgres(postgres) => postgres.inspect(migrate, clock, findings).await,
            Database::Sqlite(sqlite) => sqlite.inspect(migrate, findings).await,
        }
    }

    /// Shows other services on the same SQLite file that this service uses it, and logs a warning if another service
    /// uses it. The call has to be repeated, because the other service may end. It does nothing on Postgres, which any
    /// number of services may share.
    pub async fn claim(&self) {
        if let Database::Sqlite(sqlite) = &self.database {
            sqlite.claim().await;
        }
    }

    /// Logs a warning about closed candles that other programs stored under names that no request can use. Takes at
    /// most two seconds, and begins no further step once the caller stops waiting.
    pub async fn report_unreachable(&self) {
        unreachable::report(self).await;
    }

    /// The groups in which concurrent batches are to be written by [`Self::append_group`].
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        match &self.database {
            Database::Postgres(_) => postgres::GROUPING,
            Database::Sqlite(_) => sqlite::GROUPING,
        }
    }

    /// Stores a batch durably: all of it or nothing. A closed candle whose key is stored already changes nothing. A
    /// forming candle replaces the stored state under its key, unless a closed candle has that key, or the stored state
    /// has more volume and is at most ten seconds old.
    ///
    /// Every statement of it begins by `write_by`, or is not sent. A statement that has begun runs to its end even if the
    /// caller stops waiting.
    ///
    /// # Errors
    /// Nothing was stored and nothing will be, except after [`StoreError::Unanswered`], which leaves it open, as do a file
    /// that is lost or a disk that fails during the write ([`StoreError::Missing`], [`StoreError::Internal`]).
    pub async fn append(&self, batch: Arc<Batch>, write_by: Instant) -> Result<Appended, StoreError> {
        let bump = self.versions.bump_on_drop([&*batch]);
        let written = (self.added.are_wanted() || self.outbox.is_wanted()).then(|| Arc::clone(&batch));
        let append = async { either!(self, store => store.append(batch, bump, write_by).await) };
        let appended = self.writes.noted(self.measured("append", append).await)?;
        if let Some(batch) = &written {
            self.note_whole(batch, appended);
        }
        Ok(appended)
    }

    /// Stores batches durably: all of them or nothing. The changes are those of [`Self::append`] for one batch after the
    /// other. Returns what each of them changed.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_group(&self, batches: Vec<Arc<Batch>>, write_by: Instant) -> Result<Vec<Written>, StoreError> {
        let bump = self.versions.bump_on_drop(batches.iter().map(|batch| &**batch));
        let grouped = (self.added.are_wanted() || self.outbox.is_wanted()).then(|| batches.clone());
        let append = async { either!(self, store => store.append_group(batches, bump, write_by).await) };
        let written = self.writes.noted(self.measured("append", append).await)?;
        for (batch, written) in grouped.iter().flatten().zip(&written) {
            self.note_written(batch, written);
        }
        Ok(written)
    }

    /// Notes a batch that was stored, of which it is not known which candles were new.
    fn note_whole(&self, batch: &Batch, appended: Appended) {
        if appended.added > 0 && self.added.are_wanted() {
            self.added.add_ends(batch);
        }
        if appended.added + appended.forming > 0 && self.outbox.is_wanted() {
            self.outbox.add_whole(batch);
        }
    }

    /// Notes the candles of a batch that were stored.
    fn note_written(&self, batch: &Batch, written: &Written) {
        if self.added.are_wanted() {
            self.added.add(written.closed.iter().filter_map(|&position| batch.closed().get(position)));
        }
        if self.outbox.is_wanted() {
            self.outbox.add_written(batch, written);
        }
    }

    /// The last write that failed since the start, if any did.
    #[must_use]
    pub fn last_write_error(&self) -> Option<WriteError> {
        self.writes.last_error()
    }

    /// The version of a series. A read after this call sees every write of this process that the version counts. As
    /// long as the version stays the same, no other write of this process has ended.
    #[must_use]
    pub fn series_version(&self, symbol: &Symbol, timeframe: Timeframe) -> SeriesVersion {
        self.versions.current(symbol, timeframe)
    }

    /// The version of all series of these symbols together, or only of those with `timeframe`. It has the same meaning
    /// as that of [`Self::series_version`].
    #[must_use]
    pub fn series_version_of(&self, symbols: &[Symbol], timeframe: Option<Timeframe>) -> SeriesVersion {
        self.versions.current_of(symbols, timeframe)
    }

    /// Reads candles in ascending order, one for each time: a closed candle hides a forming one. Logs each row that is
    /// not a candle, once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        self.range_from(Reading::from_primary(), range).await
    }

    /// Like [`Self::range`], but reads where `reading` says.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn range_from(&self, reading: Reading, range: Range) -> Result<StoredCandles, StoreError> {
        let (symbol, timeframe) = (range.symbol.clone(), range.timeframe);
        let read = async {
            match &self.database {
                Database::Postgres(postgres) => postgres.range(reading.server, range).await,
                Database::Sqlite(sqlite) => sqlite.range(range).await,
            }
        };
        let candles = self.measured("range", read).await?;
        self.unreadable.report(&symbol, timeframe, candles.unreadable());
        Ok(candles)
    }

    /// Builds candles from those of a shorter timeframe, where `reading` says: for each bucket that holds a row, closed
    /// or forming, what its candles add up to at one moment. Logs each row that is not a candle, once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn resample_from(&self, reading: Reading, range: ResampleRange) -> Result<Resampled, StoreError> {
        let (symbol, source) = (range.symbol.clone(), range.source);
        let building = async {
            match &self.database {
                Database::Postgres(postgres) => postgres.resample(reading.server, range).await,
                Database::Sqlite(sqlite) => sqlite.resample(range).await,
            }
        };
        let resampled = self.measured("resample", building).await?;
        counter!(RESAMPLED).increment(resampled.rows);
        self.unreadable.report(&symbol, source, &resampled.unreadable);
        Ok(resampled)
    }

    /// Reads the opening times of the newest closed candles that [`Self::keep_newest`] has stored, in epoch
    /// milliseconds. There are no more rows than timeframes.
    ///
    /// # Errors
    /// When the database cannot be read, or has no table for these times yet.
    pub async fn newest(&self) -> Result<HashMap<Timeframe, i64>, StoreError> {
        let rows = self.measured("newest", async { either!(self, store => store.newest().await) }).await?;
        Ok(rows.into_iter().filter_map(|(name, time)| Some((Timeframe::named(&name)?, time))).collect())
    }

    /// Stores the opening times of the newest closed candles in epoch milliseconds. A time replaces only an earlier
    /// one.
    ///
    /// # Errors
    /// When the database cannot be written, or has no table for these times yet.
    pub async fn keep_newest(&self, newest: HashMap<Timeframe, i64>) -> Result<(), StoreError> {
        let mut rows: Vec<_> = newest.into_iter().map(|(timeframe, time)| (timeframe.name(), time)).collect();
        // Sorted, because two processes that write the rows in different orders could deadlock.
        rows.sort_unstable();
        self.measured("keep_newest", async { either!(self, store => store.keep_newest(rows).await) }).await
    }

    /// Closes the forming candles that are due by `now`, in their last state, as many as one transaction should hold. A
    /// candle that the database refuses does not keep the others from being closed. Returns all of them; if there are
    /// [`MAX_CLOSED_AT_ONCE`], more may be due.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn close_due(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        self.measured("close_due", async { either!(self, store => store.close_due(now).await) }).await
    }

    /// Stores the times at which the clock may close the forming candles of a batch whose states are older than the
    /// stored ones, because these times count even if the prices do not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_closing_times(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.measured("keep_closing_times", async { either!(self, store => store.keep_closing_times(batch).await) })
            .await
    }

    /// Reads the closed candles that are stored under the keys of `candles` with other values, in no particular order.
    /// Values are compared as numbers: 1.1 equals 1.10.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        self.measured("compare", async { either!(self, store => store.stored_otherwise(candles).await) }).await
    }

    /// Deletes the forming candles under whose keys a closed candle is stored, and returns their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.measured("sweep", async { either!(self, store => store.sweep().await) }).await
    }

    /// Waits until the database answers, on a connection that nothing else uses.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let ping = async { either!(self, store => store.ping().await) };
        ping.instrument(spans::statement("ping")).await
    }

    /// The number of connections that are open, and of those that are idle.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        either!(self, store => store.pool_use())
    }

    /// Waits for the operations that are running, then closes all connections.
    pub async fn close(&self) {
        either!(self, store => store.close().await);
    }
}

/// The error of operations before [`Store::prepare`] has succeeded.
fn not_prepared() -> StoreError {
    StoreError::unavailable("it has not been reached since the start")
}

/// Checks that the times of a page are in order. The statements aggregate a page's candles in the order of a subquery,
/// which both databases keep without promising it. Ordering inside the aggregate would make a page of 1,000 candles
/// cost a quarter more on Postgres and a third more on SQLite, so a wrong order is an error instead.
fn check_order<T: PartialOrd>(times: &[T], direction: Direction) -> Result<(), StoreError> {
    let in_order = match direction {
        Direction::Ascending => times.is_sorted_by(|one, next| one < next),
        Direction::Descending => times.is_sorted_by(|one, next| one > next),
    };
    if in_order { Ok(()) } else { Err(unreadable("the candles of a page are not in the order that was asked for")) }
}

/// The version of the migration that makes the table of the newest candles' times. It runs again if somebody dropped
/// that table, because everything in the table is found in the candles.
const NEWEST_CANDLES_MIGRATION: i64 = 3;

fn changed_migration(version: i64) -> String {
    format!(
        "migration {version} ran on this database in another wording than this release has; \
         run the release that made the database, or one after it"
    )
}

/// Runs `work` to its end, so that a caller that stops waiting cannot interrupt a statement.
async fn finished<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let work = AssertUnwindSafe(tasks.track_future(work)).catch_unwind();
    detach_on_drop(work)
        .await
        .unwrap_or_else(|panic| Err(StoreError::internal(format!("panic: {}", panic_text(&*panic)))))
}
