//! Candles in and out: `/api/v1/candles`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::detach_on_drop::detach_on_drop;
use crate::http::middleware::access_log::Rows;
use crate::http::middleware::admission::{self, AdmissionControl};
use crate::http::middleware::auth::Identity;
use crate::http::problem::{DeletionProblems, GetProblems, PostProblems, Problem};
use crate::http::routes::batch_body::BatchBody;
use crate::http::routes::page::{self, JSON, NOT_KEPT, PageRoute};
use crate::ingest::{BatchFields, Conflict, Conflicts, Handling, Ingest, Receipt, Rejection};
use crate::maintain::{ChangeId, Deletion, DryRun, Maintenance};
use crate::query::Query;
use crate::schema::{AlignParameter, Bound, SymbolParameter, TimeframeParameter, UnitParameter, WeekParameter};

/// The result of a batch: received = added + duplicate + live, and + rejected if that is there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ingested {
    #[schema(example = "success")]
    status: &'static str,
    #[schema(example = "Data ingested successfully.")]
    message: &'static str,
    /// Candles in the batch.
    records_received: usize,
    /// Closed candles that were not stored before.
    records_added: usize,
    /// Candles that changed nothing.
    records_duplicate: usize,
    /// Forming candles that were stored or replaced their earlier selves.
    records_live: usize,
    /// With `Prefer: handling=lenient`: candles that were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    records_rejected: Option<usize>,
    /// With `Prefer: handling=lenient`: what is wrong with them, the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected: Option<Vec<Rejection>>,
    /// The number of duplicates that are closed candles whose values differ from what is stored, which stays; 1.1 is 1.10.
    /// Absent where none does; null where the comparison failed, though the batch is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<usize>, required = false)]
    records_conflicting: Option<ConflictCount>,
    /// The first 100 of them, and the fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    conflicts: Vec<ConflictAnswer>,
    /// The indexes of candles that were sent with `"complete":true`, or followed by a newer one of their series, although
    /// their end is still ahead. They are kept as forming, count as live, and are closed in their last state once their end
    /// has passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, example = json!([]))]
    early: Vec<usize>,
}

/// The number of duplicates that conflict, or null.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ConflictCount {
    Known(usize),
    Unknown,
}

/// A duplicate whose values differ from what is stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conflict)]
pub(crate) struct ConflictAnswer {
    /// Position of the candle in `candles`, from 0.
    index: usize,
    /// The fields that differ by value.
    #[schema(example = json!(["close", "volume"]))]
    fields: Vec<&'static str>,
}

/// One candle of an answer.
#[derive(Debug, ToSchema)]
#[schema(as = Candle)]
#[expect(dead_code, reason = "documents the bytes that query::page writes, because prices are not floats")]
pub(crate) struct CandleAnswer {
    /// When the candle opened, in epoch milliseconds.
    #[schema(example = 1_691_020_800_000_i64)]
    timestamp: i64,
    /// First price of the period, with the digits it was posted with, or without trailing zeros if it was built.
    #[schema(value_type = f64, format = "decimal", example = 1.085)]
    open: String,
    /// Highest price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.0865)]
    high: String,
    /// Lowest price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.0848)]
    low: String,
    /// Last price of the period.
    #[schema(value_type = f64, format = "decimal", example = 1.0862)]
    close: String,
    /// Ticks in the period.
    #[schema(example = 1200)]
    volume: i64,
    /// `false` on a candle that is still forming; absent on a closed one.
    #[schema(required = false)]
    complete: bool,
}

