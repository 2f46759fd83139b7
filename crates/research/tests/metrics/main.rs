//! Figures against vectors that other programs computed (`vectors.py`), and against cases with a known answer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use research::{
    Bars, Columns, ExitReason, Market, Metrics, Side, TickGrid, Trade,
    broker::{Account, Sink},
    metrics::{
        Moments, Summary, deflated_sharpe, expected_best_sharpe, normal_cdf, probabilistic_sharpe,
        probability_of_overfitting,
    },
};

const DAY: i64 = 86_400_000;
const CAPITAL: f64 = 10_000.0;

fn market(times: Vec<i64>) -> Market {
    let price = vec![1.0; times.len()];
    let columns = Columns {
        open: price.clone(),
        high: price.clone(),
        low: price.clone(),
        close: price.clone(),
        volume: price,
        time: times,
    };
    Market::new(Bars::new(columns, TickGrid::of_digits(2).unwrap(), None).unwrap(), None)
}

/// The figures of a curve, one equity per bar.
fn figures(market: &Market, equity: &[f64]) -> Metrics {
    let mut summary = Summary::new(market);
    summary.begin(CAPITAL, 0);
    for (bar, equity) in equity.iter().enumerate() {
        summary.flat(bar..bar + 1, *equity);
    }
    summary.metrics(&Account { equity: *equity.last().unwrap(), ..Account::new(CAPITAL) })
}

fn rows(text: &str) -> impl Iterator<Item = [&str; 3]> {
    text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>().try_into().unwrap())
}

/// Expected figures of a curve by name.
fn expected(curve: &str) -> BTreeMap<&'static str, Option<f64>> {
    let all = rows(include_str!("figures.csv")).filter(|row| row[0] == curve);
    all.map(|[_, figure, value]| (figure, (!value.is_empty()).then(|| value.parse().unwrap()))).collect()
}

fn assert_near(name: &str, found: Option<f64>, expected: Option<f64>) {
    match (found, expected) {
        (None, None) => {}
        (Some(found), Some(expected)) if (found - expected).abs() <= 1e-9 * (1.0 + expected.abs()) => {}
        _ => panic!("{name} is {found:?}, but {expected:?} was expected"),
    }
}

#[test]
fn figures_of_curves_are_those_of_empyrical_scipy_and_purgedcv() {
    for curve in ["weekdays", "every_day", "losing", "thirty", "twenty_nine"] {
        let points = rows(include_str!("curves.csv")).filter(|row| row[0] == curve);
        let (times, equity): (Vec<i64>, Vec<f64>) =
            points.map(|[_, time, equity]| (time.parse::<i64>().unwrap(), equity.parse::<f64>().unwrap())).unzip();
        let market = market(times);
        let metrics = figures(&market, &equity);
        let daily = metrics.daily.unwrap();
        let named: BTreeMap<_, _> = metrics.named().into_iter().collect();
        let expected = expected(curve);
        assert_eq!(expected.len(), 16);
        // Trials whose Sharpe ratios have the same deviation as those of the script.
        let spread = (expected["trial_variance"].unwrap() / 2.0).sqrt();
        let trials = [-spread, spread];
        for (figure, value) in expected {
            let found = match figure {
                "skewness" => Some(daily.skewness),
                "kurtosis" => Some(daily.kurtosis),
                "psr" => probabilistic_sharpe(&daily, 0.0),
                "trial_variance" => Moments::of(&trials).unwrap().deviation.map(|deviation| deviation * deviation),
                _ => match figure.strip_prefix("dsr_") {
                    Some(count) => deflated_sharpe(&daily, &trials, count.parse().unwrap()),
                    None => named[figure],
                },
            };
            assert_near(&format!("{figure} of {curve}"), found, value);
        }
    }
}

#[test]
fn hours_of_a_day_count_as_their_last_close() {
    let hours: Vec<i64> = (0..40 * 24).map(|hour| hour * 3_600_000).collect();
    let days: Vec<i64> = hours.iter().copied().skip(23).step_by(24).collect();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let equity: Vec<f64> =
        (0..hours.len()).map(|hour| CAPITAL + (hour as f64 * 0.7).sin() * 200.0 + hour as f64).collect();
    let last_of_days: Vec<f64> = equity.iter().copied().skip(23).step_by(24).collect();
    let by_hour = figures(&market(hours), &equity);
    let by_day = figures(&market(days), &last_of_days);
    assert_eq!(by_hour.daily, by_day.daily);
    assert_eq!(by_hour.daily.unwrap().count, 40);
    assert_eq!(by_hour.sharpe_tradingview, by_day.sharpe_tradingview);
}

