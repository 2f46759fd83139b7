//! Lends connections for a bounded time, and decides by the outcome whether one may be used again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::{self, Manager, Metrics, Object, PoolConfig, QueueMode, RecycleError, RecycleResult};
use futures_util::future::join_all;
use metrics::{counter, gauge, histogram};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::abandoned::{Abandoned, Backend, Places, unique_session_name};
use super::outage::Outage;
use crate::detach_on_drop::detach_on_drop;
use crate::store::error::sql_state;
use crate::store::{PoolUse, StoreError};
use crate::telemetry::metrics::{POOL_PENDING, POOL_TIMEOUTS, POOL_WAIT};

/// The longest time that an idle connection may take to show that it lives before it is replaced: longer than the way to another
/// continent and back, and short enough to open one within [`ACQUIRE_TIMEOUT`](super::outage::ACQUIRE_TIMEOUT).
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// First and longest pause between tries to connect to a server that is not ready, each pause twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long a pool's users are ready to wait for the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Longest that opening a connection may take, which with TLS to another continent is more than [`ACQUIRE_TIMEOUT`](super::outage::ACQUIRE_TIMEOUT). It goes on
    /// when the request that began it has given up.
    pub(super) connect: Duration,
    /// Longest that we wait for a statement's answer.
    pub(super) answer: Duration,
    /// Whether the waiting is counted: that of probes would hide what requests meet.
    counted: bool,
}

/// For requests: the server cancels a statement after 5 s, and one that cannot even do that is gone.
pub(super) const WORK: Patience =
    Patience { connect: Duration::from_secs(3), answer: Duration::from_millis(5500), counted: true };
/// For probes, whose next one must not wait long behind one that went unanswered.
pub(super) const PROBE: Patience =
    Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(1), counted: false };

/// Settings of a connection, and of the server's process behind it. No statement is bounded, and no 201 durable, without
/// these; docs/postgres-role.sql sets them for the login as well.
const STATEMENT_SETTINGS: &str = include_str!("sql/session_settings.sql");

/// Longest that a connection is used: what a server keeps for it only grows.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// Longest that one is kept which nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// What a connection is wanted for. Neither reading nor writing may take the last connections from the other: a crowd of
/// charts must not keep candles out, nor a flood of candles the charts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// To read, on one that may turn out to be lost.
    Read,
    /// To read once more after that, on one that has just shown that it lives.
    ReadAgain,
    /// To write, on one that is hardly ever lost: who loses it does not know what became of the candles.
    Write,
}

impl Purpose {
    fn share(self) -> usize {
        match self {
            Self::Read | Self::ReadAgain => 0,
            Self::Write => 1,
        }
    }

    /// How long after it was lent a connection is taken to live without a test, which takes a round trip. A writer under
    /// load spares it, and pays with a refusal of what it writes within that time of a server's restart.
    fn ping_if_idle_for(self) -> Duration {
        match self {
            Self::Read => Duration::from_secs(1),
            Self::ReadAgain => Duration::ZERO,
            Self::Write => Duration::from_millis(100),
        }
    }
}

/// Connections of which each does one statement at a time. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    /// Not sqlx's pool, whose `return_to_pool` (sqlx-core 0.8.6, src/pool/connection.rs) pings every connection that comes back, in a
    /// task: two round trips a statement instead of one, 1,058 statements a second instead of 2,017 on ten connections 2 ms away.
    connections: managed::Pool<ConnectionManager>,
    /// One per connection. Waiting happens here, so that the pool is asked only for what it has or may open.
    permits: Arc<Semaphore>,
    /// One per connection that readers may hold at once, and likewise for writers.
    shares: [Arc<Semaphore>; 2],
    max_connections: u32,
    patience: Patience,
    abandoned: Abandoned,
}

/// Why a statement on a pool did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    /// No connection was free in time.
    #[error("no connection to it was free or could be opened in time")]
    Busy,
    /// The statement was sent and not answered.
    #[error("it did not answer a statement in time")]
    NoAnswer,
    /// The driver or the server reported a failure.
    #[error(transparent)]
    Failed(sqlx::Error),
}

