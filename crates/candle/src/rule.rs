//! The rules that values must satisfy.

use strum::{IntoStaticStr, VariantArray};

/// A rule that a value may break. Names are stable, because programs read them and they are labels of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the definition")]
pub enum Rule {
    Missing,
    WrongType,
    NotText,
    Empty,
    TooLong,
    Unprintable,
    OuterBlank,
    UnknownTimeframe,
    AmbiguousTimeframe,
    NotANumber,
    NotWhole,
    TooPrecise,
    OutOfRange,
    NotATime,
    NoTimeZone,
    ZoneAndOffset,
    NotAWholeSecond,
    NotAWholeMinute,
    NotAnOpeningTime,
    NotAQuarterHour,
    UnknownUnit,
    Unfilled,
    Future,
    NotBegun,
    Inconsistent,
}

impl Rule {
    /// All rules.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The rule's name in snake case, such as `not_a_number`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
