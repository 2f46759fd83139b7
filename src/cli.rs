//! The command line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::{self, ApiKey, Config, Environment, Problems, VARIABLES, Variables};
use crate::reload::{self, ReloadRequests};
use crate::store::{Store, StoreError};
use crate::telemetry::failures::{self, FailureGuard};
use crate::telemetry::metrics::Metrics;
use crate::{http, shutdown, telemetry};

/// Keeps OHLCV candles from MetaTrader 5 and serves them to charts.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, subcommand_required = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (what happens without a command, too)
    Serve,
    /// Make or update the database's tables, then exit
    Migrate,
    /// Ask a running service for its health: exit code 0 if it is well, 1 if not
    Healthcheck {
        /// Address to ask [default: /health on BIND_ADDR and PORT]
        url: Option<String>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print a new key for MT5_API_KEY or INTERNAL_API_TOKEN
    Keygen,
}

/// How a command failed.
enum Failure {
    /// It did not work this time: exit code 1.
    Failed(String),
    /// It cannot work until somebody changes something: exit code 2.
    Unusable(String),
}

/// Runs the program: exit code 0 if all went well, 1 if something failed, 2 if something must be changed first.
#[must_use]
pub fn run() -> ExitCode {
    let matches = Arguments::command().after_help(environment_help()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("Cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let variables = Variables::from_process();
    let result = runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(&variables).await,
            Command::Migrate => migrate(&variables).await,
            Command::Healthcheck { url } => healthcheck(url, &variables).await,
            Command::Openapi => print(&http::openapi()),
            Command::Keygen => keygen(),
        }
    });
    // A name look-up that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            complain(&message);
            ExitCode::from(1)
        }
        Err(Failure::Unusable(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
    }
}

/// Writes a line. A reader that has seen enough and closed the pipe is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("Cannot write the answer: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says why the program ends, if anybody listens.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

async fn serve(variables: &Variables) -> Result<(), Failure> {
    let config = Config::read(variables)?;
    let log = telemetry::init(config.log);
    let reports = config.sentry_dsn.as_ref().map(|dsn| failures::init(dsn, config.environment));
    let metrics = config.admin.map(|_| Metrics::install(log.dropped.clone())).transpose();
    let metrics = metrics.map_err(|error| Failure::Failed(format!("Cannot count: {error}")))?;
    let deaf = |error| Failure::Failed(format!("Cannot listen for signals: {error}"));
    let (stop, force) = shutdown::shutdown_requests().map_err(deaf)?;
    let reload_requests = ReloadRequests::listen().map_err(deaf)?;
    let app = App::start(&config, Clock::system(), metrics)?;
    reload::log_keys(&config.ingest_keys, &config.read_tokens, "keys");
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tokio::spawn(reload_requests.serve(app.reloader()));
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
    match &ended {
        Ok(()) => {}
        Err(AppError::ForcedShutdown) => drop(reports.map(FailureGuard::abandon)),
        Err(error) => failures::report_end(&error.to_string()),
    }
    ended?;
    tracing::info!("stopped");
    Ok(())
}

async fn migrate(variables: &Variables) -> Result<(), Failure> {
    let (database, log) = Config::read_for_migration(variables)?;
    let _log = telemetry::init(log);
    let store = Store::open(&database)?;
    store.prepare(true).await?;
    store.close().await;
    print("The tables are up to date.")
}

fn keygen() -> Result<(), Failure> {
    let key = config::strong_key();
    print(&key.map_err(|error| Failure::Failed(format!("The system gives no randomness: {error}")))?)
}

async fn healthcheck(url: Option<String>, variables: &Variables) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let url = match url {
        Some(url) => url,
        None => own_url(Config::read_address(variables)?) + "/health",
    };
    let uri: hyper::Uri = url.parse().map_err(|_| {
        Failure::Unusable("The address to ask is not a URL; give one such as http://127.0.0.1:8000/health.".to_owned())
    })?;
    let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
        let problem = "The address to ask must start with http:// or https:// and name a host.";
        return Err(Failure::Unusable(problem.to_owned()));
    };
    let tls = scheme == "https";
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = match uri.path_and_query().map(hyper::http::uri::PathAndQuery::as_str) {
        None | Some("/") => "/health",
        Some(path) => path,
    };
    // Not the address as given, which may hold a password.
    let shown = format!("{scheme}://{host}:{port}{path}");
    let status = tokio::time::timeout(PATIENCE, ask(tls, host, port, path))
        .await
        .map_err(|_| Failure::Failed(format!("{shown} did not answer within 3 s.")))?
        .map_err(|error| Failure::Failed(format!("{shown} does not answer: {error}.")))?;
    if status.is_success() {
        return print(&format!("{shown} is well."));
    }
    Err(Failure::Failed(format!("{shown} is not well: it answered {status}.")))
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

async fn ask(tls: bool, host: &str, port: u16, path: &str) -> Result<hyper::StatusCode, AskError> {
    let host_name = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host_name, port)).await?;
    if tls {
        let name = ServerName::try_from(host_name.to_owned())?;
        ask_on(http::net::tls::connector_that_trusts_anybody().connect(name, stream).await?, host, port, path).await
    } else {
        ask_on(stream, host, port, path).await
    }
}

async fn ask_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    port: u16,
    path: &str,
) -> Result<hyper::StatusCode, AskError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header(hyper::header::HOST, format!("{host}:{port}")).body(Empty::<&[u8]>::new())?;
    let status = sender.send_request(request).await?.status();
    exchange.abort();
    Ok(status)
}

/// Where something on this machine reaches the service, by the address that it listens on and whether it speaks TLS.
fn own_url((listen, tls): (SocketAddr, bool)) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(listen))
}

/// The address at which something on this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Lines to paste into a shell. Keys that were generated are shown; keys that somebody chose are not.
fn banner(listen: SocketAddr, config: &Config) -> String {
    let url = own_url((listen, config.tls.is_some()));
    let shown = |keys: &[ApiKey], stand_in: &str| match keys.first() {
        Some(key) if key.generated => key.secret.expose().to_owned(),
        _ => stand_in.to_owned(),
    };
    let key = shown(&config.ingest_keys, "YOUR_INGEST_KEY");
    let token = shown(&config.read_tokens, "YOUR_READ_TOKEN");
    let docs = if config.docs_enabled { format!("\n  API documentation: {url}/api/docs\n") } else { String::new() };
    format!(
        r#"
  candlewick {version} listens on {url}

  Post a candle:
    curl -i {url}/api/v1/candles -H "X-API-KEY: {key}" -d '{{"candles":[{{"symbol":"EURUSD","timeframe":"H1","timestamp":"2025-08-03T10:00:00Z","open":1.08500,"high":1.08650,"low":1.08480,"close":1.08620,"volume":1200}}]}}'

  Read it back:
    curl -i "{url}/api/v1/candles?symbol=EURUSD&timeframe=H1" -H "X-Internal-Token: {token}"
{docs}"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn environment_help() -> String {
    let mut help = String::from("Environment variables (secrets may also stand in a file named by NAME_FILE):\n");
    for variable in VARIABLES {
        let _ = writeln!(help, "  {:<25} {} [default: {}]", variable.name, variable.meaning, variable.default);
    }
    help
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Unusable(problems.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unfit(sentence) => Self::Unusable(sentence),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => error.into(),
            AppError::Certificate(problem) => Self::Unusable(problem),
            other => Self::Failed(other.to_string()),
        }
    }
}
