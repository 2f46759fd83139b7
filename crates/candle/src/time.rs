use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

use super::{Number, Rule, UtcOffset, ValueError, shown};

/// A whole second in UTC, from year 1 to year 9999.
///
/// ```
/// use candle::{EpochUnit, Timestamp, UtcOffset};
///
/// let broker = UtcOffset::parse("10800")?;
/// for (text, unit, offset) in [
///     ("2025-08-03T10:00:00Z", None, None),
///     ("2025-08-03T13:00:00+03:00", None, None),
///     ("2025.08.03 13:00", None, Some(broker)),
///     ("1754215200", None, None),
///     ("1754215200000", Some(EpochUnit::Milliseconds), None),
/// ] {
///     assert_eq!(Timestamp::parse(text, unit, offset)?.time.to_string(), "2025-08-03T10:00:00Z");
/// }
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The unit that an epoch number counts.
///
/// ```
/// use candle::EpochUnit;
///
/// assert_eq!(EpochUnit::parse("ms"), Ok(EpochUnit::Milliseconds));
/// assert!(EpochUnit::parse("us").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds since 1970-01-01T00:00:00Z.
    Seconds,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Milliseconds,
}

/// The opening time of a candle, with the form in which it was sent.
///
/// ```
/// use candle::{Timestamp, UtcOffset};
///
/// let sent = Timestamp::parse("2025.08.03 13:00", None, Some(UtcOffset::parse("10800")?))?;
/// assert_eq!(sent.reading - sent.time.seconds(), 10_800);
/// assert!(!sent.names_zone && !sent.is_date);
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentTime {
    /// The time in UTC.
    pub time: Timestamp,
    /// Seconds since 1970-01-01T00:00:00 on the sender's clock, before any offset is subtracted.
    pub reading: i64,
    /// True if the text names its zone.
    pub names_zone: bool,
    /// True if the text is a date alone, which stands for its midnight.
    pub is_date: bool,
}

/// The first epoch number that counts milliseconds if no unit is given. As seconds it would lie in the year 2286.
const FIRST_MILLISECONDS: u64 = 10_000_000_000;

/// The first epoch number that the previous release also reads as milliseconds.
const FIRST_UNMISTAKABLE_MILLISECONDS: u64 = 100_000_000_000;

impl EpochUnit {
    /// Parses `s` or `ms`.
    ///
    /// # Errors
    /// When `text` is neither. The message names both.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            _ => Err(ValueError::new(
                Rule::UnknownUnit,
                "is not a known unit; send s if numbers are epoch seconds, or ms if they are epoch milliseconds",
            )),
        }
    }

    /// The unit of a `number` for which none was given.
    fn of(number: i64) -> Self {
        if number.unsigned_abs() < FIRST_MILLISECONDS { Self::Seconds } else { Self::Milliseconds }
    }
}

impl Timestamp {
    const MIN: Self = Self(-62_135_596_800);
    /// The last second of the year 9999.
    pub const MAX: Self = Self(253_402_300_799);
    /// 1700-01-01T00:00:00Z, the earliest opening time, because the oldest indices go back to the 18th century.
    const FIRST_OPENING: Self = Self(-8_520_336_000);
    /// 1940-01-01T00:00:00Z. Cities kept their own mean time until then. Since then, every zone with a market has been
    /// a multiple of 15 minutes from UTC.
    pub(crate) const FIRST_OF_STANDARD_TIME: Self = Self(-946_771_200);

