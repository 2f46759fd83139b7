//! Candles for charts of TradingView's, in its Universal Data Feed protocol: `/api/v1/udf/…`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::errors::sentence;
use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{self, Code, Problem};
use crate::http::routes::page::{self, JSON, NOT_KEPT, PageRoute};
use crate::query::{Query, QueryError, UdfRoute, udf_failure};
use crate::schema::SymbolParameter;

/// A fault of the question.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfError)]
pub(crate) struct ErrorAnswer {
    /// Always `error`.
    #[schema(example = "error", pattern = "^error$")]
    s: String,
    /// A sentence that says what is wrong; `unknown_symbol` for a symbol of which nothing is stored.
    #[schema(example = "unknown_symbol")]
    errmsg: String,
}

/// The abilities of the service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfConfiguration)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(crate) struct ConfigurationAnswer {
    supports_search: bool,
    supports_group_request: bool,
    supports_marks: bool,
    supports_timescale_marks: bool,
    supports_time: bool,
    /// Those that any stored symbol has, in minutes, and days, weeks and months.
    #[schema(example = json!(["1", "5", "15", "30", "60", "240", "1D", "1W", "1M"]))]
    supported_resolutions: Vec<String>,
    exchanges: Vec<ExchangeAnswer>,
    symbols_types: Vec<TypeAnswer>,
}

/// An exchange of `SYMBOLS_FILE`, or all of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfExchange)]
pub(crate) struct ExchangeAnswer {
    #[schema(example = "ICM")]
    value: String,
    #[schema(example = "ICM")]
    name: String,
    #[schema(example = "ICM")]
    desc: String,
}

/// A type of `SYMBOLS_FILE`, or all of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfSymbolType)]
pub(crate) struct TypeAnswer {
    #[schema(example = "forex")]
    name: String,
    #[schema(example = "forex")]
    value: String,
}

/// The description of a symbol.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfSymbolInfo)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(crate) struct SymbolInfoAnswer {
    #[schema(example = "EURUSD")]
    name: String,
    #[schema(example = "EURUSD")]
    ticker: String,
    #[schema(example = "Euro / US Dollar")]
    description: String,
    #[serde(rename = "type")]
    #[schema(example = "forex")]
    kind: String,
    #[schema(example = "ICM")]
    exchange: String,
    #[schema(example = "ICM")]
    listed_exchange: String,
    /// The hours of trading in TradingView's notation.
    #[schema(example = "1700-1700")]
    session: String,
    #[schema(example = "America/New_York")]
    timezone: String,
    #[schema(example = "price")]
    format: String,
    #[schema(example = 1)]
    minmov: u32,
    /// 10 to the power of the number of decimal places.
    #[schema(example = 100_000)]
    pricescale: u64,
    has_intraday: bool,
    /// The stored timeframes below a day, in minutes. Charts build the others from these.
    #[schema(example = json!(["1", "60"]))]
    intraday_multipliers: Vec<String>,
    has_seconds: bool,
    has_daily: bool,
    has_weekly_and_monthly: bool,
    /// The resolutions that are stored or can be built.
    #[schema(example = json!(["1", "5", "60", "1D", "1W", "1M"]))]
    supported_resolutions: Vec<String>,
    #[schema(example = "ohlcv")]
    visible_plots_set: String,
    #[schema(example = 0)]
    volume_precision: u32,
    #[schema(example = "streaming")]
    data_status: String,
}

/// The description, or an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfSymbol)]
#[serde(untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "documents what query::udf writes, and is never made")]
pub(crate) enum SymbolAnswer {
    Info(SymbolInfoAnswer),
    Error(ErrorAnswer),
}

/// A symbol that a search found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfSearchResult)]
pub(crate) struct SearchResultAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "EURUSD")]
    full_name: String,
    #[schema(example = "EURUSD")]
    ticker: String,
    #[schema(example = "Euro / US Dollar")]
    description: String,
    #[schema(example = "ICM")]
    exchange: String,
    #[serde(rename = "type")]
    #[schema(example = "forex")]
    kind: String,
}

/// The symbols, or an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfSearch)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what query::udf writes")]
pub(crate) enum SearchAnswer {
    Found(Vec<SearchResultAnswer>),
    Error(ErrorAnswer),
}

