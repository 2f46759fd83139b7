//! Posts events to a webhook (`WEBHOOK_URL`) about conflicts, corrections, deletions, stale feeds, signals and jobs. [`watch`] notices
//! these from where a [`mark`] says, and stores an [`event`] for each; [`delivery`] posts the stored events, with a [`signature`]. An
//! event is delivered at least once, by one of the processes that share the database.

mod delivery;
mod event;
mod mark;
mod signature;
mod watch;

use std::sync::Arc;

use tokio::sync::{Notify, oneshot, watch as channel};

use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::ingest::Ingest;
use crate::query::Query;
use crate::store::Store;
use delivery::Delivery;
use watch::Watch;

/// The subjects of events besides candles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    /// Signals that change.
    pub(crate) signals: bool,
    /// Jobs that are over.
    pub(crate) jobs: bool,
}

/// A handle on the watch of a running process.
#[derive(Debug)]
pub(crate) struct Flusher(oneshot::Sender<oneshot::Sender<()>>);

impl Flusher {
    /// Makes a handle, and its other end for [`run`].
    pub(crate) fn new() -> (Self, oneshot::Receiver<oneshot::Sender<()>>) {
        let (send, receive) = oneshot::channel();
        (Self(send), receive)
    }

    /// Ends the watch after it has stored what it knows of in memory alone: conflicts since its last look. Returns once that is done.
    pub(crate) async fn flush(self) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(done).is_ok() {
            // The watch may have ended with an error, which has been logged.
            let _ = is_done.await;
        }
    }
}

/// Watches and delivers once the store is ready. Never returns, unless it never is.
pub(crate) async fn run(
    (config, watched): (WebhookConfig, Watched),
    (store, ingest, query): (Store, Ingest, Query),
    clock: Clock,
    mut ready: channel::Receiver<bool>,
    flush: oneshot::Receiver<oneshot::Sender<()>>,
) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    let queued = Arc::new(Notify::new());
    let delivery = Delivery::new(&config, store.clone(), clock.clone(), Arc::clone(&queued));
    let watch = Watch::new((config, watched), (store, query), ingest.conflict_tally(), clock, queued);
    tokio::join!(watch.run(flush), delivery.run());
}
