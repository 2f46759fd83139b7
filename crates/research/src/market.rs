//! A series as the broker and the metrics read it: prices on the tick grid, and the ends of days and months.

use crate::{Bars, ticks::Steps};

const DAY_MS: i64 = 86_400_000;

/// The bars of a series with their prices on the tick grid, and the last bar of each day. It is made once per series and tick,
/// and shared by all runs on them.
#[derive(Debug, Clone)]
pub struct Market {
    bars: Bars,
    /// Rounded prices; `None` if the prices of the bars are on the grid, as they are unless a coarser tick was
    /// chosen.
    rounded: Option<Prices>,
    ticks: Steps,
    days: Vec<Day>,
}

#[derive(Debug, Clone)]
struct Prices {
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
}

/// A UTC day in which at least one bar begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day {
    /// The last bar that begins on this day.
    pub(crate) last_bar: usize,
    /// The month, counted from January of year 0.
    pub(crate) month: i64,
}

impl Market {
    /// Takes the bars of a series. `tick` replaces the distance of neighbouring prices that the bars have themselves; it is a
    /// finite number above 0, as [`Settings::tick`](crate::Settings::tick) is.
    #[must_use]
    pub fn new(bars: Bars, tick: Option<f64>) -> Self {
        let ticks = Steps::new(tick.unwrap_or_else(|| bars.tick()));
        let rounded = Prices::rounded(&bars, ticks);
        let days = days(bars.time());
        Self { bars, rounded, ticks, days }
    }

    /// The bars as they came.
    #[must_use]
    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// The number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    /// True if there is no bar.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// First prices, on the tick grid.
    #[must_use]
    pub fn open(&self) -> &[f64] {
        self.rounded.as_ref().map_or(self.bars.open(), |prices| &prices.open)
    }

    /// Highest prices, on the tick grid.
    #[must_use]
    pub fn high(&self) -> &[f64] {
        self.rounded.as_ref().map_or(self.bars.high(), |prices| &prices.high)
    }

    /// Lowest prices, on the tick grid.
    #[must_use]
    pub fn low(&self) -> &[f64] {
        self.rounded.as_ref().map_or(self.bars.low(), |prices| &prices.low)
    }

    /// Last prices, on the tick grid.
    #[must_use]
    pub fn close(&self) -> &[f64] {
        self.rounded.as_ref().map_or(self.bars.close(), |prices| &prices.close)
    }

    pub(crate) fn ticks(&self) -> Steps {
        self.ticks
    }

    pub(crate) fn days(&self) -> &[Day] {
        &self.days
    }
}

impl Prices {
    /// `None` if rounding changes no price.
    fn rounded(bars: &Bars, ticks: Steps) -> Option<Self> {
        // Compared before anything is copied, because copies of all prices take two thirds of the memory of the bars.
        let is_same = |prices: &[f64]| prices.iter().copied().eq(prices.iter().map(|&price| ticks.nearest(price)));
        if [bars.open(), bars.high(), bars.low(), bars.close()].into_iter().all(is_same) {
            return None;
        }
        let round = |prices: &[f64]| prices.iter().map(|&price| ticks.nearest(price)).collect::<Vec<_>>();
        let (open, high) = (round(bars.open()), round(bars.high()));
        Some(Self { open, high, low: round(bars.low()), close: round(bars.close()) })
    }
}

fn days(times: &[i64]) -> Vec<Day> {
    let mut days = Vec::new();
    for (bar, time) in times.iter().enumerate() {
        let day = time.div_euclid(DAY_MS);
        if times.get(bar + 1).is_none_or(|next| next.div_euclid(DAY_MS) != day) {
            days.push(Day { last_bar: bar, month: month_of_day(day) });
        }
    }
    days
}

/// The month of a day in the Gregorian calendar, counted from January of year 0. `day` counts from 1970-01-01.
fn month_of_day(day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year (Hinnant, "chrono-Compatible Low-Level Date
    // Algorithms").
    const DAYS_TO_1970: i64 = 719_468;
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let shifted = day + DAYS_TO_1970;
    let era = shifted.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = shifted.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + months_since_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Columns, TickGrid};

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        let month = |year: i64, month: i64| year * 12 + month - 1;
        // Days since 1970-01-01 of: 1969-12-31, 1970-01-01, 2000-02-29, 2000-03-01, 2024-02-29, 2100-02-28, 2100-03-01.
        let cases = [
            (-1, month(1969, 12)),
            (0, month(1970, 1)),
            (30, month(1970, 1)),
            (31, month(1970, 2)),
            (11_016, month(2000, 2)),
            (11_017, month(2000, 3)),
            (19_782, month(2024, 2)),
            (19_783, month(2024, 3)),
            (47_540, month(2100, 2)),
            (47_541, month(2100, 3)),
        ];
        for (day, expected) in cases {
            assert_eq!(month_of_day(day), expected, "day {day}");
        }
    }

    #[test]
    fn the_last_bar_of_each_day_is_found() {
        let hour = 3_600_000;
        let times: Vec<i64> = [20, 22, 23, 24, 30, 96].iter().map(|hours| hours * hour).collect();
        let last: Vec<usize> = days(&times).iter().map(|day| day.last_bar).collect();
        assert_eq!(last, [2, 4, 5]);
    }

    #[test]
    fn prices_are_copied_only_for_a_coarser_tick() {
        let columns = Columns {
            time: vec![0, 1],
            open: vec![1.01, 1.02],
            high: vec![1.04, 1.07],
            low: vec![1.0, 1.02],
            close: vec![1.03, 1.05],
            volume: vec![0.0; 2],
        };
        let bars = Bars::new(columns, TickGrid::of_digits(2).unwrap(), None).unwrap();
        assert!(Market::new(bars.clone(), None).rounded.is_none());
        let coarse = Market::new(bars, Some(0.05));
        assert_eq!((coarse.open(), coarse.high()), (&[1.0, 1.0][..], &[1.05, 1.05][..]));
        assert_eq!((coarse.low(), coarse.close()), (&[1.0, 1.0][..], &[1.05, 1.05][..]));
    }
}
