//! The problems that the errors of the service's parts become.

use super::answer::Problem;
use super::code::Code;
use crate::errors::{chain, sentence};
use crate::ingest::Refusal;
use crate::live::LiveError;
use crate::maintain::MaintainError;
use crate::query::QueryError;
use crate::research::{JobsError, ResearchError};
use crate::store::{Missing, StoreError};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let said = sentence(&refusal);
        match refusal {
            Refusal::Malformed(_) => Self::new(Code::Malformed, said),
            Refusal::TooMany { .. } => Self::new(Code::TooLarge, said),
            Refusal::Invalid { field_errors, .. } => Self::invalid(said, field_errors),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let said = sentence(&error);
        match error {
            QueryError::Invalid(field_errors) => Self::invalid(said, field_errors),
            QueryError::TooManyExports(_) => Self::new(Code::Overloaded, said),
            QueryError::TooLittleHistory { .. } => Self::new(Code::TooLittleHistory, said),
            QueryError::Store(error) => error.into(),
        }
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        let said = sentence(&error);
        let code = match error {
            JobsError::Request(ResearchError::Store(error)) => return of_jobs(error),
            JobsError::Request(error) => return error.into(),
            JobsError::Randomness(_) | JobsError::Unreadable(_) => return Self::internal(chain(&error).to_string()),
            JobsError::UnknownJob => Code::UnknownJob,
            JobsError::NoResult(_) => Code::NoResults,
            JobsError::UnknownFile => Code::UnknownFile,
            JobsError::QueueFull(_) => Code::QueueFull,
            JobsError::IdempotencyMismatch => Code::IdempotencyMismatch,
            JobsError::Off => Code::ResearchOff,
            JobsError::TooManyStreams => Code::Overloaded,
        };
        Self::new(code, said)
    }
}

/// The problem of a request about jobs that the store did not fulfil.
fn of_jobs(error: StoreError) -> Problem {
    let cause = chain(&error).to_string();
    let problem = match error {
        StoreError::Unanswered(_) => Problem::new(
            Code::Unavailable,
            "The database stopped answering while it was written, so it is not known whether this was done; send the same request \
             again after Retry-After, which is safe, for a new job if it has an Idempotency-Key.",
        ),
        StoreError::ReadOnly(_) => Problem::new(
            Code::Unavailable,
            "Nothing was done, because the database behind this service is a read-only standby or is set to be only read; ask the \
             service of its primary, or send the same request again once it can be written.",
        ),
        StoreError::ConstraintViolated(_) => return Problem::internal(cause),
        other => return other.into(),
    };
    problem.caused_by(cause)
}

impl From<ResearchError> for Problem {
    fn from(error: ResearchError) -> Self {
        let said = sentence(&error);
        let code = match error {
            ResearchError::Fields(field_errors) => return Self::invalid(said, field_errors),
            ResearchError::Store(error) => return error.into(),
            ResearchError::Query(error) => return error.into(),
            ResearchError::NoSignals(errors) if errors.iter().all(|error| error.code == "unknown_series") => {
                Code::UnknownSeries
            }
            ResearchError::Invalid(_) => Code::InvalidValues,
            ResearchError::Malformed(_) => Code::Malformed,
            ResearchError::UnknownStrategy { .. } => Code::UnknownStrategy,
            ResearchError::UnknownSeries(_) => Code::UnknownSeries,
            ResearchError::NoSignals(_) => Code::NoSignals,
            ResearchError::TooManyCandles(_) | ResearchError::TooLong | ResearchError::TooLongToRead => Code::UseAJob,
            ResearchError::TooManySymbols(_) => Code::TooLarge,
            ResearchError::TooFewCandles(_) => Code::TooFewCandles,
            ResearchError::UnusableCandle { .. } => Code::InvalidCandle,
            ResearchError::IntradayOnly(..) => Code::IntradayOnly,
            ResearchError::Panicked(text) => return Self::internal(format!("panic: {text}")),
            ResearchError::Off => Code::ResearchOff,
            ResearchError::Busy => Code::Overloaded,
        };
        Self::new(code, said)
    }
}

impl From<LiveError> for Problem {
    fn from(error: LiveError) -> Self {
        let said = sentence(&error);
        match error {
            LiveError::Invalid(field_errors) => Self::invalid(said, field_errors),
            LiveError::TooManyStreams(_) | LiveError::TooManyStreamsOfKey(_) | LiveError::TooManySeries => {
                Self::new(Code::Overloaded, said)
            }
        }
    }
}

impl From<MaintainError> for Problem {
    fn from(error: MaintainError) -> Self {
        let said = sentence(&error);
        match error {
            MaintainError::Batch(refusal) => refusal.into(),
            MaintainError::Invalid { field_errors, .. } => Self::invalid(said, field_errors),
            MaintainError::Conflict { field_errors, .. } => {
                Self::new(Code::Conflict, said).with_errors(field_errors)
            }
            MaintainError::Changed { .. } => Self::new(Code::Changed, said),
            MaintainError::TooMany => Self::new(Code::TooLarge, said),
            MaintainError::Store(error @ StoreError::Unanswered(_)) => Self::new(
                Code::Unavailable,
                "The database stopped answering while candles were changed, so it is not known whether they were; look at \
                 GET /api/v1/changes, and send the request again if it is not there, which is safe.",
            )
            .caused_by(chain(&error).to_string()),
            MaintainError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        const DETAIL: &str =
            "The database does not answer; send the same request again after Retry-After, which is safe.";
        let cause = chain(&error).to_string();
        let problem = match error {
            StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::Misconfigured(_) => {
                Self::new(Code::Unavailable, DETAIL)
            }
            StoreError::Unanswered(_) => Self::new(
                Code::Unavailable,
                "The database stopped answering while the batch was written, so it is not known whether it was stored; \
                 send the same batch again after Retry-After, which is safe.",
            ),
            StoreError::Missing(what, _) => Self::new(
                Code::Unavailable,
                match what {
                    Missing::File => {
                        "The database file of this service was moved, deleted or replaced; its operator has to act as \
                         the service's log says. To send the same request again after that is safe."
                    }
                    Missing::Tables => {
                        "Tables of this service's database are missing; its operator has to act as the service's log \
                         says. To send the same request again after that is safe."
                    }
                },
            ),
            StoreError::ReadOnly(_) => Self::new(
                Code::Unavailable,
                "Nothing was stored, because the database behind this service is a read-only standby or is set to be \
                 only read; post to the service of its primary, or send the same batch again once it can be written.",
            ),
            StoreError::ConstraintViolated(_) => Self::new(
                Code::InvalidValues,
                "Nothing was stored: the database refused a candle of the batch because of a constraint that its \
                 operator added; ask the operator to look up the request_id in the log.",
            ),
            StoreError::Internal(_) => return Self::internal(cause),
        };
        problem.caused_by(cause)
    }
}
