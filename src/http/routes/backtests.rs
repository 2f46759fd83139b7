//! One backtest, answered at once: `/api/v1/backtests`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::{BacktestProblems, Problem};
use crate::http::routes::batch_body::JsonBody;
use crate::http::routes::page::{JSON, NOT_KEPT};
use crate::research::Research;
use crate::schema;

/// A backtest. A field that is not listed here is refused.
#[derive(Debug, ToSchema)]
#[schema(as = Backtest)]
#[expect(dead_code, reason = "documents the body that research::backtest parses")]
pub(crate) struct BacktestBody {
    /// The id of a strategy.
    #[schema(example = "donchian")]
    strategy: String,
    /// Values by the names of the strategy's parameters. The others have their defaults.
    #[schema(required = false, value_type = Object, example = json!({"entry": 20}))]
    parameters: String,
    #[schema(schema_with = schema::symbol, required = true)]
    symbol: String,
    #[schema(schema_with = schema::timeframe, required = true)]
    timeframe: String,
    /// A shorter stored timeframe from which the candles are built, as with `GET /api/v1/candles`.
    #[schema(required = false, example = "M1")]
    source: String,
    /// The start of the days of built candles; only with `source`.
    #[schema(required = false, example = "utc")]
    align: String,
    /// Weekday with which weeks of built candles begin; only with `source`.
    #[schema(required = false, example = "monday")]
    week: String,
    /// First opening time to trade, as with `GET /api/v1/candles`. Candles before it warm the indicators up. All that is stored if
    /// absent.
    #[schema(required = false, value_type = Value, example = "2024-01-01T00:00:00Z")]
    from: String,
    /// Last opening time to trade.
    #[schema(required = false, value_type = Value, example = "2025-01-01T00:00:00Z")]
    to: String,
    #[schema(required = false)]
    settings: SettingsBody,
    /// `trades`, `equity` or both; neither if absent.
    #[schema(required = false, example = json!(["trades", "equity"]))]
    include: Vec<String>,
}

/// Capital, sizes and costs. Numbers may be sent as strings.
#[derive(Debug, ToSchema)]
#[schema(as = Settings)]
#[expect(dead_code, reason = "documents the body that research::requests parses")]
pub(crate) struct SettingsBody {
    /// Money at the start, above 0; 10000 if absent.
    #[schema(required = false, value_type = f64, example = 10_000.0)]
    capital: String,
    /// The size of an entry: one of `percent_of_equity` (above 0, at most 100), `fixed` (a quantity) and `cash` (money); 10 percent
    /// of the equity if absent.
    #[schema(required = false, value_type = Object, example = json!({"percent_of_equity": 10}))]
    size: String,
    /// The costs of each fill: one of `percent` (of its value, below 100), `per_contract` and `per_order` (money); nothing if absent.
    #[schema(required = false, value_type = Object, example = json!({"percent": 0.02}))]
    commission: String,
    /// Ticks by which market and stop orders fill worse than their price; 0 if absent.
    #[schema(required = false, minimum = 0, maximum = 1_000_000, example = 1)]
    slippage_ticks: u32,
    /// The distance of neighbouring prices; if absent, one in the last digit that a candle of the series has.
    #[schema(required = false, value_type = Value, example = "0.00001")]
    tick_size: String,
    /// The step of quantities; 0.000001 if absent.
    #[schema(required = false, value_type = Value, example = "0.000001")]
    lot_step: String,
    /// Money that a quantity of 1 gains when the price rises by 1; 1 if absent.
    #[schema(required = false, value_type = f64, example = 1.0)]
    point_value: String,
    /// `both`, `long` or `short`; `both` if absent.
    #[schema(required = false, example = "both")]
    sides: String,
}

