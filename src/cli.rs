//! The command line.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use metrics_exporter_prometheus::BuildError;
use secrecy::ExposeSecret as _;

use crate::app::{App, AppError};
use crate::check;
use crate::clock::Clock;
use crate::config::{self, ApiKey, Config, ConfigErrors, Environment, Flags, VARIABLES, Variables};
use crate::demo::{self, TemporaryFolder};
use crate::errors::{chain, to_sentence};
use crate::healthcheck::{AskError, ask, own_url};
use crate::history::{
    self, CorrectFlags, DeleteFlags, Ended, ExportFlags, Exported, GapsFlags, HistoryError, ImportFlags, PostFlags,
    Remote, ServiceFlags, Sink, Source, VerifyFlags, Voice,
};
use crate::reload::{self, ReloadRequests};
use crate::research::{self, BacktestFlags, PineFlags, ResearchError, StartError, Strategies, StrategiesFlags};
use crate::store::{Severity, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::sentry::{self, SentryGuard};
use crate::{http, retention, shutdown, telemetry};

/// Keeps OHLCV candles from MetaTrader 5 and serves them to charts.
#[derive(Parser)]
#[command(version, max_term_width = 110, subcommand_required = false, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeFlags,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default without a command)
    Serve(ServeFlags),
    /// Work on the jobs of research in a Postgres database, and serve nothing but ADMIN_ADDR, where a health check can ask
    Worker(DatabaseFlags),
    /// Make or update the database's tables, then exit
    Migrate(DatabaseFlags),
    /// Check settings, database and machine, and change nothing: exit code 0 if serve would start, 1 if something fails
    /// that may recover by itself, 2 if something must be changed
    Check(ServeFlags),
    /// Ask a running service for its health: exit code 0 if it is healthy, 1 if not. Give it the flags that serve was
    /// given
    Healthcheck {
        /// Address to ask [default: /health where serve listens with the same flags and variables]
        url: Option<String>,
        #[command(flatten)]
        listen: ListenFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Write a series into a file, or all of them into a folder
    Export {
        #[command(flatten)]
        export: ExportFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Report the gaps of a series
    Gaps {
        #[command(flatten)]
        gaps: GapsFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Delete the candles of a series in a span of time. Without --confirm, show what that would delete
    Delete {
        #[command(flatten)]
        delete: DeleteFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// List the strategies of the catalogue and of STRATEGIES_DIR, or describe one
    Strategies {
        #[command(flatten)]
        strategies: StrategiesFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Print a strategy as a Pine script for TradingView
    Pine {
        #[command(flatten)]
        pine: PineFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Run a strategy on the stored candles of a series
    Backtest {
        #[command(flatten)]
        backtest: BacktestFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Serve three years of invented candles from a temporary folder, with a feed that forms new ones
    Demo(ListenFlags),
    /// Show what RETENTION would delete now, and delete nothing
    Retention(DatabaseFlags),
    /// Store the candles of files: of MetaTrader, HistData, Dukascopy, TradingView, Binance and others. Candles that are
    /// stored already stay as they are, so an import can be run again
    Import {
        #[command(flatten)]
        import: Box<ImportFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Compare the candles of files with what is stored: exit code 0 if all are stored with these values, 1 if not
    Verify {
        #[command(flatten)]
        verify: Box<VerifyFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Give stored candles the values that they have in files. Without --confirm, show what that would change
    Correct {
        #[command(flatten)]
        correct: Box<CorrectFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print a new key for MT5_API_KEY, INTERNAL_API_TOKEN, MAINTENANCE_KEY or RESEARCH_API_KEY
    Keygen,
}

/// Flags for the settings that are changed most often. Their values are parsed like those of variables.
#[derive(Args, Default)]
struct ServeFlags {
    #[command(flatten)]
    listen: ListenFlags,
    #[command(flatten)]
    database: DatabaseFlags,
}

#[derive(Args, Default)]
struct ListenFlags {
    /// Port that the service listens on, in place of PORT
    #[arg(long)]
    port: Option<String>,
    /// IP address that the service listens on, in place of BIND_ADDR
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
}

#[derive(Args, Default)]
struct DatabaseFlags {
    /// sqlite://PATH or postgres://…, in place of DATABASE_URL. Every user of this machine can read a password here in
    /// the list of processes (ps): with one, set DATABASE_URL or DATABASE_URL_FILE instead
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    environment: EnvironmentFlag,
}

#[derive(Args, Default)]
struct EnvironmentFlag {
    /// development, staging or production, in place of ENVIRONMENT
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

impl ServeFlags {
    fn flags(self) -> Flags {
        self.listen.add_to(self.database.flags())
    }
}

impl ListenFlags {
    fn add_to(self, flags: Flags) -> Flags {
        flags.with("--port", "PORT", self.port).with("--bind", "BIND_ADDR", self.bind)
    }
}

impl DatabaseFlags {
    fn flags(self) -> Flags {
        self.environment.flags().with("--database-url", "DATABASE_URL", self.database_url)
    }
}

impl EnvironmentFlag {
    fn flags(self) -> Flags {
        Flags::default().with("--environment", "ENVIRONMENT", self.environment)
    }
}

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Research(#[from] ResearchError),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    #[error("cannot set up the metrics")]
    Metrics(#[source] BuildError),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("cannot write the answer")]
    Print(#[source] io::Error),
    #[error("cannot make a temporary folder")]
    Folder(#[source] io::Error),
    #[error("the system provides no randomness")]
    Randomness(#[source] io::Error),
    /// The address of the service to ask is not usable.
    #[error("the address to ask {0}")]
    BadQuestion(&'static str),
    #[error("{url} {source}")]
    Unanswered { url: String, source: AskError },
    #[error("{url} is unhealthy: HTTP {status}")]
    Unhealthy { url: String, status: StatusCode },
    /// The printed report names the reason.
    #[error("see the report")]
    Reported(Severity),
}

impl CommandError {
    /// Prints the reason to standard error, unless a report was printed, and returns the exit code: 1 if another
    /// attempt may succeed, 2 if somebody has to change something first.
    fn report(&self) -> ExitCode {
        if let Self::Reported(severity) = self {
            return ExitCode::from(if *severity == Severity::MustChange { 2 } else { 1 });
        }
        let mut text = chain(self).to_string();
        if let Self::App(error) = self
            && let Some(remedy) = error.remedy()
        {
            let _ = write!(text, "; {remedy}");
        }
        complain(&to_sentence(&text));
        let must_change = match self {
            Self::Config(_)
            | Self::BadQuestion(_)
            | Self::Research(
                ResearchError::Invalid(_) | ResearchError::UnknownStrategy { .. } | ResearchError::IntradayOnly(..),
            )
            | Self::App(
                AppError::Certificate(_)
                | AppError::Research(StartError::Strategies(_))
                | AppError::Store(StoreError::Misconfigured(_) | StoreError::Denied(_)),
            ) => true,
            Self::History(error) => error.must_change(),
            _ => false,
        };
        ExitCode::from(if must_change { 2 } else { 1 })
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

/// Runs the program: exit code 0 if all went well, 1 if something failed, 2 if something must be changed first.
#[must_use]
pub fn run() -> ExitCode {
    let command = Arguments::command().after_help(environment_help());
    let arguments = command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(error) => return explain_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CommandError::Runtime(error).report(),
    };
    let result = runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
            Command::Serve(flags) => serve(flags.flags()).await,
            Command::Worker(flags) => work(&Variables::from_process(&flags.flags())).await,
            Command::Migrate(flags) => migrate(&Variables::from_process(&flags.flags())).await,
            Command::Check(flags) => check(&Variables::from_process(&flags.flags())).await,
            Command::Healthcheck { url, listen, environment } => {
                healthcheck(url, &Variables::from_process(&listen.add_to(environment.flags()))).await
            }
            Command::Export { export, database } => export_history(&export, database).await,
            Command::Gaps { gaps, database } => report_gaps(&gaps, database).await,
            Command::Delete { delete, database } => delete_history(&delete, database).await,
            Command::Strategies { strategies, environment } => {
                list_strategies(&strategies, &Variables::from_process(&environment.flags()))
            }
            Command::Pine { pine, environment } => print_pine(&pine, &Variables::from_process(&environment.flags())),
            Command::Backtest { backtest, database } => run_backtest(&backtest, database).await,
            Command::Demo(flags) => demonstrate(flags).await,
            Command::Retention(flags) => show_retention(&Variables::from_process(&flags.flags())).await,
            Command::Import { import, database } => import_history(&import, database).await,
            Command::Verify { verify, database } => verify_history(&verify, database).await,
            Command::Correct { correct, database } => correct_history(&correct, database).await,
            Command::Openapi => print(&http::openapi()),
            Command::Keygen => keygen(),
        }
    });
    // A name look-up that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Prints help if it was asked for, or else the mistake in the command line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // The error quotes what clap does not understand, which may be an address with a password.
        complain(without_passwords(&error.to_string()).trim_end());
        return ExitCode::from(2);
    }
    // A reader that closes the pipe early is not a failure.
    let _ = error.print();
    ExitCode::SUCCESS
}

/// Removes the text between `//` and the last `@` of the same word, which in an address is login and password.
fn without_passwords(text: &str) -> String {
    let hide = |word: &str| match (word.find("//"), word.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}//…{}", &word[..start], &word[end..]),
        _ => word.to_owned(),
    };
    text.split_inclusive(char::is_whitespace).map(hide).collect()
}

/// Writes a line. A reader that closes the pipe early is not a failure.
fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}

/// Writes the reason for which the program ends. A failure to write it is ignored.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

async fn serve(flags: Flags) -> Result<(), CommandError> {
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

async fn work(variables: &Variables) -> Result<(), CommandError> {
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

async fn migrate(variables: &Variables) -> Result<(), CommandError> {
    let (database, log, warnings) = Config::read_for_migration(variables)?;
    let _log = telemetry::init(log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let store = Store::open(&database)?;
    store.prepare(true).await?;
    store.close().await;
    print("The tables are up to date.")
}

async fn check(variables: &Variables) -> Result<(), CommandError> {
    let checked = check::check(variables, &Clock::system()).await;
    print(&checked.report)?;
    match checked.severity {
        Severity::Fine | Severity::Warning => Ok(()),
        severity @ (Severity::Unavailable | Severity::MustChange) => Err(CommandError::Reported(severity)),
    }
}

/// The service that is named, or else the database of the configuration.
async fn history_source(service: &ServiceFlags, database: DatabaseFlags) -> Result<Source, CommandError> {
    if let (Some(url), Some(key_file)) = (&service.url, &service.key_file) {
        if database.database_url.is_some() {
            return Err(HistoryError::Usage("--url and --database-url cannot be combined; give one of the two").into());
        }
        return Ok(Source::Service(Remote::new(url, key_file)?));
    }
    let (config, _, warnings) = Config::read_for_migration(&Variables::from_process(&database.flags()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Source::database(&config).await?)
}

async fn export_history(flags: &ExportFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let format = flags.file_format()?;
    let source = history_source(&flags.service, database).await?;
    if flags.all {
        let filter = flags.filter()?;
        let report = |Exported { path, bytes }: &Exported| complain(&format!("{}  {bytes} bytes", path.display()));
        let parameters = flags.of_every_series();
        let files = history::export_all(&source, &filter, &parameters, format, &flags.folder(), report).await?;
        complain(&format!("{files} files in {}", flags.folder().display()));
    } else {
        history::export_series(&source, &flags.of_series(), format, &flags.target()).await?;
    }
    source.close().await;
    Ok(())
}

async fn report_gaps(flags: &GapsFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let source = history_source(&flags.service, database).await?;
    let report = history::gaps_json(&source, &flags.parameters()).await?;
    source.close().await;
    print(&if flags.json { report.to_string() } else { history::gaps_table(&report) })
}

async fn delete_history(flags: &DeleteFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (mut config, _, warnings) = Config::read_for_migration(&Variables::from_process(&database.flags()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    config.maintains = true;
    let source = Source::maintained(&config).await?;
    let deleted = history::delete(&source, &config.place(), flags).await;
    source.close().await;
    print(deleted?.report.trim_end())
}

fn strategies(variables: &Variables) -> Result<Strategies, ResearchError> {
    Strategies::read(variables.get("STRATEGIES_DIR").map(Path::new))
}

fn list_strategies(flags: &StrategiesFlags, variables: &Variables) -> Result<(), CommandError> {
    print(research::list(&strategies(variables)?, flags)?.trim_end())
}

fn print_pine(flags: &PineFlags, variables: &Variables) -> Result<(), CommandError> {
    print(research::pine(&strategies(variables)?, flags)?.trim_end())
}

async fn run_backtest(flags: &BacktestFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let variables = Variables::from_process(&database.flags());
    let known = strategies(&variables)?;
    let (config, _, warnings) = Config::read_for_migration(&variables)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let store = Store::open(&config)?;
    store.prepare(false).await?;
    let report = research::backtest(&store, &known, flags).await;
    store.close().await;
    print(report?.trim_end())
}

/// Serves an invented market until it is stopped. No variable counts, so that nothing of another service is touched.
async fn demonstrate(listen: ListenFlags) -> Result<(), CommandError> {
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

async fn show_retention(variables: &Variables) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (database, retention) = Config::read_retention(variables)?;
    if retention.is_empty() {
        return print("RETENTION is not set, so all candles stay.");
    }
    let store = Store::open(&database)?;
    store.prepare(false).await?;
    let report = retention::dry_run(&store, &retention, &Clock::system()).await?;
    store.close().await;
    print(report.trim_end())
}

/// Writes what a command says while it runs. A reader that closes the pipe early is not a failure.
const VOICE: Voice = Voice {
    say: |text| {
        let _ = writeln!(io::stdout(), "{text}");
    },
    complain,
};

/// Turns how a command ended into its exit code. It has said everything itself.
fn ended(ended: Ended) -> Result<(), CommandError> {
    match ended {
        Ended::Well => Ok(()),
        Ended::Failed => Err(CommandError::Reported(Severity::Unavailable)),
        Ended::MustChange => Err(CommandError::Reported(Severity::MustChange)),
    }
}

/// The service that is named, or else the database of the configuration, whose tables have to be there.
async fn history_sink(service: &PostFlags, database: DatabaseFlags) -> Result<Sink, CommandError> {
    if let (Some(url), Some(key_file)) = (&service.url, &service.key_file) {
        if database.database_url.is_some() {
            return Err(HistoryError::Usage("--url and --database-url cannot be combined; give one of the two").into());
        }
        return Ok(Sink::service(Remote::new(url, key_file)?)?);
    }
    let (config, _, warnings) = Config::read_for_migration(&Variables::from_process(&database.flags()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Sink::database(&config).await?)
}

async fn import_history(flags: &ImportFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let sink = if flags.dry_run { None } else { Some(history_sink(&flags.service, database).await?) };
    ended(history::import(flags, sink, &Clock::system(), history::stop_on(signal), VOICE).await?)
}

async fn verify_history(flags: &VerifyFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let source = history_source(&flags.service, database).await?;
    ended(history::verify(flags, source, &Clock::system(), history::stop_on(signal), VOICE).await?)
}

async fn correct_history(flags: &CorrectFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let (signal, _force) = shutdown::shutdown_requests().map_err(CommandError::Signals)?;
    let (mut config, _, warnings) = Config::read_for_migration(&Variables::from_process(&database.flags()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    config.maintains = true;
    let source = Source::maintained(&config).await?;
    ended(history::correct(flags, source, &Clock::system(), history::stop_on(signal), VOICE).await?)
}

fn keygen() -> Result<(), CommandError> {
    print(&config::strong_key().map_err(CommandError::Randomness)?)
}

async fn healthcheck(url: Option<String>, variables: &Variables) -> Result<(), CommandError> {
    const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);
    let url = match url {
        Some(url) => url,
        None => own_url(Config::read_address(variables)?) + "/health",
    };
    let uri: Uri = url
        .parse()
        .map_err(|_| CommandError::BadQuestion("is not a URL; give one such as http://127.0.0.1:8000/health"))?;
    let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(CommandError::BadQuestion("must start with http:// or https:// and name a host"));
    };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let path = match uri.path_and_query().map(PathAndQuery::as_str) {
        None | Some("/") => "/health",
        Some(path) => path,
    };
    // Not the address as given, because it may hold a password.
    let shown = format!("{scheme}://{host}:{port}{path}");
    match ask(shown.clone(), HEALTHCHECK_TIMEOUT).await {
        Err(source) => Err(CommandError::Unanswered { url: shown, source }),
        Ok(status) if status.is_success() => print(&format!("{shown} is healthy.")),
        Ok(status) => Err(CommandError::Unhealthy { url: shown, status }),
    }
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

fn environment_help() -> String {
    let mut help = String::from(
        "Environment variables, in development also lines of .env (secrets may also be in a file that NAME_FILE names):\n",
    );
    for variable in VARIABLES {
        let _ = write!(help, "  {:<25} {}", variable.name, variable.meaning);
        if !variable.default.is_empty() {
            let _ = write!(help, " [default: {}]", variable.default);
        }
        help.push('\n');
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_quoted_without_its_password() {
        for (text, shown) in [
            ("unexpected argument 'postgres://u:geheim@h/d' found\n", "unexpected argument 'postgres://…@h/d' found\n"),
            ("tip: --database-url=postgres://u:ge@heim@h/d", "tip: --database-url=postgres://…@h/d"),
            ("nothing http://h/d a@b", "nothing http://h/d a@b"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
