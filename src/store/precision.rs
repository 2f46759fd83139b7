//! The price precision of a series: the number of digits after the point that a chart needs.

/// The number of newest candles that determine the price precision of a series.
pub(super) const SAMPLE_CANDLES: usize = 100;
/// One candle in this many may be an outlier. An outlier has more digits than the rest and is ignored.
const CANDLES_PER_OUTLIER: usize = 20;
/// The minimum number of candles in which an outlier can be distinguished from the rest.
const MIN_CANDLES_TO_JUDGE: usize = 3;

/// The candles of a sample whose prices have more digits than nearly all of the others, such as a float that a
/// terminal's script wrote out as `1.0850000000000002`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outliers {
    /// The number of these candles.
    pub candles: usize,
    /// The maximum number of digits after the point among them.
    pub digits: u32,
}

/// Returns the number of digits that nearly all candles of a sample need, and the outliers that need more. `digits`
/// holds each candle's maximum number of digits after the point.
pub(super) fn of(mut digits: Vec<u32>) -> (u32, Option<Outliers>) {
    digits.sort_unstable_by(|a, b| b.cmp(a));
    let outliers = if digits.len() < MIN_CANDLES_TO_JUDGE { 0 } else { (digits.len() / CANDLES_PER_OUTLIER).max(1) };
    let precision = digits.get(outliers).copied().unwrap_or_default();
    let candles = digits.iter().take_while(|digits| **digits > precision).count();
    let outliers = digits.first().filter(|_| candles > 0).map(|most| Outliers { candles, digits: *most });
    (precision, outliers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_twenty_candles_may_be_an_outlier_and_one_of_three_or_more() {
        let of_candles =
            |groups: &[(usize, u32)]| of(groups.iter().flat_map(|(candles, digits)| vec![*digits; *candles]).collect());
        let outliers = |candles, digits| Some(Outliers { candles, digits });
        for (groups, expected) in [
            (&[][..], (0, None)),
            (&[(1, 5)], (5, None)),
            (&[(1, 2), (1, 16)], (16, None)),
            (&[(2, 2), (1, 16)], (2, outliers(1, 16))),
            (&[(1, 2), (2, 16)], (16, None)),
            (&[(38, 5), (1, 9), (1, 7)], (5, outliers(2, 9))),
            (&[(95, 5), (5, 16)], (5, outliers(5, 16))),
            (&[(94, 5), (6, 16)], (16, None)),
            (&[(90, 5), (10, 4)], (5, None)),
        ] {
            assert_eq!(of_candles(groups), expected, "{groups:?}");
        }
    }
}
