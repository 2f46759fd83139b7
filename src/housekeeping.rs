//! Keeps the store ready: [`first_contact`], then the rounds in which forming candles are closed or removed.

use std::convert::Infallible;
use std::time::Duration;

use tokio::join;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::DatabaseConfig;
use crate::errors::chain;
use crate::first_contact;
use crate::ingest::Ingest;
use crate::store::{Store, StoreError};

/// The pause between two rounds, each of which closes the candles that are due.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);
/// The number of rounds between two sweeps, which look at every forming candle.
const ROUNDS_PER_SWEEP: u32 = 6;

/// Connects to the store, however long that takes, sets `readiness`, and then runs its rounds. Returns only if waiting
/// cannot help.
pub(crate) async fn run(
    store: Store,
    ingest: Ingest,
    config: DatabaseConfig,
    readiness: watch::Sender<bool>,
) -> StoreError {
    if let Err(unfit) = first_contact::make(&store, config.migrate_on_start, config.refusal_patience).await {
        return unfit;
    }
    store.claim().await;
    info!(store = store.kind(), "ready");
    readiness.send_replace(true);
    // Both at the same time, because closing candles must not wait for the report.
    let ((), never) = join!(store.report_unreachable(), go_rounds(&store, &ingest));
    match never {}
}

/// Connects to the store, however long that takes, and sets `readiness`. Returns only if waiting cannot help.
pub(crate) async fn keep_ready(store: Store, config: DatabaseConfig, readiness: watch::Sender<bool>) -> StoreError {
    if let Err(unfit) = first_contact::make(&store, config.migrate_on_start, config.refusal_patience).await {
        return unfit;
    }
    info!(store = store.kind(), "ready");
    readiness.send_replace(true);
    std::future::pending().await
}

async fn go_rounds(store: &Store, ingest: &Ingest) -> Infallible {
    let (mut rounds, mut last_failure) = (0_u32, None);
    loop {
        if rounds.is_multiple_of(ROUNDS_PER_SWEEP) {
            ingest.share_newest().await;
        }
        close_due(ingest, &mut last_failure).await;
        sleep(ROUND_INTERVAL).await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(ROUNDS_PER_SWEEP) {
            store.claim().await;
            sweep(store).await;
        }
    }
}

/// Closes the candles that are due. A failure that repeats in every round is logged once.
async fn close_due(ingest: &Ingest, last_failure: &mut Option<String>) {
    match ingest.close_due().await {
        Ok(closed) => {
            *last_failure = None;
            if closed > 0 {
                info!(closed, "closed forming candles whose end has passed");
            }
        }
        Err(error) => {
            let failure = chain(&error).to_string();
            if last_failure.as_ref() != Some(&failure) {
                warn!(cause = failure, "could not close forming candles whose end has passed; trying again every 10 s");
            }
            *last_failure = Some(failure);
        }
    }
}

async fn sweep(store: &Store) {
    match store.sweep().await {
        Ok(0) => {}
        Ok(removed) => info!(removed, "removed forming candles whose closed form is stored"),
        Err(error) => warn!(cause = chain(&error).to_string(), "could not look for forming candles to remove"),
    }
}