    /// Parses the opening time of a candle in any form in which terminals send it:
    ///
    /// - ISO 8601: `2025-08-03T10:00:00Z`, also with a blank for the `T`, or with `+03:00`, `+0300` or `+03` for the `Z`;
    /// - epoch seconds, or from 10^10 on epoch milliseconds, unless `unit` says which;
    /// - `MetaTrader`'s `2025.08.03 10:00`, with or without seconds;
    /// - a date, `2025-08-03` or `2025.08.03`, which stands for its midnight.
    ///
    /// The forms without a zone are broker time, so `offset` is subtracted from them. ISO 8601 without a zone requires
    /// an `offset`, because most senders that leave the zone out mean UTC, but some mean their own clock.
    ///
    /// # Errors
    /// When the form is unknown, lacks a zone that it needs, has both a zone and an `offset`, or is not a whole second
    /// between the years 1 and 9999; and from 1940 on, when its zone is not a multiple of 15 minutes within 14 hours of
    /// UTC.
    pub fn parse(text: &str, unit: Option<EpochUnit>, offset: Option<UtcOffset>) -> Result<SentTime, ValueError> {
        let shift = offset.unwrap_or(UtcOffset::ZERO);
        let broker_time = |reading: i64, is_date| {
            let time = Self::from_seconds(reading)?.behind(shift)?;
            Ok(SentTime { time, reading, names_zone: false, is_date })
        };
        if let Some(number) = Number::find(text) {
            check_not_a_date(text, unit, "%Y.%m.%d", "unit s")?;
            let millis = epoch_millis(number, unit)?;
            if millis % 1000 != 0 {
                let is_declared = unit == Some(EpochUnit::Milliseconds);
                return Err(if is_declared { not_a_whole_second_in_milliseconds() } else { not_a_whole_second() });
            }
            return broker_time(millis / 1000, false);
        }
        if let Some(reading) = parse_mt5(text) {
            return broker_time(reading.timestamp(), false);
        }
        if let Some(midnight) = parse_fixed(text, "0000.00.00") {
            return broker_time(midnight.timestamp(), true);
        }
        if let Some(midnight) = parse_fixed(text, "0000-00-00") {
            if offset.is_none() {
                return Err(ValueError::new(
                    Rule::NoTimeZone,
                    "is a date without a zone; D1, W1 and MN1 may have one beside utc_offset (0 for UTC), shorter ones need \
                     the time as well",
                ));
            }
            return broker_time(midnight.timestamp(), true);
        }
        let Some(IsoTime { local, zone }) = parse_iso(text) else {
            let message = format!(
                "is {}not a time in a known form; send 2025-08-03T10:00:00Z, epoch seconds or epoch milliseconds",
                shown(text)
            );
            return Err(ValueError::new(Rule::NotATime, message));
        };
        if local.and_utc().timestamp_subsec_nanos() != 0 || has_digits_beyond(0, text) {
            return Err(not_a_whole_second());
        }
        let reading = local.and_utc().timestamp();
        match zone {
            None if offset.is_none() => Err(ValueError::new(
                Rule::NoTimeZone,
                "has no time zone; end it with Z if it is UTC, or send utc_offset, the seconds that its clock is ahead of UTC",
            )),
            None => broker_time(reading, false),
            Some(_) if shift != UtcOffset::ZERO => Err(ValueError::new(
                Rule::ZoneAndOffset,
                format!("has a zone, and utc_offset is {} as well; drop one of the two", shift.seconds()),
            )),
            Some(zone) => {
                let time = Self::from_seconds(reading - zone)?;
                let is_known = zone % UtcOffset::STEP_SECONDS == 0 && zone.abs() <= UtcOffset::MAX_SECONDS;
                if !is_known && time >= Self::FIRST_OF_STANDARD_TIME {
                    return Err(ValueError::new(
                        Rule::NotAQuarterHour,
                        "names a zone that is not a multiple of 15 minutes within 14 hours of UTC; send the zone of the \
                         broker's clock, or UTC with a Z",
                    ));
                }
                Ok(SentTime { time, reading, names_zone: true, is_date: false })
            }
        }
    }

