//! A search: asks a sampler for points, evaluates them on several threads, and ranks them.
//!
//! Threads have no influence on the points that are tried: a batch is evaluated in any order, and the sampler gets its results in
//! the order of its points. The result is therefore the same for any number of threads, unless the search is
//! stopped early.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use rayon::{
    ThreadPool,
    iter::{IntoParallelRefIterator, ParallelIterator},
};

use super::{
    genetic::Genetic,
    grid::Grid,
    rng::Seed,
    sample::Plan,
    sampler::{Method, Sampler, Score, SearchError, ranked},
    space::{Point, Space},
    tpe::Tpe,
};

/// Points between two reports of progress.
const CHUNK: usize = 512;

/// The evaluation of points. All methods must depend on the arguments alone.
pub trait Evaluate: Sync {
    /// Memory that one thread uses again from point to point.
    type Scratch: Send;
    /// The part of an outcome that is kept beside its score.
    type Detail: Send;

    /// Memory for one more thread.
    fn scratch(&self) -> Self::Scratch;

    /// Evaluates the point with these values.
    fn evaluate(&self, scratch: &mut Self::Scratch, values: &[f64]) -> Outcome<Self::Detail>;
}

/// The outcome of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<D> {
    /// The figure to maximise; `None` where it is not defined.
    pub objective: Option<f64>,
    /// The number of closed trades.
    pub trades: usize,
    /// The Sharpe ratio of one observation, for the deflated Sharpe ratio of the winner.
    pub sharpe: Option<f64>,
    /// The part of the outcome that is kept for the best points.
    pub detail: D,
}

/// The options of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The method by which points are chosen.
    pub method: Method,
    /// The maximum number of points that are tried. A point that is chosen again counts again, but is evaluated once.
    pub max_evaluations: usize,
    /// Points with fewer trades rank below all others.
    pub min_trades: usize,
    /// The seed of the random numbers.
    pub seed: Seed,
    /// The number of best points that are kept.
    pub keep: usize,
}

/// The threads that evaluate points.
#[derive(Debug, Clone, Copy)]
pub enum Threads<'a> {
    /// The caller's own.
    Caller,
    /// Those of a pool.
    Pool(&'a ThreadPool),
}

/// A point that was evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation<D> {
    /// The point.
    pub point: Point,
    /// Its values, in the order of the parameters.
    pub values: Vec<f64>,
    /// Its score.
    pub score: Score,
    /// The rest of its outcome.
    pub detail: D,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<D> {
    /// The best points, best first. The first one is the winner.
    pub best: Vec<Evaluation<D>>,
    /// The number of points that were tried, including points that were chosen again.
    pub trials: usize,
    /// The points that were evaluated, in the order in which they were first chosen.
    pub evaluated: Vec<(Point, Score)>,
    /// The Sharpe ratios of one observation, of the evaluated points that have one.
    pub sharpes: Vec<f64>,
    /// The reason for which the search ended before its plan did.
    pub stopped: Option<StopReason>,
}

/// A flag that stops a running search. The search reads it before each evaluation.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicU8);

/// The reason for which a search was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled it.
    Cancelled,
    /// Its time was up.
    OutOfTime,
}

impl StopFlag {
    /// Asks the search to stop. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        let code = match reason {
            StopReason::Cancelled => 1,
            StopReason::OutOfTime => 2,
        };
        // The flag guards no other memory, so relaxed ordering is enough.
        let _ = self.0.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The reason for which the search has to stop, if it has to.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            _ => Some(StopReason::OutOfTime),
        }
    }
}

/// The progress of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress<'a> {
    /// Points tried so far.
    pub done: usize,
    /// The maximum number of points that will be tried.
    pub total: usize,
    /// Values and objective of the best point so far.
    pub best: Option<(&'a [f64], Option<f64>)>,
}

