//! Candles in PostgreSQL. [`setup`] makes first [`contact`]: it refuses a [`pooler`] in transaction mode, checks
//! whether an existing table can be [`adopt`]ed, has [`migrate`] make the tables, checks the login's [`access`], and finds
//! the [`engine`] of the tables.
//! [`inspect`] makes the same checks and changes nothing. [`pool`] lends connections, for which requests wait less
//! during an [`outage`]; connections whose statement was given up are [`abandoned`]. [`append`] writes, and [`read`]
//! and [`resample`] read on them. This file puts the parts together.

mod abandoned;
mod access;
mod adopt;
mod append;
mod binary;
mod citus_append;
mod citus_latest;
mod citus_series;
mod closing;
mod compare;
mod connect;
mod contact;
mod copy_hint;
mod covering_key;
mod digits;
mod engine;
mod exact_volume;
mod inspect;
mod latest;
mod migrate;
mod newest;
mod outage;
mod pool;
mod pooler;
mod read;
mod resample;
mod retry;
mod rows;
mod series;
mod setup;
mod standby;
mod statistics;
mod watch;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use coalescer::{Limits, Size};
use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::digits::{CandleTable, CountedDigits};
use super::latest::LatestRow;
use super::reading::ReadServer;
use super::series::{Position, Sample, SeriesKey, SeriesRow};
use super::statistics::StepCounts;
use super::versions::BumpOnDrop;
use super::{
    Appended, ClosingOutcome, DueCandle, Findings, Grouping, Missing, PoolUse, REFUSED_CLOSING_DELAY_SECONDS, Range,
    ResampleRange, Resampled, StoreError, Stored, StoredCandles, finished, not_prepared, unreadable,
};
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::errors::chain;
use crate::telemetry::metrics::StandbyReads;
use abandoned::Abandoned;
use append::Copied;
use candle::{Batch, Candle, Timestamp, Written};
use contact::Server;
use copy_hint::WrittenRanges;
use engine::Engine;
use pool::{Pool, PoolError, Purpose};
use resample::Added;
use retry::{read_with, write_with};
use setup::Prepared;
use standby::Standby;

pub use resample::resample_statement;
pub use series::SERIES_STATEMENTS;
pub use statistics::count_months_statement;

/// A PostgreSQL database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Postgres(Arc<PostgresShared>);

struct PostgresShared {
    options: PgConnectOptions,
    /// The setting that holds the address.
    setting: Cow<'static, str>,
    work: Pool,
    /// A pool of one connection, so that a probe never waits for work.
    probe: Pool,
    /// A standby that reads may go to.
    standby: Option<Standby>,
    /// The engine of the tables. First contact finds it, and until then no statement is sent.
    engine: OnceLock<Engine>,
    /// True if COPY may write into the table.
    takes_copy: AtomicBool,
    copy_hint: WrittenRanges,
    /// A permit for each list of series that may be read at once, so that lists never take all connections from pages.
    series_readers: Arc<Semaphore>,
    /// Likewise for each statement that builds candles, which takes as long as a hundred pages.
    resamplers: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl fmt::Debug for PostgresShared {
    /// Shows where it connects to, but not the login, because sqlx would print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("tls", &self.options.get_ssl_mode())
            .finish_non_exhaustive()
    }
}

/// The groups of batches, each of which is one statement.
pub(super) const GROUPING: Grouping = Grouping {
    max_batch_candles: 128,
    limits: Limits {
        // More of them would hardly cost less each, and would keep the first callers waiting.
        group_candles: 1000,
        waiting: Size {
            // Sixteen statements. A database that takes a quarter of a second for each writes them in time; a slower one
            // could not write more, so the rest is refused at once.
            candles: 16_000,
            // Somewhat more than these candles take with ordinary symbols, and half of what they take with the longest.
            bytes: 4 << 20,
        },
        one_batch: true,
    },
};

/// The minimum number of candles for which COPY, which takes one more round trip, is faster than INSERT.
const MIN_COPIED_CANDLES: usize = 200;

