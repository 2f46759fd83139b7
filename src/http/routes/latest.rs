//! The newest candle of every series: `/api/v1/latest`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GetProblems, Problem};
use crate::http::routes::page::{self, PageRoute};
use crate::query::Query;
use crate::schema::{SeriesAfter, SymbolParameter, TimeframeParameter};

/// The newest candle of a series.
#[derive(Debug, ToSchema)]
#[schema(as = LatestCandle)]
#[expect(dead_code, reason = "documents the bytes that query::latest writes, because prices are not floats")]
pub(crate) struct LatestAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "M1")]
    timeframe: String,
    /// When the candle opened, in epoch milliseconds.
    #[schema(example = 1_754_265_660_000_i64)]
    timestamp: i64,
    /// First price of the period, with the digits it was posted with.
    #[schema(value_type = f64, format = "decimal", example = 1.1581)]
    open: String,
    /// Highest price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.15815)]
    high: String,
    /// Lowest price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.158)]
    low: String,
    /// Last price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.15801)]
    close: String,
    /// Ticks in the period.
    #[schema(example = 412)]
    volume: i64,
    /// `false` on a candle that is still forming; absent on a closed one.
    #[schema(required = false)]
    complete: bool,
    /// When it was stored, in epoch milliseconds; null in a table of another program that does not keep it.
    #[schema(required = true, example = 1_754_265_671_204_i64)]
    received: Option<i64>,
}

/// Read the newest candle of every series
///
/// Forming candles count. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/latest", tag = "Candles", operation_id = "get_latest",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<Vec<SymbolParameter>>), Query, style = Form, explode, max_items = 100,
         nullable = false, example = json!(["EURUSD", "USDJPY"]),
         description = "Only series of this symbol; may be repeated, up to 100 times."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "M1"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 10_000,
         description = "Most series to answer; 10000 if absent."),
        ("after" = inline(Option<SeriesAfter>), Query, example = "M1:EURUSD",
         description = "Only series after this one, `TIMEFRAME:SYMBOL`, which need not be stored."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "One candle for each series that has closed or forming ones, by the bytes of symbol and \
            timeframe. There may be fewer than `limit` although `x-more-after` is true.",
         body = [LatestAnswer],
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
            ("x-more-after" = bool, description = "True if `link` leads to more."),
            ("link" = String, description = "`rel=\"next\"` where there may be more."),
         )),
        (status = 304, description = "Nothing changed since the answer with the given ETag.",
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("x-more-after" = bool, description = "As with 200."),
            ("link" = String, description = "As with 200."),
         )),
        GetProblems,
    )
)]
pub(crate) async fn get(
    State(query): State<Query>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = query.latest(parameters.as_deref().unwrap_or_default()).await?;
    page::answer((&query, &admission), PageRoute::Latest, &headers, found).await
}
