//! The clocks of zones. No other file uses the library of time zones.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The zones of the IANA database that the library carries with it.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A local clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Always ahead of UTC by this number of seconds.
    Fixed(i64),
    /// A zone of the IANA database.
    Named(TimeZone),
}

/// A stretch of time in which a clock's offset from UTC does not change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Its first second.
    pub(crate) start: i64,
    /// The second after its last one.
    pub(crate) end: i64,
    /// The seconds that the clock is ahead of UTC.
    pub(crate) offset: i64,
}

impl Zone {
    /// The zone with this name of the IANA database, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ZONES.get(name).ok().map(Self::Named)
    }

    /// The name as the IANA database spells it.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Fixed(_) => None,
            Self::Named(zone) => zone.iana_name(),
        }
    }

    /// The names of all zones.
    pub(crate) fn names() -> impl Iterator<Item = String> {
        ZONES.available().map(|name| name.as_str().to_owned())
    }

    /// The segment that holds a second.
    pub(crate) fn segment(&self, second: i64) -> Segment {
        let always = |offset| Segment { start: i64::MIN, end: i64::MAX, offset };
        let zone = match self {
            Self::Fixed(offset) => return always(*offset),
            Self::Named(zone) => zone,
        };
        // Outside the years that the library knows, a clock runs on as it did at their ends.
        let known = second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let Ok(time) = Timestamp::from_second(known) else { return always(0) };
        let next = time.saturating_add(jiff::SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        let before = zone.preceding(next).next().map(|change| change.timestamp().as_second());
        let after = zone.following(time).next().map(|change| change.timestamp().as_second());
        Segment {
            start: before.filter(|&start| start <= second).unwrap_or(i64::MIN),
            end: after.filter(|&end| end > second).unwrap_or(i64::MAX),
            offset: i64::from(zone.to_offset(time).seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_join() {
        for name in ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "Africa/Casablanca"] {
            let zone = Zone::named(name).unwrap();
            let mut segment = zone.segment(-10_000_000_000);
            let mut count = 0;
            while segment.end < 5_000_000_000 {
                let next = zone.segment(segment.end);
                assert_eq!(next.start, segment.end, "{name}");
                let Zone::Named(library) = &zone else { unreachable!() };
                for second in [next.start, next.end - 1] {
                    let offset = library.to_offset(Timestamp::from_second(second.min(5_000_000_000)).unwrap());
                    assert_eq!(next.offset, i64::from(offset.seconds()), "{name} {second}");
                }
                (segment, count) = (next, count + 1);
            }
            assert!(count > 1, "{name}");
        }
    }
}
