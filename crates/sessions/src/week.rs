use candle::Timeframe;

use super::days::trading_days;
use super::{DAY, Grid, Hours, MINUTE, WEEK};

/// The number of weeks that a week is learned from.
pub const LEARNED_WEEKS: i64 = 26;
/// The minimum number of weeks with a candle that a week is learned from.
pub const MIN_LEARNED_WEEKS: u32 = 8;
/// The share of weeks that have to hold a candle in a slot so that the slot is expected: four of five.
const EXPECTED_SHARE: (u32, u32) = (4, 5);

/// The slots of a week in which a market trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Week {
    pub(crate) expected: Vec<bool>,
    /// The trading day that each slot belongs to.
    pub(crate) days: Vec<u16>,
}

/// A learned week, and the number of weeks that it was learned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedWeek {
    /// The week.
    pub week: Week,
    /// The number of weeks that hold a candle.
    pub weeks: u32,
}

/// Records which of the last [`LEARNED_WEEKS`] weeks hold a candle in each slot.
#[derive(Debug, Clone)]
pub struct Presence {
    end: i64,
    /// For each slot, one bit per week.
    slots: Vec<u32>,
    length: i64,
}

impl Presence {
    /// An empty record of the weeks before `end`.
    #[must_use]
    pub fn before<C: FnMut(i64) -> i64>(end: i64, grid: &Grid<C>) -> Self {
        Self { end, slots: vec![0; grid.slots()], length: grid.length() }
    }

    /// The instant from which on candles count.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.end - LEARNED_WEEKS * WEEK
    }

    /// Notes a candle. One outside the weeks does not count.
    pub fn add<C: FnMut(i64) -> i64>(&mut self, opened: i64, grid: &mut Grid<C>) {
        let week = (self.end - 1 - opened).div_euclid(WEEK);
        if !(0..LEARNED_WEEKS).contains(&week) {
            return;
        }
        let period = grid.period(opened);
        if let Some(slot) = self.slots.get_mut(grid.slot(period)) {
            *slot |= 1 << week;
        }
    }

    /// Learns the week: a slot is expected if four of five weeks hold a candle in it. Weeks without any candle do not
    /// count, because a feed that was off says nothing about the market.
    ///
    /// # Errors
    /// The number of weeks with candles, if there are fewer than [`MIN_LEARNED_WEEKS`].
    pub fn learned(&self) -> Result<LearnedWeek, u32> {
        let weeks = self.slots.iter().fold(0, |all, slot| all | slot).count_ones();
        if weeks < MIN_LEARNED_WEEKS {
            return Err(weeks);
        }
        let (share, of) = EXPECTED_SHARE;
        let expected = self.slots.iter().map(|slot| slot.count_ones() * of >= weeks * share).collect();
        Ok(LearnedWeek { week: Week::of(expected, self.length), weeks })
    }
}

impl Week {
    fn of(expected: Vec<bool>, length: i64) -> Self {
        let days = trading_days(&expected, length);
        Self { expected, days }
    }

    /// A week in which every period is expected; of days, those whose trading date is from Monday to Friday. `None`
    /// for months.
    #[must_use]
    pub fn always(timeframe: Timeframe, phase: i64) -> Option<Self> {
        let length = timeframe.length()? * 1000;
        // The trading date of a day is the date of its last second.
        let is_weekday = |slot: i64| (slot * length + phase + length - 1).rem_euclid(WEEK) < 5 * DAY;
        Some(Self::of((0..WEEK / length).map(|slot| length != DAY || is_weekday(slot)).collect(), length))
    }

    /// A week in which the periods that open within `hours` are expected. `None` for months.
    #[must_use]
    pub fn given(hours: &Hours, timeframe: Timeframe, phase: i64) -> Option<Self> {
        let length = timeframe.length()? * 1000;
        let opens = |slot: i64| hours.hold((slot * length + phase).rem_euclid(WEEK) / MINUTE);
        Some(Self::of((0..WEEK / length).map(opens).collect(), length))
    }

    /// The number of expected periods in a week.
    #[must_use]
    pub fn expected_per_week(&self) -> usize {
        self.expected.iter().filter(|expected| **expected).count()
    }

    /// True if the period that holds an instant is expected.
    pub fn expects<C: FnMut(i64) -> i64>(&self, time: i64, grid: &mut Grid<C>) -> bool {
        let period = grid.period(time);
        self.expected[grid.slot(period)]
    }

    /// The milliseconds between two instants that lie in expected periods. Stops counting beyond `enough`.
    pub fn expected_time<C: FnMut(i64) -> i64>(
        &self,
        (since, until): (i64, i64),
        enough: i64,
        grid: &mut Grid<C>,
    ) -> i64 {
        let (mut sum, mut period) = (0, grid.period(since));
        let mut opening = grid.opening(period);
        while opening < until && sum <= enough {
            let end = grid.opening(period + 1);
            if self.expected[grid.slot(period)] {
                sum += (end.min(until) - opening.max(since)).max(0);
            }
            (period, opening) = (period + 1, end);
        }
        sum
    }

    /// The most common phase of candles that opened at `openings`; 0 if there are none.
    pub fn phase<C: FnMut(i64) -> i64>(openings: impl Iterator<Item = i64>, grid: &mut Grid<C>) -> i64 {
        let mut phases: Vec<(i64, usize)> = Vec::new();
        for opened in openings {
            let phase = grid.phase_of(opened);
            match phases.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, count)) => *count += 1,
                None => phases.push((phase, 1)),
            }
        }
        phases.into_iter().max_by_key(|(phase, count)| (*count, -phase)).map_or(0, |(phase, _)| phase)
    }
}
