//! The periods of charts, and the times that their bars have.

use std::ops::Range;

use crate::query::resample;
use crate::query::selection::{END_MILLISECOND, FIRST_MILLISECOND};
use candle::{Rule, Timeframe, ValueError};

const DAY: i64 = 86_400;
const HALF_A_DAY: i64 = DAY / 2;

/// The period of a bar, as charts write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::query) enum Resolution {
    /// Minutes or hours: `1`, `240`.
    Minutes(Timeframe),
    /// `1D`.
    Day,
    /// `1W`, which charts build from days.
    Week,
    /// `1M`, likewise.
    Month,
}

/// The resolutions that charts offer wherever days are stored.
pub(super) const OF_DAYS: [&str; 3] = ["1D", "1W", "1M"];

impl Resolution {
    /// Parses a number of minutes, or `1D`, `1W` or `1M` with or without the digit.
    pub(super) fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "D" | "1D" => return Ok(Self::Day),
            "W" | "1W" => return Ok(Self::Week),
            "M" | "1M" => return Ok(Self::Month),
            _ => {}
        }
        let known = intraday().find(|&timeframe| minutes(timeframe) == text);
        known.map(Self::Minutes).ok_or_else(|| {
            let names = intraday().map(minutes).collect::<Vec<_>>().join(" ");
            ValueError::new(Rule::UnknownTimeframe, format!("must be one of {names} {}", OF_DAYS.join(" ")))
        })
    }

    /// The name that [`Self::parse`] reads back.
    pub(super) fn name(self) -> String {
        match self {
            Self::Minutes(timeframe) => minutes(timeframe),
            Self::Day => "1D".to_owned(),
            Self::Week => "1W".to_owned(),
            Self::Month => "1M".to_owned(),
        }
    }

    /// The timeframe of its bars. Weeks and months are built from days.
    pub(super) fn timeframe(self) -> Timeframe {
        match self {
            Self::Minutes(timeframe) => timeframe,
            Self::Day | Self::Week | Self::Month => Timeframe::D1,
        }
    }

    /// The time of the bar of a candle that opened at `opening` milliseconds, in seconds. That of a day is 00:00 UTC of its
    /// trading date: the midnight nearest to the opening, the later one if both are as near.
    pub(super) fn bar_time(self, opening: i64) -> i64 {
        let seconds = opening.div_euclid(1000);
        match self {
            Self::Minutes(_) => seconds,
            _ => (seconds + HALF_A_DAY).div_euclid(DAY) * DAY,
        }
    }

    /// The first opening from `start` on, in milliseconds, of a candle that opens at a whole number of its periods after midnight UTC.
    /// That of a day is `start` itself, because days open at any hour.
    pub(super) fn first_opening(self, start: i64) -> i64 {
        match self.timeframe().length() {
            Some(seconds) if matches!(self, Self::Minutes(_)) => {
                let length = seconds * 1000;
                start.saturating_add(length - 1).div_euclid(length) * length
            }
            _ => start,
        }
    }

    /// The opening times, in milliseconds, of the candles whose bars have these times.
    pub(super) fn openings(self, bars: &Range<i64>) -> Range<i64> {
        let opening = |bar: i64| {
            let seconds = match self {
                Self::Minutes(_) => bar,
                _ => bar.saturating_add(DAY - 1).div_euclid(DAY).saturating_mul(DAY).saturating_sub(HALF_A_DAY),
            };
            seconds.saturating_mul(1000).clamp(FIRST_MILLISECOND, END_MILLISECOND)
        };
        opening(bars.start)..opening(bars.end)
    }
}

/// The timeframes below a day, shortest first.
pub(super) fn intraday() -> impl Iterator<Item = Timeframe> {
    Timeframe::ALL.into_iter().filter(|timeframe| !timeframe.opens_with_a_day())
}

/// The name of a timeframe below a day: its number of minutes.
pub(super) fn minutes(timeframe: Timeframe) -> String {
    (timeframe.length().unwrap_or_default() / 60).to_string()
}

/// The shortest of the `stored` timeframes from which candles of `timeframe` can be built.
pub(super) fn source(stored: &[Timeframe], timeframe: Timeframe) -> Option<Timeframe> {
    resample::sources(timeframe).find(|source| stored.contains(source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn resolutions_have_the_names_of_charts() {
        for (text, timeframe) in
            [("1", Timeframe::M1), ("60", Timeframe::H1), ("720", Timeframe::H12), ("D", Timeframe::D1)]
        {
            assert_eq!(Resolution::parse(text).unwrap().timeframe(), timeframe);
        }
        for text in ["", "0", "7", "01", "1440", "1m", "2D", "1S", "H1", " 1"] {
            assert!(Resolution::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_has_the_midnight_of_its_trading_date() {
        let at = |text: &str| candle::parse_bound(text, None).unwrap();
        for (opening, date) in [
            ("2025-08-04T00:00:00Z", "2025-08-04"),
            // Brokers at +2 and +3, and New York's 17:00 in summer and in winter.
            ("2025-08-03T22:00:00Z", "2025-08-04"),
            ("2025-08-03T21:00:00Z", "2025-08-04"),
            ("2025-12-07T22:00:00Z", "2025-12-08"),
            // From UTC-11:59 to UTC+12:00.
            ("2025-08-04T11:59:00Z", "2025-08-04"),
            ("2025-08-03T12:00:00Z", "2025-08-04"),
            ("2025-08-03T11:59:59Z", "2025-08-03"),
            ("1969-12-31T12:00:00Z", "1970-01-01"),
        ] {
            assert_eq!(Resolution::Day.bar_time(at(opening)) * 1000, at(date), "{opening}");
        }
    }

    proptest! {
        #[test]
        fn candles_are_selected_by_the_times_of_their_bars(
            opening in -100_000_000_000_i64..100_000_000_000,
            (start, length) in (-100_000_000_i64..100_000_000, 0_i64..1_000_000),
            days in any::<bool>(),
        ) {
            let resolution = if days { Resolution::Day } else { Resolution::Minutes(Timeframe::M1) };
            let bars = start..start + length;
            let is_selected = resolution.openings(&bars).contains(&opening);
            prop_assert_eq!(is_selected, bars.contains(&resolution.bar_time(opening)));
        }
    }
}
