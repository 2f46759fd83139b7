//! Capital, order sizes and costs of a run.

use std::fmt;

/// The size of an entry, which is fixed at the close that orders it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// Percent of the equity at that close: above 0, at most 100.
    PercentOfEquity(f64),
    /// A quantity.
    Fixed(f64),
    /// An amount of money, divided by that close.
    Cash(f64),
}

/// The costs of each fill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Commission {
    /// Percent of the traded value, below 100.
    Percent(f64),
    /// Money for each unit of the quantity.
    PerContract(f64),
    /// Money for each order.
    PerOrder(f64),
}

/// The sides that may be entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sides {
    /// Long and short.
    #[default]
    Both,
    /// Long only: a close that would go short leaves a long position instead, and opens none.
    Long,
    /// Short only: a close that would go long leaves a short position instead, and opens none.
    Short,
}

/// Capital, order sizes and costs of a run. Each setter checks its value, so that settings in hand are valid.
///
/// ```
/// use research::{Commission, Settings, Size};
///
/// let settings = Settings::default().with_capital(50_000.0)?.with_commission(Commission::Percent(0.02))?;
/// assert_eq!(settings.size(), Size::PercentOfEquity(10.0));
/// assert!(settings.with_size(Size::PercentOfEquity(120.0)).is_err());
/// # Ok::<(), research::SettingsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    capital: f64,
    size: Size,
    commission: Commission,
    slippage_ticks: u32,
    tick: Option<f64>,
    lot_step: f64,
    point_value: f64,
    sides: Sides,
}

impl Default for Settings {
    /// A capital of 10,000, 10 percent of the equity per entry, no costs, the tick of the bars, lots of a millionth, both sides.
    fn default() -> Self {
        Self {
            capital: 10_000.0,
            size: Size::PercentOfEquity(10.0),
            commission: Commission::Percent(0.0),
            slippage_ticks: 0,
            tick: None,
            lot_step: 0.000_001,
            point_value: 1.0,
            sides: Sides::Both,
        }
    }
}

impl Settings {
    /// The maximum slippage in ticks, because a larger number is a mistake in units.
    pub const MAX_SLIPPAGE_TICKS: u32 = 1_000_000;

    /// Sets the money at the start.
    ///
    /// # Errors
    /// When it is not a finite number above 0.
    pub fn with_capital(self, capital: f64) -> Result<Self, SettingsError> {
        Ok(Self { capital: above_zero("capital", capital)?, ..self })
    }

    /// Sets the size of entries.
    ///
    /// # Errors
    /// When the number is not finite or not above 0, or a percentage is above 100.
    pub fn with_size(self, size: Size) -> Result<Self, SettingsError> {
        match size {
            Size::PercentOfEquity(percent) if above_zero("size in percent_of_equity", percent)? > 100.0 => {
                Err(SettingsError { name: "size in percent_of_equity", value: percent, rule: "must not be above 100" })
            }
            Size::Fixed(quantity) => above_zero("fixed size", quantity).map(|_| Self { size, ..self }),
            Size::Cash(money) => above_zero("size in cash", money).map(|_| Self { size, ..self }),
            Size::PercentOfEquity(_) => Ok(Self { size, ..self }),
        }
    }

    /// Sets the commission of each fill.
    ///
    /// # Errors
    /// When the number is not finite or below 0, or a percentage is 100 or more.
    pub fn with_commission(self, commission: Commission) -> Result<Self, SettingsError> {
        let (Commission::Percent(amount) | Commission::PerContract(amount) | Commission::PerOrder(amount)) = commission;
        if !(amount.is_finite() && amount >= 0.0) {
            return Err(SettingsError {
                name: "commission",
                value: amount,
                rule: "must be a finite number that is not below 0",
            });
        }
        if matches!(commission, Commission::Percent(percent) if percent >= 100.0) {
            return Err(SettingsError { name: "commission in percent", value: amount, rule: "must be below 100" });
        }
        Ok(Self { commission, ..self })
    }

    /// Sets the slippage: the number of ticks by which market and stop orders fill worse than their price.
    ///
    /// # Errors
    /// When there are more than [`Self::MAX_SLIPPAGE_TICKS`].
    pub fn with_slippage_ticks(self, slippage_ticks: u32) -> Result<Self, SettingsError> {
        if slippage_ticks > Self::MAX_SLIPPAGE_TICKS {
            let value = f64::from(slippage_ticks);
            return Err(SettingsError { name: "slippage_ticks", value, rule: "must not be above 1,000,000" });
        }
        Ok(Self { slippage_ticks, ..self })
    }

