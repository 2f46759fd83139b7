//! The broker and the figures against the slow model.

use proptest::prelude::*;
use research::{
    Side,
    broker::{self, Account},
    metrics::{Full, Metrics, Summary},
};

use crate::{
    case::{Case, cases},
    slow::{SlowRun, SlowTrade, simulate},
};

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-8 * (1.0 + a.abs().max(b.abs()))
}

/// As [`near`], for ratios by a deviation. Where a position is tiny beside the capital, so are the returns, and what rounding leaves
/// in the equity weighs more.
fn ratios_near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * (1.0 + a.abs()),
        _ => a == b,
    }
}

fn both_near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => near(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The quotient, or `None` where it would be infinite or undefined.
fn quotient(a: f64, b: f64) -> Option<f64> {
    if b == 0.0 { None } else { Some(a / b) }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn float(count: usize) -> f64 {
    count as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float(values.len())
}

/// Sample deviation; `None` where a ratio by it is not defined.
fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    let deviation = (squares / (float(values.len()) - 1.0)).sqrt();
    (values.len() > 1 && deviation > 1e-11 * centre.abs()).then_some(deviation)
}

#[expect(clippy::float_cmp, reason = "fills lie on the grid, and so are the same doubles")]
fn check(case: &Case, slow: &SlowRun, account: &Account, full: &mut Full<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(full.equity().len(), slow.equity.len());
    for (bar, (fast, slow)) in full.equity().iter().zip(&slow.equity).enumerate() {
        prop_assert!(near(*fast, *slow), "equity of bar {}: {} and {}", bar, fast, slow);
    }
    prop_assert_eq!(full.trades().len(), slow.trades.len());
    for (fast, slow) in full.trades().iter().zip(&slow.trades) {
        let same = (fast.side == Side::Long) == slow.is_long
            && (fast.entry_bar, fast.exit_bar) == (slow.entry_bar, slow.exit_bar)
            && fast.exit.name() == slow.reason
            && fast.entry_price == slow.entry
            && fast.exit_price == slow.exit
            && near(fast.quantity, slow.quantity)
            && near(fast.profit, slow.profit);
        prop_assert!(same, "{:?} and {:?}", fast, slow);
    }
    prop_assert_eq!(account.conflicts, slow.conflicts);
    prop_assert_eq!(account.dropped, slow.dropped);
    prop_assert_eq!(account.ruined, slow.ruined);
    prop_assert_eq!(account.open.is_some(), slow.is_open);
    prop_assert!(near(account.commission, slow.commission));
    prop_assert!(near(account.equity, *slow.equity.last().unwrap_or(&case.settings.capital())));
    Ok(())
}

fn check_equity_figures(case: &Case, slow: &SlowRun, metrics: &Metrics) -> Result<(), TestCaseError> {
    let capital = case.settings.capital();
    let (mut peak, mut deepest, mut money, mut squares) = (capital, 0.0, 0.0, 0.0);
    let first = case.window.bars.start;
    let (mut peak_time, mut longest) = (case.times[first], 0);
    let mut was_below = false;
    for (place, &equity) in slow.equity.iter().enumerate() {
        let time = case.times[first + place];
        if equity >= peak {
            if was_below {
                longest = longest.max(time - peak_time);
            }
            (peak, peak_time, was_below) = (equity, time, false);
        } else {
            was_below = true;
        }
        let drawdown = (peak - equity) / peak;
        squares += drawdown * drawdown;
        if drawdown > deepest {
            (deepest, money) = (drawdown, peak - equity);
        }
    }
    if was_below {
        longest = longest.max(case.times[first + slow.equity.len() - 1] - peak_time);
    }
    prop_assert!(near(metrics.max_drawdown_percent, 100.0 * deepest));
    prop_assert!(near(metrics.max_drawdown, money), "{} and {}", metrics.max_drawdown, money);
    prop_assert!(near(metrics.ulcer_index, 100.0 * (squares / float(slow.equity.len())).sqrt()));
    prop_assert_eq!(metrics.max_drawdown_ms, longest);
    let held = slow.held.iter().filter(|held| **held).count();
    prop_assert!(near(metrics.exposure, float(held) / float(slow.held.len())));
    Ok(())
}

/// Sharpe, Sortino and growth from the equities, day by day.
fn check_returns(case: &Case, slow: &SlowRun, metrics: &Metrics) -> Result<(), TestCaseError> {
    let capital = case.settings.capital();
    let first = case.window.bars.start;
    let day = |place: usize| case.times[first + place] / 86_400_000;
    let ends = (0..slow.equity.len()).filter(|&place| place + 1 == slow.equity.len() || day(place) != day(place + 1));
    let mut before = capital;
    let mut returns = Vec::new();
    for end in ends {
        let equity = slow.equity[end];
        returns.push(if before > 0.0 { (equity - before) / before } else { 0.0 });
        before = equity;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few years")]
    let years = (case.times[first + slow.equity.len() - 1] - case.times[first]) as f64 / (365.25 * 24.0 * 3_600_000.0);
    let annual = ((float(returns.len()) - 1.0) / years).sqrt();
    let sharpe =
        deviation(&returns).filter(|_| returns.len() >= 30).map(|deviation| mean(&returns) / deviation * annual);
    prop_assert!(ratios_near(metrics.sharpe, sharpe), "{:?} and {:?}", metrics.sharpe, sharpe);
    let downside = (returns.iter().map(|value| value.min(0.0).powi(2)).sum::<f64>() / float(returns.len())).sqrt();
    let sortino = quotient(mean(&returns), downside).filter(|_| returns.len() >= 30).map(|ratio| ratio * annual);
    prop_assert!(ratios_near(metrics.sortino, sortino), "{:?} and {:?}", metrics.sortino, sortino);
    let cagr = (years >= 30.0 / 365.25 && before > 0.0).then(|| (before / capital).powf(1.0 / years) - 1.0);
    prop_assert!(both_near(metrics.cagr, cagr), "{:?} and {:?}", metrics.cagr, cagr);
    Ok(())
}

fn check_trade_figures(trades: &[SlowTrade], metrics: &Metrics) -> Result<(), TestCaseError> {
    let figures = &metrics.trades;
    let profits: Vec<f64> = trades.iter().map(|trade| trade.profit).collect();
    let wins: Vec<f64> = profits.iter().copied().filter(|profit| *profit > 0.0).collect();
    let losses: Vec<f64> = profits.iter().map(|profit| -profit).filter(|loss| *loss > 0.0).collect();
    let (won, lost): (f64, f64) = (wins.iter().sum(), losses.iter().sum());
    prop_assert_eq!((figures.trades, figures.wins, figures.losses), (trades.len(), wins.len(), losses.len()));
    prop_assert!(near(figures.gross_profit, won) && near(figures.gross_loss, lost));
    prop_assert!(near(figures.net_profit, profits.iter().sum()));
    prop_assert!(both_near(figures.profit_factor, quotient(won, lost)));
    prop_assert!(both_near(figures.expectancy, (!profits.is_empty()).then(|| mean(&profits))));
    prop_assert!(both_near(figures.win_rate, quotient(float(wins.len()), float(trades.len()))));
    let sqn = deviation(&profits).map(|deviation| float(trades.len().min(100)).sqrt() * mean(&profits) / deviation);
    prop_assert!(ratios_near(figures.sqn, sqn), "{:?} and {:?}", figures.sqn, sqn);
    let bars: Vec<f64> = trades.iter().map(|trade| float(trade.exit_bar - trade.entry_bar)).collect();
    prop_assert!(both_near(figures.average_bars, (!bars.is_empty()).then(|| mean(&bars))));
    let longs = trades.iter().filter(|trade| trade.is_long).count();
    prop_assert_eq!((figures.long.trades, figures.short.trades), (longs, trades.len() - longs));
    let streak = |is: fn(f64) -> bool| profits.split(|profit| !is(*profit)).map(<[f64]>::len).max().unwrap_or(0);
    prop_assert_eq!(figures.consecutive_wins, streak(|profit| profit > 0.0));
    prop_assert_eq!(figures.consecutive_losses, streak(|profit| profit < 0.0));
    Ok(())
}

proptest! {
    #[test]
    fn fills_and_figures_are_those_of_the_slow_model(case in cases()) {
        let market = case.market();
        let slow = simulate(&case);
        let mut full = Full::new(&market, case.settings.capital(), case.window.bars.start);
        let account = broker::run(&market, &case.signals, &case.settings, &case.window, &mut full).unwrap();
        check(&case, &slow, &account, &mut full)?;
        let metrics = full.metrics(&account);
        check_equity_figures(&case, &slow, &metrics)?;
        check_returns(&case, &slow, &metrics)?;
        check_trade_figures(&slow.trades, &metrics)?;
    }

    #[test]
    fn a_summary_that_is_used_again_gives_the_figures_of_a_full_run(first in cases(), again in any::<bool>()) {
        let market = first.market();
        let mut full = Full::new(&market, first.settings.capital(), first.window.bars.start);
        let account = broker::run(&market, &first.signals, &first.settings, &first.window, &mut full).unwrap();
        let mut summary = Summary::new(&market);
        for _ in 0..=usize::from(again) {
            summary.begin(first.settings.capital(), first.window.bars.start);
            broker::run(&market, &first.signals, &first.settings, &first.window, &mut summary).unwrap();
        }
        prop_assert_eq!(summary.metrics(&account), full.metrics(&account));
    }
}
