//! Telemetry of the service: its log, set up here, with the format in [`lines`] and the request of each line in
//! [`spans`]; [`metrics`] for Prometheus; and failures for Sentry in [`sentry`].

mod lines;
pub mod metrics;
pub mod sentry;
pub(crate) mod spans;

use std::any::Any;
use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::lines::{Lines, NoSpanFields};
use self::spans::SpanFieldsLayer;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// The commit that the binary was built from, if the build set `CANDLEWICK_REVISION`.
pub const REVISION: &str = match option_env!("CANDLEWICK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Writes the lines that are still buffered when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogGuard {
    _worker: WorkerGuard,
    /// The number of lines that were dropped because nothing read them in time.
    pub dropped: ErrorCounter,
}

/// The maximum number of lines that wait for a reader. The buffer is allocated whole at the start, with 32 bytes a line, and the
/// default of tracing-appender would take 4 MB of an idle service.
const MAX_BUFFERED_LINES: usize = 16_384;

/// Starts the log: one line per event on standard output, for people or for programs. A reader that stops reading does
/// not stop the service: lines are dropped and counted instead.
pub fn init(config: LogConfig) -> LogGuard {
    start(config, std::io::stdout(), is_terminal())
}

/// Starts the log of a command whose standard output holds its result: warnings and errors, on standard error.
pub fn init_on_stderr() -> LogGuard {
    start(LogConfig { level: LogLevel::Warn, format: LogFormat::Text }, std::io::stderr(), false)
}

fn start(config: LogConfig, output: impl std::io::Write + Send + 'static, shows_colours: bool) -> LogGuard {
    let (writer, worker) = NonBlockingBuilder::default().buffered_lines_limit(MAX_BUFFERED_LINES).finish(output);
    let dropped = writer.error_counter();
    subscriber(config, writer, shows_colours).init();
    log_panics();
    LogGuard { _worker: worker, dropped }
}

/// Writes lines to `writer`, in colours for people if it shows them.
fn subscriber<W>(config: LogConfig, writer: W, shows_colours: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
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
        // Off, because it quotes connection parameters that it does not know, which may hold a password.
        .with_target("sqlx_postgres::options", LevelFilter::OFF)
        // Off, because our own lines report the state of connections with its consequence.
        .with_target("sqlx_core::pool", LevelFilter::OFF)
        // Off, because it writes a line for every scanner that opens a connection and sends nothing. These are counted.
        .with_target("hyper", LevelFilter::OFF);
    let colours = shows_colours && config.format == LogFormat::Text;
    let lines = fmt::layer().event_format(Lines::new(config.format)).fmt_fields(NoSpanFields).with_ansi(colours);
    tracing_subscriber::registry().with(filter).with(SpanFieldsLayer).with(lines.with_writer(writer))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

/// Logs panics like everything else. The hook runs on the thread that panics, so within the span of its request.
fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, cause = panic_text(panic.payload()), "panic");
}

/// The message of a panic.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

/// Rounds to microseconds, because more digits would only look exact.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::panic::{set_hook, take_hook};
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::subscriber::{set_global_default, with_default};
    use tracing::{Span, error, warn};
    use tracing_subscriber::Registry;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` writes on this thread, with its panics.
    pub(crate) fn logged(format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _hook_is_ours = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // With a single subscriber in the process, tracing caches that a callsite is disabled if a thread without that
        // subscriber reaches it first. A second one, for all other threads, prevents that; later calls fail and change nothing.
        let _ = set_global_default(Registry::default());
        // Calls the existing hook too, because other tests may panic meanwhile.
        let hook = Arc::new(take_hook());
        let other = Arc::clone(&hook);
        set_hook(Box::new(move |panic| {
            log_panic(panic);
            other(panic);
        }));
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = LogConfig { level: LogLevel::Error, format };
        with_default(subscriber(config, move || writer.clone(), false), work);
        drop(take_hook());
        set_hook(Box::new(move |panic| hook(panic)));
        let written = buffer.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_says_once_in_which_request_and_operation_it_was_written() {
        let work = || {
            spans::request("id-1").in_scope(|| {
                spans::statement("append").in_scope(|| error!(kept = true, "in both"));
                spans::statement("outer").in_scope(|| spans::statement("inner").in_scope(|| error!("within")));
                error!("in \"one\"");
                warn!("below the level");
            });
            error!("in none");
        };
        let lines = logged(LogFormat::Text, work);
        let ends = lines.iter().map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>();
        assert_eq!(
            ends,
            [
                r#"ERROR in both kept=true operation="append" request_id="id-1""#,
                r#"ERROR within operation="inner" request_id="id-1""#,
                r#"ERROR in "one" request_id="id-1""#,
                "ERROR in none"
            ]
        );
        let lines = logged(LogFormat::Json, work);
        let ends = lines.iter().map(|line| line.split_once(r#""level":"#).unwrap().1).collect::<Vec<_>>();
        assert_eq!(
            ends,
            [
                r#""ERROR","message":"in both","kept":true,"operation":"append","request_id":"id-1"}"#,
                r#""ERROR","message":"within","operation":"inner","request_id":"id-1"}"#,
                r#""ERROR","message":"in \"one\"","request_id":"id-1"}"#,
                r#""ERROR","message":"in none"}"#
            ]
        );
    }

    #[test]
    fn a_line_about_several_requests_names_them() {
        let work = || {
            let callers = ["one", "two"].map(spans::request);
            let nested = spans::request("three").in_scope(|| spans::statement("range"));
            let both = spans::joined("append", callers.iter());
            let all = spans::joined("sweep", [both, nested].iter());
            all.in_scope(|| error!("joined"));
            spans::joined("append", callers[..1].iter()).in_scope(|| error!("alone"));
            let crowd: Vec<Span> = (0..1000).map(|number| spans::request(&number.to_string())).collect();
            spans::joined("append", crowd.iter()).in_scope(|| error!("crowd"));
        };
        let text = logged(LogFormat::Text, work);
        assert!(text[0].ends_with(r#"joined operation="sweep" request_ids=["one", "two", "three"]"#), "{text:?}");
        assert!(text[1].ends_with(r#"alone request_id="one""#), "{text:?}");
        assert!(text[2].ends_with(r#", "18", "19"]"#), "{text:?}");
        let json = logged(LogFormat::Json, work);
        assert!(json[0].ends_with(r#""operation":"sweep","request_ids":["one","two","three"]}"#), "{json:?}");
        assert!(json[1].ends_with(r#""request_id":"one"}"#), "{json:?}");
    }
}
