//! Moving averages. Each kernel begins at the first number of `x` and leaves `na` until it has a window.

use super::window;
use crate::number::real;

/// Mean of `n` numbers.
pub(super) fn simple(x: &[f64], n: usize, out: &mut [f64]) {
    let add = |sum: f64, x: f64, anchor: f64| sum + (x - anchor);
    let join = |end: f64, start: f64, _, anchor: f64| anchor + (end + start) / real(n);
    window::windows(x, n, out, 0.0, add, |sum, x, anchor, _| add(sum, x, anchor), join);
}

/// Mean of the first `n` numbers, the seed of recursive averages.
fn seed(x: &[f64], n: usize) -> Option<f64> {
    let first = *x.first()?;
    Some(first + x.get(..n)?.iter().map(|number| number - first).sum::<f64>() / real(n))
}

/// Writes a recursive average of `x` from its seed on. `step` makes the next average of the last one and a number.
fn follow(x: &[f64], n: usize, out: &mut [f64], step: impl Fn(f64, f64) -> f64) {
    let Some(mut average) = seed(x, n) else { return };
    out[n - 1] = average;
    for (number, out) in x[n..].iter().zip(&mut out[n..]) {
        average = step(average, *number);
        *out = average;
    }
}

/// Exponential average: α = 2/(n+1), seeded by the mean of the first `n`.
pub(super) fn exponential(x: &[f64], n: usize, out: &mut [f64]) {
    let alpha = 2.0 / (real(n) + 1.0);
    follow(x, n, out, |average, number| average + alpha * (number - average));
}

/// Wilder's average: α = 1/n, seeded by the mean of the first `n`.
pub(super) fn wilder(x: &[f64], n: usize, out: &mut [f64]) {
    let length = real(n);
    follow(x, n, out, |average, number| (average * (length - 1.0) + number) / length);
}

/// Weighted average, with weights from 1 for the oldest to `n` for the newest.
pub(super) fn weighted(x: &[f64], n: usize, out: &mut [f64]) {
    let total = real(n) * (real(n) + 1.0) / 2.0;
    window::weighted(x, n, out, |anchor, _, weighted| anchor + weighted / total);
}

/// Arnaud Legoux's average: weights of a bell curve whose middle lies at `offset` of the window, 1 being the newest bar, and
/// whose deviation is n/sigma.
pub(super) fn legoux(x: &[f64], n: usize, offset: f64, sigma: f64, out: &mut [f64]) {
    let (middle, deviation) = (offset * (real(n) - 1.0), real(n) / sigma);
    let weight = |place| libm::exp(-(real(place) - middle) * (real(place) - middle) / (2.0 * deviation * deviation));
    let weights: Vec<f64> = (0..n).map(weight).collect();
    let total: f64 = weights.iter().sum();
    for (window, out) in x.windows(n).zip(&mut out[n.saturating_sub(1).min(x.len())..]) {
        *out = window.iter().zip(&weights).map(|(number, weight)| number * weight).sum::<f64>() / total;
    }
}

/// Kaufman's adaptive average: the larger the net move of `n` bars is in relation to the sum of their moves, the
/// faster it is. Seeded by the number at `n − 1`, defined from `n` on.
pub(super) fn kaufman(x: &[f64], n: usize, fast: f64, slow: f64, out: &mut [f64]) {
    let moves: Vec<f64> = x.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let mut noise = vec![f64::NAN; moves.len()];
    window::sums(&moves, n, &mut noise);
    let (fast, slow) = (2.0 / (fast + 1.0), 2.0 / (slow + 1.0));
    let Some(mut average) = x.get(n - 1).copied() else { return };
    for bar in n..x.len() {
        let noise = noise[bar - 1];
        let efficiency = if noise == 0.0 { 0.0 } else { (x[bar] - x[bar - n]).abs() / noise };
        let speed = efficiency * (fast - slow) + slow;
        average += speed * speed * (x[bar] - average);
        out[bar] = average;
    }
}
