//! The form of numbers in answers: money and ratios with 10 significant digits, prices with the digits of their
//! series.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The maximum number that is written without a point if it is whole.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Money, a ratio or a count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

/// A price on the tick grid, and the digits behind its point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price(pub(crate) f64, pub(crate) u8);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = significant(self.0);
        if value.fract() == 0.0 && value.abs() <= MAX_WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and a double holds it exactly")]
            return serializer.serialize_i64(value as i64);
        }
        serializer.serialize_f64(value)
    }
}

impl Price {
    /// The price as text.
    pub(crate) fn text(self) -> String {
        let Self(price, digits) = self;
        format!("{price:.*}", usize::from(digits))
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A double would lose the zeros at the end.
        let raw = RawValue::from_string(self.text()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Rounds to 10 significant digits.
pub(crate) fn significant(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn numbers_have_ten_significant_digits() {
        assert_eq!(written(Number(1.234_567_890_123)), "1.23456789");
        assert_eq!(written(Number(-123_456_789_012.0)), "-123456789000");
        assert_eq!(written(Number(0.1 + 0.2)), "0.3");
        assert_eq!(written(Number(-0.0)), "0");
        assert_eq!(written(Number(10_000.0)), "10000");
        assert_eq!(written(Number(1e-9)), "1e-9");
        assert_eq!(written(Number(f64::NAN)), "null");
    }

    #[test]
    fn prices_keep_the_digits_of_their_series() {
        assert_eq!(written(Price(1.0741, 5)), "1.07410");
        assert_eq!(written(Price(0.1 + 0.2, 1)), "0.3");
        assert_eq!(written(Price(150.0, 0)), "150");
        assert_eq!(written(Price(-37.63, 2)), "-37.63");
    }
}