    /// The timestamp at `seconds` since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When the time lies outside the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Result<Self, ValueError> {
        let time = Self(seconds);
        if (Self::MIN..=Self::MAX).contains(&time) {
            Ok(time)
        } else {
            Err(ValueError::new(
                Rule::OutOfRange,
                "lies outside the years 1 to 9999; send epoch seconds or milliseconds",
            ))
        }
    }

    /// Checks that a candle can have opened at this time, because a time before there were markets is a mistake.
    ///
    /// # Errors
    /// When the time lies before the year 1700.
    pub fn check_not_before_markets(self) -> Result<(), ValueError> {
        if self >= Self::FIRST_OPENING {
            return Ok(());
        }
        Err(ValueError::new(Rule::OutOfRange, "lies before the year 1700; send the time at which the candle opened"))
    }

    fn behind(self, offset: UtcOffset) -> Result<Self, ValueError> {
        Self::from_seconds(self.0 - offset.seconds())
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0 * 1000
    }

    /// This time plus `seconds`, clamped to the years 1 to 9999.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds)).clamp(Self::MIN, Self::MAX)
    }

    pub(crate) fn days_in_month(self) -> i64 {
        i64::from(self.to_chrono().num_days_in_month())
    }

    /// The same instant as a chrono `DateTime`.
    #[must_use]
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// Parses a bound of a query into epoch milliseconds.
///
/// `text` is ISO 8601 with a zone, a date, which stands for its midnight in UTC, or epoch seconds, or from 10^10 on
/// epoch milliseconds, unless `unit` says which.
///
/// ```
/// let bound = candle::parse_bound("2025-08-03T10:00:00.250Z", None)?;
/// assert_eq!(bound, 1_754_215_200_250);
/// # Ok::<(), candle::ValueError>(())
/// ```
///
/// # Errors
/// When `text` has another form, is finer than a millisecond or lies outside the years 1 to 9999.
pub fn parse_bound(text: &str, unit: Option<EpochUnit>) -> Result<i64, ValueError> {
    let millis = if let Some(number) = Number::find(text) {
        check_not_a_date(text, unit, "%Y-%m-%d", "unit=s")?;
        epoch_millis(number, unit)?
    } else if let Some(midnight) = parse_fixed(text, "0000-00-00") {
        midnight.timestamp_millis()
    } else {
        let IsoTime { local, zone } = parse_iso(text).ok_or_else(|| not_a_bound(text))?;
        let Some(zone) = zone else {
            let message = format!("has no time zone; send {} if it is UTC", rfc3339(local.and_utc()));
            return Err(ValueError::new(Rule::NoTimeZone, message));
        };
        if has_digits_beyond(3, text) {
            return Err(ValueError::new(Rule::TooPrecise, "is finer than a millisecond; send at most three decimals"));
        }
        local.and_utc().timestamp_millis() - zone * 1000
    };
    Timestamp::from_seconds(millis.div_euclid(1000))?;
    Ok(millis)
}

/// Refuses a date in digits, such as 20250803, for which no unit is given, because as epoch seconds all such dates
/// would lie in July and August of 1970. The message suggests the date in `format`, or `seconds` if the number does
/// count seconds.
fn check_not_a_date(text: &str, unit: Option<EpochUnit>, format: &str, seconds: &str) -> Result<(), ValueError> {
    if unit.is_some() || text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    match NaiveDate::parse_from_str(text, "%Y%m%d") {
        Ok(date) if (1700..2100).contains(&date.year()) => Err(ValueError::new(
            Rule::NotATime,
            format!(
                "looks like a date in digits; send {}, or {seconds} if it counts epoch seconds",
                date.format(format)
            ),
        )),
        _ => Ok(()),
    }
}

/// Converts an epoch number to milliseconds.
fn epoch_millis(number: Number<'_>, unit: Option<EpochUnit>) -> Result<i64, ValueError> {
    let number = number.to_i64()?;
    match unit.unwrap_or_else(|| EpochUnit::of(number)) {
        EpochUnit::Seconds if unit.is_some() && Timestamp::from_seconds(number).is_err() => Err(ValueError::new(
            Rule::OutOfRange,
            "lies outside the years 1 to 9999 in seconds; send unit ms if it counts milliseconds",
        )),
        EpochUnit::Seconds => Ok(Timestamp::from_seconds(number)?.millis()),
        EpochUnit::Milliseconds => Timestamp::from_seconds(number.div_euclid(1000)).map(|_| number),
    }
}