    /// Sets the distance of neighbouring prices, in place of the bars' own.
    ///
    /// # Errors
    /// When it is not a finite number above 0.
    pub fn with_tick(self, tick: f64) -> Result<Self, SettingsError> {
        Ok(Self { tick: Some(above_zero("tick_size", tick)?), ..self })
    }

    /// Sets the step of quantities. Sizes are rounded down to it.
    ///
    /// # Errors
    /// When it is not a finite number above 0.
    pub fn with_lot_step(self, lot_step: f64) -> Result<Self, SettingsError> {
        Ok(Self { lot_step: above_zero("lot_step", lot_step)?, ..self })
    }

    /// Sets the money that a quantity of 1 gains when the price rises by 1.
    ///
    /// # Errors
    /// When it is not a finite number above 0.
    pub fn with_point_value(self, point_value: f64) -> Result<Self, SettingsError> {
        Ok(Self { point_value: above_zero("point_value", point_value)?, ..self })
    }

    /// Sets the sides that may be entered.
    #[must_use]
    pub fn with_sides(self, sides: Sides) -> Self {
        Self { sides, ..self }
    }

    /// Money at the start.
    #[must_use]
    pub fn capital(&self) -> f64 {
        self.capital
    }

    /// The size of entries.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// The costs of each fill.
    #[must_use]
    pub fn commission(&self) -> Commission {
        self.commission
    }

    /// The number of ticks by which market and stop orders fill worse than their price.
    #[must_use]
    pub fn slippage_ticks(&self) -> u32 {
        self.slippage_ticks
    }

    /// The distance of neighbouring prices; `None` stands for the bars' own.
    #[must_use]
    pub fn tick(&self) -> Option<f64> {
        self.tick
    }

    /// The step of quantities.
    #[must_use]
    pub fn lot_step(&self) -> f64 {
        self.lot_step
    }

    /// The money that a quantity of 1 gains when the price rises by 1.
    #[must_use]
    pub fn point_value(&self) -> f64 {
        self.point_value
    }

    /// The sides that may be entered.
    #[must_use]
    pub fn sides(&self) -> Sides {
        self.sides
    }
}

fn above_zero(name: &'static str, value: f64) -> Result<f64, SettingsError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(SettingsError { name, value, rule: "must be a finite number above 0" })
    }
}

/// The reason for which a setting was refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettingsError {
    /// The setting.
    pub name: &'static str,
    /// The value that was refused.
    pub value: f64,
    /// The rule for the value, as the end of a sentence.
    pub rule: &'static str,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but {}", self.name, self.value, self.rule)
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        let settings = Settings::default();
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(settings.with_capital(value).is_err(), "{value}");
            assert!(settings.with_tick(value).is_err(), "{value}");
            assert!(settings.with_lot_step(value).is_err(), "{value}");
            assert!(settings.with_point_value(value).is_err(), "{value}");
            for size in [Size::PercentOfEquity(value), Size::Fixed(value), Size::Cash(value)] {
                assert!(settings.with_size(size).is_err(), "{size:?}");
            }
        }
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            for commission in [Commission::Percent(value), Commission::PerContract(value), Commission::PerOrder(value)]
            {
                assert!(settings.with_commission(commission).is_err(), "{commission:?}");
            }
        }
        assert!(settings.with_size(Size::PercentOfEquity(100.5)).is_err());
        assert!(settings.with_commission(Commission::Percent(100.0)).is_err());
        assert!(settings.with_slippage_ticks(Settings::MAX_SLIPPAGE_TICKS + 1).is_err());
    }

    #[test]
    fn accepted_values_are_kept() {
        let settings = Settings::default()
            .with_size(Size::Cash(500.0))
            .and_then(|settings| settings.with_commission(Commission::PerContract(0.0)))
            .and_then(|settings| settings.with_slippage_ticks(3))
            .and_then(|settings| settings.with_tick(0.25))
            .map(|settings| settings.with_sides(Sides::Long))
            .unwrap();
        assert_eq!((settings.size(), settings.commission()), (Size::Cash(500.0), Commission::PerContract(0.0)));
        assert_eq!((settings.slippage_ticks(), settings.tick(), settings.sides()), (3, Some(0.25), Sides::Long));
        assert_eq!(settings.with_size(Settings::default().size()).unwrap().size(), Size::PercentOfEquity(10.0));
    }

    #[test]
    fn a_refusal_names_setting_value_and_rule() {
        let error = Settings::default().with_capital(-5.0).unwrap_err();
        assert_eq!(error.to_string(), "capital is -5, but must be a finite number above 0");
    }
}
