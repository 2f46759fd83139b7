//! The normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// The probability that a standard normal number is at most `x`.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// The number that a standard normal number is below with this probability; infinite for 0 and 1, and NaN outside.
///
/// A double close to 1 has few digits left. For such a probability `p`, use `-normal_quantile(q)` with an exact `q`
/// of 1 − p.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    if probability > 0.5 {
        return -normal_quantile(1.0 - probability);
    }
    if probability == 0.0 {
        return f64::NEG_INFINITY;
    }
    // The first guess is off by less than 5e-4 (Abramowitz and Stegun 26.2.23). Each step of Halley's method triples
    // the number of correct digits.
    let t = (-2.0 * libm::log(probability)).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut x = numerator / denominator - t;
    for _ in 0..3 {
        let density = libm::exp(-0.5 * x * x) / (2.0 * PI).sqrt();
        let step = (normal_cdf(x) - probability) / density;
        x -= step / (1.0 + 0.5 * x * step);
    }
    x
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the cases are chosen so that no number is rounded")]
mod tests {
    use super::*;

    #[test]
    fn tabled_values_are_met() {
        // Φ⁻¹ of round probabilities, from published tables.
        let table = [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.025, -1.959_963_984_540_054),
            (0.001, -3.090_232_306_167_814),
        ];
        for (probability, x) in table {
            assert!(
                (normal_quantile(probability) - x).abs() < 1e-12,
                "{probability}: {}",
                normal_quantile(probability)
            );
            assert!((normal_cdf(x) - probability).abs() < 1e-15, "{x}: {}", normal_cdf(x));
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(1.5).is_nan() && normal_quantile(-0.5).is_nan());
    }

    #[test]
    fn quantiles_undo_probabilities_in_the_tails() {
        for exponent in 1..300 {
            let probability = libm::pow(10.0, -f64::from(exponent));
            let found = normal_cdf(normal_quantile(probability));
            assert!((found / probability - 1.0).abs() < 1e-9, "1e-{exponent}: {found}");
        }
    }
}
