//! Equity and drawdown over time.

use super::{equity, time_of, times};
use crate::{
    chart::{Chart, Series, lines, thinned},
    input::{OutOfSample, Report},
    pen::{LEFT, Pen, WIDTH},
    sheet::{ACCENT, ACCENT_PALE, GREY, LOSS, LOSS_PALE, Style},
};

/// A page shows no more points than it has dots.
const STRETCHES: usize = 420;

pub(super) fn draw(pen: &mut Pen<'_>, report: &Report<'_>) {
    pen.section(
        "Equity and drawdown",
        "The equity is the capital with all closed trades and the open position, marked at each close. The drawdown is its distance \
         from the highest equity before.",
    );
    let equity = equity(report);
    if equity.len() < 2 {
        pen.paragraph(LEFT, WIDTH, "There are too few candles for a chart.", Style::BODY);
        return;
    }
    let capital = report.settings.capital();
    let shaded = shaded(report);
    let series = vec![curve("", thinned(&equity, STRETCHES), ACCENT, Some(ACCENT_PALE))];
    let area = pen.area(190.0);
    let chart = Chart { title: "Equity, in the money of the account", series, base: Some(capital), shaded, ticks: 6 };
    lines(pen, area, &chart);
    pen.y += 12.0;
    let drawdown = thinned(&drawdown(&equity, capital), STRETCHES);
    let area = pen.area(105.0);
    let series = vec![curve("", drawdown, LOSS, Some(LOSS_PALE))];
    lines(
        pen,
        area,
        &Chart { title: "Drawdown, % of the highest equity before", series, base: Some(0.0), shaded, ticks: 4 },
    );
    pen.y += 12.0;
    let area = pen.area(105.0);
    let title = format!("Close of {}", pen.cut(report.symbol, WIDTH / 2.0, Style::HEAD));
    let series = vec![curve("", closes(report), GREY, None)];
    lines(pen, area, &Chart { title: &title, series, base: None, shaded, ticks: 4 });
    pen.y += 8.0;
    let note = "Times are UTC. The charts show the lowest and the highest close of each stretch of candles. Drawdowns within a \
                candle do not show.";
    pen.paragraph(LEFT, WIDTH, note, Style::NOTE);
}

fn curve(
    name: &str,
    points: Vec<(i64, f64)>,
    color: crate::sheet::Color,
    fill: Option<crate::sheet::Color>,
) -> Series<'_> {
    Series { name, points, color, is_dashed: false, fill }
}

/// The equity alone, for the first page; nothing where there is nothing to draw.
pub(super) fn small(pen: &mut Pen<'_>, report: &Report<'_>, height: f32) {
    let equity = equity(report);
    if equity.len() >= 2 {
        let series = vec![curve("", thinned(&equity, STRETCHES), ACCENT, Some(ACCENT_PALE))];
        let base = Some(report.settings.capital());
        let area = pen.area(height);
        let title = "Equity, in the money of the account";
        lines(pen, area, &Chart { title, series, base, shaded: shaded(report), ticks: 4 });
    }
}

/// The time from which on the candles were kept from the search.
fn shaded(report: &Report<'_>) -> Option<(i64, &'static str)> {
    match report.search?.out_of_sample {
        OutOfSample::Forward { from, .. } => time_of(report, from).map(|time| (time, "out of sample")),
        _ => None,
    }
}

/// The closes of the backtest.
fn closes(report: &Report<'_>) -> Vec<(i64, f64)> {
    let closes = report.market.close().get(report.backtest.bars.clone()).unwrap_or_default();
    let points: Vec<(i64, f64)> = times(report).iter().copied().zip(closes.iter().copied()).collect();
    thinned(&points, STRETCHES)
}

/// Percent below the highest equity before, not above 0.
fn drawdown(equity: &[(i64, f64)], capital: f64) -> Vec<(i64, f64)> {
    let mut peak = capital;
    equity
        .iter()
        .map(|(time, equity)| {
            peak = peak.max(*equity);
            (*time, 100.0 * (equity - peak) / peak)
        })
        .collect()
}
