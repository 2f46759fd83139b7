//! Every answer that is not a success: an RFC 9457 problem.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response as ResponseDoc, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::errors::{chain, sentence};
use crate::ingest::Refusal;
use crate::live::LiveError;
use crate::maintain::MaintainError;
use crate::query::QueryError;
use crate::research::{JobsError, ResearchError};
use crate::store::{Missing, StoreError};
use crate::validation::FieldError;

/// The media type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// The kind of a problem, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Malformed,
    Unauthorized,
    WrongScope,
    InvalidHost,
    ForeignOrigin,
    ForeignHost,
    PlainHttp,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    TooLarge,
    UnsupportedEncoding,
    InvalidValues,
    Conflict,
    Changed,
    TooLittleHistory,
    UnknownStrategy,
    UnknownSeries,
    NoSignals,
    UseAJob,
    TooFewCandles,
    InvalidCandle,
    IntradayOnly,
    ResearchDisabled,
    ResearchOff,
    UnknownJob,
    NoResults,
    UnknownFile,
    QueueFull,
    IdempotencyMismatch,
    RateLimited,
    Internal,
    Unavailable,
    Overloaded,
    TimedOut,
}

impl Code {
    /// Its name in the body, its status and, for the documentation, its meaning.
    #[expect(clippy::too_many_lines, reason = "a table with an entry for each code")]
    fn entry(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST, "The body is not JSON; the detail says where."),
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "No key, more than one, or an unknown one.")
            }
            Self::WrongScope => ("wrong_scope", StatusCode::FORBIDDEN, "The key is known but not for this route."),
            Self::InvalidHost => (
                "invalid_host",
                StatusCode::BAD_REQUEST,
                "There is no Host, more than one, or one that is not a host name.",
            ),
            Self::ForeignOrigin => {
                ("foreign_origin", StatusCode::FORBIDDEN, "The request comes from a page whose origin is not allowed.")
            }
            Self::ForeignHost => ("foreign_host", StatusCode::FORBIDDEN, "The host name is not one that is served."),
            Self::PlainHttp => ("plain_http", StatusCode::FORBIDDEN, "The request came over plain HTTP to a proxy."),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such route."),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The route has other methods; Allow lists them.")
            }
            Self::TooSlow => ("too_slow", StatusCode::REQUEST_TIMEOUT, "The body took or paused too long."),
            Self::TooLarge => {
                ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "Too many bytes or candles; the detail names the limit.")
            }
            Self::UnsupportedEncoding => {
                ("unsupported_encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is compressed.")
            }
            Self::InvalidValues => {
                ("invalid_values", StatusCode::UNPROCESSABLE_ENTITY, "Values break rules; errors lists the first 100.")
            }
            Self::Conflict => (
                "conflict",
                StatusCode::CONFLICT,
                "A candle is not stored, or is not what it was expected to be; errors lists the first 100.",
            ),
            Self::Changed => {
                ("changed", StatusCode::CONFLICT, "The candles are no longer those of the dry run; repeat it.")
            }
            Self::TooLittleHistory => (
                "too_little_history",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Fewer than 8 of the 26 weeks before the end of the range hold candles, so that no week can be learned.",
            ),
            Self::UnknownStrategy => (
                "unknown_strategy",
                StatusCode::NOT_FOUND,
                "There is no such strategy; the detail names the three ids that are most alike.",
            ),
            Self::UnknownSeries => ("unknown_series", StatusCode::NOT_FOUND, "No candle of the series is stored."),
            Self::NoSignals => (
                "no_signals",
                StatusCode::NOT_FOUND,
                "No symbol of the request has a signal; the detail says why for each.",
            ),
            Self::UseAJob => (
                "use_a_job",
                StatusCode::PAYLOAD_TOO_LARGE,
                "More than 200,000 candles, or more than 2 s of computing or 5 s of reading; jobs have no such limits.",
            ),
            Self::TooFewCandles => (
                "too_few_candles",
                StatusCode::UNPROCESSABLE_ENTITY,
                "There are fewer candles than the strategy needs; the detail says how many.",
            ),
            Self::InvalidCandle => (
                "invalid_candle",
                StatusCode::UNPROCESSABLE_ENTITY,
                "A stored row of the series is not a candle; the detail names its time and what is wrong.",
            ),
            Self::IntradayOnly => (
                "intraday_only",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The strategy reads the hour, and the timeframe is D1 or longer.",
            ),
            Self::ResearchDisabled => (
                "research_disabled",
                StatusCode::FORBIDDEN,
                "No jobs can be started, because the operator has set no RESEARCH_API_KEY.",
            ),
            Self::ResearchOff => (
                "research_off",
                StatusCode::SERVICE_UNAVAILABLE,
                "This replica computes nothing, because RESEARCH_THREADS is 0.",
            ),
            Self::UnknownJob => ("unknown_job", StatusCode::NOT_FOUND, "The key has no such job, or it was deleted."),
            Self::NoResults => {
                ("no_results", StatusCode::NOT_FOUND, "The item of the job has no such results; the detail says why.")
            }
            Self::UnknownFile => {
                ("unknown_file", StatusCode::NOT_FOUND, "The key has no such file, or it was deleted.")
            }
            Self::QueueFull => (
                "queue_full",
                StatusCode::TOO_MANY_REQUESTS,
                "The key has as many queued jobs as RESEARCH_MAX_QUEUED allows.",
            ),
            Self::IdempotencyMismatch => (
                "idempotency_mismatch",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key came with another request within the last 24 hours.",
            ),
            Self::RateLimited => (
                "rate_limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests, or too many wrong keys; Retry-After says when to try again.",
            ),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A fault of the service."),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer; Retry-After says when to try again.",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "The service has no room for the request now; Retry-After says when to try again.",
            ),
            Self::TimedOut => (
                "timed_out",
                StatusCode::SERVICE_UNAVAILABLE,
                "The work on the request took longer than 10 s; Retry-After says when to try again.",
            ),
        }
    }

    /// An answer of this kind, for the documentation.
    fn example(self) -> Problem {
        let detail = match self {
            Self::Malformed => {
                "The body is not valid JSON: expected value at line 1, column 14; correct it and send it again."
            }
            Self::Unauthorized => "Invalid or missing API Key",
            Self::WrongScope => "This key may post candles and list series; read with the internal token.",
            Self::InvalidHost => "The request names more than one Host; send one.",
            Self::ForeignOrigin => {
                "Pages of this origin may not call; add it to ALLOWED_ORIGINS, or call from a server."
            }
            Self::ForeignHost => "This service is not served under that host name; use one of ALLOWED_HOSTS.",
            Self::PlainHttp => {
                "This came over plain HTTP, where keys can be read on the way; use https:// and change the key."
            }
            Self::NotFound => "There is no such route; the API's documentation lists them.",
            Self::MethodNotAllowed => "This route has no such method; use one that Allow lists.",
            Self::TooSlow => "The body took longer than 10 s or paused for more than 5 s; send it again.",
            Self::TooLarge => "The batch holds 12000 candles and at most 10000 are taken; send it in parts.",
            Self::UnsupportedEncoding => {
                "The body is compressed, and only plain JSON is taken; send it without Content-Encoding."
            }
            Self::InvalidValues => {
                let msg = "is negative; a volume is 0 or more";
                let loc = vec!["body".into(), "candles".into(), 0.into(), "volume".into()];
                let field_error = FieldError { loc, msg: msg.to_owned(), kind: "out_of_range" };
                return Problem::invalid(
                    format!("Nothing was stored: {} {msg}.", field_error.path()),
                    vec![field_error],
                );
            }
            Self::Conflict => {
                "None of 3 candles was corrected, because candles[1] is not stored as a closed candle, and only stored \
                 candles are corrected; post it instead."
            }
            Self::Changed => {
                "Nothing was deleted, because the candles are not those of confirm=9f31c2a4b07d any more; repeat the dry \
                 run, look at what it answers, and send its confirm."
            }
            Self::TooLittleHistory => {
                "Only 3 of the 26 weeks before the end hold candles, and a week is learned from 8 at least; send \
                 session=24x7, or the session in which the market trades."
            }
            Self::UnknownStrategy => {
                "There is no strategy sma-crosss; the nearest are sma-cross, ema-cross, wma-cross."
            }
            Self::UnknownSeries => "No candle of EURUSD H6 is stored; the list of series shows what is.",
            Self::NoSignals => "None of the symbols has a signal: FOO (unknown_series), BAR (too_few_candles).",
            Self::UseAJob => {
                "There are more than 200000 candles in that span, which is the most for an answer at once; shorten the span, or \
                 start a job."
            }
            Self::TooFewCandles => {
                "EURUSD H1 has 12 closed candles in that span, and sma-cross with these parameters needs at least 32; choose an \
                 earlier from, or shorter parameters."
            }
            Self::InvalidCandle => {
                "The candle of EURUSD H1 at 2026-03-04T09:00:00Z cannot be used, because its low is above its high; choose a span \
                 without it, or ask the operator to correct it."
            }
            Self::IntradayOnly => "Session-range reads the hour, so it needs a timeframe below D1, and D1 is not.",
            Self::ResearchDisabled => {
                "No jobs can be started here, because the operator of the service has set no RESEARCH_API_KEY; backtests and \
                 signals are answered without jobs."
            }
            Self::ResearchOff => "This replica computes nothing, because RESEARCH_THREADS is 0; ask another one.",
            Self::UnknownJob => {
                "There is no such job of this key; jobs are deleted some time after their end, which their field expires tells."
            }
            Self::NoResults => {
                "Item 0 of this job has no results, because the job is running; wait for the end of the item."
            }
            Self::UnknownFile => {
                "There is no such file of this key; files are deleted together with their job or some time after they were \
                 made, so export it again."
            }
            Self::QueueFull => "This key has 100 queued jobs, which is the most; wait until one begins, or cancel one.",
            Self::IdempotencyMismatch => {
                "The Idempotency-Key was sent with another request within the last 24 hours; use a new one for a new request."
            }
            Self::RateLimited => "This key posts too often; wait for Retry-After, and put more candles into each post.",
            Self::Internal => {
                "The service failed on this request; try again, and report the request_id if it persists."
            }
            Self::Unavailable => {
                "The database does not answer; send the same request again after Retry-After, which is safe."
            }
            Self::Overloaded => "The service has no room for this now; send it again after Retry-After.",
            Self::TimedOut => "This took too long and was given up; send it again after Retry-After, which is safe.",
        };
        Problem::new(self, detail)
    }

    pub(crate) fn name(self) -> &'static str {
        self.entry().0
    }

    pub(crate) fn status(self) -> StatusCode {
        self.entry().1
    }

    /// The headers of its answer, with their values and meanings.
    fn headers(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Unauthorized => &[("www-authenticate", "Bearer", "How to present a key.")],
            Self::Unavailable | Self::Overloaded | Self::TimedOut | Self::RateLimited | Self::QueueFull => {
                &[("retry-after", "1", "Seconds to wait before trying again.")]
            }
            // The rest of the body, if any comes, is not read.
            Self::TooSlow => &[("connection", "close", "The connection ends with this answer.")],
            _ => &[],
        }
    }
}

