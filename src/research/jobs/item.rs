//! One item of a job: the search on its candles, and the JSON of what it found.

use std::ops::Range;
use std::sync::Arc;

use rayon::ThreadPool;
use research::optimization::{signals_of, space_of};
use research::run::{EquityCurve, fingerprint};
use research::search::{
    Candidate, Item, ItemResult, Options, OutOfSample, Progress, Seed, Space, StopFlag, StopReason, Threads,
    WalkForward, WindowResult, optimize,
};
use research::{Cache, Market, Parameters, Settings, Strategy};
use serde::{Serialize, Serializer};

use super::request::ItemRequest;
use super::search::{OutOfSampleRequest, SearchRequest};
use crate::research::backtest::{Figures, Values};
use crate::research::columns::{ColumnsRequest, Loaded};
use crate::research::numbers::Number;

/// The number of best points of an item that are kept.
pub(crate) const MAX_KEPT: usize = 1_000;
/// The maximum number of candles of an item, its warm-up included.
const MAX_CANDLES: usize = 10_000_000;
/// The maximum number of walk-forward windows in a summary.
const MAX_WINDOWS: usize = 1_000;
/// The maximum number of points of a walk-forward curve that are kept, for the chart of a report.
const MAX_CURVE_POINTS: usize = 500;
/// The maximum number of objectives that are kept of the evaluations of all windows, the newest ones.
const MAX_OBJECTIVES: usize = 500_000;

/// The best point of an item so far.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct BestPoint {
    pub(crate) item: usize,
    pub(crate) parameters: serde_json::Value,
    pub(crate) objective: Option<f64>,
}

/// The outcome of an item.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is over: its JSON, and the evaluations that it made.
    Over { summary: Vec<u8>, evaluations: Vec<u8>, trials: u64, best: Option<BestPoint> },
    /// It was cancelled, so that nothing of it is kept.
    Cancelled,
    /// It cannot be searched, for this reason: a sentence.
    Failed(String),
}

/// The candles that an item reads.
pub(super) fn columns(item: &ItemRequest, search: &SearchRequest) -> ColumnsRequest {
    let warm_up = if search.span.from.is_some() { warm_up(item) } else { 0 };
    ColumnsRequest { series: item.series.clone(), span: search.span.bounds(), warm_up, max_bars: MAX_CANDLES }
}

/// The bars that the longest indicators of any point need before the first one to trade. They grow with each parameter, so that
/// the ends of the ranges decide.
fn warm_up(item: &ItemRequest) -> usize {
    let Ok(space) = space_of(item.strategy, &item.ranges) else { return 0 };
    let ends: Vec<(f64, f64)> = space
        .parameters()
        .iter()
        .map(|parameter| {
            let mut values = parameter.values();
            let first = values.next().unwrap_or_default();
            (first, values.last().unwrap_or(first))
        })
        .collect();
    let all_last = ends.iter().map(|(_, last)| *last).collect();
    let one_last = (0..ends.len()).map(|high| {
        ends.iter().enumerate().map(|(place, (first, last))| if place == high { *last } else { *first }).collect()
    });
    let corners: Vec<Vec<f64>> = one_last.chain([all_last]).collect();
    let of_corner = |values: &Vec<f64>| {
        let parameters = item.strategy.parameters_from(values).ok()?;
        item.strategy.warm_up(&parameters).ok()
    };
    let defaults = item.strategy.warm_up(&item.strategy.defaults()).unwrap_or_default();
    corners.iter().filter_map(of_corner).max().unwrap_or_default().max(defaults)
}

/// The candles on the tick grid of the settings.
pub(super) fn market(loaded: &Loaded, settings: &Settings) -> Arc<Market> {
    match settings.tick() {
        None => Arc::clone(&loaded.market),
        Some(tick) => Arc::new(Market::new(loaded.market.bars().clone(), Some(tick))),
    }
}

/// An item and its candles.
#[derive(Debug)]
pub(super) struct ItemRun {
    pub(super) number: usize,
    pub(super) item: ItemRequest,
    pub(super) search: SearchRequest,
    pub(super) loaded: Loaded,
    /// Sentences that belong to its result.
    pub(super) warnings: Vec<String>,
}

