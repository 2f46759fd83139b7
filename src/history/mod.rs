//! The commands that take history out and change it: [`export`] writes series into files, [`gaps`] prints a report, and
//! [`delete`](mod@delete) removes candles. They work on a [`source`]: the database of the configuration, or a running
//! service ([`remote`]).

mod delete;
mod export;
mod flags;
mod gaps;
mod remote;
mod source;

use std::io;
use std::path::PathBuf;

use crate::query::{ExportError, QueryError};
use crate::store::StoreError;
use crate::validation::{FieldError, PathSegment};

pub(crate) use delete::{DeleteFlags, delete};
pub(crate) use export::{Exported, export_all, export_series};
pub(crate) use flags::{ExportFlags, GapsFlags, ServiceFlags};
pub(crate) use gaps::{gaps_json, gaps_table};
pub(crate) use remote::Remote;
pub(crate) use source::Source;

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The question is not valid; each error names its flag.
    #[error("{}", flags(.0))]
    Invalid(Vec<FieldError>),
    /// A flag is missing, or does not fit the others.
    #[error("{0}")]
    Usage(&'static str),
    #[error("cannot read the key file {}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("the key file {} does not hold a key", .0.display())]
    NoKey(PathBuf),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("the export broke off, so nothing was written")]
    BrokeOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot write {path}")]
    Write { path: String, source: io::Error },
    #[error("{url} does not answer")]
    Unanswered { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// The service refuses, with the sentence that it gives.
    #[error("{url} answers {status}: {detail}")]
    Answered { url: String, status: u16, detail: String },
    #[error("{url} does not answer as candlewick does")]
    NotCandlewick { url: String },
}

impl HistoryError {
    /// True if another attempt fails as well, until somebody changes something.
    pub(crate) fn must_change(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Usage(_) | Self::KeyFile { .. } | Self::NoKey(_) => true,
            Self::Store(error) => matches!(error, StoreError::Misconfigured(_) | StoreError::Denied(_)),
            Self::Answered { status, .. } => (400..500).contains(status) && *status != 429,
            _ => false,
        }
    }
}

impl From<QueryError> for HistoryError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid(field_errors) => Self::Invalid(field_errors),
            QueryError::Store(error) => Self::Store(error),
            error @ (QueryError::TooManyExports(_) | QueryError::TooLittleHistory { .. }) => {
                Self::Refused(error.to_string().replace("session=", "--session "))
            }
        }
    }
}

impl From<ExportError> for HistoryError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::TooManyDigits(_) | ExportError::Unbuildable(_) => QueryError::from(error).into(),
            error => Self::BrokeOff(error.into()),
        }
    }
}

/// The name of the user who runs the command, for the record of changes.
fn user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_else(|| "command line".to_owned())
}

/// The errors with the names of the flags that caused them.
fn flags(field_errors: &[FieldError]) -> String {
    let flag = |error: &FieldError| {
        let name = match error.loc.last() {
            Some(PathSegment::Field(name)) => name.as_str(),
            _ => "",
        };
        format!("--{name} {}", error.msg)
    };
    field_errors.iter().map(flag).collect::<Vec<_>>().join("\n")
}
