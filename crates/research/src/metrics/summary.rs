//! The sinks of the broker: figures alone for a search, and trades and equity as well for one run.

use std::ops::Range;

use super::{
    Metrics, Moments,
    drawdown::Drawdown,
    ratio,
    returns::{annualisation, cagr, count, returns, sharpe_tradingview, sortino, years},
    trades::Trades,
};
use crate::{
    broker::{Account, Mark, Sink},
    market::Market,
    trade::Trade,
};

/// Gathers figures while a run goes on. It keeps one equity per day and one profit per trade, and reuses its memory from run to
/// run: [`Summary::begin`] starts the next one.
#[derive(Debug)]
pub struct Summary<'a> {
    market: &'a Market,
    bars: Range<usize>,
    capital: f64,
    drawdown: Drawdown,
    trades: Trades,
    held_closes: usize,
    /// The last equity of each day, in turn.
    day_equities: Vec<f64>,
    /// The day of the market whose last close comes next.
    next_day: usize,
    equity: f64,
    returns: Vec<f64>,
    months: Vec<f64>,
    month_returns: Vec<f64>,
}

impl<'a> Summary<'a> {
    /// A summary of runs on `market`. [`Self::begin`] must come before each run.
    #[must_use]
    pub fn new(market: &'a Market) -> Self {
        Self {
            market,
            bars: 0..0,
            capital: 0.0,
            drawdown: Drawdown::new(1.0, 0),
            trades: Trades::default(),
            held_closes: 0,
            day_equities: Vec::new(),
            next_day: 0,
            equity: 0.0,
            returns: Vec::new(),
            months: Vec::new(),
            month_returns: Vec::new(),
        }
    }

    /// Forgets the last run. The next one begins with `capital` at bar `first`; runs that follow without another
    /// `begin` continue the same curve.
    pub fn begin(&mut self, capital: f64, first: usize) {
        self.bars = first..first;
        self.capital = capital;
        self.equity = capital;
        self.drawdown = Drawdown::new(capital, first);
        self.trades.clear();
        self.held_closes = 0;
        self.day_equities.clear();
        self.next_day = self.market.days().partition_point(|day| day.last_bar < first);
    }

    /// The figures of the runs since [`Self::begin`]. `account` is the end of the run, or of the last run of a curve.
    #[must_use]
    pub fn metrics(&mut self, account: &Account) -> Metrics {
        let trades = self.trades.figures();
        let (years, annual) = self.daily_returns();
        let daily = Moments::of(&self.returns);
        let annualised = |ratio: Option<f64>| annual.zip(ratio).map(|(annual, ratio)| annual * ratio);
        let (fraction, money) = (self.drawdown.deepest_fraction(), self.drawdown.deepest_money());
        let cagr = cagr(self.capital, account.equity, years);
        let closes = count(self.bars.len().max(1));
        let last_bar = self.bars.end.saturating_sub(1);
        Metrics {
            equity: account.equity,
            net_profit_percent: 100.0 * trades.net_profit / self.capital,
            open_profit: account.open.map_or(0.0, |open| open.profit),
            commission: account.commission,
            cagr,
            sharpe: annualised(daily.and_then(|daily| daily.sharpe())),
            sharpe_tradingview: self.sharpe_of_months(),
            sortino: annualised(daily.and_then(|daily| sortino(daily.mean, &self.returns))),
            daily,
            max_drawdown: money,
            max_drawdown_percent: 100.0 * fraction,
            max_drawdown_ms: self.drawdown.longest_ms(last_bar, self.market.bars().time()),
            ulcer_index: self.drawdown.ulcer_index(closes),
            calmar: cagr.and_then(|cagr| ratio(cagr, fraction)),
            recovery_factor: ratio(trades.net_profit, money),
            return_over_drawdown: ratio(trades.net_profit / self.capital, fraction),
            exposure: count(self.held_closes) / closes,
            buy_and_hold_percent: self.buy_and_hold_percent(),
            trades,
        }
    }

    /// The daily returns of the runs since [`Self::begin`]: one for each UTC day in which a bar begins, the first
    /// from the capital.
    pub fn daily_returns_of_run(&mut self) -> &[f64] {
        self.daily_returns();
        &self.returns
    }

