//! Corrections of stored candles: `/api/v1/corrections`.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::detach_on_drop::detach_on_drop;
use crate::http::middleware::admission;
use crate::http::middleware::auth::Identity;
use crate::http::problem::{CorrectionProblems, Problem};
use crate::http::routes::batch_body::BatchBody;
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::maintain::{ChangeId, Corrected, Maintenance};
use crate::schema;

/// Corrections of closed candles. As with a batch, `symbol`, `timeframe`, `unit` and `utc_offset` may be given beside
/// `candles`.
#[derive(Debug, ToSchema)]
#[schema(as = Corrections)]
#[expect(dead_code, reason = "documents the body that maintain::corrections parses")]
pub(crate) struct CorrectionsBody {
    #[schema(schema_with = schema::symbol, required = false)]
    symbol: String,
    #[schema(schema_with = schema::timeframe, required = false)]
    timeframe: String,
    #[schema(schema_with = schema::unit, required = false)]
    unit: String,
    #[schema(schema_with = schema::utc_offset, required = false)]
    utc_offset: String,
    /// Why, in 1 to 200 characters; for the record.
    #[schema(min_length = 1, max_length = 200, example = "bad tick")]
    reason: String,
    /// 1 to 1,000 candles with the values that they are to have.
    #[schema(min_items = 1, max_items = 1000)]
    candles: Vec<CorrectionCandle>,
}

/// A candle with the values that it is to have.
#[derive(Debug, ToSchema)]
#[schema(as = Correction)]
#[expect(dead_code, reason = "documents the body that maintain::corrections parses")]
pub(crate) struct CorrectionCandle {
    #[schema(schema_with = schema::symbol, required = false)]
    symbol: String,
    #[schema(schema_with = schema::timeframe, required = false)]
    timeframe: String,
    #[schema(schema_with = schema::timestamp, required = false)]
    timestamp: String,
    #[schema(schema_with = schema::open, required = true)]
    open: String,
    #[schema(schema_with = schema::high, required = true)]
    high: String,
    #[schema(schema_with = schema::low, required = true)]
    low: String,
    #[schema(schema_with = schema::close, required = true)]
    close: String,
    #[schema(schema_with = schema::volume, required = false)]
    volume: String,
    /// The values that have to be stored until then: any of open, high, low, close and volume.
    #[schema(required = false, value_type = Object, example = json!({"high": 1.165}))]
    expect: String,
}

/// The result of a correction: received = corrected + unchanged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Corrected)]
pub(crate) struct CorrectedAnswer {
    #[schema(example = "success")]
    status: &'static str,
    #[schema(example = "Corrections stored.")]
    message: &'static str,
    /// Candles in the request.
    records_received: usize,
    /// Candles that have other values now, or the same ones with other digits.
    records_corrected: usize,
    /// Candles that had these values already.
    records_unchanged: usize,
    /// The id of the last row that the record gained; null where nothing changed.
    #[schema(value_type = Option<String>, required = true, example = "41")]
    change: Option<ChangeId>,
    /// The ids of all rows that it gained, where there are several: one for each series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    changes: Vec<ChangeId>,
}

impl From<Corrected> for CorrectedAnswer {
    fn from(corrected: Corrected) -> Self {
        let changes = corrected.changes;
        Self {
            status: "success",
            message: "Corrections stored.",
            records_received: corrected.received,
            records_corrected: corrected.corrected,
            records_unchanged: corrected.unchanged,
            change: changes.last().copied(),
            changes: if changes.len() > 1 { changes } else { Vec::new() },
        }
    }
}

/// Correct stored candles
///
/// Gives stored closed candles other values, all of them or none. A candle that is not stored, or is not what `expect` says,
/// refuses the request. Digits count: 1.1 becomes 1.10. `GET /api/v1/changes` answers the values before and after.
#[utoipa::path(
    post, path = "/api/v1/corrections", tag = "Corrections", operation_id = "post_corrections",
    security(("maintenance_key" = []), ("bearer" = [])),
    request_body(content = CorrectionsBody, content_type = "application/json", example = json!({"reason": "bad tick", "candles": [{
        "symbol": "EURUSD", "timeframe": "H1", "timestamp": "2025-08-03T10:00:00Z",
        "open": "1.08500", "high": "1.08650", "low": "1.08480", "close": "1.08620", "volume": 1200, "expect": {"high": "1.18650"}
    }]})),
    responses(
        (status = 200, description = "The candles have these values, durably.", body = CorrectedAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        CorrectionProblems,
    )
)]
pub(crate) async fn post(
    State(maintenance): State<Maintenance>,
    Extension(identity): Extension<Identity>,
    body: BatchBody,
) -> Result<Response, Problem> {
    let actor = identity.name();
    // The change and its record are counted even if the client disconnects.
    let work = detach_on_drop(async move {
        let BatchBody { bytes, permits: _permits } = body;
        maintenance.correct(&bytes, &actor).await
    });
    let answer = CorrectedAnswer::from(admission::in_time(work).await??);
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([JSON], [NOT_KEPT], body).into_response())
}