impl ItemRun {
    /// The hash of its candles.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:016x}", fingerprint(self.loaded.market.bars()))
    }

    /// Searches. `report` gets the evaluations made and planned, and the best point so far.
    pub(super) fn run(
        &self,
        pool: &ThreadPool,
        cache: &Cache,
        stop: &StopFlag,
        report: &mut dyn FnMut(u64, u64, Option<BestPoint>),
    ) -> Outcome {
        let Self { item, search, loaded, .. } = self;
        let bars = loaded.first..loaded.market.len();
        let key = &item.series.key;
        if bars.len() < 4 {
            return Outcome::Failed(format!(
                "{} {} has {} closed candles in that span, and a search needs at least 4.",
                key.symbol,
                key.timeframe,
                bars.len()
            ));
        }
        let space = match space_of(item.strategy, &item.ranges) {
            Ok(space) => space,
            Err(errors) => return Outcome::Failed(format!("{} of {}.", errors[0], item.strategy.id())),
        };
        let market = market(loaded, &search.settings);
        let out_of_sample = kept_out(search.out_of_sample, &market, &bars);
        if let OutOfSample::Forward { from } = out_of_sample
            && from < bars.start + MIN_PART_BARS
        {
            return Outcome::Failed(format!(
                "{} {} has {} closed candles before forward_from, and a search needs at least {MIN_PART_BARS}; choose a later one.",
                key.symbol,
                key.timeframe,
                from - bars.start
            ));
        }
        let searched = Item {
            market: &market,
            settings: &search.settings,
            space: &space,
            signals: signals_of(item.strategy, market.bars(), cache),
            bars: bars.clone(),
            objective: search.objective,
            options: Options {
                method: search.method,
                max_evaluations: search.max_evaluations,
                min_trades: search.min_trades,
                seed: Seed { seed: search.seed, item: self.number as u64, window: 0 },
                keep: MAX_KEPT,
            },
            out_of_sample,
        };
        let mut report_point = |progress: &Progress<'_>| {
            let best = progress.best.and_then(|(values, objective)| self.best_point(values, objective));
            report(progress.done as u64, progress.total as u64, best);
        };
        match optimize(&searched, Threads::Pool(pool), stop, &mut report_point) {
            Ok(result) if result.stopped == Some(StopReason::Cancelled) => Outcome::Cancelled,
            Ok(result) if result.best.is_empty() => Outcome::Failed(
                "The time for an item was up before the first evaluation; choose fewer evaluations, or raise RESEARCH_MAX_SECONDS."
                    .to_owned(),
            ),
            Ok(result) => self.outcome(&space, &market, &result),
            Err(error) => Outcome::Failed(crate::errors::to_sentence(&error.to_string())),
        }
    }

    fn best_point(&self, values: &[f64], objective: Option<f64>) -> Option<BestPoint> {
        let parameters = self.item.strategy.parameters_from(values).ok()?;
        let parameters = serde_json::to_value(Values(self.item.strategy.parameters(), &parameters)).ok()?;
        let objective = objective.map(crate::research::numbers::significant);
        Some(BestPoint { item: self.number, parameters, objective })
    }

    fn outcome(&self, space: &Space<'_>, market: &Market, result: &ItemResult) -> Outcome {
        let written = || -> serde_json::Result<Outcome> {
            let summary = serde_json::to_vec(&self.summary(market, result))?;
            let evaluations = serde_json::to_vec(&self.evaluations(space, result))?;
            let winner = result.best.first();
            let best = winner.and_then(|winner| self.best_point(&winner.values, winner.score.objective));
            Ok(Outcome::Over { summary, evaluations, trials: result.trials as u64, best })
        };
        written().unwrap_or_else(|error| Outcome::Failed(crate::errors::to_sentence(&error.to_string())))
    }

    /// The sentence about a part out of sample that holds too few candles for a run.
    fn nothing_kept(&self, market: &Market) -> Option<&'static str> {
        let bars = self.loaded.first..market.len();
        match kept_out(self.search.out_of_sample, market, &bars) {
            OutOfSample::Forward { from } if from + MIN_PART_BARS > bars.end => Some(
                "Fewer than 2 candles were kept from the search, so that nothing shows how the winner does on candles that it was not \
                 chosen on.",
            ),
            _ => None,
        }
    }

    fn summary<'r>(&'r self, market: &'r Market, result: &'r ItemResult) -> Summary<'r> {
        let times = market.bars().time();
        let walk_forward = result.walk_forward.as_ref().map(|walk| WalkSummary {
            efficiency: walk.efficiency.map(Number),
            metrics: Named(walk.metrics.named()),
            windows: walk.windows.iter().take(MAX_WINDOWS).map(|window| self.window(times, window)).collect(),
            windows_omitted: walk.windows.len().saturating_sub(MAX_WINDOWS),
        });
        Summary {
            item: self.number,
            strategy: self.item.strategy.id(),
            symbol: self.item.series.key.symbol.as_str(),
            timeframe: self.item.series.key.timeframe.name(),
            state: "done",
            bars: times.len() - self.loaded.first,
            from: times.get(self.loaded.first).copied(),
            to: times.last().copied(),
            trials: result.trials,
            evaluations: result.evaluations,
            fingerprint: self.fingerprint(),
            winner: result.best.first().map(|winner| self.candidate(1, winner)),
            deflated_sharpe: result.deflated_sharpe.map(Number),
            pbo: result.pbo.map(Number),
            stability: result.stability.map(Number),
            walk_forward,
            warnings: self
                .warnings
                .iter()
                .chain(&result.warnings)
                .map(String::as_str)
                .chain(self.nothing_kept(market))
                .collect(),
        }
    }

    fn window<'r>(&'r self, times: &[i64], window: &'r WindowResult) -> WindowSummary<'r> {
        let span = |bars: &Range<usize>| (times.get(bars.start).copied(), times.get(bars.end - 1).copied());
        let objective = |metrics| self.search.objective.of(metrics).map(Number);
        let WindowResult { window, values, in_sample, out_of_sample } = window;
        WindowSummary {
            in_sample: WindowSide {
                span: span(&window.in_sample),
                objective: objective(in_sample),
                trades: in_sample.trades.trades,
            },
            out_of_sample: WindowSide {
                span: span(&window.out_of_sample),
                objective: objective(out_of_sample),
                trades: out_of_sample.trades.trades,
            },
            net_profit_percent: Number(out_of_sample.net_profit_percent),
            parameters: Point(self.item.strategy, values),
        }
    }

    fn candidate<'r>(&'r self, rank: usize, candidate: &'r Candidate) -> CandidateAnswer<'r> {
        CandidateAnswer {
            rank,
            parameters: Point(self.item.strategy, &candidate.values),
            objective: candidate.score.objective.map(Number),
            trades: candidate.score.trades,
            in_sample: Named(candidate.in_sample.named()),
            out_of_sample: candidate.out_of_sample.as_ref().map(|metrics| Named(metrics.named())),
        }
    }

    fn evaluations<'r>(&'r self, space: &'r Space<'_>, result: &'r ItemResult) -> Evaluations<'r> {
        #[expect(clippy::cast_possible_truncation, reason = "for a histogram, in which seven digits are enough")]
        let objective = |objective: f64| objective as f32;
        let newest = result.objectives.len().saturating_sub(MAX_OBJECTIVES);
        let curve = result.walk_forward.as_ref().map(|walk| {
            let first = walk.windows.first().map_or(0, |window| window.window.out_of_sample.start);
            let times = self.loaded.market.bars().time().get(first..).unwrap_or_default();
            let curve = EquityCurve::thinned(times, &walk.equity, MAX_CURVE_POINTS);
            curve.points.into_iter().map(|(time, equity)| (time, Number(equity))).collect()
        });
        Evaluations {
            strategy: self.item.strategy.id(),
            parameters: space.parameters().iter().map(research::search::Parameter::name).collect(),
            objective: self.search.objective.name(),
            best: result.best.iter().enumerate().map(|(place, best)| self.candidate(place + 1, best)).collect(),
            evaluated: result.evaluations,
            objectives: result.objectives[newest..].iter().map(|of| of.map(objective)).collect(),
            curve,
        }
    }
}

