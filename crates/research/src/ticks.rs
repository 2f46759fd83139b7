//! Rounding to the tick grid and to the lot step.

/// The distance from a grid line, in ticks, within which a price counts as on the line. TradingView's emulator treats
/// a stop within this distance of a tick as one on the tick (measured by the authors of PyneCore on orders of both
/// sides, at ticks of 0.01 and 0.0001).
const TOLERANCE_TICKS: f64 = 1e-4;

/// The maximum number of digits behind the point of a step that is recognised as a decimal.
const MAX_DIGITS: usize = 15;

/// Ten to the power of 0 to [`MAX_DIGITS`]: all of them are exact doubles.
pub(crate) const POWERS_OF_TEN: [f64; MAX_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The multiples of a step, such as a tick or a lot.
///
/// A decimal step is kept as a fraction of two whole numbers, so that each multiple is the double nearest to the
/// decimal. The 107,410th multiple of 0.00001, for example, is the double that the text `1.0741` is parsed to, and a
/// product with the double 0.00001 may not be. Prices of bars and of fills can therefore be compared exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steps {
    step: f64,
    numerator: f64,
    denominator: f64,
}

impl Steps {
    /// The multiples of `step`, a finite number above 0.
    pub(crate) fn new(step: f64) -> Self {
        #[expect(clippy::float_cmp, reason = "a decimal is kept as a fraction only if that gives the same double")]
        let fraction = POWERS_OF_TEN
            .into_iter()
            .map(|denominator| ((step * denominator).round(), denominator))
            .find(|&(numerator, denominator)| numerator >= 1.0 && numerator / denominator == step);
        let (numerator, denominator) = fraction.unwrap_or((step, 1.0));
        Self { step, numerator, denominator }
    }

    /// `value` in steps, not rounded.
    fn count(self, value: f64) -> f64 {
        value * self.denominator / self.numerator
    }

    /// The value of a whole number of steps.
    pub(crate) fn value(self, count: f64) -> f64 {
        count * self.numerator / self.denominator
    }

    /// The number of steps next to `value`; a tie goes up.
    pub(crate) fn nearest_count(self, value: f64) -> f64 {
        (self.count(value) + 0.5).floor()
    }

    /// The multiple next to `value`; a tie goes up.
    pub(crate) fn nearest(self, value: f64) -> f64 {
        self.value(self.nearest_count(value))
    }

    /// The highest multiple that is not above `price`, give or take [`TOLERANCE_TICKS`].
    pub(crate) fn at_or_below(self, price: f64) -> f64 {
        self.value((self.count(price) + TOLERANCE_TICKS).floor())
    }

    /// The lowest multiple that is not below `price`, give or take [`TOLERANCE_TICKS`].
    pub(crate) fn at_or_above(self, price: f64) -> f64 {
        self.value((self.count(price) - TOLERANCE_TICKS).ceil())
    }

    /// The minimum number of whole steps that cover `distance`: Pine's `math.ceil(distance / syminfo.mintick)`, to
    /// the last bit.
    pub(crate) fn covering_count(self, distance: f64) -> f64 {
        (distance / self.step).ceil()
    }

    /// The highest multiple that is not above a quantity that was computed from money.
    pub(crate) fn floor(self, quantity: f64) -> f64 {
        self.value(self.count(quantity).floor())
    }

    /// The highest multiple that is not above a quantity from the settings. A multiple of the step is kept, even if
    /// rounding makes the quotient a little less than a whole number.
    pub(crate) fn floor_given(self, quantity: f64) -> f64 {
        let count = self.count(quantity);
        let nearest = count.round();
        let is_whole = (count - nearest).abs() <= 4.0 * f64::EPSILON * count;
        self.value(if is_whole { nearest } else { count.floor() })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the cases are chosen so that no number is rounded")]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_the_doubles_of_their_decimals() {
        let steps = Steps::new(0.00001);
        for (count, text) in [(107_410.0, "1.07410"), (107_199.0, "1.07199"), (3.0, "0.00003"), (110_001.0, "1.10001")]
        {
            let price: f64 = text.parse().unwrap();
            assert_eq!(steps.value(count), price);
            assert_eq!((steps.nearest_count(price), steps.nearest(price)), (count, price));
            assert_eq!((steps.at_or_below(price), steps.at_or_above(price)), (price, price));
        }
        assert_eq!(Steps::new(0.25).nearest(100.3), 100.25);
        assert_eq!(Steps::new(0.025).value(3.0), 0.075);
        assert_eq!(Steps::new(2.5).nearest(6.0), 5.0);
        let third = 1.0 / 3.0;
        assert_eq!(Steps::new(third).nearest(0.99), 1.0);
    }

    #[test]
    fn ties_go_up_and_levels_near_a_tick_lie_on_it() {
        let steps = Steps::new(0.5);
        assert_eq!((steps.nearest(1.25), steps.nearest(-1.25)), (1.5, -1.0));
        assert_eq!((steps.at_or_below(1.499_96), steps.at_or_below(1.499_94)), (1.5, 1.0));
        assert_eq!((steps.at_or_above(1.500_04), steps.at_or_above(1.500_06)), (1.5, 2.0));
        assert_eq!((steps.covering_count(0.5), steps.covering_count(0.500_000_1)), (1.0, 2.0));
    }

    #[test]
    fn quantities_are_rounded_down() {
        let steps = Steps::new(0.1);
        assert_eq!((steps.floor(0.39), steps.floor(0.099)), (0.3, 0.0));
        // 0.7 / 0.1 is 6.999999999999999 in doubles.
        assert_eq!((steps.floor_given(0.7), steps.floor_given(0.3), steps.floor_given(0.79)), (0.7, 0.3, 0.7));
        assert_eq!(Steps::new(1e-6).floor(930.791_181_9), 930.791_181);
    }
}