/// Post a batch of candles
///
/// The 201 is sent once the batch is durable. After any other answer, or none, sending the batch again is safe: a closed
/// candle that is stored already is counted and not changed. The body is read as JSON whatever its Content-Type.
#[utoipa::path(
    post, path = "/api/v1/candles", tag = "Candles", operation_id = "post_candles",
    security(("ingest_key" = []), ("bearer" = [])),
    params(("Prefer" = Option<String>, Header, nullable = false, example = "handling=lenient",
        description = "`handling=lenient` stores the good candles of a batch that holds bad ones.")),
    request_body(content = BatchFields<'_>, content_type = "application/json", example = json!({"candles": [{
        "symbol": "EURUSD", "timeframe": "H1", "timestamp": "2025-08-03T10:00:00Z",
        "open": "1.08500", "high": "1.08650", "low": "1.08480", "close": "1.08620", "volume": 1200, "complete": true
    }]})),
    responses(
        (status = 201, description = "The batch is stored, durably.", body = Ingested,
         headers(("preference-applied" = String, description = "`handling=lenient` where it was asked for.")),
         links(("ReadBack" = (operation_id = "get_candles", description = "The series of the first candle.",
            parameters(("symbol" = "$request.body#/candles/0/symbol"), ("timeframe" = "$request.body#/candles/0/timeframe")))))),
        PostProblems,
    )
)]
pub(crate) async fn post(
    State(ingest): State<Ingest>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: BatchBody,
) -> Result<Response, Problem> {
    let handling = handling(&headers);
    let poster = identity.name();
    // The counting and the permit for the memory survive a client that disconnects.
    let work = detach_on_drop(async move {
        let BatchBody { bytes, permits: _permits } = body;
        ingest.submit(bytes, handling, &poster).await
    });
    let receipt = admission::in_time(work).await??;
    let rows = Rows { received: receipt.received, added: receipt.added };
    let mut body = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut body, &Ingested::new(receipt, handling))
        .map_err(|error| Problem::internal(error.to_string()))?;
    let mut response = (StatusCode::CREATED, Extension(rows), [JSON], body).into_response();
    if handling == Handling::Lenient {
        response.headers_mut().insert("preference-applied", HeaderValue::from_static("handling=lenient"));
    }
    Ok(response)
}

/// Read candles
///
/// Answers candles of one series in ascending order. If more fit than `limit`, the answer holds the last ones before
/// `before` or the first ones after `after`. With neither, it holds the first ones from `from` on, and without `from` the
/// newest ones, up to `to` if that is given. With `source`, candles are built from stored ones of a shorter timeframe, and
/// their time is the start of their bucket. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/candles", tag = "Candles", operation_id = "get_candles",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("timeframe" = inline(TimeframeParameter), Query, example = "H1"),
        ("source" = inline(Option<TimeframeParameter>), Query,
         description = "A shorter stored timeframe from which candles are built; minutes and hours have to be a multiple of it."),
        ("align" = inline(Option<AlignParameter>), Query,
         description = "The start of the days of built candles: `utc` (default), `ny17`, a zone such as `Europe/Athens`, an offset such as `+03:00`, or one of these with a time, such as `America/New_York@17:00`. Only with `source`."),
        ("week" = inline(Option<WeekParameter>), Query,
         description = "Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`."),
        ("from" = inline(Option<Bound>), Query, description = "First opening time: epoch seconds, epoch milliseconds (from 10^10, or by `unit`), RFC 3339, or a date for its midnight in UTC."),
        ("to" = inline(Option<Bound>), Query, description = "Last opening time."),
        ("before" = inline(Option<Bound>), Query, description = "Only candles before this time; not with `to` or `after`."),
        ("after" = inline(Option<Bound>), Query, description = "Only candles after this time; not with `from` or `before`."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("limit" = Option<u64>, Query, minimum = 1,
         description = "The maximum number of candles, up to `MAX_LIMIT`; 1000 if absent, or `MAX_LIMIT` if both `from` and `to` are given. Built candles have a lower bound, by the 2,000,000 stored candles from which one answer is built."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "Candles in ascending order, each time once; `[]` for an unknown series.",
         body = [CandleAnswer],
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
            ("x-more-before" = bool, description = "True if the request without a limit has candles before this page."),
            ("x-more-after" = bool, description = "True if it has candles after this page."),
            ("link" = String, description = "`rel=\"prev\"` or `rel=\"next\"` where there are more."),
            ("x-skipped" = String, description = "Opening times in epoch milliseconds of stored rows that are not candles and are left out of this page, such as one whose price is NaN: the first 100, separated by commas. Absent where there are none."),
         )),
        (status = 304, description = "Nothing changed since the answer with the given ETag.",
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("x-more-before" = bool, description = "As with 200."),
            ("x-more-after" = bool, description = "As with 200."),
            ("link" = String, description = "As with 200."),
            ("x-skipped" = String, description = "As with 200."),
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
    let found = query.candles(parameters.as_deref().unwrap_or_default()).await?;
    page::answer((&query, &admission), PageRoute::Candles, &headers, found).await
}

