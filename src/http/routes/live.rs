//! Live streams of candles: `/api/v1/live`.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use utoipa::PartialSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::http::middleware::auth::Identity;
use crate::http::problem::{GetProblems, Problem};
use crate::http::routes::event_stream;
use crate::live::{Live, MAX_SERIES};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The series of a stream.
#[derive(Debug)]
struct SeriesParameter;

impl PartialSchema for SeriesParameter {
    fn schema() -> RefOr<Schema> {
        let item = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[^:@]+(@-?[0-9]+)?:.+$"));
        ArrayBuilder::new().items(item).min_items(Some(1)).max_items(Some(MAX_SERIES)).into()
    }
}

/// Follow candles live
///
/// Server-Sent Events. The stream begins with the newest candle of each series, and goes on with every candle that is new, changed or
/// closed, ascending within a series, at most four states a second of each. `event: candle` carries a candle of
/// `GET /api/v1/candles` with its `symbol` and `timeframe`; `event: history` names a span of older history that has to be read
/// again. The `id` of the last event is the position from which any service on the same database goes on. A comment comes every 15
/// seconds. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "Candles", operation_id = "get_live",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("series" = inline(SeriesParameter), Query, style = Form, explode, example = json!(["M1:EURUSD", "H1@1754265600000:USDJPY"]),
         description = "`TIMEFRAME:SYMBOL`, 1 to 32 times. With `TIMEFRAME@TIME:SYMBOL` the stream begins with every candle from that \
            opening time in epoch milliseconds on, up to 1,000."),
        ("last_event_id" = Option<String>, Query, nullable = false, example = "1.t0g01o.t0fx80~mdwchlyr",
         description = "The `id` of the last event that an earlier stream of the same series sent. It outranks the times beside the \
            series; an unknown form counts as none."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
         description = "The same as a header, as browsers send it. It outranks the parameter."),
    ),
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = String,
         headers(
            ("cache-control" = String, description = "`no-cache, no-transform`."),
            ("x-accel-buffering" = String, description = "`no`."),
         )),
        GetProblems,
    )
)]
pub(crate) async fn get(
    State(live): State<Live>,
    Extension(identity): Extension<Identity>,
    RawQuery(parameters): RawQuery,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = parameters.as_deref().unwrap_or_default();
    if method == Method::HEAD {
        Live::check(parameters)?;
        return Ok(event_stream::head());
    }
    let last_event_id = request.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let events = live.open(parameters, last_event_id, &identity.name())?;
    Ok(event_stream::answer(events, identity.validity()))
}
