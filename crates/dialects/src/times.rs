//! Times as files write them: a year, a month and a day in any order and with any separator, epoch numbers of any unit, a
//! time of day in 24 or 12 hours, and a zone behind it.

use std::fmt;

/// The order of day and month in dates that do not begin with the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayMonth {
    /// 31/12/2025.
    DayFirst,
    /// 12/31/2025.
    MonthFirst,
}

/// The form of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForm {
    /// 2025.08.04, with this separator.
    YearFirst(u8),
    /// 20250804.
    Compact,
    /// 04.08.2025 or 08/04/2025, with this separator.
    YearLast(u8),
    /// A number of seconds, milliseconds, microseconds or nanoseconds since 1970.
    Epoch,
}

/// The form of a time. All lines of a file have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeForm {
    /// Its date.
    pub date: DateForm,
    /// True if a time of day follows the date.
    pub has_time: bool,
    /// True if a zone or an offset follows.
    pub has_zone: bool,
}

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileTime {
    /// Seconds since 1970-01-01T00:00:00 on the clock of the file.
    pub reading: i64,
    /// The seconds that this clock is ahead of UTC, if the text says it. An epoch number says 0.
    pub offset: Option<i64>,
    /// The form in which it was written.
    pub form: TimeForm,
}

/// The reason for which a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeError {
    /// It has no known form.
    Unknown,
    /// There is no such day, or no such time of day.
    NoSuchTime,
    /// It has a fraction of a second.
    NotWhole,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "is not a time in a known form",
            Self::NoSuchTime => "is not a time that exists",
            Self::NotWhole => "is not a whole second",
        })
    }
}

impl std::error::Error for TimeError {}

impl TimeForm {
    /// The form for people, such as `Y.M.D h:m:s`.
    #[must_use]
    pub fn name(self, order: DayMonth) -> String {
        let date = match (self.date, order) {
            (DateForm::Epoch, _) => return "epoch numbers".to_owned(),
            (DateForm::Compact, _) => "YMD".to_owned(),
            (DateForm::YearFirst(mark), _) => format!("Y{0}M{0}D", char::from(mark)),
            (DateForm::YearLast(mark), DayMonth::DayFirst) => format!("D{0}M{0}Y", char::from(mark)),
            (DateForm::YearLast(mark), DayMonth::MonthFirst) => format!("M{0}D{0}Y", char::from(mark)),
        };
        let time = if self.has_time { " h:m:s" } else { "" };
        let zone = if self.has_zone { " with its offset" } else { "" };
        format!("{date}{time}{zone}")
    }
}

/// Reads a text one byte after the other.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn next_is(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    /// Reads a number of at most `most` digits. Returns the number and how many digits it has.
    fn number(&mut self, most: usize) -> Option<(i64, usize)> {
        let mut number = 0_i64;
        let mut digits = 0;
        while let Some(digit) = self.0.get(digits).filter(|byte| byte.is_ascii_digit()) {
            if digits == most {
                return None;
            }
            number = number.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
            digits += 1;
        }
        self.0 = &self.0[digits..];
        (digits > 0).then_some((number, digits))
    }

    fn blanks(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_ascii_start();
        self.0.len() < before
    }
}

