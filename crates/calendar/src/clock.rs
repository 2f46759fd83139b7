use crate::alignment::Alignment;
use crate::zone::Segment;

/// The local clock of an alignment's zone.
///
/// ```
/// use calendar::Alignment;
///
/// let mut clock = Alignment::parse("Europe/Athens")?.clock();
/// let summer = candle::parse_bound("2025-08-03", None).unwrap();
/// assert_eq!(clock.ahead_of_utc(summer), 3 * 3_600_000);
/// # Ok::<(), calendar::AlignmentError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LocalClock {
    alignment: Alignment,
    /// The segment of the last instant, kept because most instants are near the one before.
    segment: Option<Segment>,
}

impl Alignment {
    /// The clock of the zone in which days begin.
    #[must_use]
    pub fn clock(&self) -> LocalClock {
        LocalClock { alignment: self.clone(), segment: None }
    }

    /// True if days begin at midnight on that clock.
    #[must_use]
    pub fn begins_at_midnight(&self) -> bool {
        self.day_start_seconds() == 0
    }
}

impl LocalClock {
    /// The milliseconds that the clock is ahead of UTC at an instant, in epoch milliseconds.
    pub fn ahead_of_utc(&mut self, time: i64) -> i64 {
        let second = time.div_euclid(1000);
        let known = self.segment.filter(|segment| (segment.start..segment.end).contains(&second));
        let segment = known.unwrap_or_else(|| self.alignment.zone().segment(second));
        self.segment = Some(segment);
        segment.offset * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_changes_with_the_clocks() {
        let change = candle::parse_bound("2025-03-09T07:00:00Z", None).unwrap();
        let mut clock = Alignment::parse("America/New_York").unwrap().clock();
        for (time, hours) in [(change - 1, -5), (change, -4), (change - 1, -5), (change + 86_400_000, -4)] {
            assert_eq!(clock.ahead_of_utc(time), hours * 3_600_000, "{time}");
        }
        assert_eq!(Alignment::parse("+05:30").unwrap().clock().ahead_of_utc(0), 19_800_000);
        assert!(Alignment::UTC.begins_at_midnight() && !Alignment::parse("ny17").unwrap().begins_at_midnight());
    }
}
