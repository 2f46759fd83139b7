//! The writes of a process that works on a job, each under the job's lease.

use super::answer::unreadable;
use super::progress::Progress;
use super::{JobsError, compressed};
use crate::store::{JobEnd, JobProgress, Lease, Store, StoreError};

/// A write that needs the lease.
#[derive(Clone)]
pub(super) enum Write {
    BeginItem { item: i32, summary: Vec<u8> },
    EndItem { item: i32, summary: Vec<u8>, evaluations: Vec<u8> },
    EndJob(JobEnd),
}

impl Write {
    /// Returns false if the lease has expired.
    pub(super) async fn send(self, store: &Store, lease: Lease) -> Result<bool, StoreError> {
        match self {
            Self::BeginItem { item, summary } => store.begin_item(lease, item, summary).await,
            Self::EndItem { item, summary, evaluations } => store.end_item(lease, item, summary, evaluations).await,
            Self::EndJob(end) => store.end_job(lease, end).await,
        }
    }
}

/// Progress as it is stored.
pub(super) fn stored(progress: &Progress) -> Result<JobProgress, JobsError> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let summary = compressed(&serde_json::to_vec(progress).map_err(unreadable)?)?;
    Ok(JobProgress { done: count(progress.done), total: count(progress.total), summary })
}