/// Bars as columns of one length, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfBars)]
pub(crate) struct BarsAnswer {
    /// Always `ok`.
    #[schema(example = "ok", pattern = "^ok$")]
    s: String,
    /// The times of the bars in epoch seconds. That of a day is 00:00 UTC of its trading date.
    #[schema(example = json!([1_754_265_600, 1_754_265_660]))]
    t: Vec<i64>,
    /// First prices, with the digits that are stored.
    #[schema(example = json!([1.1581, 1.15812]))]
    o: Vec<f64>,
    /// Highest prices.
    #[schema(example = json!([1.15815, 1.1582]))]
    h: Vec<f64>,
    /// Lowest prices.
    #[schema(example = json!([1.158, 1.15809]))]
    l: Vec<f64>,
    /// Last prices.
    #[schema(example = json!([1.15801, 1.15811]))]
    c: Vec<f64>,
    /// Ticks.
    #[schema(example = json!([412, 380]))]
    v: Vec<i64>,
}

/// The answer where there are no bars.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfNoData)]
pub(crate) struct NoDataAnswer {
    /// Always `no_data`.
    #[schema(example = "no_data", pattern = "^no_data$")]
    s: String,
    /// The time of the nearest earlier bar in epoch seconds; absent where there is none.
    #[serde(rename = "nextTime", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1_754_265_660)]
    next_time: Option<i64>,
    /// The same time, under the name that TradingView's own servers read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1_754_265_660)]
    nb: Option<i64>,
}

/// Bars, none, or an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfHistory)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what query::udf writes")]
pub(crate) enum HistoryAnswer {
    Bars(BarsAnswer),
    NoData(NoDataAnswer),
    Error(ErrorAnswer),
}

/// Marks on bars as columns of one length, in the order of their times.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfBarMarks)]
pub(crate) struct BarMarksAnswer {
    #[schema(example = json!(["41-1754265660000"]))]
    id: Vec<String>,
    /// The times of the bars in epoch seconds.
    #[schema(example = json!([1_754_265_660]))]
    time: Vec<i64>,
    /// `yellow` for corrections and `red` for deletions.
    #[schema(example = json!(["yellow"]))]
    color: Vec<String>,
    #[schema(example = json!(["corrected: high 1.16510 → 1.15610"]))]
    text: Vec<String>,
    /// `C` for corrections and `D` for deletions.
    #[schema(example = json!(["C"]))]
    label: Vec<String>,
    #[serde(rename = "labelFontColor")]
    #[schema(example = json!(["black"]))]
    label_font_color: Vec<String>,
    /// In pixels.
    #[serde(rename = "minSize")]
    #[schema(example = json!([14]))]
    min_size: Vec<u32>,
}

/// The marks, or an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfMarks)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what query::udf writes")]
pub(crate) enum MarksAnswer {
    Marks(BarMarksAnswer),
    Error(ErrorAnswer),
}

/// A mark on the time axis.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfTimescaleMark)]
pub(crate) struct TimescaleMarkAnswer {
    #[schema(example = "41-1754265660000")]
    id: String,
    /// In epoch seconds.
    #[schema(example = 1_754_265_660)]
    time: i64,
    #[schema(example = "yellow")]
    color: String,
    #[schema(example = "C")]
    label: String,
    /// The change and its reason.
    #[schema(example = json!(["corrected: high 1.16510 → 1.15610", "reason: bad tick"]))]
    tooltip: Vec<String>,
}

/// The marks, or an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UdfTimescaleMarks)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what query::udf writes")]
pub(crate) enum TimescaleMarksAnswer {
    Marks(Vec<TimescaleMarkAnswer>),
    Error(ErrorAnswer),
}

/// Defines the schema of a resolution.
macro_rules! resolutions {
    ($name:ident, $($days:literal),+) => {
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let names = [
                    "1", "2", "3", "4", "5", "6", "10", "12", "15", "20", "30", "60", "120", "180", "240", "360", "480", "720",
                    $($days),+
                ];
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }
    };
}
resolutions!(HistoryResolution, "D", "1D");
resolutions!(MarksResolution, "D", "1D", "W", "1W", "M", "1M");

