//! Assembles the service, keeps its store ready, and shuts it down gracefully.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::config::{Config, Keys};
use crate::housekeeping;
use crate::http::admin;
use crate::http::middleware::auth::Keyring;
use crate::http::middleware::credentials::Credentials;
use crate::http::middleware::host::AdminHosts;
use crate::http::middleware::shared_limits::SharedLimits;
use crate::http::net::listener::{ConnectionLimiter, MAX_ADMIN_CONNECTIONS};
use crate::http::net::tls::CertificateError;
use crate::http::net::{listener, tls};
use crate::http::service::Service;
use crate::ingest::Ingest;
use crate::live::Live;
use crate::maintain::Maintenance;
use crate::query::Query;
use crate::research::{Jobs, Research, StartError};
use crate::retention;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::webhook::{self, Flusher, Watched};

/// The time for which new connections are still accepted after the signal to stop, while `/health` reports it, so that
/// nothing is refused that a proxy sends before it has noticed.
const SHUTDOWN_NOTICE: Duration = Duration::from_secs(1);
/// The maximum time for requests in flight to finish after [`SHUTDOWN_NOTICE`]: that of a statement. Together with the
/// notice, [`CLOSE_TIMEOUT`] and the flush of the log and of Sentry, it stays below the 10 s after which container
/// engines kill a process.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time after [`DRAIN_TIMEOUT`] for writes that no client waits for any more.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The running service.
#[derive(Debug)]
pub struct App {
    store: Store,
    ingest: Ingest,
    /// Absent in a worker, which serves nobody.
    public: Option<Listening>,
    admin: Option<Listening>,
    housekeeping: JoinHandle<StoreError>,
    /// Works on jobs, and ends soon after the service begins to stop.
    worker: JoinHandle<()>,
    upkeep: JoinSet<()>,
    /// Lets the webhook store what it knows of in memory alone.
    webhook: Option<Flusher>,
    stopping: CancellationToken,
    ready: watch::Receiver<bool>,
    reloader: Reloader,
    /// The configured address.
    listen: SocketAddr,
}

/// Changes keys and certificate of the running service.
#[derive(Debug, Clone)]
pub struct Reloader {
    keyring: Keyring,
    certificate: Arc<Notify>,
}

impl Reloader {
    /// Accepts these keys and no others from the next request on.
    pub fn replace_keys(&self, keys: &Keys) {
        self.keyring.replace(Credentials::new(&keys.ingest, &keys.read, &keys.maintenance, &keys.research));
    }

    /// Reads the certificate's files again, if HTTPS is served directly. The result is logged.
    pub fn reload_certificate(&self) {
        self.certificate.notify_one();
    }
}