/// The result of a backtest.
#[derive(Debug, ToSchema)]
#[schema(as = BacktestResult)]
#[expect(dead_code, reason = "documents what research::backtest serializes")]
pub(crate) struct BacktestAnswer {
    #[schema(example = "donchian")]
    strategy: String,
    /// All parameters with their values.
    #[schema(value_type = Object, example = json!({"entry": 20, "exit": 10, "atr_length": 20, "stop_atr": 2}))]
    parameters: String,
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// The number of candles that were traded.
    #[schema(example = 6210)]
    bars: usize,
    /// The number of candles that the indicators should see before the first of them.
    #[schema(example = 200)]
    warmup_bars: usize,
    /// The number of those that are not stored.
    #[schema(example = 0)]
    warmup_missing: usize,
    /// First opening time to trade, in epoch milliseconds: that of the request, or of the oldest candle.
    #[schema(example = 1_704_067_200_000_i64)]
    from: i64,
    /// Last opening time to trade: that of the request, or of the newest candle.
    #[schema(example = 1_735_689_600_000_i64)]
    to: i64,
    /// Opening time of the newest candle that was traded. No later one has an influence.
    #[schema(example = 1_735_686_000_000_i64)]
    as_of: i64,
    /// A hash of the candles that were read, which changes if somebody corrects one of them.
    #[schema(example = "9f31c2a4b07d5e11", pattern = "^[0-9a-f]{16}$")]
    fingerprint: String,
    /// Places where the next candle does not begin one period later; null for months.
    #[schema(required = true, example = 52)]
    gaps: Option<usize>,
    /// Figures by their names; one that is not defined is null.
    #[schema(value_type = Object, example = json!({"net_profit": 2.973_776_996, "sharpe": 0.41, "profit_factor": 1.013_266_355, "trades": 153, "cagr": null}))]
    metrics: String,
    /// Closes at which both sides were asked for, so that nothing was ordered.
    #[schema(example = 0)]
    conflicts: usize,
    /// Entries that were not made, because their size rounds to 0 lots.
    #[schema(example = 0)]
    dropped: usize,
    /// True if the equity was used up, which ends a run.
    #[schema(example = false)]
    ruined: bool,
    /// Everything that the run assumes, a sentence each.
    #[schema(example = json!(["Orders are placed at the close of a candle and fill at the next open."]))]
    assumptions: Vec<String>,
    /// The first 10,000 closed trades, if they are asked for.
    #[schema(required = false)]
    trades: Vec<TradeAnswer>,
    /// The number of trades that are left out.
    #[schema(required = false, example = 0)]
    trades_omitted: usize,
    /// Opening times and the equity at the closes of these candles, if it is asked for: at most 2,000 points, the lowest and the
    /// highest of each stretch.
    #[schema(required = false, example = json!([[1_492_592_400_000_i64, 10_000]]))]
    equity: Vec<Vec<f64>>,
    /// From how many closes the lowest and the highest were taken; 1 if all closes are there.
    #[schema(required = false, example = 1)]
    equity_every: usize,
}

/// A closed trade.
#[derive(Debug, ToSchema)]
#[schema(as = Trade)]
#[expect(dead_code, reason = "documents what research::backtest serializes")]
pub(crate) struct TradeAnswer {
    /// `long` or `short`.
    #[schema(example = "long")]
    side: String,
    #[schema(example = 1_492_700_400_000_i64)]
    entry_time: i64,
    #[schema(example = 1.0741)]
    entry_price: f64,
    #[schema(example = 1_492_736_400_000_i64)]
    exit_time: i64,
    #[schema(example = 1.07199)]
    exit_price: f64,
    #[schema(example = 930.791_181)]
    quantity: f64,
    /// Money won or lost, net of commission.
    #[schema(example = -2.363_481_721)]
    profit: f64,
    /// `signal`, `reversal`, `stop`, `target`, `max_bars` or `ruin`.
    #[schema(example = "stop")]
    exit: String,
    /// Candles from the entry to the exit.
    #[schema(example = 10)]
    bars: usize,
}

/// Test a strategy
///
/// Runs it on the closed candles of a series, at most 200,000 and for at most 2 s. The same request on the same candles gives the same
/// bytes. Nothing is advice.
#[utoipa::path(
    post, path = "/api/v1/backtests", tag = "Research", operation_id = "post_backtest",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    request_body(content = BacktestBody, content_type = "application/json", example = json!({
        "strategy": "donchian", "parameters": {"entry": 20}, "symbol": "EURUSD", "timeframe": "H1",
        "settings": {"commission": {"percent": 0.02}, "slippage_ticks": 1}, "include": ["trades", "equity"]
    })),
    responses(
        (status = 200, description = "The result.", body = BacktestAnswer,
         headers(("cache-control" = String, description = "`private, no-store`."))),
        BacktestProblems,
    )
)]
pub(crate) async fn post(
    State(research): State<Research>,
    State(admission): State<Arc<AdmissionControl>>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let JsonBody { bytes, permits: _permits } = body;
    let answer = research.backtest(&bytes).await?;
    Ok(([JSON], [NOT_KEPT], admission.reserve_response(answer.body)?).into_response())
}
