use std::error::Error;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// The reason of a [`StoreError`]: a text of ours, or the underlying error. It is shared, because several callers that
/// wait for one operation all get its error.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// A failure of the store. The texts are for the operator's log, never for a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is too busy; trying again helps.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// A write was sent and not answered, so it is not known whether it was stored; trying again is safe.
    #[error("the database did not answer a write")]
    Unanswered(#[source] Cause),
    /// The server refuses the login, or has no such database. Only first contact returns this; later it is
    /// [`Self::Unavailable`]. Waiting hardly ever helps unless somebody is about to create the login or the database.
    #[error("the database denies access")]
    Denied(#[source] Cause),
    /// A part of the database is missing, and stays missing until the operator acts.
    #[error("the database is unavailable")]
    Missing(Missing, #[source] Cause),
    /// The database is a standby or read-only: nothing was stored, and nothing will be until that changes.
    #[error("the database can only be read")]
    ReadOnly(#[source] Cause),
    /// The database answers, but cannot be used until the operator changes something.
    #[error(transparent)]
    Misconfigured(Cause),
    /// A constraint or a trigger that we did not make refuses a candle; nothing was stored.
    #[error("the database refuses a candle")]
    ConstraintViolated(#[source] Cause),
    /// The database did something unexpected.
    #[error("the database failed")]
    Internal(#[source] Cause),
}

/// A part of the database that was there at first contact and is missing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The SQLite file, or what SQLite keeps beside it: moved, deleted or replaced.
    File,
    /// A table: dropped or renamed.
    Tables,
}

/// A failure that SQLite reports, with the code that its documentation explains.
#[derive(Debug, thiserror::Error)]
#[error("{error} (SQLite's code {code})")]
struct SqliteFailure {
    code: u32,
    error: rusqlite::Error,
}

/// An answer of the database that cannot be interpreted.
#[derive(Debug, thiserror::Error)]
#[error("an answer of the database cannot be interpreted")]
struct Unreadable(#[source] Box<dyn Error + Send + Sync>);

/// The error of an answer that cannot be interpreted.
pub(super) fn unreadable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::internal(Unreadable(cause.into()))
}

impl StoreError {
    pub(crate) fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(cause.into()))
    }

    pub(super) fn unanswered(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unanswered(Arc::from(cause.into()))
    }

    pub(super) fn denied(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Denied(Arc::from(cause.into()))
    }

    pub(super) fn missing(what: Missing, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Missing(what, Arc::from(cause.into()))
    }

    pub(crate) fn misconfigured(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Misconfigured(Arc::from(cause.into()))
    }

    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(cause.into()))
    }

    /// The error's label in the metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Unanswered(_) | Self::Denied(_) | Self::Missing(..) => "unavailable",
            Self::ReadOnly(_) => "read_only",
            Self::Misconfigured(_) => "unfit",
            Self::ConstraintViolated(_) => "refused",
            Self::Internal(_) => "internal",
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some_and(is_refusal) {
            return Self::ConstraintViolated(Arc::new(error));
        }
        if let Some(error) = error.as_database_error()
            && is_about_a_missing_table(error)
        {
            return missing_table(error.message());
        }
        if error.as_database_error().and_then(sql_state) == Some(READ_ONLY) {
            return Self::ReadOnly(Arc::new(error));
        }
        let passes = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => match sql_state(error.as_ref()) {
                Some(state) => postgres_failure_passes(state),
                None => sqlite_code(error.as_ref()).is_some_and(sqlite_failure_passes),
            },
            _ => false,
        };
        if passes { Self::unavailable(error) } else { Self::internal(error) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error().map(|error| error.extended_code.unsigned_abs()) else {
            return Self::internal(error);
        };
        let failure = SqliteFailure { code, error };
        match primary(code) {
            SQLITE_CONSTRAINT => Self::ConstraintViolated(Arc::new(failure)),
            SQLITE_ERROR if names_a_missing_table(&failure.to_string()) => missing_table(&failure.to_string()),
            code if sqlite_failure_passes(code) => Self::unavailable(failure),
            _ => Self::internal(failure),
        }
    }
}

/// The SQLSTATE of a write where only reading is possible.
const READ_ONLY: &str = "25006";

/// The SQLSTATE of a failure, if it is PostgreSQL's.
pub(super) fn sql_state(error: &dyn DatabaseError) -> Option<&str> {
    error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// SQLite's primary result code.
pub(super) fn sqlite_code(error: &dyn DatabaseError) -> Option<u32> {
    error.code()?.parse().ok().map(primary)
}

/// The primary result code is the low byte of the extended one.
fn primary(extended: u32) -> u32 {
    extended & 0xff
}

/// Named as in SQLite's documentation, "Result and Error Codes".
const SQLITE_ERROR: u32 = 1;
const SQLITE_CONSTRAINT: u32 = 19;

fn is_about_a_missing_table(error: &dyn DatabaseError) -> bool {
    const UNDEFINED_TABLE: &str = "42P01";
    match sql_state(error) {
        Some(state) => state == UNDEFINED_TABLE,
        None => sqlite_code(error) == Some(SQLITE_ERROR) && names_a_missing_table(error.message()),
    }
}

/// True if a table is missing, which somebody has dropped since first contact. The message is searched, because SQLite
/// has no code of its own for this.
fn names_a_missing_table(message: &str) -> bool {
    message.contains("no such table: ")
}

fn missing_table(message: &str) -> StoreError {
    let text = format!(
        "a table was dropped or renamed under the running service ({message}); restart candlewick, which \
         says what to do"
    );
    StoreError::missing(Missing::Tables, text)
}

/// True if a candle violates a constraint or a trigger's condition. Our own constraints cannot be violated, because
/// conflicts of keys are handled and types prevent the rest.
fn is_refusal(error: &dyn DatabaseError) -> bool {
    match sql_state(error) {
        Some(state) => postgres_refuses_a_value(state),
        None => sqlite_code(error) == Some(SQLITE_CONSTRAINT),
    }
}

/// True for these classes of PostgreSQL's documentation, appendix A: a value that a column or a function cannot take, a
/// violated constraint, a view's violated condition, and an exception of a trigger that names no class of its own.
fn postgres_refuses_a_value(state: &str) -> bool {
    // These states of class 22 are about the form in which we send values, not about the values.
    const FORM: &str = "22P";
    matches!(state.get(..2), Some("22" | "23" | "44")) && !state.starts_with(FORM) || state == "P0001"
}

/// True if trying again may succeed, by the classes of PostgreSQL's documentation, appendix A.
fn postgres_failure_passes(state: &str) -> bool {
    match state {
        // A serialization failure or deadlock that outlasted the retries, a lock that was not free in time, a database
        // that is not created yet, revoked privileges.
        "40001" | "40P01" | "55P03" | "3D000" | "42501" => true,
        // Connection lost, login refused, out of disk or connections, cancelled or shutting down, disk failing.
        _ => matches!(state.get(..2), Some("08" | "28" | "53" | "57" | "58")),
    }
}

/// Named as in SQLite's documentation, "Result and Error Codes".
fn sqlite_failure_passes(code: u32) -> bool {
    const SQLITE_BUSY: u32 = 5;
    const SQLITE_LOCKED: u32 = 6;
    const SQLITE_READONLY: u32 = 8;
    const SQLITE_IOERR: u32 = 10;
    const SQLITE_FULL: u32 = 13;
    const SQLITE_CANTOPEN: u32 = 14;
    matches!(code, SQLITE_BUSY | SQLITE_LOCKED | SQLITE_READONLY | SQLITE_IOERR | SQLITE_FULL | SQLITE_CANTOPEN)
}
