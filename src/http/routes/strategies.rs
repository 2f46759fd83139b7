//! The catalogue of strategies: `/api/v1/strategies`, one of them, and its Pine script.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{self, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{Problem, StrategyProblems};
use crate::http::routes::accept_encoding;
use crate::http::routes::page::{JSON, NOT_KEPT, names_tag};
use crate::query::Encoding;
use crate::research::{Research, StrategyPage};

/// A strategy in the list.
#[derive(Debug, ToSchema)]
#[schema(as = Strategy)]
#[expect(dead_code, reason = "documents what research::pages serializes")]
pub(crate) struct StrategyAnswer {
    #[schema(example = "donchian")]
    id: String,
    #[schema(example = "Donchian breakout with ATR stop")]
    title: String,
    /// `trend`, `mean_reversion`, `breakout`, `momentum`, `volatility`, `volume`, `pattern`, `several`, `session` or `statistical`.
    #[schema(example = "breakout")]
    family: String,
    /// `long_short`, `long` or `short`.
    #[schema(example = "long_short")]
    sides: String,
    /// One sentence.
    #[schema(example = "Enters when the close leaves the range of the last bars.")]
    about: String,
    /// The author of the rule, and the work that describes it.
    #[schema(example = "Turtle rules, system 1")]
    source: String,
    parameters: Vec<ParameterAnswer>,
    /// Conditions over the parameters that must hold.
    #[schema(example = json!(["exit < entry"]))]
    constraints: Vec<String>,
    /// `any`, or `intraday` for rules that read the hour.
    #[schema(example = "any")]
    timeframes: String,
    /// The functions that the rules use.
    #[schema(example = json!(["ta.highest", "ta.lowest", "ta.atr"]))]
    indicators: Vec<String>,
}

/// A parameter of a strategy.
#[derive(Debug, ToSchema)]
#[schema(as = StrategyParameter)]
#[expect(dead_code, reason = "documents what research::pages serializes")]
pub(crate) struct ParameterAnswer {
    #[schema(example = "entry")]
    name: String,
    /// `int`, `float` or `choice`.
    #[schema(rename = "type", example = "int")]
    kind: String,
    /// A number; of a choice, one of `options`.
    #[schema(value_type = Value, example = 20)]
    default: String,
    /// The smallest value; absent on a choice.
    #[schema(required = false, example = 5.0)]
    min: f64,
    /// The largest value; absent on a choice.
    #[schema(required = false, example = 200.0)]
    max: f64,
    /// The distance of values that a search tries; absent on a choice.
    #[schema(required = false, example = 1.0)]
    step: f64,
    /// The values of a choice; absent on numbers.
    #[schema(required = false, example = json!(["fast", "slow"]))]
    options: Vec<String>,
    #[schema(example = "bars of the entry channel")]
    about: String,
}

/// A strategy by itself.
#[derive(Debug, ToSchema)]
#[schema(as = StrategyDetails)]
#[expect(dead_code, reason = "documents what research::pages serializes")]
pub(crate) struct DetailsAnswer {
    #[schema(example = "donchian")]
    id: String,
    title: String,
    family: String,
    sides: String,
    about: String,
    source: String,
    parameters: Vec<ParameterAnswer>,
    constraints: Vec<String>,
    timeframes: String,
    indicators: Vec<String>,
    /// The number of candles that the indicators should see before the first one to trade, with the defaults.
    #[schema(example = 200)]
    warm_up: usize,
    /// The rules in words, a sentence each.
    #[schema(example = json!(["Enters long when close is above upper."]))]
    rules: Vec<String>,
    /// The meanings of the names in the rules.
    terms: Vec<String>,
    expressions: ExpressionsAnswer,
}

/// The definition of a strategy, in a subset of Pine v6.
#[derive(Debug, ToSchema)]
#[schema(as = StrategyExpressions)]
#[expect(dead_code, reason = "documents what research::pages serializes")]
pub(crate) struct ExpressionsAnswer {
    /// Names that are bound in order.
    #[schema(example = json!(["upper = ta.highest(high, entry)[1]"]))]
    lets: Vec<String>,
    /// `enter_long`, `exit_long`, `enter_short`, `exit_short`, `stop`, `target`, `stop_level_long`, `stop_level_short` and
    /// `max_bars`, as far as the strategy has them.
    #[schema(value_type = Object, example = json!({"enter_long": "close > upper"}))]
    rules: String,
}