impl Pool {
    pub(super) fn new(
        options: &PgConnectOptions,
        max_connections: u32,
        patience: Patience,
        abandoned: &Abandoned,
    ) -> Self {
        let opener =
            ConnectionManager { options: options.clone(), patience: patience.connect, outage: Mutex::default() };
        let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(max_connections as usize) };
        let connections = managed::Pool::builder(opener).config(config).build();
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        // A fifth is kept from either, where there is more than one connection to share.
        let share = if max_connections > 1 { max_connections - max_connections.div_ceil(5) } else { 1 };
        Self {
            connections: connections.expect("without time-outs of its own it needs no runtime"),
            permits: permits(max_connections),
            shares: [permits(share), permits(share)],
            max_connections,
            patience,
            abandoned: abandoned.clone(),
        }
    }

    /// Runs one statement. A connection that was lost or did not answer in time is closed, not lent again.
    pub(super) async fn run<T>(
        &self,
        purpose: Purpose,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, PoolError> {
        let mut loan = self.acquire(purpose).await?;
        let Some(kept) = &mut loan.connection else { return Err(PoolError::Busy) };
        loan.in_statement = true;
        let result = match timeout(self.patience.answer, statement(&mut kept.connection)).await {
            Ok(result) => result.map_err(PoolError::Failed),
            Err(_) => Err(PoolError::NoAnswer),
        };
        loan.in_statement = result.as_ref().is_err_and(PoolError::may_still_run);
        if !loan.in_statement && result.as_ref().is_err_and(PoolError::spoils_the_connection) {
            loan.close();
        }
        result
    }

    async fn acquire(&self, purpose: Purpose) -> Result<Lease, PoolError> {
        let acquire = async {
            let share = Arc::clone(&self.shares[purpose.share()]).acquire_owned().await.map_err(|_| PoolError::Busy)?;
            let place = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PoolError::Busy)?;
            let (connections, abandoned) = (self.connections.clone(), self.abandoned.clone());
            // A connection that takes longer than this request waits serves the next one.
            detach_on_drop(async move {
                let connection = take(&connections, purpose, &abandoned).await?;
                Ok(Lease { connection: Some(connection), in_statement: false, abandoned, places: Some([share, place]) })
            })
            .await
        };
        let _pending = self.patience.counted.then(Pending::new);
        let start = Instant::now();
        let loan = timeout(self.connections.manager().wait(), acquire).await.unwrap_or(Err(PoolError::Busy));
        if self.patience.counted {
            histogram!(POOL_WAIT).record(start.elapsed());
            counter!(POOL_TIMEOUTS).increment(u64::from(matches!(loan, Err(PoolError::Busy))));
        }
        loan
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let count = |connections| u32::try_from(connections).unwrap_or(u32::MAX);
        let status = self.connections.status();
        PoolUse { open: count(status.size), idle: count(status.available), max: self.max_connections }
    }

    /// Closes what nobody has used for a while.
    pub(super) async fn close_idle(&self) {
        close_all(self.connections.retain(|_, metrics| metrics.last_used() < IDLE_TIMEOUT).removed).await;
    }

    /// Lends nothing any more, and closes all that is not lent.
    pub(super) async fn close(&self) {
        self.permits.close();
        close_all(self.connections.retain(|_, _| false).removed).await;
        self.connections.close();
    }
}

/// Opens connections, and knows which of them still serve.
struct ConnectionManager {
    options: PgConnectOptions,
    patience: Duration,
    outage: Mutex<Outage>,
}

