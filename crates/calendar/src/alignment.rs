use std::fmt;
use std::hash::{Hash, Hasher};

use chrono::Weekday;

use crate::zone::Zone;

/// When a day begins: a time of day in a zone.
///
/// ```
/// use calendar::Alignment;
///
/// for (text, canonical) in [
///     ("utc", "utc"),
///     ("ny17", "ny17"),
///     ("America/New_York@17:00", "ny17"),
///     ("europe/athens", "Europe/Athens"),
///     ("+03:00", "+03:00"),
/// ] {
///     assert_eq!(Alignment::parse(text)?.to_string(), canonical);
/// }
/// let error = Alignment::parse("Europe/Athen").unwrap_err();
/// assert!(error.to_string().ends_with("did you mean Europe/Athens?"));
/// # Ok::<(), calendar::AlignmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    zone: Zone,
    /// The time of day at which a day begins, in seconds since local midnight; below 24 hours.
    day_start: i64,
}

/// The reason for which a text is not an alignment or a weekday. Its message is a clause whose subject is the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlignmentError {
    /// The zone is not in the IANA database. Holds the name and the one that was probably meant.
    UnknownZone(String, Option<String>),
    /// The text behind the `@` is not a time of day. Holds the zone.
    NotATimeOfDay(String),
    /// The offset is not a multiple of 15 minutes within 14 hours of UTC.
    NotAnOffset,
    /// The plus of an offset arrived as a blank, because it was not escaped in the URL. Holds the offset without its
    /// sign.
    LostPlus(String),
    /// The text is not a weekday.
    UnknownWeekday,
}

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

pub(crate) const NEW_YORK: &str = "America/New_York";
const SEVENTEEN: i64 = 17 * 3600;
/// The maximum length of a name that an error repeats.
const MAX_SHOWN_CHARS: usize = 40;

impl fmt::Display for AlignmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORMS: &str = "send utc, ny17, a zone such as Europe/Athens, a zone and a time such as \
                             America/New_York@17:00, or an offset such as +03:00";
        match self {
            Self::UnknownZone(name, _) if !is_shown(name) => write!(f, "is not a known time zone; {FORMS}"),
            Self::UnknownZone(name, Some(meant)) => {
                write!(f, "names {name}, which is not a zone of the IANA database; did you mean {meant}?")
            }
            Self::UnknownZone(name, None) => {
                write!(f, "names {name}, which is not a zone of the IANA database; {FORMS}")
            }
            Self::NotATimeOfDay(zone) => {
                write!(f, "has no time of day behind its @; send one from 00:00 to 23:59, such as {zone}@17:00")
            }
            Self::NotAnOffset => f.write_str(
                "is not an offset of a zone, which are multiples of 15 minutes from -14:00 to +14:00; send one such as +03:00",
            ),
            Self::LostPlus(offset) => {
                write!(f, "has a blank where its plus was, for which a URL needs %2B; send %2B{offset}")
            }
            Self::UnknownWeekday => {
                f.write_str("is not a weekday; send monday, tuesday, wednesday, thursday, friday, saturday or sunday")
            }
        }
    }
}

impl std::error::Error for AlignmentError {}

impl AlignmentError {
    /// The name of the rule that was broken, for programs.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::UnknownZone(..) => "unknown_zone",
            Self::NotATimeOfDay(_) => "not_a_time",
            Self::NotAnOffset | Self::LostPlus(_) => "not_an_offset",
            Self::UnknownWeekday => "unknown_weekday",
        }
    }
}

impl Alignment {
    /// Days begin at midnight in UTC.
    pub const UTC: Self = Self { zone: Zone::Fixed(0), day_start: 0 };

    /// Parses `utc`, `ny17`, a zone of the IANA database (`Europe/Athens`) or an offset (`+03:00`), the last two also
    /// with the time at which a day begins (`America/New_York@17:00`). Without a time, days begin at midnight.
    /// Letters may have any case.
    ///
    /// # Errors
    /// When `text` has none of these forms. The error names a zone with a similar spelling, if there is one.
    pub fn parse(text: &str) -> Result<Self, AlignmentError> {
        if text.eq_ignore_ascii_case("ny17") {
            return Self::parse(&format!("{NEW_YORK}@17:00"));
        }
        let (zone, time) = text.split_once('@').map_or((text, None), |(zone, time)| (zone, Some(time)));
        let parsed = parse_zone(zone)?;
        let day_start = match time {
            None => 0,
            Some(time) => parse_time_of_day(time).ok_or_else(|| AlignmentError::NotATimeOfDay(zone_name(&parsed)))?,
        };
        Ok(Self { zone: parsed, day_start })
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(crate) fn day_start_seconds(&self) -> i64 {
        self.day_start
    }
}

impl fmt::Display for Alignment {
    /// Writes the shortest form that [`Alignment::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.day_start == SEVENTEEN && self.zone.name() == Some(NEW_YORK) {
            return f.write_str("ny17");
        }
        f.write_str(&zone_name(&self.zone))?;
        if self.day_start == 0 {
            return Ok(());
        }
        write!(f, "@{:02}:{:02}", self.day_start / 3600, self.day_start / 60 % 60)
    }
}

