//! Deletes jobs and files that have expired, and counts what is left.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use std::sync::PoisonError;

use super::Jobs;
use crate::errors::chain;
use crate::store::{Expired, SWEEP_ROWS, StoreError};

/// The interval of sweeps. The first one begins after it too, so that a process that restarts in a loop sweeps nothing.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// The interval at which jobs and files are counted, for metrics and health.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after each statement, which leaves the database to posts and pages.
const STATEMENT_PAUSE: Duration = Duration::from_millis(50);

impl Jobs {
    /// Sweeps and counts once the store is `ready`. Never returns.
    pub(crate) async fn maintain(self, mut ready: watch::Receiver<bool>) {
        if ready.wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
        let mut swept = Instant::now();
        loop {
            if let Err(error) = self.count().await {
                debug!(cause = chain(&error).to_string(), "could not count jobs");
            }
            if swept.elapsed() >= SWEEP_INTERVAL {
                if let Err(error) = self.sweep().await {
                    debug!(
                        cause = chain(&error).to_string(),
                        "could not delete jobs that have expired; trying again later"
                    );
                }
                swept = Instant::now();
            }
            sleep(COUNT_INTERVAL).await;
        }
    }

    async fn count(&self) -> Result<(), StoreError> {
        let counts = self.0.store.job_counts().await?;
        *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(())
    }

    /// Deletes what has expired, and returns the number of rows.
    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut all = 0;
        // In this order, because a job goes after what belongs to it.
        for expired in [Expired::Items, Expired::Files, Expired::Jobs] {
            loop {
                let deleted = self.0.store.delete_expired(expired).await?;
                all += deleted;
                if deleted < SWEEP_ROWS.unsigned_abs() {
                    break;
                }
                sleep(STATEMENT_PAUSE).await;
            }
        }
        if all > 0 {
            info!(rows = all, "deleted jobs and files that have expired");
        }
        Ok(all)
    }
}
