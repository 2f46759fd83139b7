//! The log: one line per event on standard output, for people or for programs.

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Writes what is still buffered when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts the log. A reader of standard output that stops reading does not stop the service: lines are dropped instead.
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
        .with_target("sqlx_core::pool", LevelFilter::OFF);
    let (writer, worker) = tracing_appender::non_blocking(std::io::stdout());
    let lines = fmt::layer().with_writer(writer).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(is_terminal()).compact()).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).init(),
    }
    LogGuard { _worker: worker }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}