impl Hash for Alignment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.zone {
            Zone::Fixed(offset) => offset.hash(state),
            Zone::Named(_) => self.zone.name().hash(state),
        }
        self.day_start.hash(state);
    }
}

/// Parses the weekday with which a week begins: `monday` to `sunday`, in any case.
///
/// ```
/// use calendar::{Weekday, parse_weekday};
///
/// assert_eq!(parse_weekday("Sunday"), Ok(Weekday::Sun));
/// assert!(parse_weekday("so").is_err());
/// ```
///
/// # Errors
/// When `text` is not the name of a weekday.
pub fn parse_weekday(text: &str) -> Result<Weekday, AlignmentError> {
    let same = |(name, _): &&(&str, Weekday)| text.eq_ignore_ascii_case(name);
    DAYS.iter().find(same).map(|&(_, day)| day).ok_or(AlignmentError::UnknownWeekday)
}

/// The name that [`parse_weekday`] reads back.
#[must_use]
pub fn weekday_name(day: Weekday) -> &'static str {
    DAYS[day.num_days_from_monday() as usize].0
}

pub(crate) fn parse_zone(text: &str) -> Result<Zone, AlignmentError> {
    if text.eq_ignore_ascii_case("utc") {
        return Ok(Zone::Fixed(0));
    }
    if let Some(behind) = text.strip_prefix(' ').filter(|behind| parse_time_of_day(behind).is_some()) {
        return Err(AlignmentError::LostPlus(behind.to_owned()));
    }
    if let Some(sign) = text.chars().next().filter(|first| ['+', '-'].contains(first)) {
        let seconds = parse_time_of_day(&text[1..]).filter(|seconds| seconds % 900 == 0 && *seconds <= 14 * 3600);
        let seconds = seconds.ok_or(AlignmentError::NotAnOffset)?;
        return Ok(Zone::Fixed(if sign == '-' { -seconds } else { seconds }));
    }
    Zone::named(text).ok_or_else(|| AlignmentError::UnknownZone(text.to_owned(), similar_zone(text)))
}

/// Parses `HH:MM` into seconds.
fn parse_time_of_day(text: &str) -> Option<i64> {
    let [hour_tens, hours, b':', minute_tens, minutes] = text.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = (number(*hour_tens, *hours)?, number(*minute_tens, *minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// The name of a zone as [`parse_zone`] reads it back.
pub(crate) fn zone_name(zone: &Zone) -> String {
    match zone {
        Zone::Fixed(0) => "utc".to_owned(),
        Zone::Fixed(seconds) => {
            let sign = if *seconds < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
        }
        Zone::Named(_) => zone.name().unwrap_or_default().to_owned(),
    }
}

/// The zone that was probably meant: the one whose name, or whose city, is most similar to the text.
fn similar_zone(text: &str) -> Option<String> {
    const MIN_SIMILARITY: f64 = 0.8;
    if !is_shown(text) {
        return None;
    }
    let wanted = text.to_lowercase().replace(' ', "_");
    let similarity = |name: &str| {
        let name = name.to_lowercase();
        let city = name.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&name, &wanted).max(strsim::jaro_winkler(city, &wanted))
    };
    let near =
        Zone::names().map(|name| (similarity(&name), name)).filter(|(similarity, _)| *similarity >= MIN_SIMILARITY);
    // Of equally similar zones, the first by name is chosen, so that the answer does not depend on the order of the
    // database.
    near.max_by(|(one, first), (other, second)| one.total_cmp(other).then_with(|| second.cmp(first)))
        .map(|(_, name)| name)
}

/// True if a text is short and plain enough to be repeated in an error.
fn is_shown(text: &str) -> bool {
    text.len() <= MAX_SHOWN_CHARS
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !text.trim().is_empty()
}
