//! One item of a request: the search, its winner on new candles, and what the winner is worth.

use std::{ops::Range, sync::Mutex};

use super::{
    backtest::{Backtests, DailyReturns},
    rng::Seed,
    run::{Evaluate, Evaluation, Found, Options, Progress, StopFlag, StopReason, Threads, evaluate_all, search},
    sampler::{MAX_WINDOWS, Score, SearchError},
    space::{Point, Space},
    walk::{Efficiency, WalkForward, WalkWindow, efficiency},
};
use crate::{
    Settings, Signals,
    broker::{Account, Sink, Window, run_fitting},
    market::Market,
    metrics::{
        Findings, Full, Metrics, Moments, Objective, PBO_MAX_TRIALS, deflated_sharpe, probability_of_overfitting,
        stability, warnings,
    },
};

/// The number of points that are run out of sample: the winner and the next 24.
const CANDIDATES: usize = 25;

/// One item of a request.
#[derive(Debug)]
pub struct Item<'a, F> {
    /// The bars, on their tick grid.
    pub market: &'a Market,
    /// Capital, sizes and costs.
    pub settings: &'a Settings,
    /// The points to choose from.
    pub space: &'a Space<'a>,
    /// Makes signals over the whole market from the values of a point. It must depend on nothing else.
    pub signals: F,
    /// The bars to use; those before them warm indicators up.
    pub bars: Range<usize>,
    /// The figure to maximise.
    pub objective: Objective,
    /// The options of the search.
    pub options: Options,
    /// The bars that are kept from the search.
    pub out_of_sample: OutOfSample,
}

/// The bars that are kept from the search, to run its best points on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfSample {
    /// None.
    None,
    /// Those from this bar on.
    Forward {
        /// The first bar that is kept from the search.
        from: usize,
    },
    /// Those after each of several windows.
    WalkForward(WalkForward),
}

/// The result of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    /// The best points, best first, as many as [`Options::keep`] says. With walk-forward, those of the last window. Empty if the
    /// search was stopped before the first evaluation.
    pub best: Vec<Candidate>,
    /// Points tried, in all windows.
    pub trials: usize,
    /// Points evaluated, in all windows. A point that was tried twice is evaluated once.
    pub evaluations: usize,
    /// Points and scores in the order of their evaluation; with walk-forward, those of the last window.
    pub evaluated: Vec<(Point, Score)>,
    /// The objective of each evaluated point, in the order of their evaluation; with walk-forward, those of all windows in turn.
    pub objectives: Vec<Option<f64>>,
    /// The probability that the winner has skill; see [`deflated_sharpe`].
    pub deflated_sharpe: Option<f64>,
    /// The probability of backtest overfitting; see [`probability_of_overfitting`].
    pub pbo: Option<f64>,
    /// The median objective of the winner's neighbours, divided by its own.
    pub stability: Option<f64>,
    /// The windows and their joined curve.
    pub walk_forward: Option<WalkResult>,
    /// Warnings for readers of the winner, as sentences.
    pub warnings: Vec<String>,
    /// The reason for which the search ended before its plan did.
    pub stopped: Option<StopReason>,
}

/// One of the best points.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The point.
    pub point: Point,
    /// Its values, in the order of the parameters.
    pub values: Vec<f64>,
    /// Its score on the bars that it was chosen on.
    pub score: Score,
    /// Figures on these bars. A position that is open at their end is marked, not closed.
    pub in_sample: Metrics,
    /// Figures on the bars that were kept from the search, of the winner and the next 24. A position that is open at their end is
    /// closed at the last close.
    pub out_of_sample: Option<Metrics>,
}

/// The windows of a walk-forward run.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkResult {
    /// Each window in turn.
    pub windows: Vec<WindowResult>,
    /// Figures of the joined curve: each window's winner trades the bars after it with the money that the one before left.
    pub metrics: Metrics,
    /// The joined curve, one equity per close.
    pub equity: Vec<f64>,
    /// Objective out of sample, divided by objective in sample.
    pub efficiency: Option<f64>,
}

/// One window of a walk-forward run.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Its bars.
    pub window: WalkWindow,
    /// The winner's values.
    pub values: Vec<f64>,
    /// The winner on the bars that it was chosen on.
    pub in_sample: Metrics,
    /// The winner on the bars after them, run with the item's capital.
    pub out_of_sample: Metrics,
}

/// Searches, runs the best points on the bars that were kept from the search, and judges the winner.
///
/// A search that was cancelled returns its points without judging the winner. A search whose time is up is judged all
/// the same.
///
/// # Errors
/// When a grid is too large, or no point fulfils the constraint.
///
/// # Panics
/// When `signals` makes signals that do not cover the market.
pub fn optimize<F: Fn(&[f64]) -> Signals + Sync>(
    item: &Item<'_, F>,
    threads: Threads<'_>,
    stop: &StopFlag,
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<ItemResult, SearchError> {
    let run = Run { item, threads, stop };
    match item.out_of_sample {
        OutOfSample::WalkForward(walk) => run.walk_forward(walk, report),
        OutOfSample::Forward { from } => {
            let from = from.clamp(item.bars.start, item.bars.end);
            run.forward(item.bars.start..from, Some(from..item.bars.end), report)
        }
        OutOfSample::None => run.forward(item.bars.clone(), None, report),
    }
}

struct Run<'a, F> {
    item: &'a Item<'a, F>,
    threads: Threads<'a>,
    stop: &'a StopFlag,
}

