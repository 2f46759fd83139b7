//! Definitions of strategies: texts, before they are parsed.
//!
//! The strategies of the [`crate::catalogue`] are constants of this type. [`read`] makes the same type from TOML or
//! JSON, so that users can keep strategies of their own in files:
//!
//! ```
//! use research::Strategy;
//!
//! let strategy = Strategy::from_toml(
//!     r#"
//!     id = "my-cross"
//!     title = "My crossing"
//!     family = "trend"
//!     about = "Follows the crossing of two averages."
//!     source = "my notes"
//!     constraints = ["fast < slow"]
//!     lets = ["f = ta.ema(close, fast)", "s = ta.ema(close, slow)"]
//!     enter_long = "ta.crossover(f, s)"
//!     enter_short = "ta.crossunder(f, s)"
//!
//!     [[parameters]]
//!     name = "fast"
//!     type = "int"
//!     default = 10
//!     min = 2
//!     max = 50
//!     about = "bars of the fast average"
//!
//!     [[parameters]]
//!     name = "slow"
//!     type = "int"
//!     default = 30
//!     min = 3
//!     max = 200
//!     about = "bars of the slow average"
//!     "#,
//! )
//! .unwrap();
//! assert_eq!(strategy.id(), "my-cross");
//!
//! let errors = Strategy::from_toml("id = \"x\"\nenter_long = \"close > open_\"").unwrap_err();
//! assert!(errors.iter().any(|error| error.to_string().starts_with("line 1, column 1: title is missing")));
//! ```

mod json;
mod read;
mod toml;

use std::fmt;

use crate::expr::Position;

/// The texts that define a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// Lower-case letters, digits and hyphens.
    pub id: &'a str,
    /// A few words for lists.
    pub title: &'a str,
    /// The kind of rule.
    pub family: Family,
    /// One sentence.
    pub about: &'a str,
    /// The author of the rule, and the work that describes it.
    pub source: &'a str,
    /// The bars on which the rule makes sense.
    pub timeframes: Timeframes,
    /// The values that may be varied.
    pub parameters: &'a [ParameterDefinition<'a>],
    /// Conditions over the parameters alone that must hold.
    pub constraints: &'a [&'a str],
    /// Bindings in order: `f = ta.sma(close, fast)`.
    pub lets: &'a [&'a str],
    /// The condition for going long.
    pub enter_long: Option<&'a str>,
    /// The condition for leaving a long position.
    pub exit_long: Option<&'a str>,
    /// The condition for going short.
    pub enter_short: Option<&'a str>,
    /// The condition for leaving a short position.
    pub exit_short: Option<&'a str>,
    /// Distance of the stop from the fill of the entry, in units of price. A strategy without a stop has the parameter
    /// `stop_atr`: 0, or a number of average ranges.
    pub stop: Option<&'a str>,
    /// Distance of the target from the fill of the entry, as `stop`, with the parameter `target_atr`.
    pub target: Option<&'a str>,
    /// Price of the stop of a long position, issued anew at each close. Excludes `stop` and `target`.
    pub stop_level_long: Option<&'a str>,
    /// Price of the stop of a short position, as `stop_level_long`.
    pub stop_level_short: Option<&'a str>,
    /// The maximum number of bars that a position is held, an int constant.
    pub max_bars: Option<&'a str>,
}

impl Definition<'_> {
    /// A definition without any text, from which others are made by `..Definition::EMPTY`.
    pub const EMPTY: Self = Self {
        id: "",
        title: "",
        family: Family::Trend,
        about: "",
        source: "",
        timeframes: Timeframes::Any,
        parameters: &[],
        constraints: &[],
        lets: &[],
        enter_long: None,
        exit_long: None,
        enter_short: None,
        exit_short: None,
        stop: None,
        target: None,
        stop_level_long: None,
        stop_level_short: None,
        max_bars: None,
    };
}

/// A parameter of a strategy.
#[derive(Debug, Clone, Copy)]
pub struct ParameterDefinition<'a> {
    /// Its name in expressions.
    pub name: &'a str,
    /// Its meaning in a few words.
    pub about: &'a str,
    /// Its values.
    pub range: RangeDefinition<'a>,
}

/// The values of a parameter.
#[derive(Debug, Clone, Copy)]
pub enum RangeDefinition<'a> {
    /// Whole numbers.
    Int {
        /// The default value.
        default: i64,
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
        /// The distance of values that a search tries.
        step: i64,
    },
    /// Numbers.
    Float {
        /// The default value.
        default: f64,
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
        /// The distance of values that a search tries.
        step: f64,
    },
    /// One of several texts.
    Choice {
        /// The default text.
        default: &'a str,
        /// All texts.
        options: &'a [&'a str],
    },
}

/// The kind of a strategy's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Follows a direction.
    Trend,
    /// Expects a return to the middle.
    MeanReversion,
    /// Follows the price out of a range.
    Breakout,
    /// Follows the speed of the price.
    Momentum,
    /// Acts on a change of volatility.
    Volatility,
    /// Reads the volume.
    Volume,
    /// Reads the shape of a few bars.
    Pattern,
    /// Combines indicators of several kinds.
    Several,
    /// Acts by the clock.
    Session,
    /// Tests a statistic.
    Statistical,
}

impl Family {
    /// All families with their names.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Trend, "trend"),
        (Self::MeanReversion, "mean_reversion"),
        (Self::Breakout, "breakout"),
        (Self::Momentum, "momentum"),
        (Self::Volatility, "volatility"),
        (Self::Volume, "volume"),
        (Self::Pattern, "pattern"),
        (Self::Several, "several"),
        (Self::Session, "session"),
        (Self::Statistical, "statistical"),
    ];

    /// The name in files and interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The bars on which a rule makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeframes {
    /// On all.
    Any,
    /// On bars shorter than a day, because the rule reads the hour.
    Intraday,
}

impl Timeframes {
    /// Both with their names.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Any, "any"), (Self::Intraday, "intraday")];

    /// The name in files and interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A fault of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// The field, such as `enter_long`, `lets[2]` or `parameters[0].min`; empty if the fault concerns the whole
    /// definition.
    pub field: String,
    /// The place in the file, or in the field's text if the definition is a constant.
    pub at: Position,
    /// The fault, and the way to mend it.
    pub message: String,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "{}: {}", self.at, self.message),
            field => write!(f, "{}: {field}: {}", self.at, self.message),
        }
    }
}

impl std::error::Error for DefinitionError {}

/// A fault before its place in a file is known.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) field: String,
    /// Bytes from the start of the field's text.
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), offset: 0, message: message.into() }
    }
}

pub(crate) use read::{from_json, from_toml};
