//! Runs statements to their end, even if the caller stops waiting: writes on the primary, and reads on the standby where
//! that may answer them. Long reads wait for their turn.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::abandoned::Abandoned;
use super::engine::Engine;
use super::pool::{self, Pool, PoolError};
use super::standby::Standby;
use crate::config::StandbyConfig;
use crate::store::reading::ReadServer;
use crate::store::{PoolUse, StoreError, finished, not_prepared};
use crate::telemetry::metrics::StandbyReads;

/// The maximum number of statements that read lists of series at once. A pool of up to [`SMALL_POOL_CONNECTIONS`] runs
/// one.
const MAX_LISTS: usize = 2;
const SMALL_POOL_CONNECTIONS: u32 = 4;
/// The part of the connections that build candles at once.
const CONNECTIONS_PER_BUILD: usize = 3;
/// The maximum time for which such a statement waits for others.
const TURN_TIMEOUT: Duration = Duration::from_secs(4);

/// The connections to a database and to its standby, and the statements that run on them.
pub(super) struct Runner {
    work: Pool,
    /// A pool of one connection, so that a probe never waits for work.
    probe: Pool,
    /// A standby that reads may go to.
    standby: Option<Standby>,
    /// The engine of the tables. First contact finds it, and until then no statement is sent.
    engine: OnceLock<Engine>,
    /// A permit for each list of series that may be read at once, so that lists never take all connections from pages.
    lists: Arc<Semaphore>,
    /// Likewise for each statement that builds candles, which takes as long as a hundred pages.
    builds: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// The kind of a long read. Each kind waits for its own turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// A step of a list of series.
    List,
    /// Candles of another timeframe.
    Build,
}

impl Runner {
    /// Opens no connection yet.
    pub(super) fn new(
        options: &PgConnectOptions,
        max_connections: u32,
        standby: Option<&StandbyConfig>,
    ) -> Result<Self, StoreError> {
        let abandoned = Abandoned::new(options);
        let lists = if max_connections > SMALL_POOL_CONNECTIONS { MAX_LISTS } else { 1 };
        let builds = (max_connections as usize).div_ceil(CONNECTIONS_PER_BUILD);
        let standby = standby.map(|standby| Standby::new(standby, max_connections, (options, &abandoned)));
        Ok(Self {
            work: Pool::new(options, max_connections, pool::WORK, &abandoned),
            probe: Pool::new(options, 1, pool::PROBE, &abandoned),
            standby: standby.transpose()?,
            engine: OnceLock::new(),
            lists: Arc::new(Semaphore::new(lists)),
            builds: Arc::new(Semaphore::new(builds)),
            tasks: TaskTracker::new(),
        })
    }

    /// Lets statements through, after first contact has found the engine.
    pub(super) fn begin(&self, engine: Engine) {
        self.engine.get_or_init(|| engine);
    }

    /// The engine of the tables, once first contact has found it.
    pub(super) fn engine(&self) -> Result<Engine, StoreError> {
        self.engine.get().copied().ok_or_else(not_prepared)
    }

    pub(super) fn standby(&self) -> Option<&Standby> {
        self.standby.as_ref()
    }

    /// Runs `work`, which writes batches.
    pub(super) async fn write<T, F>(&self, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.finish(work(self.work.clone()).map(|done| done.map_err(PoolError::of_write))).await
    }

    /// Runs `work` on the primary.
    pub(super) async fn on_primary<T, F>(&self, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.on(&self.work, work).await
    }

    /// Runs `work` on a connection that nothing else uses.
    pub(super) async fn probe<T, F>(&self, work: impl FnOnce(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        self.on(&self.probe, work).await
    }

    /// Runs `work` on the standby if `server` says so, and on the primary otherwise or if the standby does not answer.
    pub(super) async fn read<T, F>(&self, server: ReadServer, work: impl Fn(Pool) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        if let (ReadServer::Standby, Some(standby)) = (server, &self.standby) {
            match self.on(&standby.pool, &work).await {
                Ok(read) => {
                    StandbyReads::Answered.count(1);
                    return Ok(read);
                }
                Err(error) => standby.note_failure(&error),
            }
        }
        self.on_primary(work).await
    }

    /// Like [`Self::read`], for one long read once it gets a permit. It keeps the permit until it ends.
    pub(super) async fn read_in_turn<T, F>(
        &self,
        turn: Turn,
        server: ReadServer,
        work: impl Fn(Pool) -> F + Clone + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PoolError>> + Send + 'static,
    {
        let permits = match turn {
            Turn::List => &self.lists,
            Turn::Build => &self.builds,
        };
        let permit = timeout(TURN_TIMEOUT, Arc::clone(permits).acquire_owned()).await;
        let permit = Arc::new(permit.ok().and_then(Result::ok).ok_or(PoolError::Busy)?);
        self.read(server, move |pool| {
            let (permit, work) = (Arc::clone(&permit), work(pool));
            async move {
                let _permit = permit;
                work.await
            }
        })
        .await
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        self.work.pool_use()
    }

    /// Closes the connections that have been idle for long.
    pub(super) async fn close_idle(&self) {
        self.work.close_idle().await;
        self.probe.close_idle().await;
        if let Some(standby) = &self.standby {
            standby.close_idle().await;
        }
    }

    /// Waits for the statements that are running, then closes all connections.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.work.close().await;
        self.probe.close().await;
        if let Some(standby) = &self.standby {
            standby.close().await;
        }
    }

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
        finished(&self.tasks, work).await
    }
}
