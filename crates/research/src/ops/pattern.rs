//! Turning points and smoothed candles.

/// The value `right` bars ago, if it is a high: above all `right` bars after it, and below none of the `left` before
/// it.
pub(super) fn pivot_high(x: &[f64], left: usize, right: usize, out: &mut [f64]) {
    pivot(x, left, right, out, |pivot, other| pivot > other, |pivot, other| pivot >= other);
}

/// The value `right` bars ago, if it is a low; see [`pivot_high`].
pub(super) fn pivot_low(x: &[f64], left: usize, right: usize, out: &mut [f64]) {
    pivot(x, left, right, out, |pivot, other| pivot < other, |pivot, other| pivot <= other);
}

fn pivot(
    x: &[f64],
    left: usize,
    right: usize,
    out: &mut [f64],
    beats_right: fn(f64, f64) -> bool,
    beats_left: fn(f64, f64) -> bool,
) {
    for (window, out) in x.windows(left + 1 + right).zip(&mut out[(left + right).min(x.len())..]) {
        let pivot = window[left];
        let is_pivot = window[..left].iter().all(|other| beats_left(pivot, *other))
            && window[left + 1..].iter().all(|other| beats_right(pivot, *other));
        if is_pivot {
            *out = pivot;
        }
    }
}

/// Opens of Heikin-Ashi candles: the middle of the last candle's open and close. The first one is the middle of the
/// first bar.
pub(super) fn heikin_ashi_open(open: &[f64], close: &[f64], mean: &[f64], out: &mut [f64]) {
    let (Some(first), Some(last)) = (open.first(), close.first()) else { return };
    let mut state = f64::midpoint(*first, *last);
    out[0] = state;
    for (before, out) in mean.iter().zip(&mut out[1..]) {
        state = f64::midpoint(state, *before);
        *out = state;
    }
}
