//! The interface of all methods, and the ranking of points.

use std::{cmp::Ordering, fmt};

use super::space::{Point, Space};

/// Chooses points in batches. It gets the scores of a whole batch before it is asked for the next one, so that the order in
/// which a batch is evaluated does not matter.
pub(super) trait Sampler {
    /// The next points, at most `room`. They fulfil the constraint, and may have been returned before. An empty list
    /// ends the search.
    fn ask(&mut self, room: usize) -> Vec<Point>;

    /// The scores of the points of the last batch, in its order.
    fn tell(&mut self, batch: &[(Point, Score)]);
}

/// The score of a point. Greater is better: a defined objective before none, enough trades before too few, a higher
/// objective, more trades.
#[derive(Debug, Clone, Copy)]
pub struct Score {
    /// The figure to maximise; `None` where it is not defined.
    pub objective: Option<f64>,
    /// The number of closed trades.
    pub trades: usize,
    /// True if there are at least as many trades as the search demands.
    pub has_enough_trades: bool,
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        let tier = |score: &Self| match score.objective {
            None => 0,
            Some(_) => 1 + u8::from(score.has_enough_trades),
        };
        let objective = |score: &Self| score.objective.unwrap_or(0.0);
        // Adding 0 makes a negative zero equal to zero.
        let by_objective = (objective(self) + 0.0).total_cmp(&(objective(other) + 0.0));
        tier(self).cmp(&tier(other)).then(by_objective).then(self.trades.cmp(&other.trades))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

/// The order of a ranking, best first: by score, then by smaller values, the first parameter first.
pub(super) fn ranked((a_point, a): (&Point, &Score), (b_point, b): (&Point, &Score)) -> Ordering {
    b.cmp(a).then_with(|| a_point.cmp(b_point))
}

/// Draws points at random until one fulfils the constraint; `None` after many attempts.
pub(super) fn random_allowed(space: &Space<'_>, stream: &mut super::rng::Stream) -> Option<Point> {
    const ATTEMPTS: usize = 1_000;
    let points =
        std::iter::repeat_with(|| space.at(space.parameters().iter().map(|_| stream.unit()).collect::<Vec<_>>()));
    points.take(ATTEMPTS).find(|point| space.allows(point))
}

/// The method by which points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// All combinations.
    Grid,
    /// Uniformly at random, none twice.
    Random,
    /// One point in each of as many strata of each parameter as there are points.
    LatinHypercube,
    /// Owen-scrambled Sobol points, at most 65,536.
    Sobol,
    /// Tree-structured Parzen estimator (Bergstra et al. 2011).
    Tpe,
    /// Genetic algorithm.
    Genetic,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 6] = [Self::Grid, Self::Random, Self::LatinHypercube, Self::Sobol, Self::Tpe, Self::Genetic];

    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::LatinHypercube => "latin_hypercube",
            Self::Sobol => "sobol",
            Self::Tpe => "tpe",
            Self::Genetic => "genetic",
        }
    }

    /// The method with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// The reason for which a search cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchError {
    /// A grid has more points than may be evaluated.
    GridTooLarge {
        /// The number of points. Above 10,000,000 combinations, those that break a constraint are counted too.
        points: u64,
        /// The number of points that may be evaluated.
        limit: usize,
    },
    /// No point was found that fulfils the constraint.
    NoPoint,
    /// There are too few bars for one walk-forward window.
    TooFewBars,
    /// There are more walk-forward windows than [`MAX_WINDOWS`].
    TooManyWindows {
        /// The number of windows.
        windows: usize,
    },
}

/// The maximum number of walk-forward windows, each of which takes a kilobyte.
pub const MAX_WINDOWS: usize = 10_000;

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GridTooLarge { points, limit } => write!(
                f,
                "the grid has {points} points, but at most {limit} may be evaluated; choose larger steps, smaller ranges or \
                 another method"
            ),
            Self::NoPoint => f.write_str("no point of the ranges fulfils the strategy's constraints; widen the ranges"),
            Self::TooManyWindows { windows } => write!(
                f,
                "there are {windows} walk-forward windows, but at most {MAX_WINDOWS} are searched; choose longer windows or fewer candles"
            ),
            Self::TooFewBars => f.write_str(
                "there are too few candles for one walk-forward window; choose shorter windows or more candles",
            ),
        }
    }
}

impl std::error::Error for SearchError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(objective: Option<f64>, trades: usize) -> Score {
        Score { objective, trades, has_enough_trades: trades >= 30 }
    }

    #[test]
    fn scores_rank_by_number_then_enough_trades_then_objective_then_trades() {
        let best_first = [
            score(Some(2.0), 30),
            score(Some(1.0), 40),
            score(Some(1.0), 30),
            score(Some(-5.0), 31),
            score(Some(9.0), 29),
            score(Some(0.0), 2),
            score(None, 50),
            score(None, 0),
        ];
        for (better, worse) in best_first.iter().zip(&best_first[1..]) {
            assert!(better > worse, "{better:?} {worse:?}");
        }
        assert_eq!(score(Some(0.0), 30), score(Some(-0.0), 30));
        let (a, b) = (Point(vec![0, 5]), Point(vec![1, 0]));
        assert_eq!(ranked((&a, &best_first[1]), (&b, &best_first[1])), Ordering::Less);
        assert_eq!(ranked((&a, &best_first[1]), (&b, &best_first[0])), Ordering::Greater);
    }
}
