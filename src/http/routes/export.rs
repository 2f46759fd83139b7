//! A series as a file: `/api/v1/export.csv`, `.ndjson` and `.parquet`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{self, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use url::form_urlencoded;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::middleware::admission::AdmissionControl;
use crate::http::middleware::auth::Identity;
use crate::http::middleware::credentials::Scope;
use crate::http::problem::{Code, GetProblems, Problem, SignalFileProblems};
use crate::http::routes::{accept_encoding, signals};
use crate::http::timeouts::FIRST_PIECE_TIMEOUT;
use crate::query::{Encoding, FileFormat, Query, QueryError};
use crate::research::Research;
use crate::schema::{AlignParameter, Bound, Switch, SymbolParameter, TimeframeParameter, UnitParameter, WeekParameter};
use crate::validation::FieldError;

const PARQUET: &str = "application/vnd.apache.parquet";

/// The bytes of a Parquet file.
struct ParquetBytes;

impl ToSchema for ParquetBytes {}

impl PartialSchema for ParquetBytes {
    fn schema() -> RefOr<Schema> {
        // `binary` is OpenAPI 3.0's word for it, by which generators of clients tell bytes from text.
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).content_media_type(PARQUET).into()
    }
}

/// Defines the schema of a parameter that is one of several words.
macro_rules! words {
    ($name:ident, $($word:literal),+) => {
        #[derive(Debug)]
        struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+])).into()
            }
        }
    };
}
words!(TimeForm, "iso", "ms", "s");
words!(PriceType, "decimal", "double", "text");

/// Export a series as CSV, or the signals of today
///
/// With `symbol`: a line of names, then a line for each candle, oldest first. The file may be of any length; an answer that could not
/// be finished ends without its last chunk, which clients report as an error. Takes the internal token alone.
///
/// Without `symbol`: the signals of `GET /api/v1/signals.csv`, whose parameters it then takes. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/export.csv", tag = "Exports", operation_id = "export_csv",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<SymbolParameter>), Query, example = "EURUSD",
         description = "The series to export; the signals of today if absent."),
        ("symbols" = Option<String>, Query, nullable = false, description = "Without `symbol`: as with `GET /api/v1/signals.csv`."),
        ("strategies" = Option<String>, Query, nullable = false, description = "Without `symbol`: as with `GET /api/v1/signals.csv`."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "M1", description = "Required with `symbol`."),
        ("source" = inline(Option<TimeframeParameter>), Query,
         description = "A shorter stored timeframe from which the candles are built, as with `GET /api/v1/candles`."),
        ("align" = inline(Option<AlignParameter>), Query,
         description = "The start of the days of built candles; `utc` if absent. Only with `source`."),
        ("week" = inline(Option<WeekParameter>), Query,
         description = "Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`."),
        ("from" = inline(Option<Bound>), Query, description = "First opening time, as with `GET /api/v1/candles`."),
        ("to" = inline(Option<Bound>), Query, description = "Last opening time."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("forming" = inline(Option<Switch>), Query, description = "`true` adds forming candles, and the column `complete`."),
        ("time" = inline(Option<TimeForm>), Query, description = "The form of the times: RFC 3339 (`iso`, the default), epoch milliseconds or epoch seconds."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight."),
    ),
    responses(
        (status = 200, description = "The file; of an unknown series, the line of names alone.", content_type = "text/csv", body = String,
         headers(
            ("content-disposition" = String, description = "The name of the file, made of symbol, timeframe and range."),
            ("cache-control" = String, description = "`private, no-store`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
            ("x-skipped" = String, description = "Of signals: the symbols that have none, percent-encoded, each with the code of the reason."),
         )),
        SignalFileProblems,
    )
)]
pub(crate) async fn csv(
    State(query): State<Query>,
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    Extension(identity): Extension<Identity>,
    RawQuery(parameters): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = parameters.unwrap_or_default();
    if CsvUse::of(&parameters)? == CsvUse::Signals {
        return signals::csv_answer(&research, &admission, &parameters).await;
    }
    if !identity.is_of(Scope::Read) {
        const DETAIL: &str = "With symbol this route exports candles, which takes the internal token; a research key gets the \
                              signals, without symbol.";
        return Err(Problem::new(Code::WrongScope, DETAIL));
    }
    let parameters = Some(parameters);
    let encoding = accept_encoding::choose(&headers, usize::MAX);
    answer(&query, parameters, &method, (FileFormat::Csv, encoding)).await
}

/// The uses of the address of CSV, which its parameters tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CsvUse {
    /// With `symbol`.
    Candles,
    /// Without it.
    Signals,
}

impl CsvUse {
    const BOTH: &str = "with symbol and timeframe this address exports candles, without symbol it answers the signals of \
                        symbols and strategies";

    /// The use that a query string means.
    ///
    /// # Errors
    /// When it holds parameters of the other one.
    fn of(query: &str) -> Result<Self, QueryError> {
        const OF_SIGNALS: [&str; 2] = ["symbols", "strategies"];
        const OF_CANDLES: [&str; 8] = ["source", "align", "week", "from", "to", "unit", "time", "forming"];
        let names: Vec<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).collect();
        let (chosen, others) = if names.iter().any(|name| name == "symbol") {
            (Self::Candles, &OF_SIGNALS[..])
        } else {
            (Self::Signals, &OF_CANDLES[..])
        };
        let refused = others.iter().filter(|other| names.iter().any(|name| name == *other));
        let refused: Vec<FieldError> = refused
            .map(|name| FieldError {
                loc: vec!["query".into(), (*name).into()],
                msg: format!("belongs to the other use of this address: {}; send the parameters of one", Self::BOTH),
                kind: "conflict",
            })
            .collect();
        if refused.is_empty() { Ok(chosen) } else { Err(QueryError::Invalid(refused)) }
    }
}