/// An error that keeps the service from starting, or ends it.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The service cannot listen on an address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: String,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The address of the Redis server that shares the rate limits cannot be used.
    #[error("RATE_LIMIT_REDIS_URL cannot be used")]
    SharedLimits(#[source] Box<dyn Error + Send + Sync>),
    /// Research cannot be started.
    #[error(transparent)]
    Research(#[from] StartError),
    /// The database cannot be used until an operator changes something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener failed.
    #[error("the listener failed")]
    Server(#[source] io::Error),
    /// A background task ended.
    #[error("a background task ended")]
    Upkeep(#[source] Box<dyn Error + Send + Sync>),
    /// A second signal arrived before all requests in flight were answered.
    #[error("forced to stop by a second signal; posts that got no answer may or may not have been stored")]
    ForcedShutdown,
}

impl AppError {
    /// The remedy for the operator, if the error does not name it itself.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Listen { setting, .. } => Some(format!("free the port, or set {setting} to one of this machine")),
            _ => None,
        }
    }
}

impl App {
    /// Starts to listen and to maintain the store, which need not be reachable yet. Serves `metrics`, if there are any,
    /// on the address that the configuration names for them.
    ///
    /// # Errors
    /// When the service cannot listen on an address, or the certificate or the database's address cannot be used.
    pub fn start(config: &Config, clock: Clock, metrics: Option<Metrics>) -> Result<Self, AppError> {
        Self::begin(config, clock, metrics, true)
    }

    /// Starts to work on jobs and nothing else. Serves `metrics` and health, if there are any, on the address that the
    /// configuration names for them.
    ///
    /// # Errors
    /// When the service cannot listen on that address, or the database's address cannot be used.
    pub fn start_worker(config: &Config, clock: Clock, metrics: Option<Metrics>) -> Result<Self, AppError> {
        Self::begin(config, clock, metrics, false)
    }

    fn begin(config: &Config, clock: Clock, metrics: Option<Metrics>, serves: bool) -> Result<Self, AppError> {
        let most_connections = listener::raise_open_file_limit();
        let store = Store::open(&config.database)?;
        let ingest = Ingest::new(store.clone(), clock.clone(), config.limits.max_batch);
        let query = Query::new(store.clone(), clock.clone(), config.limits.max_limit, config.limits.max_exports)
            .with_symbols(config.symbols.clone());
        let stopping = CancellationToken::new();
        let (readiness, ready) = watch::channel(false);
        let shared = SharedLimits::start(config.shared_limits.as_ref());
        let shared = shared.map_err(|error| AppError::SharedLimits(error.into()))?;
        let states = (ready.clone(), stopping.clone());
        let (for_retention, live_clock) = (clock.clone(), clock.clone());
        let (service_clock, webhook_clock) = (clock.clone(), clock.clone());
        let webhook_query = query.clone();
        let research = Research::start(&config.research, store.clone(), clock.clone())?;
        let signal_watch = config.research.signals.as_deref().map(|setting| research.watch(setting)).transpose()?;
        let maintenance = Maintenance::new(store.clone(), clock);
        let live = Live::new(store.clone(), live_clock, &config.limits, stopping.clone());
        let jobs = Jobs::new(store.clone(), research.clone(), config.jobs, stopping.clone());
        let parts = (ingest.clone(), query.clone(), maintenance, live.clone(), research.clone(), jobs.clone());
        let service = Service::new(config, &service_clock, store.clone(), parts, shared, states);
        let tls = config.tls.as_ref().map(tls::load).transpose()?;

        let mut upkeep = JoinSet::new();
        upkeep.spawn(query.maintain());
        if config.live_hints {
            upkeep.spawn(live.clone().exchange_hints(ready.clone()));
        }
        upkeep.spawn(live.follow());
        if let Some(watch) = signal_watch {
            let watched = watch.run(ready.clone());
            upkeep.spawn(async move { match watched.await {} });
        }
        upkeep.spawn(research.maintain());
        upkeep.spawn(jobs.clone().maintain(ready.clone()));
        let worker = tokio::spawn(jobs.work(ready.clone()));
        upkeep.spawn({
            let store = store.clone();
            async move { match store.follow_standby().await {} }
        });
        let mut admin = None;
        if let (Some(address), Some(metrics)) = (config.admin, metrics) {
            let hosts = AdminHosts::new(&config.admin_hosts, address.ip());
            let routes = admin::routes(&service, hosts, store.clone(), ingest.clone(), metrics.clone());
            let limiter =
                ConnectionLimiter::new("admin", MAX_ADMIN_CONNECTIONS, service.proxies.clone(), stopping.clone());
            admin = Some(Listening::start((address, "ADMIN_ADDR"), routes, limiter, None)?);
            upkeep.spawn(metrics.maintain());
        }
        let reloader = Reloader { keyring: service.keyring.clone(), certificate: Arc::default() };
        let address = (config.listen, &*config.listen_setting);
        let limiter = ConnectionLimiter::new("public", most_connections, service.proxies, stopping.clone());
        let public = serves.then(|| Listening::start(address, service.routes, limiter, tls.clone())).transpose()?;
        if let (true, Some(current), Some(files)) = (serves, tls, config.tls.clone()) {
            upkeep.spawn(tls::renew(current, files, Arc::clone(&reloader.certificate)));
        }

        let database = config.database.clone();
        if serves && !config.retention.is_empty() {
            let run = retention::run(store.clone(), config.retention.clone(), for_retention, ready.clone());
            upkeep.spawn(async move {
                run.await;
                std::future::pending::<()>().await;
            });
        }
        let mut flusher = None;
        if let Some(webhook) = config.webhook.clone().filter(|_| serves) {
            let watched =
                Watched { signals: config.research.signals.is_some(), jobs: !config.research_keys.is_empty() };
            let (handle, flush) = Flusher::new();
            flusher = Some(handle);
            let parts = (store.clone(), ingest.clone(), webhook_query);
            let run = Box::pin(webhook::run((webhook, watched), parts, webhook_clock, ready.clone(), flush));
            upkeep.spawn(async move {
                run.await;
                std::future::pending::<()>().await;
            });
        }
        let housekeeping = if serves {
            tokio::spawn(housekeeping::run(store.clone(), ingest.clone(), database, readiness))
        } else {
            tokio::spawn(housekeeping::keep_ready(store.clone(), database, readiness))
        };
        Ok(Self {
            store,
            ingest,
            public,
            admin,
            housekeeping,
            worker,
            upkeep,
            webhook: flusher,
            stopping,
            ready,
            reloader,
            listen: config.listen,
        })
    }

    /// The address that the service listens on, with the real port if the configured port is 0. A worker listens on none, so that
    /// its address is the configured one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.public.as_ref().map_or(self.listen, |public| public.address)
    }

    /// The address that metrics are served on, if any.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Turns true once the store has been reached for the first time.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// The store, which is closed when the service ends.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    /// The way into the store that posts take.
    pub(crate) fn ingest(&self) -> Ingest {
        self.ingest.clone()
    }

    /// The handle that changes keys and certificate while the service runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `stop` completes, then answers the requests in flight and closes the store. Returns at once if
    /// `force` completes too.
    ///
    /// # Errors
    /// When the service fails, or is forced to stop.
    pub async fn run_until(
        mut self,
        stop: impl Future<Output = ()>,
        force: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let result = tokio::select! {
            () = stop => Ok(()),
            unfit = &mut self.housekeeping => {
                Err(unfit.unwrap_or_else(StoreError::internal).into())
            }
            error = broke(self.public.as_mut()) => Err(error),
            ended = &mut self.worker => {
                Err(AppError::Upkeep(ended.err().map_or_else(|| "it ended".into(), Into::into)))
            }
            Some(ended) = self.upkeep.join_next() => {
                Err(AppError::Upkeep(ended.err().map_or_else(|| "it ended".into(), Into::into)))
            }
        };
        let forced = tokio::select! {
            () = self.wind_down(result.is_ok()) => Ok(()),
            () = force => Err(AppError::ForcedShutdown),
        };
        result.and(forced)
    }

    /// Stops in order: lets `/health` report the shutdown, answers the requests in flight, and closes the store.
    async fn wind_down(&mut self, gently: bool) {
        self.stopping.cancel();
        if let Some(public) = &mut self.public {
            if gently {
                sleep(SHUTDOWN_NOTICE).await;
            }
            public.drain().await;
        }
        self.housekeeping.abort();
        // Before the store has been reached there is nothing to be stored.
        let webhook = self.webhook.take().filter(|_| *self.ready.borrow());
        let worker = &mut self.worker;
        let written = async {
            // Until here a job has had the time to be left to others.
            if !worker.is_finished() {
                let _ = worker.await;
            }
            self.ingest.close().await;
            self.ingest.leave_newest().await;
            if let Some(webhook) = webhook {
                webhook.flush().await;
            }
            self.store.close().await;
        };
        if timeout(CLOSE_TIMEOUT, written).await.is_err() {
            warn!("closed the store before the database had answered every statement");
        }
        self.upkeep.abort_all();
        if let Some(admin) = &self.admin {
            admin.handle.shutdown();
        }
    }
}

