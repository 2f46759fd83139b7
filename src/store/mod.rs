//! Where candles are kept: [`postgres`] and [`sqlite`] behave alike and are the only files that know SQL.

mod candles;
mod error;
mod inspection;
pub mod postgres;
mod precision;
mod series;
pub mod sqlite;
mod unreachable;
mod unreadable;
mod versions;
mod write_log;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use metrics::histogram;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::detach_on_drop::detach_on_drop;
use crate::telemetry::metrics::OPERATION_DURATION;
use crate::telemetry::{panic_text, spans};
use candle::{Batch, Candle, Symbol, Timeframe, Timestamp};

pub use candles::{StoredCandle, StoredCandles, UnreadableRow};
pub use error::{Cause, Missing, StoreError};
pub use inspection::{Finding, Findings, Severity};
pub use precision::Outliers;
pub use series::{Series, SeriesKey, SeriesPage, SeriesSelection};
pub use versions::SeriesVersion;
pub use write_log::WriteError;

use error::unreadable;
use unreadable::UnreadableRows;
use versions::SeriesVersions;
use write_log::WriteLog;

/// Candles that the clock closes in one transaction, at most.
pub const MAX_CLOSED_AT_ONCE: i64 = 1000;
/// Delay of another try to close a candle that the database refused.
pub const REFUSED_CLOSING_DELAY_SECONDS: i64 = 3600;

/// A place where candles are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    versions: SeriesVersions,
    unreadable: UnreadableRows,
    writes: WriteLog,
    /// The last time at which something was found to be missing.
    missed_at: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, Clone)]
enum Database {
    /// A PostgreSQL database, which any number of processes may share.
    Postgres(postgres::Postgres),
    /// A SQLite file.
    Sqlite(sqlite::Sqlite),
}

/// What a batch changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Closed candles that were not stored before.
    pub added: usize,
    /// Forming candles that were stored or replaced their earlier selves.
    pub forming: usize,
}

/// Which candles of a batch changed something, each kind by its position in the batch, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Positions in [`Batch::closed`] of those that were not stored before.
    pub closed: Vec<usize>,
    /// Positions in [`Batch::forming`] of those that were stored or replaced their earlier selves.
    pub forming: Vec<usize>,
}

/// A forming candle whose time to be closed by the clock has come.
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
    /// It is stored closed now.
    Closed,
    /// It had been stored closed before, which stays.
    WasClosed,
    /// A constraint of the database's own refuses it for this reason. It stays forming, and is due again after
    /// [`REFUSED_CLOSING_DELAY_SECONDS`].
    Refused(String),
}

/// A stored candle that differs by value from one that somebody asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The position of that candle among those that were asked about.
    pub position: usize,
    /// The stored open, high, low, close and volume, as the first [`MAX_STORED_VALUE_CHARS`] characters of their text;
    /// `None` where the value is the same.
    pub values: [Option<String>; 5],
}

/// Characters of one stored value that are read for the log: others may have written 131,072 digits.
const MAX_STORED_VALUE_CHARS: usize = 64;

/// Candles of one series in a span of time, read from one end of it.
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
    /// From which end to count.
    pub direction: Direction,
    /// Most candles to return.
    pub limit: usize,
}

/// Which candles of a span count as the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The oldest.
    Ascending,
    /// The newest.
    Descending,
}

/// How many connections a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open now.
    pub open: u32,
    /// Of those, idle.
    pub idle: u32,
    /// Most it may open.
    pub max: u32,
}

