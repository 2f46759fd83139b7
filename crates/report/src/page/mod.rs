//! The pages of a report in turn.

mod figures;
mod listing;
mod months;
mod overfitting;
mod performance;
mod rules;
mod search;
mod summary;
mod trades;
mod verdict;
mod walk_forward;
mod warnings;

use crate::{
    input::{OutOfSample, Report},
    number::{date, fixed, optional, percent, share, short, unit},
    pen::Pen,
};
use research::Objective;

/// On every page, because pages are copied and sent alone.
pub(crate) const FOOTER: &str =
    "Computed from past candles by candlewick. Not investment advice; past results do not predict future ones.";

/// Draws all pages.
pub(crate) fn all(pen: &mut Pen<'_>, report: &Report<'_>) {
    summary::draw(pen, report);
    performance::draw(pen, report);
    months::draw(pen, report);
    figures::draw(pen, report);
    trades::draw(pen, report);
    if let Some(search) = report.search {
        search::draw(pen, report, search);
        overfitting::draw(pen, search);
        if let OutOfSample::WalkForward(walk) = &search.out_of_sample {
            walk_forward::draw(pen, report, search, walk);
        }
    }
    rules::draw(pen, report);
    listing::draw(pen, report);
}

/// The strategy, the series and the period on one line.
pub(crate) fn title(report: &Report<'_>) -> String {
    let Report { symbol, timeframe, .. } = report;
    format!("{} · {symbol} · {timeframe} · {}", report.strategy.title(), period(report))
}

/// The first and the last day of the backtest.
fn period(report: &Report<'_>) -> String {
    match times(report) {
        [first, .., last] => format!("{} – {}", date(*first), date(*last)),
        [only] => date(*only),
        [] => "no candles".into(),
    }
}

/// The times of the backtest's bars.
fn times<'a>(report: &Report<'a>) -> &'a [i64] {
    report.market.bars().time().get(report.backtest.bars.clone()).unwrap_or_default()
}

/// The time of a bar, if the market has it.
fn time_of(report: &Report<'_>, bar: usize) -> Option<i64> {
    report.market.bars().time().get(bar).copied()
}

/// The equity at the closes of the backtest.
fn equity(report: &Report<'_>) -> Vec<(i64, f64)> {
    times(report).iter().copied().zip(report.equity.iter().copied()).collect()
}

/// An objective in words.
fn objective_name(objective: Objective) -> &'static str {
    match objective {
        Objective::NetProfit => "net profit",
        Objective::Sharpe => "Sharpe ratio",
        Objective::Sortino => "Sortino ratio",
        Objective::Calmar => "Calmar ratio",
        Objective::ProfitFactor => "profit factor",
        Objective::Expectancy => "mean profit of a trade",
        Objective::Sqn => "system quality number",
        Objective::RecoveryFactor => "recovery factor",
        Objective::ReturnOverDrawdown => "return over drawdown",
    }
}

/// A search's method in words.
fn method_name(method: &str) -> &str {
    match method {
        "grid" => "a grid of all combinations",
        "random" => "random draws",
        "latin_hypercube" => "Latin hypercube sampling",
        "sobol" => "a Sobol sequence",
        "tpe" => "a tree-structured Parzen estimator",
        "genetic" => "a genetic algorithm",
        other => other,
    }
}

/// Names and values of parameters, as "fast 10, slow 50".
fn parameters_in_words(report: &Report<'_>, values: &[f64], is_shown: impl Fn(usize) -> bool) -> String {
    let parameters = report.strategy.parameters().iter().zip(values).enumerate();
    let shown = parameters.filter(|(place, _)| is_shown(*place));
    let texts = shown.map(|(_, (parameter, value))| format!("{} {}", parameter.name, parameter.print(*value)));
    texts.collect::<Vec<_>>().join(", ")
}

/// With a capital first letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A percentage without a sign, with a digit more below 1.
fn magnitude(percent: f64) -> String {
    unit(fixed(percent.abs(), if percent.abs() < 1.0 { 2 } else { 1 }), "%")
}

fn percent_1(value: Option<f64>) -> String {
    optional(value, |value| percent(value, 1))
}

fn share_1(value: Option<f64>) -> String {
    optional(value, |value| share(value, 1))
}

fn ratio(value: Option<f64>) -> String {
    optional(value, |value| fixed(value, 2))
}

fn objective_value(value: Option<f64>) -> String {
    optional(value, |value| if value.abs() < 1_000.0 { fixed(value, 2) } else { short(value) })
}
