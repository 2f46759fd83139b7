//! Jobs of research: starting one, reading and cancelling them, and what they found.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::detach_on_drop::detach_on_drop;
use crate::http::middleware::admission::{self, AdmissionControl};
use crate::http::middleware::auth::Identity;
use crate::http::problem::{JobListProblems, JobProblems, JobStartProblems, Problem, ResultProblems};
use crate::http::routes::batch_body::JsonBody;
use crate::http::routes::event_stream;
use crate::http::routes::job_answers::{JobAnswer, JobLineAnswer, OptimizationBody, ResultsAnswer};
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::research::{Jobs, JobsQuery, ResultsFormat, Started};
use crate::validation::FieldError;
use candle::{Rule, ValueError};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The maximum number of characters of an idempotency key.
const MAX_KEY_CHARS: usize = 200;

const TOO_LONG: &str = "Queueing the job took too long, so it is not known whether it is queued; look at GET /api/v1/jobs, or send the same \
                        request again with the same Idempotency-Key after Retry-After, which is safe.";

/// A job that was started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StartedJob)]
pub(crate) struct StartedAnswer {
    #[schema(example = "0j3fw8q2z5v1m9k4x7c6b8n0pd")]
    id: String,
    /// `queued`, or where the same `Idempotency-Key` was sent before, the state of that job.
    #[schema(example = "queued")]
    state: &'static str,
    /// The place in the queue, from 1 on; null once a process works on the job.
    #[schema(required = true, example = 2)]
    position: Option<i64>,
    links: Links,
}

/// Addresses of a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobLinks)]
struct Links {
    #[serde(rename = "self")]
    #[schema(example = "/api/v1/jobs/0j3fw8q2z5v1m9k4x7c6b8n0pd")]
    job: String,
    #[schema(example = "/api/v1/jobs/0j3fw8q2z5v1m9k4x7c6b8n0pd/events")]
    events: String,
    #[schema(example = "/api/v1/jobs/0j3fw8q2z5v1m9k4x7c6b8n0pd/results")]
    results: String,
}

impl From<Started> for StartedAnswer {
    fn from(Started { id, state, position }: Started) -> Self {
        let job = format!("/api/v1/jobs/{id}");
        let links = Links { events: format!("{job}/events"), results: format!("{job}/results"), job };
        Self { id, state: state.name(), position, links }
    }
}

/// A job after a request to cancel it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CancelledJob)]
pub(crate) struct CancelledAnswer {
    #[schema(example = "0j3fw8q2z5v1m9k4x7c6b8n0pd")]
    id: String,
    /// `running` until the process that works on it has seen the request.
    #[schema(example = "cancelled")]
    state: &'static str,
}