impl ConnectionManager {
    /// The longest time that a request may wait for a connection now.
    fn wait(&self) -> Duration {
        self.outage().wait(Instant::now())
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection as soon as the server takes one: it may be starting, or about to notice that others have ended.
    async fn open(&self) -> sqlx::Result<PooledConnection> {
        let mut pause = FIRST_PAUSE;
        loop {
            match PgConnection::connect_with(&self.options).await {
                Ok(connection) => return PooledConnection::new(connection).await,
                Err(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(sqlx::Error::Database(error)) if error.is_transient_in_connect_phase() => {}
                Err(error) => return Err(error),
            }
            self.outage().note_refusal(Instant::now());
            sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }
}

/// A connection, the server's process behind it, and how long ago it was lent before.
struct PooledConnection {
    connection: PgConnection,
    backend: Backend,
    unused: Duration,
}

impl PooledConnection {
    async fn new(mut connection: PgConnection) -> sqlx::Result<Self> {
        let session = unique_session_name();
        let settings = format!("set application_name = '{session}';{STATEMENT_SETTINGS}");
        let rows = connection.fetch_all(&*settings).await?;
        let own = rows.last().ok_or(sqlx::Error::RowNotFound)?;
        let backend = Backend { pid: own.try_get(0)?, start: own.try_get(1)?, session };
        Ok(Self { connection, backend, unused: Duration::ZERO })
    }
}

impl Manager for ConnectionManager {
    type Type = PooledConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PooledConnection> {
        self.outage().note_try(Instant::now(), self.patience);
        let opened = timeout(self.patience, self.open()).await;
        match opened {
            Ok(_) => self.outage().end(),
            Err(_) => self.outage().note_refusal(Instant::now()),
        }
        opened.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn recycle(&self, kept: &mut PooledConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        kept.unused = metrics.last_used();
        if metrics.age() > MAX_CONNECTION_AGE { Err(RecycleError::message("it is old")) } else { Ok(()) }
    }
}

/// Takes a connection that lives, unless `purpose` may find out by itself.
async fn take(
    connections: &managed::Pool<ConnectionManager>,
    purpose: Purpose,
    abandoned: &Abandoned,
) -> Result<Object<ConnectionManager>, PoolError> {
    loop {
        let mut kept = connections.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => PoolError::Failed(error),
            _ => PoolError::Busy,
        })?;
        let is_new = Object::metrics(&kept).recycle_count == 0;
        let is_trusted = is_new || kept.unused < purpose.ping_if_idle_for();
        if is_trusted || matches!(timeout(PING_TIMEOUT, kept.connection.ping()).await, Ok(Ok(()))) {
            return Ok(kept);
        }
        // The others have not been used for longer, and to wait for each of them would take too long. They had no place, and
        // where only the way to them is lost, the server would keep them beside those that replace them.
        let others = connections.retain(|_, _| false).removed;
        for lost in others.into_iter().chain([Object::take(kept)]) {
            abandoned.end(lost.backend, None);
        }
    }
}

/// Tells the server that they are not needed any more, as long as it listens.
async fn close_all(connections: Vec<PooledConnection>) {
    join_all(connections.into_iter().map(|kept| timeout(PING_TIMEOUT, kept.connection.close()))).await;
}

/// A connection on loan and the place it takes, given back however the loan ends.
struct Lease {
    connection: Option<Object<ConnectionManager>>,
    /// From before a statement is sent until it has ended well: in between nobody knows what comes next on the connection,
    /// so it is given up also where the statement is cut by a panic, or by a caller that stops waiting.
    in_statement: bool,
    abandoned: Abandoned,
    // Below the connection, so that whoever gets the place finds it.
    places: Option<Places>,
}

impl Lease {
    /// Closes the connection without a word: saying goodbye to a peer that does not answer could take as long as it likes.
    fn close(&mut self) {
        drop(self.connection.take().map(Object::take));
    }

    /// Closes the connection, whose place is free once the server has ended its process.
    fn abandon(&mut self) {
        if let Some(PooledConnection { backend, .. }) = self.connection.take().map(Object::take) {
            self.abandoned.end(backend, self.places.take());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.in_statement {
            self.abandon();
        }
    }
}

/// Counts a request that waits for a connection, however the waiting ends.
struct Pending;

impl Pending {
    fn new() -> Self {
        gauge!(POOL_PENDING).increment(1);
        Self
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        gauge!(POOL_PENDING).decrement(1);
    }
}

impl PoolError {
    /// Whether another transaction made the server cancel this one, so that the same again is likely to succeed.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        matches!(error.as_database_error().and_then(sql_state), Some("40001" | "40P01"))
    }

    /// Whether the statement may succeed on another connection.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Failed(_)) && self.spoils_the_connection()
    }

    /// True if the server may still be working at the statement.
    fn may_still_run(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer | Self::Failed(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_))
        )
    }

    fn spoils_the_connection(&self) -> bool {
        match self {
            // A server that shuts down or has become a standby while another took its place; a statement that was prepared
            // before a table changed or a pooler forgot it.
            Self::Failed(sqlx::Error::Database(error)) => sql_state(error.as_ref())
                .is_some_and(|state| matches!(state, "25006" | "0A000" | "26000") || state.starts_with("57P")),
            // An answer that cannot be decoded came on a connection that serves.
            _ => self.may_still_run(),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy | PoolError::NoAnswer => Self::unavailable(error),
            PoolError::Failed(error) => Self::from(error),
        }
    }
}
