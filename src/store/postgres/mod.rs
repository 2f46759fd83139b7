//! Candles in PostgreSQL. [`setup`] makes first contact: it finds out whether a [`pooler`] stands in between, whether a table that
//! is there already can be [`adopt`]ed, has [`migrate`] make the tables, and checks the login's [`access`];
//! [`unreachable`] names series that nobody can ask for. [`pool`] lends
//! connections, of which those that were given up are [`abandoned`]; [`append`] writes and [`read`] reads on them; this file puts
//! them together.

mod abandoned;
mod access;
mod adopt;
mod append;
mod closing;
mod compare;
mod connect;
mod frontier;
mod migrate;
mod pool;
mod pooler;
mod read;
mod setup;
mod unreachable;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio_util::task::TaskTracker;

use super::changes::BumpOnDrop;
use super::{
    Appended, ClosedByClock, PoolUse, Range, Series, StoreError, Stored, StoredCandles, Written, finished,
    not_prepared, unreadable,
};
use crate::candle::{Batch, Candle, Symbol, Timeframe, Timestamp};
use abandoned::Abandoned;
use append::Copied;
use frontier::Frontier;
use pool::{Pool, PoolError, Purpose};

pub use read::SELECT_SERIES;

/// A PostgreSQL database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Postgres(Arc<Shared>);

