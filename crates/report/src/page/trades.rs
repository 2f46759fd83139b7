//! The first trades, and sums over all of them.

use research::{ExitReason, Side, Trade};

use super::time_of;
use crate::{
    input::Report,
    number::{UNDEFINED, count, counted, fixed, minute, money, percent, share},
    pen::{LEFT, Pen, WIDTH},
    sheet::Style,
    table::{self, Cell, left, right},
};

/// The maximum number of trades that the page has room for.
const MAX_TRADES: usize = 34;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    let trades = &report.backtest.trades;
    let introduction = match trades.len() {
        0 => "The strategy closed no trade in this period.".to_owned(),
        all if all <= MAX_TRADES => {
            format!("All {} in turn. Profits are after commission.", counted(all, "closed trade"))
        }
        all => format!(
            "The first {MAX_TRADES} of {} closed trades; the job's results hold the others. Profits are after commission.",
            count(all)
        ),
    };
    pen.section("Trades", &introduction);
    if trades.is_empty() {
        return;
    }
    sums(pen, trades);
    pen.y += 14.0;
    list(pen, report, &trades[..trades.len().min(MAX_TRADES)]);
    pen.y += 4.0;
    let note = "Times are UTC and those of the candles in which the orders filled. Prices include slippage. The return is the \
                profit by the value of the position at its entry.";
    pen.paragraph(LEFT, WIDTH, note, Style::NOTE);
}

fn sums(pen: &mut Pen<'_>, trades: &[Trade]) {
    let reasons = [
        ExitReason::Signal,
        ExitReason::Reversal,
        ExitReason::Stop,
        ExitReason::Target,
        ExitReason::MaxBars,
        ExitReason::Ruin,
        ExitReason::End,
    ];
    let mut rows = vec![
        sum("Long", trades, |trade| trade.side == Side::Long),
        sum("Short", trades, |trade| trade.side == Side::Short),
    ];
    rows.extend(
        reasons.map(|reason| sum(&format!("Closed by {}", exit(reason)), trades, |trade| trade.exit == reason)),
    );
    let rows: Vec<Vec<Cell>> = rows.into_iter().flatten().collect();
    let columns = [
        left("Trades", 3.0),
        right("Number", 1.2),
        right("Won", 1.2),
        right("Net profit", 1.6),
        right("Mean profit", 1.6),
    ];
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
}

/// A row of sums; `None` if there is no such trade.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn sum(name: &str, trades: &[Trade], is_counted: impl Fn(&Trade) -> bool) -> Option<Vec<Cell>> {
    let profits: Vec<f64> = trades.iter().filter(|trade| is_counted(trade)).map(|trade| trade.profit).collect();
    let number = profits.len();
    let wins = profits.iter().filter(|profit| **profit > 0.0).count();
    let total: f64 = profits.iter().sum();
    (number > 0).then(|| {
        vec![
            name.into(),
            count(number).into(),
            share(wins as f64 / number as f64, 1).into(),
            money(total).into(),
            money(total / number as f64).into(),
        ]
    })
}

fn list(pen: &mut Pen<'_>, report: &Report<'_>, trades: &[Trade]) {
    let digits = usize::from(report.market.bars().digits());
    let time = |bar: usize| time_of(report, bar).map_or_else(|| UNDEFINED.into(), minute);
    let columns = [
        right("No.", 0.65),
        left("Side", 0.8),
        left("Entry", 2.3),
        right("Price", 1.25),
        left("Exit", 2.3),
        right("Price", 1.25),
        right("Quantity", 1.7),
        right("Profit", 1.3),
        right("Return", 1.2),
        left("Closed by", 1.35),
    ];
    let rows: Vec<Vec<Cell>> = trades
        .iter()
        .enumerate()
        .map(|(place, trade)| {
            let value = trade.entry_price * trade.quantity * report.settings.point_value();
            vec![
                count(place + 1).into(),
                trade.side.name().into(),
                time(trade.entry_bar).into(),
                fixed(trade.entry_price, digits).into(),
                time(trade.exit_bar).into(),
                fixed(trade.exit_price, digits).into(),
                quantity(trade.quantity).into(),
                money(trade.profit).into(),
                percent(100.0 * trade.profit / value, 2).into(),
                exit(trade.exit).into(),
            ]
        })
        .collect();
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
}

/// A quantity with the digits that it has, at most six.
fn quantity(quantity: f64) -> String {
    let text = fixed(quantity, if quantity < 1_000.0 { 6 } else { 2 });
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn exit(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Signal => "signal",
        ExitReason::Reversal => "reversal",
        ExitReason::Stop => "stop",
        ExitReason::Target => "target",
        ExitReason::MaxBars => "time limit",
        ExitReason::Ruin => "ruin",
        ExitReason::End => "end of data",
    }
}