/// An answer that is not a success. [`super::middleware::access_log`] writes its body, because that needs the request's
/// id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// The cause, for the log alone.
    pub(crate) cause: Option<String>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// One sentence that says what to do.
    detail: &'a str,
    /// The kind of the problem, for programs.
    #[schema(example = "invalid_values")]
    code: &'static str,
    /// The request's id, as in the header `x-request-id` and in the log.
    request_id: &'a str,
    /// For 422: what is wrong with each value, the first 100.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), cause: None }
    }

    pub(crate) fn internal(cause: String) -> Self {
        const DETAIL: &str = "The service failed on this request; try again, and report the request_id if it persists.";
        Self::new(Code::Internal, DETAIL).caused_by(cause)
    }

    /// Adds the cause for the log.
    pub(crate) fn caused_by(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The refusal of one value.
    pub(crate) fn of_field(field_error: FieldError) -> Self {
        Self::invalid(format!("The request is not valid: {field_error}."), vec![field_error])
    }

    fn invalid(detail: String, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::InvalidValues, detail) }
    }

    pub(crate) fn body(&self, request_id: &str) -> String {
        let body = Body {
            kind: "about:blank",
            title: self.code.status().canonical_reason().unwrap_or_default(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.name(),
            request_id,
            errors: &self.errors,
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        for (name, value, _) in self.code.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(self);
        response
    }
}

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
                Self { errors: field_errors, ..Self::new(Code::Conflict, said) }
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

/// Documents problems as answers of a route: one answer for each status, which lists all its codes and has an example
/// of each.
pub(crate) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<ResponseDoc>> {
    let mut by_status: BTreeMap<StatusCode, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(*code);
    }
    let document = |(status, codes): (StatusCode, Vec<Code>)| {
        let example = |code: &Code| {
            let value = serde_json::from_str(&code.example().body("5e5f8f6f7b1d2f6f0f5a1c9d1e2b3a4c")).ok();
            (code.name(), ExampleBuilder::new().summary(code.entry().2).value(value).build())
        };
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .examples_from_iter(codes.iter().map(example))
            .build();
        let meaning = |code: &Code| format!("`{}`: {}", code.name(), code.entry().2);
        let description = codes.iter().map(meaning).collect::<Vec<_>>().join(" ");
        let mut response = ResponseBuilder::new().description(description).content(CONTENT_TYPE, content);
        for (name, _, meaning) in codes.iter().flat_map(|code| code.headers()) {
            let text = ObjectBuilder::new().schema_type(Type::String);
            response =
                response.header(*name, HeaderBuilder::new().schema(Some(text)).description(Some(*meaning)).build());
        }
        (status.as_str().to_owned(), RefOr::T(response.build()))
    };
    by_status.into_iter().map(document).collect()
}