#[test]
fn figures_without_a_divisor_are_none() {
    let still = figures(&market((0..60).map(|day| day * DAY).collect()), &[CAPITAL; 60]);
    for (name, value) in still.named() {
        let defined =
            ["net_profit", "gross", "open", "equity", "commission", "max_drawdown", "ulcer", "exposure", "trades"];
        let is_count = ["wins", "losses", "consecutive_wins", "consecutive_losses"].contains(&name);
        match value {
            Some(value) => assert!(value.is_finite(), "{name}"),
            None => assert!(!is_count && !defined.iter().any(|start| name.starts_with(start)), "{name}"),
        }
    }
    let none = [still.sharpe, still.sortino, still.calmar, still.recovery_factor, still.trades.profit_factor];
    assert_eq!(none, [None; 5]);
    assert_eq!(still.cagr, Some(0.0));
    // A steady gain has no deviation, whatever rounding makes of it.
    let steady: Vec<f64> = (1..=60).map(|day| CAPITAL * 1.01_f64.powi(day)).collect();
    let steady = figures(&market((0..60).map(|day| day * DAY).collect()), &steady);
    assert_eq!((steady.sharpe, steady.sortino, steady.max_drawdown), (None, None, 0.0));
}

#[test]
fn a_used_up_equity_gives_no_growth_and_no_further_returns() {
    let mut equity = vec![CAPITAL; 40];
    equity[20..].fill(-50.0);
    let metrics = figures(&market((0..40).map(|day| day * DAY).collect()), &equity);
    assert_eq!(metrics.cagr, None);
    assert_near("drawdown", Some(metrics.max_drawdown_percent), Some(100.5));
    let daily = metrics.daily.unwrap();
    assert_near("mean", Some(daily.mean), Some(-1.005 / 40.0));
}

#[test]
fn figures_of_trades_are_what_they_say() {
    let market = market((0..10).map(|day| day * DAY).collect());
    let trade = |side, profit, bars: usize| Trade {
        side,
        entry_bar: 1,
        entry_price: 1.0,
        exit_bar: 1 + bars,
        exit_price: 1.0,
        quantity: 1.0,
        profit,
        commission: 0.0,
        exit: ExitReason::Signal,
    };
    let mut summary = Summary::new(&market);
    summary.begin(CAPITAL, 0);
    let trades = [
        trade(Side::Long, 30.0, 1),
        trade(Side::Long, 10.0, 2),
        trade(Side::Short, -20.0, 3),
        trade(Side::Short, 0.0, 0),
        trade(Side::Short, 20.0, 4),
    ];
    for trade in &trades {
        summary.trade(trade);
    }
    summary.flat(0..10, 10_040.0);
    let metrics = summary.metrics(&Account { equity: 10_040.0, ..Account::new(CAPITAL) });
    let figures = metrics.trades;
    assert_eq!((figures.trades, figures.wins, figures.losses), (5, 3, 1));
    assert_eq!((figures.gross_profit, figures.gross_loss, figures.net_profit), (60.0, 20.0, 40.0));
    assert_eq!((figures.profit_factor, figures.expectancy, figures.expectancy_r), (Some(3.0), Some(8.0), Some(0.4)));
    assert_eq!((figures.win_rate, figures.payoff), (Some(0.6), Some(1.0)));
    assert_eq!((figures.largest_win, figures.largest_loss), (Some(30.0), Some(20.0)));
    assert_eq!((figures.consecutive_wins, figures.consecutive_losses), (2, 1));
    assert_eq!((figures.average_bars, metrics.net_profit_percent), (Some(2.0), 0.4));
    assert_eq!((figures.long.trades, figures.long.wins, figures.long.net_profit), (2, 2, 40.0));
    assert_eq!((figures.short.trades, figures.short.wins, figures.short.net_profit), (3, 1, 0.0));
    // The sample deviation of 30, 10, −20, 0, 20 about 8 is √370.
    assert_near("sqn", figures.sqn, Some(5.0_f64.sqrt() * 8.0 / 370.0_f64.sqrt()));
}