struct Shared {
    options: PgConnectOptions,
    work: Pool,
    /// One connection of its own, so that a probe never waits behind work.
    probe: Pool,
    prepared: AtomicBool,
    /// Whether the table may be copied into.
    takes_copy: AtomicBool,
    frontier: Frontier,
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

/// Fewest candles for which COPY, which takes a round trip more, is faster than an insert.
const WORTH_COPYING: usize = 200;

/// How often a statement is tried again after another transaction made the server cancel it.
const RETRIES: usize = 3;

/// Runs one statement that reads, once more where it met a connection that the server had ended, since whether one lives is not
/// asked before each statement, or where a standby cancelled it because it stood in the way of what the primary had done. A macro, because a function that takes such a closure by reference is not known to be `Send`.
macro_rules! read_with {
    ($pool:expr, |$connection:ident| $statement:expr) => {{
        match $pool.run(Purpose::Read, async |$connection| $statement.await).await {
            Err(error) if error.is_of_the_connection() || error.is_conflict() => {
                $pool.run(Purpose::ReadAgain, async |$connection| $statement.await).await
            }
            result => result,
        }
    }};
}

/// Runs one statement that writes, on a connection of its own for each try.
macro_rules! write_with {
    ($pool:expr, |$connection:ident| $statement:expr) => {{
        let mut attempt = 0;
        loop {
            match $pool.run(Purpose::Write, async |$connection| $statement.await).await {
                Err(error) if attempt < RETRIES && error.is_conflict() => attempt += 1,
                result => break result,
            }
        }
    }};
}

impl Postgres {
    pub(super) fn open(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let options = connect::options(url)?;
        let tasks = TaskTracker::new();
        let abandoned = Abandoned::new(&options);
        Ok(Self(Arc::new(Shared {
            work: Pool::new(&options, max_connections, pool::WORK, &abandoned),
            probe: Pool::new(&options, 1, pool::PROBE, &abandoned),
            options,
            prepared: AtomicBool::new(false),
            takes_copy: AtomicBool::new(false),
            frontier: Frontier::default(),
            tasks,
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let takes_copy = setup::prepare(&self.0.options, migrate).await?;
        self.0.takes_copy.store(takes_copy, Ordering::Release);
        self.0.prepared.store(true, Ordering::Release);
        tokio::spawn(unreachable::report(self.0.options.clone()));
        Ok(())
    }

    /// Copies a batch in if that is likely to succeed, and inserts it otherwise.
    pub(super) async fn append(&self, batch: Arc<Batch>, bump: BumpOnDrop) -> Result<Appended, StoreError> {
        let shared = Arc::clone(&self.0);
        self.on(&self.0.work, move |pool| async move {
            let _bump = bump;
            if shared.may_copy(&batch) {
                match write_with!(pool, |connection| append::copy(connection, batch.closed()))? {
                    Copied::All(appended) => {
                        shared.frontier.note(batch.closed(), true);
                        return Ok(appended);
                    }
                    Copied::Forbidden => shared.takes_copy.store(false, Ordering::Release),
                    Copied::Nothing => {}
                }
            }
            let appended = write_with!(pool, |connection| append::insert(connection, &batch))?;
            shared.frontier.note(batch.closed(), appended.added == batch.closed().len());
            Ok(appended)
        })
        .await
    }

    pub(super) async fn append_telling(&self, batch: Arc<Batch>, bump: BumpOnDrop) -> Result<Written, StoreError> {
        let (shared, inserted) = (Arc::clone(&self.0), Arc::clone(&batch));
        let insert = move |pool: Pool| async move {
            let _bump = bump;
            let rows = write_with!(pool, |connection| append::insert_telling(connection, &inserted))?;
            shared.frontier.note(inserted.closed(), true);
            Ok(rows)
        };
        let rows = self.on(&self.0.work, insert).await?;
        append::written(&batch, &rows).map_err(unreadable)
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let direction = range.direction;
        let select = move |pool: Pool| async move { read_with!(pool, |connection| read::range(connection, &range)) };
        read::candles(&self.on(&self.0.work, select).await?, direction)
    }

    pub(super) async fn series(
        &self,
        symbol: Option<Symbol>,
        timeframe: Option<Timeframe>,
        sample: i64,
    ) -> Result<Vec<Series>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| read::series(connection, symbol.as_ref(), timeframe, sample))
        };
        let rows = self.on(&self.0.work, select).await?;
        rows.iter().map(|row| read::one_series(row).map_err(unreadable)).collect()
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let delete = |pool: Pool| async move { pool.run(Purpose::Write, closing::delete_hidden).await };
        self.0.work.close_idle().await;
        self.0.probe.close_idle().await;
        match self.on(&self.0.work, delete).await {
            // On a standby it is the primary's service that sweeps.
            Err(StoreError::ReadOnly(_)) => Ok(0),
            result => result,
        }
    }

    pub(super) async fn close_due(&self, now: Timestamp) -> Result<Vec<ClosedByClock>, StoreError> {
        let close =
            move |pool: Pool| async move { write_with!(pool, |connection| closing::close_due(connection, now)) };
        match self.on(&self.0.work, close).await {
            // On a standby it is the primary's service that closes.
            Err(StoreError::ReadOnly(_)) => Ok(Vec::new()),
            result => result,
        }
    }

    pub(super) async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        let select =
            move |pool: Pool| async move { read_with!(pool, |connection| compare::stored(connection, &candles)) };
        self.on(&self.0.work, select).await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // Takes no lock on them, so that one that somebody holds does not make the service look dead.
        const TABLES: &str = "select to_regclass('market_data_candles') is not null
                                 and to_regclass('market_data_live_candles') is not null";
        let ping = |pool: Pool| async move {
            read_with!(pool, |connection| sqlx::query_scalar::<_, bool>(TABLES).fetch_one(connection))
        };
        let are_there = self.on(&self.0.probe, ping).await?;
        if are_there { Ok(()) } else { Err(StoreError::Unavailable("its tables are missing".to_owned())) }
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
        finished(&self.0.tasks, async move { work.await.map_err(StoreError::from) }).await
    }
}

impl Shared {
    /// Whether a batch is worth a copy and likely to hold nothing that is stored.
    fn may_copy(&self, batch: &Batch) -> bool {
        batch.forming().is_empty()
            && batch.closed().len() >= WORTH_COPYING
            && self.takes_copy.load(Ordering::Acquire)
            && self.frontier.is_before(batch.closed())
    }
}
