//! The broker emulator: the fills of a strategy's signals on the bars of a series.
//!
//! It fills as TradingView's emulator does with `margin_long = 0, margin_short = 0` and `pyramiding = 1`. In each bar, in order:
//!
//! 1. **Open.** What the last close ordered fills at this open: an entry, which closes an opposite position by the same order, or
//!    an exit. Market orders slip.
//! 2. **Gap.** A stop or target that this open has passed fills at the open. That includes the bracket of an entry which filled
//!    at this open.
//! 3. **Path.** The price runs from the open to the nearer one of high and low, then to the other, then to the close.
//!    At equal distances, it runs to the low first. The stop or the target that it meets first fills at its own
//!    price. Stops slip; targets never do.
//! 4. **Close.** The equity is marked, signals are read, and the sizes of new orders are fixed. An equity of 0 or less ends the
//!    run: the position is closed at this close.
//!
//! Nothing is ordered at the last bar of a window. A position that is left there is marked at the last close and stays open, or is
//! closed at that close if the window says so.
//!
//! [`run`] hands stretches of bars, and trades, to a [`Sink`]. A stretch in which nothing can happen is handed over
//! whole, so a run takes little more time than marking the equity.

mod costs;
mod orders;

use std::ops::Range;

use self::{
    costs::Costs,
    orders::{Entry, Order, Rules},
};
use crate::{
    Settings, Signals, SignalsError,
    market::Market,
    trade::{ExitReason, Side, Trade},
};

/// Receives what happens in a run, in the order of bars. Ranges never overlap and leave no bar of the window out.
pub trait Sink {
    /// No position was open at these closes, and the equity was the same at all of them.
    fn flat(&mut self, bars: Range<usize>, equity: f64);

    /// One position was open at the closes from bar `first` on. Stops at the first close at which the equity is 0 or
    /// less, and returns the number of closes before it.
    fn held(&mut self, first: usize, closes: &[f64], mark: &Mark) -> usize;

    /// A position was closed.
    fn trade(&mut self, trade: &Trade);
}

/// The equity while one position is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    cash: f64,
    value: f64,
    entry_price: f64,
}

impl Mark {
    /// The equity at a close with this price.
    #[inline]
    #[must_use]
    pub fn equity(&self, close: f64) -> f64 {
        self.cash + self.value * (close - self.entry_price)
    }
}

/// The bars that a run trades. Columns and signals may reach beyond it on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Bars at whose closes orders may be placed, all but the last. Bars that the market does not have are left out.
    pub bars: Range<usize>,
    /// True if a position that is open at the last close is closed there. Otherwise it is marked there and stays
    /// open.
    pub closes_at_end: bool,
}

impl Window {
    /// All of `len` bars; the last position stays open.
    #[must_use]
    pub fn all(len: usize) -> Self {
        Self { bars: 0..len, closes_at_end: false }
    }
}

/// The account at the end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Money at the start.
    pub capital: f64,
    /// Equity at the last close: capital, profits of all trades, and the profit of the open position.
    pub equity: f64,
    /// All commission paid, that of the open position's entry included.
    pub commission: f64,
    /// The position that is open at the last close.
    pub open: Option<OpenPosition>,
    /// The number of closes at which nothing was ordered, because the strategy asked for both sides at once.
    pub conflicts: usize,
    /// The number of entries that were not made, because their size rounds to 0 lots.
    pub dropped: usize,
    /// The bar in which the equity was used up.
    pub ruined: Option<usize>,
    /// The order of the last close. It is not filled, because no open follows within the window.
    pub next_order: Option<NextOrder>,
}

/// An order that waits for the open after a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextOrder {
    /// Buys, and closes a short position with the same order.
    EnterLong,
    /// Sells, and closes a long position with the same order.
    EnterShort,
    /// Closes a long position.
    ExitLong,
    /// Closes a short position.
    ExitShort,
}

impl NextOrder {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnterLong => "enter_long",
            Self::EnterShort => "enter_short",
            Self::ExitLong => "exit_long",
            Self::ExitShort => "exit_short",
        }
    }
}

impl Account {
    /// An account before its first run.
    #[must_use]
    pub fn new(capital: f64) -> Self {
        Self {
            capital,
            equity: capital,
            commission: 0.0,
            open: None,
            conflicts: 0,
            dropped: 0,
            ruined: None,
            next_order: None,
        }
    }