/// Start an optimization
///
/// Queues a job that searches parameters, for one or many strategies and series. Each item is searched on its candles without those
/// that `out_of_sample` keeps; the best 25 points are then run on these. The same request on the same candles finds the same, whatever
/// process and however many threads work on it. A repeated `Idempotency-Key` gives the same job for 24 hours.
#[utoipa::path(
    post, path = "/api/v1/optimizations", tag = "Research", operation_id = "post_optimization",
    security(("research_key" = []), ("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, max_length = 200, example = "3f1c9e",
        description = "Any text of up to 200 visible ASCII characters.")),
    request_body(content = OptimizationBody, content_type = "application/json", example = json!({
        "items": [{"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1",
                   "ranges": {"fast": {"min": 5, "max": 50, "step": 5}, "slow": [50, 100, 200]}}],
        "method": "genetic", "objective": "sharpe", "max_evaluations": 2000, "min_trades": 30, "seed": 0, "priority": 0,
        "out_of_sample": {"forward": 0.25}, "name": "first try"
    })),
    responses(
        (status = 202, description = "The job is queued, or was before.", body = StartedAnswer,
         headers(
            ("location" = String, description = "The address of the job."),
            ("cache-control" = String, description = "`private, no-store`."),
         )),
        JobStartProblems,
    )
)]
pub(crate) async fn post(
    State(jobs): State<Jobs>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let owner = identity.name();
    // A job whose client has left meanwhile is queued all the same, and its key then finds it.
    let work = detach_on_drop(async move {
        let JsonBody { bytes, permits: _permits } = body;
        jobs.start(bytes, &owner, key).await
    });
    let answer = StartedAnswer::from(admission::in_time_or(TOO_LONG, work).await??);
    let location = HeaderValue::try_from(&answer.links.job).map_err(|error| Problem::internal(error.to_string()))?;
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok((StatusCode::ACCEPTED, [JSON], [NOT_KEPT], [(header::LOCATION, location)], body).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|_| values.next().is_none());
    let is_key =
        |text: &&str| (1..=MAX_KEY_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let Some(text) = text.filter(is_key) else {
        let message = format!("must be one text of 1 to {MAX_KEY_CHARS} visible ASCII characters");
        let invalid = ValueError::new(Rule::OutOfRange, message);
        return Err(Problem::of_field(FieldError::new(["header".into(), "Idempotency-Key".into()], invalid)));
    };
    Ok(Some(text.to_owned()))
}

/// List jobs
///
/// The key's own jobs, newest first; with a read token, everybody's. For the next page, send the id of the last job as `before`.
/// Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "Research", operation_id = "get_jobs",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("state" = Option<String>, Query, nullable = false, pattern = "^(queued|running|done|failed|cancelled)$", example = "done",
         description = "Only jobs in this state."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "Maximum number of jobs; 50 if absent."),
        ("before" = Option<String>, Query, nullable = false, pattern = "^[0-9a-z]{26}$",
         description = "Only jobs that are older than this one."),
    ),
    responses(
        (status = 200, description = "Jobs, without their requests and items.", body = [JobLineAnswer],
         headers(("cache-control" = String, description = "`private, no-store`."))),
        JobListProblems,
    )
)]
pub(crate) async fn list(
    State(jobs): State<Jobs>,
    State(admission): State<Arc<AdmissionControl>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = JobsQuery::parse(query.as_deref().unwrap_or_default())?;
    let found = jobs.list(query, identity.viewer().owner()).await?;
    answer(&admission, &found)
}

/// Read a job
///
/// Its progress, its request, and a summary of each item. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "Research", operation_id = "get_job",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(("id" = String, Path, example = "0j3fw8q2z5v1m9k4x7c6b8n0pd", description = "The id of the job.")),
    responses(
        (status = 200, description = "The job.", body = JobAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        JobProblems,
    )
)]
pub(crate) async fn get(
    State(jobs): State<Jobs>,
    State(admission): State<Arc<AdmissionControl>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let body = jobs.get(&id, identity.viewer().owner()).await?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(body)?).into_response())
}

/// Cancel a job
///
/// A queued job is cancelled at once. A running one keeps the items that are over, and ends within seconds. A job that is over stays
/// as it is.
#[utoipa::path(
    delete, path = "/api/v1/jobs/{id}", tag = "Research", operation_id = "delete_job",
    security(("research_key" = []), ("bearer" = [])),
    params(("id" = String, Path, example = "0j3fw8q2z5v1m9k4x7c6b8n0pd", description = "The id of the job.")),
    responses(
        (status = 200, description = "The job is over.", body = CancelledAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        (status = 202, description = "The job runs, and ends soon.", body = CancelledAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        JobProblems,
    )
)]
pub(crate) async fn delete(
    State(jobs): State<Jobs>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let state = jobs.cancel(&id, &identity.name()).await?;
    let status = if state.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = CancelledAnswer { id, state: state.name() };
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok((status, [JSON], [NOT_KEPT], body).into_response())
}

/// Follow a job
///
/// Server-Sent Events: `progress` (at most four a second), `item` with the summary of each item that is over, and `done`, after which
/// the stream ends. The `id` of the last event is where any process goes on; a client that has had `done` gets a 204, so that browsers
/// stop reconnecting. A comment comes every 15 seconds. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/events", tag = "Research", operation_id = "get_job_events",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("id" = String, Path, example = "0j3fw8q2z5v1m9k4x7c6b8n0pd", description = "The id of the job."),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, example = "1000017",
         description = "The `id` of the last event of an earlier stream. An unknown form counts as none."),
    ),
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = String,
         headers(
            ("cache-control" = String, description = "`no-cache, no-transform`."),
            ("x-accel-buffering" = String, description = "`no`."),
         )),
        (status = 204, description = "The client has had all events."),
        JobProblems,
    )
)]
pub(crate) async fn events(
    State(jobs): State<Jobs>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let last_event_id = request.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let Some(events) = jobs.events(&id, identity.viewer().owner(), last_event_id).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    if method == Method::HEAD {
        return Ok(event_stream::head());
    }
    Ok(event_stream::answer(events, identity.validity()))
}

