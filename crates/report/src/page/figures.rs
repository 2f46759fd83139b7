//! All figures, in and out of sample, with their meaning.

use research::Metrics;

use super::{percent_1, ratio, share_1};
use crate::{
    input::{OutOfSample, Report},
    number::{count, fixed, money, optional, percent, span},
    pen::{LEFT, Pen, WIDTH},
    sheet::{PALE, Style},
    table::{self, Cell, Column, left, right},
};

/// A figure: its name, its text, and what it says.
type Figure = (&'static str, fn(&Metrics) -> String, &'static str);

const GROUPS: [(&str, &[Figure]); 4] = [
    (
        "Return",
        &[
            ("Net profit", |m| money(m.trades.net_profit), "Sum of the closed trades after commission."),
            ("Net profit, %", |m| percent(m.net_profit_percent, 2), "The same, by the capital at the start."),
            (
                "Yearly growth",
                |m| percent_1(m.cagr.map(|growth| 100.0 * growth)),
                "Growth a year that leads to the last equity.",
            ),
            ("Open profit", |m| money(m.open_profit), "Of the position that is open at the end."),
            ("Price itself", |m| percent_1(m.buy_and_hold_percent), "Change from the first close to the last."),
            ("Commission", |m| money(m.commission), "All that was paid, in money."),
        ],
    ),
    (
        "Risk",
        &[
            (
                "Largest drawdown",
                |m| percent(-m.max_drawdown_percent, 2),
                "Largest fall from a peak of the equity, at closes.",
            ),
            ("Drawdown in money", |m| money(m.max_drawdown), "The money that the largest drawdown cost."),
            ("Longest drawdown", |m| span(m.max_drawdown_ms), "Longest time below an earlier peak."),
            ("Ulcer index", |m| fixed(m.ulcer_index, 2), "Depth and length of all drawdowns; lower is calmer."),
            ("Time in the market", |m| share_1(Some(m.exposure)), "Share of the closes with an open position."),
        ],
    ),
    (
        "Risk-adjusted return",
        &[
            ("Sharpe ratio", |m| ratio(m.sharpe), "Mean of daily returns divided by their deviation, a year."),
            (
                "Sharpe, TradingView",
                |m| ratio(m.sharpe_tradingview),
                "As TradingView shows it: monthly, above 2 % a year.",
            ),
            ("Sortino ratio", |m| ratio(m.sortino), "As the Sharpe ratio, but only losses count as risk."),
            ("Calmar ratio", |m| ratio(m.calmar), "Yearly growth divided by the largest drawdown."),
            ("Recovery factor", |m| ratio(m.recovery_factor), "Net profit divided by the largest drawdown in money."),
        ],
    ),
    (
        "Trades",
        &[
            ("Closed trades", |m| count(m.trades.trades), "Below about 30 trades, no figure says much."),
            (
                "Trades that won",
                |m| share_1(m.trades.win_rate),
                "It means little without the sizes of wins and losses.",
            ),
            ("Profit factor", |m| ratio(m.trades.profit_factor), "Gross profit divided by gross loss."),
            ("Mean profit", |m| optional(m.trades.expectancy, money), "Of a trade, after commission, in money."),
            ("Mean win", |m| optional(m.trades.average_win, money), "Of the trades that won."),
            ("Mean loss", |m| optional(m.trades.average_loss, |loss| money(-loss)), "Of the trades that lost."),
            ("Payoff ratio", |m| ratio(m.trades.payoff), "Mean win divided by mean loss."),
            (
                "Largest win",
                |m| optional(m.trades.largest_win, money),
                "If it makes most of the profit, the rest is weak.",
            ),
            ("Largest loss", |m| optional(m.trades.largest_loss, |loss| money(-loss)), "Of one trade."),
            ("Losses in a row", |m| count(m.trades.consecutive_losses), "The longest run of losing trades."),
            ("Bars in a trade", |m| ratio(m.trades.average_bars), "Mean number of candles from entry to exit."),
            ("System quality", |m| ratio(m.trades.sqn), "Van Tharp's SQN: mean profit divided by its deviation."),
        ],
    ),
];

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    let parts = parts(report);
    let introduction = match parts.len() {
        1 => {
            "All figures of the backtest. A dash means that a figure is not defined, for example because there were no losses."
        }
        _ => {
            "In sample are the candles that the parameters were chosen on; every search looks good there. Out of sample are candles that \
             the search did not see: where a figure is much worse there, the choice was luck. A dash means that a figure is not \
             defined."
        }
    };
    pen.section(if parts.len() == 1 { "Figures" } else { "In and out of sample" }, introduction);
    let mut columns: Vec<Column<'_>> = vec![left("Figure", 1.55)];
    columns.extend(parts.iter().map(|(title, _)| right(title, 1.0)));
    columns.push(left("Meaning", 6.5 - f32::from(u8::try_from(parts.len()).unwrap_or(1))));
    let mut rows = Vec::new();
    for (group, figures) in GROUPS {
        let blank = std::iter::repeat_n(Cell::new("").on(PALE), columns.len() - 1);
        rows.push(std::iter::once(Cell::new(group).bold().on(PALE)).chain(blank).collect());
        for (name, print, meaning) in figures {
            let mut row = vec![Cell::new(*name)];
            row.extend(parts.iter().map(|(_, metrics)| Cell::new(metrics.map_or_else(String::new, print))));
            row.push(Cell::note(*meaning));
            rows.push(row);
        }
    }
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
    if let Some(note) = note(report) {
        pen.y += 4.0;
        pen.paragraph(LEFT, WIDTH, note, Style::NOTE);
    }
}

/// Titles and figures of the parts of the period.
fn parts<'a>(report: &Report<'a>) -> Vec<(&'static str, Option<&'a Metrics>)> {
    let whole = ("Whole period", Some(&report.backtest.metrics));
    match report.search {
        None => vec![whole],
        Some(search) => {
            let outside = match search.out_of_sample {
                OutOfSample::WalkForward(_) => "Walk-forward",
                _ => "Out of sample",
            };
            vec![("In sample", Some(&search.in_sample)), (outside, search.outside()), whole]
        }
    }
}

fn note(report: &Report<'_>) -> Option<&'static str> {
    Some(match report.search?.out_of_sample {
        OutOfSample::None => "No candles were kept from the search, so that there is nothing out of sample.",
        OutOfSample::Forward { .. } => {
            "The run out of sample begins with the full capital, and its last position is closed at the last close. Sums of money \
             of the parts are not comparable, because the parts differ in length."
        }
        OutOfSample::WalkForward(_) => {
            "In sample are the candles of the last window's search. Walk-forward is the joined curve of all windows, each traded \
             by the winner of the search before it. The whole period is traded by the last window's winner, whose search saw a \
             part of it."
        }
    })
}
