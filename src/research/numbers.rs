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
        let mut buffer = Buffer::default();
        match self.in_points() {
            Some(points) => buffer.write(points, self.1.into()).to_owned(),
            None => self.exact_text(),
        }
    }

    /// The same by the exact decimal expansion, which takes ten times as long.
    fn exact_text(self) -> String {
        let Self(price, digits) = self;
        format!("{price:.*}", usize::from(digits))
    }

    /// The price as a multiple of its last digit; `None` if only its exact decimal expansion shows how to round it.
    fn in_points(self) -> Option<i64> {
        let Self(price, digits) = self;
        let power = *POWERS_OF_TEN.get(usize::from(digits))?;
        // A negative price that rounds to 0 keeps its sign.
        rounded(price * power).filter(|points| *points != 0)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let exact;
        let mut buffer = Buffer::default();
        let text = if let Some(points) = self.in_points() {
            buffer.write(points, self.1.into())
        } else {
            exact = self.exact_text();
            &exact
        };
        // A double would lose the zeros at the end.
        let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Room for a number of [`MAX_SCALED`] with a sign, a point, and the zeros of [`POWERS_OF_TEN`].
#[derive(Default)]
struct Buffer([u8; 24]);

impl Buffer {
    /// Writes a number whose last `decimals` digits are behind the point.
    fn write(&mut self, number: i64, decimals: usize) -> &str {
        let (mut rest, mut start, mut written) = (number.unsigned_abs(), self.0.len(), 0);
        let mut put = |byte: u8| {
            start -= 1;
            self.0[start] = byte;
        };
        while rest > 0 || written <= decimals {
            if written == decimals && decimals > 0 {
                put(b'.');
            }
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
            written += 1;
        }
        if number < 0 {
            put(b'-');
        }
        std::str::from_utf8(&self.0[start..]).unwrap_or_default()
    }
}

/// The powers of ten that a double holds exactly, of which longer ones are not needed here.
const POWERS_OF_TEN: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// The largest product that [`rounded`] takes. Its error is at most 2^-17, far less than [`TIE`].
const MAX_SCALED: f64 = 68_719_476_736.0;
/// A product that is this close to the middle between two whole numbers may be on the wrong side of it.
const TIE: f64 = 1e-4;

/// The whole number next to a product of a double and a power of ten, as for the product without its rounding error; `None` if that
/// error could matter.
fn rounded(scaled: f64) -> Option<i64> {
    let is_clear = scaled.abs() <= MAX_SCALED && ((scaled - scaled.floor()) - 0.5).abs() > TIE;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far below 2^53")]
    is_clear.then(|| scaled.round() as i64)
}

/// Rounds to 10 significant digits.
pub(crate) fn significant(value: f64) -> f64 {
    fast_significant(value).unwrap_or_else(|| format!("{value:.9e}").parse().unwrap_or(value))
}

/// The same for values from 1e-5 to below 1e10 that do not lie in the middle between two roundings. Both the whole number and the
/// power of ten are exact, so their quotient is the double next to the decimal number.
fn fast_significant(value: f64) -> Option<f64> {
    let size = value.abs();
    let whole_digits = POWERS_OF_TEN[..=10].iter().position(|power| size < *power)?;
    let power = if whole_digits > 0 {
        POWERS_OF_TEN[10 - whole_digits]
    } else {
        let zeros = POWERS_OF_TEN[1..=5].iter().position(|power| size * power >= 1.0)?;
        POWERS_OF_TEN[10 + zeros]
    };
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    rounded(value * power).map(|whole| whole as f64 / power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Values of all sizes that answers have, many of them close to the middle between two roundings.
    fn values() -> impl Strategy<Value = f64> {
        let near = |text: String| text.parse::<f64>().unwrap();
        prop_oneof![
            any::<f64>(),
            -1e11..1e11,
            -1.0..1.0,
            ("-?[0-9]{1,10}\\.[0-9]{0,8}5(0{1,4}1|9{1,4})?").prop_map(near),
            ("-?[1-9]\\.[0-9]{9}(5|49{5}|50{5}1)e-?[0-9]").prop_map(near),
        ]
    }

    proptest! {
        #[test]
        fn significant_digits_are_those_of_the_exact_expansion(value in values()) {
            let exact: f64 = format!("{value:.9e}").parse().unwrap();
            prop_assert_eq!(significant(value).to_bits(), exact.to_bits());
        }

        #[test]
        fn prices_are_rounded_as_their_exact_expansion(value in values(), digits in 0_u8..=18) {
            prop_assert_eq!(Price(value, digits).text(), format!("{value:.*}", usize::from(digits)));
        }
    }

    #[test]
    fn prices_keep_the_digits_of_their_series() {
        assert_eq!(written(Price(1.0741, 5)), "1.07410");
        assert_eq!(written(Price(0.1 + 0.2, 1)), "0.3");
        assert_eq!(written(Price(150.0, 0)), "150");
        assert_eq!(written(Price(-37.63, 2)), "-37.63");
    }
}
