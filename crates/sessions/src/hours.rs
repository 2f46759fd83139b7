use std::fmt;

use super::{DAY, MINUTE, WEEK};

/// The hours of the week in which a market trades, in TradingView's notation: `1700-1700:23456`.
///
/// Each part has spans `HHMM-HHMM`, separated by commas, and after a colon the days for which they hold: 1 is Sunday and 7
/// Saturday; without days, Monday to Friday. Parts are separated by `|`, and a later one replaces what an earlier one says of a
/// day. A span whose end is not after its start begins on the day before, so `1700-1700:2` goes from Sunday 17:00 to Monday
/// 17:00. The end is not part of a span.
///
/// ```
/// use sessions::Hours;
///
/// let hours = Hours::parse("0930-1600|0930-1300:6")?;
/// assert!(hours.hold(9 * 60 + 30) && !hours.hold(16 * 60));
/// assert!(Hours::parse("9:30-16:00").is_err());
/// # Ok::<(), sessions::HoursError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hours {
    /// The first minute of the week, counted from Monday, and the minute after the last.
    spans: Vec<(i64, i64)>,
    /// The minute of the day at which the first span of every day begins; `None` if it differs from day to day.
    day_start: Option<i64>,
}

/// The error for a text that is not a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoursError;

impl fmt::Display for HoursError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is not a session; send spans HHMM-HHMM that do not overlap, and after a colon the days from 1 (Sunday) to 7, as in \
             1700-1700:23456",
        )
    }
}

impl std::error::Error for HoursError {}

const MINUTES_A_DAY: i64 = DAY / MINUTE;
const MINUTES_A_WEEK: i64 = WEEK / MINUTE;

impl Hours {
    /// Parses a session.
    ///
    /// # Errors
    /// When `text` is not one, or a minute of the week is in two spans.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let mut of_days: Vec<(char, Vec<(i64, i64)>)> = Vec::new();
        for part in text.split('|') {
            let (times, days) = part.split_once(':').unwrap_or((part, "23456"));
            let times = times.split(',').map(span).collect::<Option<Vec<_>>>().ok_or(HoursError)?;
            let is_repeated = days.chars().any(|day| days.matches(day).count() > 1);
            if days.is_empty() || is_repeated {
                return Err(HoursError);
            }
            for day in days.chars() {
                of_days.retain(|(known, _)| *known != day);
                of_days.push((day, times.clone()));
            }
        }
        let mut spans = Vec::new();
        let mut starts = Vec::new();
        for (day, times) in of_days {
            // Sunday is the last day of a week that begins on Monday.
            let number = i64::from(day.to_digit(10).filter(|day| (1..=7).contains(day)).ok_or(HoursError)?);
            let midnight = (number + 5) % 7 * MINUTES_A_DAY;
            spans.extend(times.iter().map(|(start, end)| (midnight + start, midnight + end)));
            starts.extend(times.iter().map(|(start, _)| *start).min());
        }
        let is_same = starts.iter().all(|start| Some(start) == starts.first());
        let day_start = starts.first().filter(|_| is_same).map(|start| start.rem_euclid(MINUTES_A_DAY));
        let hours = Self { spans, day_start };
        let all: i64 = hours.spans.iter().map(|(start, end)| end - start).sum();
        let held = (0..MINUTES_A_WEEK).filter(|&minute| hours.hold(minute)).count();
        if usize::try_from(all) == Ok(held) { Ok(hours) } else { Err(HoursError) }
    }

    /// The minute of the day at which trading days begin; `None` if not all of them begin at the same time.
    ///
    /// ```
    /// use sessions::Hours;
    ///
    /// assert_eq!(Hours::parse("1700-1700")?.day_start(), Some(17 * 60));
    /// assert_eq!(Hours::parse("0930-1600|1000-1300:6")?.day_start(), None);
    /// # Ok::<(), sessions::HoursError>(())
    /// ```
    #[must_use]
    pub fn day_start(&self) -> Option<i64> {
        self.day_start
    }

    /// True if a minute of the week, counted from Monday 00:00, is in a span.
    #[must_use]
    pub fn hold(&self, minute: i64) -> bool {
        // A span may begin in the week before.
        [minute, minute - MINUTES_A_WEEK]
            .iter()
            .any(|minute| self.spans.iter().any(|(start, end)| (start..end).contains(&minute)))
    }
}

/// A span in minutes of its day. It begins on the day before if its end is not after its start.
fn span(text: &str) -> Option<(i64, i64)> {
    let (start, end) = text.split_once('-')?;
    match (time(start)?, time(end)?) {
        (MINUTES_A_DAY.., _) => None,
        (0, 0) => Some((0, MINUTES_A_DAY)),
        (start, end) if start < end => Some((start, end)),
        (start, end) => Some((start - MINUTES_A_DAY, end)),
    }
}

/// `HHMM` in minutes; `2400` is the end of a day.
fn time(text: &str) -> Option<i64> {
    if text.len() != 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (text[..2].parse::<i64>().ok()?, text[2..].parse::<i64>().ok()?);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= MINUTES_A_DAY).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUNDAY: i64 = 6 * MINUTES_A_DAY;
    const FRIDAY: i64 = 4 * MINUTES_A_DAY;

    #[test]
    fn spans_hold_their_minutes() {
        let forex = Hours::parse("1700-1700:23456").unwrap();
        for (minute, holds) in [
            (SUNDAY + 17 * 60 - 1, false),
            (SUNDAY + 17 * 60, true),
            (0, true),
            (FRIDAY + 17 * 60 - 1, true),
            (FRIDAY + 17 * 60, false),
            (FRIDAY + MINUTES_A_DAY + 720, false),
        ] {
            assert_eq!(forex.hold(minute), holds, "{minute}");
        }
        assert_eq!(forex, Hours::parse("1700-1700").unwrap());
        let all = Hours::parse("0000-0000:1234567").unwrap();
        assert!((0..MINUTES_A_WEEK).all(|minute| all.hold(minute)));
        let lunch = Hours::parse("0900-1130,1230-1500").unwrap();
        assert!(lunch.hold(9 * 60) && !lunch.hold(12 * 60) && lunch.hold(12 * 60 + 30) && !lunch.hold(SUNDAY + 9 * 60));
        let short = Hours::parse("0930-1600|0930-1300:6").unwrap();
        assert!(short.hold(15 * 60) && !short.hold(FRIDAY + 15 * 60) && short.hold(FRIDAY + 12 * 60));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "24x7",
            "0930",
            "930-1600",
            "0930-1660",
            "2500-2600",
            "0930-1600:",
            "0930-1600:8",
            "0930-1600:0",
            "0930-1600|",
            "0930-1600,1500-1700",
            "1700-1700:22345678",
            "0900-1000:22",
            "2400-0100",
            "0930–1600",
            "0930-1600:2 ",
        ] {
            assert_eq!(Hours::parse(text), Err(HoursError), "{text}");
        }
    }
}
