//! Walk-forward: windows that are searched alone, each followed by the bars on which its winner is run.

use std::ops::Range;

use crate::metrics::Objective;

/// The lengths of the windows, in bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkForward {
    /// Bars that a window is searched on; at least 2.
    pub in_bars: usize,
    /// Bars after them on which its winner is run; at least 2.
    pub out_bars: usize,
    /// True if all windows begin with the first bar, and so grow. Otherwise each begins `out_bars` after the one
    /// before it.
    pub anchored: bool,
}

/// One window. The bars out of sample of successive windows follow each other without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkWindow {
    /// Bars to search on.
    pub in_sample: Range<usize>,
    /// The bars after them.
    pub out_of_sample: Range<usize>,
}

impl WalkForward {
    /// The windows within `bars`. The last one has fewer bars out of sample if `bars` end before; it needs two, because an order
    /// fills at the bar after its signal. Empty if `bars` are too few for one window.
    #[must_use]
    pub fn windows(&self, bars: Range<usize>) -> Vec<WalkWindow> {
        let first_out = bars.start.saturating_add(self.in_bars);
        let starts = (0..).map(|window: usize| first_out.saturating_add(window.saturating_mul(self.out_bars.max(2))));
        let starts = starts.take_while(|start| start.saturating_add(2) <= bars.end);
        let windows = starts.map(|start| WalkWindow {
            in_sample: if self.anchored { bars.start..start } else { start - self.in_bars..start },
            out_of_sample: start..start.saturating_add(self.out_bars.max(2)).min(bars.end),
        });
        windows.collect()
    }
}

/// Objectives of a window's winner, and the years that they cover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Efficiency {
    pub(super) in_sample: Option<f64>,
    pub(super) in_years: f64,
    pub(super) out_of_sample: Option<f64>,
    pub(super) out_years: f64,
}

/// Walk-forward efficiency: the mean objective out of sample, divided by the mean in sample, of the windows that have
/// both. An objective that grows with time is compared per year. `None` if no window has both, or the mean in sample
/// is not above 0.
pub(super) fn efficiency(objective: Objective, windows: &[Efficiency]) -> Option<f64> {
    let per_year = |value: f64, years: f64| if objective.grows_with_time() { value / years } else { value };
    let both = windows.iter().filter_map(|window| {
        let inside = per_year(window.in_sample?, window.in_years);
        let outside = per_year(window.out_of_sample?, window.out_years);
        (inside.is_finite() && outside.is_finite()).then_some((inside, outside))
    });
    // Both means have the same count, so that the quotient of the sums is that of the means.
    let (inside, outside) = both.fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
    (inside > 0.0).then(|| outside / inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(walk: WalkForward, bars: Range<usize>) -> Vec<(Range<usize>, Range<usize>)> {
        walk.windows(bars).into_iter().map(|window| (window.in_sample, window.out_of_sample)).collect()
    }

    #[test]
    fn windows_follow_each_other_and_the_last_may_be_shorter() {
        let rolling = WalkForward { in_bars: 40, out_bars: 10, anchored: false };
        let expected = [(5..45, 45..55), (15..55, 55..65), (25..65, 65..68)];
        assert_eq!(windows(rolling, 5..68), expected);
        assert_eq!(windows(rolling, 5..66), expected[..2]);
        assert_eq!(windows(rolling, 5..46), []);
        let anchored = WalkForward { anchored: true, ..rolling };
        assert_eq!(windows(anchored, 5..66), [(5..45, 45..55), (5..55, 55..65)]);
    }

    #[test]
    fn efficiency_compares_what_grows_with_time_per_year() {
        let window =
            |inside, outside| Efficiency { in_sample: inside, in_years: 4.0, out_of_sample: outside, out_years: 1.0 };
        let both = [
            window(Some(8.0), Some(1.0)),
            window(Some(8.0), Some(3.0)),
            window(None, Some(9.0)),
            window(Some(8.0), None),
        ];
        assert_eq!(efficiency(Objective::NetProfit, &both), Some(1.0));
        assert_eq!(efficiency(Objective::Sharpe, &both), Some(0.25));
        assert_eq!(efficiency(Objective::Sharpe, &[window(Some(-1.0), Some(1.0))]), None);
        assert_eq!(efficiency(Objective::Sharpe, &[]), None);
    }
}
