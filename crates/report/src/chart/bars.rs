//! Bars: histograms, pairs and gauges.

use super::{Scale, axis_label, nice};
use crate::{
    number::fixed,
    pen::Pen,
    sheet::{ACCENT, Area, Color, GREY, HAIRLINE, INK, MUTED, PALE, Style},
};

/// The frequency of numbers.
#[derive(Debug)]
pub(crate) struct Histogram<'a> {
    /// The name of the numbers.
    pub(crate) title: &'a str,
    pub(crate) values: &'a [f64],
    /// A number to point out, and its name.
    pub(crate) marked: Option<(f64, &'a str)>,
}

const BINS: u32 = 36;

/// Draws a histogram. Numbers that are more than four times the interquartile range away from the middle half are
/// counted in the outermost bars, and the title says so.
pub(crate) fn histogram(pen: &mut Pen<'_>, area: Area, chart: &Histogram<'_>) {
    let plot = area.inset(46.0, 20.0, 2.0, 28.0);
    let (inner_low, inner_high) = bulk(chart.values);
    let (low, high, ticks) = nice([inner_low, inner_high].into_iter().chain(chart.marked.map(|marked| marked.0)), 8);
    let width = (high - low) / f64::from(BINS);
    let mut counts = [0_u32; BINS as usize];
    let mut beyond = 0_usize;
    for value in chart.values {
        beyond += usize::from(!(low..=high).contains(value));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let bin = ((value - low) / width).clamp(0.0, f64::from(BINS - 1)) as usize;
        counts[bin] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(0);
    let (_, top, y_ticks) = nice([0.0, f64::from(highest)], 4);
    let x = Scale { low, high, from: plot.x, to: plot.right() };
    let y = Scale { low: 0.0, high: top, from: plot.bottom(), to: plot.y };
    pen.text(area.x, area.y + 9.0, "Number of parameter sets", Style::HEAD.colored(INK));
    for tick in y_ticks.iter().filter(|tick| tick.fract() == 0.0) {
        pen.sheet().rule(plot.x, plot.right(), y.at(*tick), HAIRLINE, 0.4);
        pen.text_before(plot.x - 5.0, y.at(*tick) + 2.6, &fixed(*tick, 0), Style::LABEL);
    }
    for (bin, count) in (0_u32..).zip(counts) {
        let left = x.at(low + f64::from(bin) * width);
        let right = x.at(low + f64::from(bin + 1) * width);
        let top = y.at(f64::from(count));
        let bar = Area { x: left + 0.6, y: top, width: (right - left - 1.2).max(0.3), height: plot.bottom() - top };
        if count > 0 {
            pen.sheet().fill(bar, GREY);
        }
    }
    pen.sheet().rule(plot.x, plot.right(), plot.bottom(), MUTED, 0.6);
    let step = ticks[1] - ticks[0];
    for tick in ticks {
        pen.text_around(x.at(tick), plot.bottom() + 10.5, &axis_label(tick, step), Style::LABEL);
    }
    let title = match beyond {
        0 => chart.title.to_owned(),
        count => format!("{}; the outermost bars hold {count} beyond the axis", chart.title),
    };
    pen.text_around(plot.x + plot.width / 2.0, plot.bottom() + 22.0, &title, Style::LABEL);
    if let Some((value, name)) = chart.marked {
        mark(pen, plot, x.at(value), name);
    }
}

fn mark(pen: &mut Pen<'_>, plot: Area, place: f32, name: &str) {
    pen.sheet().stroke(vec![(place, plot.y), (place, plot.bottom())], ACCENT, 1.4);
    let style = Style::LABEL.bold().colored(ACCENT);
    if place > plot.x + plot.width / 2.0 {
        pen.text_before(place - 4.0, plot.y + 7.0, name, style);
    } else {
        pen.text(place + 4.0, plot.y + 7.0, name, style);
    }
}

/// The range of all numbers without outliers, which would leave the others no room.
fn bulk(values: &[f64]) -> (f64, f64) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return (0.0, 1.0) };
    let (low, high) = (sorted[sorted.len() / 4], sorted[(3 * sorted.len() / 4).min(sorted.len() - 1)]);
    let reach = 4.0 * (high - low);
    if reach > 0.0 { (first.max(low - reach), last.min(high + reach)) } else { (*first, *last) }
}

