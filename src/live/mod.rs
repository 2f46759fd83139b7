//! Live streams: the newest candles of series, as they change.
//!
//! [`hub`] holds what streams follow and what is newest there. One task, [`follow`], looks at all of it every second, and soon after a
//! write of this process at what was written. A [`stream`] writes what its client does not have yet. The database stays the judge
//! of what is newest: nothing is passed on from a request's own memory, so nothing is sent before it is on disk, and all processes
//! on a database send the same. [`request`] reads the parameters.

mod event;
mod follow;
mod hub;
mod pace;
mod request;
mod stream;

use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Limits;
use crate::store::Store;
use crate::validation::FieldError;
use hub::Hub;
use request::Request;

pub use hub::MAX_WATCHED_SERIES;
pub use request::MAX_SERIES;

/// The reason for which no stream was opened.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Its parameters break rules.
    #[error("the query is not valid: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<FieldError>),
    /// No more streams are opened now.
    #[error("as many live streams are open as LIVE_MAX_STREAMS ({0}) allows; try again later")]
    TooManyStreams(usize),
    /// The key of the caller has its share of them.
    #[error(
        "this key has as many live streams open as LIVE_MAX_STREAMS_PER_KEY ({0}) allows; end one of them, or try again later"
    )]
    TooManyStreamsOfKey(usize),
    /// No more series are followed now.
    #[error("live streams follow {MAX_WATCHED_SERIES} series already, which is the maximum; try again later")]
    TooManySeries,
}

/// The live streams of a process. Clones share them.
#[derive(Debug, Clone)]
pub struct Live(Arc<Hub>);

impl Live {
    /// Streams from `store` until `stopping` is cancelled, within the limits.
    #[must_use]
    pub fn new(store: Store, clock: Clock, limits: &Limits, stopping: CancellationToken) -> Self {
        Self(Arc::new(Hub::new(store, clock, limits, stopping)))
    }

    /// Opens a stream for a query string. `last_event_id` is the position that a client sent in a header, and `key` the name of its key.
    ///
    /// # Errors
    /// When the parameters are invalid, or too many streams are open or too many series followed.
    pub fn open(
        &self,
        query: &str,
        last_event_id: Option<&str>,
        key: &Arc<str>,
    ) -> Result<impl Stream<Item = bytes::Bytes> + Send + use<>, LiveError> {
        let request = Request::parse(query, last_event_id).map_err(LiveError::Invalid)?;
        stream::open(&self.0, &request, key)
    }

    /// Checks a query string without opening a stream.
    ///
    /// # Errors
    /// When the parameters are invalid.
    pub fn check(query: &str) -> Result<(), LiveError> {
        Request::parse(query, None).map(drop).map_err(LiveError::Invalid)
    }

    /// Tells other processes on the database what this one writes, and has streams follow what they tell, until which `ready` has to
    /// become true. Never returns.
    pub(crate) async fn exchange_hints(self, mut ready: watch::Receiver<bool>) {
        // An error means that the service ends.
        if ready.wait_for(|ready| *ready).await.is_ok() {
            self.0.store.exchange_hints(|written| self.0.hint(written)).await;
        }
        std::future::pending::<()>().await;
    }

    /// Looks at everything that streams follow, and waits while there is no stream. Never returns.
    pub(crate) async fn follow(self) {
        follow::follow(&self.0).await;
    }
}
