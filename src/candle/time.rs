use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};

use super::{Invalid, Number, Rule};

/// A whole second in UTC, from year 1 to year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// How far a broker's clock is ahead of UTC: −14 to +14 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcOffset(i64);

/// Tells the time. Handed in from outside, so that tests can choose it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// From here on an epoch number counts milliseconds: as seconds it would be the year 5138.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

impl Timestamp {
    const MIN: Self = Self(-62_135_596_800);
    const MAX: Self = Self(253_402_300_799);

    /// Parses every form in which a terminal sends the time a candle opened.
    ///
    /// `text` is RFC 3339 with its zone (`2025-08-03T10:00:00Z`), epoch seconds or (from 10^11) milliseconds, or
    /// `MetaTrader`'s `2025.08.03 10:00[:00]`. The forms without a zone are broker time: `offset` is taken off them.
    ///
    /// # Errors
    /// When the form is unknown, has no zone where it needs one, has both a zone and an `offset`, or is not a whole
    /// second between the years 1 and 9999.
    pub fn parse(text: &str, offset: UtcOffset) -> Result<Self, Invalid> {
        if let Some(number) = Number::find(text) {
            return Self::from_epoch(number.to_i64()?)?.behind(offset);
        }
        if let Some(broker_time) = parse_mt5(text) {
            return Self::from_seconds(broker_time.timestamp())?.behind(offset);
        }
        let time = parse_rfc3339(text)?;
        if offset.0 != 0 {
            return Err(Invalid::new(
                Rule::ZoneAndOffset,
                format!("names its zone, and utc_offset is {} as well; drop one of the two", offset.0),
            ));
        }
        if time.timestamp_subsec_nanos() != 0 || has_digits_beyond(0, text) {
            return Err(not_a_whole_second());
        }
        Self::from_seconds(time.timestamp())
    }

    /// Takes epoch seconds.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Result<Self, Invalid> {
        let time = Self(seconds);
        if (Self::MIN..=Self::MAX).contains(&time) {
            Ok(time)
        } else {
            Err(Invalid::new(Rule::OutOfRange, "lies outside the years 1 to 9999; send epoch seconds or milliseconds"))
        }
    }

    fn from_epoch(number: i64) -> Result<Self, Invalid> {
        if number.unsigned_abs() < FIRST_MILLISECONDS.unsigned_abs() {
            return Self::from_seconds(number);
        }
        if number % 1000 != 0 {
            return Err(not_a_whole_second());
        }
        Self::from_seconds(number / 1000)
    }

    fn behind(self, offset: UtcOffset) -> Result<Self, Invalid> {
        Self::from_seconds(self.0 - offset.0)
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

    /// This time moved by `seconds`, stopping at the ends of the range.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds)).clamp(Self::MIN, Self::MAX)
    }

    pub(crate) fn days_in_month(self) -> i64 {
        i64::from(self.to_chrono().num_days_in_month())
    }

    fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl UtcOffset {
    /// The clock of the broker is UTC.
    pub const ZERO: Self = Self(0);
    /// No zone on Earth is further from UTC.
    pub(crate) const MAX_SECONDS: i64 = 14 * 3600;

    /// Parses whole seconds, such as `10800` for UTC+3.
    ///
    /// # Errors
    /// When `text` is no whole number or beyond 14 hours.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let seconds = Number::scan(text)?.to_i64()?;
        if seconds.abs() <= Self::MAX_SECONDS {
            Ok(Self(seconds))
        } else {
            Err(Invalid::new(Rule::OutOfRange, "is beyond 14 hours; send seconds between -50400 and 50400"))
        }
    }

    /// Seconds ahead of UTC, negative west of Greenwich.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the wall clock")]
    pub fn system() -> Self {
        Self::new(|| Timestamp(Utc::now().timestamp()))
    }

    /// A clock that says whatever `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A bound of a query in milliseconds: RFC 3339 with its zone, epoch seconds, or (from 10^11) milliseconds.
///
/// # Errors
/// When `text` has another form, is finer than a millisecond or lies outside the years 1 to 9999.
pub(crate) fn parse_bound(text: &str) -> Result<i64, Invalid> {
    let millis = if let Some(number) = Number::find(text) {
        let number = number.to_i64()?;
        if number.unsigned_abs() < FIRST_MILLISECONDS.unsigned_abs() { number * 1000 } else { number }
    } else {
        let time = parse_rfc3339(text)?;
        if has_digits_beyond(3, text) {
            return Err(Invalid::new(Rule::TooPrecise, "is finer than a millisecond"));
        }
        time.timestamp_millis()
    };
    Timestamp::from_seconds(millis.div_euclid(1000))?;
    Ok(millis)
}

/// Writes a bound so that [`parse_bound`] reads the same: in milliseconds, unless they would be taken for seconds.
pub(crate) fn format_bound(millis: i64) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) if millis.unsigned_abs() < FIRST_MILLISECONDS.unsigned_abs() => {
            time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        }
        _ => millis.to_string(),
    }
}