/// List the strategies
///
/// Those of the catalogue, then those of the operator's own. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/strategies", tag = "Research", operation_id = "get_strategies",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("family" = Option<String>, Query, nullable = false, example = "breakout", description = "Only one family."),
        ("q" = Option<String>, Query, nullable = false, max_length = 100, example = "channel",
         description = "Only strategies with this text in id, title or description, in any case."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "The strategies.", body = [StrategyAnswer],
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
         )),
        (status = 304, description = "Nothing changed since the answer with the given ETag.",
         headers(("etag" = String, description = "Weak tag of this answer."))),
        StrategyProblems,
    )
)]
pub(crate) async fn list(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&admission, &headers, &research.list(query.as_deref().unwrap_or_default())?)
}

/// Describe a strategy
///
/// Its rules in words and as expressions, and the number of candles that they need. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/strategies/{id}", tag = "Research", operation_id = "get_strategy",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("id" = String, Path, example = "donchian", description = "The id of the strategy, as the list has it."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
        ("Accept-Encoding" = Option<String>, Header, nullable = false, example = "gzip",
         description = "`zstd` and `gzip` are served, and `zstd` if both have the same weight. Answers below 1 KiB stay plain."),
    ),
    responses(
        (status = 200, description = "The strategy.", body = DetailsAnswer,
         headers(
            ("etag" = String, description = "Weak tag of this answer."),
            ("cache-control" = String, description = "`private, no-cache`."),
            ("vary" = String, description = "`accept-encoding` and `origin`."),
            ("content-encoding" = String, description = "`zstd` or `gzip`; absent on a plain answer."),
         )),
        (status = 304, description = "Nothing changed since the answer with the given ETag.",
         headers(("etag" = String, description = "Weak tag of this answer."))),
        StrategyProblems,
    )
)]
pub(crate) async fn get(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&admission, &headers, &research.page(&id)?)
}

/// Print a strategy as Pine Script v6
///
/// A script for TradingView with the given parameters as the defaults of its inputs. Each parameter of the strategy is a parameter
/// of the query, and so are the settings: `capital`, `size` (percent of the equity, or `fixed:1`, or `cash:500`), `commission`
/// (percent, or `per_contract:1`, or `per_order:1`), `slippage_ticks`, `tick_size`, `lot_step`, `point_value` and `sides`. Answers
/// HEAD too.
#[utoipa::path(
    get, path = "/api/v1/strategies/{id}/pine", tag = "Research", operation_id = "get_strategy_pine",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("id" = String, Path, example = "donchian", description = "The id of the strategy, as the list has it."),
        ("capital" = Option<f64>, Query, nullable = false, description = "Money at the start; 10000 if absent."),
        ("commission" = Option<String>, Query, nullable = false, example = "0.02", description = "Costs of each fill; none if absent."),
    ),
    responses(
        (status = 200, description = "The script.", content_type = "text/plain", body = String,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        StrategyProblems,
    )
)]
pub(crate) async fn pine(
    State(research): State<Research>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let script = research.pine(&id, query.as_deref().unwrap_or_default())?;
    Ok(([(header::CONTENT_TYPE, TEXT), NOT_KEPT], script).into_response())
}

/// Answers with a page, or with 304 if the client has it.
fn answer(admission: &AdmissionControl, headers: &HeaderMap, page: &StrategyPage) -> Result<Response, Problem> {
    let described = describe(page).map_err(|error| Problem::internal(error.to_string()))?;
    if names_tag(headers, &page.etag) {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    let encoding = accept_encoding::choose(headers, page.body.len());
    let body = page.encoded(encoding).map_err(|error| Problem::internal(error.to_string()))?;
    let body = admission.reserve_response(body)?;
    if encoding == Encoding::Identity {
        return Ok((described, [JSON], body).into_response());
    }
    let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()))];
    Ok((described, [JSON], encoding, body).into_response())
}

fn describe(page: &StrategyPage) -> Result<HeaderMap, InvalidHeaderValue> {
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, HeaderValue::from_str(&page.etag)?);
    Ok(headers)
}
