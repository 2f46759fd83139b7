//! The rules that values have to keep.
use strum::{IntoStaticStr, VariantArray};

/// A rule that a value may break. Its name is stable: programs read it, and metrics count by it.
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

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