/// The answers other than 200. What is wrong with the question itself is answered with 200, as the protocol has it.
pub(crate) struct UdfResponses;

impl IntoResponses for UdfResponses {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut answers =
            problem::responses(&[Code::Unauthorized, Code::WrongScope, Code::Internal, Code::Unavailable]);
        let text = ObjectBuilder::new().schema_type(Type::String);
        let tag = HeaderBuilder::new().schema(Some(text)).description(Some("Weak tag of this answer.")).build();
        let unchanged = ResponseBuilder::new()
            .description("Nothing changed since the answer with the given ETag.")
            .header("etag", tag)
            .build();
        answers.insert("304".to_owned(), RefOr::T(unchanged));
        answers
    }
}

/// Read what the service can do for a chart
#[utoipa::path(
    get, path = "/api/v1/udf/config", tag = "TradingView", operation_id = "udf_config",
    security(("internal_token" = []), ("bearer" = [])),
    params(("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer.")),
    responses(
        (status = 200, description = "Resolutions, and the exchanges and types of `SYMBOLS_FILE`.", body = ConfigurationAnswer,
         headers(("etag" = String, description = "Weak tag of this answer."))),
        UdfResponses,
    )
)]
pub(crate) async fn config(query: State<Query>, admission: State<Arc<AdmissionControl>>, headers: HeaderMap) -> Answer {
    answer((query, admission), UdfRoute::Config, RawQuery(None), &headers).await
}

/// Describe a symbol to a chart
#[utoipa::path(
    get, path = "/api/v1/udf/symbols", tag = "TradingView", operation_id = "udf_symbols",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The description, or `unknown_symbol`.", body = SymbolAnswer,
         headers(("etag" = String, description = "Weak tag of this answer; absent on errors."))),
        UdfResponses,
    )
)]
pub(crate) async fn symbols(
    query: State<Query>,
    admission: State<Arc<AdmissionControl>>,
    parameters: RawQuery,
    headers: HeaderMap,
) -> Answer {
    answer((query, admission), UdfRoute::Symbols, parameters, &headers).await
}

/// Search symbols
#[utoipa::path(
    get, path = "/api/v1/udf/search", tag = "TradingView", operation_id = "udf_search",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("query" = Option<String>, Query, nullable = false, example = "usd", description = "A part of the symbol, in any case; all symbols if it is empty or absent."),
        ("type" = Option<String>, Query, nullable = false, example = "forex", description = "Only symbols of this type, unless it is empty."),
        ("exchange" = Option<String>, Query, nullable = false, example = "ICM", description = "Only symbols of this exchange, unless it is empty."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "The maximum number of symbols; 30 if absent."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The symbols that have closed candles and contain the text, those that begin with it first.", body = SearchAnswer,
         headers(("etag" = String, description = "Weak tag of this answer; absent on errors."))),
        UdfResponses,
    )
)]
pub(crate) async fn search(
    query: State<Query>,
    admission: State<Arc<AdmissionControl>>,
    parameters: RawQuery,
    headers: HeaderMap,
) -> Answer {
    answer((query, admission), UdfRoute::Search, parameters, &headers).await
}

/// Read bars
///
/// Forming candles count. A resolution that is not stored is built from shorter candles. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/udf/history", tag = "TradingView", operation_id = "udf_history",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("resolution" = inline(HistoryResolution), Query, example = "60", description = "Minutes, or a day. Charts build weeks and months from days."),
        ("from" = Option<i64>, Query, nullable = false, example = 1_754_215_200, description = "The first time in epoch seconds; required without `countback`."),
        ("to" = i64, Query, example = 1_754_265_660, description = "The last time in epoch seconds, inclusive; exclusive with `countback`."),
        ("countback" = Option<u64>, Query, nullable = false, description = "The number of bars before `to`. It outranks `from`."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "Bars in ascending order, the newest `MAX_LIMIT` of those that are asked for; `no_data` where there are none.",
         body = HistoryAnswer,
         headers(
            ("etag" = String, description = "Weak tag of this answer; absent on errors."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
            ("x-more-before" = bool, description = "True if earlier bars are asked for than one answer holds."),
            ("link" = String, description = "`rel=\"prev\"` where there are."),
            ("x-skipped" = String, description = "Opening times in epoch milliseconds of stored rows that are left out, as with `GET /api/v1/candles`."),
         )),
        UdfResponses,
    )
)]
pub(crate) async fn history(
    query: State<Query>,
    admission: State<Arc<AdmissionControl>>,
    parameters: RawQuery,
    headers: HeaderMap,
) -> Answer {
    answer((query, admission), UdfRoute::History, parameters, &headers).await
}

