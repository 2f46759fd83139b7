//! What the service tells of itself: its log here, [`metrics`] for Prometheus, failures for Sentry in [`sentry`].

pub mod metrics;
pub mod sentry;

use std::any::Any;

use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// The commit that the binary was built from, where the build said so in `CANDLEWICK_REVISION`.
pub const REVISION: &str = match option_env!("CANDLEWICK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Writes what is still buffered when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogGuard {
    _worker: WorkerGuard,
    /// Lines that nobody read in time.
    pub dropped: ErrorCounter,
}

/// Starts the log: one line per event on standard output, for people or for programs. A reader that stops reading does
/// not stop the service: lines are dropped and counted instead.
pub fn init(config: LogConfig) -> LogGuard {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("candlewick", level)
        // Quotes connection parameters that it does not know, and with them perhaps a password.
        .with_target("sqlx_postgres::options", LevelFilter::OFF)
        // What it says of connections, our own lines say with the consequence.
        .with_target("sqlx_core::pool", LevelFilter::OFF)
        // A line for every scanner that opens a connection and says nothing; they are counted.
        .with_target("hyper", LevelFilter::OFF);
    let (writer, worker) = tracing_appender::non_blocking(std::io::stdout());
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(is_terminal()).compact()).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).init(),
    }
    log_panics();
    LogGuard { _worker: worker, dropped }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

/// Panics are lines of the log like everything else.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, cause = panic_text(panic.payload()), "panic");
    }));
}

/// What a panic said.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

/// To the microsecond; more digits would only look exact.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
