use std::fmt;

use rust_decimal::Decimal;

use super::{Invalid, Number, Rule};

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

    /// All digits without the point: the price is this divided by 10 to the power of [`Self::scale`].
    pub(crate) fn coefficient(self) -> i128 {
        self.0.mantissa()
    }

    /// Digits behind the point.
    pub(crate) fn scale(self) -> u32 {
        self.0.scale()
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
    pub fn new(prices: [Price; 4]) -> Result<Self, Vec<(Side, Invalid)>> {
        let contradictions = Self::contradictions(prices.map(Some));
        let [open, high, low, close] = prices;
        if contradictions.is_empty() { Ok(Self { open, high, low, close }) } else { Err(contradictions) }
    }

    /// The sides that contradict others, as far as the prices are known.
    #[must_use]
    pub fn contradictions([open, high, low, close]: [Option<Price>; 4]) -> Vec<(Side, Invalid)> {
        let mut found = Vec::new();
        let inconsistent = |message| Invalid::new(Rule::Inconsistent, message);
        if let (Some(high), Some(low)) = (high, low)
            && low > high
        {
            return vec![(Side::High, inconsistent(format!("is {high}, below the low of {low}")))];
        }
        for (side, price) in [(Side::Open, open), (Side::Close, close)] {
            let (name, Some(price)) = (side.name(), price) else { continue };
            if let Some(high) = high.filter(|&high| price > high) {
                found.push((Side::High, inconsistent(format!("is {high}, below the {name} of {price}"))));
            }
            if let Some(low) = low.filter(|&low| price < low) {
                found.push((Side::Low, inconsistent(format!("is {low}, above the {name} of {price}"))));
            }
        }
        found
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
