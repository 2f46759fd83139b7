//! Posts events to a webhook (`WEBHOOK_URL`) about conflicts, corrections, deletions and stale feeds. [`watch`] notices these and stores an
//! [`event`] for each, and [`delivery`] posts the stored events, with a [`signature`]. An event is delivered at least once, by one of
//! the processes that share the database.

mod delivery;
mod event;
mod signature;
mod watch;

use std::sync::Arc;

use tokio::sync::{Notify, watch as channel};

use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::ingest::Ingest;
use crate::query::Query;
use crate::store::Store;
use delivery::Delivery;
use watch::Watch;

/// Watches and delivers once the store is ready. Never returns, unless it never is.
pub(crate) async fn run(
    config: WebhookConfig,
    (store, ingest, query): (Store, Ingest, Query),
    clock: Clock,
    mut ready: channel::Receiver<bool>,
) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    let queued = Arc::new(Notify::new());
    let delivery = Delivery::new(&config, store.clone(), clock.clone(), Arc::clone(&queued));
    let watch = Watch::new(config, (store, query), ingest.conflict_tally(), clock, queued);
    tokio::join!(watch.run(), delivery.run());
}
