use std::fmt;

use super::{Rule, Timestamp, UtcOffset, ValueError};

/// The length of a candle's period: one of the 21 of `MetaTrader` 5 (MQL5 reference, `ENUM_TIMEFRAMES`).
///
/// ```
/// use candle::{Rule, Timeframe};
///
/// for text in ["H4", "h4", "PERIOD_H4", "4h"] {
///     assert_eq!(Timeframe::parse(text), Ok(Timeframe::H4));
/// }
/// assert_eq!(Timeframe::H4.length(), Some(4 * 3600));
/// assert_eq!(Timeframe::parse("1M").unwrap_err().rule, Rule::AmbiguousTimeframe);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the definition")]
pub enum Timeframe {
    M1,
    M2,
    M3,
    M4,
    M5,
    M6,
    M10,
    M12,
    M15,
    M20,
    M30,
    H1,
    H2,
    H3,
    H4,
    H6,
    H8,
    H12,
    D1,
    W1,
    MN1,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Timeframe {
    /// All timeframes, shortest first.
    #[rustfmt::skip]
    pub const ALL: [Self; 21] = [
        Self::M1, Self::M2, Self::M3, Self::M4, Self::M5, Self::M6, Self::M10, Self::M12, Self::M15, Self::M20, Self::M30,
        Self::H1, Self::H2, Self::H3, Self::H4, Self::H6, Self::H8, Self::H12, Self::D1, Self::W1, Self::MN1,
    ];

    /// The name in `MetaTrader` 5, which is also the stored one.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name_and_length().0
    }

