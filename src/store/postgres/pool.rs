//! Lends connections for a bounded time, and decides by a statement's outcome whether its connection is used again.

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
use crate::deadline::STATEMENT_TIMEOUT;
use crate::detach_on_drop::detach_on_drop;
use crate::store::error::sql_state;
use crate::store::{PoolUse, StoreError};
use crate::telemetry::metrics::{POOL_PENDING, POOL_TIMEOUTS, POOL_WAIT};

/// The maximum time for the answer to a ping of an idle connection before it is replaced: longer than a round trip to
/// another continent, and short enough to open another one within [`ACQUIRE_TIMEOUT`](super::outage::ACQUIRE_TIMEOUT).
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// The first and the maximum pause before connecting again to a server that is not ready. Each pause is twice the one
/// before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// The time limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The maximum time for opening a connection, which with TLS to another continent is more than
    /// [`ACQUIRE_TIMEOUT`](super::outage::ACQUIRE_TIMEOUT). Opening goes on when the request that began it has given
    /// up.
    pub(super) connect: Duration,
    /// The maximum time for a statement's answer.
    pub(super) answer: Duration,
    /// True if the waits for a connection go into the metrics. Those of probes do not, because they would hide the
    /// waits of requests.
    counted: bool,
}

/// For requests. The server cancels a statement after 5 s; a server that does not even do that counts as lost.
pub(super) const WORK: Patience =
    Patience { connect: Duration::from_secs(3), answer: STATEMENT_TIMEOUT, counted: true };
/// For probes. A probe must not wait long for the one before, which may have got no answer.
pub(super) const PROBE: Patience =
    Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(1), counted: false };
/// For reads on a standby, which the primary answers if the standby does not.
pub(super) const STANDBY: Patience =
    Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(2), counted: false };

/// The settings of a connection, followed by a query of its backend. Without these settings no statement is bounded and
/// no 201 is durable; docs/postgres-role.sql sets them for the login as well.
const STATEMENT_SETTINGS: &str = include_str!("sql/session_settings.sql");

/// The minimum number of writers' connections of which one is kept for groups of small batches. Where a silent link swallows
/// statements, each of fewer connections counts for recovering before the first statement is given up.
const MIN_SHARE_TO_DIVIDE: u32 = 4;

/// The maximum age of a connection, because the state that a server keeps for it only grows.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);
/// The time after which a connection that nobody uses is closed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);

/// The purpose for which a connection is acquired. Neither readers nor writers may take all connections, because many
/// charts must not keep candles out, nor many candles the charts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// A read. If its connection turns out to be lost, the read is repeated.
    Read,
    /// A repeated read, on a connection that has just answered a ping.
    ReadAgain,
    /// A write. If its connection is lost, we cannot know whether the candles were stored, so a connection that was
    /// idle is pinged first. `by` is the time by which it has to begin.
    Write { by: Option<std::time::Instant> },
    /// A write of one large batch. These may not take all connections of writers, because the small batches of all others
    /// share one.
    WriteLarge { by: std::time::Instant },
}

impl Purpose {
    fn share(self) -> usize {
        match self {
            Self::Read | Self::ReadAgain => 0,
            Self::Write { .. } | Self::WriteLarge { .. } => 1,
        }
    }

    /// The time since a connection was last lent within which it is used without a ping, which takes a round trip.
    /// Writers under load save this round trip; in return, a write within that time of a server's restart is refused.
    fn ping_if_idle_for(self) -> Duration {
        match self {
            Self::Read => Duration::from_secs(1),
            Self::ReadAgain => Duration::ZERO,
            Self::Write { .. } | Self::WriteLarge { .. } => Duration::from_millis(100),
        }
    }

    /// The time that is left until it has to begin.
    fn time_left(self) -> Duration {
        match self {
            Self::Write { by: Some(by) } | Self::WriteLarge { by } => {
                by.saturating_duration_since(std::time::Instant::now())
            }
            Self::Read | Self::ReadAgain | Self::Write { by: None } => Duration::MAX,
        }
    }
}