/// Read the results of an item
///
/// The best points of an item that is over, at most 1,000: by rank, or by a figure on the candles that were searched, the highest
/// first. JSON, or CSV with `Accept: text/csv`. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/results", tag = "Research", operation_id = "get_job_results",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("id" = String, Path, example = "0j3fw8q2z5v1m9k4x7c6b8n0pd", description = "The id of the job."),
        ("item" = Option<u64>, Query, minimum = 0, maximum = 499, description = "The place of the item in the request; 0 if absent."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Maximum number of points; 100 if absent."),
        ("offset" = Option<u64>, Query, minimum = 0, maximum = 1000, description = "Points to leave out before them."),
        ("sort" = Option<String>, Query, nullable = false, example = "net_profit",
         description = "`rank`, or the name of a figure. Points for which it is not defined come last."),
        ("include" = Option<String>, Query, nullable = false, pattern = "^objectives$",
         description = "`objectives` adds the objective of every evaluation, in their order, with seven digits."),
        ("Accept" = Option<String>, Header, nullable = false, example = "text/csv",
         description = "`text/csv` asks for CSV, unless JSON has a higher `q`."),
    ),
    responses(
        (status = 200, description = "The points.", content(
            (ResultsAnswer = "application/json"),
            (String = "text/csv"),
         ),
         headers(
            ("cache-control" = String, description = "`private, no-store`."),
            ("vary" = String, description = "`accept` and `origin`."),
         )),
        ResultProblems,
    )
)]
pub(crate) async fn results(
    State(jobs): State<Jobs>,
    State(admission): State<Arc<AdmissionControl>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wants_csv = prefers_csv(&headers);
    let format = if wants_csv { ResultsFormat::Csv } else { ResultsFormat::Json };
    let query = query.unwrap_or_default();
    let body = jobs.results(&id, &query, identity.viewer().owner(), format).await?;
    let kind =
        if wants_csv { (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")) } else { JSON };
    let vary = [(header::VARY, HeaderValue::from_static("accept"))];
    Ok(([kind], [NOT_KEPT], vary, admission.reserve_response(body.into())?).into_response())
}

/// True if a client names CSV and does not want JSON more (RFC 9110 section 12.5.1). `*/*` alone is JSON, because many programs send
/// it with every request.
fn prefers_csv(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<(&str, u16)> = values.flat_map(|value| value.split(',')).filter_map(weighted).collect();
    let weight =
        |kind: &str| accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, weight)| *weight);
    let json = ["application/json", "application/*", "*/*"].into_iter().find_map(weight).unwrap_or_default();
    weight("text/csv").is_some_and(|csv| csv > 0 && csv >= json)
}

/// A media type and its weight in thousandths; `None` where the weight is malformed.
fn weighted(part: &str) -> Option<(&str, u16)> {
    let mut parameters = part.split(';');
    let name = parameters.next()?.trim();
    let weight = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
    let Some((_, weight)) = weight else { return Some((name, 1000)) };
    let weight: f32 = weight.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    let thousandths = (weight * 1000.0).round() as u16;
    Some((name, thousandths))
}

fn answer(admission: &AdmissionControl, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(body.into())?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_clients_that_name_it_and_do_not_want_json_more() {
        let prefers = |accept: &[&str]| {
            let values = accept.iter().map(|value| (header::ACCEPT, HeaderValue::from_str(value).unwrap()));
            prefers_csv(&values.collect())
        };
        for accept in [
            &["text/csv"][..],
            &["TEXT/CSV; charset=utf-8"],
            &["application/json", "text/csv"],
            &["application/json;q=0.5, text/csv;header=present;q=0.8"],
            &["text/csv;q=0.001"],
            &["text/csv, */*;q=0.8"],
        ] {
            assert!(prefers(accept), "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/*"],
            &["text/csv;q=0"],
            &["text/csv; Q=0.4, application/json; q=0.5"],
            &["text/csv;q=0.9, */*"],
            &["text/csv;q=2"],
            &["text/csvx"],
        ] {
            assert!(!prefers(accept), "{accept:?}");
        }
    }
}
