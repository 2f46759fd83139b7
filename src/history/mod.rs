//! The commands that export, import and change history. They work on a [`source`] or a [`sink`]: the database of the
//! configuration, or a running service ([`remote`]).
//!
//! [`export`] writes series into files, [`gaps`] prints a report, [`delete`](mod@delete) removes candles, and
//! [`correct`](mod@correct) gives them other values.
//!
//! [`import`](mod@import) reads files of candles, of any dialect that the crate `dialects` knows, and writes them to a [`sink`].
//! [`verify`](mod@verify) reads the same files and compares them with what is stored. A file is opened ([`open`]), decoded ([`decode`]) and
//! cut into lines ([`lines`]), and [`reading`] plans how to read it.

mod correct;
mod decode;
mod delete;
mod export;
mod faults;
mod first_reading;
mod flags;
mod gaps;
mod import;
mod import_flags;
mod lines;
mod numbers;
mod open;
mod progress;
mod reading;
mod remote;
mod report;
mod session;
mod sink;
mod source;
mod verify;

use std::io;
use std::path::PathBuf;

use crate::query::{ExportError, QueryError};
use crate::store::StoreError;
use crate::validation::{FieldError, PathSegment};

pub(crate) use correct::{CorrectFlags, correct};
pub(crate) use delete::{DeleteFlags, delete};
pub(crate) use export::{Exported, export_all, export_series};
pub(crate) use flags::{ExportFlags, GapsFlags, ServiceFlags};
pub(crate) use gaps::{gaps_json, gaps_table};
pub(crate) use import::import;
pub(crate) use import_flags::{ImportFlags, PostFlags, VerifyFlags};
pub(crate) use remote::Remote;
pub(crate) use session::{Ended, Printer, stop_on};
pub(crate) use sink::Sink;
pub(crate) use source::Source;
pub(crate) use verify::verify;

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The parameters are not valid; each error names its flag.
    #[error("{}", flags(.0))]
    Invalid(Vec<FieldError>),
    /// A flag is missing, or does not fit the others.
    #[error("{0}")]
    Usage(&'static str),
    /// The value of a flag is wrong. The text begins with the flag.
    #[error("{0}")]
    Flag(String),
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
    /// True if every further attempt fails until a flag, a file or the configuration is changed.
    pub(crate) fn must_change(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Usage(_) | Self::Flag(_) | Self::KeyFile { .. } | Self::NoKey(_) => true,
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
