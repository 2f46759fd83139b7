//! Measures of the trust that a winner deserves: probabilistic and deflated Sharpe ratio, stability, and warnings in words.

use super::{Metrics, Moments, Objective, normal_cdf, normal_quantile, ratio, returns::count};

/// A deflated Sharpe ratio above this is convincing.
const CONVINCING: f64 = 0.95;
/// A probability of overfitting above this says that the choice of the winner was worth nothing.
const OVERFITTED: f64 = 0.5;
/// Below this share of the winner's objective, its neighbours count as much worse.
const STABLE: f64 = 0.5;
/// A walk-forward efficiency that is acceptable (Pardo, "The Evaluation and Optimization of Trading Strategies").
const EFFICIENT: f64 = 0.5;

/// The probability that the true Sharpe ratio is above `benchmark`, given the moments of a sample of returns (Bailey and López de
/// Prado 2012). Both ratios are those of one observation, not annualised. `None` without a deviation.
///
/// The paper leaves open how the moments are estimated. As in the package purgedcv, the ratio is that of the whole sample, with a
/// deviation by n, and the higher moments are corrected for bias.
#[must_use]
pub fn probabilistic_sharpe(returns: &Moments, benchmark: f64) -> Option<f64> {
    let n = count(returns.count);
    let sharpe = ratio(returns.sharpe()?, ((n - 1.0) / n).sqrt())?;
    let variance = 1.0 - returns.skewness * sharpe + (returns.kurtosis - 1.0) / 4.0 * sharpe * sharpe;
    let score = ratio((sharpe - benchmark) * (n - 1.0).sqrt(), variance.sqrt())?;
    Some(normal_cdf(score))
}

/// The Sharpe ratio that the best of `trials` strategies without any skill is expected to show, if the ratios of the trials have
/// this sample variance (Bailey and López de Prado 2014). Trials that resemble each other count less than independent ones, so
/// this is an upper bound.
#[must_use]
pub fn expected_best_sharpe(variance: f64, trials: usize) -> f64 {
    /// Euler's and Mascheroni's constant.
    const GAMMA: f64 = 0.577_215_664_901_532_9;
    if trials < 2 {
        return 0.0;
    }
    let share = 1.0 / count(trials);
    let highest = -normal_quantile(share);
    let spread = -normal_quantile(share / std::f64::consts::E);
    variance.sqrt() * ((1.0 - GAMMA) * highest + GAMMA * spread)
}

/// The probability that the winner of `trials` has skill: its probabilistic Sharpe ratio against
/// [`expected_best_sharpe`]. `sharpes` are those of the trials, of one observation each. `None` if the winner has none.
#[must_use]
pub fn deflated_sharpe(winner: &Moments, sharpes: &[f64], trials: usize) -> Option<f64> {
    let deviation = Moments::of(sharpes).and_then(|sharpes| sharpes.deviation).unwrap_or(0.0);
    probabilistic_sharpe(winner, expected_best_sharpe(deviation * deviation, trials))
}

/// The median objective of the winner's neighbours, divided by the winner's own. A neighbour without an objective
/// counts as the worst. `None` if there are no neighbours, or the winner's objective is not above 0.
#[must_use]
pub fn stability(winner: f64, neighbours: &[Option<f64>]) -> Option<f64> {
    let mut sorted: Vec<f64> = neighbours.iter().map(|objective| objective.unwrap_or(f64::NEG_INFINITY)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let median = if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) };
    if winner > 0.0 { ratio(median, winner) } else { None }
}

/// The facts about an item's winner, for [`warnings`].
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a> {
    /// The figure that was maximised.
    pub objective: Objective,
    /// The winner on the candles that it was chosen on.
    pub in_sample: &'a Metrics,
    /// The winner on the candles after them.
    pub out_of_sample: Option<&'a Metrics>,
    /// The number of points that were tried, all windows included.
    pub trials: usize,
    /// See [`deflated_sharpe`].
    pub deflated_sharpe: Option<f64>,
    /// See [`probability_of_overfitting`](super::probability_of_overfitting).
    pub pbo: Option<f64>,
    /// See [`stability`].
    pub stability: Option<f64>,
    /// Objective out of sample, divided by objective in sample, of all windows.
    pub walk_forward_efficiency: Option<f64>,
    /// The number of trades below which a run ranks after all others.
    pub min_trades: usize,
    /// Names of the parameters whose winning value is the lowest or the highest of their range.
    pub at_the_edge: &'a [&'a str],
    /// True if the search ended before its plan did, because its time was up.
    pub out_of_time: bool,
}

