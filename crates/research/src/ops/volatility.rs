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
    let larger = |best: f64, x: f64| if x > best { x } else { best };
    let (before, after) = (|best, x, _| larger(best, x), |best, x, _, _| larger(best, x));
    window::windows(x, n, out, f64::NEG_INFINITY, before, after, |end, start, _, _| larger(end, start));
}

/// Lowest of `n` numbers.
pub(super) fn lowest(x: &[f64], n: usize, out: &mut [f64]) {
    let smaller = |best: f64, x: f64| if x < best { x } else { best };
    let (before, after) = (|best, x, _| smaller(best, x), |best, x, _, _| smaller(best, x));
    window::windows(x, n, out, f64::INFINITY, before, after, |end, start, _, _| smaller(end, start));
}

/// The distance to the highest of `n` in bars, as 0 or a negative number; to the oldest where several are equal.
pub(super) fn highest_bars(x: &[f64], n: usize, out: &mut [f64]) {
    extreme_bars(x, n, out, |newer, older| newer > older);
}

/// The distance to the lowest of `n` in bars, as [`highest_bars`].
pub(super) fn lowest_bars(x: &[f64], n: usize, out: &mut [f64]) {
    extreme_bars(x, n, out, |newer, older| newer < older);
}

/// `wins` is true if the newer of two numbers is taken.
fn extreme_bars(x: &[f64], n: usize, out: &mut [f64], wins: impl Fn(f64, f64) -> bool) {
    let places: Vec<(f64, usize)> = x.iter().copied().zip(0..).collect();
    let newer_of = |older: Option<(f64, usize)>, newer: (f64, usize)| match older {
        Some(older) if !wins(newer.0, older.0) => older,
        _ => newer,
    };
    // An end is extended by an older number, which stays unless a newer one wins.
    let before = |best: Option<(f64, usize)>, older, _| Some(best.map_or(older, |best| newer_of(Some(older), best)));
    let after = |best, newer, _, _| Some(newer_of(best, newer));
    window::windows(&places, n, out, None, before, after, |end, start, items, (_, anchor)| {
        let best = start.map_or(end, |start| Some(newer_of(end, start)));
        best.map_or(f64::NAN, |(_, bar)| real(bar) - real(anchor + items))
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
