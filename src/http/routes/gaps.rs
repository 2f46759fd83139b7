//! A report on the gaps of a series: `/api/v1/gaps`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GapProblems, Problem};
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::query::Query;
use crate::schema::{Bound, SymbolParameter, TimeframeParameter, UnitParameter};

/// The gaps of a series in a range.
#[derive(Debug, ToSchema)]
#[schema(as = Gaps)]
#[expect(dead_code, reason = "documents what query::GapsAnswer serializes as")]
pub(crate) struct GapsAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "M1")]
    timeframe: String,
    /// First instant of the range, in epoch milliseconds.
    #[schema(example = 1_751_320_800_000_i64)]
    from: i64,
    /// Last instant of the range, in epoch milliseconds.
    #[schema(example = 1_753_999_200_000_i64)]
    to: i64,
    session: SessionAnswer,
    /// The number of periods in which a candle is expected.
    #[schema(example = 31_670)]
    expected: u64,
    /// The number of those that hold one.
    #[schema(example = 31_250)]
    stored: u64,
    /// `stored` divided by `expected`, to five places; null where nothing is expected.
    #[schema(required = true, example = 0.98674)]
    coverage: Option<f64>,
    /// Runs of expected periods without a candle, oldest first.
    gaps: Vec<GapAnswer>,
    /// True if there are more than `limit`.
    more: bool,
}

/// The periods in which candles are expected.
#[derive(Debug, ToSchema)]
#[schema(as = GapSession)]
#[expect(dead_code, reason = "documents what query::GapsAnswer serializes as")]
pub(crate) struct SessionAnswer {
    /// `learned`, `24x7` or `given`.
    #[schema(example = "learned")]
    source: String,
    /// The given session; absent on others.
    #[schema(required = false, example = "1700-1700:23456")]
    hours: String,
    /// The zone by which the week is counted.
    #[schema(example = "America/New_York")]
    timezone: String,
    /// The number of weeks with candles from which the week was learned; absent on others.
    #[schema(required = false, example = 26)]
    weeks: u32,
    /// The number of expected periods in a week.
    #[schema(example = 7198)]
    expected_per_week: u32,
}

/// A run of expected periods without a candle.
#[derive(Debug, ToSchema)]
#[schema(as = Gap)]
#[expect(dead_code, reason = "documents what query::GapsAnswer serializes as")]
pub(crate) struct GapAnswer {
    /// Opening time of its first period, in epoch milliseconds.
    #[schema(example = 1_751_554_800_000_i64)]
    from: i64,
    /// Opening time of its last period.
    #[schema(example = 1_751_576_340_000_i64)]
    to: i64,
    /// The number of its periods.
    #[schema(example = 360)]
    missing: u64,
    /// `closure` where a whole trading day is missing, or the last quarter of one or more, which holidays look like; else
    /// `hole`.
    #[schema(example = "closure")]
    kind: String,
}

/// Find the gaps of a series
///
/// Compares the candles of a range with the periods in which they are expected. Nothing is filled. A report takes one of the places
/// of exports. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/gaps", tag = "Exports", operation_id = "get_gaps",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("timeframe" = inline(TimeframeParameter), Query, example = "M1", description = "W1 or shorter."),
        ("from" = inline(Bound), Query, description = "First opening time, as with `GET /api/v1/candles`."),
        ("to" = inline(Bound), Query, description = "Last opening time, at most 600,000 periods after `from`."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("session" = Option<String>, Query, nullable = false, example = "24x7",
         description = "When candles are expected: `learned` from the 26 weeks before `to` (the default), `24x7`, or a session in \
            TradingView's notation such as `1700-1700:23456`."),
        ("tz" = Option<String>, Query, nullable = false, example = "America/New_York",
         description = "The zone by which the week is counted: of the IANA database, `utc`, or an offset such as `+03:00`; \
            `America/New_York` if absent."),
        ("min" = Option<u64>, Query, minimum = 1, maximum = 600_000, description = "Minimum number of periods of a gap that is listed; 1 if absent."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 10_000, description = "Maximum number of gaps to list; 1000 if absent."),
    ),
    responses(
        (status = 200, description = "The report.", body = GapsAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        GapProblems,
    )
)]
pub(crate) async fn get(
    State(query): State<Query>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(parameters): RawQuery,
) -> Result<Response, Problem> {
    let report = query.gaps(parameters.as_deref().unwrap_or_default()).await?;
    let body = serde_json::to_vec(&report).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(body.into())?).into_response())
}
