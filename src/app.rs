//! Puts the service together, keeps its store ready, and takes it down in order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum_server::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::candle::Clock;
use crate::config::Config;
use crate::http::{self, Settings};
use crate::ingest::Ingest;
use crate::query::Query;
use crate::store::{Store, StoreError};

/// How long requests in flight may take to finish once the service is told to stop. With [`CLOSE`] it stays below the
/// 10 s after which container engines kill.
const DRAIN: Duration = Duration::from_secs(7);
/// How long statements that nobody waits for may take after that.
const CLOSE: Duration = Duration::from_millis(1500);
/// How long to wait before another try at first contact with the database.
const RETRY: Duration = Duration::from_millis(500);
/// How often forming candles whose closed form is stored are removed.
const SWEEP: Duration = Duration::from_secs(60);

/// The running service.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    store: Store,
    handle: Handle<SocketAddr>,
    server: JoinHandle<io::Result<()>>,
    maintenance: JoinHandle<StoreError>,
    ready: watch::Receiver<bool>,
}

/// Why the service did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address to listen on is not to be had.
    #[error("Cannot listen on {address}: {error}; free the port, or set BIND_ADDR and PORT to one of this machine.")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The database cannot be used until an operator changes something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener broke.
    #[error("The listener failed: {0}")]
    Server(io::Error),
}

impl App {
    /// Starts to listen and to maintain the store, which need not be reachable yet.
    ///
    /// # Errors
    /// When the address cannot be listened on or the database's address cannot work.
    pub fn start(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let store = Store::open(&config.database)?;
        let ingest = Ingest::new(store.clone(), clock, config.limits.max_batch);
        let query = Query::new(store.clone(), config.limits.max_limit);
        let settings = Settings {
            ingest_keys: &config.ingest_keys,
            read_tokens: &config.read_tokens,
            max_body_bytes: config.limits.max_body_bytes,
            docs_enabled: config.docs_enabled,
        };
        let routes = http::router(store.clone(), ingest, query, &settings);

        let listen_error = |error| AppError::Listen { address: config.listen, error };
        let listener = TcpListener::bind(config.listen).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let handle = Handle::new();
        let server = axum_server::from_tcp(listener).map_err(listen_error)?.handle(handle.clone()).http1_only();
        let server = tokio::spawn(server.serve(routes.into_make_service()));

        let (readiness, ready) = watch::channel(false);
        let maintenance = tokio::spawn(maintain(store.clone(), config.database.migrate_on_start, readiness));
        Ok(Self { address, store, handle, server, maintenance, ready })
    }

    /// Where the service listens; the port is the real one where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns true once the store has been reached for the first time.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Serves until `stop` completes, then answers what is in flight and closes the store.
    ///
    /// # Errors
    /// When the service cannot go on by itself.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let mut server_ended = false;
        let result = tokio::select! {
            () = stop => Ok(()),
            unfit = &mut self.maintenance => Err(unfit.unwrap_or_else(|panic| StoreError::Internal(panic.to_string())).into()),
            ended = &mut self.server => {
                server_ended = true;
                Err(AppError::Server(ended.map_err(io::Error::other).and_then(|result| result).err().unwrap_or_else(|| io::Error::other("it ended"))))
            }
        };
        self.handle.graceful_shutdown(Some(DRAIN));
        if !server_ended {
            // Its result can only repeat that it was told to stop.
            let _ = self.server.await;
        }
        self.maintenance.abort();
        if timeout(CLOSE, self.store.close()).await.is_err() {
            warn!("closed with statements still unanswered");
        }
        result
    }
}

/// Reaches the store for the first time, however long that takes, then sweeps it now and then. Ends only when waiting
/// cannot help.
async fn maintain(store: Store, migrate: bool, readiness: watch::Sender<bool>) -> StoreError {
    let mut last_trouble = String::new();
    loop {
        match store.prepare(migrate).await {
            Ok(()) => break,
            Err(unfit @ StoreError::Unfit(_)) => return unfit,
            Err(trouble) => {
                let trouble = trouble.to_string();
                if trouble != last_trouble {
                    warn!(cause = trouble, "not ready, trying again every half second");
                    last_trouble = trouble;
                }
                sleep(RETRY).await;
            }
        }
    }
    info!(store = store.kind(), "ready");
    readiness.send_replace(true);
    loop {
        sleep(SWEEP).await;
        match store.sweep().await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "removed forming candles whose closed form is stored"),
            Err(error) => warn!(cause = %error, "could not look for forming candles to remove"),
        }
    }
}
