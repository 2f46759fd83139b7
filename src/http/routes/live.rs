//! Live streams of candles: `/api/v1/live`.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{self, HeaderName};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use utoipa::PartialSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::http::net::connection::EndsItself;
use crate::http::problem::{GetProblems, Problem};
use crate::live::{Live, MAX_SERIES};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

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
    RawQuery(parameters): RawQuery,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = parameters.as_deref().unwrap_or_default();
    let value = HeaderValue::from_static;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CONTENT_TYPE, value("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, value("no-cache, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, value("no"));
    let mut extensions = Extensions::new();
    extensions.insert(EndsItself);
    let body = if method == Method::HEAD {
        Live::check(parameters)?;
        Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
    } else {
        let last_event_id = request.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        Body::from_stream(live.open(parameters, last_event_id)?.map(Ok::<_, Infallible>))
    };
    let mut response = (headers, body).into_response();
    response.extensions_mut().extend(extensions);
    Ok(response)
}
