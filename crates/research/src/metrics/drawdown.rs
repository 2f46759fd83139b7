//! Drawdown: how far the equity fell below its highest close, and for how long.

use std::ops::Range;

use crate::broker::Mark;

/// Follows the equity from close to close.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawdown {
    peak: f64,
    /// 1 divided by `peak`, kept because divisions are slow and the peak changes at few closes.
    inverse_peak: f64,
    /// The last bar at whose close the equity was at its peak.
    peak_bar: usize,
    /// Sum of the squared drawdowns, as fractions of the peak, over all closes.
    squares: f64,
    /// The deepest drawdown, computed with `inverse_peak` and used to compare drawdowns only.
    deepest: f64,
    deepest_fraction: f64,
    deepest_money: f64,
    longest_ms: i64,
}

impl Drawdown {
    /// Begins with `capital` before bar `first`.
    pub(super) fn new(capital: f64, first: usize) -> Self {
        Self {
            peak: capital,
            inverse_peak: 1.0 / capital,
            peak_bar: first,
            squares: 0.0,
            deepest: 0.0,
            deepest_fraction: 0.0,
            deepest_money: 0.0,
            longest_ms: 0,
        }
    }

    /// The equity is the same at all these closes.
    pub(super) fn flat(&mut self, bars: Range<usize>, equity: f64, times: &[i64]) {
        let Some(last) = bars.end.checked_sub(1).filter(|last| *last >= bars.start) else { return };
        if equity >= self.peak {
            self.reach_peak(bars.start, equity, times);
            self.peak_bar = last;
            return;
        }
        let drawdown = (self.peak - equity) * self.inverse_peak;
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer bars than a double counts exactly")]
        let closes = bars.len() as f64;
        self.squares += closes * (drawdown * drawdown);
        if drawdown > self.deepest {
            self.deepen(drawdown, equity);
        }
    }

    /// A position is open at the closes from bar `first` on. Stops at the first close with an equity of 0 or less,
    /// and returns the number of closes before it.
    #[inline]
    pub(super) fn held(&mut self, first: usize, closes: &[f64], mark: &Mark, times: &[i64]) -> usize {
        let mut state = *self;
        for (place, &close) in closes.iter().enumerate() {
            let equity = mark.equity(close);
            if equity >= state.peak {
                state.reach_peak(first + place, equity, times);
                continue;
            }
            let drawdown = (state.peak - equity) * state.inverse_peak;
            if drawdown > state.deepest {
                if equity <= 0.0 {
                    *self = state;
                    return place;
                }
                state.deepen(drawdown, equity);
            }
            state.squares += drawdown * drawdown;
        }
        *self = state;
        closes.len()
    }

    #[inline]
    fn reach_peak(&mut self, bar: usize, equity: f64, times: &[i64]) {
        if bar > self.peak_bar + 1 {
            self.longest_ms = self.longest_ms.max(times[bar] - times[self.peak_bar]);
        }
        if equity > self.peak {
            self.peak = equity;
            self.inverse_peak = 1.0 / equity;
        }
        self.peak_bar = bar;
    }

    #[inline]
    fn deepen(&mut self, drawdown: f64, equity: f64) {
        self.deepest = drawdown;
        self.deepest_money = self.peak - equity;
        self.deepest_fraction = self.deepest_money / self.peak;
    }

    /// The deepest drawdown as a fraction of the peak before it.
    pub(super) fn deepest_fraction(&self) -> f64 {
        self.deepest_fraction
    }

    /// The deepest drawdown in money.
    pub(super) fn deepest_money(&self) -> f64 {
        self.deepest_money
    }

    /// The longest time from a close at the peak to the first close that reaches it again, or to the last close.
    pub(super) fn longest_ms(&self, last_bar: usize, times: &[i64]) -> i64 {
        let open = if last_bar > self.peak_bar { times[last_bar] - times[self.peak_bar] } else { 0 };
        self.longest_ms.max(open)
    }

    /// Square root of the mean squared drawdown in percent, over `closes` closes (Martin 1987).
    pub(super) fn ulcer_index(&self, closes: f64) -> f64 {
        100.0 * (self.squares / closes).sqrt()
    }
}
