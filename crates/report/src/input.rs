//! The results that a report is made from.

use std::{cmp::Reverse, collections::HashSet, ops::Range};

use research::{
    Market, Metrics, Objective, Parameters, Settings, Strategy,
    run::BacktestResult,
    search::{self, Item, ItemResult},
};

/// Everything that a report says. The bars of all parts are counted from the first bar of the market.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The name that somebody gave to the request; may be empty.
    pub name: &'a str,
    /// The symbol of the series.
    pub symbol: &'a str,
    /// The timeframe of the series, as `H1`.
    pub timeframe: &'a str,
    /// The strategy.
    pub strategy: &'a Strategy,
    /// The values of its parameters.
    pub parameters: &'a Parameters,
    /// Capital, sizes and costs.
    pub settings: &'a Settings,
    /// The bars that were read.
    pub market: &'a Market,
    /// The backtest over the whole period, with the parameters above.
    pub backtest: &'a BacktestResult,
    /// The equity of this backtest at each close of its bars ([`research::run::Backtest::run_with_equity`]).
    pub equity: &'a [f64],
    /// The search that found the parameters; `None` for a backtest alone.
    pub search: Option<&'a Search>,
    /// Warnings for the first page, one sentence each.
    pub warnings: &'a [String],
    /// The strategy as Pine Script.
    pub script: &'a str,
}

/// A search for parameters, and what it says of the set that the report is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The name of the method, as `genetic`.
    pub method: String,
    /// The figure that was maximised.
    pub objective: Objective,
    /// The seed of the search's random numbers.
    pub seed: u64,
    /// The minimum number of trades that a set has to make. Sets with fewer trades rank behind all others.
    pub min_trades: usize,
    /// The place of the report's parameters among the sets; 1 is the winner.
    pub rank: usize,
    /// Points tried, in all windows and repetitions.
    pub trials: usize,
    /// Points evaluated; a point that was tried twice counts once.
    pub evaluations: usize,
    /// Evaluated sets, best first. The best of them are enough: the report says how many there are of all.
    pub ranked: Vec<Ranked>,
    /// The objectives of all evaluated sets that have one, in any order; with walk-forward, in all windows.
    pub objectives: Vec<f64>,
    /// The probability that the true Sharpe ratio of the winner is above what luck would show.
    pub deflated_sharpe: Option<f64>,
    /// The probability of backtest overfitting.
    pub pbo: Option<f64>,
    /// The median objective of the winner's neighbours, divided by its own.
    pub stability: Option<f64>,
    /// Figures of the report's parameters on the candles of the search.
    pub in_sample: Metrics,
    /// The candles that were kept from the search.
    pub out_of_sample: OutOfSample,
}

/// One evaluated set of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The values, in the order of the strategy's parameters.
    pub values: Vec<f64>,
    /// The figure that was maximised.
    pub objective: Option<f64>,
    /// The number of closed trades.
    pub trades: usize,
    /// The same figure on the candles that were kept from the search, where it was run on them.
    pub out_of_sample: Option<f64>,
}

/// The candles that were kept from a search.
#[derive(Debug, Clone, PartialEq)]
pub enum OutOfSample {
    /// None.
    None,
    /// Those from a bar on.
    Forward {
        /// The first bar that was kept from the search.
        from: usize,
        /// Figures on these bars; `None` if the set was not run on them, because they are too few or the set is not one of the best.
        metrics: Option<Box<Metrics>>,
    },
    /// Those after each of several windows.
    WalkForward(Box<WalkForward>),
}

/// A walk-forward run.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkForward {
    /// The windows in turn.
    pub windows: Vec<Window>,
    /// The equity of the joined curve: times of closes, in epoch milliseconds, and money. If it is empty, the page
    /// has no chart of it.
    pub equity: Vec<(i64, f64)>,
    /// Figures of the joined curve.
    pub metrics: Metrics,
    /// Objective out of sample, divided by objective in sample.
    pub efficiency: Option<f64>,
}