/// Reads a time. `order` says which of two numbers before a year is the day.
///
/// ```
/// use dialects::{DayMonth, parse_time};
///
/// let time = parse_time(b"04.08.2025 09:01:00.000 GMT+0900", DayMonth::DayFirst)?;
/// assert_eq!((time.reading, time.offset), (1_754_298_060, Some(32_400)));
/// assert_eq!(parse_time(b"8/4/2025 1:31:00 PM", DayMonth::MonthFirst)?.reading, 1_754_314_260);
/// assert_eq!(parse_time(b"1735689600000000", DayMonth::DayFirst)?.reading, 1_735_689_600);
/// # Ok::<(), dialects::TimeError>(())
/// ```
///
/// # Errors
/// When the text has no known form, or no such time exists.
pub fn parse_time(text: &[u8], order: DayMonth) -> Result<FileTime, TimeError> {
    if let Some(time) = parse_usual(text) {
        return Ok(time);
    }
    if text.first() == Some(&b'-') || text.iter().take_while(|byte| byte.is_ascii_digit()).count() > 8 {
        return parse_epoch(text);
    }
    let mut cursor = Cursor(text);
    let (date, days) = parse_date(&mut cursor, order)?;
    let blank = cursor.next_is(b'T') || cursor.blanks();
    let mut seconds = 0;
    let has_time = blank && cursor.0.first().is_some_and(u8::is_ascii_digit);
    if has_time {
        seconds = time_of_day(&mut cursor)?;
    }
    let offset = parse_zone(&mut cursor)?;
    let form = TimeForm { date, has_time, has_zone: offset.is_some() };
    Ok(FileTime { reading: days * 86_400 + seconds, offset, form })
}

/// Reads the most common forms, `2025.08.04 00:01` and `2025.08.04 00:01:00` with any separator, without a cursor.
fn parse_usual(text: &[u8]) -> Option<FileTime> {
    if text.len() != 19 && text.len() != 16 {
        return None;
    }
    let mark = text[4];
    if !matches!(mark, b'.' | b'-' | b'/') || text[7] != mark || text[10] != b' ' || text[13] != b':' {
        return None;
    }
    let digit = |at: usize| {
        let digit = text[at].wrapping_sub(b'0');
        (digit < 10).then_some(i64::from(digit))
    };
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute) = (two(11)?, two(14)?);
    let second = if text.len() == 19 {
        if text[16] != b':' {
            return None;
        }
        two(17)?
    } else {
        0
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_epoch(year, month, day)?;
    let form = TimeForm { date: DateForm::YearFirst(mark), has_time: true, has_zone: false };
    Some(FileTime { reading: days * 86_400 + hour * 3600 + minute * 60 + second, offset: None, form })
}

