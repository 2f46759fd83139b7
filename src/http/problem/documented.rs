//! Problems in the OpenAPI document: those of each kind of route, with examples.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::IntoResponses;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response as ResponseDoc, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

use super::answer::{CONTENT_TYPE, Problem};
use super::code::Code;
use crate::validation::FieldError;

impl Code {
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