    /// The two runs as one. `next` began with the equity that this one ended with.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        Self {
            capital: self.capital,
            equity: next.equity,
            commission: self.commission + next.commission,
            open: next.open,
            conflicts: self.conflicts + next.conflicts,
            dropped: self.dropped + next.dropped,
            ruined: self.ruined.or(next.ruined),
            next_order: next.next_order,
        }
    }
}

/// A position that is open at the last close of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenPosition {
    /// Long or short.
    pub side: Side,
    /// The bar at whose open the entry filled.
    pub entry_bar: usize,
    /// Fill of the entry.
    pub entry_price: f64,
    /// The quantity, above 0 on both sides.
    pub quantity: f64,
    /// Profit at the last close, net of the entry's commission.
    pub profit: f64,
}

/// Runs signals on a market, and hands bars and trades to `sink`.
///
/// # Errors
/// When the signals contradict themselves or cover another number of bars than the market.
pub fn run<S: Sink>(
    market: &Market,
    signals: &Signals,
    settings: &Settings,
    window: &Window,
    sink: &mut S,
) -> Result<Account, SignalsError> {
    signals.check()?;
    if signals.len != market.len() {
        return Err(SignalsError::Length { part: "signals", length: signals.len, expected: market.len() });
    }
    let mut run = Run::new(market, signals, settings, window);
    let mut bar = run.bars.start;
    while bar < run.bars.end {
        bar = match run.position {
            None => run.wait(bar, sink),
            Some(position) => run.hold(position, bar, sink),
        };
    }
    Ok(run.account(settings.capital()))
}

/// Runs signals that were made for the market; see [`run`].
///
/// # Panics
/// When the signals do not fit the market, which is a fault of the function that made them.
pub(crate) fn run_fitting<S: Sink>(
    market: &Market,
    signals: &Signals,
    settings: &Settings,
    window: &Window,
    sink: &mut S,
) -> Account {
    run(market, signals, settings, window, sink)
        .unwrap_or_else(|error| panic!("signals do not fit the market: {error}"))
}

#[derive(Debug, Clone, Copy)]
struct Position {
    side: Side,
    entry_bar: usize,
    entry_price: f64,
    quantity: f64,
    /// Money that the position gains when the price rises by 1; below 0 for short.
    value: f64,
    /// Commission of the entry.
    commission: f64,
    /// Price of the bracket's stop; infinite if there is none.
    stop: f64,
    /// Price of the bracket's target; infinite if there is none.
    target: f64,
}

/// A fill of the bracket.
struct BracketFill {
    bar: usize,
    price: f64,
    reason: ExitReason,
}

struct Run<'a> {
    open: &'a [f64],
    high: &'a [f64],
    low: &'a [f64],
    close: &'a [f64],
    rules: Rules<'a>,
    costs: Costs,
    /// The window's bars that the market has.
    bars: Range<usize>,
    closes_at_end: bool,
    /// Capital and the profits of all trades, less the commission of the open position's entry.
    cash: f64,
    position: Option<Position>,
    commission: f64,
    dropped: usize,
    ruined: Option<usize>,
}

impl<'a> Run<'a> {
    fn new(market: &'a Market, signals: &'a Signals, settings: &Settings, window: &Window) -> Self {
        let end = window.bars.end.min(market.len());
        Self {
            open: market.open(),
            high: market.high(),
            low: market.low(),
            close: market.close(),
            rules: Rules::new(signals, settings.sides()),
            costs: Costs::new(settings, market.ticks()),
            bars: window.bars.start.min(end)..end,
            closes_at_end: window.closes_at_end,
            cash: settings.capital(),
            position: None,
            commission: 0.0,
            dropped: 0,
            ruined: None,
        }
    }

    /// Goes on without a position from `bar` on. Everything before the open of `bar` is done. Returns the next bar
    /// for which that holds.
    fn wait(&mut self, bar: usize, sink: &mut impl Sink) -> usize {
        let end = self.bars.end;
        if self.cash <= 0.0 {
            self.ruined = Some(bar);
            sink.flat(bar..end, self.cash);
            return end;
        }
        let Some(signal) = self.rules.next_entry(bar).filter(|signal| signal + 1 < end) else {
            sink.flat(bar..end, self.cash);
            return end;
        };
        sink.flat(bar..signal + 1, self.cash);
        self.order(signal, sink);
        signal + 1
    }

