//! The posts that this process has stored and refused since its start: `/api/v1/activity`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GetProblems, Problem};
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::ingest::{ActivityReport, Ingest, PosterActivity, SeriesActivity};
use crate::query::{Parameters, QueryError};
use crate::schema::Bound;
use crate::store::SeriesKey;
use crate::validation::FieldError;
use candle::parse_bound;

/// The posts to this process since its start. Other replicas count their own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub(crate) struct ActivityAnswer {
    /// When this process started, in epoch milliseconds.
    #[schema(example = 1_754_211_600_000_i64)]
    since: i64,
    /// The keys that have posted, by name.
    posters: Vec<PosterAnswer>,
    /// The series that were posted to, by the bytes of symbol and timeframe.
    series: Vec<PostedSeries>,
    /// Posts to series beyond the first 20,000, which are not listed.
    untracked_posts: u64,
}

/// The posts of one key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Poster)]
pub(crate) struct PosterAnswer {
    /// The name of the key.
    #[schema(example = "terminal-1")]
    name: String,
    /// When it last posted, in epoch milliseconds.
    #[schema(example = 1_754_218_861_000_i64)]
    last_post: i64,
    /// Batches that were stored.
    #[schema(example = 1440)]
    posts: u64,
    /// Batches of which nothing was stored, because their candles or their JSON are wrong.
    #[schema(example = 1)]
    refused_posts: u64,
    /// Candles of the stored batches.
    records_received: u64,
    /// Closed candles that were not stored before.
    records_added: u64,
    /// Candles that changed nothing.
    records_duplicate: u64,
    /// Forming candles that were stored or replaced their earlier selves.
    records_live: u64,
    /// Candles that were left out of lenient batches.
    records_rejected: u64,
    /// Duplicates that differ from the stored candle.
    records_conflicting: u64,
    /// The last batch that was refused; null if none was.
    last_refusal: Option<RefusedPost>,
}

/// A batch that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedPost {
    /// Its time, in epoch milliseconds.
    #[schema(example = 1_754_218_861_000_i64)]
    at: i64,
    /// The sentence that the key's holder got.
    #[schema(example = "Nothing was stored: candles[0].volume is negative; a volume is 0 or more.")]
    detail: String,
}

/// A series that was posted to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PostedSeries {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "M1")]
    timeframe: &'static str,
    /// The name of the key that posted last.
    #[schema(example = "terminal-1")]
    poster: String,
    /// When it did, in epoch milliseconds.
    #[schema(example = 1_754_218_861_000_i64)]
    last_post: i64,
    /// Posted candles that differ from the stored one.
    #[schema(example = 0)]
    records_conflicting: u64,
}

impl From<ActivityReport> for ActivityAnswer {
    fn from(report: ActivityReport) -> Self {
        let posters = report.posters.into_iter().map(|(name, posts)| PosterAnswer::new(&name, posts));
        Self {
            since: report.since * 1000,
            posters: posters.collect(),
            series: report.series.into_iter().map(PostedSeries::from).collect(),
            untracked_posts: report.untracked_posts,
        }
    }
}

impl PosterAnswer {
    fn new(name: &str, posts: PosterActivity) -> Self {
        let counts = posts.counts;
        Self {
            name: name.to_owned(),
            last_post: posts.last_post * 1000,
            posts: posts.posts,
            refused_posts: posts.refused_posts,
            records_received: counts.received,
            records_added: counts.added,
            records_duplicate: counts.duplicate,
            records_live: counts.forming,
            records_rejected: counts.rejected,
            records_conflicting: counts.conflicting,
            last_refusal: posts.last_refusal.map(|(at, detail)| RefusedPost { at: at * 1000, detail }),
        }
    }
}

impl From<(SeriesKey, SeriesActivity)> for PostedSeries {
    fn from((key, posts): (SeriesKey, SeriesActivity)) -> Self {
        Self {
            symbol: key.symbol.as_str().to_owned(),
            timeframe: key.timeframe.name(),
            poster: posts.poster.to_string(),
            last_post: posts.last_post * 1000,
            records_conflicting: posts.conflicting,
        }
    }
}

/// Read what was posted
///
/// Answers who has posted to this process since its start, to which series, and what was refused. Nothing of it is stored, and each
/// replica counts for itself. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/activity", tag = "Health", operation_id = "get_activity",
    security(("internal_token" = []), ("bearer" = [])),
    params(
        ("posted_after" = inline(Option<Bound>), Query,
         description = "Only series that were posted to after this time, in one of the forms of `from`. Posters are always listed."),
    ),
    responses(
        (status = 200, description = "The posts since the start.", body = ActivityAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        GetProblems,
    )
)]
pub(crate) async fn get(
    State(ingest): State<Ingest>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(parameters): RawQuery,
) -> Result<Response, Problem> {
    let posted_after = posted_after(parameters.as_deref().unwrap_or_default()).map_err(QueryError::Invalid)?;
    let answer = ActivityAnswer::from(ingest.activity(posted_after));
    let body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(body.into())?).into_response())
}

/// The time that the query string names, in epoch seconds.
fn posted_after(query: &str) -> Result<Option<i64>, Vec<FieldError>> {
    let mut parameters = Parameters::read(query, &["posted_after"]);
    let time = parameters.optional("posted_after", |text| parse_bound(text, None));
    parameters.valid(time.map(|millis| millis.div_euclid(1000)))
}