/// The error for a `text` that is not a bound, with advice that works in a URL.
fn not_a_bound(text: &str) -> ValueError {
    let message = if let Some(time) = parse_mt5(text) {
        format!("is not a form of time that queries accept; send {} if it is UTC", rfc3339(time))
    } else if let Some(midnight) = parse_fixed(text, "0000.00.00") {
        format!("is not a form of time that queries accept; send {}", midnight.format("%Y-%m-%d"))
    } else if text.rfind(' ').is_some_and(|at| parse_iso(&format!("{}+{}", &text[..at], &text[at + 1..])).is_some()) {
        "has a blank instead of the plus before its zone; write %2B for a plus in a URL".to_owned()
    } else {
        format!(
            "is {}not a time in a known form; send 2025-08-03T10:00:00Z, 2025-08-03, epoch seconds or epoch milliseconds",
            shown(text)
        )
    };
    ValueError::new(Rule::NotATime, message)
}

/// Writes a bound so that [`parse_bound`] reads it back, in this release and in the previous one: in epoch
/// milliseconds, or in RFC 3339 if the number could be taken for seconds.
#[must_use]
pub fn format_bound(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) if millis.unsigned_abs() < FIRST_UNMISTAKABLE_MILLISECONDS => rfc3339(time),
        _ => millis.to_string(),
    }
}

