use candle::Timeframe;

use super::{HOUR, MONDAY, WEEK};

/// The periods of a timeframe, numbered in the order of time.
///
/// Periods of up to an hour are counted in UTC, because clocks agree on where they begin. Longer ones are counted on the local
/// clock from its Monday on, so that they keep their place in the week when the clocks change, and each holds the one candle
/// whose opening lies in it. A period of four hours then has three or five once a year.
#[derive(Debug, Clone)]
pub struct Grid<C> {
    length: i64,
    /// Milliseconds from the beginning of the local Monday to the first opening of a period, less than a length.
    phase: i64,
    clock: C,
}

impl<C: FnMut(i64) -> i64> Grid<C> {
    /// The periods of `timeframe` by a local clock. `phase` is the number of milliseconds by which periods open after
    /// the multiples of their length since the local Monday; it only counts for periods above an hour. `None` for
    /// months, whose periods have no place in the week.
    pub fn new(timeframe: Timeframe, phase: i64, clock: C) -> Option<Self> {
        let length = timeframe.length()? * 1000;
        Some(Self { length, phase: if length > HOUR { phase } else { 0 }, clock })
    }

    /// The phase of a candle that opened at `time`.
    pub fn phase_of(&mut self, time: i64) -> i64 {
        (self.local(time) - MONDAY).rem_euclid(self.length)
    }

    /// The length of a period in milliseconds.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.length
    }

    /// The number of slots in a week.
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::try_from(WEEK / self.length).unwrap_or(usize::MAX)
    }

    /// The number of the period that holds an instant.
    pub fn period(&mut self, time: i64) -> i64 {
        if self.length <= HOUR {
            return time.div_euclid(self.length);
        }
        (self.local(time) - MONDAY - self.phase).div_euclid(self.length)
    }

    /// The instant at which a period opens.
    pub fn opening(&mut self, period: i64) -> i64 {
        if self.length <= HOUR {
            return period * self.length;
        }
        let local = MONDAY + self.phase + period * self.length;
        // The second offset is that of the instant itself, unless the clocks change just then.
        let near = local - (self.clock)(local);
        local - (self.clock)(near)
    }

    /// The place of a period in the week.
    pub fn slot(&mut self, period: i64) -> usize {
        let slot = if self.length <= HOUR {
            (self.local(period * self.length) - MONDAY).rem_euclid(WEEK) / self.length
        } else {
            period.rem_euclid(WEEK / self.length)
        };
        usize::try_from(slot).unwrap_or_default()
    }

    fn local(&mut self, time: i64) -> i64 {
        time + (self.clock)(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that goes forward an hour at 10 days and back at 24 days.
    fn clock(time: i64) -> i64 {
        if (10 * 24 * HOUR..24 * 24 * HOUR).contains(&time) { HOUR } else { 0 }
    }

    #[test]
    fn long_periods_keep_their_local_opening() {
        let mut grid = Grid::new(Timeframe::H4, HOUR, clock).unwrap();
        let first = grid.period(5 * 24 * HOUR + HOUR);
        for period in first..first + 200 {
            let opening = grid.opening(period);
            let local = opening + clock(opening);
            assert_eq!((local - MONDAY - HOUR).rem_euclid(4 * HOUR), 0, "{period}");
            assert_eq!(grid.period(opening), period);
            let end = grid.opening(period + 1);
            assert_eq!(grid.period(end - 1), period);
        }
    }

    #[test]
    fn slots_follow_the_local_clock() {
        let mut grid = Grid::new(Timeframe::M5, 0, clock).unwrap();
        assert_eq!(grid.slots(), 2016);
        for day in [4, 11, 25] {
            // 09:05 on the local clock.
            let local = day * 24 * HOUR + 9 * HOUR + 300_000;
            let time = local - clock(local);
            let period = grid.period(time);
            let weekday = usize::try_from((day - 4) % 7).unwrap();
            assert_eq!(grid.slot(period), weekday * 288 + 9 * 12 + 1, "{day}");
        }
        assert!(Grid::new(Timeframe::MN1, 0, clock).is_none());
    }
}
