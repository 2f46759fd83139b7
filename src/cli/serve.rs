//! The commands that run until they are stopped: the service, a worker and the demo.

use std::net::SocketAddr;

use secrecy::ExposeSecret as _;

use super::arguments::ListenFlags;
use super::error::CommandError;
use super::output::print;
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::{self, ApiKey, Config, Environment, Flags, Variables};
use crate::demo::{self, TemporaryFolder};
use crate::errors::chain;
use crate::healthcheck::own_url;
use crate::reload::{self, ReloadRequests};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::sentry::{self, SentryGuard};
use crate::{shutdown, telemetry};

pub(super) async fn serve(flags: Flags) -> Result<(), CommandError> {
    let config = Config::read(&Variables::from_process(&flags))?;
    let log = telemetry::init(config.log);
    let reports = config.sentry_dsn.as_ref().map(|dsn| sentry::init(dsn, config.environment));
    let metrics = config.admin.map(|_| Metrics::install(log.dropped.clone())).transpose();
    let metrics = metrics.map_err(CommandError::Metrics)?;
    let (stop, force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let reload_requests = ReloadRequests::listen().map_err(CommandError::Signals)?;
    // Logged before anything else can fail, because a warning may explain the failure.
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let app = App::start(&config, Clock::system(), metrics)?;
    reload::log_keys(
        (&config.ingest_keys, &config.read_tokens, &config.maintenance_keys, &config.research_keys),
        "keys",
    );
    tokio::spawn(reload_requests.serve(app.reloader(), flags));
    let admin = app.admin_address().map(tracing::field::display);
    tracing::info!(address = %app.address(), admin, environment = config.environment.name(), "listening");
    if config.environment == Environment::Development {
        let banner = banner(app.address(), &config);
        let mut ready = app.readiness();
        tokio::spawn(async move {
            if ready.wait_for(|ready| *ready).await.is_ok() {
                let _ = print(&banner);
            }
        });
    }
    let ended = app.run_until(stop, force).await;
    report_end(&ended, reports);
    ended?;
    tracing::info!("stopped");
    Ok(())
}

pub(super) async fn work(variables: &Variables) -> Result<(), CommandError> {
    let config = Config::read_worker(variables)?;
    let log = telemetry::init(config.log);
    let reports = config.sentry_dsn.as_ref().map(|dsn| sentry::init(dsn, config.environment));
    let metrics = config.admin.map(|_| Metrics::install(log.dropped.clone())).transpose();
    let metrics = metrics.map_err(CommandError::Metrics)?;
    let (stop, force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let app = App::start_worker(&config, Clock::system(), metrics)?;
    let admin = app.admin_address().map(tracing::field::display);
    tracing::info!(threads = config.research.threads, jobs = config.jobs.at_once, admin, "working on jobs");
    let ended = app.run_until(stop, force).await;
    report_end(&ended, reports);
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// Reports the failure that ended the service, if one did, and sends what was reported before.
fn report_end(ended: &Result<(), AppError>, reports: Option<SentryGuard>) {
    match ended {
        Ok(()) => {}
        Err(AppError::ForcedShutdown) => {
            if let Some(reports) = reports {
                reports.abandon();
            }
            return;
        }
        Err(error) => sentry::report_end(&chain(error).to_string()),
    }
    drop(reports);
}

/// Serves an invented market until it is stopped. No variable counts, so that nothing of another service is touched.
pub(super) async fn demonstrate(listen: ListenFlags) -> Result<(), CommandError> {
    let folder = TemporaryFolder::new().map_err(CommandError::Folder)?;
    let database = format!("sqlite://{}", folder.path().join("demo.db").display());
    let key = config::strong_key().map_err(CommandError::Randomness)?;
    let variables = Variables::from_lookup(|name| {
        Ok(match name {
            "DATABASE_URL" => Some(database.clone()),
            "PORT" => listen.port.clone(),
            "BIND_ADDR" => listen.bind.clone(),
            "MAINTENANCE_KEY" => Some(format!("demo:{key}")),
            "LOG_LEVEL" => Some("warn".to_owned()),
            _ => None,
        })
    });
    let config = Config::read(&variables)?;
    let _log = telemetry::init(config.log);
    let (stop, force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let app = App::start(&config, Clock::system(), None)?;
    let (store, ingest, mut ready) = (app.store(), app.ingest(), app.readiness());
    let banner = demo::banner(&own_url((app.address(), false)), &config, &key, folder.path());
    tokio::spawn(async move {
        if ready.wait_for(|ready| *ready).await.is_err() {
            return;
        }
        let clock = Clock::system();
        let filled = async {
            demo::fill_newest(&store, &clock).await?;
            let _ = print(&banner);
            tokio::spawn(demo::feed(ingest, clock.clone()));
            demo::fill_rest(&store, &clock).await
        };
        match filled.await {
            Ok(()) => _ = print("  All three years are there."),
            Err(error) => tracing::warn!(cause = chain(&error).to_string(), "the rest of the history is missing"),
        }
    });
    app.run_until(stop, force).await?;
    Ok(())
}

/// Commands to paste into a shell. Generated keys are shown; keys that somebody chose are not.
fn banner(listen: SocketAddr, config: &Config) -> String {
    let url = own_url((listen, config.tls.is_some()));
    let shown = |keys: &[ApiKey], stand_in: &str| match keys.first() {
        Some(key) if key.generated => key.secret.expose_secret().to_owned(),
        _ => stand_in.to_owned(),
    };
    let key = shown(&config.ingest_keys, "YOUR_INGEST_KEY");
    let token = shown(&config.read_tokens, "YOUR_READ_TOKEN");
    let page = |is_served, label, path| if is_served { format!("\n  {label}: {url}{path}\n") } else { String::new() };
    let pages =
        page(config.console_enabled, "Console", "/") + &page(config.docs_enabled, "API documentation", "/api/docs");
    format!(
        r#"
  candlewick {version} listens on {url}

  Post a candle:
    curl -i {url}/api/v1/candles -H "X-API-KEY: {key}" -d '{{"candles":[{{"symbol":"EURUSD","timeframe":"H1","timestamp":"2025-08-03T10:00:00Z","open":1.08500,"high":1.08650,"low":1.08480,"close":1.08620,"volume":1200}}]}}'

  Read it back:
    curl -i "{url}/api/v1/candles?symbol=EURUSD&timeframe=H1" -H "X-Internal-Token: {token}"
{pages}"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}
