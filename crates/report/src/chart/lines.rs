//! Curves over time.

use super::{Scale, axis_label, nice, scale::time_ticks};
use crate::{
    pen::Pen,
    sheet::{Area, Color, GREY, HAIRLINE, INK, MUTED, PALE, Style},
};

/// A curve.
#[derive(Debug, Clone)]
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(i64, f64)>,
    pub(crate) color: Color,
    pub(crate) is_dashed: bool,
    /// The colour between the curve and the base of the chart.
    pub(crate) fill: Option<Color>,
}

/// A chart of curves.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    /// The name of the numbers, with their unit.
    pub(crate) title: &'a str,
    pub(crate) series: Vec<Series<'a>>,
    /// A line at this number, such as the capital.
    pub(crate) base: Option<f64>,
    /// The chart's background changes from this time on.
    pub(crate) shaded: Option<(i64, &'a str)>,
    pub(crate) ticks: u32,
}

const LABELS_WIDTH: f32 = 46.0;

/// Draws the chart into the area, title and labels included.
pub(crate) fn lines(pen: &mut Pen<'_>, area: Area, chart: &Chart<'_>) {
    let plot = area.inset(LABELS_WIDTH, 20.0, 2.0, 16.0);
    let times = || chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let (Some(from), Some(to)) = (times().min(), times().max()) else { return };
    #[expect(clippy::cast_precision_loss, reason = "a page has fewer points than a double has digits")]
    let x = Scale { low: from as f64, high: to as f64, from: plot.x, to: plot.right() };
    let values = chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
    let (low, high, ticks) = nice(values.chain(chart.base), chart.ticks);
    let y = Scale { low, high, from: plot.bottom(), to: plot.y };

    shade(pen, plot, &x, chart.shaded);
    title(pen, area, chart);
    let step = ticks[1] - ticks[0];
    for tick in &ticks {
        pen.sheet().rule(plot.x, plot.right(), y.at(*tick), HAIRLINE, 0.4);
        pen.text_before(plot.x - 5.0, y.at(*tick) + 2.6, &axis_label(*tick, step), Style::LABEL);
    }
    time_axis(pen, plot, &x, (from, to));
    if let Some(base) = chart.base {
        pen.sheet().rule(plot.x, plot.right(), y.at(base), MUTED, 0.6);
    }
    let base = y.at(chart.base.unwrap_or(low));
    chart.series.iter().for_each(|series| curve(pen, series, (&x, &y), base));
}

fn time_axis(pen: &mut Pen<'_>, plot: Area, x: &Scale, (from, to): (i64, i64)) {
    pen.sheet().rule(plot.x, plot.right(), plot.bottom(), MUTED, 0.6);
    let mut free = plot.x - 20.0;
    for (time, label) in time_ticks(from, to) {
        let place = at(x, time);
        pen.sheet().stroke(vec![(place, plot.bottom()), (place, plot.bottom() + 3.0)], MUTED, 0.6);
        let half = pen.line(&label, Style::LABEL).width / 2.0;
        if place - half > free && place + half < plot.right() + 20.0 {
            pen.text_around(place, plot.bottom() + 11.5, &label, Style::LABEL);
            free = place + half + 6.0;
        }
    }
}

fn shade(pen: &mut Pen<'_>, plot: Area, x: &Scale, shaded: Option<(i64, &str)>) {
    let Some((from, label)) = shaded else { return };
    let left = at(x, from);
    pen.sheet().fill(Area { x: left, width: plot.right() - left, ..plot }, PALE);
    pen.sheet().dashed(vec![(left, plot.y), (left, plot.bottom())], MUTED, 0.6);
    let width = pen.line(label, Style::LABEL).width;
    if left + 4.0 + width < plot.right() {
        pen.text(left + 4.0, plot.y + 8.5, label, Style::LABEL);
    } else {
        pen.text_before(left - 4.0, plot.y + 8.5, label, Style::LABEL);
    }
}

fn title(pen: &mut Pen<'_>, area: Area, chart: &Chart<'_>) {
    pen.text(area.x, area.y + 9.0, chart.title, Style::HEAD.colored(INK));
    // The legend, from right to left.
    let mut right = area.right();
    for series in chart.series.iter().filter(|series| !series.name.is_empty()).rev() {
        let width = pen.line(series.name, Style::LABEL).width;
        pen.text(right - width, area.y + 9.0, series.name, Style::LABEL);
        let sample = vec![(right - width - 21.0, area.y + 6.5), (right - width - 5.0, area.y + 6.5)];
        if series.is_dashed {
            pen.sheet().dashed(sample, series.color, 1.2);
        } else {
            pen.sheet().stroke(sample, series.color, 1.6);
        }
        right -= width + 34.0;
    }
}

fn curve(pen: &mut Pen<'_>, series: &Series<'_>, (x, y): (&Scale, &Scale), base: f32) {
    let finite = series.points.iter().filter(|point| point.1.is_finite());
    let points: Vec<(f32, f32)> = finite.map(|(time, value)| (at(x, *time), y.at(*value))).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    if let Some(fill) = series.fill {
        let mut polygon = vec![(first.0, base)];
        polygon.extend(&points);
        polygon.push((last.0, base));
        pen.sheet().polygon(polygon, fill);
    }
    if series.is_dashed {
        pen.sheet().dashed(points, series.color, 0.8);
    } else {
        pen.sheet().stroke(points, series.color, if series.color == GREY { 0.7 } else { 1.0 });
    }
}

#[expect(clippy::cast_precision_loss, reason = "a page has fewer points than a double has digits")]
fn at(x: &Scale, time: i64) -> f32 {
    x.at(time as f64)
}
