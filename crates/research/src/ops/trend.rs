//! Directions, stops that follow a price, and least squares.

use super::{TOLERANCE, average, volatility, window};
use crate::number::real;

/// Wilder's directional movement: +DI and −DI over `n` bars, and ADX, their smoothed difference over `m`.
pub(super) fn directional(high: &[f64], low: &[f64], close: &[f64], n: usize, m: usize, out: [&mut [f64]; 3]) {
    if high.is_empty() {
        return;
    }
    let [plus, minus, index] = out;
    let moved = |is_up: bool| -> Vec<f64> {
        let pairs = high.windows(2).zip(low.windows(2));
        let moves = pairs.map(|(high, low)| (high[1] - high[0], low[0] - low[1]));
        let moves = moves.map(|(up, down)| if is_up { (up, down) } else { (down, up) });
        moves.map(|(this, other)| if this > other + TOLERANCE && this > TOLERANCE { this } else { 0.0 }).collect()
    };
    let mut range = vec![f64::NAN; high.len()];
    volatility::true_range(high, low, close, false, &mut range);
    let smooth = |x: &[f64]| {
        let mut out = vec![f64::NAN; x.len()];
        average::wilder(x, n, &mut out);
        out
    };
    let (range, up, down) = (smooth(&range[1..]), smooth(&moved(true)), smooth(&moved(false)));
    let mut strength = Vec::with_capacity(range.len());
    for bar in n - 1..range.len() {
        let range = if range[bar] == 0.0 { f64::NAN } else { range[bar] };
        (plus[bar + 1], minus[bar + 1]) = (100.0 * up[bar] / range, 100.0 * down[bar] / range);
        let sum = plus[bar + 1] + minus[bar + 1];
        strength.push((plus[bar + 1] - minus[bar + 1]).abs() / if sum == 0.0 { 1.0 } else { sum });
    }
    if strength.is_empty() {
        return;
    }
    crate::column::over_defined([&strength], &mut index[n..], |[strength], out| {
        average::wilder(strength, m, out);
        for index in out {
            *index *= 100.0;
        }
    });
}

/// Supertrend: the line and the direction, −1 in an upward trend and 1 in a downward one. The lower band never falls and the
/// upper band never rises until the close before has crossed it; the trend begins downward.
pub(super) fn supertrend(
    [high, low, close]: [&[f64]; 3],
    range: &[f64],
    factor: f64,
    first: usize,
    [line, direction]: [&mut [f64]; 2],
) {
    let (mut lower, mut upper, mut side) = (f64::NAN, f64::NAN, 1.0);
    for bar in first..close.len() {
        let middle = f64::midpoint(high[bar], low[bar]);
        let (new_lower, new_upper) = (middle - factor * range[bar], middle + factor * range[bar]);
        if bar == first {
            (lower, upper) = (new_lower, new_upper);
        } else {
            lower = if new_lower > lower || close[bar - 1] < lower { new_lower } else { lower };
            upper = if new_upper < upper || close[bar - 1] > upper { new_upper } else { upper };
            side = match side {
                1.0 if close[bar] > upper => -1.0,
                -1.0 if close[bar] < lower => 1.0,
                side => side,
            };
        }
        direction[bar] = side;
        line[bar] = if side < 0.0 { lower } else { upper };
    }
}

/// Wilder's parabolic stop and reverse. Bar 1 decides the first side: downward if its high is below that of bar 0.
pub(super) fn parabolic([high, low]: [&[f64]; 2], begin: f64, increase: f64, max: f64, out: &mut [f64]) {
    if high.len() < 2 {
        return;
    }
    let mut rising = high[0] <= high[1];
    let (mut level, mut extreme) = if rising { (low[0], high[1]) } else { (high[0], low[1]) };
    let mut speed = begin;
    out[1] = level;
    for bar in 2..high.len() {
        level += speed * (extreme - level);
        let (behind, ahead) = if rising { (low, high) } else { (high, low) };
        // The stop is never inside the two bars before, nor inside this bar if the side changes.
        if is_beyond(level, behind[bar], rising) {
            level = keep_beyond(extreme, &ahead[bar - 2..=bar], !rising);
            extreme = behind[bar];
            speed = begin;
            rising = !rising;
        } else {
            level = keep_beyond(level, &behind[bar - 2..bar], rising);
            if is_beyond(ahead[bar], extreme, rising) {
                extreme = ahead[bar];
                speed = (speed + increase).min(max);
            }
        }
        out[bar] = level;
    }
}

