//! Watches a connection while it works on a step of a migration, whose time has no limit.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::connect::connect;
use crate::store::StoreError;

/// The time after which a running step is first reported, and the interval of further reports.
pub(super) const FIRST_REPORT: Duration = Duration::from_secs(1);
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum time for asking the server about a running step.
const WATCH_QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Watches the connection on which migrations run.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    options: &'a PgConnectOptions,
    pid: i32,
}

impl<'a> Watch<'a> {
    /// Watches `connection`, which was opened with `options`.
    pub(super) async fn start(connection: &mut PgConnection, options: &'a PgConnectOptions) -> sqlx::Result<Self> {
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await?;
        Ok(Self { options, pid })
    }

    /// Waits for a step on the connection, and logs how long it has taken so far.
    ///
    /// # Errors
    /// When the server no longer works on it.
    pub(super) async fn over<T>(&self, name: &str, step: impl Future<Output = T>) -> Result<T, StoreError> {
        let start = Instant::now();
        let mut step = std::pin::pin!(step);
        let (mut pause, mut was_idle) = (FIRST_REPORT, false);
        loop {
            tokio::select! {
                result = &mut step => return Ok(result),
                () = sleep(pause) => {}
            }
            info!(seconds = start.elapsed().as_secs(), "{name}");
            pause = REPORT_INTERVAL;
            // If the server cannot be asked, nothing is known.
            let Ok(Ok(state)) = timeout(WATCH_QUERY_TIMEOUT, self.state()).await else { continue };
            let is_idle = state.as_deref() == Some("idle");
            // One idle state proves nothing, because the answer may be on its way.
            if state.is_none() || (is_idle && was_idle) {
                warn!("the server no longer works on this step");
                return Err(StoreError::unavailable("the connection was lost during its migration"));
            }
            was_idle = is_idle;
        }
    }

    /// The state of the backend, if it is there.
    async fn state(&self) -> Result<Option<String>, StoreError> {
        const STATE: &str = "select coalesce(state, 'unknown') from pg_stat_activity where pid = $1";
        let mut connection = connect(self.options).await?;
        let state = sqlx::query_scalar(STATE).bind(self.pid).fetch_optional(&mut connection).await?;
        // The outcome does not matter, because the connection is not used again.
        let _ = connection.close().await;
        Ok(state)
    }
}
