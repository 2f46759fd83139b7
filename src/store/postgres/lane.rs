//! Lends connections for a bounded time, and decides by the outcome whether one may be used again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor as _, PgConnection, PgPool, Postgres as Pg};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::store::error::sql_state;
use crate::store::{PoolUse, StoreError};

/// Longest that a request waits for a connection; the shortest time-out seen in Expert Advisors is 1 s.
const WAIT: Duration = Duration::from_secs(1);
/// Longest that opening a connection may take, which with TLS to another continent is more than [`WAIT`]. It goes on
/// when the request that began it has given up, and retries at most a fifth of it apart (sqlx).
const CONNECT: Duration = Duration::from_secs(3);
/// Longest that a statement runs on the server, in the spelling of its settings.
const STATEMENT_SETTINGS: &str = "
    set statement_timeout = '5s';
    set lock_timeout = '5s';
    set idle_in_transaction_session_timeout = '10s';
    -- A 201 means durable, also where the database's default is to answer before the disk has.
    select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";
/// Longest that we wait for a statement's answer: a server that cannot even time out is gone.
const ANSWER: Duration = Duration::from_millis(5500);

/// Connections of which each does one statement at a time. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pool: PgPool,
    /// One per connection. Waiting happens here, so that the pool is asked only for what it has or may open.
    permits: Arc<Semaphore>,
    max_connections: u32,
}

/// Why a statement on a lane did not succeed.
#[derive(Debug)]
pub(super) enum LaneError {
    /// No connection was free in time.
    Busy,
    /// The statement was sent and not answered.
    NoAnswer,
    /// The driver or the server reported a failure.
    Failed(sqlx::Error),
}

impl Lane {
    pub(super) fn new(options: &PgConnectOptions, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(CONNECT)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(STATEMENT_SETTINGS).await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        let permits = Semaphore::new(usize::try_from(max_connections).unwrap_or(Semaphore::MAX_PERMITS));
        Self { pool, permits: Arc::new(permits), max_connections }
    }

    /// Runs one statement. A connection that was lost or did not answer in time is closed, not lent again.
    pub(super) async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, LaneError> {
        let (mut connection, _permit) = self.connection().await?;
        let result = match timeout(ANSWER, statement(&mut connection)).await {
            Ok(result) => result.map_err(LaneError::Failed),
            Err(_) => Err(LaneError::NoAnswer),
        };
        if result.as_ref().is_err_and(LaneError::spoils_the_connection) {
            drop(connection.detach());
        }
        result
    }

    async fn connection(&self) -> Result<(PoolConnection<Pg>, OwnedSemaphorePermit), LaneError> {
        let acquire = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| LaneError::Busy)?;
            let pool = self.pool.clone();
            // In a task of its own: a connection that takes longer than this request waits serves the next one.
            let connecting = tokio::spawn(async move { (pool.acquire().await, permit) });
            let (connection, permit) = connecting.await.map_err(|_| LaneError::Busy)?;
            Ok((connection.map_err(LaneError::Failed)?, permit))
        };
        timeout(WAIT, acquire).await.unwrap_or(Err(LaneError::Busy))
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        PoolUse { open: self.pool.size(), idle, max: self.max_connections }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl LaneError {
    /// Whether another transaction made the server cancel this one, so that the same again is likely to succeed.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        matches!(error.as_database_error().and_then(sql_state), Some("40001" | "40P01"))
    }

    fn spoils_the_connection(&self) -> bool {
        match self {
            Self::Busy => false,
            Self::NoAnswer => true,
            Self::Failed(error) => error.as_database_error().is_none(),
        }
    }
}

impl From<LaneError> for StoreError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Busy => Self::Unavailable("no connection to it was free or could be opened in time".to_owned()),
            LaneError::NoAnswer => Self::Unavailable("it did not answer a statement in time".to_owned()),
            LaneError::Failed(error) => Self::from(error),
        }
    }
}
