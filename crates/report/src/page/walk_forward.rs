//! Walk-forward: searches that move through time, each tried on the candles after it.

use super::{capital, objective_name, objective_value, parameters_in_words, percent_1, time_of};
use crate::{
    chart::{Chart, Pair, Series, lines, pairs, thinned},
    input::{Report, Search, WalkForward},
    number::{UNDEFINED, counted, date, fixed},
    pen::{LEFT, Pen, WIDTH},
    sheet::{ACCENT, ACCENT_PALE, Style},
    table::{self, Cell, left, right},
};

/// The maximum number of windows that the table has room for.
const MAX_ROWS: usize = 16;
/// The maximum number of windows that the chart has room for.
const MAX_PAIRS: usize = 40;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>, search: &Search, walk: &WalkForward) {
    let name = objective_name(search.objective);
    let introduction = format!(
        "The period was cut into {}. In each, a search saw only the candles in sample, and its winner then traded the candles after \
         them. The joined curve has no candle that its search had seen. Efficiency is the mean {name} out of sample by that in \
         sample, of what grows with time per year; above 0.5 is acceptable. {}",
        counted(walk.windows.len(), "window"),
        walk.efficiency.map_or_else(
            || "It is not defined here, because no window has both figures or those in sample are not above 0."
                .to_owned(),
            |efficiency| format!("Here it is {}.", fixed(efficiency, 2))
        ),
    );
    pen.section("Walk-forward", &introduction);
    if walk.equity.len() >= 2 {
        let points = thinned(&walk.equity, 420);
        let series = vec![Series { name: "", points, color: ACCENT, is_dashed: false, fill: Some(ACCENT_PALE) }];
        let title = "Equity out of sample, all windows joined, in the money of the account";
        let base = Some(report.settings.capital());
        let area = pen.area(185.0);
        lines(pen, area, &Chart { title, series, base, shaded: None, ticks: 5 });
        pen.y += 12.0;
    }
    let shown = &walk.windows[..walk.windows.len().min(MAX_PAIRS)];
    let bars = shown
        .iter()
        .enumerate()
        .map(|(place, window)| Pair { label: (place + 1).to_string(), values: window.objectives });
    let bars: Vec<Pair> = bars.collect();
    let which = match shown.len() {
        all if all == walk.windows.len() => "each window's winner".to_owned(),
        some => format!("the winners of the first {some} windows"),
    };
    let title = format!("{} of {which}", capital(name));
    let area = pen.area(125.0);
    pairs(pen, area, &title, ["in sample", "out of sample"], &bars);
    pen.y += 10.0;
    windows(pen, report, walk);
}

fn windows(pen: &mut Pen<'_>, report: &Report<'_>, walk: &WalkForward) {
    let varied = varied(walk);
    let shown = walk.windows.len().min(MAX_ROWS);
    let columns = [
        right("No.", 0.5),
        left("Traded from", 1.35),
        left("to", 1.35),
        left("Winner", 3.6),
        right("In", 0.9),
        right("Out", 0.9),
        right("Net profit", 1.15),
        right("Trades", 0.85),
    ];
    let rows = walk.windows[..shown].iter().enumerate().map(|(place, window)| {
        let day = |bar: usize| time_of(report, bar).map_or_else(|| UNDEFINED.into(), date);
        let words = parameters_in_words(report, &window.values, |place| varied.contains(&place));
        let [inside, outside] = window.objectives.map(objective_value);
        vec![
            Cell::new((place + 1).to_string()),
            day(window.out_of_sample.start).into(),
            day(window.out_of_sample.end.saturating_sub(1)).into(),
            pen.cut(&words, WIDTH * 0.32, Style::CELL).into(),
            inside.into(),
            outside.into(),
            percent_1(window.net_profit_percent).into(),
            Cell::new(crate::number::count(window.trades)),
        ]
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    table::draw(pen, LEFT, WIDTH, &columns, &rows);
    pen.y += 4.0;
    let note = "Each window's figures are those of a run with the full capital; the joined curve goes on with the money that the window \
                before left. Winners that change much from window to window are a sign of chance.";
    pen.paragraph(LEFT, WIDTH, note, Style::NOTE);
    if shown < walk.windows.len() {
        let note = format!("The table shows the first {shown} of {} windows.", walk.windows.len());
        pen.paragraph(LEFT, WIDTH, &note, Style::NOTE);
    }
}

/// The places of parameters that differ between windows; all of them if none does.
fn varied(walk: &WalkForward) -> Vec<usize> {
    let Some(first) = walk.windows.first() else { return Vec::new() };
    let differs = |place: &usize| {
        walk.windows.iter().any(|window| {
            window.values.get(*place).map(|value| value.to_bits())
                != first.values.get(*place).map(|value| value.to_bits())
        })
    };
    let varied: Vec<usize> = (0..first.values.len()).filter(differs).collect();
    if varied.is_empty() { (0..first.values.len()).collect() } else { varied }
}