/// A window of a walk-forward run.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The bars of its search.
    pub in_sample: Range<usize>,
    /// The bars after them, on which its winner traded.
    pub out_of_sample: Range<usize>,
    /// The winner's values, in the order of the strategy's parameters.
    pub values: Vec<f64>,
    /// The winner's objective in its own search, and after it.
    pub objectives: [Option<f64>; 2],
    /// The winner's net profit after its search, in percent of the capital, where it is known.
    pub net_profit_percent: Option<f64>,
    /// The winner's trades after its search.
    pub trades: usize,
}

impl Search {
    /// The search of an item, for a report on the set with this rank; `None` if the item has no such set. `ranked`
    /// holds all sets that were evaluated; with walk-forward, those of the last window, as in the result.
    #[must_use]
    pub fn of<F>(item: &Item<'_, F>, result: &ItemResult, rank: usize) -> Option<Self> {
        let chosen = result.best.get(rank.checked_sub(1)?)?;
        let best = result.best.iter().map(|best| Ranked {
            values: best.values.clone(),
            objective: best.score.objective,
            trades: best.score.trades,
            out_of_sample: best.out_of_sample.as_ref().and_then(|metrics| item.objective.of(metrics)),
        });
        let listed: HashSet<&search::Point> = result.best.iter().map(|best| &best.point).collect();
        let mut others: Vec<_> = result.evaluated.iter().filter(|(point, _)| !listed.contains(point)).collect();
        others.sort_by_key(|(_, score)| Reverse(*score));
        let others = others.into_iter().map(|(point, score)| Ranked {
            values: item.space.values(point),
            objective: score.objective,
            trades: score.trades,
            out_of_sample: None,
        });
        Some(Self {
            method: item.options.method.name().to_owned(),
            objective: item.objective,
            seed: item.options.seed.seed,
            min_trades: item.options.min_trades,
            rank,
            trials: result.trials,
            evaluations: result.evaluations,
            ranked: best.chain(others).collect(),
            objectives: result.objectives.iter().copied().flatten().collect(),
            deflated_sharpe: result.deflated_sharpe,
            pbo: result.pbo,
            stability: result.stability,
            in_sample: chosen.in_sample.clone(),
            out_of_sample: OutOfSample::of(item, result, chosen),
        })
    }

    /// True if the sets are those of the last of several windows.
    pub(crate) fn is_walk_forward(&self) -> bool {
        matches!(self.out_of_sample, OutOfSample::WalkForward(_))
    }

    /// Figures on candles that were kept from the search.
    pub(crate) fn outside(&self) -> Option<&Metrics> {
        match &self.out_of_sample {
            OutOfSample::None => None,
            OutOfSample::Forward { metrics, .. } => metrics.as_deref(),
            OutOfSample::WalkForward(walk) => Some(&walk.metrics),
        }
    }
}

impl OutOfSample {
    fn of<F>(item: &Item<'_, F>, result: &ItemResult, chosen: &search::Candidate) -> Self {
        match (item.out_of_sample, &result.walk_forward) {
            (search::OutOfSample::Forward { from }, _) => {
                Self::Forward { from, metrics: chosen.out_of_sample.clone().map(Box::new) }
            }
            (search::OutOfSample::WalkForward(_), Some(walk)) => {
                Self::WalkForward(Box::new(WalkForward::of(walk, item.objective, item.market)))
            }
            _ => Self::None,
        }
    }
}

impl WalkForward {
    /// The windows of a result, and its curve.
    #[must_use]
    pub fn of(walk: &search::WalkResult, objective: Objective, market: &Market) -> Self {
        let windows = walk.windows.iter().map(|window| Window {
            in_sample: window.window.in_sample.clone(),
            out_of_sample: window.window.out_of_sample.clone(),
            values: window.values.clone(),
            objectives: [objective.of(&window.in_sample), objective.of(&window.out_of_sample)],
            net_profit_percent: Some(window.out_of_sample.net_profit_percent),
            trades: window.out_of_sample.trades.trades,
        });
        let windows: Vec<Window> = windows.collect();
        let first = windows.first().map_or(0, |window| window.out_of_sample.start);
        let times = market.bars().time().get(first..).unwrap_or_default();
        let equity = times.iter().copied().zip(walk.equity.iter().copied()).collect();
        Self { windows, equity, metrics: walk.metrics.clone(), efficiency: walk.efficiency }
    }
}