    /// Fills `returns`. Returns the years of the curve and the factor that annualises daily ratios.
    fn daily_returns(&mut self) -> (f64, Option<f64>) {
        let equities = self.day_equities.iter().copied().chain(self.equity_of_cut_day());
        returns(self.capital, equities, &mut self.returns);
        let Some(last) = self.bars.clone().next_back() else { return (0.0, None) };
        let times = self.market.bars().time();
        let years = years(times[self.bars.start], times[last]);
        (years, annualisation(self.returns.len(), years))
    }

    /// The last equity, if the curve ends before the last bar of its day.
    fn equity_of_cut_day(&self) -> Option<f64> {
        let last = self.bars.clone().next_back()?;
        let ended = self.next_day.checked_sub(1).map(|day| self.market.days()[day].last_bar);
        (ended != Some(last)).then_some(self.equity)
    }

    fn sharpe_of_months(&mut self) -> Option<f64> {
        let days = self.market.days();
        let first_day = days.partition_point(|day| day.last_bar < self.bars.start);
        self.months.clear();
        let mut month = None;
        for (day, equity) in
            days[first_day..].iter().zip(self.day_equities.iter().copied().chain(self.equity_of_cut_day()))
        {
            if month.replace(day.month) == Some(day.month) {
                self.months.pop();
            }
            self.months.push(equity);
        }
        returns(self.capital, self.months.iter().copied(), &mut self.month_returns);
        sharpe_tradingview(&self.month_returns)
    }

    fn buy_and_hold_percent(&self) -> Option<f64> {
        let closes = self.market.close().get(self.bars.clone())?;
        let (first, last) = closes.first().zip(closes.last())?;
        ratio(100.0 * (last - first), *first)
    }

    /// Notes the last equities of days that end within the bars up to `end`.
    #[inline]
    fn end_days(&mut self, end: usize, equity_at: impl Fn(usize) -> f64) {
        let days = self.market.days();
        while let Some(day) = days.get(self.next_day).filter(|day| day.last_bar < end) {
            self.day_equities.push(equity_at(day.last_bar));
            self.next_day += 1;
        }
    }
}

impl Sink for Summary<'_> {
    fn flat(&mut self, bars: Range<usize>, equity: f64) {
        if bars.is_empty() {
            return;
        }
        self.bars.end = bars.end;
        self.equity = equity;
        self.end_days(bars.end, |_| equity);
        self.drawdown.flat(bars, equity, self.market.bars().time());
    }

    fn held(&mut self, first: usize, closes: &[f64], mark: &Mark) -> usize {
        let held = self.drawdown.held(first, closes, mark, self.market.bars().time());
        let Some(last) = held.checked_sub(1) else { return held };
        self.held_closes += held;
        self.bars.end = first + held;
        self.equity = mark.equity(closes[last]);
        self.end_days(first + held, |bar| mark.equity(closes[bar - first]));
        held
    }

    fn trade(&mut self, trade: &Trade) {
        self.trades.add(trade);
    }
}

/// Gathers figures as [`Summary`] does, and keeps all trades and the equity at every close.
#[derive(Debug)]
pub struct Full<'a> {
    summary: Summary<'a>,
    trades: Vec<Trade>,
    equity: Vec<f64>,
}

impl<'a> Full<'a> {
    /// Begins with `capital` at bar `first` of the market.
    #[must_use]
    pub fn new(market: &'a Market, capital: f64, first: usize) -> Self {
        let mut summary = Summary::new(market);
        summary.begin(capital, first);
        Self { summary, trades: Vec::new(), equity: Vec::new() }
    }

    /// The figures; see [`Summary::metrics`].
    #[must_use]
    pub fn metrics(&mut self, account: &Account) -> Metrics {
        self.summary.metrics(account)
    }

    /// The closed trades in turn.
    #[must_use]
    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// The equity at each close, from the first bar on.
    #[must_use]
    pub fn equity(&self) -> &[f64] {
        &self.equity
    }

    /// The same trades and equity, without a copy.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Trade>, Vec<f64>) {
        (self.trades, self.equity)
    }
}

impl Sink for Full<'_> {
    fn flat(&mut self, bars: Range<usize>, equity: f64) {
        self.equity.extend(bars.clone().map(|_| equity));
        self.summary.flat(bars, equity);
    }

    fn held(&mut self, first: usize, closes: &[f64], mark: &Mark) -> usize {
        let held = self.summary.held(first, closes, mark);
        self.equity.extend(closes[..held].iter().map(|&close| mark.equity(close)));
        held
    }

    fn trade(&mut self, trade: &Trade) {
        self.summary.trade(trade);
        self.trades.push(*trade);
    }
}