    /// Goes on with a position that was opened at the open of `bar` or before. Returns the next bar. Everything
    /// before the gaps of that bar is done.
    fn hold(&mut self, position: Position, bar: usize, sink: &mut impl Sink) -> usize {
        let end = self.bars.end;
        let signal = self.rules.next_for(position.side, position.entry_bar, bar).filter(|signal| signal + 1 < end);
        let until = signal.map_or(end, |signal| signal + 1);
        let fill = self.bracket_fill(&position, bar..until);
        let held_until = match &fill {
            Some(fill) => fill.bar,
            None if signal.is_none() && self.closes_at_end => end - 1,
            None => until,
        };
        let held = bar + sink.held(bar, &self.close[bar..held_until], &self.mark(&position));
        if held < held_until {
            self.close_position(&position, held, self.at_close(position.side, held), ExitReason::Ruin, sink);
            self.ruined = Some(held);
            sink.flat(held..end, self.cash);
            return end;
        }
        if let Some(BracketFill { bar, price, reason }) = fill {
            self.close_position(&position, bar, price, reason, sink);
            return bar;
        }
        match signal {
            Some(signal) => {
                self.order(signal, sink);
                signal + 1
            }
            None if self.closes_at_end => {
                self.close_position(&position, end - 1, self.at_close(position.side, end - 1), ExitReason::End, sink);
                self.ruined = (self.cash <= 0.0).then_some(end - 1);
                sink.flat(end - 1..end, self.cash);
                end
            }
            None => end,
        }
    }

    /// Reads the signals at the close of bar `signal`, and fills what they order at the next open.
    fn order(&mut self, signal: usize, sink: &mut impl Sink) {
        let held = self.position.map(|position| (position.side, position.entry_bar));
        match self.rules.read(signal, held) {
            Order::None => {}
            Order::Close(reason) => self.close_at_open(signal + 1, reason, sink),
            Order::Enter(entry) => self.enter(signal, &entry, sink),
        }
    }

    fn enter(&mut self, signal: usize, entry: &Entry, sink: &mut impl Sink) {
        let bar = signal + 1;
        let equity = self.position.map_or(self.cash, |position| self.mark(&position).equity(self.close[signal]));
        let quantity = self.costs.quantity(entry.side, equity, self.close[signal]);
        if quantity <= 0.0 {
            // TradingView's emulator only drops the opening part: the order still closes an opposite position.
            self.dropped += 1;
            return self.close_at_open(bar, ExitReason::Reversal, sink);
        }
        let price = self.costs.slipped(self.open[bar], entry.side.sign());
        let mut commission = self.costs.commission(price, quantity);
        if let Some(position) = self.position {
            let closing = self.costs.commission_of_reversal(price, position.quantity, quantity);
            commission = closing.opening;
            self.book(&position, bar, price, closing.closing, ExitReason::Reversal, sink);
        }
        self.cash -= commission;
        self.commission += commission;
        let (stop, target) = self.costs.bracket(entry.side, price, entry.stop_distance, entry.target_distance);
        let value = entry.side.sign() * quantity * self.costs.point_value();
        let (side, entry_price) = (entry.side, price);
        self.position = Some(Position { side, entry_bar: bar, entry_price, quantity, value, commission, stop, target });
    }

    fn close_at_open(&mut self, bar: usize, reason: ExitReason, sink: &mut impl Sink) {
        if let Some(position) = self.position {
            let price = self.costs.slipped(self.open[bar], -position.side.sign());
            self.close_position(&position, bar, price, reason, sink);
        }
    }

    fn close_position(&mut self, held: &Position, bar: usize, price: f64, reason: ExitReason, sink: &mut impl Sink) {
        self.book(held, bar, price, self.costs.commission(price, held.quantity), reason, sink);
    }

    /// Books the end of a position, whose exit costs `commission`.
    fn book(
        &mut self,
        held: &Position,
        bar: usize,
        price: f64,
        commission: f64,
        reason: ExitReason,
        sink: &mut impl Sink,
    ) {
        let gross = held.value * (price - held.entry_price);
        self.cash += gross - commission;
        self.commission += commission;
        self.position = None;
        sink.trade(&Trade {
            side: held.side,
            entry_bar: held.entry_bar,
            entry_price: held.entry_price,
            exit_bar: bar,
            exit_price: price,
            quantity: held.quantity,
            profit: gross - held.commission - commission,
            commission: held.commission + commission,
            exit: reason,
        });
    }