/// Searches a space. `report` is called now and then on the caller's thread.
///
/// # Errors
/// When a grid is too large, or no point fulfils the constraint.
pub fn search<E: Evaluate>(
    space: &Space<'_>,
    evaluator: &E,
    options: &Options,
    threads: Threads<'_>,
    stop: &StopFlag,
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<Found<E::Detail>, SearchError> {
    let count = options.max_evaluations;
    let plan = |plan: Plan| (plan.len(), Box::new(plan) as Box<dyn Sampler>);
    let (total, mut sampler): (usize, Box<dyn Sampler + '_>) = match options.method {
        Method::Grid => {
            let grid = Grid::new(space, count)?;
            (grid.len(), Box::new(grid))
        }
        Method::Random => plan(Plan::random(space, count, options.seed)),
        Method::LatinHypercube => plan(Plan::latin_hypercube(space, count, options.seed)),
        Method::Sobol => plan(Plan::sobol(space, count, options.seed)),
        Method::Tpe => (count, Box::new(Tpe::new(space, options.seed))),
        Method::Genetic => (count, Box::new(Genetic::new(space, options.seed))),
    };
    let mut search = Search::new(space, evaluator, options, threads, stop);
    while search.found.trials < total && search.found.stopped.is_none() {
        let batch = sampler.ask(CHUNK.min(total - search.found.trials));
        if batch.is_empty() {
            break;
        }
        let told = search.evaluate(batch);
        sampler.tell(&told);
        let best = search.found.best.first().map(|best| (&best.values[..], best.score.objective));
        report(&Progress { done: search.found.trials, total, best });
    }
    if search.found.trials == 0 && search.found.stopped.is_none() {
        return Err(SearchError::NoPoint);
    }
    Ok(search.finish())
}

/// Scratch memory that no thread uses at the moment.
pub(super) type Scratches<E> = Mutex<Vec<<E as Evaluate>::Scratch>>;

/// Evaluates points in any order. `None` for those that were not begun before the search was stopped.
pub(super) fn evaluate_all<E: Evaluate>(
    evaluator: &E,
    points: &[&[f64]],
    scratches: &Scratches<E>,
    threads: Threads<'_>,
    stop: &StopFlag,
) -> Vec<Option<Outcome<E::Detail>>> {
    let evaluate = |values: &&[f64]| {
        if stop.reason().is_some() {
            return None;
        }
        let lock = || scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = lock().pop();
        let mut scratch = spare.unwrap_or_else(|| evaluator.scratch());
        let outcome = evaluator.evaluate(&mut scratch, values);
        lock().push(scratch);
        Some(outcome)
    };
    match threads {
        Threads::Caller => points.iter().map(evaluate).collect(),
        Threads::Pool(pool) => pool.install(|| points.par_iter().map(evaluate).collect()),
    }
}

struct Search<'a, E: Evaluate> {
    space: &'a Space<'a>,
    evaluator: &'a E,
    options: &'a Options,
    threads: Threads<'a>,
    stop: &'a StopFlag,
    /// Scores of the points evaluated so far. It is never iterated, because its order is random.
    known: HashMap<Point, Score>,
    found: Found<E::Detail>,
    scratches: Scratches<E>,
}

impl<'a, E: Evaluate> Search<'a, E> {
    fn new(
        space: &'a Space<'a>,
        evaluator: &'a E,
        options: &'a Options,
        threads: Threads<'a>,
        stop: &'a StopFlag,
    ) -> Self {
        let found = Found { best: Vec::new(), trials: 0, evaluated: Vec::new(), sharpes: Vec::new(), stopped: None };
        let (known, scratches) = (HashMap::new(), Mutex::default());
        Self { space, evaluator, options, threads, stop, known, found, scratches }
    }

    /// Evaluates the points of a batch that are new, and returns the scores of all of them.
    fn evaluate(&mut self, batch: Vec<Point>) -> Vec<(Point, Score)> {
        let mut new: Vec<(Point, Vec<f64>)> = Vec::new();
        let mut places: HashMap<&Point, usize> = HashMap::new();
        for point in &batch {
            if !self.known.contains_key(point) && !places.contains_key(point) {
                places.insert(point, new.len());
                new.push((point.clone(), self.space.values(point)));
            }
        }
        let values: Vec<&[f64]> = new.iter().map(|(_, values)| &values[..]).collect();
        let outcomes = evaluate_all(self.evaluator, &values, &self.scratches, self.threads, self.stop);
        for ((point, values), outcome) in new.into_iter().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            let has_enough_trades = outcome.trades >= self.options.min_trades;
            let score = Score { objective: outcome.objective, trades: outcome.trades, has_enough_trades };
            self.known.insert(point.clone(), score);
            self.found.evaluated.push((point.clone(), score));
            self.found.sharpes.extend(outcome.sharpe);
            self.found.best.push(Evaluation { point, values, score, detail: outcome.detail });
        }
        self.found.stopped = self.stop.reason();
        self.rank();
        // Points that were not evaluated, because the search was stopped, are neither returned nor counted.
        let known = |point: Point| self.known.get(&point).map(|&score| (point, score));
        let told: Vec<(Point, Score)> = batch.into_iter().filter_map(known).collect();
        self.found.trials += told.len();
        told
    }

    /// Sorts the best points, and drops those beyond the number that is kept.
    fn rank(&mut self) {
        self.found.best.sort_by(|a, b| ranked((&a.point, &a.score), (&b.point, &b.score)));
        self.found.best.truncate(self.options.keep.max(1));
    }

    fn finish(self) -> Found<E::Detail> {
        self.found
    }
}
