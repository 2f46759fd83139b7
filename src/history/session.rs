//! The parts that the commands which read files share: settings, output and exit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::first_reading::{Checked, FileError, first_reading, zone_refusal};
use super::import_flags::ReadSettings;
use super::open::Input;
use super::reading::{ReadError, Source, plan};
use crate::telemetry::spans::spawn_blocking;
use candle::Timestamp;

/// The outcome of a command that has printed everything itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    /// Everything succeeded.
    Succeeded,
    /// Something failed or differs, or the command was interrupted.
    Failed,
    /// Somebody has to change a flag or a file.
    MustChange,
}

/// The outputs of a command: results go to standard output, mistakes to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// Writes a text to standard output.
    pub(crate) print: fn(&str),
    /// Writes a text to standard error.
    pub(crate) print_error: fn(&str),
}

/// The parts that are the same for all files of a command.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) settings: Arc<ReadSettings>,
    pub(super) now: Timestamp,
    /// True once the command has to stop.
    pub(super) stop: Arc<AtomicBool>,
    /// True if only an object in JSON is printed.
    pub(super) is_silent: bool,
    pub(super) printer: Printer,
    /// The end of a refusal, which says that nothing happened.
    pub(super) nothing: &'static str,
}

impl Session {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn say(&self, text: &str) {
        if !self.is_silent {
            (self.printer.print)(text);
        }
    }

    /// Prints the reason for which a file is not read.
    pub(super) fn complain(&self, name: &str, error: &FileError) -> Ended {
        let text = error.text();
        // A text about a flag has the flag as its subject.
        let separator = if text.starts_with('-') { ": " } else { " " };
        (self.printer.print_error)(&format!("error: {name}{separator}{text}; {}", self.nothing));
        Ended::MustChange
    }

    /// Reads a text once, without writing.
    pub(super) async fn check(&self, input: &Input, skips_bad: bool) -> Result<Checked, FileError> {
        let (session, input) = (self.clone(), input.clone());
        in_background(move || first_reading(&session, &input, skips_bad)).await
    }

    /// Looks at the first lines of a text that is read once.
    pub(super) async fn plan_only(&self, input: &Input) -> Result<Checked, FileError> {
        let (session, input) = (self.clone(), input.clone());
        in_background(move || {
            let mut source = Source::open(&input, &session.settings).map_err(FileError::File)?;
            match plan(&input, &mut source, &session.settings, session.now) {
                Ok(plan) => Ok(Checked { plan, reader: None, source: Some(source) }),
                Err(ReadError::NoZone(plan)) => Err(zone_refusal(&session, &plan, source)),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

/// Returns a flag that is set once the signal comes, for commands that finish the current step before they end.
pub(crate) fn stop_on(signal: impl Future<Output = ()> + Send + 'static) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    tokio::spawn(async move {
        signal.await;
        set.store(true, Ordering::Relaxed);
    });
    stop
}

/// Runs work that reads files on a thread that may block.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    spawn_blocking(work).await.unwrap_or_else(|panic| Err(FileError::Refused(panic.to_string())))
}
