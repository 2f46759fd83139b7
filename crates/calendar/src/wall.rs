use std::fmt;

use crate::alignment::{AlignmentError, NEW_YORK, parse_zone, zone_name};
use crate::zone::{Segment, Zone};

/// A clock whose readings are converted to instants: the clock of a zone, or that of most foreign-exchange brokers,
/// which is seven hours ahead of New York so that a day begins at 17:00 there.
///
/// Readings and instants are seconds since 1970-01-01T00:00:00, on the clock and in UTC.
///
/// ```
/// use calendar::{ClockReading, WallClock};
///
/// let mut clock = WallClock::parse("ny+7")?;
/// assert_eq!(clock.to_string(), "ny+7");
/// let midnight = candle::parse_bound("2025-08-04", None).unwrap() / 1000;
/// assert_eq!(clock.instant(midnight), ClockReading::Once(midnight - 3 * 3600));
/// # Ok::<(), calendar::AlignmentError>(())
/// ```
#[derive(Debug, Clone)]
pub struct WallClock {
    zone: Zone,
    /// The seconds that the clock is ahead of the zone's.
    ahead: i64,
    /// The readings that the clock shows in the last used segment and in no other: the first reading, the one behind
    /// the last, and the seconds that the clock is ahead of UTC.
    known: Option<(i64, i64, i64)>,
}

/// The instants at which a clock shows a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockReading {
    /// At one instant.
    Once(i64),
    /// At two instants, because the clock was set back.
    Twice {
        /// The first of them.
        earlier: i64,
        /// The second.
        later: i64,
    },
    /// At no instant, because the clock was set forward over the reading.
    Never,
}

impl PartialEq for WallClock {
    fn eq(&self, other: &Self) -> bool {
        self.zone == other.zone && self.ahead == other.ahead
    }
}

impl Eq for WallClock {}

impl WallClock {
    const DAY: i64 = 24 * 3600;

    /// Parses `utc`, `ny+7`, a zone of the IANA database (`Europe/Athens`), all in any case, or an offset (`+03:00`).
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn parse(text: &str) -> Result<Self, AlignmentError> {
        let (zone, ahead) = if text.eq_ignore_ascii_case("ny+7") { (NEW_YORK, 7 * 3600) } else { (text, 0) };
        Ok(Self { zone: parse_zone(zone)?, ahead, known: None })
    }

    /// The clock of UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: Zone::Fixed(0), ahead: 0, known: None }
    }

    /// True if the clock always shows UTC.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.zone == Zone::Fixed(0)
    }

    /// The instants at which the clock shows `reading`.
    pub fn instant(&mut self, reading: i64) -> ClockReading {
        let local = reading.saturating_sub(self.ahead);
        if let Some((start, end, offset)) = self.known
            && (start..end).contains(&local)
        {
            return ClockReading::Once(local - offset);
        }
        self.look_up(local)
    }

    fn look_up(&mut self, local: i64) -> ClockReading {
        // The search begins before every segment that can show the reading. No clock of a zone is a day away from
        // UTC.
        let mut segment = self.zone.segment(local.saturating_sub(3 * Self::DAY));
        let mut shown = Vec::with_capacity(2);
        let mut before: Option<Segment> = None;
        loop {
            let instant = local.saturating_sub(segment.offset);
            if (segment.start..segment.end).contains(&instant) {
                shown.push(instant);
                let after = (segment.end < i64::MAX).then(|| self.zone.segment(segment.end));
                let offsets = |other: Option<Segment>| other.map_or(segment.offset, |other| other.offset);
                let start = segment.start.saturating_add(segment.offset.max(offsets(before)));
                let end = segment.end.saturating_add(segment.offset.min(offsets(after)));
                // The segments before the first one were not examined, but none of them ends less than a day before
                // the reading.
                let start = if before.is_none() { start.max(local.saturating_sub(Self::DAY)) } else { start };
                self.known = Some((start, end, segment.offset));
            }
            if segment.end > local.saturating_add(Self::DAY) {
                break;
            }
            before = Some(segment);
            segment = self.zone.segment(segment.end);
        }
        match shown[..] {
            [] => ClockReading::Never,
            [instant] => ClockReading::Once(instant),
            [earlier, later, ..] => ClockReading::Twice { earlier, later },
        }
    }

    /// The reading of the clock at an instant.
    #[must_use]
    pub fn reading(&self, instant: i64) -> i64 {
        instant.saturating_add(self.zone.segment(instant).offset).saturating_add(self.ahead)
    }
}

impl fmt::Display for WallClock {
    /// Writes the form that [`WallClock::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_utc() {
            return f.write_str("UTC");
        }
        if self.ahead != 0 {
            return f.write_str("ny+7");
        }
        f.write_str(&zone_name(&self.zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        candle::parse_bound(text, None).unwrap() / 1000
    }

    #[test]
    fn readings_at_changes_of_the_clocks() {
        let mut athens = WallClock::parse("europe/athens").unwrap();
        let at = |text: &str| seconds(&format!("{text}Z"));
        assert_eq!(athens.instant(at("2025-03-30T02:59:59")), ClockReading::Once(at("2025-03-30T00:59:59")));
        assert_eq!(athens.instant(at("2025-03-30T03:00:00")), ClockReading::Never);
        assert_eq!(athens.instant(at("2025-03-30T03:59:59")), ClockReading::Never);
        assert_eq!(athens.instant(at("2025-03-30T04:00:00")), ClockReading::Once(at("2025-03-30T01:00:00")));
        let twice = ClockReading::Twice { earlier: at("2025-10-26T00:30:00"), later: at("2025-10-26T01:30:00") };
        assert_eq!(athens.instant(at("2025-10-26T03:30:00")), twice);
        assert_eq!(athens.to_string(), "Europe/Athens");
    }

    #[test]
    fn every_reading_leads_back_to_its_instant() {
        for name in
            ["ny+7", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Europe/Athens", "+05:30", "UTC"]
        {
            let mut clock = WallClock::parse(name).unwrap();
            assert_eq!(WallClock::parse(&clock.to_string()), Ok(clock.clone()), "{name}");
            let start = seconds("2008-01-01");
            for instant in (0..40_000).map(|step| start + step * 3 * 3600 + 900) {
                let reading = clock.reading(instant);
                let found = match clock.instant(reading) {
                    ClockReading::Once(found) => found == instant,
                    ClockReading::Twice { earlier, later } => {
                        assert!(earlier < later && clock.reading(earlier) == clock.reading(later));
                        earlier == instant || later == instant
                    }
                    ClockReading::Never => false,
                };
                assert!(found, "{name} at {instant}");
            }
        }
    }
}
