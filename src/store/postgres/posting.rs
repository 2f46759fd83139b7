//! Writes batches with COPY or with INSERT, whichever is faster for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::append::{self, Copied};
use super::copy_hint::WrittenRanges;
use super::pool::{Pool, Purpose};
use super::retry::write_with;
use super::rows;
use super::runner::Runner;
use crate::store::error::unreadable;
use crate::store::versions::BumpOnDrop;
use crate::store::{Appended, StoreError};
use candle::{Batch, Written};

/// The minimum number of candles for which COPY, which takes one more round trip, is faster than INSERT.
const MIN_COPIED_CANDLES: usize = 200;

/// The facts that decide whether a batch is copied.
#[derive(Debug, Default)]
pub(super) struct Posting {
    /// True if COPY may write into the table.
    takes_copy: AtomicBool,
    copy_hint: WrittenRanges,
}

impl Posting {
    /// Notes whether COPY may write into the table.
    pub(super) fn allow_copy(&self, is_allowed: bool) {
        self.takes_copy.store(is_allowed, Ordering::Release);
    }

    /// True if a batch is large enough for COPY and likely to be entirely new.
    fn may_copy(&self, batch: &Batch) -> bool {
        batch.forming().is_empty()
            && batch.closed().len() >= MIN_COPIED_CANDLES
            && self.takes_copy.load(Ordering::Acquire)
            && self.copy_hint.none_overlap(batch.closed())
    }
}

/// Writes a large batch with COPY if that is likely to succeed, and with INSERT otherwise.
pub(super) async fn append(
    runner: &Runner,
    posting: &Arc<Posting>,
    batch: Arc<Batch>,
    bump: BumpOnDrop,
    write_by: Instant,
) -> Result<Appended, StoreError> {
    let (posting, purpose, engine) = (Arc::clone(posting), Purpose::WriteLarge { by: write_by }, runner.engine()?);
    runner
        .write(move |pool| async move {
            let _bump = bump;
            if posting.may_copy(&batch) {
                match write_with!(pool, purpose, |connection| append::copy(connection, batch.closed()))? {
                    Copied::All(appended) => {
                        posting.copy_hint.note(batch.closed(), true);
                        return Ok(appended);
                    }
                    Copied::Forbidden => posting.takes_copy.store(false, Ordering::Release),
                    Copied::Nothing => {}
                }
            }
            let appended = write_with!(pool, purpose, |connection| append::insert(connection, engine, &batch))?;
            posting.copy_hint.note(batch.closed(), appended.added == batch.closed().len());
            Ok(appended)
        })
        .await
}

/// Writes batches in one statement. They must be distinguishable in it, as those of a [`GROUPING`](super::GROUPING) are.
pub(super) async fn append_group(
    runner: &Runner,
    posting: &Arc<Posting>,
    batches: Vec<Arc<Batch>>,
    bump: BumpOnDrop,
    write_by: Instant,
) -> Result<Vec<Written>, StoreError> {
    let (merged, origins) = Batch::merge(batches.iter().map(|batch| &**batch));
    let (merged, engine) = (Arc::new(merged), runner.engine()?);
    let (posting, inserted) = (Arc::clone(posting), Arc::clone(&merged));
    let insert = move |pool: Pool| async move {
        let _bump = bump;
        let rows = write_with!(pool, Purpose::Write { by: Some(write_by) }, |connection| {
            append::insert_returning_positions(connection, engine, &inserted)
        })?;
        posting.copy_hint.note(inserted.closed(), true);
        Ok(rows)
    };
    let rows = runner.write(insert).await?;
    let written = rows::written(&merged, &rows).map_err(unreadable)?;
    Ok(origins.divide(&written, batches.len()))
}
