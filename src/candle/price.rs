use std::fmt;

use rust_decimal::Decimal;

use super::{Invalid, Number};

/// An exact decimal price that keeps the digits it came with: `1.08500` is not `1.085`.
///
/// At most 28 digits in all and at most 28 behind the point; negative prices are legal (oil traded at −37.63 in 2020).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(Decimal);

impl Price {
    /// Parses a JSON number in plain or exponent form into its plain form.
    ///
    /// # Errors
    /// When `text` is no JSON number or needs more than 28 digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut price = Number::scan(text)?.to_decimal()?;
        if price.is_zero() {
            price.set_sign_positive(true);
        }
        Ok(Self(price))
    }
}

impl fmt::Display for Price {
    /// Writes the canonical form: plain digits, no exponent, no leading zeros, the scale it came with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of a candle's four prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// First price of the period.
    Open,
    /// Highest price of the period.
    High,
    /// Lowest price of the period.
    Low,
    /// Last price of the period.
    Close,
}

impl Side {
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

/// Four prices of which none is above the high or below the low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ohlc {
    open: Price,
    high: Price,
    low: Price,
    close: Price,
}

impl Ohlc {
    /// Takes the prices in the order of [`Side::ALL`].
    ///
    /// # Errors
    /// Every side that contradicts the others, with the reason.
    pub fn new([open, high, low, close]: [Price; 4]) -> Result<Self, Vec<(Side, Invalid)>> {
        let mut broken = Vec::new();
        if low > high {
            broken.push((Side::High, Invalid::new("inconsistent", format!("is {high}, below the low of {low}"))));
        } else {
            for (side, price) in [(Side::Open, open), (Side::Close, close)] {
                let name = side.name();
                if price > high {
                    let message = format!("is {high}, below the {name} of {price}");
                    broken.push((Side::High, Invalid::new("inconsistent", message)));
                } else if price < low {
                    let message = format!("is {low}, above the {name} of {price}");
                    broken.push((Side::Low, Invalid::new("inconsistent", message)));
                }
            }
        }
        if broken.is_empty() { Ok(Self { open, high, low, close }) } else { Err(broken) }
    }

    /// The price of one side.
    #[must_use]
    pub fn get(&self, side: Side) -> Price {
        match side {
            Side::Open => self.open,
            Side::High => self.high,
            Side::Low => self.low,
            Side::Close => self.close,
        }
    }
}