/// The two numbers that are drawn side by side.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) label: String,
    pub(crate) values: [Option<f64>; 2],
}

/// Draws two bars for each pair, side by side.
pub(crate) fn pairs(pen: &mut Pen<'_>, area: Area, title: &str, names: [&str; 2], pairs: &[Pair]) {
    const COLORS: [Color; 2] = [GREY, ACCENT];
    let plot = area.inset(46.0, 20.0, 2.0, 16.0);
    let values = pairs.iter().flat_map(|pair| pair.values.into_iter().flatten());
    let (low, high, ticks) = nice(values.chain([0.0]), 4);
    let y = Scale { low, high, from: plot.bottom(), to: plot.y };
    pen.text(area.x, area.y + 9.0, title, Style::HEAD.colored(INK));
    let mut right = area.right();
    for (name, color) in names.into_iter().zip(COLORS).filter(|(name, _)| !name.is_empty()).rev() {
        let width = pen.line(name, Style::LABEL).width;
        pen.text(right - width, area.y + 9.0, name, Style::LABEL);
        pen.sheet().fill(Area { x: right - width - 11.0, y: area.y + 3.0, width: 7.0, height: 7.0 }, color);
        right -= width + 24.0;
    }
    let step = ticks[1] - ticks[0];
    for tick in &ticks {
        pen.sheet().rule(plot.x, plot.right(), y.at(*tick), HAIRLINE, 0.4);
        pen.text_before(plot.x - 5.0, y.at(*tick) + 2.6, &axis_label(*tick, step), Style::LABEL);
    }
    #[expect(clippy::cast_precision_loss, reason = "few bars")]
    let slot = plot.width / pairs.len().max(1) as f32;
    let width = (slot * 0.36).min(18.0);
    // Single bars are centred.
    let offset = if pairs.iter().all(|pair| pair.values[0].is_none()) { width / 2.0 } else { 0.0 };
    let mut middle = plot.x + slot / 2.0;
    let mut free = plot.x - 20.0;
    for pair in pairs {
        for ((value, color), left) in
            pair.values.into_iter().zip(COLORS).zip([middle - width - 0.5, middle + 0.5 - offset])
        {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let (from, to) = (y.at(0.0), y.at(value));
            pen.sheet().fill(Area { x: left, y: from.min(to), width, height: (from - to).abs().max(0.3) }, color);
        }
        let half = pen.line(&pair.label, Style::LABEL).width / 2.0;
        if middle - half > free {
            pen.text_around(middle, plot.bottom() + 11.5, &pair.label, Style::LABEL);
            free = middle + half + 4.0;
        }
        middle += slot;
    }
    pen.sheet().rule(plot.x, plot.right(), y.at(0.0), MUTED, 0.6);
}

/// Draws a number between 0 and `most` on a bar, and the threshold between bad and good.
pub(crate) fn gauge(pen: &mut Pen<'_>, area: Area, value: Option<f64>, most: f64, threshold: f64, is_good: bool) {
    let bar = Area { y: area.y + 4.0, height: 9.0, ..area };
    let x = Scale { low: 0.0, high: most, from: bar.x, to: bar.right() };
    pen.sheet().fill(bar, PALE);
    if let Some(value) = value.filter(|value| value.is_finite()) {
        let width = (x.at(value) - bar.x).max(0.8);
        pen.sheet().fill(Area { width, ..bar }, if is_good { ACCENT } else { GREY });
    }
    let place = x.at(threshold);
    pen.sheet().stroke(vec![(place, bar.y - 3.0), (place, bar.bottom() + 3.0)], INK, 1.2);
    pen.text(bar.x, bar.bottom() + 10.0, "0", Style::LABEL);
    pen.text_before(bar.right(), bar.bottom() + 10.0, &fixed(most, 0), Style::LABEL);
    // Beside the right end there is no room for a label in the middle.
    let label = axis_label(threshold, 0.05);
    let half = pen.line(&label, Style::LABEL).width / 2.0;
    pen.text_around(place.min(bar.right() - half - 12.0), bar.bottom() + 10.0, &label, Style::LABEL.bold());
}
