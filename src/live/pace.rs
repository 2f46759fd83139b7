//! The pace of the looks at one series.

use std::time::Duration;

use tokio::time::Instant;

/// In the long run the time between two looks for the same reason: a client reads four states a second.
const INTERVAL: Duration = Duration::from_millis(250);

/// The times of the looks at a series. Looks for states and looks for streams that have just come have a schedule each: if they
/// shared one, a stream that comes would make the states of all others late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    states: Schedule,
    joins: Schedule,
}

/// The reasons for which a look counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reasons {
    /// Something was written to the series, or was found in it.
    pub(super) is_state: bool,
    /// A stream waited for the look.
    pub(super) is_join: bool,
}

impl Reasons {
    pub(super) fn any(self) -> bool {
        self.is_state || self.is_join
    }
}

impl Pace {
    /// The beginning of the last look; `None` before the first one.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The time from which a look for these reasons is allowed; `None` if nothing is to be waited for, or there is no reason.
    pub(super) fn next(&self, reasons: Reasons) -> Option<Instant> {
        let state = reasons.is_state.then_some(self.states.next);
        let join = reasons.is_join.then_some(self.joins.next);
        state.into_iter().chain(join).min().flatten()
    }

    /// Counts a look that began at this time.
    pub(super) fn take(&mut self, began: Instant, reasons: Reasons) {
        self.last = Some(began);
        if reasons.is_state {
            self.states.take(began);
        }
        if reasons.is_join {
            self.joins.take(began);
        }
    }
}

/// A schedule of looks, of which one may come up to an interval before its time. If each had to wait for an interval after the last
/// one instead, a writer that posts at exactly this pace would make every state late by as much as the latest one so far.
#[derive(Debug, Default)]
struct Schedule {
    next: Option<Instant>,
}

impl Schedule {
    fn take(&mut self, began: Instant) {
        let earliest = began.checked_sub(INTERVAL).unwrap_or(began);
        self.next = Some(self.next.map_or(earliest, |next| next.max(earliest)) + INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Reasons = Reasons { is_state: true, is_join: false };
    const JOIN: Reasons = Reasons { is_state: false, is_join: true };

    /// Looks at each time, or as soon as allowed after it. Returns the delays in milliseconds.
    fn delays(looks: impl IntoIterator<Item = (u64, Reasons)>) -> Vec<u128> {
        let start = Instant::now();
        let mut pace = Pace::default();
        let look = |(wanted, reasons)| {
            let wanted = start + Duration::from_millis(wanted);
            let at = pace.next(reasons).map_or(wanted, |next| next.max(wanted));
            pace.take(at, reasons);
            (at - wanted).as_millis()
        };
        looks.into_iter().map(look).collect()
    }

    fn states(times: impl IntoIterator<Item = u64>) -> Vec<u128> {
        delays(times.into_iter().map(|time| (time, STATE)))
    }

    #[test]
    fn states_at_the_pace_are_looked_at_at_once_though_some_come_late() {
        let jitter = [0, 90, 0, 40, 200, 10, 0, 120].into_iter().cycle();
        assert_eq!(states((0..800).zip(jitter).map(|(number, late)| 250 * number + late)), vec![0; 800]);
    }

    #[test]
    fn more_states_are_looked_at_four_times_a_second_after_two_at_once() {
        assert_eq!(states(std::iter::repeat_n(0, 10)), [0, 0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
    }

    #[test]
    fn a_pause_brings_no_more_than_two_looks_at_once() {
        assert_eq!(states([0, 60_000, 60_000, 60_000, 60_000]), [0, 0, 0, 250, 500]);
    }

    #[test]
    fn streams_that_come_delay_no_state() {
        let looks = (0..100).flat_map(|number| [(250 * number, STATE), (250 * number + 20, JOIN)]);
        assert_eq!(delays(looks), vec![0; 200]);
    }

    #[test]
    fn looks_for_streams_keep_the_pace_too() {
        assert_eq!(delays([(0, JOIN), (0, JOIN), (0, JOIN), (0, STATE), (0, JOIN)]), [0, 0, 250, 0, 500]);
    }
}
