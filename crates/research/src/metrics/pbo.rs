//! The probability of backtest overfitting.

/// The number of blocks of days into which the trials' returns are divided.
pub const PBO_BLOCKS: usize = 16;

/// The maximum number of trials that are compared. They are drawn from all trials without regard to their results,
/// because a choice of the best ones would hide overfitting.
pub const PBO_MAX_TRIALS: usize = 512;

/// The minimum number of days of a block.
const MIN_DAYS_PER_BLOCK: usize = 4;
const HALF: usize = PBO_BLOCKS / 2;

/// The probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado and Zhu
/// 2015): the share of all 12,870 halves of the blocks of days whose best trial is not above the median of the trials in the
/// other half. Trials are compared by the Sharpe ratio of their daily returns. Trials that are equal in the other half share
/// their ranks.
///
/// `trials` holds the daily returns of each trial, of the same days. The oldest days that fill no block are left out. `None`
/// below two trials or 64 days.
///
/// # Panics
/// When the trials cover different numbers of days.
#[must_use]
pub fn probability_of_overfitting(trials: &[Vec<f64>]) -> Option<f64> {
    let days = trials.first()?.len();
    assert!(trials.iter().all(|returns| returns.len() == days), "trials cover the same days");
    let length = days / PBO_BLOCKS;
    if trials.len() < 2 || length < MIN_DAYS_PER_BLOCK {
        return None;
    }
    let skipped = days % PBO_BLOCKS;
    let blocks: Vec<Sums> = (0..PBO_BLOCKS).map(|block| Sums::of(trials, skipped + block * length, length)).collect();
    let mut splits = Splits::new(&blocks, trials.len(), length);
    // Each half that holds the first block is examined together with its complement, so every half is examined once.
    splits.chosen[0].copy_from(&blocks[0]);
    splits.choose(1, 1);
    Some(f64::from(splits.overfitted) / f64::from(splits.counted))
}

/// Sums and sums of squares of returns over some days, for each trial.
#[derive(Clone)]
struct Sums {
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn zero(trials: usize) -> Self {
        Self { sum: vec![0.0; trials], squares: vec![0.0; trials] }
    }

    fn of(trials: &[Vec<f64>], first: usize, days: usize) -> Self {
        let of = |value: fn(f64) -> f64| {
            trials.iter().map(|returns| returns[first..first + days].iter().map(|&day| value(day)).sum()).collect()
        };
        Self { sum: of(|day| day), squares: of(|day| day * day) }
    }

    fn copy_from(&mut self, other: &Self) {
        self.sum.copy_from_slice(&other.sum);
        self.squares.copy_from_slice(&other.squares);
    }

    fn set(&mut self, a: &Self, b: &Self, combine: impl Fn(f64, f64) -> f64) {
        let columns = [(&mut self.sum, &a.sum, &b.sum), (&mut self.squares, &a.squares, &b.squares)];
        for (column, a, b) in columns {
            column.iter_mut().zip(a.iter().zip(b)).for_each(|(value, (&a, &b))| *value = combine(a, b));
        }
    }

    /// Writes a number for each trial that orders them as their Sharpe ratios over `days` days do.
    fn scores(&self, days: f64, scores: &mut [f64]) {
        // Where returns are equal, n·Σx² − (Σx)² is nothing but a rounding error.
        const ROUNDING: f64 = 1e-12;
        for (score, (&sum, &squares)) in scores.iter_mut().zip(self.sum.iter().zip(&self.squares)) {
            let spread = days * squares - sum * sum;
            let ratio = sum / spread.max(0.0).sqrt();
            *score = if spread > ROUNDING * days * squares {
                ratio
            } else if sum == 0.0 {
                0.0
            } else {
                sum.signum() * f64::INFINITY
            };
        }
    }
}

/// Goes through all halves that hold the first block.
struct Splits<'a> {
    blocks: &'a [Sums],
    /// Sums over the chosen blocks, after each choice.
    chosen: Vec<Sums>,
    all: Sums,
    rest: Sums,
    days: f64,
    scores: [Vec<f64>; 2],
    overfitted: u32,
    counted: u32,
}

impl<'a> Splits<'a> {
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer days than a double counts exactly")]
    fn new(blocks: &'a [Sums], trials: usize, length: usize) -> Self {
        let mut all = Sums::zero(trials);
        for block in blocks {
            let so_far = all.clone();
            all.set(&so_far, block, |a, b| a + b);
        }
        Self {
            blocks,
            chosen: vec![Sums::zero(trials); HALF],
            all,
            rest: Sums::zero(trials),
            days: (HALF * length) as f64,
            scores: [vec![0.0; trials], vec![0.0; trials]],
            overfitted: 0,
            counted: 0,
        }
    }

    /// Chooses the remaining blocks from `next` on in all ways; `count` are chosen already.
    fn choose(&mut self, next: usize, count: usize) {
        if count == HALF {
            return self.compare();
        }
        for block in next..=PBO_BLOCKS - (HALF - count) {
            let (before, after) = self.chosen.split_at_mut(count);
            after[0].set(&before[count - 1], &self.blocks[block], |a, b| a + b);
            self.choose(block + 1, count + 1);
        }
    }

    fn compare(&mut self) {
        let chosen = &self.chosen[HALF - 1];
        self.rest.set(&self.all, chosen, |all, chosen| all - chosen);
        let [scores, others] = &mut self.scores;
        chosen.scores(self.days, scores);
        self.rest.scores(self.days, others);
        self.overfitted += u32::from(is_overfitted(scores, others)) + u32::from(is_overfitted(others, scores));
        self.counted += 2;
    }
}

/// True if the best trial of one half is at or below the median of the other half.
fn is_overfitted(within: &[f64], outside: &[f64]) -> bool {
    let mut best = 0;
    for (trial, score) in within.iter().enumerate() {
        if *score > within[best] {
            best = trial;
        }
    }
    let (mut below, mut above) = (0_usize, 0_usize);
    for score in outside {
        below += usize::from(*score < outside[best]);
        above += usize::from(*score > outside[best]);
    }
    // The relative rank ω = rank / (n + 1), with shared ranks, is at most a half, so that ln(ω / (1 − ω)) ≤ 0.
    below <= above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_halves_are_compared() {
        let trials = [vec![0.01; 64], vec![0.02; 64]];
        let blocks: Vec<Sums> = (0..PBO_BLOCKS).map(|block| Sums::of(&trials, block * 4, 4)).collect();
        let mut splits = Splits::new(&blocks, 2, 4);
        splits.chosen[0].copy_from(&blocks[0]);
        splits.choose(1, 1);
        assert_eq!(splits.counted, 12_870);
    }

    #[test]
    fn too_few_days_or_trials_say_nothing() {
        assert_eq!(probability_of_overfitting(&[]), None);
        assert_eq!(probability_of_overfitting(&[vec![0.0; 100]]), None);
        assert_eq!(probability_of_overfitting(&[vec![0.0; 63], vec![0.1; 63]]), None);
    }
}
