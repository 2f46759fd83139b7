//! Points as runs of a strategy.

use std::ops::Range;

use super::run::{Evaluate, Outcome};
use crate::{
    Settings, Signals,
    broker::{self, Account, Window},
    market::Market,
    metrics::{Metrics, Objective, Summary},
};

/// Runs a strategy over a window of a market, once for each point.
#[derive(Debug)]
pub struct Backtests<'a, F> {
    pub(super) market: &'a Market,
    pub(super) settings: &'a Settings,
    pub(super) objective: Objective,
    pub(super) signals: &'a F,
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) closes_at_end: bool,
}

impl<'a, F: Fn(&[f64]) -> Signals + Sync> Backtests<'a, F> {
    /// Runs the signals that `signals` makes of a point's values on the bars of `window`. The signals must cover the
    /// market.
    pub fn new(
        market: &'a Market,
        settings: &'a Settings,
        objective: Objective,
        signals: &'a F,
        window: &Window,
    ) -> Self {
        let Range { start: first, end } = window.bars;
        Self { market, settings, objective, signals, first, end, closes_at_end: window.closes_at_end }
    }

    fn run(&self, summary: &mut Summary<'a>, values: &[f64]) -> Account {
        let window = Window { bars: self.first..self.end, closes_at_end: self.closes_at_end };
        summary.begin(self.settings.capital(), self.first);
        broker::run_fitting(self.market, &(self.signals)(values), self.settings, &window, summary)
    }
}

impl<'a, F: Fn(&[f64]) -> Signals + Sync> Evaluate for Backtests<'a, F> {
    type Scratch = Summary<'a>;
    type Detail = Metrics;

    fn scratch(&self) -> Self::Scratch {
        Summary::new(self.market)
    }

    fn evaluate(&self, summary: &mut Self::Scratch, values: &[f64]) -> Outcome<Metrics> {
        let account = self.run(summary, values);
        let metrics = summary.metrics(&account);
        Outcome {
            objective: self.objective.of(&metrics),
            trades: metrics.trades.trades,
            sharpe: metrics.daily.and_then(|daily| daily.sharpe()),
            detail: metrics,
        }
    }
}

/// The same runs, which keep their daily returns.
pub(super) struct DailyReturns<'r, 'a, F>(pub(super) &'r Backtests<'a, F>);

impl<'a, F: Fn(&[f64]) -> Signals + Sync> Evaluate for DailyReturns<'_, 'a, F> {
    type Scratch = Summary<'a>;
    type Detail = Vec<f64>;

    fn scratch(&self) -> Self::Scratch {
        self.0.scratch()
    }

    fn evaluate(&self, summary: &mut Self::Scratch, values: &[f64]) -> Outcome<Vec<f64>> {
        self.0.run(summary, values);
        Outcome { objective: None, trades: 0, sharpe: None, detail: summary.daily_returns_of_run().to_vec() }
    }
}