/// An epoch number. Its size decides its unit: seconds up to the year 5138, then milliseconds, microseconds and
/// nanoseconds.
pub(crate) fn parse_epoch(text: &[u8]) -> Result<FileTime, TimeError> {
    let mut cursor = Cursor(text);
    let sign = if cursor.next_is(b'-') { -1 } else { 1 };
    let (number, _) = cursor.number(19).ok_or(TimeError::Unknown)?;
    if cursor.next_is(b'.') && cursor.0.iter().all(|&byte| byte == b'0') {
        cursor.0 = &[];
    }
    if !cursor.0.is_empty() {
        return Err(TimeError::Unknown);
    }
    let unit = match number {
        ..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    if number % unit != 0 {
        return Err(TimeError::NotWhole);
    }
    let form = TimeForm { date: DateForm::Epoch, has_time: true, has_zone: true };
    Ok(FileTime { reading: sign * (number / unit), offset: Some(0), form })
}

fn parse_date(cursor: &mut Cursor<'_>, order: DayMonth) -> Result<(DateForm, i64), TimeError> {
    let (first, digits) = cursor.number(8).ok_or(TimeError::Unknown)?;
    if digits == 8 {
        let days = days_from_epoch(first / 10_000, first / 100 % 100, first % 100);
        return Ok((DateForm::Compact, days.ok_or(TimeError::NoSuchTime)?));
    }
    let mark = *cursor.0.first().filter(|byte| b".-/".contains(byte)).ok_or(TimeError::Unknown)?;
    cursor.next_is(mark);
    let (second, _) = cursor.number(2).ok_or(TimeError::Unknown)?;
    if !cursor.next_is(mark) {
        return Err(TimeError::Unknown);
    }
    let (third, last_digits) = cursor.number(4).ok_or(TimeError::Unknown)?;
    let (form, days) = match (digits, last_digits) {
        (4, 1 | 2) => (DateForm::YearFirst(mark), days_from_epoch(first, second, third)),
        (1 | 2, 4) => {
            let (day, month) = match order {
                DayMonth::DayFirst => (first, second),
                DayMonth::MonthFirst => (second, first),
            };
            (DateForm::YearLast(mark), days_from_epoch(third, month, day))
        }
        _ => return Err(TimeError::Unknown),
    };
    Ok((form, days.ok_or(TimeError::NoSuchTime)?))
}

fn time_of_day(cursor: &mut Cursor<'_>) -> Result<i64, TimeError> {
    let (first, digits) = cursor.number(6).ok_or(TimeError::Unknown)?;
    let (mut hour, minute, second) = if digits == 6 {
        (first / 10_000, first / 100 % 100, first % 100)
    } else if digits == 4 {
        (first / 100, first % 100, 0)
    } else {
        if digits > 2 || !cursor.next_is(b':') {
            return Err(TimeError::Unknown);
        }
        let (minute, _) = cursor.number(2).ok_or(TimeError::Unknown)?;
        let second = if cursor.next_is(b':') { cursor.number(2).ok_or(TimeError::Unknown)?.0 } else { 0 };
        (first, minute, second)
    };
    if cursor.next_is(b'.') || cursor.next_is(b',') {
        match cursor.number(12) {
            Some((0, _)) => {}
            Some(_) => return Err(TimeError::NotWhole),
            None => return Err(TimeError::Unknown),
        }
    }
    let behind = cursor.0.trim_ascii_start();
    if let [half, b'M' | b'm', after @ ..] = behind
        && matches!(half, b'A' | b'a' | b'P' | b'p')
    {
        if !(1..=12).contains(&hour) {
            return Err(TimeError::NoSuchTime);
        }
        hour = hour % 12 + if half.eq_ignore_ascii_case(&b'p') { 12 } else { 0 };
        cursor.0 = after;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(TimeError::NoSuchTime);
    }
    Ok(hour * 3600 + minute * 60 + second)
}

/// The offset at the end of a text: `Z`, `UTC`, `+03:00`, `+0300`, `+03`, `GMT+0900`.
fn parse_zone(cursor: &mut Cursor<'_>) -> Result<Option<i64>, TimeError> {
    cursor.blanks();
    let mut rest = cursor.0;
    if rest.is_empty() {
        return Ok(None);
    }
    let mut is_named = false;
    for name in [&b"GMT"[..], b"UTC", b"Z", b"z"] {
        if let Some(behind) = rest.strip_prefix(name) {
            (rest, is_named) = (behind, true);
            break;
        }
    }
    let sign = match rest {
        [] if is_named => return Ok(Some(0)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return Err(TimeError::Unknown),
    };
    let mut cursor = Cursor(&rest[1..]);
    let (number, digits) = cursor.number(4).ok_or(TimeError::Unknown)?;
    let (hours, minutes) = match digits {
        1 | 2 if cursor.next_is(b':') => (number, cursor.number(2).ok_or(TimeError::Unknown)?.0),
        1 | 2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => return Err(TimeError::Unknown),
    };
    // A text behind the offset is refused, such as the seconds that Python writes for offsets of local mean time.
    if !cursor.0.is_empty() || hours > 14 || minutes > 59 {
        return Err(TimeError::Unknown);
    }
    Ok(Some(sign * (hours * 3600 + minutes * 60)))
}

/// The two numbers before a year that comes last. Those of a whole file may show which of them is the day.
#[must_use]
pub(crate) fn day_and_month(text: &[u8]) -> Option<(i64, i64)> {
    let mut cursor = Cursor(text);
    let (first, digits) = cursor.number(4)?;
    if digits > 2 || !b".-/".iter().any(|&mark| cursor.next_is(mark)) {
        return None;
    }
    Some((first, cursor.number(2)?.0))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, `None` if there is no such date. The method is Howard
/// Hinnant's (`days_from_civil`).
fn days_from_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS: [i64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let most = *DAYS.get(usize::try_from(month - 1).ok()?)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if !(1..=9999).contains(&year) || day < 1 || day > most || (month == 2 && day == 29 && !is_leap) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(i64, Option<i64>), TimeError> {
        parse_time(text.as_bytes(), DayMonth::DayFirst).map(|time| (time.reading, time.offset))
    }

    #[test]
    fn one_minute_in_every_form() {
        const MINUTE: i64 = 1_754_265_660;
        for (text, offset) in [
            ("2025.08.04 00:01:00", None),
            ("2025.08.04 00:01", None),
            ("2025-08-04 00:01:00.000", None),
            ("2025/8/4 0:01", None),
            ("20250804 000100", None),
            ("20250804 00:01:00", None),
            ("20250804 0001", None),
            ("04.08.2025 00:01:00.000", None),
            ("4-8-2025 12:01 AM", None),
            ("4/8/2025 12:01:00am", None),
            ("2025-08-04T00:01:00Z", Some(0)),
            ("2025-08-04 00:01:00+00:00", Some(0)),
            ("2025-08-04T00:01:00.000 UTC", Some(0)),
            ("04.08.2025 00:01:00.000 GMT+0900", Some(9 * 3600)),
            ("2025-08-04T00:01:00-0530", Some(-(5 * 3600 + 1800))),
            ("2025-08-04 00:01+3", Some(3 * 3600)),
            ("1754265660", Some(0)),
            ("1754265660.0", Some(0)),
            ("1754265660000", Some(0)),
            ("1754265660000000", Some(0)),
            ("1754265660000000000", Some(0)),
        ] {
            assert_eq!(read(text), Ok((MINUTE, offset)), "{text}");
        }
        assert_eq!(read("-86400"), Ok((-86_400, Some(0))));
        assert_eq!(read("20250804"), Ok((MINUTE - 60, None)));
        assert_eq!(read("2025.08.04"), Ok((MINUTE - 60, None)));
        let american = parse_time(b"08/04/2025 12:01:00 AM", DayMonth::MonthFirst).unwrap();
        assert_eq!(american.reading, MINUTE);
        assert_eq!(american.form.name(DayMonth::MonthFirst), "M/D/Y h:m:s");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "x", "25.08.04", "2025.08-04", "2025.08.04x", "2025.08.04 00", "2025.08.04 00:01 EET", "1754265660x"]
        {
            assert_eq!(read(text), Err(TimeError::Unknown), "{text}");
        }
        for text in ["2025.02.29", "2025.13.01", "31.04.2025", "2025.08.04 24:00", "2025.08.04 13:00 PM", "20251301"] {
            assert_eq!(read(text), Err(TimeError::NoSuchTime), "{text}");
        }
        for text in ["2025.08.04 00:00:00.351", "1754265660001", "20250804 000003.5"] {
            assert_eq!(read(text), Err(TimeError::NotWhole), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn dates_are_those_of_chrono(year in 1_i64..=9999, month in 0_i64..14, day in 0_i64..33) {
            let [month_of_chrono, day_of_chrono] = [month, day].map(|number| u32::try_from(number).unwrap());
            let chrono = NaiveDate::from_ymd_opt(i32::try_from(year).unwrap(), month_of_chrono, day_of_chrono);
            let days = chrono.map(|date| i64::from(date.num_days_from_ce()) - 719_163);
            prop_assert_eq!(days_from_epoch(year, month, day), days);
        }

        #[test]
        fn times_are_those_of_chrono(seconds in -8_000_000_000_i64..8_000_000_000) {
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            for form in ["%Y.%m.%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %I:%M:%S %p", "%Y%m%d %H%M%S"] {
                prop_assert_eq!(read(&time.format(form).to_string()).map(|(reading, _)| reading), Ok(seconds));
            }
        }

        #[test]
        fn no_text_is_a_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_time(&text, DayMonth::MonthFirst);
            let _ = day_and_month(&text);
        }
    }
}
