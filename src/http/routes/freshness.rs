//! A verdict for monitors on the age of what is stored: `/api/v1/freshness`.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::http::middleware::access_log::Verdict;
use crate::http::problem::{GapProblems, Problem};
use crate::http::routes::page::JSON;
use crate::query::{Freshness, Query};
use crate::schema::{SymbolParameter, TimeframeParameter};

/// The verdict on the series that a request selects.
#[derive(Debug, ToSchema)]
#[schema(as = Freshness)]
#[expect(dead_code, reason = "documents what query::Freshness serializes as")]
pub(crate) struct FreshnessAnswer {
    /// With 200 `fresh` or `closed`, with 503 `stale` or `empty`.
    #[schema(example = "fresh")]
    status: String,
    /// Seconds since the series that has waited longest received something; absent if there is no series.
    #[schema(required = false, example = 12)]
    age: i64,
    /// The number of series, if they are not stale.
    #[schema(required = false, example = 8)]
    series: usize,
    /// The series that has waited longest, if it is stale.
    #[schema(required = false)]
    worst: WorstAnswer,
}

/// A series.
#[derive(Debug, ToSchema)]
#[schema(as = StaleSeries)]
#[expect(dead_code, reason = "documents what query::Worst serializes as")]
pub(crate) struct WorstAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "M1")]
    timeframe: String,
}

/// The parameter `session`.
#[derive(Debug)]
struct LearnedParameter;

impl PartialSchema for LearnedParameter {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["learned"])).into()
    }
}

/// The answers other than 200: the problems of a read, and the verdict that shares its status with some of them.
struct NotFresh;

impl IntoResponses for NotFresh {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut answers = GapProblems::responses();
        if let Some(RefOr::T(unavailable)) = answers.get_mut(StatusCode::SERVICE_UNAVAILABLE.as_str()) {
            let verdict = ContentBuilder::new().schema(Some(Ref::from_schema_name("Freshness"))).build();
            unavailable.content.insert("application/json".to_owned(), verdict.into());
            unavailable.description =
                format!("As JSON: a series is stale, or none is selected. As a problem: {}", unavailable.description);
        }
        answers
    }
}

/// Ask whether the feed is fresh
///
/// For monitors: compares the time at which each series received its newest candle with the server's clock. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/freshness", tag = "Health", operation_id = "get_freshness",
    security(("ingest_key" = []), ("internal_token" = []), ("bearer" = [])),
    params(
        ("max_age" = u64, Query, minimum = 1, maximum = 31_622_400, example = 300,
         description = "The number of seconds within which every series must have received something."),
        ("symbol" = inline(Option<Vec<SymbolParameter>>), Query, style = Form, explode, max_items = 100,
         nullable = false, example = json!(["EURUSD"]),
         description = "Only series of this symbol; may be repeated, up to 100 times."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "M1"),
        ("session" = inline(Option<LearnedParameter>), Query,
         description = "`learned`: time in which the learned week of the series expects no candle does not count. Needs one `symbol` and a \
            `timeframe` of W1 or shorter."),
        ("tz" = Option<String>, Query, nullable = false, example = "America/New_York",
         description = "The zone by which the week is learned; with `session` alone. `America/New_York` if absent."),
    ),
    responses(
        (status = 200, description = "Every selected series is fresh, or has not missed anything while its market is closed.", body = FreshnessAnswer,
         headers(("cache-control" = String, description = "`no-store`."))),
        NotFresh,
    )
)]
pub(crate) async fn get(State(query): State<Query>, RawQuery(parameters): RawQuery) -> Result<Response, Problem> {
    let freshness = query.freshness(parameters.as_deref().unwrap_or_default()).await?;
    let status = match freshness {
        Freshness::Fresh { .. } | Freshness::Closed { .. } => StatusCode::OK,
        Freshness::Stale { .. } | Freshness::Empty {} => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::to_vec(&freshness).map_err(|error| Problem::internal(error.to_string()))?;
    let not_kept = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((status, Extension(Verdict), [JSON], not_kept, body).into_response())
}