#[test]
fn the_quality_number_counts_at_most_a_hundred_trades() {
    let market = market((0..10).map(|day| day * DAY).collect());
    let mut summary = Summary::new(&market);
    summary.begin(CAPITAL, 0);
    for place in 0..400 {
        let profit = if place % 2 == 0 { 3.0 } else { -1.0 };
        let (entry_price, exit_price, quantity, commission) = (1.0, 1.0, 1.0, 0.0);
        let (side, exit) = (Side::Long, ExitReason::Signal);
        summary.trade(&Trade {
            side,
            entry_bar: 1,
            entry_price,
            exit_bar: 2,
            exit_price,
            quantity,
            profit,
            commission,
            exit,
        });
    }
    let deviation = (1_600.0_f64 / 399.0).sqrt();
    assert_near("sqn", summary.metrics(&Account::new(CAPITAL)).trades.sqn, Some(10.0 / deviation));
}

#[test]
fn the_best_of_more_trials_is_expected_to_be_better() {
    let of = |trials| expected_best_sharpe(0.01, trials);
    assert_eq!((of(0), of(1)), (0.0, 0.0));
    assert!(of(2) < of(10) && of(10) < of(1_000) && of(1_000) < of(1_000_000));
    // The mean of the highest of 1,000 standard normal numbers is 3.2414; the formula approximates it.
    assert!((of(1_000) - 0.324_14).abs() < 0.002, "{}", of(1_000));
}

/// Daily returns of trials without any skill, by a generator of its own.
fn noise(trials: usize, days: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    };
    // The sum of twelve uniform numbers is close to a normal one.
    (0..trials).map(|_| (0..days).map(|_| (0..12).map(|_| unit()).sum::<f64>() - 6.0).collect()).collect()
}

#[test]
fn pbo_is_the_share_of_splits_that_the_definition_counts() {
    let trials: Vec<Vec<f64>> = include_str!("returns.csv")
        .lines()
        .map(|line| line.split(',').map(|value| value.parse().unwrap()).collect())
        .collect();
    assert_eq!(probability_of_overfitting(&trials), expected("returns")["pbo"]);
}

#[test]
fn noise_is_overfitted_half_of_the_time_and_a_true_winner_never() {
    let mean = (0..24).map(|seed| probability_of_overfitting(&noise(30, 160, seed)).unwrap()).sum::<f64>() / 24.0;
    assert!((mean - 0.5).abs() < 0.1, "{mean}");
    let mut skilled = noise(30, 160, 99);
    skilled[17].iter_mut().for_each(|value| *value += 1.5);
    assert_eq!(probability_of_overfitting(&skilled), Some(0.0));
}

#[test]
fn equal_trials_share_the_middle_rank_and_idle_ones_rank_at_0() {
    let same = noise(1, 64, 5).remove(0);
    assert_eq!(probability_of_overfitting(&[same.clone(), same.clone(), same]), Some(1.0));
    let gain: Vec<f64> = (0..64).map(|day| if day % 2 == 0 { 0.02 } else { -0.01 }).collect();
    let loss: Vec<f64> = gain.iter().map(|value| -value).collect();
    assert_eq!(probability_of_overfitting(&[loss, vec![0.0; 64], gain.clone()]), Some(0.0));
    assert_eq!(probability_of_overfitting(&[gain, vec![0.01; 64]]), Some(0.0));
}

#[test]
fn probabilities_of_no_skill_are_a_half_without_an_edge() {
    let moments = Moments::of(&[0.02, -0.02, 0.01, -0.01, 0.0]).unwrap();
    assert_eq!(probabilistic_sharpe(&moments, 0.0), Some(normal_cdf(0.0)));
    assert_eq!((moments.mean, moments.skewness), (0.0, 0.0));
    // Two thousand trials of which the best shows nothing.
    assert!(deflated_sharpe(&moments, &[-0.1, 0.1], 2_000).unwrap() < 0.3);
}