/// Read marks on bars: corrections and deletions
#[utoipa::path(
    get, path = "/api/v1/udf/marks", tag = "TradingView", operation_id = "udf_marks",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("from" = i64, Query, example = 1_754_215_200, description = "The first time in epoch seconds."),
        ("to" = i64, Query, example = 1_754_265_660, description = "The last time in epoch seconds."),
        ("resolution" = inline(MarksResolution), Query, example = "60", description = "The resolution of the chart. If it is built, the changes are those of the candles that it is built from."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
    ),
    responses(
        (status = 200, description = "A mark for each candle that was corrected, or one for a correction of more than 20 candles or a deletion.", body = MarksAnswer,
         headers(
            ("etag" = String, description = "Weak tag of this answer; absent on errors."),
            ("x-more-before" = bool, description = "True if there are more than 500 changes, of which the last ones are answered."),
            ("link" = String, description = "`rel=\"prev\"` where there are."),
         )),
        UdfResponses,
    )
)]
pub(crate) async fn marks(
    query: State<Query>,
    admission: State<Arc<AdmissionControl>>,
    parameters: RawQuery,
    headers: HeaderMap,
) -> Answer {
    answer((query, admission), UdfRoute::Marks, parameters, &headers).await
}

/// Read marks on the time axis: corrections and deletions
#[utoipa::path(
    get, path = "/api/v1/udf/timescale_marks", tag = "TradingView", operation_id = "udf_timescale_marks",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("from" = i64, Query, example = 1_754_215_200, description = "The first time in epoch seconds."),
        ("to" = i64, Query, example = 1_754_265_660, description = "The last time in epoch seconds."),
        ("resolution" = inline(MarksResolution), Query, example = "60", description = "As with `GET /api/v1/udf/marks`."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The marks of `GET /api/v1/udf/marks`, with the reasons of the changes.", body = TimescaleMarksAnswer,
         headers(
            ("etag" = String, description = "Weak tag of this answer; absent on errors."),
            ("x-more-before" = bool, description = "True if there are more than 500 changes, of which the last ones are answered."),
            ("link" = String, description = "`rel=\"prev\"` where there are."),
         )),
        UdfResponses,
    )
)]
pub(crate) async fn timescale_marks(
    query: State<Query>,
    admission: State<Arc<AdmissionControl>>,
    parameters: RawQuery,
    headers: HeaderMap,
) -> Answer {
    answer((query, admission), UdfRoute::TimescaleMarks, parameters, &headers).await
}

/// Read the server's time
#[utoipa::path(
    get, path = "/api/v1/udf/time", tag = "TradingView", operation_id = "udf_time",
    security(("internal_token" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Epoch seconds, as text.", body = String, content_type = "text/plain",
         headers(("cache-control" = String, description = "`private, no-store`."))),
        UdfTimeProblems,
    )
)]
pub(crate) async fn time(State(query): State<Query>) -> Response {
    ([NOT_KEPT], query.udf_time().to_string()).into_response()
}

/// The problems of a route that reads nothing.
pub(crate) struct UdfTimeProblems;

impl IntoResponses for UdfTimeProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problem::responses(&[Code::Unauthorized, Code::WrongScope])
    }
}

type Answer = Result<Response, Problem>;

async fn answer(
    (State(query), State(admission)): (State<Query>, State<Arc<AdmissionControl>>),
    route: UdfRoute,
    RawQuery(parameters): RawQuery,
    headers: &HeaderMap,
) -> Answer {
    match query.udf(route, parameters.as_deref().unwrap_or_default()).await {
        Ok(found) => page::answer((&query, &admission), PageRoute::Udf(route), headers, found).await,
        Err(error @ QueryError::Invalid(_)) => Ok(([JSON], [NOT_KEPT], udf_failure(&sentence(&error))).into_response()),
        Err(error) => Err(error.into()),
    }
}
