//! The kinds of problems: their names, statuses, meanings and headers.

use axum::http::StatusCode;

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
    pub(super) fn entry(self) -> (&'static str, StatusCode, &'static str) {
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

    pub(crate) fn name(self) -> &'static str {
        self.entry().0
    }

    pub(crate) fn status(self) -> StatusCode {
        self.entry().1
    }

    /// The headers of its answer, with their values and meanings.
    pub(super) fn headers(self) -> &'static [(&'static str, &'static str, &'static str)] {
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
