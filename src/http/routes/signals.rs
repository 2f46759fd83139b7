//! Signals of today, `/api/v1/run` and `/api/v1/signals.csv`, and the history of those that are watched, `/api/v1/signals/history`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::{self, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{GetProblems, Problem, SignalFileProblems, SignalProblems};
use crate::http::routes::backtests::SettingsBody;
use crate::http::routes::batch_body::JsonBody;
use crate::http::routes::page::{JSON, MORE_AFTER, NOT_KEPT, SKIPPED};
use crate::research::Research;
use crate::schema::{Bound, SignalAfter, SymbolParameter, TimeframeParameter};

/// The symbols to ask about. A field that is not listed here is refused.
#[derive(Debug, ToSchema)]
#[schema(as = SignalsRequest)]
#[expect(dead_code, reason = "documents the body that research::signals parses")]
pub(crate) struct RunBody {
    /// 1 to 200 symbols, each once.
    #[schema(min_items = 1, max_items = 200, example = json!(["EURUSD"]))]
    symbols: Vec<String>,
    /// If absent, D1 where it is stored, or else the longest one below D1 with 300 candles, for each symbol.
    #[schema(required = false, example = "D1")]
    timeframe: String,
    /// The ids of the strategies that vote, each once; twelve of six families if absent.
    #[schema(required = false, min_items = 1, max_items = 100, example = json!(["ema-cross", "donchian"]))]
    strategies: Vec<String>,
    #[schema(required = false)]
    settings: SettingsBody,
}

/// The signals of today.
#[derive(Debug, ToSchema)]
#[schema(as = Signals)]
#[expect(dead_code, reason = "documents what research::signals serializes")]
pub(crate) struct SignalsAnswer {
    /// When they were computed, in epoch milliseconds.
    #[schema(example = 1_754_215_200_000_i64)]
    as_of: i64,
    /// The signals, in the order of the symbols.
    signals: Vec<SignalAnswer>,
    /// The symbols that have none.
    errors: Vec<SignalErrorAnswer>,
}

/// The signal of a symbol.
#[derive(Debug, ToSchema)]
#[schema(as = Signal)]
#[expect(dead_code, reason = "documents what research::signals serializes")]
pub(crate) struct SignalAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "D1")]
    timeframe: String,
    /// Opening time of the newest closed candle, in epoch milliseconds.
    #[schema(example = 1_754_092_800_000_i64)]
    candle: i64,
    /// Its close.
    #[schema(example = 1.0862)]
    close: f64,
    /// `buy` from a score of 0.25 on, `sell` from one of -0.25 on, or else `hold`.
    #[schema(example = "buy")]
    signal: String,
    /// The mean of the positions after the pending orders: 1 for long, -1 for short, 0 for flat.
    #[schema(example = 0.42)]
    score: f64,
    /// True if the candle opened more than three periods ago, or five days for D1.
    #[schema(example = false)]
    stale: bool,
    votes: Vec<VoteAnswer>,
}

/// The view of one strategy.
#[derive(Debug, ToSchema)]
#[schema(as = Vote)]
#[expect(dead_code, reason = "documents what research::signals serializes")]
pub(crate) struct VoteAnswer {
    #[schema(example = "ema-cross")]
    strategy: String,
    /// The position after `order`: `long`, `short` or `flat`.
    #[schema(example = "long")]
    position: String,
    /// The order that the newest close asks for: `enter_long`, `enter_short`, `exit_long`, `exit_short` or null.
    #[schema(required = true, example = "enter_long")]
    order: Option<String>,
    /// Closes that the position has seen; 0 if it is only ordered.
    #[schema(example = 0)]
    bars_in_position: usize,
    /// Opening time of the candle of the entry, or of the newest one if it is only ordered; null if flat.
    #[schema(required = true, example = 1_754_092_800_000_i64)]
    since: Option<i64>,
    /// The number of candles that are missing of those that the indicators should see; absent if none is.
    #[schema(required = false, example = 12)]
    warmup_missing: usize,
}

/// A signal of the history.
#[derive(Debug, ToSchema)]
#[schema(as = PastSignal)]
#[expect(dead_code, reason = "documents what research::signal_history serializes")]
pub(crate) struct PastSignalAnswer {
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// Opening time of the closed candle at which the signal became this one, in epoch milliseconds.
    #[schema(example = 1_754_092_800_000_i64)]
    candle: i64,
    /// Its close.
    #[schema(example = 1.0862)]
    close: f64,
    /// `buy`, `sell` or `hold`.
    #[schema(example = "buy")]
    signal: String,
    /// The mean of the positions after the pending orders: 1 for long, -1 for short, 0 for flat.
    #[schema(example = 0.42)]
    score: f64,
    votes: Vec<VoteAnswer>,
    /// The time at which it was stored, in epoch milliseconds.
    #[schema(example = 1_754_096_402_310_i64)]
    at: i64,
}

/// A symbol without a signal.
#[derive(Debug, ToSchema)]
#[schema(as = SignalError)]
#[expect(dead_code, reason = "documents what research::signals serializes")]
pub(crate) struct SignalErrorAnswer {
    #[schema(example = "FOO")]
    symbol: String,
    /// `unknown_series`, `too_few_candles`, `invalid_candle` or `intraday_only`.
    #[schema(example = "unknown_series")]
    code: String,
}