/// The candles without which a part of them is neither searched nor run, because an order fills at the candle after its signal.
const MIN_PART_BARS: usize = 2;

/// The bars that are kept from the search.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a count of bars, which is below 2^53"
)]
pub(super) fn kept_out(asked: OutOfSampleRequest, market: &Market, bars: &Range<usize>) -> OutOfSample {
    match asked {
        OutOfSampleRequest::None => OutOfSample::None,
        OutOfSampleRequest::Forward(part) => {
            let inside = (bars.len() as f64 * (1.0 - part)).round() as usize;
            OutOfSample::Forward { from: bars.start + inside.clamp(2, bars.len()) }
        }
        OutOfSampleRequest::ForwardFrom(time) => {
            OutOfSample::Forward { from: market.bars().time().partition_point(|bar| *bar < time).max(bars.start) }
        }
        OutOfSampleRequest::WalkForward(WalkForward { in_bars, out_bars, anchored }) => {
            OutOfSample::WalkForward(WalkForward { in_bars, out_bars, anchored })
        }
    }
}

/// The values of a point by the names of the parameters.
struct Point<'a>(&'a Strategy, &'a [f64]);

impl Serialize for Point<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parameters: Parameters =
            self.0.parameters_from(self.1).map_err(|_| serde::ser::Error::custom("values of another strategy"))?;
        Values(self.0.parameters(), &parameters).serialize(serializer)
    }
}