/// The problems of posting a batch.
pub(crate) struct PostProblems;

impl IntoResponses for PostProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::TooSlow,
            Code::TooLarge,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of reading candles or series.
pub(crate) struct GetProblems;

impl IntoResponses for GetProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[Code::Unauthorized, Code::WrongScope, Code::InvalidValues, Code::Internal, Code::Unavailable])
    }
}

/// The problems of correcting candles.
pub(crate) struct CorrectionProblems;

impl IntoResponses for CorrectionProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::TooSlow,
            Code::Conflict,
            Code::TooLarge,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of deleting candles.
pub(crate) struct DeletionProblems;

impl IntoResponses for DeletionProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Unauthorized,
            Code::WrongScope,
            Code::Changed,
            Code::TooLarge,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of reading with a learned week.
pub(crate) struct GapProblems;

impl IntoResponses for GapProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Unauthorized,
            Code::WrongScope,
            Code::InvalidValues,
            Code::TooLittleHistory,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of reading about strategies.
pub(crate) struct StrategyProblems;

impl IntoResponses for StrategyProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[Code::Unauthorized, Code::WrongScope, Code::UnknownStrategy, Code::InvalidValues, Code::Internal])
    }
}

/// The problems of testing a strategy.
pub(crate) struct BacktestProblems;

