//! Bodies and answers of the routes of jobs, for the documentation.

use utoipa::ToSchema;

use crate::http::routes::backtests::SettingsBody;
use crate::schema;

/// An optimization. A field that is not listed here is refused. It has `items`, or `strategies` and `series`.
#[derive(Debug, ToSchema)]
#[schema(as = Optimization)]
#[expect(dead_code, reason = "documents the body that research::jobs parses")]
pub(crate) struct OptimizationBody {
    /// 1 to 500 items.
    #[schema(required = false, min_items = 1, max_items = 500)]
    items: Vec<OptimizationItem>,
    /// Ids of strategies, each of which is searched on each of `series`; `["all"]` means all of them.
    #[schema(required = false, min_items = 1, max_items = 500, example = json!(["sma-cross", "donchian"]))]
    strategies: Vec<String>,
    /// Series for `strategies`; at most 500 items come of both.
    #[schema(required = false, min_items = 1, max_items = 500)]
    series: Vec<SeriesBody>,
    /// `grid`, `random`, `latin_hypercube`, `sobol`, `tpe` or `genetic`; `genetic` if absent.
    #[schema(required = false, example = "genetic", pattern = "^(grid|random|latin_hypercube|sobol|tpe|genetic)$")]
    method: String,
    /// `net_profit`, `sharpe`, `sortino`, `calmar`, `profit_factor`, `expectancy`, `sqn`, `recovery_factor` or
    /// `return_over_drawdown`; `sharpe` if absent.
    #[schema(
        required = false,
        example = "sharpe",
        pattern = "^(net_profit|sharpe|sortino|calmar|profit_factor|expectancy|sqn|recovery_factor|return_over_drawdown)$"
    )]
    objective: String,
    /// The most points that are tried for an item, and in each window of a walk-forward run; 2,000 if absent. A grid has no more
    /// combinations.
    #[schema(required = false, minimum = 1, example = 2000)]
    max_evaluations: u64,
    /// Points with fewer trades rank below all others; 30 if absent.
    #[schema(required = false, minimum = 0, maximum = 1_000_000, example = 30)]
    min_trades: u64,
    /// The origin of random numbers; 0 if absent.
    #[schema(required = false, minimum = 0, example = 0)]
    seed: u64,
    /// Jobs with a higher one begin first; 0 if absent.
    #[schema(required = false, minimum = -10, maximum = 10, example = 0)]
    priority: i32,
    /// The candles that are kept from the search: `forward` (the newest part), `forward_from` (those from a time on), `walk_forward`
    /// (those after each of several windows, with `in` and `out` candles), or null for none; the newest quarter if absent.
    #[schema(required = false, value_type = Option<Object>, example = json!({"forward": 0.25}))]
    out_of_sample: String,
    #[schema(required = false)]
    settings: SettingsBody,
    /// First opening time to trade, as with `GET /api/v1/candles`. Candles before it warm the indicators up. All that is stored if
    /// absent.
    #[schema(required = false, value_type = Value, example = "2024-01-01T00:00:00Z")]
    from: String,
    /// Last opening time to trade.
    #[schema(required = false, value_type = Value, example = "2025-01-01T00:00:00Z")]
    to: String,
    /// A name for people, of 1 to 100 characters.
    #[schema(required = false, min_length = 1, max_length = 100, example = "first try")]
    name: String,
}

/// A strategy and the series to search on.
#[derive(Debug, ToSchema)]
#[schema(as = OptimizationItem)]
#[expect(dead_code, reason = "documents the body that research::jobs parses")]
pub(crate) struct OptimizationItem {
    /// The id of a strategy.
    #[schema(example = "sma-cross")]
    strategy: String,
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
    /// The values to try, by the names of parameters: a list, or `min`, `max` and `step`. The others keep their defaults. Without
    /// ranges, all parameters are varied as the list of strategies says.
    #[schema(required = false, value_type = Object, example = json!({"fast": {"min": 5, "max": 50, "step": 5}, "slow": [50, 100, 200]}))]
    ranges: String,
}

/// A series.
#[derive(Debug, ToSchema)]
#[schema(as = SeriesOfJob)]
#[expect(dead_code, reason = "documents the body that research::jobs parses")]
pub(crate) struct SeriesBody {
    #[schema(schema_with = schema::symbol, required = true)]
    symbol: String,
    #[schema(schema_with = schema::timeframe, required = true)]
    timeframe: String,
    #[schema(required = false, example = "M1")]
    source: String,
    #[schema(required = false, example = "utc")]
    align: String,
    #[schema(required = false, example = "monday")]
    week: String,
}

/// A job in a list.
#[derive(Debug, ToSchema)]
#[schema(as = JobInList)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct JobLineAnswer {
    #[schema(example = "0j3fw8q2z5v1m9k4x7c6b8n0pd")]
    id: String,
    /// The name of the key that started it.
    #[schema(example = "desk")]
    owner: String,
    #[schema(required = true, example = "first try")]
    name: Option<String>,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "running")]
    state: String,
    /// The place in the queue, from 1 on; null once a process works on the job.
    #[schema(required = true)]
    position: Option<i64>,
    #[schema(example = 0)]
    priority: i32,
    /// The time at which it was queued, in epoch milliseconds.
    #[schema(example = 1_754_215_200_000_i64)]
    created: i64,
    /// The time at which a process began to work on it.
    #[schema(required = true, example = 1_754_215_201_000_i64)]
    started: Option<i64>,
    /// The time at which it was over.
    #[schema(required = true)]
    finished: Option<i64>,
    /// The time from which on it and its files may be deleted.
    #[schema(required = true)]
    expires: Option<i64>,
    progress: ProgressAnswer,
    /// The best point of each item that has one.
    best: Vec<BestAnswer>,
    /// Sentences about the job; those about an item's result are in the item.
    warnings: Vec<String>,
    /// The reason for which the job failed; null if it did not.
    #[schema(required = true)]
    error: Option<String>,
}