    /// The timeframe whose [`name`](Self::name) is exactly this.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timeframe| timeframe.name() == name)
    }

    /// Parses a `MetaTrader` name in any case (`H1`, `PERIOD_H1`) or the short form of charts (`1h`, `15m`, `1d`,
    /// `1w`).
    ///
    /// `1M` is refused, because half of the tools mean a minute by it and half a month.
    ///
    /// # Errors
    /// When `text` is none of these. The message lists the known names.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text == "1M" {
            return Err(ValueError::new(Rule::AmbiguousTimeframe, "can mean a minute or a month; send M1 or MN1"));
        }
        let name = match text.split_at_checked("PERIOD_".len()) {
            Some((prefix, name)) if prefix.eq_ignore_ascii_case("PERIOD_") => name,
            _ => text,
        };
        let same = |timeframe: &Self| match text.strip_suffix(['m', 'h', 'd', 'w', 'H', 'D', 'W']) {
            // `15m` is `M15`. An upper-case M after a number means a month elsewhere, so it is not read as minutes.
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                let (unit, length) = timeframe.name().split_at(1);
                unit.eq_ignore_ascii_case(&text[number.len()..]) && length == number
            }
            _ => timeframe.name().eq_ignore_ascii_case(name),
        };
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(" ");
            ValueError::new(Rule::UnknownTimeframe, format!("is not a known timeframe; send one of {names}"))
        })
    }

    /// Checks that a candle can open at `time`, because a candle that is sent with any other time than that of its
    /// opening would be stored as a second candle of the same period.
    ///
    /// Below H1, candles open on multiples of the greatest common divisor of their length and 15 minutes, because
    /// sessions and zones begin on quarters of an hour. From H1 to H12 the step is 5 minutes, because trading also
    /// begins at times such as 07:20 and 09:50. From D1 on it is a minute, or a second before 1940, because cities kept
    /// their own mean time until then.
    ///
    /// # Errors
    /// When `time` is not such a multiple, or lies before the year 1700.
    pub fn check_opening(self, time: Timestamp) -> Result<(), ValueError> {
        time.check_not_before_markets()?;
        let step = self.opening_step(time);
        if time.seconds() % step == 0 {
            return Ok(());
        }
        let rule = if time.seconds() % MINUTE == 0 { Rule::NotAnOpeningTime } else { Rule::NotAWholeMinute };
        let grid = match step / MINUTE {
            1 => "whole minutes".to_owned(),
            minutes => format!("multiples of {minutes} minutes"),
        };
        let message = format!(
            "is not an opening time of {self} candles, which open on {grid} in UTC; send the time at which the candle \
             opened"
        );
        Err(ValueError::new(rule, message))
    }

    /// The number of seconds of which the opening times around `time` are multiples.
    fn opening_step(self, time: Timestamp) -> i64 {
        match self.length() {
            Some(length) if length < HOUR => {
                let minutes = length / MINUTE;
                [15, 5, 3].into_iter().find(|divisor| minutes % divisor == 0).unwrap_or(1) * MINUTE
            }
            Some(length) if length < DAY => 5 * MINUTE,
            _ if time < Timestamp::FIRST_OF_STANDARD_TIME => 1,
            _ => MINUTE,
        }
    }

    /// True for D1, W1 and MN1. Their candles open with a day of the broker's, so a date suffices as their time.
    #[must_use]
    pub fn opens_with_a_day(self) -> bool {
        self.length().is_none_or(|length| length >= DAY)
    }

    /// The end of the period of a candle that opened at `open`, by its nominal length.
    ///
    /// A month has the length of the calendar month in which the candle opened by the broker's clock, which is
    /// `utc_offset` ahead of UTC. If the offset is unknown, 14 hours are taken instead: no zone lies further east, so
    /// they reach the first or second day of the right month in every zone.
    #[must_use]
    pub fn nominal_end(self, open: Timestamp, utc_offset: Option<UtcOffset>) -> Timestamp {
        let length = self.length().unwrap_or_else(|| {
            let ahead = utc_offset.map_or(UtcOffset::MAX_SECONDS, UtcOffset::seconds);
            open.plus_seconds(ahead).days_in_month() * DAY
        });
        open.plus_seconds(length)
    }

    /// The latest time at which a candle that opened at `open` can end.
    ///
    /// Above H1 this is an hour after the nominal end, because a broker's day on which the clocks go back has 25 hours,
    /// and one of its H2 to H12 candles is an hour longer.
    #[must_use]
    pub fn latest_end(self, open: Timestamp, utc_offset: Option<UtcOffset>) -> Timestamp {
        let spare = if self.length().is_some_and(|length| length <= HOUR) { 0 } else { HOUR };
        self.nominal_end(open, utc_offset).plus_seconds(spare)
    }

    /// Seconds in the period; `None` for a month.
    #[must_use]
    pub fn length(self) -> Option<i64> {
        self.name_and_length().1
    }

    fn name_and_length(self) -> (&'static str, Option<i64>) {
        match self {
            Self::M1 => ("M1", Some(MINUTE)),
            Self::M2 => ("M2", Some(2 * MINUTE)),
            Self::M3 => ("M3", Some(3 * MINUTE)),
            Self::M4 => ("M4", Some(4 * MINUTE)),
            Self::M5 => ("M5", Some(5 * MINUTE)),
            Self::M6 => ("M6", Some(6 * MINUTE)),
            Self::M10 => ("M10", Some(10 * MINUTE)),
            Self::M12 => ("M12", Some(12 * MINUTE)),
            Self::M15 => ("M15", Some(15 * MINUTE)),
            Self::M20 => ("M20", Some(20 * MINUTE)),
            Self::M30 => ("M30", Some(30 * MINUTE)),
            Self::H1 => ("H1", Some(HOUR)),
            Self::H2 => ("H2", Some(2 * HOUR)),
            Self::H3 => ("H3", Some(3 * HOUR)),
            Self::H4 => ("H4", Some(4 * HOUR)),
            Self::H6 => ("H6", Some(6 * HOUR)),
            Self::H8 => ("H8", Some(8 * HOUR)),
            Self::H12 => ("H12", Some(12 * HOUR)),
            Self::D1 => ("D1", Some(DAY)),
            Self::W1 => ("W1", Some(7 * DAY)),
            Self::MN1 => ("MN1", None),
        }
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Every accepted spelling, except for the case of a name's letters.
    fn spellings() -> HashMap<String, Timeframe> {
        let spell = |timeframe: Timeframe| {
            let name = timeframe.name();
            let (unit, number) = name.split_at(1);
            let mut spellings = vec![name.to_owned(), format!("PERIOD_{name}")];
            if timeframe != Timeframe::MN1 {
                spellings.push(format!("{number}{}", unit.to_lowercase()));
                spellings.extend((unit != "M").then(|| format!("{number}{unit}")));
            }
            spellings.into_iter().map(move |spelling| (spelling, timeframe))
        };
        Timeframe::ALL.into_iter().flat_map(spell).collect()
    }

    #[test]
    fn every_spelling_is_accepted_and_names_in_any_case() {
        for (spelling, timeframe) in spellings() {
            assert_eq!(Timeframe::parse(&spelling), Ok(timeframe));
            if !spelling.starts_with(|first: char| first.is_ascii_digit()) {
                assert_eq!(Timeframe::parse(&spelling.to_lowercase()), Ok(timeframe));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn no_other_spelling_is_accepted(text in "(PERIOD_|period_)?[mMhHdDwWnN0-9]{0,3}|[a-zA-Zé]{5,8}M1") {
            let upper = text.to_ascii_uppercase();
            let spellings = spellings();
            let known = spellings.get(&text).or_else(|| spellings.get(&upper).filter(|_| !text.ends_with('m')));
            prop_assert_eq!(Timeframe::parse(&text).ok(), known.copied());
        }
    }
}
