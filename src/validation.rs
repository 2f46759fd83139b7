//! The errors of a request, value by value.

use std::fmt::{self, Write as _};

use serde::Serialize;
use utoipa::ToSchema;

use candle::ValueError;

/// The maximum number of errors that one answer lists.
pub const MAX_REPORTED_ERRORS: usize = 100;

/// One value of a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Violation)]
pub struct FieldError {
    /// The path to the value: `body`, `query` or `header`, then field names and indexes.
    #[schema(example = json!(["body", "candles", 0, "open"]))]
    pub loc: Vec<PathSegment>,
    /// Says what is wrong with the value and what would be right.
    #[schema(example = "is not a number; send digits, such as 1200 or 1.0850")]
    pub msg: String,
    /// Stable name of the rule that was broken.
    #[serde(rename = "type")]
    #[schema(example = "not_a_number")]
    pub kind: &'static str,
}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Step)]
#[serde(untagged)]
pub enum PathSegment {
    /// Into a field of an object, or a parameter.
    Field(String),
    /// To an element of a list, counted from 0.
    Index(usize),
}

impl From<&str> for PathSegment {
    fn from(field: &str) -> Self {
        Self::Field(field.to_owned())
    }
}

impl From<usize> for PathSegment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path(), self.msg)
    }
}

impl FieldError {
    /// Places `invalid` at `loc`.
    pub fn new(loc: impl IntoIterator<Item = PathSegment>, invalid: ValueError) -> Self {
        Self { loc: loc.into_iter().collect(), msg: invalid.message, kind: invalid.rule.name() }
    }

    /// The place in the notation of most languages: `candles[0].open`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.loc.iter().skip(1) {
            let _ = match step {
                PathSegment::Index(index) => write!(path, "[{index}]"),
                PathSegment::Field(field) if path.is_empty() => write!(path, "{field}"),
                PathSegment::Field(field) => write!(path, ".{field}"),
            };
        }
        path
    }
}