/// A job.
#[derive(Debug, ToSchema)]
#[schema(as = Job)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct JobAnswer {
    id: String,
    owner: String,
    #[schema(required = true)]
    name: Option<String>,
    #[schema(example = "running")]
    state: String,
    #[schema(required = true)]
    position: Option<i64>,
    priority: i32,
    created: i64,
    #[schema(required = true)]
    started: Option<i64>,
    #[schema(required = true)]
    finished: Option<i64>,
    #[schema(required = true)]
    expires: Option<i64>,
    progress: ProgressAnswer,
    best: Vec<BestAnswer>,
    warnings: Vec<String>,
    #[schema(required = true)]
    error: Option<String>,
    /// The request with its defaults, and with an entry for each item.
    #[schema(value_type = Object)]
    request: String,
    /// A summary of each item. One that is not over has its place, strategy, series and state alone.
    items: Vec<ItemAnswer>,
}

/// The progress of a job.
#[derive(Debug, ToSchema)]
#[schema(as = JobProgress)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct ProgressAnswer {
    /// Evaluations made.
    #[schema(example = 640)]
    done: u64,
    /// Evaluations to be made, as far as that is known.
    #[schema(example = 2000)]
    total: u64,
    /// Items that are over.
    #[schema(example = 0)]
    items_done: usize,
    /// All items; absent in lists.
    #[schema(required = false, example = 1)]
    items: usize,
    #[schema(example = 21_000.0)]
    evaluations_per_second: f64,
    /// Seconds that the rest takes at this rate; null while that is not known.
    #[schema(required = true, example = 0.1)]
    remaining_s: Option<f64>,
}

/// The best point of an item so far.
#[derive(Debug, ToSchema)]
#[schema(as = BestPoint)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct BestAnswer {
    #[schema(example = 0)]
    item: usize,
    #[schema(value_type = Object, example = json!({"fast": 15, "slow": 100}))]
    parameters: String,
    #[schema(required = true, example = 1.2)]
    objective: Option<f64>,
}

/// An item of a job.
#[derive(Debug, ToSchema)]
#[schema(as = JobItem)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct ItemAnswer {
    /// Its place in the request, from 0 on.
    #[schema(example = 0)]
    item: usize,
    #[schema(example = "sma-cross")]
    strategy: String,
    #[schema(example = "EURUSD")]
    symbol: String,
    #[schema(example = "H1")]
    timeframe: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "done")]
    state: String,
    /// The reason for which it failed.
    #[schema(required = false)]
    error: String,
    /// Candles that were traded.
    #[schema(required = false, example = 6210)]
    bars: usize,
    /// Opening times of the first and the last of them.
    #[schema(required = false)]
    from: i64,
    #[schema(required = false)]
    to: i64,
    /// Points tried, in all windows.
    #[schema(required = false, example = 2000)]
    trials: usize,
    /// Points evaluated: one that was tried twice is evaluated once.
    #[schema(required = false, example = 1874)]
    evaluations: usize,
    /// A hash of the candles that were read.
    #[schema(required = false, example = "9f31c2a4b07d5e11")]
    fingerprint: String,
    #[schema(required = false)]
    winner: EvaluatedAnswer,
    /// The probability that the winner has skill; above 0.95 is convincing.
    #[schema(required = false, example = 0.41)]
    deflated_sharpe: Option<f64>,
    /// The probability of backtest overfitting.
    #[schema(required = false, example = 0.62)]
    pbo: Option<f64>,
    /// The median objective of the winner's neighbours by its own.
    #[schema(required = false, example = 0.55)]
    stability: Option<f64>,
    /// The windows of a walk-forward run: `efficiency`, `metrics` of the joined curve, and `windows`.
    #[schema(required = false, value_type = Option<Object>)]
    walk_forward: Option<String>,
    /// Sentences that a reader of the winner should know.
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// One of the best points of an item.
#[derive(Debug, ToSchema)]
#[schema(as = EvaluatedPoint)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct EvaluatedAnswer {
    /// 1 is the winner.
    #[schema(example = 1)]
    rank: usize,
    #[schema(value_type = Object, example = json!({"fast": 15, "slow": 100}))]
    parameters: String,
    #[schema(required = true, example = 1.2)]
    objective: Option<f64>,
    #[schema(example = 84)]
    trades: u64,
    /// Figures on the candles that were searched.
    #[schema(value_type = Object, example = json!({"sharpe": 1.2, "trades": 84}))]
    in_sample: String,
    /// Figures on the candles that were kept from the search; null for ranks above 25 and where none were kept.
    #[schema(required = true, value_type = Option<Object>, example = json!({"sharpe": 0.3, "trades": 25}))]
    out_of_sample: Option<String>,
}

/// The results of an item.
#[derive(Debug, ToSchema)]
#[schema(as = JobResults)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct ResultsAnswer {
    job: String,
    #[schema(example = 0)]
    item: usize,
    #[schema(example = "sma-cross")]
    strategy: String,
    #[schema(example = "sharpe")]
    objective: String,
    /// Points that are kept with all figures, at most 1,000.
    #[schema(example = 1000)]
    kept: usize,
    /// Points evaluated, with walk-forward in all windows.
    #[schema(example = 1874)]
    evaluations: usize,
    results: Vec<EvaluatedAnswer>,
    /// The objective of every evaluation, with walk-forward of all windows in turn, if it is asked for; of more than 500,000 the newest.
    #[schema(required = false)]
    objectives: Vec<Option<f64>>,
}