/// Export a series as NDJSON
///
/// A candle of `GET /api/v1/candles` on each line, oldest first. The file may be of any length; an answer that could not be
/// finished ends without its last chunk, which clients report as an error. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/export.ndjson", tag = "Exports", operation_id = "export_ndjson",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("timeframe" = inline(TimeframeParameter), Query, example = "M1"),
        ("source" = inline(Option<TimeframeParameter>), Query,
         description = "A shorter stored timeframe from which the candles are built, as with `GET /api/v1/candles`."),
        ("align" = inline(Option<AlignParameter>), Query,
         description = "The start of the days of built candles; `utc` if absent. Only with `source`."),
        ("week" = inline(Option<WeekParameter>), Query,
         description = "Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`."),
        ("from" = inline(Option<Bound>), Query, description = "First opening time, as with `GET /api/v1/candles`."),
        ("to" = inline(Option<Bound>), Query, description = "Last opening time."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("forming" = inline(Option<Switch>), Query, description = "`true` adds forming candles, which have `\"complete\":false`."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight."),
    ),
    responses(
        (status = 200, description = "The file; of an unknown series, nothing.", content_type = "application/x-ndjson", body = String,
         headers(
            ("content-disposition" = String, description = "The name of the file, made of symbol, timeframe and range."),
            ("cache-control" = String, description = "`private, no-store`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
         )),
        GetProblems,
    )
)]
pub(crate) async fn ndjson(
    State(query): State<Query>,
    RawQuery(parameters): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let encoding = accept_encoding::choose(&headers, usize::MAX);
    answer(&query, parameters, &method, (FileFormat::Ndjson, encoding)).await
}

/// Export a series as Parquet
///
/// Columns `timestamp` (milliseconds in UTC), `open`, `high`, `low`, `close` and `volume`, oldest first, in row groups of 65,536
/// candles, compressed by zstd. An answer that could not be finished ends without its last chunk and without the file's footer.
/// Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/export.parquet", tag = "Exports", operation_id = "export_parquet",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("timeframe" = inline(TimeframeParameter), Query, example = "M1"),
        ("source" = inline(Option<TimeframeParameter>), Query,
         description = "A shorter stored timeframe from which the candles are built, as with `GET /api/v1/candles`."),
        ("align" = inline(Option<AlignParameter>), Query,
         description = "The start of the days of built candles; `utc` if absent. Only with `source`."),
        ("week" = inline(Option<WeekParameter>), Query,
         description = "Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`."),
        ("from" = inline(Option<Bound>), Query, description = "First opening time, as with `GET /api/v1/candles`."),
        ("to" = inline(Option<Bound>), Query, description = "Last opening time."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("forming" = inline(Option<Switch>), Query, description = "`true` adds forming candles, and the column `complete`."),
        ("prices" = inline(Option<PriceType>), Query, description = "The type of prices: exact decimals (the default), doubles, or the posted text."),
    ),
    responses(
        (status = 200, description = "The file; of an unknown series, one without rows.", content_type = "application/vnd.apache.parquet",
         body = inline(ParquetBytes),
         headers(
            ("content-disposition" = String, description = "The name of the file, made of symbol, timeframe and range."),
            ("cache-control" = String, description = "`private, no-store`."),
         )),
        GetProblems,
    )
)]
pub(crate) async fn parquet(
    State(query): State<Query>,
    RawQuery(parameters): RawQuery,
    method: Method,
) -> Result<Response, Problem> {
    answer(&query, parameters, &method, (FileFormat::Parquet, Encoding::Identity)).await
}

/// Answers with the file. Its first piece is waited for, so that most failures are answered as problems.
async fn answer(
    query: &Query,
    parameters: Option<String>,
    method: &Method,
    (format, encoding): (FileFormat, Encoding),
) -> Result<Response, Problem> {
    let export = query.export(parameters.as_deref().unwrap_or_default(), format, encoding)?;
    let headers = describe(&export.file_name.disposition(), format, encoding);
    let headers = headers.map_err(|error| Problem::internal(error.to_string()))?;
    if method == Method::HEAD {
        export.head_only();
        return Ok((headers, Body::from_stream(stream::empty::<std::io::Result<Vec<u8>>>())).into_response());
    }
    let export = export.begun(FIRST_PIECE_TIMEOUT).await?;
    Ok((headers, Body::from_stream(export)).into_response())
}

fn describe(disposition: &str, format: FileFormat, encoding: Encoding) -> Result<HeaderMap, InvalidHeaderValue> {
    let content_type = match format {
        FileFormat::Csv => "text/csv; charset=utf-8; header=present",
        FileFormat::Ndjson => "application/x-ndjson",
        FileFormat::Parquet => PARQUET,
    };
    let value = HeaderValue::from_static;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CONTENT_TYPE, value(content_type));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(disposition)?);
    headers.insert(header::CACHE_CONTROL, value("private, no-store"));
    if format != FileFormat::Parquet {
        headers.insert(header::VARY, value("accept-encoding"));
    }
    if encoding != Encoding::Identity {
        headers.insert(header::CONTENT_ENCODING, value(encoding.name()));
    }
    Ok(headers)
}
