use super::{Grid, Week};

/// The kind of a gap, by its place in the trading days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// A trading day is missing, or at least the last quarter of one, as on holidays.
    Closure,
    /// Anything else.
    Hole,
}

/// A run of expected periods without a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The opening of its first period.
    pub from: i64,
    /// The opening of its last period.
    pub to: i64,
    /// The number of its periods.
    pub missing: u64,
    /// Its kind.
    pub kind: GapKind,
}

/// The gaps of a series in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapReport {
    /// The number of expected periods.
    pub expected: u64,
    /// The number of those that hold a candle.
    pub stored: u64,
    /// The gaps that were asked for, oldest first.
    pub gaps: Vec<Gap>,
    /// True if there are more gaps.
    pub more: bool,
}

/// Finds the gaps in the candles of a series, which are added in the order of their openings.
#[derive(Debug)]
pub struct Gaps<'a, C> {
    week: &'a Week,
    grid: Grid<C>,
    /// The next period to look at, and the last.
    next: i64,
    last: i64,
    min: u64,
    limit: usize,
    report: GapReport,
    open: Option<OpenGap>,
}

/// A gap that has not ended.
#[derive(Debug)]
struct OpenGap {
    gap: Gap,
    /// Its newest period, the trading day of that period, and the number of missing periods of this day so far.
    newest: i64,
    day: u16,
    of_day: u64,
}

impl<'a, C: FnMut(i64) -> i64> Gaps<'a, C> {
    /// Looks for gaps of at least `min` periods among those that open from the first to the last instant of a range, and
    /// keeps `limit` of them.
    pub fn new(week: &'a Week, mut grid: Grid<C>, (from, to): (i64, i64), min: u64, limit: usize) -> Self {
        let first = grid.period(from);
        let next = if grid.opening(first) < from { first + 1 } else { first };
        let last = grid.period(to);
        let report = GapReport { expected: 0, stored: 0, gaps: Vec::new(), more: false };
        Self { week, grid, next, last, min, limit, report, open: None }
    }

    /// Adds a candle by its opening time, which must not be before that of the last one.
    pub fn add(&mut self, opened: i64) {
        let period = self.grid.period(opened);
        self.skip_to(period);
        if period == self.next && period <= self.last {
            if self.week.expected[self.grid.slot(period)] {
                self.report.expected += 1;
                self.report.stored += 1;
                self.end_gap();
            }
            self.next += 1;
        }
    }

    /// The report, once all candles of the range have been added.
    #[must_use]
    pub fn finish(mut self) -> GapReport {
        self.skip_to(self.last + 1);
        self.end_gap();
        self.report
    }

    /// Counts the expected periods before `period` that got no candle as missing.
    fn skip_to(&mut self, period: i64) {
        while self.next < period.min(self.last + 1) {
            let slot = self.grid.slot(self.next);
            if self.week.expected[slot] {
                self.report.expected += 1;
                self.miss(self.next, self.week.days[slot]);
            }
            self.next += 1;
        }
    }

    fn miss(&mut self, period: i64, day: u16) {
        let opening = self.grid.opening(period);
        let slots = i64::try_from(self.week.expected.len()).unwrap_or(i64::MAX);
        let Some(open) = &mut self.open else {
            let gap = Gap { from: opening, to: opening, missing: 1, kind: GapKind::Hole };
            self.open = Some(OpenGap { gap, newest: period, day, of_day: 1 });
            return;
        };
        // Periods more than half a week apart belong to the same day of different weeks.
        if open.day == day && (period - open.newest) * 2 <= slots {
            open.of_day += 1;
        } else {
            // The gap reached the end of the previous trading day.
            if is_closure(self.week, open.day, open.of_day) {
                open.gap.kind = GapKind::Closure;
            }
            (open.day, open.of_day) = (day, 1);
        }
        open.newest = period;
        open.gap.to = opening;
        open.gap.missing += 1;
    }

    fn end_gap(&mut self) {
        let Some(OpenGap { mut gap, newest, day, of_day }) = self.open.take() else { return };
        // The next expected slot shows whether the gap reaches the end of the day.
        let slots = self.week.expected.len();
        let last = self.grid.slot(newest);
        let next = (1..slots).map(|later| (last + later) % slots).find(|&slot| self.week.expected[slot]);
        let ends_with_day = next.is_none_or(|next| self.week.days[next] != day);
        let is_whole = of_day >= expected_of(self.week, day);
        if is_whole || (ends_with_day && is_closure(self.week, day, of_day)) {
            gap.kind = GapKind::Closure;
        }
        if gap.missing < self.min {
            return;
        }
        if self.report.gaps.len() < self.limit {
            self.report.gaps.push(gap);
        } else {
            self.report.more = true;
        }
    }
}

/// The number of expected periods of a trading day.
fn expected_of(week: &Week, day: u16) -> u64 {
    let slots = week.expected.iter().zip(&week.days);
    slots.filter(|(expected, of)| **expected && **of == day).count() as u64
}

/// True if the number of missing periods at the end of a trading day is at least a quarter of the day.
fn is_closure(week: &Week, day: u16, missing: u64) -> bool {
    missing * 4 >= expected_of(week, day)
}
