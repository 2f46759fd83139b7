//! Types of expressions: int, float, bool or text, and constant or a series.

use std::fmt;

/// The kind of an expression's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// A whole number, or `na`.
    Int,
    /// A number, or `na`.
    Float,
    /// A condition, never `na`.
    Bool,
    /// A text, which is always a constant.
    Text,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Text => "text",
        })
    }
}

impl Base {
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }

    /// The type that holds values of both types, as for the branches of a choice.
    pub(crate) fn unify(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (a, b) if a.is_number() && b.is_number() => Some(Self::Float),
            _ => None,
        }
    }
}

/// A type: the kind of the values, and whether there is one for all bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Type {
    /// The kind of the values.
    pub(crate) base: Base,
    /// True if the value is the same on all bars: it depends on literals and parameters alone.
    pub(crate) constant: bool,
}

impl Type {
    pub(crate) const fn constant(base: Base) -> Self {
        Self { base, constant: true }
    }

    pub(crate) const fn series(base: Base) -> Self {
        Self { base, constant: false }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.constant { "a constant" } else { "a series of" }, self.base)
    }
}