/// Writes epoch milliseconds in RFC 3339; `None` if the calendar has no such time.
#[must_use]
pub fn format_millis(millis: i64) -> Option<String> {
    DateTime::from_timestamp_millis(millis).map(rfc3339)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A date and a time of day in ISO 8601.
struct IsoTime {
    /// The date and the time of day on the clock of its zone.
    local: NaiveDateTime,
    /// The zone's offset from UTC in seconds, if the text names a zone.
    zone: Option<i64>,
}

/// Parses RFC 3339, and also ISO 8601 without seconds, with a zone such as `+0300` or `+03`, or without a zone.
fn parse_iso(text: &str) -> Option<IsoTime> {
    // The fast path for the form that nearly every client sends.
    if let Some(time) = parse_fixed(text, "0000-00-00T00:00:00Z") {
        return Some(IsoTime { local: time.naive_utc(), zone: Some(0) });
    }
    let (completed, names_zone) = complete_iso(text)?;
    let time = DateTime::parse_from_rfc3339(&completed).ok()?;
    let zone = i64::from(time.offset().local_minus_utc());
    Some(IsoTime { local: time.naive_local(), zone: names_zone.then_some(zone) })
}

/// Adds the seconds and the zone that RFC 3339 requires and ISO 8601 does not. Returns false if the zone was missing.
fn complete_iso(text: &str) -> Option<(String, bool)> {
    const DATE_AND_MINUTES: usize = "0000-00-00T00:00".len();
    let (date_and_minutes, rest) = text.split_at_checked(DATE_AND_MINUTES)?;
    let (seconds, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let names_zone = !zone.is_empty();
    let seconds = if seconds.is_empty() { ":00" } else { seconds };
    let zone = match zone.as_bytes() {
        [] => Cow::Borrowed("Z"),
        [_, hours @ ..] if hours.len() == 2 => Cow::Owned(format!("{zone}:00")),
        [_, digits @ ..] if digits.len() == 4 && digits.is_ascii() => {
            Cow::Owned(format!("{}:{}", &zone[..3], &zone[3..]))
        }
        _ => Cow::Borrowed(zone),
    };
    Some((format!("{date_and_minutes}{seconds}{zone}"), names_zone))
}

/// Parses the output of `MetaTrader`'s `TimeToString` with minutes, with or without seconds, and no other form, so that
/// no field is guessed.
fn parse_mt5(text: &str) -> Option<DateTime<Utc>> {
    parse_fixed(text, "0000.00.00 00:00:00").or_else(|| parse_fixed(text, "0000.00.00 00:00"))
}

/// Parses a time that has a digit wherever `template` has a 0, and otherwise equals it. Its fields are in the order of
/// RFC 3339.
fn parse_fixed(text: &str, template: &str) -> Option<DateTime<Utc>> {
    let (text, template) = (text.as_bytes(), template.as_bytes());
    let fits = |(&byte, &expected): (&u8, &u8)| if expected == b'0' { byte.is_ascii_digit() } else { byte == expected };
    if text.len() != template.len() || !text.iter().zip(template).all(fits) {
        return None;
    }
    let two_digits = |at: usize| u32::from(text[at] - b'0') * 10 + u32::from(text[at + 1] - b'0');
    let year = i32::try_from(two_digits(0) * 100 + two_digits(2)).ok()?;
    let two_digits_if_there = |at: usize| if text.len() > at { two_digits(at) } else { 0 };
    let date = NaiveDate::from_ymd_opt(year, two_digits(5), two_digits(8))?;
    let [hour, minute, second] = [11, 14, 17].map(two_digits_if_there);
    Some(date.and_hms_opt(hour, minute, second)?.and_utc())
}

/// True if any decimal beyond the first `places` is not 0. Reads the text, because chrono drops decimals beyond
/// nanoseconds.
fn has_digits_beyond(places: usize, text: &str) -> bool {
    text.split_once('.').is_some_and(|(_, fraction)| {
        fraction.bytes().take_while(u8::is_ascii_digit).skip(places).any(|digit| digit != b'0')
    })
}

fn not_a_whole_second_in_milliseconds() -> ValueError {
    ValueError::new(Rule::NotAWholeSecond, "is not a whole second in milliseconds; send unit s if it counts seconds")
}

fn not_a_whole_second() -> ValueError {
    ValueError::new(Rule::NotAWholeSecond, "is not a whole second; send the time at which the candle opened")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The epoch seconds of `time`; `None` for a leap second, which chrono counts as nanoseconds of the second before
    /// it.
    fn seconds(time: DateTime<Utc>) -> Option<i64> {
        (time.timestamp_subsec_nanos() == 0).then_some(time.timestamp())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn rfc3339_is_read_as_by_chrono(
            text in "([0-9]{4}|20[0-9]{2})-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z"
        ) {
            let chrono = DateTime::parse_from_rfc3339(&text).ok().and_then(|time| seconds(time.to_utc()));
            prop_assert_eq!(parse_fixed(&text, "0000-00-00T00:00:00Z").map(|time| time.timestamp()), chrono);
        }

        #[test]
        fn broker_time_is_read_as_by_chrono(
            text in r"([0-9]{4}|20[0-9]{2})\.[01][0-9]\.[0-3][0-9] [0-2][0-9]:[0-6][0-9](:[0-6][0-9])?"
        ) {
            let format = if text.len() == 16 { "%Y.%m.%d %H:%M" } else { "%Y.%m.%d %H:%M:%S" };
            let chrono = NaiveDateTime::parse_from_str(&text, format).ok().and_then(|time| seconds(time.and_utc()));
            prop_assert_eq!(parse_mt5(&text).map(|time| time.timestamp()), chrono);
        }

        #[test]
        fn fixed_forms_accept_no_variation(text in "[0-9]{4}[-.][0-9]{1,2}[-.][0-9]{2}[ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2})?[Zz]?") {
            if let Some(time) = parse_fixed(&text, "0000-00-00T00:00:00Z") {
                prop_assert_eq!(time.to_rfc3339_opts(SecondsFormat::Secs, true), text.clone());
            }
            if let Some(time) = parse_mt5(&text) {
                prop_assert!(time.format("%Y.%m.%d %H:%M:%S").to_string().starts_with(&text), "{}", text);
            }
        }
    }
}