fn parse_rfc3339(text: &str) -> Result<DateTime<Utc>, Invalid> {
    // The form that nearly everyone sends. What it does not fit may be right all the same.
    if let Some(time) = parse_fixed(text, "0000-00-00T00:00:00Z") {
        return Ok(time);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if DateTime::parse_from_rfc3339(&format!("{text}Z")).is_ok() {
        return Err(Invalid::new(
            Rule::NoTimeZone,
            "has no time zone; end it with Z if it is UTC, or send broker time as 2025.08.03 13:00 with utc_offset",
        ));
    }
    if DateTime::parse_from_rfc3339(&text.replacen(' ', "+", 1)).is_ok() {
        return Err(Invalid::new(
            Rule::NotATime,
            "has a blank where its zone's plus was; write %2B for a plus in a URL",
        ));
    }
    Err(Invalid::new(
        Rule::NotATime,
        "is no time in a known form; send 2025-08-03T10:00:00Z, epoch seconds or epoch milliseconds",
    ))
}

/// `MetaTrader`'s `TimeToString`, with or without seconds. Nothing but exactly this form, so that no field is guessed.
fn parse_mt5(text: &str) -> Option<DateTime<Utc>> {
    parse_fixed(text, "0000.00.00 00:00:00").or_else(|| parse_fixed(text, "0000.00.00 00:00"))
}

/// A time that has a digit wherever `template` has one, and all else the same. The fields stand in the order of RFC 3339.
fn parse_fixed(text: &str, template: &str) -> Option<DateTime<Utc>> {
    let (text, template) = (text.as_bytes(), template.as_bytes());
    let fits = |(&byte, &expected): (&u8, &u8)| if expected == b'0' { byte.is_ascii_digit() } else { byte == expected };
    if text.len() != template.len() || !text.iter().zip(template).all(fits) {
        return None;
    }
    let two_digits = |at: usize| u32::from(text[at] - b'0') * 10 + u32::from(text[at + 1] - b'0');
    let year = i32::try_from(two_digits(0) * 100 + two_digits(2)).ok()?;
    let seconds = if text.len() > 16 { two_digits(17) } else { 0 };
    let date = NaiveDate::from_ymd_opt(year, two_digits(5), two_digits(8))?;
    Some(date.and_hms_opt(two_digits(11), two_digits(14), seconds)?.and_utc())
}

/// Whether a digit other than 0 stands more than `places` behind the point; chrono drops what lies beyond nanoseconds.
fn has_digits_beyond(places: usize, text: &str) -> bool {
    text.split_once('.').is_some_and(|(_, fraction)| {
        fraction.bytes().take_while(u8::is_ascii_digit).skip(places).any(|digit| digit != b'0')
    })
}

fn not_a_whole_second() -> Invalid {
    Invalid::new(Rule::NotAWholeSecond, "is not a whole second; send the time the candle opened")
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use proptest::prelude::*;

    use super::*;

    /// Chrono counts a leap second as the nanoseconds of the one before it.
    fn seconds(time: DateTime<Utc>) -> Option<i64> {
        (time.timestamp_subsec_nanos() == 0).then_some(time.timestamp())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn rfc3339_means_what_chrono_makes_of_it(
            text in "([0-9]{4}|20[0-9]{2})-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z"
        ) {
            let chrono = DateTime::parse_from_rfc3339(&text).ok().and_then(|time| seconds(time.to_utc()));
            prop_assert_eq!(parse_fixed(&text, "0000-00-00T00:00:00Z").map(|time| time.timestamp()), chrono);
        }

        #[test]
        fn broker_time_means_what_chrono_makes_of_it(
            text in r"([0-9]{4}|20[0-9]{2})\.[01][0-9]\.[0-3][0-9] [0-2][0-9]:[0-6][0-9](:[0-6][0-9])?"
        ) {
            let format = if text.len() == 16 { "%Y.%m.%d %H:%M" } else { "%Y.%m.%d %H:%M:%S" };
            let chrono = NaiveDateTime::parse_from_str(&text, format).ok().and_then(|time| seconds(time.and_utc()));
            prop_assert_eq!(parse_mt5(&text).map(|time| time.timestamp()), chrono);
        }

        #[test]
        fn no_other_form_passes_for_a_fixed_one(text in "[0-9]{4}[-.][0-9]{1,2}[-.][0-9]{2}[ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2})?[Zz]?") {
            if let Some(time) = parse_fixed(&text, "0000-00-00T00:00:00Z") {
                prop_assert_eq!(time.to_rfc3339_opts(SecondsFormat::Secs, true), text.clone());
            }
            if let Some(time) = parse_mt5(&text) {
                prop_assert!(time.format("%Y.%m.%d %H:%M:%S").to_string().starts_with(&text), "{}", text);
            }
        }
    }
}
