//! Parameters of strategies and their values.

use std::fmt;

use crate::{
    definition::{Fault, ParameterDefinition, RangeDefinition},
    expr::{parse::check_name, types::Base},
    number::{real_time, whole, whole_time},
};

/// A parameter of a strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name in expressions and requests.
    pub name: String,
    /// Its meaning in a few words.
    pub about: String,
    /// Its values.
    pub range: ParameterRange,
    /// True for the brackets that every strategy can have: a search leaves them out unless it is asked to vary them.
    pub optional: bool,
}

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterRange {
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
    /// One of several texts, whose value is its place in the list.
    Choice {
        /// The place of the default text.
        default: usize,
        /// All texts.
        options: Vec<String>,
    },
}

impl Parameter {
    pub(crate) fn parse(definition: &ParameterDefinition<'_>, path: &str) -> Result<Self, Fault> {
        let fault = |field: &str, message: String| Fault::new(format!("{path}.{field}"), message);
        check_name(definition.name).map_err(|message| fault("name", message))?;
        let range = match definition.range {
            RangeDefinition::Int { default, min, max, step } => {
                const MAX: i64 = 1 << 53;
                if step < 1 {
                    return Err(fault("step", format!("{step} is not above 0")));
                }
                if !(-MAX <= min && min <= default && default <= max && max <= MAX) {
                    return Err(fault("default", format!("{default} is not from {min} to {max}")));
                }
                ParameterRange::Int { default, min, max, step }
            }
            RangeDefinition::Float { default, min, max, step } => {
                if !(step.is_finite() && step > 0.0) {
                    return Err(fault("step", format!("{step} is not a finite number above 0")));
                }
                if !(min.is_finite() && max.is_finite() && (min..=max).contains(&default)) {
                    return Err(fault("default", format!("{default} is not from {min} to {max}")));
                }
                ParameterRange::Float { default, min, max, step }
            }
            RangeDefinition::Choice { default, options } => {
                let Some(default) = options.iter().position(|option| *option == default) else {
                    return Err(fault("default", format!("{default:?} is not one of the options")));
                };
                let is_plain =
                    |option: &str| !option.is_empty() && option.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                for (place, option) in options.iter().enumerate() {
                    if !is_plain(option) || options[..place].contains(option) {
                        let message =
                            format!("{option:?} must be a single word of letters and digits, and unlike the others");
                        return Err(fault(&format!("options[{place}]"), message));
                    }
                }
                ParameterRange::Choice { default, options: options.iter().map(|option| (*option).to_owned()).collect() }
            }
        };
        let (name, about) = (definition.name.to_owned(), definition.about.to_owned());
        Ok(Self { name, about, range, optional: false })
    }

    /// The default value.
    #[must_use]
    pub fn default(&self) -> f64 {
        match &self.range {
            ParameterRange::Int { default, .. } => real_time(*default),
            ParameterRange::Float { default, .. } => *default,
            ParameterRange::Choice { default, .. } => crate::number::real(*default),
        }
    }

    /// The value of a text: a number, or one of the options.
    ///
    /// # Errors
    /// When the text is neither, or the value is not one of the parameter's.
    pub fn parse_value(&self, text: &str) -> Result<f64, ParameterError> {
        let value = match &self.range {
            ParameterRange::Choice { options, .. } => {
                options.iter().position(|option| option == text).map(crate::number::real)
            }
            ParameterRange::Int { .. } | ParameterRange::Float { .. } => text.parse().ok(),
        };
        match value {
            Some(value) => self.check(value),
            None => Err(self.refuse(text)),
        }
    }

    /// The value as the parameter's text: without a point if it is an int, and the option's text if it is a choice.
    #[must_use]
    pub fn print(&self, value: f64) -> String {
        match &self.range {
            ParameterRange::Int { .. } | ParameterRange::Float { .. } => format!("{value}"),
            ParameterRange::Choice { options, .. } => options.get(whole(value)).cloned().unwrap_or_default(),
        }
    }

    /// The value itself, if it is one of the parameter's.
    ///
    /// # Errors
    /// When it is outside the range, or not whole where it has to be.
    pub fn check(&self, value: f64) -> Result<f64, ParameterError> {
        let is_valid = match &self.range {
            ParameterRange::Int { min, max, .. } => value.fract() == 0.0 && (*min..=*max).contains(&whole_time(value)),
            ParameterRange::Float { min, max, .. } => (*min..=*max).contains(&value),
            ParameterRange::Choice { options, .. } => {
                value.fract() == 0.0 && value >= 0.0 && whole(value) < options.len()
            }
        };
        if is_valid { Ok(value) } else { Err(self.refuse(&format!("{value}"))) }
    }

    fn refuse(&self, value: &str) -> ParameterError {
        let wanted = match &self.range {
            ParameterRange::Int { min, max, .. } => format!("a whole number from {min} to {max}"),
            ParameterRange::Float { min, max, .. } => format!("a number from {min} to {max}"),
            ParameterRange::Choice { options, .. } => format!("one of {}", options.join(", ")),
        };
        ParameterError { name: self.name.clone(), message: format!("{value} is not {wanted}") }
    }

    pub(crate) fn base(&self) -> Base {
        match self.range {
            ParameterRange::Int { .. } => Base::Int,
            ParameterRange::Float { .. } => Base::Float,
            ParameterRange::Choice { .. } => Base::Text,
        }
    }
}

/// Valid values of all parameters of one strategy, in the strategy's order. Constraints are checked when they are bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub(crate) values: Vec<f64>,
}

impl Parameters {
    /// The values in the strategy's order: a number, or the place of a choice's option.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// The reason for which a value of a parameter was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterError {
    /// The parameter.
    pub name: String,
    /// The fault, and the accepted values.
    pub message: String,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parameter {}: {}", self.name, self.message)
    }
}

impl std::error::Error for ParameterError {}
