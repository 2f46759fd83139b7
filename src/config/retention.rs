//! The ages beyond which candles are deleted.

use std::fmt;

use chrono::{Days, Months};

use super::reader::Reader;
use candle::{Timeframe, Timestamp};

/// The setting of the ages.
pub(super) const RETENTION: &str = "RETENTION";

/// The maximum number of a unit, so that no age leads to a time before the years that requests reach.
const MAX_COUNT: u32 = 1000;

/// The ages beyond which candles are deleted, by timeframe. Candles of other timeframes stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention(Vec<(Timeframe, Age)>);

/// An age. It is counted in days and months of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Days.
    Days(u32),
    /// Weeks.
    Weeks(u32),
    /// Months.
    Months(u32),
    /// Years.
    Years(u32),
}

impl Retention {
    /// The timeframes whose candles are deleted, and the age beyond which they are.
    pub fn ages(&self) -> impl Iterator<Item = (Timeframe, Age)> {
        self.0.iter().copied()
    }

    /// True if every candle stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Age {
    /// The first millisecond that is not older than this at `now`.
    #[must_use]
    pub fn before(self, now: Timestamp) -> i64 {
        let now = now.to_chrono();
        let start = match self {
            Self::Days(days) => now.checked_sub_days(Days::new(u64::from(days))),
            Self::Weeks(weeks) => now.checked_sub_days(Days::new(u64::from(weeks) * 7)),
            Self::Months(months) => now.checked_sub_months(Months::new(months)),
            Self::Years(years) => now.checked_sub_months(Months::new(years * 12)),
        };
        start.map_or(i64::MIN, |start| start.timestamp_millis())
    }

    fn parse(text: &str) -> Option<Self> {
        let unit = text.find(|c: char| !c.is_ascii_digit())?;
        let count = text[..unit].parse().ok().filter(|count| (1..=MAX_COUNT).contains(count))?;
        match &text[unit..] {
            "d" => Some(Self::Days(count)),
            "w" => Some(Self::Weeks(count)),
            "mo" => Some(Self::Months(count)),
            "y" => Some(Self::Years(count)),
            _ => None,
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}d"),
            Self::Weeks(weeks) => write!(f, "{weeks}w"),
            Self::Months(months) => write!(f, "{months}mo"),
            Self::Years(years) => write!(f, "{years}y"),
        }
    }
}

fn parse(text: &str) -> Result<Retention, String> {
    let mut ages: Vec<(Timeframe, Age)> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let parts = entry
            .split_once(':')
            .and_then(|(timeframe, age)| Some((Timeframe::parse(timeframe.trim()).ok()?, Age::parse(age.trim())?)));
        let Some((timeframe, age)) = parts else {
            return Err(format!(
                "must be a list such as M1:2y,M5:18mo, of timeframes and ages of 1 to {MAX_COUNT} d, w, mo or y"
            ));
        };
        if ages.iter().any(|(other, _)| *other == timeframe) {
            return Err(format!("names {timeframe} twice; keep one of the ages"));
        }
        ages.push((timeframe, age));
    }
    Ok(Retention(ages))
}

impl Reader<'_> {
    pub(super) fn retention(&mut self) -> Retention {
        self.parsed(RETENTION, Retention::default(), parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_in_days_and_months_of_the_calendar() {
        let now = Timestamp::from_seconds(1_772_625_600).unwrap();
        let before = |text: &str| {
            let Retention(ages) = parse(text).unwrap();
            candle::format_millis(ages[0].1.before(now)).unwrap()
        };
        assert_eq!(before("M1:1d"), "2026-03-03T12:00:00Z");
        assert_eq!(before("M1:2w"), "2026-02-18T12:00:00Z");
        assert_eq!(before("M1: 13mo"), "2025-02-04T12:00:00Z");
        assert_eq!(before("PERIOD_M1:2y"), "2024-03-04T12:00:00Z");
        assert_eq!(before("M1:1000y"), "1026-03-04T12:00:00Z");
    }

    #[test]
    fn a_list_names_each_timeframe_once() {
        let Retention(ages) = parse("M1:2y, M5:90d").unwrap();
        assert_eq!(ages, [(Timeframe::M1, Age::Years(2)), (Timeframe::M5, Age::Days(90))]);
        for text in
            ["", "M1", "M1:", "M1:0d", "M1:1001d", "M1:2", "M1:2 years", "M7:2y", "M1:2y,", "M1:2y,m1:3y", "M1:-2y"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
