//! Claims jobs and works on several at once.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::{Jobs, JobsError, random_id};
use crate::errors::chain;
use crate::store::{Job, StoreError};
use crate::telemetry::metrics::JOBS_REQUEUED;

/// The interval at which a process looks for jobs that others have queued.
const SHARED_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The same where no other process queues jobs, so that only those of a process that died are looked for.
const OWN_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The interval at which the jobs of processes that died are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
/// The pause before the store is asked again after it did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);

impl Jobs {
    /// Works on jobs once the store is `ready`, until the process stops. Then the jobs are left to others.
    pub(crate) async fn work(self, mut ready: watch::Receiver<bool>) {
        let stopping = self.0.stopping.clone();
        let is_ready = tokio::select! {
            ready = ready.wait_for(|ready| *ready) => ready.is_ok(),
            () = stopping.cancelled() => return,
        };
        if !is_ready || self.0.research.threads().count() == 0 {
            stopping.cancelled().await;
            return;
        }
        let mut running = JoinSet::new();
        let period = if self.0.store.shares_jobs() { SHARED_POLL_INTERVAL } else { OWN_POLL_INTERVAL };
        let mut poll = interval(period);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looked, mut last_failure) = (None::<Instant>, None);
        while !stopping.is_cancelled() {
            let worked = async {
                if looked.is_none_or(|at| at.elapsed() >= EXPIRY_INTERVAL) {
                    self.requeue().await?;
                    looked = Some(Instant::now());
                }
                self.fill(&mut running).await
            };
            if let Err(error) = worked.await {
                let failure = chain(&error).to_string();
                if last_failure.as_ref() != Some(&failure) {
                    warn!(cause = failure, "could not look for jobs; trying again");
                }
                last_failure = Some(failure);
                sleep(RETRY_DELAY).await;
                continue;
            }
            last_failure = None;
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.0.wake.notified() => {}
                Some(_) = running.join_next() => {}
                _ = poll.tick() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Queues the jobs again whose process died.
    async fn requeue(&self) -> Result<(), StoreError> {
        let own = self.running().values().map(|running| running.token.clone()).collect();
        let requeued = self.0.store.requeue_expired(own, self.0.config.retention).await?;
        if requeued > 0 {
            metrics::counter!(JOBS_REQUEUED).increment(requeued);
            info!(jobs = requeued, "jobs were taken back from a process that no longer renewed its leases");
        }
        Ok(())
    }

    /// Claims jobs until as many run as may.
    async fn fill(&self, running: &mut JoinSet<()>) -> Result<(), StoreError> {
        while running.try_join_next().is_some() {}
        while running.len() < self.0.config.at_once && !self.0.stopping.is_cancelled() {
            let Some((job, token)) = self.claim().await? else { break };
            debug!(job = job.id, attempt = job.attempts, "working on a job");
            running.spawn(self.clone().work_on(job, token));
        }
        Ok(())
    }

    async fn claim(&self) -> Result<Option<(Job, String)>, StoreError> {
        let token = random_id().map_err(|error| match error {
            JobsError::Randomness(error) => StoreError::internal(error),
            other => StoreError::internal(other.to_string()),
        })?;
        Ok(self.0.store.claim_job(token.clone(), self.left()).await?.map(|job| (job, token)))
    }
}