/// Figures by their names.
struct Named(Vec<(&'static str, Option<f64>)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Figures(&self.0).serialize(serializer)
    }
}

/// An item that is over.
#[derive(Serialize)]
struct Summary<'r> {
    item: usize,
    strategy: &'r str,
    symbol: &'r str,
    timeframe: &'static str,
    state: &'static str,
    bars: usize,
    from: Option<i64>,
    to: Option<i64>,
    trials: usize,
    evaluations: usize,
    fingerprint: String,
    winner: Option<CandidateAnswer<'r>>,
    deflated_sharpe: Option<Number>,
    pbo: Option<Number>,
    stability: Option<Number>,
    walk_forward: Option<WalkSummary<'r>>,
    warnings: Vec<&'r str>,
}

#[derive(Serialize)]
struct CandidateAnswer<'r> {
    rank: usize,
    parameters: Point<'r>,
    objective: Option<Number>,
    trades: usize,
    in_sample: Named,
    out_of_sample: Option<Named>,
}

#[derive(Serialize)]
struct WalkSummary<'r> {
    efficiency: Option<Number>,
    metrics: Named,
    windows: Vec<WindowSummary<'r>>,
    windows_omitted: usize,
}

#[derive(Serialize)]
struct WindowSummary<'r> {
    in_sample: WindowSide,
    out_of_sample: WindowSide,
    parameters: Point<'r>,
    /// The winner's net profit after its search, in percent of the capital.
    net_profit_percent: Number,
}

#[derive(Serialize)]
struct WindowSide {
    span: (Option<i64>, Option<i64>),
    objective: Option<Number>,
    trades: usize,
}

/// The evaluations of an item that are kept.
#[derive(Serialize)]
struct Evaluations<'r> {
    strategy: &'r str,
    parameters: Vec<&'r str>,
    objective: &'static str,
    /// The best points, best first.
    best: Vec<CandidateAnswer<'r>>,
    /// The number of all evaluations.
    evaluated: usize,
    /// The objective of each evaluation, in their order; with walk-forward, of all windows in turn.
    objectives: Vec<Option<f32>>,
    /// The joined curve of a walk-forward run, thinned out: times of candles, and the equity at their closes.
    curve: Option<Vec<(i64, Number)>>,
}