/// Calls the same operation on whichever store this is.
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
    /// Prepares to use the database that the configuration names, without touching it.
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
            unreadable: UnreadableRows::default(),
            writes: WriteLog::default(),
            missed_at: Arc::default(),
        })
    }

    /// Runs an operation in a span of its name, measures it, waiting for a connection included, and notes where it finds
    /// something missing.
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

    /// The last time at which an operation found the database's file or a table to be missing, if any did.
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

    /// First contact: checks that the database fits, brings its tables up to date if `migrate`, and from then on lets
    /// the other operations through. May be called again after a failure.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] is worth another try, [`StoreError::Denied`] is for a while, [`StoreError::Misconfigured`] is not.
    pub async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let prepare = async { either!(self, store => store.prepare(migrate).await) };
        prepare.instrument(spans::statement("prepare")).await
    }

    /// Looks at the database as [`Self::prepare`] would use it, and changes nothing: no table, no file. What was found before
    /// the caller stops waiting is in `findings`.
    pub async fn inspect(&self, migrate: bool, clock: &Clock, findings: &mut Findings) {
        match &self.database {
            Database::Postgres(postgres) => postgres.inspect(migrate, clock, findings).await,
            Database::Sqlite(sqlite) => sqlite.inspect(migrate, findings).await,
        }
    }

    /// Says to other services on the same SQLite file that this one uses it, and warns in the log where another one does. To be
    /// repeated, since the other one may end. On Postgres, which any number of services may share, it does nothing.
    pub async fn claim(&self) {
        if let Database::Sqlite(sqlite) = &self.database {
            sqlite.claim().await;
        }
    }

    /// Warns in the log of closed candles that others stored under names by which nobody can ask for them. Takes two seconds
    /// at most, and begins no further step once the caller stops waiting.
    pub async fn report_unreachable(&self) {
        unreachable::report(self).await;
    }

    /// Stores a batch, all of it or nothing, durably. A closed candle whose key is stored already changes nothing; a
    /// forming one replaces its earlier self unless a closed one has its key, or the stored one has more volume and is at
    /// most ten seconds old.
    ///
    /// Runs to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// The batch may still have been stored if the connection broke after it was sent.
    pub async fn append(&self, batch: Arc<Batch>) -> Result<Appended, StoreError> {
        let bump = self.versions.bump_on_drop(&batch);
        self.writes
            .noted(self.measured("append", async { either!(self, store => store.append(batch, bump).await) }).await)
    }

    /// Like [`Self::append`], and tells which candles changed something, which costs a little.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_returning_positions(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let bump = self.versions.bump_on_drop(&batch);
        let append = async { either!(self, store => store.append_returning_positions(batch, bump).await) };
        self.writes.noted(self.measured("append", append).await)
    }

    /// The last write that failed since the start, if any did.
    #[must_use]
    pub fn last_write_error(&self) -> Option<WriteError> {
        self.writes.last_error()
    }

    /// The version of a series. What is read after this call holds every write of this process that the version counts, and
    /// as long as the version stays the same, there was no other.
    #[must_use]
    pub fn series_version(&self, symbol: &Symbol, timeframe: Timeframe) -> SeriesVersion {
        self.versions.current(symbol, timeframe)
    }

    /// The version of all series of these symbols, or only of those with `timeframe`, likewise.
    #[must_use]
    pub fn series_version_of(&self, symbols: &[Symbol], timeframe: Option<Timeframe>) -> SeriesVersion {
        self.versions.current_of(symbols, timeframe)
    }

    /// Reads candles in ascending order, each time once: a closed candle hides a forming one. Rows that are not candles are
    /// named in the log, each once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let (symbol, timeframe) = (range.symbol.clone(), range.timeframe);
        let candles = self.measured("range", async { either!(self, store => store.range(range).await) }).await?;
        self.unreadable.report(&symbol, timeframe, &candles);
        Ok(candles)
    }

    /// Opening times of the newest closed candles in epoch milliseconds, as [`Self::keep_newest`] has kept them. Reads no more
    /// rows than there are timeframes.
    ///
    /// # Errors
    /// When the database cannot be read, or has no place for this yet.
    pub async fn newest(&self) -> Result<HashMap<Timeframe, i64>, StoreError> {
        let rows = self.measured("newest", async { either!(self, store => store.newest().await) }).await?;
        Ok(rows.into_iter().filter_map(|(name, time)| Some((Timeframe::named(&name)?, time))).collect())
    }

    /// Keeps opening times of the newest closed candles in epoch milliseconds, each where it is later than the one that is
    /// kept.
    ///
    /// # Errors
    /// When the database cannot be written, or has no place for this yet.
    pub async fn keep_newest(&self, newest: HashMap<Timeframe, i64>) -> Result<(), StoreError> {
        let mut rows: Vec<_> = newest.into_iter().map(|(timeframe, time)| (timeframe.name(), time)).collect();
        // In one order, so that two processes never wait for each other in a circle.
        rows.sort_unstable();
        self.measured("keep_newest", async { either!(self, store => store.keep_newest(rows).await) }).await
    }

    /// Closes forming candles whose time to be closed has come by `now`, in their last state, as many as one transaction
    /// should hold. One that the database refuses keeps no other from being closed. Returns them; where there are
    /// [`MAX_CLOSED_AT_ONCE`], more may be waiting.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn close_due(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        self.measured("close_due", async { either!(self, store => store.close_due(now).await) }).await
    }

    /// Keeps when the clock may close the forming candles of a batch, where their states were older than what is stored: the
    /// decision counts also if the prices do not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_closing_times(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.measured("keep_closing_times", async { either!(self, store => store.keep_closing_times(batch).await) })
            .await
    }

    /// Reads what is stored closed under the keys of `candles` with other values than theirs, in no particular order. Values
    /// are compared as numbers: 1.1 is 1.10.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        self.measured("compare", async { either!(self, store => store.stored_otherwise(candles).await) }).await
    }

    /// Removes forming candles whose closed form is stored, and says how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.measured("sweep", async { either!(self, store => store.sweep().await) }).await
    }

    /// Returns once the database has answered, on a connection that nothing else uses.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let ping = async { either!(self, store => store.ping().await) };
        ping.instrument(spans::statement("ping")).await
    }

    /// How many connections are open.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        either!(self, store => store.pool_use())
    }

    /// Waits for what is being written, then closes all connections.
    pub async fn close(&self) {
        either!(self, store => store.close().await);
    }
}

/// What operations say before [`Store::prepare`] has succeeded.
fn not_prepared() -> StoreError {
    StoreError::unavailable("it has not been reached since the start")
}

/// Checks the order of a page's times as they came from the database. The statements join a page's candles in the order of a
/// subquery, which both databases keep without promising it. To order inside the aggregate would make a page of 1,000 a
/// quarter dearer on Postgres and a third on SQLite, so a wrong order is an error instead, and never a wrong page.
fn check_order<T: PartialOrd>(times: &[T], direction: Direction) -> Result<(), StoreError> {
    let in_order = match direction {
        Direction::Ascending => times.is_sorted_by(|one, next| one < next),
        Direction::Descending => times.is_sorted_by(|one, next| one > next),
    };
    if in_order { Ok(()) } else { Err(unreadable("the candles of a page are not in the order that was asked for")) }
}

/// The migration that makes the table of the newest candles' times. It runs again where somebody dropped that table, because
/// all that the table holds is found in the candles.
const NEWEST_CANDLES_MIGRATION: i64 = 3;

fn changed_migration(version: i64) -> String {
    format!(
        "migration {version} ran on this database in another wording than this release has; \
         run the release that made the database, or one after it"
    )
}

/// Runs `work` to its end, so that a caller who stops waiting cannot cut a statement in half.
async fn finished<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let work = AssertUnwindSafe(tasks.track_future(work)).catch_unwind();
    detach_on_drop(work)
        .await
        .unwrap_or_else(|panic| Err(StoreError::internal(format!("panic: {}", panic_text(&*panic)))))
}