/// Completes only if the listener fails. Without one, never.
async fn broke(listening: Option<&mut Listening>) -> AppError {
    match listening {
        Some(listening) => listening.broke().await,
        None => std::future::pending().await,
    }
}

/// A listener and the task that serves it.
#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    server: JoinHandle<io::Result<()>>,
}

impl Listening {
    fn start(
        (address, setting): (SocketAddr, &str),
        routes: Router,
        limiter: ConnectionLimiter,
        tls: Option<RustlsConfig>,
    ) -> Result<Self, AppError> {
        let error = |source| AppError::Listen { address, setting: setting.to_owned(), source };
        let listener = listener::listen(address).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let handle = Handle::new();
        let server = tokio::spawn(listener::serve(listener, routes, handle.clone(), limiter, tls));
        Ok(Self { address, handle, server })
    }

    /// Completes only if the listener fails.
    async fn broke(&mut self) -> AppError {
        let ended = (&mut self.server).await.map_err(io::Error::other).and_then(|result| result);
        AppError::Server(ended.err().unwrap_or_else(|| io::Error::other("it ended")))
    }

    /// Accepts no more connections and answers the requests in flight.
    async fn drain(&mut self) {
        self.handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
        if !self.server.is_finished() {
            // The result is ignored, because it can only confirm the shutdown.
            let _ = (&mut self.server).await;
        }
    }
}
