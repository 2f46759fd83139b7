//! Crossings, and values since an event.

use super::TOLERANCE;
use crate::{Bits, number::real};

/// The bars on which `a` is above `b` and was not on the last bar on which both were defined.
pub(super) fn crossed_over(a: &[f64], b: &[f64]) -> Bits {
    crossed(a, b, |a, b| a > b, |a, b| a <= b)
}

/// The bars on which `a` is below `b` and was not on the last bar on which both were defined.
pub(super) fn crossed_under(a: &[f64], b: &[f64]) -> Bits {
    crossed(a, b, |a, b| a < b, |a, b| a >= b)
}

fn crossed(a: &[f64], b: &[f64], now: impl Fn(f64, f64) -> bool, before: impl Fn(f64, f64) -> bool) -> Bits {
    let now = Bits::from_pairs(a, b, now);
    let before = Bits::from_pairs(a, b, before);
    // On each bar on which both are defined, one of the two holds.
    let defined = now.or(&before);
    let first = defined.next_one(0).unwrap_or(a.len());
    if defined.count_ones() == a.len() - first {
        return now.and(&before.shifted(1));
    }
    // Where `na` lies between, a bar is compared with the last one on which both were defined.
    let mut crossed = Bits::new(a.len());
    let mut last = None;
    for bar in defined.iter_ones() {
        if now.get(bar) && last.is_some_and(|last| before.get(last)) {
            crossed.set(bar);
        }
        last = Some(bar);
    }
    crossed
}

/// The number of bars since `event` last held; `na` before it first did.
pub(super) fn bars_since(event: &Bits, out: &mut [f64]) {
    let mut last = None;
    for (bar, out) in out.iter_mut().enumerate() {
        last = if event.get(bar) { Some(bar) } else { last };
        *out = last.map_or(f64::NAN, |last| real(bar - last));
    }
}

/// The value of `x` when `event` held for the last time, or `occurrence` times before that.
pub(super) fn value_when(event: &Bits, x: &[f64], occurrence: usize, out: &mut [f64]) {
    let mut events: Vec<usize> = Vec::new();
    for (bar, out) in out.iter_mut().enumerate() {
        if event.get(bar) {
            events.push(bar);
        }
        if let Some(&event) = events.len().checked_sub(occurrence + 1).and_then(|place| events.get(place)) {
            *out = x[event];
        }
    }
}

/// The bars on which `x` rose at each of the last `n` steps.
pub(super) fn rising(x: &[f64], n: usize) -> Bits {
    steps(x, n, |before, now| now - before > TOLERANCE)
}

/// The bars on which `x` fell at each of the last `n` steps.
pub(super) fn falling(x: &[f64], n: usize) -> Bits {
    steps(x, n, |before, now| before - now > TOLERANCE)
}

/// Counts steps in one direction. A bar without a number is passed over.
fn steps(x: &[f64], n: usize, goes_on: fn(f64, f64) -> bool) -> Bits {
    let (mut last, mut count) = (f64::NAN, 0);
    Bits::from_fn(x.len(), |bar| {
        if x[bar].is_nan() {
            return false;
        }
        count = if goes_on(last, x[bar]) { count + 1 } else { 0 };
        last = x[bar];
        count >= n
    })
}

/// `x` where `reset` holds; elsewhere `join` of the result of the bar before and `x`. It is `na` before the first
/// reset.
pub(super) fn running(x: &[f64], reset: &Bits, when: &Bits, out: &mut [f64], join: impl Fn(f64, f64) -> f64) {
    let mut state = f64::NAN;
    for (bar, (number, out)) in x.iter().zip(out).enumerate() {
        if reset.get(bar) {
            state = *number;
        } else if when.get(bar) {
            // `na` stays until the next reset, as `math.max` of Pine keeps it.
            state = if state.is_nan() || number.is_nan() { f64::NAN } else { join(state, *number) };
        }
        *out = state;
    }
}

/// Sum of all numbers so far. Rounding errors are collected and added at each bar (Neumaier 1974).
pub(super) fn cumulate(x: &[f64], out: &mut [f64]) {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for (number, out) in x.iter().zip(out) {
        let next = sum + number;
        lost += if sum.abs() >= number.abs() { (sum - next) + number } else { (number - next) + sum };
        sum = next;
        *out = sum + lost;
    }
}
