//! Rounding to the tick grid and to the lot step.

/// How close to a grid line a price lies on it, in ticks. TradingView's emulator takes a stop within this distance of a tick for
/// one on the tick (measured by the authors of PyneCore on orders of both sides, at ticks of 0.01 and 0.0001).
const TOLERANCE_TICKS: f64 = 1e-4;

/// The most digits behind the point that a decimal step is looked for with.
const MAX_DIGITS: usize = 15;

/// Ten to the power of 0 to [`MAX_DIGITS`]: all of them are exact doubles.
pub(crate) const POWERS_OF_TEN: [f64; MAX_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The multiples of a step, such as a tick or a lot.
///
/// A decimal step is kept as a fraction of two whole numbers, so that each multiple is the double nearest to the decimal: the
/// 107,410th multiple of 0.00001 is the same double as the text `1.0741` gives, which a product with the double 0.00001 need not
/// be. Prices of the bars and fills can therefore be compared exactly.
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

    /// The number of steps that `value` is, not rounded.
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

    /// The fewest whole steps that cover `distance`: Pine's `math.ceil(distance / syminfo.mintick)`, to the last bit.
    pub(crate) fn covering_count(self, distance: f64) -> f64 {
        (distance / self.step).ceil()
    }

    /// The highest multiple that is not above a quantity which was computed from money.
    pub(crate) fn floor(self, quantity: f64) -> f64 {
        self.value(self.count(quantity).floor())
    }

    /// The highest multiple that is not above a quantity which somebody wrote down. A multiple of the step is kept even if the
    /// division falls short of a whole number by its rounding.
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
