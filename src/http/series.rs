//! What is stored: `/api/v1/series`.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::candles::GetProblems;
use super::problem::Problem;
use crate::schema::{SymbolParameter, TimeframeParameter};
use crate::store;

/// What is known of one series from its closed candles.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Series {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// When the oldest candle opened, in epoch milliseconds.
    #[schema(example = 1_691_020_800_000_i64)]
    first: i64,
    /// When the newest candle opened, in epoch milliseconds.
    #[schema(example = 1_754_215_200_000_i64)]
    last: i64,
    /// Most digits behind the point among the prices of the newest candles.
    #[schema(example = 5)]
    price_precision: u32,
}

impl From<store::Series> for Series {
    fn from(series: store::Series) -> Self {
        let store::Series { symbol, timeframe, first, last, price_precision } = series;
        Self { symbol, timeframe, first, last, price_precision }
    }
}

/// List what is stored
///
/// An EA asks this on start, to resume after `last`; a chart, to know how many digits to draw. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/series", tag = "Series", operation_id = "get_series",
    security(("ingest_key" = []), ("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<SymbolParameter>), Query, example = "EURUSD"),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "H1"),
    ),
    responses(
        (status = 200, description = "The series that have closed candles, by symbol and timeframe.", body = [Series],
         links(("ReadSeries" = (operation_id = "get_candles", description = "The candles of the first series.",
            parameters(("symbol" = "$response.body#/0/symbol"), ("timeframe" = "$response.body#/0/timeframe")))))),
        GetProblems,
    )
)]
pub(super) async fn get(State(app): State<AppState>, RawQuery(parameters): RawQuery) -> Result<Response, Problem> {
    let series = app.query.series(parameters.as_deref().unwrap_or_default()).await?;
    let series: Vec<Series> = series.into_iter().map(Series::from).collect();
    let answer = serde_json::to_vec(&series).map_err(|error| Problem::internal(error.to_string()))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], app.capacity.hold(answer.into())?).into_response())
}