/// Ask for the signals of today
///
/// Each strategy trades the newest 1,000 closed candles after its warm-up, with the default parameters. Nothing is advice.
#[utoipa::path(
    post, path = "/api/v1/run", tag = "Research", operation_id = "post_run",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    request_body(content = RunBody, content_type = "application/json", example = json!({"symbols": ["EURUSD"], "timeframe": "D1"})),
    responses(
        (status = 200, description = "The signals, also if some symbols have none.", body = SignalsAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        SignalProblems,
    )
)]
pub(crate) async fn post(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let JsonBody { bytes, permits: _permits } = body;
    let answer = research.signals(&bytes).await?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(answer.body)?).into_response())
}

/// Ask for the signals of today as CSV
///
/// The columns `symbol,timeframe,candle,close,signal,score,strategies_long,strategies_short,stale`, whose lists of strategies are
/// separated by semicolons. A symbol that begins as a formula would gets an apostrophe before it. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/signals.csv", tag = "Research", operation_id = "get_signals_csv",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("symbols" = Option<String>, Query, nullable = false, example = "EURUSD,USDJPY",
         description = "Up to 200 symbols, separated by commas or repeated; all that are stored if absent."),
        ("timeframe" = Option<String>, Query, nullable = false, example = "D1", description = "As with `POST /api/v1/run`."),
        ("strategies" = Option<String>, Query, nullable = false, example = "ema-cross,donchian",
         description = "Ids, separated by commas or repeated; twelve of six families if absent."),
    ),
    responses(
        (status = 200, description = "The signals.", content_type = "text/csv", body = String,
         headers(
            ("content-disposition" = String, description = "The name of the file."),
            ("cache-control" = String, description = "`private, no-store`."),
            ("x-skipped" = String, description = "The symbols that have no signal, percent-encoded, each with the code of the reason."),
         )),
        SignalFileProblems,
    )
)]
pub(crate) async fn csv(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    csv_answer(&research, &admission, query.as_deref().unwrap_or_default()).await
}

/// Read the history of the signals that are watched
///
/// The operator names these in `SIGNALS`; without it the history is empty. A signal is computed when a candle has closed, and is added if it is
/// another one than before. The votes name the strategies. Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/signals/history", tag = "Research", operation_id = "get_signals_history",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("symbol" = inline(Option<SymbolParameter>), Query, example = "EURUSD", description = "Only signals of this symbol."),
        ("timeframe" = inline(Option<TimeframeParameter>), Query, example = "H1", description = "Only signals of this timeframe."),
        ("from" = inline(Option<Bound>), Query, example = "2025-08-02T00:00:00Z", description = "The opening time of the first candle, inclusive."),
        ("to" = inline(Option<Bound>), Query, example = "2025-08-03T00:00:00Z", description = "The opening time of the last candle, inclusive."),
        ("after" = inline(Option<SignalAfter>), Query, example = "1754092800000:H1:EURUSD",
         description = "Only signals after this one, `CANDLE:TIMEFRAME:SYMBOL`, as `link` sends it."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "Maximum number of signals; 100 if absent."),
    ),
    responses(
        (status = 200, description = "Signals, ascending by candle, symbol and timeframe.", body = [PastSignalAnswer],
         headers(
            ("cache-control" = String, description = "`private, no-store`."),
            ("x-more-after" = bool, description = "True if `link` leads to more."),
            ("link" = String, description = "`rel=\"next\"` where there is more."),
         )),
        GetProblems,
    )
)]
pub(crate) async fn history(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = research.signal_history(query.as_deref().unwrap_or_default()).await?;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(MORE_AFTER, HeaderValue::from_static(if page.after.is_some() { "true" } else { "false" }));
    if let Some(after) = page.after {
        let link = HeaderValue::try_from(format!("</api/v1/signals/history?{after}>; rel=\"next\""));
        headers.insert(header::LINK, link.map_err(|error| Problem::internal(error.to_string()))?);
    }
    Ok((headers, [JSON], [NOT_KEPT], admission.reserve_response(page.body.into())?).into_response())
}

/// Answers with the signals as CSV.
pub(crate) async fn csv_answer(
    research: &Research,
    admission: &AdmissionControl,
    query: &str,
) -> Result<Response, Problem> {
    let answer = research.signals_csv(query).await?;
    let headers = describe(answer.skipped.as_deref()).map_err(|error| Problem::internal(error.to_string()))?;
    Ok((headers, admission.reserve_response(answer.body)?).into_response())
}

fn describe(skipped: Option<&str>) -> Result<HeaderMap, InvalidHeaderValue> {
    let value = HeaderValue::from_static;
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CONTENT_TYPE, value("text/csv; charset=utf-8; header=present"));
    headers.insert(header::CONTENT_DISPOSITION, value("attachment; filename=\"signals.csv\""));
    let (name, kept) = NOT_KEPT;
    headers.insert(name, kept);
    if let Some(skipped) = skipped {
        headers.insert(SKIPPED, HeaderValue::from_str(skipped)?);
    }
    Ok(headers)
}