/// True if `price` lies above `other`, or below it in a downward trend.
fn is_beyond(price: f64, other: f64, rising: bool) -> bool {
    if rising { price > other } else { price < other }
}

/// The stop; if it is inside `prices`, it moves to the lowest of them in an upward trend, and to the highest in a
/// downward one.
fn keep_beyond(stop: f64, prices: &[f64], rising: bool) -> f64 {
    prices.iter().fold(stop, |stop, price| if rising { stop.min(*price) } else { stop.max(*price) })
}

/// The line of least squares through `n` numbers, `offset` bars before the newest.
pub(super) fn regression(x: &[f64], n: usize, offset: f64, out: &mut [f64]) {
    window::weighted(x, n, out, |anchor, sum, weighted| {
        let length = real(n);
        let mean = sum / length;
        // Weights run from 1 to n; their middle makes them sum to 0.
        let middle = f64::midpoint(length, 1.0);
        let spread = length * (length * length - 1.0) / 12.0;
        let slope = if n == 1 { 0.0 } else { (weighted - middle * sum) / spread };
        anchor + mean + slope * (length - offset - middle)
    });
}

/// Pearson's correlation of two columns over `n` bars.
pub(super) fn correlation(x: &[f64], y: &[f64], n: usize, out: &mut [f64]) {
    let pairs: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
    let add = |sums: [f64; 5], pair: (f64, f64), anchor: (f64, f64)| {
        let (x, y) = (pair.0 - anchor.0, pair.1 - anchor.1);
        let [sx, sy, sxx, syy, sxy] = sums;
        [sx + x, sy + y, sxx + x * x, syy + y * y, sxy + x * y]
    };
    window::windows(
        &pairs,
        n,
        out,
        [0.0; 5],
        add,
        |sums, pair, anchor, _| add(sums, pair, anchor),
        |end, start, _, _| {
            let [sx, sy, sxx, syy, sxy] = std::array::from_fn(|sum| end[sum] + start[sum]);
            let length = real(n);
            let (vx, vy) = (length * sxx - sx * sx, length * syy - sy * sy);
            // Rounding may make a variance of 0 slightly negative.
            if vx <= 0.0 || vy <= 0.0 { f64::NAN } else { (length * sxy - sx * sy) / (vx.sqrt() * vy.sqrt()) }
        },
    );
}

/// The share of the `n` numbers before that are not above the newest, in percent.
pub(super) fn percent_rank(x: &[f64], n: usize, out: &mut [f64]) {
    for (window, out) in x.windows(n + 1).zip(&mut out[n.min(x.len())..]) {
        let (newest, before) = (window[n], &window[..n]);
        *out = 100.0 * real(before.iter().filter(|number| **number <= newest).count()) / real(n);
    }
}

/// The middle of `n` numbers by size; the mean of the two in the middle if `n` is even.
pub(super) fn median(x: &[f64], n: usize, out: &mut [f64]) {
    let mut sorted: Vec<f64> = Vec::with_capacity(n + 1);
    let place = |sorted: &[f64], number: f64| sorted.partition_point(|other| other.total_cmp(&number).is_lt());
    for (bar, number) in x.iter().enumerate() {
        sorted.insert(place(&sorted, *number), *number);
        if bar >= n {
            sorted.remove(place(&sorted, x[bar - n]));
        }
        if bar + 1 >= n {
            out[bar] = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        }
    }
}
