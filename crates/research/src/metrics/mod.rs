//! Figures of a run.
//!
//! Equity is marked at every close. Figures of trades count closed trades, net of commission on both sides; a
//! position that is still open counts in the equity, and therefore in returns and drawdowns. A ratio whose divisor is
//! 0 is `None`, never infinite.

mod drawdown;
mod normal;
mod objective;
mod overfit;
mod pbo;
mod returns;
mod summary;
mod trades;

pub use normal::{normal_cdf, normal_quantile};
pub use objective::Objective;
pub use overfit::{Findings, deflated_sharpe, expected_best_sharpe, probabilistic_sharpe, stability, warnings};
pub use pbo::{PBO_BLOCKS, PBO_MAX_TRIALS, probability_of_overfitting};
pub(crate) use returns::years;
pub use returns::{MIN_OBSERVATIONS, Moments};
pub use summary::{Full, Summary};
pub use trades::{SideTotals, TradeFigures};

/// All figures of a run.
///
/// Money is in the currency of the capital. Fields named `…_percent` are percentages; all other shares, such as `exposure`, are
/// fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Figures of the closed trades.
    pub trades: TradeFigures,
    /// Equity at the last close.
    pub equity: f64,
    /// Net profit of the closed trades in percent of the capital.
    pub net_profit_percent: f64,
    /// Profit of the position that is open at the last close, net of its entry's commission.
    pub open_profit: f64,
    /// All commission paid.
    pub commission: f64,
    /// Yearly growth of the equity; `None` below 30 days.
    pub cagr: Option<f64>,
    /// Sharpe ratio of daily returns, annualised; the risk-free rate is 0.
    pub sharpe: Option<f64>,
    /// TradingView's Sharpe ratio: of monthly returns, above 2 % a year, not annualised.
    pub sharpe_tradingview: Option<f64>,
    /// Sortino ratio of daily returns, annualised; the target is 0.
    pub sortino: Option<f64>,
    /// Moments of the daily returns.
    pub daily: Option<Moments>,
    /// Money of the drawdown whose percentage is the highest.
    pub max_drawdown: f64,
    /// The highest drawdown over all closes, in percent of the peak before it.
    pub max_drawdown_percent: f64,
    /// The longest time below a peak, in milliseconds; it ends with the last close if the peak was not reached again.
    pub max_drawdown_ms: i64,
    /// Root of the mean squared drawdown in percent (Martin 1987).
    pub ulcer_index: f64,
    /// Yearly growth, divided by the highest drawdown.
    pub calmar: Option<f64>,
    /// Net profit, divided by the money of the highest drawdown.
    pub recovery_factor: Option<f64>,
    /// Net profit in percent, divided by the highest drawdown in percent.
    pub return_over_drawdown: Option<f64>,
    /// Share of the closes at which a position was open.
    pub exposure: f64,
    /// The gain of the price itself from the first close to the last.
    pub buy_and_hold_percent: Option<f64>,
}