    /// The first fill of a position's bracket or stop level within `bars`.
    fn bracket_fill(&self, position: &Position, bars: Range<usize>) -> Option<BracketFill> {
        let (stop, target) = (position.stop, position.target);
        if let Some(levels) = self.rules.stop_levels(position.side) {
            // A level is issued at a close, and is good for the next bar alone.
            return bars.into_iter().find_map(|bar| {
                let stop = self.costs.nearer_stop(position.side, stop, levels[bar - 1]);
                self.reaches(position.side, stop, target, bar).then(|| self.fill_in(position.side, stop, target, bar))
            });
        }
        if stop.is_infinite() && target.is_infinite() {
            return None;
        }
        let (lower, upper) = match position.side {
            Side::Long => (stop, target),
            Side::Short => (target, stop),
        };
        let mut extremes = self.low[bars.clone()].iter().zip(&self.high[bars.clone()]);
        let place = extremes.position(|(&low, &high)| low <= lower || high >= upper)?;
        Some(self.fill_in(position.side, stop, target, bars.start + place))
    }

    fn reaches(&self, side: Side, stop: f64, target: f64, bar: usize) -> bool {
        match side {
            Side::Long => self.low[bar] <= stop || self.high[bar] >= target,
            Side::Short => self.high[bar] >= stop || self.low[bar] <= target,
        }
    }

    /// The fill of the stop or the target in a bar that reaches at least one of them.
    fn fill_in(&self, side: Side, stop: f64, target: f64, bar: usize) -> BracketFill {
        let (open, high, low) = (self.open[bar], self.high[bar], self.low[bar]);
        let is_high_first = self.costs.is_high_first(open, high, low);
        let (stop_passed, target_passed, stop_reached, target_reached) = match side {
            Side::Long => (open <= stop, open >= target, low <= stop, high >= target),
            Side::Short => (open >= stop, open <= target, high >= stop, low <= target),
        };
        let is_target_first = is_high_first == (side == Side::Long);
        let fills_stop = if stop_passed || target_passed {
            stop_passed
        } else if is_target_first {
            !target_reached
        } else {
            stop_reached
        };
        let passed = if fills_stop { stop_passed } else { target_passed };
        let price = match (passed, fills_stop) {
            (true, _) => open,
            (false, true) => stop,
            (false, false) => target,
        };
        if fills_stop {
            let price = self.costs.slipped(price, -side.sign());
            BracketFill { bar, price, reason: ExitReason::Stop }
        } else {
            BracketFill { bar, price, reason: ExitReason::Target }
        }
    }

    fn at_close(&self, side: Side, bar: usize) -> f64 {
        self.costs.slipped(self.close[bar], -side.sign())
    }

    fn mark(&self, position: &Position) -> Mark {
        Mark { cash: self.cash, value: position.value, entry_price: position.entry_price }
    }

    /// The order of the last close for an open that is not part of the window.
    fn next_order(&self, equity: f64) -> Option<NextOrder> {
        let last = self.bars.clone().next_back().filter(|_| self.ruined.is_none() && !self.closes_at_end)?;
        let held = self.position.map(|position| (position.side, position.entry_bar));
        let closes = held.map(|(side, _)| match side {
            Side::Long => NextOrder::ExitLong,
            Side::Short => NextOrder::ExitShort,
        });
        match self.rules.read(last, held) {
            Order::None => None,
            Order::Close(_) => closes,
            Order::Enter(entry) if self.costs.quantity(entry.side, equity, self.close[last]) <= 0.0 => closes,
            Order::Enter(Entry { side: Side::Long, .. }) => Some(NextOrder::EnterLong),
            Order::Enter(Entry { side: Side::Short, .. }) => Some(NextOrder::EnterShort),
        }
    }

    fn account(&self, capital: f64) -> Account {
        let last = self.bars.end.checked_sub(1).map_or(0.0, |last| self.close[last]);
        let open = self.position.map(|position| OpenPosition {
            side: position.side,
            entry_bar: position.entry_bar,
            entry_price: position.entry_price,
            quantity: position.quantity,
            profit: position.value * (last - position.entry_price) - position.commission,
        });
        let equity = self.position.map_or(self.cash, |position| self.mark(&position).equity(last));
        // Signals of the last bar, and of the bar that ended the run, are not read.
        let read_until = self.ruined.unwrap_or_else(|| self.bars.end.saturating_sub(1));
        let conflicts = self.rules.conflicts(self.bars.start..read_until);
        let (commission, dropped, ruined, next_order) =
            (self.commission, self.dropped, self.ruined, self.next_order(equity));
        Account { capital, equity, commission, open, conflicts, dropped, ruined, next_order }
    }
}

#[cfg(test)]
mod tests;