/// Delete candles
///
/// Deletes the closed and forming candles of a series in a span, in two steps: `dry_run=true` answers what would be deleted and a
/// digest of it, and the deletion needs that digest and a reason. At most 100,000 candles. `GET /api/v1/changes`
/// answers what was deleted. A sender that posts its history again brings deleted candles back.
#[utoipa::path(
    delete, path = "/api/v1/candles", tag = "Corrections", operation_id = "delete_candles",
    security(("maintenance_key" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(SymbolParameter), Query, example = "EURUSD"),
        ("timeframe" = inline(TimeframeParameter), Query, example = "M1"),
        ("from" = inline(Bound), Query, description = "First opening time, as with `GET /api/v1/candles`."),
        ("to" = inline(Bound), Query, description = "Last opening time."),
        ("unit" = inline(Option<UnitParameter>), Query, description = "The unit of the times that are numbers: seconds or milliseconds."),
        ("dry_run" = Option<bool>, Query, nullable = false, description = "`true` deletes nothing and answers what would be deleted."),
        ("confirm" = Option<String>, Query, nullable = false, example = "9f31c2a4b07d",
         description = "The digest that the dry run answered; required without it."),
        ("reason" = Option<String>, Query, nullable = false, example = "bad feed",
         description = "1 to 200 characters, for the record; required without the dry run."),
    ),
    responses(
        (status = 200, description = "The candles were deleted, or would be.", body = DeletionAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        DeletionProblems,
    )
)]
pub(crate) async fn delete(
    State(maintenance): State<Maintenance>,
    Extension(identity): Extension<Identity>,
    RawQuery(parameters): RawQuery,
) -> Result<Response, Problem> {
    let actor = identity.name();
    // Counted and recorded even if the client disconnects.
    let work =
        detach_on_drop(async move { maintenance.delete(parameters.as_deref().unwrap_or_default(), &actor).await });
    let answer = DeletionAnswer::from(admission::in_time(work).await??);
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([JSON], [NOT_KEPT], body).into_response())
}

/// The candles that a deletion deleted, or would delete.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deletion)]
pub(crate) struct DeletionAnswer {
    /// `success`, or `dry_run`.
    #[schema(example = "dry_run")]
    status: &'static str,
    /// With `dry_run`: the number of candles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1440)]
    matched: Option<u64>,
    /// Without it: the number of candles that were deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    records_deleted: Option<u64>,
    /// Opening time of the first candle, in epoch milliseconds; null where there is none.
    #[schema(example = 1_754_006_400_000_i64, required = true)]
    first: Option<i64>,
    /// Opening time of the last candle.
    #[schema(example = 1_754_092_740_000_i64, required = true)]
    last: Option<i64>,
    /// With `dry_run`: the digest to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "9f31c2a4b07d")]
    confirm: Option<String>,
    /// Without it: the id of the change in the record; absent where there was nothing to delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    change: Option<ChangeId>,
}

impl From<Deletion> for DeletionAnswer {
    fn from(deletion: Deletion) -> Self {
        match deletion {
            Deletion::DryRun(DryRun { matched }) => Self {
                status: "dry_run",
                matched: Some(matched.candles()),
                records_deleted: None,
                first: matched.first,
                last: matched.last,
                confirm: Some(matched.digest),
                change: None,
            },
            Deletion::Done { matched, change } => Self {
                status: "success",
                matched: None,
                records_deleted: Some(matched.candles()),
                first: matched.first,
                last: matched.last,
                confirm: None,
                change,
            },
        }
    }
}

/// Capacity for the answer to a batch of which nothing has to be listed.
const ANSWER_BYTES: usize = 256;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Parses `Prefer` (RFC 7240): preferences separated by commas, names in any case, of which the first of each counts.
fn handling(headers: &HeaderMap) -> Handling {
    let handling = |preference: &str| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("handling").then(|| value.eq_ignore_ascii_case("lenient"))
    };
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    match preferences.flat_map(|value| value.split(',')).find_map(handling) {
        Some(true) => Handling::Lenient,
        Some(false) | None => Handling::Strict,
    }
}

impl Ingested {
    fn new(receipt: Receipt, handling: Handling) -> Self {
        let lenient = handling == Handling::Lenient;
        let (records_conflicting, conflicts) = match receipt.conflicts {
            Conflicts::Known { count, first } => ((count > 0).then_some(ConflictCount::Known(count)), first),
            Conflicts::Unknown => (Some(ConflictCount::Unknown), Vec::new()),
        };
        let answer = |Conflict { index, fields }| ConflictAnswer { index, fields };
        Self {
            status: "success",
            message: "Data ingested successfully.",
            records_received: receipt.received,
            records_added: receipt.added,
            records_duplicate: receipt.duplicate,
            records_live: receipt.forming,
            records_rejected: lenient.then_some(receipt.rejected),
            rejected: lenient.then_some(receipt.rejections),
            records_conflicting,
            conflicts: conflicts.into_iter().map(answer).collect(),
            early: receipt.early,
        }
    }
}