/// Warnings for readers of the winner, one sentence each.
#[must_use]
pub fn warnings(findings: &Findings<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    if findings.out_of_time {
        sentences.push(
            "The search was stopped when its time was up, so that the winner is the best of a part of it.".into(),
        );
    }
    sentences.extend(too_few_trades(findings));
    sentences.extend(luck(findings));
    if let Some(pbo) = findings.pbo.filter(|pbo| *pbo > OVERFITTED) {
        sentences.push(format!(
            "In {:.0} % of the splits of the days, the best trial of one half was below the median in the other half \
             (probability of backtest overfitting {pbo:.2}; below 0.5 is acceptable).",
            100.0 * pbo
        ));
    }
    if let Some(stability) = findings.stability.filter(|stability| *stability < STABLE) {
        sentences.push(format!(
            "The winner stands alone: one step beside its parameters the median objective is {stability:.2} of the \
             winner's (above 0.5 is acceptable)."
        ));
    }
    sentences.extend(worse_out_of_sample(findings));
    if let Some(efficiency) = findings.walk_forward_efficiency.filter(|efficiency| *efficiency < EFFICIENT) {
        sentences.push(format!(
            "Walk-forward efficiency is {efficiency:.2}: the windows kept that share of their in-sample objective on new \
             candles (above 0.5 is acceptable)."
        ));
    }
    if !findings.at_the_edge.is_empty() {
        sentences.push(format!(
            "The winner lies at the edge of the range of {}; a wider range may hold a better one.",
            findings.at_the_edge.join(", ")
        ));
    }
    sentences
}

fn too_few_trades(findings: &Findings<'_>) -> Option<String> {
    let (trades, least) = (findings.in_sample.trades.trades, findings.min_trades);
    (trades < least).then(|| {
        format!("No trial made {least} trades; the winner made {trades}, which says little about the next ones.")
    })
}

/// The winner may be the luckiest of many.
fn luck(findings: &Findings<'_>) -> Option<String> {
    let deflated = findings.deflated_sharpe.filter(|deflated| *deflated < CONVINCING)?;
    let sharpe = findings.in_sample.sharpe?;
    Some(format!(
        "The winner's Sharpe of {sharpe:.2} is what the best of {} random strategies would show (deflated Sharpe \
         {deflated:.2}; above 0.95 is convincing).",
        grouped(findings.trials)
    ))
}

fn worse_out_of_sample(findings: &Findings<'_>) -> Option<String> {
    let within = findings.objective.of(findings.in_sample)?;
    let name = findings.objective.name();
    let Some(outside) = findings.objective.of(findings.out_of_sample?) else {
        return Some(format!("Out of sample the winner has no {name}: it traded too little there."));
    };
    // Sums of money are not compared: the two parts differ in length.
    let is_worse = outside <= 0.0 || (!findings.objective.grows_with_time() && outside < 0.5 * within);
    (within > 0.0 && is_worse).then(|| format!("Out of sample {name} fell from {within:.2} to {outside:.2}."))
}

/// A count with commas between thousands.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(grouped), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn stability_is_the_median_of_the_neighbours() {
        assert_eq!(stability(2.0, &[Some(1.0), Some(3.0), Some(1.5)]), Some(0.75));
        assert_eq!(stability(2.0, &[Some(1.0), Some(2.0)]), Some(0.75));
        assert_eq!(stability(2.0, &[Some(1.0), None, Some(2.0)]), Some(0.5));
        assert_eq!(stability(2.0, &[None]), None);
        assert_eq!(stability(2.0, &[]), None);
        assert_eq!(stability(-1.0, &[Some(1.0)]), None);
    }

    #[test]
    fn one_trial_needs_no_deflation() {
        let moments = Moments { count: 101, mean: 0.1, deviation: Some(1.0), skewness: 0.0, kurtosis: 3.0 };
        assert_eq!(deflated_sharpe(&moments, &[0.1], 1), probabilistic_sharpe(&moments, 0.0));
        // The ratio of the whole sample is 0.1 by √(100 / 101), so that its square is 0.0101.
        let expected = normal_cdf(1.01_f64.sqrt() / (1.0_f64 + 0.5 * 0.0101).sqrt());
        assert!((probabilistic_sharpe(&moments, 0.0).unwrap() - expected).abs() < 1e-15);
        assert_eq!(
            probabilistic_sharpe(&moments, 0.0101_f64.sqrt()).map(|found| (found - 0.5).abs() < 1e-12),
            Some(true)
        );
        let flat = Moments { deviation: None, ..moments };
        assert_eq!(probabilistic_sharpe(&flat, 0.0), None);
    }
}
