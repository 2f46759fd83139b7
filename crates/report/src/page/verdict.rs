//! The result in a few sentences.

use super::{magnitude, objective_name, ratio, time_of, times};
use crate::{
    input::{OutOfSample, Report, Search},
    number::{UNDEFINED, count, counted, date, money, percent, span},
};

pub(super) fn of(report: &Report<'_>) -> String {
    let metrics = &report.backtest.metrics;
    let capital = report.settings.capital();
    let gain = 100.0 * (metrics.equity - capital) / capital;
    let length = match times(report) {
        [first, .., last] => span(last.saturating_sub(*first)),
        _ => "no time".into(),
    };
    let result = format!(
        "Over {length} ({}) the strategy turned {} into {} ({}), with {}. Its equity fell by up to {} below an earlier peak.",
        counted(report.backtest.bars.len(), "candle"),
        money(capital),
        money(metrics.equity),
        percent(gain, 1),
        counted(metrics.trades.trades, "closed trade"),
        magnitude(metrics.max_drawdown_percent),
    );
    let held = metrics.buy_and_hold_percent;
    let held = held.map(|held| format!("The price itself changed by {} in that time.", percent(held, 1)));
    let mut sentences: Vec<String> = std::iter::once(result).chain(held).collect();
    if let Some(search) = report.search {
        sentences.push(chosen(search));
        sentences.extend(outside(report, search));
    }
    sentences.join(" ")
}

/// The origin of the parameters.
fn chosen(search: &Search) -> String {
    let place = match search.rank {
        1 => "the best".to_owned(),
        rank => format!("number {}", count(rank)),
    };
    let sets = if search.is_walk_forward() {
        "the last window's search".to_owned()
    } else {
        counted(search.evaluations, "tested set")
    };
    let name = objective_name(search.objective);
    format!(
        "Its parameters are {place} of {sets} by {name}, so that the figures of the candles of that search flatter it."
    )
}

/// The result on candles that the search had not seen.
fn outside(report: &Report<'_>, search: &Search) -> Option<String> {
    let figures = |metrics: &research::Metrics| (percent(metrics.net_profit_percent, 1), ratio(metrics.sharpe));
    match &search.out_of_sample {
        OutOfSample::None => None,
        OutOfSample::Forward { from, metrics } => {
            let is_too_short = report.market.bars().len() < from.saturating_add(2);
            let from = time_of(report, *from).map_or_else(|| UNDEFINED.into(), date);
            let outcome = metrics.as_ref().map_or_else(
                || {
                    if is_too_short { "they are too few to be traded" } else { "these parameters were not run on them" }
                        .to_owned()
                },
                |metrics| {
                    let (profit, sharpe) = figures(metrics);
                    let trades = counted(metrics.trades.trades, "trade");
                    format!("there it made {profit} in {trades} (Sharpe ratio {sharpe})")
                },
            );
            Some(format!("The candles from {from} on were kept from the search: {outcome}."))
        }
        OutOfSample::WalkForward(walk) => {
            let (profit, sharpe) = figures(&walk.metrics);
            let windows = counted(walk.windows.len(), "window");
            Some(format!(
                "In {windows} of walk-forward the winners made {profit} on candles that their searches had not seen (Sharpe ratio \
                 {sharpe})."
            ))
        }
    }
}
