use super::{Number, Rule, ValueError, shown};

/// The offset of a broker's clock from UTC, positive east of Greenwich: a multiple of 15 minutes from −14 to +14 hours.
///
/// ```
/// use candle::{Rule, UtcOffset};
///
/// assert_eq!(UtcOffset::parse("10800")?.seconds(), 3 * 3600);
///
/// let hours = UtcOffset::parse("3").unwrap_err();
/// assert_eq!(hours.rule, Rule::NotAQuarterHour);
/// assert!(hours.message.ends_with("send 10800 if 3 counts hours"));
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcOffset(i64);

impl UtcOffset {
    /// The offset of a clock that shows UTC.
    pub const ZERO: Self = Self(0);
    /// The maximum distance from UTC in seconds. No zone on Earth is further away.
    pub const MAX_SECONDS: i64 = 14 * 3600;

    /// The number of seconds of which every zone's offset is a multiple.
    pub const STEP_SECONDS: i64 = 900;

    /// Parses whole seconds, such as `10800` for UTC+3.
    ///
    /// # Errors
    /// When `text` is not a whole number, lies beyond 14 hours, or is not a multiple of 900 seconds. If the number
    /// would be a zone's offset in hours, minutes or milliseconds, the message says so.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const EXAMPLE: &str = "offsets are counted in seconds, such as 10800 for UTC+3";
        let Some(number) = Number::find(text) else {
            return Err(ValueError::new(Rule::NotANumber, format!("is {}not a number; {EXAMPLE}", shown(text))));
        };
        let seconds = number
            .to_i64()
            .map_err(|invalid| ValueError::new(invalid.rule, format!("is not a whole number; {EXAMPLE}")))?;
        let in_another_unit = || match Self::in_another_unit(seconds) {
            Some((unit, meant)) => format!("offsets are counted in seconds; send {meant} if {seconds} counts {unit}"),
            None => EXAMPLE.to_owned(),
        };
        if !(-Self::MAX_SECONDS..=Self::MAX_SECONDS).contains(&seconds) {
            let message = format!("is more than 14 hours (50400 seconds); {}", in_another_unit());
            return Err(ValueError::new(Rule::OutOfRange, message));
        }
        if seconds % Self::STEP_SECONDS != 0 {
            let message = format!("is not a multiple of 900 seconds, as every zone's offset is; {}", in_another_unit());
            return Err(ValueError::new(Rule::NotAQuarterHour, message));
        }
        Ok(Self(seconds))
    }

    /// Another unit in which `number` would be a zone's offset, and that offset in seconds.
    fn in_another_unit(number: i64) -> Option<(&'static str, i64)> {
        let possible = |seconds: i64| seconds % Self::STEP_SECONDS == 0 && seconds.abs() <= Self::MAX_SECONDS;
        let units = [
            ("hours", number.checked_mul(3600)),
            ("minutes", number.checked_mul(60)),
            ("milliseconds", (number % 1000 == 0).then_some(number / 1000)),
        ];
        units.into_iter().find_map(|(unit, seconds)| Some((unit, seconds.filter(|&seconds| possible(seconds))?)))
    }

    /// Seconds ahead of UTC, negative west of Greenwich.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }
}
