//! The record of changes: `/api/v1/changes`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GetProblems, Problem};
use crate::http::routes::candles::CandleAnswer;
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::maintain::Maintenance;
use crate::schema::{SymbolParameter, TimeframeParameter};

/// A change of stored history.
#[derive(Debug, ToSchema)]
#[schema(as = Change)]
#[expect(dead_code, reason = "documents what maintain::ChangesPage serializes as")]
pub(crate) struct ChangeAnswer {
    /// Orders the record.
    #[schema(example = "41")]
    id: String,
    /// The time of the change, in epoch milliseconds.
    #[schema(example = 1_754_265_675_120_i64)]
    at: i64,
    /// The name of the key, or of the user who ran the command.
    #[schema(example = "ops")]
    actor: String,
    /// `correction`, `deletion`, `retention` or `import`.
    #[schema(example = "correction")]
    kind: String,
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// Opening time of the first candle, in epoch milliseconds.
    #[schema(example = 1_754_215_200_000_i64)]
    from: i64,
    /// Opening time of the last candle.
    #[schema(example = 1_754_215_200_000_i64)]
    to: i64,
    /// The number of candles.
    #[schema(example = 1)]
    candles: i64,
    #[schema(example = "bad tick")]
    reason: String,
    /// The candles before a correction or deletion; absent on deletions of more than 1,000.
    #[schema(required = false)]
    before: Vec<CandleAnswer>,
    /// The candles after a correction.
    #[schema(required = false)]
    after: Vec<CandleAnswer>,
    /// The file that an import came from.
    #[schema(required = false, value_type = Object)]
    source: String,
}

/// Read the record of changes
///
/// Answers corrections, deletions and imports in the order of their ids. A page that is large ends before `limit`, so ask with
/// `after` set to the last id until the answer is empty. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/changes", tag = "Corrections", operation_id = "get_changes",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<SymbolParameter>), Query, example = "EURUSD", description = "Only changes of this symbol."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "H1", description = "Only changes of this timeframe."),
        ("after" = Option<u64>, Query, minimum = 0, maximum = 9_223_372_036_854_775_807_u64, description = "Only changes with a higher id."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Maximum number of changes; 100 if absent."),
    ),
    responses(
        (status = 200, description = "Changes, ascending.", body = [ChangeAnswer],
         headers(("cache-control" = String, description = "`private, no-store`."))),
        GetProblems,
    )
)]
pub(crate) async fn get(
    State(maintenance): State<Maintenance>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(parameters): RawQuery,
) -> Result<Response, Problem> {
    let page = maintenance.changes(parameters.as_deref().unwrap_or_default()).await?;
    let body = page.body()?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(body.into())?).into_response())
}