impl Metrics {
    /// The figures by their names in answers and tables. Counts are whole numbers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and milliseconds are far below 2^53")]
    pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
        let trades = &self.trades;
        let count = |count: usize| Some(count as f64);
        vec![
            ("net_profit", Some(trades.net_profit)),
            ("net_profit_percent", Some(self.net_profit_percent)),
            ("gross_profit", Some(trades.gross_profit)),
            ("gross_loss", Some(trades.gross_loss)),
            ("open_profit", Some(self.open_profit)),
            ("equity", Some(self.equity)),
            ("commission", Some(self.commission)),
            ("cagr", self.cagr),
            ("sharpe", self.sharpe),
            ("sharpe_tradingview", self.sharpe_tradingview),
            ("sortino", self.sortino),
            ("max_drawdown", Some(self.max_drawdown)),
            ("max_drawdown_percent", Some(self.max_drawdown_percent)),
            ("max_drawdown_ms", Some(self.max_drawdown_ms as f64)),
            ("ulcer_index", Some(self.ulcer_index)),
            ("profit_factor", trades.profit_factor),
            ("expectancy", trades.expectancy),
            ("expectancy_r", trades.expectancy_r),
            ("sqn", trades.sqn),
            ("calmar", self.calmar),
            ("recovery_factor", self.recovery_factor),
            ("return_over_drawdown", self.return_over_drawdown),
            ("exposure", Some(self.exposure)),
            ("buy_and_hold_percent", self.buy_and_hold_percent),
            ("trades", count(trades.trades)),
            ("wins", count(trades.wins)),
            ("losses", count(trades.losses)),
            ("win_rate", trades.win_rate),
            ("average_win", trades.average_win),
            ("average_loss", trades.average_loss),
            ("payoff", trades.payoff),
            ("largest_win", trades.largest_win),
            ("largest_loss", trades.largest_loss),
            ("consecutive_wins", count(trades.consecutive_wins)),
            ("consecutive_losses", count(trades.consecutive_losses)),
            ("average_bars", trades.average_bars),
            ("long_trades", count(trades.long.trades)),
            ("long_net_profit", Some(trades.long.net_profit)),
            ("long_win_rate", trades.long.win_rate()),
            ("short_trades", count(trades.short.trades)),
            ("short_net_profit", Some(trades.short.net_profit)),
            ("short_win_rate", trades.short.win_rate()),
        ]
    }

    /// The figures from their names, as [`Self::named`] gives them and answers keep them. A count or sum that is missing is 0, any
    /// other figure that is missing is `None`, and the moments of daily returns are not among them.
    #[must_use]
    pub fn from_named(figure: impl Fn(&str) -> Option<f64>) -> Self {
        let number = |name: &str| figure(name).unwrap_or(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole and not negative"
        )]
        let count = |name: &str| number(name).round() as usize;
        let side = |trades: &str, net_profit: &str, win_rate: &str| {
            let wins = figure(win_rate).map_or(0.0, |rate| rate * number(trades));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
            let wins = wins.round() as usize;
            SideTotals { trades: count(trades), wins, net_profit: number(net_profit) }
        };
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds are far below 2^53")]
        let max_drawdown_ms = number("max_drawdown_ms") as i64;
        Self {
            trades: TradeFigures {
                trades: count("trades"),
                wins: count("wins"),
                losses: count("losses"),
                gross_profit: number("gross_profit"),
                gross_loss: number("gross_loss"),
                net_profit: number("net_profit"),
                profit_factor: figure("profit_factor"),
                expectancy: figure("expectancy"),
                expectancy_r: figure("expectancy_r"),
                sqn: figure("sqn"),
                win_rate: figure("win_rate"),
                average_win: figure("average_win"),
                average_loss: figure("average_loss"),
                payoff: figure("payoff"),
                largest_win: figure("largest_win"),
                largest_loss: figure("largest_loss"),
                consecutive_wins: count("consecutive_wins"),
                consecutive_losses: count("consecutive_losses"),
                average_bars: figure("average_bars"),
                long: side("long_trades", "long_net_profit", "long_win_rate"),
                short: side("short_trades", "short_net_profit", "short_win_rate"),
            },
            equity: number("equity"),
            net_profit_percent: number("net_profit_percent"),
            open_profit: number("open_profit"),
            commission: number("commission"),
            cagr: figure("cagr"),
            sharpe: figure("sharpe"),
            sharpe_tradingview: figure("sharpe_tradingview"),
            sortino: figure("sortino"),
            daily: None,
            max_drawdown: number("max_drawdown"),
            max_drawdown_percent: number("max_drawdown_percent"),
            max_drawdown_ms,
            ulcer_index: number("ulcer_index"),
            calmar: figure("calmar"),
            recovery_factor: figure("recovery_factor"),
            return_over_drawdown: figure("return_over_drawdown"),
            exposure: number("exposure"),
            buy_and_hold_percent: figure("buy_and_hold_percent"),
        }
    }
}

/// A quotient, or `None` if the divisor is 0 or the result is not finite.
fn ratio(dividend: f64, divisor: f64) -> Option<f64> {
    let quotient = dividend / divisor;
    (divisor != 0.0 && quotient.is_finite()).then_some(quotient)
}
