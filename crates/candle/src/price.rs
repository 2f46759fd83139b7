use std::cmp::Ordering;
use std::fmt;

use rust_decimal::Decimal;

use super::{Number, Rule, ValueError};

/// An exact decimal price that keeps the digits that were sent: `1.08500` does not become `1.085`.
///
/// It has at most 28 digits in all and at most 28 after the point, and may be negative (oil traded at −37.63 in 2020).
///
/// ```
/// use candle::Price;
///
/// let price = Price::parse("1.08500")?;
/// assert_eq!(price.to_string(), "1.08500");
/// assert_eq!((price.coefficient(), price.scale()), (108_500, 5));
/// assert_eq!(Price::parse("1.085e2")?.to_string(), "108.5");
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price(Decimal);

/// The maximum length of a price in bytes: a minus, a zero, a point and 28 digits.
const MAX_TEXT_BYTES: usize = 31;

impl Price {
    /// Parses a JSON number in plain or exponent form into its plain form.
    ///
    /// # Errors
    /// When `text` is not a JSON number or needs more than 28 digits.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let mut price = match Number::plain_decimal(text) {
            Some(plain) => Self(plain),
            None => Number::read(text, "1.0850", |number| number.to_decimal().map(Self))?,
        };
        if price.is_zero() {
            price.0.set_sign_positive(true);
        }
        Ok(price)
    }

    /// True for 0 with any number of digits after the point.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The digits as an integer with the price's sign, at most 28 of them: the price is `coefficient × 10^-scale`.
    #[must_use]
    pub fn coefficient(self) -> i128 {
        self.0.mantissa()
    }

    /// The number of digits after the point, trailing zeros included: 0 to 28.
    #[must_use]
    pub fn scale(self) -> u32 {
        self.0.scale()
    }

    /// Appends the canonical form, as `Display` writes it, to `text`.
    pub fn write_to(self, text: &mut String) {
        text.push_str(self.canonical(&mut [0; MAX_TEXT_BYTES]));
    }

    /// Formats the price. This is written by hand, because a page is mostly prices: each takes 12 to 14 ns instead of the
    /// 24 to 26 of rust_decimal's `Display`.
    fn canonical(self, buffer: &mut [u8; MAX_TEXT_BYTES]) -> &str {
        // Splits the coefficient into halves of at most 14 digits, because division of 128 bits is slow and of 64 is
        // not.
        const TEN_TO_THE_14: u64 = 10_u64.pow(14);
        let coefficient = self.coefficient();
        let magnitude = coefficient.unsigned_abs();
        let (high, mut low) = match u64::try_from(magnitude) {
            Ok(short) => (short / TEN_TO_THE_14, short % TEN_TO_THE_14),
            Err(_) => (fitting(magnitude / u128::from(TEN_TO_THE_14)), fitting(magnitude % u128::from(TEN_TO_THE_14))),
        };
        let mut high = Some(high).filter(|&high| high > 0);
        let mut start = buffer.len();
        let mut put = |byte| {
            start -= 1;
            buffer[start] = byte;
        };
        let scale = self.scale();
        let mut written = 0;
        while low > 0 || high.is_some() || written <= scale {
            if written == scale && scale > 0 {
                put(b'.');
            }
            put(b"0123456789"[(low % 10) as usize]);
            low /= 10;
            written += 1;
            if written == 14 {
                low = high.take().unwrap_or(low);
            }
        }
        if coefficient < 0 {
            put(b'-');
        }
        std::str::from_utf8(&buffer[start..]).unwrap_or_default()
    }
}

/// Half of a coefficient, which always fits.
fn fitting(half: u128) -> u64 {
    u64::try_from(half).unwrap_or(u64::MAX)
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.scale() == other.scale() { self.coefficient().cmp(&other.coefficient()) } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Price {
    /// Writes the canonical form: plain digits, no exponent, no leading zeros, the scale that was sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.canonical(&mut [0; MAX_TEXT_BYTES]))
    }
}

/// One of a candle's four prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OhlcField {
    /// First price of the period.
    Open,
    /// Highest price of the period.
    High,
    /// Lowest price of the period.
    Low,
    /// Last price of the period.
    Close,
}

impl OhlcField {
    /// All four, in the order in which they are written everywhere.
    pub const ALL: [Self; 4] = [Self::Open, Self::High, Self::Low, Self::Close];

    /// The field's name in requests, answers and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
        }
    }
}

/// Four prices, none of which is above the high or below the low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ohlc {
    open: Price,
    high: Price,
    low: Price,
    close: Price,
}

impl Ohlc {
    /// Takes the prices in the order of [`OhlcField::ALL`].
    ///
    /// # Errors
    /// Every field that contradicts the others, with the reason.
    pub fn new(prices: [Price; 4]) -> Result<Self, Vec<(OhlcField, ValueError)>> {
        let [open, high, low, close] = prices;
        let consistent = low <= open && open <= high && low <= close && close <= high;
        if consistent { Ok(Self { open, high, low, close }) } else { Err(Self::contradictions(prices.map(Some))) }
    }

    /// The fields that contradict others, as far as the prices are known.
    #[must_use]
    pub fn contradictions([open, high, low, close]: [Option<Price>; 4]) -> Vec<(OhlcField, ValueError)> {
        let mut found = Vec::new();
        let inconsistent = |message| ValueError::new(Rule::Inconsistent, message);
        if let (Some(high), Some(low)) = (high, low)
            && low > high
        {
            return vec![(OhlcField::High, inconsistent(format!("is {high}, below the low of {low}")))];
        }
        for (field, price) in [(OhlcField::Open, open), (OhlcField::Close, close)] {
            let (name, Some(price)) = (field.name(), price) else { continue };
            if let Some(high) = high.filter(|&high| price > high) {
                found.push((OhlcField::High, inconsistent(format!("is {high}, below the {name} of {price}"))));
            }
            if let Some(low) = low.filter(|&low| price < low) {
                found.push((OhlcField::Low, inconsistent(format!("is {low}, above the {name} of {price}"))));
            }
        }
        found
    }

    /// The price of one field.
    #[must_use]
    pub fn get(&self, field: OhlcField) -> Price {
        match field {
            OhlcField::Open => self.open,
            OhlcField::High => self.high,
            OhlcField::Low => self.low,
            OhlcField::Close => self.close,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Coefficients of all lengths, short ones as often as long ones.
    fn decimal() -> impl Strategy<Value = Decimal> {
        let coefficient = (1..29_u32).prop_flat_map(|digits| -10_i128.pow(digits) + 1..10_i128.pow(digits));
        (coefficient, 0..29_u32).prop_map(|(coefficient, scale)| Decimal::from_i128_with_scale(coefficient, scale))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn a_price_is_written_as_its_decimal(decimal in decimal()) {
            let price = Price::parse(&decimal.to_string()).unwrap();
            prop_assert_eq!(price.to_string(), decimal.to_string());
            let mut text = String::from("at ");
            price.write_to(&mut text);
            prop_assert_eq!(text, format!("at {decimal}"));
            prop_assert_eq!((price.coefficient(), price.scale()), (decimal.mantissa(), decimal.scale()));
        }

        #[test]
        fn prices_order_as_their_decimals(a in decimal(), b in decimal(), c in -10_i64..10, scale in 0..3_u32) {
            for (a, b) in [(a, b), (a, -a), (a, a.trunc()), (a, Decimal::new(c, scale)), (Decimal::ONE, Decimal::new(c, scale))] {
                prop_assert_eq!(Price(a).cmp(&Price(b)), a.cmp(&b));
            }
        }
    }
}