/// The maximum number of statements that read lists of series at once. A pool of up to [`SMALL_POOL_CONNECTIONS`] runs
/// one.
const MAX_SERIES_READERS: usize = 2;
const SMALL_POOL_CONNECTIONS: u32 = 4;
/// The part of the connections that build candles at once.
const CONNECTIONS_PER_RESAMPLER: usize = 3;
/// The maximum time for which such a statement waits for others.
const TURN_TIMEOUT: Duration = Duration::from_secs(4);

impl Postgres {
    pub(super) fn open(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let (setting, max_connections) = (config.setting.clone(), config.max_connections);
        let options = connect::options(config.url.expose_secret(), &setting)?;
        let tasks = TaskTracker::new();
        let abandoned = Abandoned::new(&options);
        Ok(Self(Arc::new(PostgresShared {
            work: Pool::new(&options, max_connections, pool::WORK, &abandoned),
            probe: Pool::new(&options, 1, pool::PROBE, &abandoned),
            standby: match &config.standby {
                Some(standby) => Some(Standby::new(standby, max_connections, (&options, &abandoned))?),
                None => None,
            },
            options,
            setting,
            engine: OnceLock::new(),
            takes_copy: AtomicBool::new(false),
            copy_hint: WrittenRanges::default(),
            series_readers: Arc::new(Semaphore::new(if max_connections > SMALL_POOL_CONNECTIONS {
                MAX_SERIES_READERS
            } else {
                1
            })),
            resamplers: Arc::new(Semaphore::new((max_connections as usize).div_ceil(CONNECTIONS_PER_RESAMPLER))),
            tasks,
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let Prepared { engine, takes_copy } = setup::prepare(self.server(), migrate).await?;
        if let Some(standby) = &self.0.standby {
            standby.prepare().await?;
        }
        self.0.takes_copy.store(takes_copy, Ordering::Release);
        self.0.engine.get_or_init(|| engine);
        Ok(())
    }

    /// Inspects the database as [`Self::prepare`] would use it, and changes nothing.
    pub(super) async fn inspect(&self, migrate: bool, clock: &Clock, findings: &mut Findings) {
        inspect::inspect(self.server(), migrate, clock, findings).await;
        if let Some(standby) = &self.0.standby {
            inspect::inspect_standby(standby, findings).await;
        }
    }

    /// The engine of the tables, once first contact has found it.
    fn engine(&self) -> Result<Engine, StoreError> {
        self.0.engine.get().copied().ok_or_else(not_prepared)
    }

    fn server(&self) -> Server<'_> {
        Server { options: &self.0.options, setting: &self.0.setting }
    }

    /// Writes a large batch with COPY if that is likely to succeed, and with INSERT otherwise.
    pub(super) async fn append(
        &self,
        batch: Arc<Batch>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Appended, StoreError> {
        let (shared, purpose, engine) = (Arc::clone(&self.0), Purpose::WriteLarge { by: write_by }, self.engine()?);
        self.write(move |pool| async move {
            let _bump = bump;
            if shared.may_copy(&batch) {
                match write_with!(pool, purpose, |connection| append::copy(connection, batch.closed()))? {
                    Copied::All(appended) => {
                        shared.copy_hint.note(batch.closed(), true);
                        return Ok(appended);
                    }
                    Copied::Forbidden => shared.takes_copy.store(false, Ordering::Release),
                    Copied::Nothing => {}
                }
            }
            let appended = write_with!(pool, purpose, |connection| append::insert(connection, engine, &batch))?;
            shared.copy_hint.note(batch.closed(), appended.added == batch.closed().len());
            Ok(appended)
        })
        .await
    }

    /// Writes batches in one statement. They must be distinguishable in it, as those of a [`GROUPING`] are.
    pub(super) async fn append_group(
        &self,
        batches: Vec<Arc<Batch>>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Vec<Written>, StoreError> {
        let (merged, origins) = Batch::merge(batches.iter().map(|batch| &**batch));
        let (merged, engine) = (Arc::new(merged), self.engine()?);
        let (shared, inserted) = (Arc::clone(&self.0), Arc::clone(&merged));
        let insert = move |pool: Pool| async move {
            let _bump = bump;
            let rows = write_with!(pool, Purpose::Write { by: Some(write_by) }, |connection| {
                append::insert_returning_positions(connection, engine, &inserted)
            })?;
            shared.copy_hint.note(inserted.closed(), true);
            Ok(rows)
        };
        let rows = self.write(insert).await?;
        let written = rows::written(&merged, &rows).map_err(unreadable)?;
        Ok(origins.divide(&written, batches.len()))
    }

    pub(super) async fn range(&self, server: ReadServer, range: Range) -> Result<StoredCandles, StoreError> {
        let direction = range.direction;
        let select = move |pool: Pool| {
            let range = range.clone();
            async move { read_with!(pool, |connection| read::range(connection, &range)) }
        };
        read::candles(&self.read(server, select).await?, direction)
    }

    /// Builds candles on the server, or here if the server found rows that are not candles.
    pub(super) async fn resample(&self, server: ReadServer, range: ResampleRange) -> Result<Resampled, StoreError> {
        let (direction, asked) = (range.direction, range.clone());
        let build = move |pool: Pool| {
            let range = asked.clone();
            async move { read_with!(pool, |connection| resample::resample(connection, &range)) }
        };
        let row = self.read_in_turn(&self.0.resamplers, server, build).await?;
        match resample::added(&row, direction)? {
            Added::Up(resampled) => Ok(resampled),
            Added::NotAll(span, newest) => {
                let asked = ResampleRange { start: span.start, end: span.end, ..range };
                let fold = move |pool: Pool| {
                    let range = asked.clone();
                    async move { read_with!(pool, |connection| resample::fold(connection, &range, newest)) }
                };
                self.read_in_turn(&self.0.resamplers, server, fold).await
            }
        }
    }

    pub(super) async fn count_digits(
        &self,
        server: ReadServer,
        range: Range,
        table: CandleTable,
    ) -> Result<CountedDigits, StoreError> {
        let select = move |pool: Pool| {
            let range = range.clone();
            async move { read_with!(pool, |connection| digits::count(connection, &range, table)) }
        };
        self.read(server, select).await
    }

    pub(super) async fn rows_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<SeriesRow>, StoreError> {
        let engine = self.engine()?;
        let select = move |pool: Pool| {
            let position = position.clone();
            async move { read_with!(pool, |connection| series::rows_after(connection, engine, &position, most)) }
        };
        series::rows(&self.read_series(server, select).await?)
    }

    pub(super) async fn keys_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let engine = self.engine()?;
        if engine == Engine::Citus {
            let select = move |pool: Pool| citus_series::keys_after(pool, position.clone(), most);
            return self.read_series(server, select).await;
        }
        let select = move |pool: Pool| {
            let position = position.clone();
            async move { read_with!(pool, |connection| series::keys_after(connection, engine, &position, most)) }
        };
        series::positions(&self.read_series(server, select).await?)
    }

    pub(super) async fn symbols_after(
        &self,
        server: ReadServer,
        symbol: Vec<u8>,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if self.engine()? == Engine::Citus {
            let select = move |pool: Pool| citus_series::symbols_after(pool, symbol.clone(), most);
            return self.read_series(server, select).await;
        }
        let select = move |pool: Pool| {
            let symbol = symbol.clone();
            async move { read_with!(pool, |connection| series::symbols_after(connection, &symbol, most)) }
        };
        series::symbols(&self.read_series(server, select).await?)
    }

    pub(super) async fn samples(
        &self,
        server: ReadServer,
        keys: Vec<SeriesKey>,
    ) -> Result<Vec<Option<Sample>>, StoreError> {
        let asked = keys.len();
        if self.engine()? == Engine::Citus {
            let select = move |pool: Pool| citus_series::samples(pool, keys.clone());
            return series::found(&self.read_series(server, select).await?, asked);
        }
        let select = move |pool: Pool| {
            let keys = keys.clone();
            async move { read_with!(pool, |connection| series::samples(connection, &keys)) }
        };
        series::found(&self.read_series(server, select).await?, asked)
    }

    pub(super) async fn latest_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<LatestRow>, StoreError> {
        if self.engine()? == Engine::Citus {
            let select = move |pool: Pool| citus_latest::after(pool, position.clone(), most);
            return latest::rows(&self.read_series(server, select).await?);
        }
        let select = move |pool: Pool| {
            let position = position.clone();
            async move { read_with!(pool, |connection| latest::after(connection, &position, most)) }
        };
        latest::rows([&self.read_series(server, select).await?])
    }

    pub(super) async fn latest_of(
        &self,
        server: ReadServer,
        keys: Vec<SeriesKey>,
    ) -> Result<Vec<LatestRow>, StoreError> {
        if self.engine()? == Engine::Citus {
            let select = move |pool: Pool| citus_latest::of(pool, keys.clone());
            return latest::rows(&self.read_series(server, select).await?);
        }
        let select = move |pool: Pool| {
            let keys = keys.clone();
            async move { read_with!(pool, |connection| latest::of(connection, &keys)) }
        };
        latest::rows([&self.read_series(server, select).await?])
    }

    /// Counts the candles of a series by month, at most `most` months from `start` on.
    pub(super) async fn count_months(
        &self,
        server: ReadServer,
        key: SeriesKey,
        start: i64,
        most: usize,
    ) -> Result<StepCounts, StoreError> {
        let count = move |pool: Pool| {
            let key = key.clone();
            async move { read_with!(pool, |connection| statistics::count_months(connection, &key, start, most)) }
        };
        self.read(server, count).await
    }

    /// Runs one step of a list of series once it gets a permit.
    async fn read_series<T, F>(
        &self,
        server: ReadServer,
        work: impl Fn(Pool) -> F + Clone + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.read_in_turn(&self.0.series_readers, server, work).await
    }

    /// Runs one long read once it gets a permit. It keeps the permit until it ends, even if the caller stops waiting.
    async fn read_in_turn<T, F>(
        &self,
        permits: &Arc<Semaphore>,
        server: ReadServer,
        work: impl Fn(Pool) -> F + Clone + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        let turn = timeout(TURN_TIMEOUT, Arc::clone(permits).acquire_owned()).await;
        let turn = Arc::new(turn.ok().and_then(Result::ok).ok_or(PoolError::Busy)?);
        self.read(server, move |pool| {
            let (turn, work) = (Arc::clone(&turn), work(pool));
            async move {
                let _turn = turn;
                work.await
            }
        })
        .await
    }

    /// Runs `work` on the standby if `server` says so, and on the primary otherwise or if the standby does not answer.
    async fn read<T, F>(&self, server: ReadServer, work: impl Fn(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        if let (ReadServer::Standby, Some(standby)) = (server, &self.0.standby) {
            match self.on(&standby.pool, &work).await {
                Ok(read) => {
                    StandbyReads::Answered.count(1);
                    return Ok(read);
                }
                Err(error) => standby.note_failure(&error),
            }
        }
        self.on(&self.0.work, work).await
    }

    /// The moment of which the standby is known to hold everything, if there is one.
    pub(super) fn standby_as_of(&self) -> Option<tokio::time::Instant> {
        self.0.standby.as_ref()?.as_of()
    }

    /// Keeps track of how far the standby is, if there is one.
    pub(super) async fn follow_standby(&self) {
        if let Some(standby) = &self.0.standby {
            match standby.follow().await {}
        }
    }

    pub(super) async fn newest(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.on(&self.0.work, |pool| async move { read_with!(pool, |connection| newest::read(connection)) }).await
    }

    pub(super) async fn keep_newest(&self, rows: Vec<(&'static str, i64)>) -> Result<(), StoreError> {
        let keep = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| newest::keep(connection, &rows))
        };
        self.on(&self.0.work, keep).await
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let engine = self.engine()?;
        let delete = move |pool: Pool| async move {
            pool.run(Purpose::Write { by: None }, async |connection| closing::delete_hidden(connection, engine).await)
                .await
        };
        self.0.work.close_idle().await;
        self.0.probe.close_idle().await;
        if let Some(standby) = &self.0.standby {
            standby.close_idle().await;
        }
        match self.on(&self.0.work, delete).await {
            // A standby cannot be written, and the primary's service sweeps.
            Err(StoreError::ReadOnly(_)) => Ok(0),
            result => result,
        }
    }

    pub(super) async fn close_due(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        let close = async {
            if self.engine()? == Engine::Citus {
                return self.close_by_symbol(now).await;
            }
            match self.close_candles(now, closing::Extent::All).await {
                Err(StoreError::ConstraintViolated(_)) => self.close_one_by_one(now, self.due(now).await?).await,
                result => result,
            }
        };
        match close.await {
            // A standby cannot be written, and the primary's service closes.
            Err(StoreError::ReadOnly(_)) => Ok(Vec::new()),
            result => result,
        }
    }

    async fn close_candles(&self, now: Timestamp, extent: closing::Extent) -> Result<Vec<DueCandle>, StoreError> {
        let close = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| closing::close_due(connection, now, &extent))
        };
        self.on(&self.0.work, close).await
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<closing::DueKey>, StoreError> {
        let due = move |pool: Pool| async move { read_with!(pool, |connection| closing::due(connection, now)) };
        self.on(&self.0.work, due).await
    }

    /// Closes the due candles of each symbol in a statement of their own, because Citus locks rows on one server only.
    async fn close_by_symbol(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        let mut candles = Vec::new();
        for keys in self.due(now).await?.chunk_by(|one, next| one.symbol() == next.symbol()) {
            match self.close_candles(now, closing::Extent::Symbol(keys[0].symbol().to_owned())).await {
                Err(StoreError::ConstraintViolated(_)) => {
                    candles.extend(self.close_one_by_one(now, keys.to_vec()).await?);
                }
                closed => candles.extend(closed?),
            }
        }
        Ok(candles)
    }

    /// Closes each of these candles in a statement of its own, so that a refused candle does not keep the others from
    /// being closed.
    async fn close_one_by_one(&self, now: Timestamp, keys: Vec<closing::DueKey>) -> Result<Vec<DueCandle>, StoreError> {
        let mut candles = Vec::new();
        for key in keys {
            match self.close_candles(now, closing::Extent::Candle(key.clone())).await {
                Ok(closed) => candles.extend(closed),
                Err(StoreError::ConstraintViolated(cause)) => {
                    let (one, later) = (key.clone(), now.plus_seconds(REFUSED_CLOSING_DELAY_SECONDS));
                    let postpone = move |pool: Pool| async move {
                        write_with!(pool, Purpose::Write { by: None }, |connection| closing::postpone(
                            connection, &one, later
                        ))
                    };
                    self.on(&self.0.work, postpone).await?;
                    candles.push(key.with(ClosingOutcome::Refused(chain(&cause).to_string())));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(candles)
    }

    pub(super) async fn keep_closing_times(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        let keep = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| closing::keep_times(connection, &batch))
        };
        self.on(&self.0.work, keep).await
    }

    pub(super) async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        let select =
            move |pool: Pool| async move { read_with!(pool, |connection| compare::read(connection, &candles)) };
        compare::stored(&self.on(&self.0.work, select).await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // Takes no lock on the tables, so that another session's lock does not make the service look dead.
        const TABLES: &str = "select to_regclass('market_data_candles') is not null
                                 and to_regclass('market_data_live_candles') is not null";
        let ping = |pool: Pool| async move {
            read_with!(pool, |connection| sqlx::query_scalar::<_, bool>(TABLES).fetch_one(connection))
        };
        let are_there = self.on(&self.0.probe, ping).await?;
        let missing = || StoreError::missing(Missing::Tables, "its tables are missing; restart candlewick");
        are_there.then_some(()).ok_or_else(missing)
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        self.0.work.pool_use()
    }

    pub(super) async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.work.close().await;
        self.0.probe.close().await;
        if let Some(standby) = &self.0.standby {
            standby.close().await;
        }
    }

    /// Runs `work`, which writes batches, to its end, even if the caller stops waiting.
    async fn write<T, F>(&self, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.finish(work(self.0.work.clone()).map(|done| done.map_err(PoolError::of_write))).await
    }

    /// Runs `work` to its end on `pool`, even if the caller stops waiting.
    async fn on<T, F>(&self, pool: &Pool, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.finish(work(pool.clone()).map(|done| done.map_err(StoreError::from))).await
    }

    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.engine()?;
        finished(&self.0.tasks, work).await
    }
}

impl PostgresShared {
    /// True if a batch is large enough for COPY and likely to be entirely new.
    fn may_copy(&self, batch: &Batch) -> bool {
        batch.forming().is_empty()
            && batch.closed().len() >= MIN_COPIED_CANDLES
            && self.takes_copy.load(Ordering::Acquire)
            && self.copy_hint.none_overlap(batch.closed())
    }
}