impl<'a, F: Fn(&[f64]) -> Signals + Sync> Run<'a, F> {
    fn forward(
        &self,
        inside: Range<usize>,
        outside: Option<Range<usize>>,
        report: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<ItemResult, SearchError> {
        let backtests = self.backtests(&inside, false);
        let found = self.search(&backtests, self.item.options.seed, report)?;
        let (trials, evaluations) = (found.trials, found.evaluated.len());
        let mut result = self.judged(found, &backtests, trials, evaluations);
        if let Some(outside) = outside.filter(|bars| bars.len() >= 2) {
            let count = result.best.len().min(CANDIDATES);
            let points: Vec<&[f64]> = result.best[..count].iter().map(|best| &best.values[..]).collect();
            let outcomes = self.evaluate(&self.backtests(&outside, true), &points);
            for (candidate, outcome) in result.best.iter_mut().zip(outcomes) {
                candidate.out_of_sample = outcome;
            }
        }
        self.warn(&mut result);
        Ok(result)
    }

    fn walk_forward(
        &self,
        walk: WalkForward,
        report: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<ItemResult, SearchError> {
        let windows = walk.windows(self.item.bars.clone());
        if windows.len() > MAX_WINDOWS {
            return Err(SearchError::TooManyWindows { windows: windows.len() });
        }
        let (mut trials, mut evaluations, mut objectives) = (0, 0, Vec::new());
        let mut results: Vec<WindowResult> = Vec::new();
        let mut last = None;
        for (place, window) in windows.iter().enumerate() {
            let backtests = self.backtests(&window.in_sample, false);
            let seed = Seed { window: place as u64, ..self.item.options.seed };
            let mut report_all = |progress: &Progress<'_>| {
                let total = (windows.len() - place - 1) * self.item.options.max_evaluations + trials + progress.total;
                report(&Progress { done: trials + progress.done, total, best: progress.best });
            };
            let found = self.search(&backtests, seed, &mut report_all)?;
            trials += found.trials;
            evaluations += found.evaluated.len();
            objectives.extend(objectives_of(&found));
            let winner = found.best.first().map(|winner| (winner.values.clone(), winner.detail.clone()));
            let is_stopped = found.stopped.is_some();
            // The window whose search was stopped is not in `results`, because it was searched with less effort than
            // the others.
            last = Some((found, backtests));
            let Some((values, in_sample)) = winner.filter(|_| !is_stopped) else { break };
            let outside = self.evaluate(&self.backtests(&window.out_of_sample, true), &[&values]);
            let Some(out_of_sample) = outside.into_iter().next().flatten() else { break };
            results.push(WindowResult { window: window.clone(), values, in_sample, out_of_sample });
        }
        let Some((found, backtests)) = last else { return Err(SearchError::TooFewBars) };
        let mut result = self.judged(found, &backtests, trials, evaluations);
        result.objectives = objectives;
        if !results.is_empty() {
            result.walk_forward = Some(self.joined(results));
        }
        self.warn(&mut result);
        Ok(result)
    }

    fn search<E: Evaluate>(
        &self,
        evaluator: &E,
        seed: Seed,
        report: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Found<E::Detail>, SearchError> {
        let options = Options { seed, ..self.item.options };
        search(self.item.space, evaluator, &options, self.threads, self.stop, report)
    }

    fn backtests(&self, bars: &Range<usize>, closes_at_end: bool) -> Backtests<'a, F> {
        let window = Window { bars: bars.clone(), closes_at_end };
        Backtests::new(self.item.market, self.item.settings, self.item.objective, &self.item.signals, &window)
    }

    /// Evaluates points after the search and returns their details: even if its time is up, but not if it was
    /// cancelled.
    fn evaluate<E: Evaluate>(&self, evaluator: &E, points: &[&[f64]]) -> Vec<Option<E::Detail>> {
        let in_overtime = StopFlag::default();
        let stop = if self.stop.reason() == Some(StopReason::OutOfTime) { &in_overtime } else { self.stop };
        let outcomes = evaluate_all(evaluator, points, &Mutex::default(), self.threads, stop);
        outcomes.into_iter().map(|outcome| outcome.map(|outcome| outcome.detail)).collect()
    }

    fn judged(
        &self,
        found: Found<Metrics>,
        backtests: &Backtests<'a, F>,
        trials: usize,
        evaluations: usize,
    ) -> ItemResult {
        let mut result = ItemResult {
            best: Vec::new(),
            trials,
            evaluations,
            objectives: objectives_of(&found).collect(),
            deflated_sharpe: None,
            pbo: None,
            stability: None,
            walk_forward: None,
            warnings: Vec::new(),
            stopped: found.stopped,
            evaluated: found.evaluated,
        };
        if let Some(winner) = found.best.first().filter(|_| found.stopped != Some(StopReason::Cancelled)) {
            let daily = winner.detail.daily.as_ref();
            result.deflated_sharpe = daily.and_then(|daily: &Moments| deflated_sharpe(daily, &found.sharpes, trials));
            result.stability = self.stability(winner, backtests);
            result.pbo = self.pbo(&result.evaluated, backtests);
        }
        result.best = found.best.into_iter().map(candidate).collect();
        result
    }

    fn stability(&self, winner: &Evaluation<Metrics>, backtests: &Backtests<'a, F>) -> Option<f64> {
        let objective = winner.score.objective?;
        let neighbours = self.item.space.neighbours(&winner.point);
        let values: Vec<Vec<f64>> = neighbours.iter().map(|point| self.item.space.values(point)).collect();
        let points: Vec<&[f64]> = values.iter().map(|values| &values[..]).collect();
        let metrics: Option<Vec<Metrics>> = self.evaluate(backtests, &points).into_iter().collect();
        let objectives: Vec<Option<f64>> = metrics?.iter().map(|metrics| self.item.objective.of(metrics)).collect();
        stability(objective, &objectives)
    }

    /// Runs a sample of the trials once more, because daily returns of all of them would not be kept in memory.
    fn pbo(&self, evaluated: &[(Point, Score)], backtests: &Backtests<'a, F>) -> Option<f64> {
        let mut places: Vec<usize> = (0..evaluated.len()).collect();
        self.item.options.seed.stream(u64::MAX, 1).shuffle(&mut places);
        places.truncate(PBO_MAX_TRIALS);
        places.sort_unstable();
        let values: Vec<Vec<f64>> = places.iter().map(|&place| self.item.space.values(&evaluated[place].0)).collect();
        let points: Vec<&[f64]> = values.iter().map(|values| &values[..]).collect();
        let returns: Option<Vec<Vec<f64>>> = self.evaluate(&DailyReturns(backtests), &points).into_iter().collect();
        probability_of_overfitting(&returns?)
    }

    /// Runs the winners one after the other, each with the money that the one before it left.
    fn joined(&self, windows: Vec<WindowResult>) -> WalkResult {
        let Item { market, settings, .. } = self.item;
        let first = windows.first().map_or(0, |window| window.window.out_of_sample.start);
        let mut curve = Full::new(market, settings.capital(), first);
        let mut total = Account::new(settings.capital());
        for window in &windows {
            let bars = window.window.out_of_sample.clone();
            let Ok(settings) = settings.with_capital(total.equity) else {
                // Nothing is left to trade with.
                curve.flat(bars, total.equity);
                continue;
            };
            let signals = (self.item.signals)(&window.values);
            let account = run_fitting(market, &signals, &settings, &Window { bars, closes_at_end: true }, &mut curve);
            total = total.then(&account);
        }
        let pairs: Vec<Efficiency> = windows.iter().map(|window| self.efficiency(window)).collect();
        let metrics = curve.metrics(&total);
        let equity = curve.equity().to_vec();
        WalkResult { efficiency: efficiency(self.item.objective, &pairs), metrics, equity, windows }
    }

    fn efficiency(&self, window: &WindowResult) -> Efficiency {
        let times = self.item.market.bars().time();
        let years = |bars: &Range<usize>| crate::metrics::years(times[bars.start], times[bars.end - 1]);
        Efficiency {
            in_sample: self.item.objective.of(&window.in_sample),
            in_years: years(&window.window.in_sample),
            out_of_sample: self.item.objective.of(&window.out_of_sample),
            out_years: years(&window.window.out_of_sample),
        }
    }

    fn warn(&self, result: &mut ItemResult) {
        let Some(winner) = result.best.first() else { return };
        let walk = result.walk_forward.as_ref();
        result.warnings = warnings(&Findings {
            objective: self.item.objective,
            in_sample: &winner.in_sample,
            out_of_sample: winner.out_of_sample.as_ref().or(walk.map(|walk| &walk.metrics)),
            trials: result.trials,
            deflated_sharpe: result.deflated_sharpe,
            pbo: result.pbo,
            stability: result.stability,
            walk_forward_efficiency: walk.and_then(|walk| walk.efficiency),
            min_trades: self.item.options.min_trades,
            at_the_edge: &self.item.space.at_the_edge(&winner.point),
            out_of_time: result.stopped == Some(StopReason::OutOfTime),
        });
    }
}

fn objectives_of<D>(found: &Found<D>) -> impl Iterator<Item = Option<f64>> {
    found.evaluated.iter().map(|(_, score)| score.objective)
}

fn candidate(evaluation: Evaluation<Metrics>) -> Candidate {
    let Evaluation { point, values, score, detail } = evaluation;
    Candidate { point, values, score, in_sample: detail, out_of_sample: None }
}