impl IntoResponses for BacktestProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::UnknownStrategy,
            Code::UnknownSeries,
            Code::TooSlow,
            Code::TooLarge,
            Code::UseAJob,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::TooFewCandles,
            Code::InvalidCandle,
            Code::IntradayOnly,
            Code::Internal,
            Code::Unavailable,
            Code::ResearchOff,
        ])
    }
}

/// The problems of asking for signals.
pub(crate) struct SignalProblems;

impl IntoResponses for SignalProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::UnknownStrategy,
            Code::UnknownSeries,
            Code::NoSignals,
            Code::TooSlow,
            Code::TooLarge,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::IntradayOnly,
            Code::Internal,
            Code::Unavailable,
            Code::ResearchOff,
        ])
    }
}

/// The problems of asking for signals as CSV.
pub(crate) struct SignalFileProblems;

impl IntoResponses for SignalFileProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Unauthorized,
            Code::WrongScope,
            Code::UnknownStrategy,
            Code::UnknownSeries,
            Code::NoSignals,
            Code::TooLarge,
            Code::InvalidValues,
            Code::IntradayOnly,
            Code::Internal,
            Code::Unavailable,
            Code::ResearchOff,
        ])
    }
}

/// The problems of starting a job.
pub(crate) struct JobStartProblems;

impl IntoResponses for JobStartProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::ResearchDisabled,
            Code::UnknownStrategy,
            Code::UnknownSeries,
            Code::TooSlow,
            Code::TooLarge,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::IntradayOnly,
            Code::IdempotencyMismatch,
            Code::QueueFull,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of listing jobs.
pub(crate) struct JobListProblems;

impl IntoResponses for JobListProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Unauthorized,
            Code::WrongScope,
            Code::UnknownJob,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of reading, following or cancelling a job.
pub(crate) struct JobProblems;

impl IntoResponses for JobProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[Code::Unauthorized, Code::WrongScope, Code::UnknownJob, Code::Internal, Code::Unavailable])
    }
}

/// The problems of reading results.
pub(crate) struct ResultProblems;

impl IntoResponses for ResultProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Unauthorized,
            Code::WrongScope,
            Code::UnknownJob,
            Code::NoResults,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
        ])
    }
}

/// The problems of making a file.
pub(crate) struct ExportProblems;

impl IntoResponses for ExportProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::ResearchDisabled,
            Code::UnknownJob,
            Code::NoResults,
            Code::TooSlow,
            Code::TooLarge,
            Code::UnsupportedEncoding,
            Code::InvalidValues,
            Code::Internal,
            Code::Unavailable,
            Code::ResearchOff,
        ])
    }
}

/// The problems of downloading a file.
pub(crate) struct FileProblems;

impl IntoResponses for FileProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        responses(&[Code::Unauthorized, Code::WrongScope, Code::UnknownFile, Code::Internal, Code::Unavailable])
    }
}
