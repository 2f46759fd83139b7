//! Returns by day and month: Sharpe, Sortino and their moments.

use super::ratio;

/// The minimum number of daily returns that ratios are computed from.
pub const MIN_OBSERVATIONS: usize = 30;

const YEAR_MS: f64 = 365.25 * 86_400_000.0;
const MIN_YEARS_OF_CAGR: f64 = 30.0 / 365.25;
/// TradingView's default risk-free rate: 2 % a year.
const TRADINGVIEW_MONTHLY_RATE: f64 = 0.02 / 12.0;
/// A deviation below this share of the mean is a rounding error of equal numbers.
const ROUNDING: f64 = 1e-12;

/// Moments of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// The size of the sample.
    pub count: usize,
    /// The mean.
    pub mean: f64,
    /// The sample deviation, with n − 1; `None` for one number, or for equal numbers.
    pub deviation: Option<f64>,
    /// Third standardised moment, corrected for the bias of a sample; 0 below four numbers or without a deviation.
    pub skewness: f64,
    /// Fourth standardised moment, likewise, which is 3 for a normal distribution; 3 below four numbers or without a deviation.
    pub kurtosis: f64,
}

impl Moments {
    /// The moments of a sample; `None` if it is empty.
    #[must_use]
    pub fn of(sample: &[f64]) -> Option<Self> {
        let n = count(sample.len());
        let mean = ratio(sample.iter().sum(), n)?;
        let (mut squares, mut cubes, mut fourths) = (0.0, 0.0, 0.0);
        for value in sample {
            let difference = value - mean;
            let square = difference * difference;
            squares += square;
            cubes += square * difference;
            fourths += square * square;
        }
        let variance = squares / n;
        let varies = variance.sqrt() > ROUNDING * mean.abs();
        if sample.len() < 2 || !varies {
            return Some(Self { count: sample.len(), mean, deviation: None, skewness: 0.0, kurtosis: 3.0 });
        }
        let (skewness, kurtosis) = if sample.len() < 4 {
            (0.0, 3.0)
        } else {
            let (skewness, kurtosis) = (cubes / n / (variance * variance.sqrt()), fourths / n / (variance * variance));
            let excess = ((n * n - 1.0) * kurtosis - 3.0 * (n - 1.0) * (n - 1.0)) / ((n - 2.0) * (n - 3.0));
            (skewness * (n * (n - 1.0)).sqrt() / (n - 2.0), excess + 3.0)
        };
        Some(Self { count: sample.len(), mean, deviation: Some((squares / (n - 1.0)).sqrt()), skewness, kurtosis })
    }

    /// Mean, divided by deviation: the Sharpe ratio of one observation, not annualised.
    #[must_use]
    pub fn sharpe(&self) -> Option<f64> {
        ratio(self.mean, self.deviation?)
    }
}

/// The returns between successive equities, the first of them from `before`. An equity that was used up no longer
/// changes, and its returns are 0.
pub(super) fn returns(before: f64, equities: impl Iterator<Item = f64>, returns: &mut Vec<f64>) {
    returns.clear();
    let mut last = before;
    for equity in equities {
        returns.push(if last > 0.0 { (equity - last) / last } else { 0.0 });
        last = equity;
    }
}

/// Years between two instants in epoch milliseconds.
#[expect(clippy::cast_precision_loss, reason = "spans of time are far below 2^53 ms")]
pub(crate) fn years(from: i64, to: i64) -> f64 {
    (to - from) as f64 / YEAR_MS
}

/// Yearly growth from `capital` to `equity`; `None` below 30 days, or if nothing is left.
pub(super) fn cagr(capital: f64, equity: f64, years: f64) -> Option<f64> {
    (years >= MIN_YEARS_OF_CAGR && equity > 0.0).then(|| libm::pow(equity / capital, 1.0 / years) - 1.0)
}

/// The factor by which a ratio of daily observations is annualised: the square root of the number of observations in
/// a year of this series. `None` for fewer than [`MIN_OBSERVATIONS`].
pub(super) fn annualisation(observations: usize, years: f64) -> Option<f64> {
    if observations < MIN_OBSERVATIONS {
        return None;
    }
    ratio(count(observations - 1), years).map(f64::sqrt)
}

/// Mean, divided by the root of the mean squared loss over all observations; `None` without a loss.
pub(super) fn sortino(mean: f64, returns: &[f64]) -> Option<f64> {
    let losses: f64 = returns.iter().map(|value| value.min(0.0)).map(|loss| loss * loss).sum();
    ratio(mean, (losses / count(returns.len())).sqrt())
}

/// TradingView's Sharpe ratio: of monthly returns above 2 % a year, not annualised. `None` below two months.
pub(super) fn sharpe_tradingview(months: &[f64]) -> Option<f64> {
    let moments = Moments::of(months)?;
    ratio(moments.mean - TRADINGVIEW_MONTHLY_RATE, moments.deviation?)
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer observations than a double counts exactly")]
pub(super) fn count(count: usize) -> f64 {
    count as f64
}
