/// Names the rules once: each variant has its name and stands in `ALL`.
macro_rules! rules {
    ($($rule:ident = $name:literal),+ $(,)?) => {
        /// A rule that a value may break. Its name is stable: programs read it, and metrics count by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the names are the definition")]
        pub enum Rule {
            $($rule),+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            /// Its name, in lower case.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name),+
                }
            }
        }
    };
}

rules! {
    Missing = "missing",
    WrongType = "wrong_type",
    NotText = "not_text",
    Empty = "empty",
    TooLong = "too_long",
    Unprintable = "unprintable",
    OuterBlank = "outer_blank",
    UnknownTimeframe = "unknown_timeframe",
    AmbiguousTimeframe = "ambiguous_timeframe",
    NotANumber = "not_a_number",
    NotWhole = "not_whole",
    TooPrecise = "too_precise",
    OutOfRange = "out_of_range",
    NotATime = "not_a_time",
    NoTimeZone = "no_time_zone",
    ZoneAndOffset = "zone_and_offset",
    NotAWholeSecond = "not_a_whole_second",
    NotAWholeMinute = "not_a_whole_minute",
    NotAnOpeningTime = "not_an_opening_time",
    NotAQuarterHour = "not_a_quarter_hour",
    UnknownUnit = "unknown_unit",
    Unfilled = "unfilled",
    Future = "future",
    NotBegun = "not_begun",
    Inconsistent = "inconsistent",
}
