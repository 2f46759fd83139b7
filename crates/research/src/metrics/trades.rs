//! Figures of the closed trades.

use super::ratio;
use crate::trade::{Side, Trade};

/// Totals of closed trades.
#[derive(Debug, Default)]
pub(super) struct Trades {
    /// Profit of each trade in turn; kept for the deviation.
    profits: Vec<f64>,
    wins: Totals,
    losses: Totals,
    sides: [SideTotals; 2],
    bars: usize,
    streak: Streak,
}

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    count: usize,
    money: f64,
    largest: f64,
    longest_streak: usize,
}

impl Totals {
    fn add(&mut self, money: f64, streak: usize) {
        self.count += 1;
        self.money += money;
        self.largest = self.largest.max(money);
        self.longest_streak = self.longest_streak.max(streak);
    }

    fn average(&self) -> Option<f64> {
        ratio(self.money, count(self.count))
    }
}

/// Trades of one side.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct SideTotals {
    /// The number of trades.
    pub trades: usize,
    /// The number of trades that won.
    pub wins: usize,
    /// Sum of their profits.
    pub net_profit: f64,
}

impl SideTotals {
    /// Share of the trades that won; `None` without trades.
    #[must_use]
    pub fn win_rate(&self) -> Option<f64> {
        ratio(count(self.wins), count(self.trades))
    }
}

/// The trades in a row that won, lost, or neither.
#[derive(Debug, Default, Clone, Copy)]
struct Streak {
    sign: i8,
    length: usize,
}

/// Figures of the closed trades, as fields of [`Metrics`](super::Metrics).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeFigures {
    /// The number of closed trades.
    pub trades: usize,
    /// The number of trades that won.
    pub wins: usize,
    /// The number of trades that lost. A trade with a profit of exactly 0 counts as neither.
    pub losses: usize,
    /// Sum of the profits of the trades that won.
    pub gross_profit: f64,
    /// Sum of the losses of the trades that lost, as a number that is not negative.
    pub gross_loss: f64,
    /// Profits less losses.
    pub net_profit: f64,
    /// Gross profit, divided by gross loss; `None` without a loss.
    pub profit_factor: Option<f64>,
    /// Mean profit of a trade.
    pub expectancy: Option<f64>,
    /// Mean profit in units of the mean loss (Van Tharp's R); `None` without a loss.
    pub expectancy_r: Option<f64>,
    /// System quality number: √min(trades, 100) · mean / deviation of the profits (Van Tharp, who caps the count at 100).
    pub sqn: Option<f64>,
    /// Share of the trades that won.
    pub win_rate: Option<f64>,
    /// Mean profit of the trades that won.
    pub average_win: Option<f64>,
    /// Mean loss of the trades that lost, not negative.
    pub average_loss: Option<f64>,
    /// Average win, divided by average loss.
    pub payoff: Option<f64>,
    /// The maximum profit of a trade.
    pub largest_win: Option<f64>,
    /// The maximum loss of a trade, not negative.
    pub largest_loss: Option<f64>,
    /// The maximum number of trades in a row that won.
    pub consecutive_wins: usize,
    /// The maximum number of trades in a row that lost.
    pub consecutive_losses: usize,
    /// Mean number of bars from entry to exit.
    pub average_bars: Option<f64>,
    /// The long trades.
    pub long: SideTotals,
    /// The short trades.
    pub short: SideTotals,
}

impl Trades {
    pub(super) fn clear(&mut self) {
        let mut profits = std::mem::take(&mut self.profits);
        profits.clear();
        *self = Self { profits, ..Self::default() };
    }

    pub(super) fn add(&mut self, trade: &Trade) {
        let profit = trade.profit;
        self.profits.push(profit);
        self.bars += trade.bars();
        let sign = i8::from(profit > 0.0) - i8::from(profit < 0.0);
        self.streak = Streak { sign, length: if sign == self.streak.sign { self.streak.length + 1 } else { 1 } };
        match sign {
            1 => self.wins.add(profit, self.streak.length),
            -1 => self.losses.add(-profit, self.streak.length),
            _ => {}
        }
        let side = &mut self.sides[usize::from(trade.side == Side::Short)];
        side.trades += 1;
        side.wins += usize::from(sign == 1);
        side.net_profit += profit;
    }

    pub(super) fn figures(&self) -> TradeFigures {
        let trades = self.profits.len();
        let net_profit = self.wins.money - self.losses.money;
        let expectancy = ratio(net_profit, count(trades));
        let average_loss = self.losses.average();
        TradeFigures {
            trades,
            wins: self.wins.count,
            losses: self.losses.count,
            gross_profit: self.wins.money,
            gross_loss: self.losses.money,
            net_profit,
            profit_factor: ratio(self.wins.money, self.losses.money),
            expectancy,
            expectancy_r: expectancy.zip(average_loss).and_then(|(mean, loss)| ratio(mean, loss)),
            sqn: self.sqn(),
            win_rate: ratio(count(self.wins.count), count(trades)),
            average_win: self.wins.average(),
            average_loss,
            payoff: self.wins.average().zip(average_loss).and_then(|(win, loss)| ratio(win, loss)),
            largest_win: (self.wins.count > 0).then_some(self.wins.largest),
            largest_loss: (self.losses.count > 0).then_some(self.losses.largest),
            consecutive_wins: self.wins.longest_streak,
            consecutive_losses: self.losses.longest_streak,
            average_bars: ratio(count(self.bars), count(trades)),
            long: self.sides[0],
            short: self.sides[1],
        }
    }

    fn sqn(&self) -> Option<f64> {
        let moments = super::returns::Moments::of(&self.profits)?;
        ratio(moments.mean, moments.deviation?).map(|quality| count(self.profits.len().min(100)).sqrt() * quality)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer bars than a double counts exactly")]
fn count(count: usize) -> f64 {
    count as f64
}
