//! Oscillators of one column.

use super::{TOLERANCE, average, window};
use crate::number::real;

/// Relative strength index: Wilder's averages of gains and losses. Without losses it is 100.
pub(super) fn strength(x: &[f64], n: usize, out: &mut [f64]) {
    if x.is_empty() {
        return;
    }
    let moves = |sign: f64| x.windows(2).map(move |pair| (sign * (pair[1] - pair[0])).max(0.0)).collect::<Vec<_>>();
    let (mut gains, mut losses) = (vec![f64::NAN; x.len() - 1], vec![f64::NAN; x.len() - 1]);
    average::wilder(&moves(1.0), n, &mut gains);
    average::wilder(&moves(-1.0), n, &mut losses);
    for ((gain, loss), out) in gains.iter().zip(&losses).zip(&mut out[1..]) {
        *out = match *loss {
            0.0 => 100.0,
            loss => 100.0 - 100.0 / (1.0 + gain / loss),
        };
    }
}

/// Commodity channel index: distance from the mean in units of 0.015 × mean absolute deviation.
pub(super) fn commodity(x: &[f64], n: usize, out: &mut [f64]) {
    let mut means = vec![f64::NAN; x.len()];
    average::simple(x, n, &mut means);
    for (bar, window) in x.windows(n).enumerate() {
        let bar = bar + n - 1;
        let deviation = window.iter().map(|number| (number - means[bar]).abs()).sum::<f64>() / real(n);
        out[bar] = (x[bar] - means[bar]) / (0.015 * deviation);
    }
}

/// Chande's momentum oscillator: gains less losses over their sum, ±100. Defined from `n` on.
pub(super) fn chande(x: &[f64], n: usize, out: &mut [f64]) {
    if x.is_empty() {
        return;
    }
    let moves = || x.windows(2).map(|pair| pair[1] - pair[0]);
    let gains: Vec<f64> = moves().map(|change| if change >= -TOLERANCE { change } else { 0.0 }).collect();
    let losses: Vec<f64> = moves().map(|change| if change >= -TOLERANCE { 0.0 } else { -change }).collect();
    let (mut up, mut down) = (vec![f64::NAN; gains.len()], vec![f64::NAN; gains.len()]);
    window::sums(&gains, n, &mut up);
    window::sums(&losses, n, &mut down);
    for ((up, down), out) in up.iter().zip(&down).zip(&mut out[1..]) {
        *out = 100.0 * (up - down) / (up + down);
    }
}

/// Money flow index: `x` times volume, summed by the direction of `x`. The first bar counts on both sides, since its direction
/// is not known, and a bar without a move on neither. Without losses it is 100.
pub(super) fn money_flow(x: &[f64], volume: &[f64], n: usize, out: &mut [f64]) {
    let flows = |counts: fn(f64) -> bool| -> Vec<f64> {
        let changes = std::iter::once(f64::NAN).chain(x.windows(2).map(|pair| pair[1] - pair[0]));
        let flows = changes.zip(x.iter().zip(volume));
        flows.map(|(change, (price, volume))| if counts(change) { price * volume } else { 0.0 }).collect()
    };
    let (mut up, mut down) = (vec![f64::NAN; x.len()], vec![f64::NAN; x.len()]);
    window::sums(&flows(|change| change.is_nan() || change > TOLERANCE), n, &mut up);
    window::sums(&flows(|change| change.is_nan() || change < -TOLERANCE), n, &mut down);
    for ((up, down), out) in up.iter().zip(&down).zip(out) {
        *out = match *down {
            0.0 => 100.0,
            down => 100.0 - 100.0 / (1.0 + up / down),
        };
    }
}

/// Ehlers' Fisher transform of the place inside the range of `n` bars, smoothed twice. In a flat window the place is the middle.
pub(super) fn fisher(x: &[f64], n: usize, out: &mut [f64]) {
    let (mut highest, mut lowest) = (vec![f64::NAN; x.len()], vec![f64::NAN; x.len()]);
    super::volatility::highest(x, n, &mut highest);
    super::volatility::lowest(x, n, &mut lowest);
    let (mut place, mut result) = (0.0, 0.0);
    for bar in n - 1..x.len() {
        let range = highest[bar] - lowest[bar];
        let inside = if range == 0.0 { 0.0 } else { (x[bar] - lowest[bar]) / range - 0.5 };
        let raw = 0.66 * inside + 0.67 * place;
        place = match raw {
            raw if raw > 0.99 => 0.999,
            raw if raw < -0.99 => -0.999,
            raw => raw,
        };
        result = 0.5 * libm::log((1.0 + place) / (1.0 - place)) + 0.5 * result;
        out[bar] = result;
    }
}
