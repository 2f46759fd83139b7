//! The failures of commands, and the exit codes that they end with.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use axum::http::StatusCode;
use metrics_exporter_prometheus::BuildError;

use super::output::complain;
use crate::app::AppError;
use crate::config::ConfigErrors;
use crate::errors::{chain, to_sentence};
use crate::healthcheck::AskError;
use crate::history::HistoryError;
use crate::research::{ResearchError, StartError};
use crate::store::{Severity, StoreError};

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
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
    pub(super) fn report(&self) -> ExitCode {
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
                | AppError::Research(StartError::Strategies(_) | StartError::Signals(_))
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
