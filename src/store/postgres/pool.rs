//! Lends connections for a bounded time, and decides by the outcome whether one may be used again.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres as Pg};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::store::error::sql_state;
use crate::store::{PoolUse, StoreError};
use crate::telemetry::metrics::{POOL_PENDING, POOL_TIMEOUTS, POOL_WAIT};
use crate::to_the_end::to_the_end;

/// Longest that a request waits for a connection; the shortest time-out seen in Expert Advisors is 1 s.
const WAIT: Duration = Duration::from_secs(1);

/// Longest that an idle connection may take to show that it lives before it is replaced: longer than the way to another
/// continent and back, and short enough to open one within [`WAIT`].
const PING: Duration = Duration::from_millis(500);

/// How long a pool's users are ready to wait for the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Longest that opening a connection may take, which with TLS to another continent is more than [`WAIT`]. It goes on
    /// when the request that began it has given up, and retries at most a fifth of it apart (sqlx).
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

/// Longest that a statement runs on the server, in the spelling of its settings.
const STATEMENT_SETTINGS: &str = "
    set statement_timeout = '5s';
    -- Far longer than a batch takes, and short enough that what waits behind this one can still be written in time.
    set lock_timeout = '2s';
    set idle_in_transaction_session_timeout = '10s';
    -- Our statements have one good plan each. Left to itself, the server plans those on long series anew every time: not
    -- knowing the limit, it takes the plan for any parameters to be dearer than one for these.
    set plan_cache_mode = force_generic_plan;
    -- A 201 means durable, also where the database's default is to answer before the disk has.
    select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";

/// What a connection is wanted for. Neither kind may take the last connections from the other: a crowd of charts must
/// not keep candles out, nor a flood of candles the charts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// To read.
    Read,
    /// To write.
    Write,
}

/// Connections of which each does one statement at a time. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: PgPool,
    /// One per connection. Waiting happens here, so that the pool is asked only for what it has or may open.
    permits: Arc<Semaphore>,
    /// One per connection that readers may hold at once, and likewise for writers.
    shares: [Arc<Semaphore>; 2],
    max_connections: u32,
    patience: Patience,
}

/// Why a statement on a pool did not succeed.
#[derive(Debug)]
pub(super) enum PoolError {
    /// No connection was free in time.
    Busy,
    /// The statement was sent and not answered.
    NoAnswer,
    /// The driver or the server reported a failure.
    Failed(sqlx::Error),
}

impl Pool {
    pub(super) fn new(options: &PgConnectOptions, max_connections: u32, patience: Patience) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(patience.connect)
            // The pool's own test of an idle connection waits without a bound of its own, and so would a request for each
            // connection that a firewall has forgotten.
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    let answered = timeout(PING, connection.ping()).await;
                    answered.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(STATEMENT_SETTINGS).await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        // A fifth is kept from either, where there is more than one connection to share.
        let share = if max_connections > 1 { max_connections - max_connections.div_ceil(5) } else { 1 };
        let shares = [permits(share), permits(share)];
        Self { connections: pool, permits: permits(max_connections), shares, max_connections, patience }
    }

    /// Runs one statement. A connection that was lost or did not answer in time is closed, not lent again.
    pub(super) async fn run<T>(
        &self,
        purpose: Purpose,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, PoolError> {
        let mut loan = self.lend(purpose).await?;
        let Some(connection) = &mut loan.connection else { return Err(PoolError::Busy) };
        let result = match timeout(self.patience.answer, statement(connection)).await {
            Ok(result) => result.map_err(PoolError::Failed),
            Err(_) => Err(PoolError::NoAnswer),
        };
        if result.as_ref().is_err_and(PoolError::spoils_the_connection) {
            // Out of the pool at once: saying goodbye to a peer that does not answer could take as long as the peer likes.
            drop(loan.connection.take().map(PoolConnection::detach));
        }
        result
    }

    async fn lend(&self, purpose: Purpose) -> Result<Loan, PoolError> {
        let lend = async {
            let share =
                Arc::clone(&self.shares[purpose as usize]).acquire_owned().await.map_err(|_| PoolError::Busy)?;
            let place = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PoolError::Busy)?;
            let pool = self.connections.clone();
            // A connection that takes longer than this request waits serves the next one.
            let connecting = to_the_end(async move {
                let connection = pool.acquire().await?;
                Ok(Loan { connection: Some(connection), permits: Some([share, place]) })
            });
            connecting.await.map_err(PoolError::Failed)
        };
        let _pending = self.patience.counted.then(Pending::new);
        let start = Instant::now();
        let loan = timeout(WAIT, lend).await.unwrap_or(Err(PoolError::Busy));
        if self.patience.counted {
            histogram!(POOL_WAIT).record(start.elapsed());
            counter!(POOL_TIMEOUTS).increment(u64::from(matches!(loan, Err(PoolError::Busy))));
        }
        loan
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let idle = u32::try_from(self.connections.num_idle()).unwrap_or(u32::MAX);
        PoolUse { open: self.connections.size(), idle, max: self.max_connections }
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

/// A connection on loan and the place it takes, given back however the loan ends.
struct Loan {
    connection: Option<PoolConnection<Pg>>,
    permits: Option<[OwnedSemaphorePermit; 2]>,
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

impl Drop for Loan {
    fn drop(&mut self) {
        let permits = self.permits.take();
        let Some(mut connection) = self.connection.take() else { return };
        // The pool pings what it takes back, without a time-out of its own: a peer that died would keep the place.
        let returned = connection.return_to_pool();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(WAIT, returned).await;
                drop(permits);
            });
        }
    }
}

impl PoolError {
    /// Whether another transaction made the server cancel this one, so that the same again is likely to succeed.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        matches!(error.as_database_error().and_then(sql_state), Some("40001" | "40P01"))
    }

    fn spoils_the_connection(&self) -> bool {
        match self {
            Self::Busy => false,
            // A server that shuts down or has become a standby while another took its place; a statement that was prepared
            // before a table changed or a pooler forgot it.
            Self::Failed(sqlx::Error::Database(error)) => sql_state(error.as_ref())
                .is_some_and(|state| matches!(state, "25006" | "0A000" | "26000") || state.starts_with("57P")),
            Self::NoAnswer | Self::Failed(_) => true,
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy => Self::Unavailable("no connection to it was free or could be opened in time".to_owned()),
            PoolError::NoAnswer => Self::Unavailable("it did not answer a statement in time".to_owned()),
            PoolError::Failed(error) => Self::from(error),
        }
    }
}