/// Connections, each of which runs one statement at a time. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    /// Not sqlx's pool, because its `return_to_pool` (sqlx-core 0.8.6, src/pool/connection.rs) pings every connection
    /// that comes back, in a task. A statement then takes two round trips instead of one: 1,058 statements a second
    /// instead of 2,017 on ten connections 2 ms away.
    connections: managed::Pool<ConnectionManager>,
    /// One permit for each connection. Callers wait here, so that the pool is asked only for connections that it has or
    /// may open.
    permits: Arc<Semaphore>,
    /// One permit for each connection that readers may hold at once, and likewise for writers.
    shares: [Arc<Semaphore>; 2],
    /// One permit for each connection that large batches may hold at once: one less than writers, unless these have few.
    large: Arc<Semaphore>,
    max_connections: u32,
    patience: Patience,
    abandoned: Abandoned,
}

/// A failure of a statement on a pool.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    /// No connection was free in time.
    #[error("no connection to it was free or could be opened in time")]
    Busy,
    /// The statement was sent and not answered.
    #[error("it did not answer a statement in time")]
    NoAnswer,
    /// No connection could be opened.
    #[error(transparent)]
    Unreachable(sqlx::Error),
    /// The driver or the server reported a failure of the statement.
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
        // Neither readers nor writers get the last fifth, if there is more than one connection to share.
        let share = if max_connections > 1 { max_connections - max_connections.div_ceil(5) } else { 1 };
        Self {
            connections: connections.expect("without time-outs of its own it needs no runtime"),
            permits: permits(max_connections),
            shares: [permits(share), permits(share)],
            large: permits(if share < MIN_SHARE_TO_DIVIDE { share } else { share - 1 }),
            max_connections,
            patience,
            abandoned: abandoned.clone(),
        }
    }

    /// Runs one statement. A connection that was lost or did not answer in time is closed instead of being used again.
    pub(super) async fn run<T>(
        &self,
        purpose: Purpose,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, PoolError> {
        let mut loan = self.acquire(purpose).await?;
        if purpose.time_left().is_zero() {
            return Err(PoolError::Busy);
        }
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
            let permit = async |of: &Arc<Semaphore>| Arc::clone(of).acquire_owned().await.map_err(|_| PoolError::Busy);
            let large = match purpose {
                Purpose::WriteLarge { .. } => Some(permit(&self.large).await?),
                Purpose::Read | Purpose::ReadAgain | Purpose::Write { .. } => None,
            };
            let places = (large, [permit(&self.shares[purpose.share()]).await?, permit(&self.permits).await?]);
            let (connections, abandoned) = (self.connections.clone(), self.abandoned.clone());
            // A connection that opens only after this request has given up serves the next one.
            detach_on_drop(async move {
                let connection = take(&connections, purpose, &abandoned).await?;
                Ok(Lease { connection: Some(connection), in_statement: false, abandoned, places: Some(places) })
            })
            .await
        };
        let _pending = self.patience.counted.then(Pending::new);
        let start = Instant::now();
        let wait = self.connections.manager().wait().min(purpose.time_left());
        let loan = timeout(wait, acquire).await.unwrap_or(Err(PoolError::Busy));
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

    /// Closes the connections that nobody has used for [`IDLE_TIMEOUT`].
    pub(super) async fn close_idle(&self) {
        close_all(self.connections.retain(|_, metrics| metrics.last_used() < IDLE_TIMEOUT).removed).await;
    }

    /// Lends no more connections, and closes all that are not lent.
    pub(super) async fn close(&self) {
        self.permits.close();
        close_all(self.connections.retain(|_, _| false).removed).await;
        self.connections.close();
    }
}

/// Opens connections, and decides which of them are used again.
struct ConnectionManager {
    options: PgConnectOptions,
    patience: Duration,
    outage: Mutex<Outage>,
}

