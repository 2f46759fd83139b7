//! The list of series: `/api/v1/series`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GetProblems, Problem};
use crate::http::routes::page::{self, PageRoute};
use crate::query::Query;
use crate::schema::{SeriesAfter, Switch, SymbolParameter, TimeframeParameter};

/// One series, described by its closed candles.
#[derive(Debug, ToSchema)]
#[schema(as = Series)]
#[expect(dead_code, reason = "documents the bytes that query::series writes")]
pub(crate) struct SeriesAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// Opening time of the oldest candle, in epoch milliseconds.
    #[schema(example = 1_691_020_800_000_i64)]
    first: i64,
    /// Opening time of the newest candle, in epoch milliseconds.
    #[schema(example = 1_754_215_200_000_i64)]
    last: i64,
    /// Digits after the point that nearly all of the newest 100 candles need. If there are 3 or more candles, one in twenty
    /// of them, and at least one, may have more.
    #[schema(example = 5)]
    price_precision: u32,
    /// With `stats=true`: everything that was stored by this time is counted, in epoch milliseconds; null if the series was not
    /// counted yet, as are the other statistics then.
    #[schema(required = false, example = 1_754_265_660_000_i64)]
    as_of: Option<i64>,
    /// With `stats=true`: the number of closed candles.
    #[schema(required = false, example = 13_050)]
    candles: Option<u64>,
    /// With `stats=true`: the bytes that their rows take if all of them are as large as the newest 100, without the index, free space and
    /// compression by the database.
    #[schema(required = false, example = 1_435_500)]
    bytes: Option<u64>,
    /// With `stats=true`: when the newest closed candle was stored, in epoch milliseconds; null too if the table does not keep it.
    #[schema(required = false, example = 1_754_218_861_204_i64)]
    received: Option<i64>,
    /// With `stats=true`: the months in UTC in which closed candles opened, in ascending order.
    #[schema(required = false)]
    coverage: Option<Vec<MonthCoverage>>,
}

/// The closed candles of a month in UTC.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the bytes that query::series writes")]
pub(crate) struct MonthCoverage {
    #[schema(example = "2025-08", pattern = r"^\d{4}-\d{2}$")]
    month: String,
    #[schema(example = 504, minimum = 1)]
    candles: u64,
}

/// List what is stored
///
/// An EA asks this on start, to resume after `last`; a chart, to know how many digits to draw. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/series", tag = "Series", operation_id = "get_series",
    security(("ingest_key" = []), ("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<Vec<SymbolParameter>>), Query, style = Form, explode, max_items = 100,
         nullable = false, example = json!(["EURUSD", "USDJPY"]),
         description = "Only series of this symbol; may be repeated, up to 100 times."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "H1"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 10_000,
         description = "The maximum number of series; 10000 if absent."),
        ("after" = inline(Option<SeriesAfter>), Query, example = "H1:EURUSD",
         description = "Only series after this one, `TIMEFRAME:SYMBOL`, which need not be stored."),
        ("stats" = inline(Option<Switch>), Query, example = "true",
         description = "`true` adds statistics to each series. They are counted in the background while somebody asks, so they are null at \
            first, and `as_of` says how old they are."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "The series that have closed candles, by the bytes of symbol and timeframe. There may be \
            fewer than `limit` although `x-more-after` is true.",
         body = [SeriesAnswer],
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
            ("x-more-after" = bool, description = "True if `link` leads to more."),
            ("link" = String, description = "`rel=\"next\"` where there may be more."),
         ),
         links(("ReadSeries" = (operation_id = "get_candles", description = "The candles of the first series.",
            parameters(("symbol" = "$response.body#/0/symbol"), ("timeframe" = "$response.body#/0/timeframe")))))),
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
    let found = query.series(parameters.as_deref().unwrap_or_default()).await?;
    page::answer((&query, &admission), PageRoute::Series, &headers, found).await
}
