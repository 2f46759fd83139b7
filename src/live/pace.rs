//! The pace of the looks at one series.

use std::time::Duration;

use tokio::time::Instant;

/// In the long run the time between two looks at a series: a client reads four states a second.
const INTERVAL: Duration = Duration::from_millis(250);

/// The times of the looks at a series.
///
/// Looks lie on a schedule, and one may come up to an interval before its time. If each had to wait for an interval after the last
/// one instead, a writer that posts at exactly this pace would make every state late by as much as the latest one so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Pace {
    /// The beginning of the last look.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The time from which the next look is allowed; `None` before the first one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Counts a look that began at this time.
    pub(super) fn take(&mut self, began: Instant) {
        let earliest = began.checked_sub(INTERVAL).unwrap_or(began);
        self.next = Some(self.next.map_or(earliest, |next| next.max(earliest)) + INTERVAL);
        self.last = Some(began);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at each time, or as soon as allowed after it. Returns the delays in milliseconds.
    fn delays(times: impl IntoIterator<Item = u64>) -> Vec<u128> {
        let start = Instant::now();
        let mut pace = Pace::default();
        let look = |wanted: u64| {
            let wanted = start + Duration::from_millis(wanted);
            let at = pace.next().map_or(wanted, |next| next.max(wanted));
            pace.take(at);
            (at - wanted).as_millis()
        };
        times.into_iter().map(look).collect()
    }

    #[test]
    fn states_at_the_pace_are_looked_at_at_once_though_some_come_late() {
        let jitter = [0, 90, 0, 40, 200, 10, 0, 120].into_iter().cycle();
        let times = (0..800).zip(jitter).map(|(number, late)| 250 * number + late);
        assert_eq!(delays(times), vec![0; 800]);
    }

    #[test]
    fn more_states_are_looked_at_four_times_a_second_after_two_at_once() {
        assert_eq!(delays(std::iter::repeat_n(0, 10)), [0, 0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
    }

    #[test]
    fn a_pause_brings_no_more_than_two_looks_at_once() {
        assert_eq!(delays([0, 60_000, 60_000, 60_000, 60_000]), [0, 0, 0, 250, 500]);
    }
}