impl ConnectionManager {
    /// The maximum time for which a request may wait for a connection now.
    fn wait(&self) -> Duration {
        self.outage().wait(Instant::now())
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection as soon as the server accepts one. It may be starting, or may not have noticed yet that other
    /// clients have left.
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

/// A connection, its backend, and the time since it was last lent.
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

/// Takes a connection from the pool. Pings it first if it was idle for longer than `purpose` allows.
async fn take(
    connections: &managed::Pool<ConnectionManager>,
    purpose: Purpose,
    abandoned: &Abandoned,
) -> Result<Object<ConnectionManager>, PoolError> {
    loop {
        let mut kept = connections.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => PoolError::Unreachable(error),
            _ => PoolError::Busy,
        })?;
        let is_new = Object::metrics(&kept).recycle_count == 0;
        let is_trusted = is_new || kept.unused < purpose.ping_if_idle_for();
        if is_trusted || matches!(timeout(PING_TIMEOUT, kept.connection.ping()).await, Ok(Ok(()))) {
            return Ok(kept);
        }
        // The other connections have been idle for even longer, and pinging each of them would take too long, so they
        // are replaced too. They hold no place. The server is asked to end their backends, because it would keep them
        // beside the new ones if only the network path to them is lost.
        let others = connections.retain(|_, _| false).removed;
        for lost in others.into_iter().chain([Object::take(kept)]) {
            abandoned.end(lost.backend, None);
        }
    }
}

/// Closes connections, and notifies the server of it if that takes no longer than [`PING_TIMEOUT`].
async fn close_all(connections: Vec<PooledConnection>) {
    join_all(connections.into_iter().map(|kept| timeout(PING_TIMEOUT, kept.connection.close()))).await;
}

/// A connection and the places it takes. Both are given back however the lease ends.
struct Lease {
    connection: Option<Object<ConnectionManager>>,
    /// True from before a statement is sent until it has ended. In between, the state of the protocol on the connection
    /// is unknown, so a connection is also given up if a panic, or a caller that stops waiting, interrupts its
    /// statement.
    in_statement: bool,
    abandoned: Abandoned,
    // Declared after the connection, so that it is dropped later and the next holder of the place finds the connection.
    places: Option<Places>,
}

impl Lease {
    /// Closes the connection without notifying the server, because sending the notice could block for any time if the
    /// server does not answer.
    fn close(&mut self) {
        drop(self.connection.take().map(Object::take));
    }

    /// Closes the connection, and keeps its places until the server has ended its backend.
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

/// Counts a request as waiting for a connection until it is dropped.
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
    /// True if the server cancelled the statement because of another transaction, so that a retry is likely to succeed.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        matches!(error.as_database_error().and_then(sql_state), Some("40001" | "40P01"))
    }

    /// True if the statement may succeed on another connection.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Failed(error) | Self::Unreachable(error) if is_lost(error))
    }

    /// True if the server may still be working on the statement.
    fn may_still_run(&self) -> bool {
        match self {
            Self::NoAnswer => true,
            Self::Failed(error) => is_broken(error),
            Self::Busy | Self::Unreachable(_) => false,
        }
    }

    /// The error of a write: if the server may still be working on it, it is not known whether it was stored.
    pub(super) fn of_write(self) -> StoreError {
        if self.may_still_run() { StoreError::unanswered(self) } else { StoreError::from(self) }
    }

    fn spoils_the_connection(&self) -> bool {
        self.may_still_run() || matches!(self, Self::Failed(error) if is_lost(error))
    }
}

/// True if a connection broke.
fn is_broken(error: &sqlx::Error) -> bool {
    // A connection whose answer cannot be decoded still works.
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_))
        || error.as_database_error().and_then(sql_state).is_some_and(is_of_a_broken_session)
}

/// True for the SQLSTATEs by which a pooler reports that it has lost its server, and of a statement whose completion is
/// unknown (PostgreSQL documentation, appendix A).
fn is_of_a_broken_session(state: &str) -> bool {
    state.starts_with("08") || state == "40003"
}

/// True if a connection broke or is of no use any more.
fn is_lost(error: &sqlx::Error) -> bool {
    // A server that shuts down or has become a standby, because another server took its place; a prepared statement that
    // is outdated, because a table has changed, or that a pooler has forgotten.
    let is_useless = |state: &str| matches!(state, "25006" | "0A000" | "26000") || state.starts_with("57P");
    is_broken(error) || error.as_database_error().and_then(sql_state).is_some_and(is_useless)
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy | PoolError::NoAnswer => Self::unavailable(error),
            PoolError::Unreachable(error) | PoolError::Failed(error) => Self::from(error),
        }
    }
}
