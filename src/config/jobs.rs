//! The settings of jobs of research.

use std::time::Duration;

use super::reader::Reader;

/// The maximum of `RESEARCH_JOBS`.
const MAX_JOBS: usize = 64;
/// The maximum of `RESEARCH_MAX_EVALUATIONS`. The objectives of all trials of an item are kept, and take up to 5 MB then.
const MAX_EVALUATIONS: usize = 500_000;
/// The maximum of `RESEARCH_MAX_QUEUED`.
const MAX_QUEUED: usize = 10_000;
/// The maximum of `RESEARCH_MAX_SECONDS`: a day.
const MAX_SECONDS: u64 = 86_400;
/// The bounds of `RESEARCH_RETENTION`.
const RETENTION_SECONDS: std::ops::RangeInclusive<u64> = HOUR_SECONDS..=30 * 24 * HOUR_SECONDS;
const HOUR_SECONDS: u64 = 3600;

/// The settings of jobs of research.
#[derive(Debug, Clone, Copy)]
pub struct JobsConfig {
    /// The number of jobs that a process works on at once.
    pub at_once: usize,
    /// The maximum number of evaluations of an item, and of points of a grid.
    pub max_evaluations: usize,
    /// The maximum number of queued jobs of a key.
    pub max_queued: usize,
    /// The time after which an item ends with what it has.
    pub max_item_time: Duration,
    /// The time for which a job is kept after its end, and a file after it was made.
    pub retention: Duration,
}

impl Reader<'_> {
    pub(super) fn jobs(&mut self) -> JobsConfig {
        JobsConfig {
            at_once: self.size("RESEARCH_JOBS", 3, 1..=MAX_JOBS),
            max_evaluations: self.size("RESEARCH_MAX_EVALUATIONS", 100_000, 1..=MAX_EVALUATIONS),
            max_queued: self.size("RESEARCH_MAX_QUEUED", 100, 1..=MAX_QUEUED),
            max_item_time: Duration::from_secs(self.size("RESEARCH_MAX_SECONDS", 3600, 1..=MAX_SECONDS)),
            retention: self.parsed("RESEARCH_RETENTION", Duration::from_secs(24 * HOUR_SECONDS), retention),
        }
    }
}

fn retention(text: &str) -> Result<Duration, String> {
    let units = [("h", HOUR_SECONDS), ("d", 24 * HOUR_SECONDS)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds)
    });
    seconds
        .filter(|seconds| RETENTION_SECONDS.contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a time from 1h to 30d, in whole hours (h) or days (d), such as 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_a_time_from_an_hour_to_thirty_days() {
        assert_eq!(retention("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(retention("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(retention("30d"), Ok(Duration::from_hours(720)));
        for refused in ["", "0h", "31d", "24", "h", "1.5h", "1w", "-1h", "18446744073709551615d"] {
            assert!(retention(refused).is_err(), "{refused}");
        }
    }
}
