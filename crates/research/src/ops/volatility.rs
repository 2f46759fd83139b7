//! Ranges and deviations.

use super::window;
use crate::number::real;

/// Population variance. It is never below 0.
pub(super) fn variance(x: &[f64], n: usize, out: &mut [f64]) {
    window::moments(x, n, out, |_, sum, squares| {
        let mean = sum / real(n);
        (squares / real(n) - mean * mean).max(0.0)
    });
}

/// Population standard deviation.
pub(super) fn deviation(x: &[f64], n: usize, out: &mut [f64]) {
    variance(x, n, out);
    for variance in out {
        *variance = variance.sqrt();
    }
}

/// Highest of `n` numbers.
pub(super) fn highest(x: &[f64], n: usize, out: &mut [f64]) {
    let larger = |best: f64, bar: usize, _| if x[bar] > best { x[bar] } else { best };
    window::windows(
        out,
        n,
        f64::NEG_INFINITY,
        larger,
        larger,
        |end, start, _, _| if start > end { start } else { end },
    );
}

/// Lowest of `n` numbers.
pub(super) fn lowest(x: &[f64], n: usize, out: &mut [f64]) {
    let smaller = |best: f64, bar: usize, _| if x[bar] < best { x[bar] } else { best };
    window::windows(out, n, f64::INFINITY, smaller, smaller, |end, start, _, _| if start < end { start } else { end });
}

/// The distance to the highest of `n` in bars, as 0 or a negative number; to the oldest where several are equal.
pub(super) fn highest_bars(x: &[f64], n: usize, out: &mut [f64]) {
    extreme_bars(n, out, |newer, older| x[newer] > x[older]);
}

/// The distance to the lowest of `n` in bars, as [`highest_bars`].
pub(super) fn lowest_bars(x: &[f64], n: usize, out: &mut [f64]) {
    extreme_bars(n, out, |newer, older| x[newer] < x[older]);
}

/// `wins` says whether the newer of two bars is to be taken.
fn extreme_bars(n: usize, out: &mut [f64], wins: impl Fn(usize, usize) -> bool) {
    let before = |best: Option<usize>, bar: usize, _| Some(best.filter(|&best| wins(best, bar)).unwrap_or(bar));
    let after = |best: Option<usize>, bar: usize, _| Some(best.filter(|&best| !wins(bar, best)).unwrap_or(bar));
    window::windows(out, n, None, before, after, |end, start, bars, anchor| {
        let best = match (end, start) {
            (Some(end), Some(start)) => Some(if wins(start, end) { start } else { end }),
            (best, other) => best.or(other),
        };
        best.map_or(f64::NAN, |best| real(best) - real(anchor + bars))
    });
}

/// True range: the largest of high − low and the distances of high and low from the close before. The first bar has no close
/// before it: `first` says whether it is high − low there, or `na`.
pub(super) fn true_range(high: &[f64], low: &[f64], close: &[f64], first: bool, out: &mut [f64]) {
    if let (true, Some(out)) = (first, out.first_mut()) {
        *out = high[0] - low[0];
    }
    let bars = high.iter().zip(low).skip(1).zip(close).zip(out.iter_mut().skip(1));
    for (((high, low), before), out) in bars {
        *out = (high - low).max((high - before).abs()).max((low - before).abs());
    }
}
