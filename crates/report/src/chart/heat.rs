//! Heat maps: numbers of two parameters as shades of one colour, which print in grey as well.

use crate::{
    number::{fixed, short},
    pen::Pen,
    sheet::{ACCENT, ACCENT_PALE, Area, INK, MUTED, PALE, Style, WHITE},
};

/// A heat map.
#[derive(Debug)]
pub(crate) struct HeatMap<'a> {
    /// Names of the parameters of columns and rows.
    pub(crate) names: [&'a str; 2],
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
    /// Numbers by row and column; the first row is at the bottom.
    pub(crate) cells: Vec<Vec<Option<f64>>>,
    /// Column and row of the cell to point out.
    pub(crate) marked: Option<(usize, usize)>,
}

/// Draws a heat map with labels and a legend.
pub(crate) fn heat_map(pen: &mut Pen<'_>, area: Area, map: &HeatMap<'_>) {
    let plot = area.inset(64.0, 14.0, 2.0, 46.0);
    let (low, high) = shades(map);
    #[expect(clippy::cast_precision_loss, reason = "few cells")]
    let (width, height) = (plot.width / map.columns.len().max(1) as f32, plot.height / map.rows.len().max(1) as f32);
    pen.text(area.x, area.y + 7.0, &format!("{} ↑", map.names[1]), Style::HEAD.colored(INK));
    for (row, label) in map.rows.iter().enumerate() {
        let y = plot.bottom() - height * real(row + 1);
        pen.text_before(plot.x - 5.0, y + height / 2.0 + 2.6, label, Style::LABEL);
        for column in 0..map.columns.len() {
            let cell = Area { x: plot.x + width * real(column), y, width, height };
            draw_cell(pen, cell, map.cells[row][column], (low, high));
        }
    }
    for (column, label) in map.columns.iter().enumerate() {
        let style = Style { size: Style::LABEL.size.min(width / 5.2), ..Style::LABEL };
        pen.text_around(plot.x + width * (real(column) + 0.5), plot.bottom() + 11.0, label, style);
    }
    pen.text_before(plot.right(), plot.bottom() + 23.0, &format!("{} →", map.names[0]), Style::HEAD.colored(INK));
    if let Some((column, row)) = map.marked {
        let cell = Area { x: plot.x + width * real(column), y: plot.bottom() - height * real(row + 1), width, height };
        let corners =
            [(cell.x, cell.y), (cell.right(), cell.y), (cell.right(), cell.bottom()), (cell.x, cell.bottom())];
        let mut frame = corners.to_vec();
        frame.extend([corners[0], corners[1]]);
        pen.sheet().stroke(frame, INK, 2.0);
    }
    legend(pen, Area { x: plot.x, y: plot.bottom() + 17.0, width: 150.0, height: 8.0 }, (low, high));
}

/// The numbers of the lightest and the darkest shade. One in twenty numbers lies below them, because a single bad one would make all
/// others look alike.
fn shades(map: &HeatMap<'_>) -> (f64, f64) {
    let mut numbers: Vec<f64> = map.cells.iter().flatten().flatten().copied().collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let low = numbers.get(numbers.len() / 20).copied().unwrap_or(0.0);
    (low, numbers.last().copied().unwrap_or(low))
}

fn draw_cell(pen: &mut Pen<'_>, cell: Area, value: Option<f64>, (low, high): (f64, f64)) {
    let inner = cell.inset(0.5, 0.5, 0.5, 0.5);
    let Some(value) = value else {
        pen.sheet().fill(inner, PALE);
        return;
    };
    let share = if high > low { (value - low) / (high - low) } else { 1.0 };
    pen.sheet().fill(inner, ACCENT_PALE.mix(ACCENT, share));
    let label = label(value);
    let style = Style::LABEL.colored(if share > 0.6 { WHITE } else { INK });
    let width = pen.line(&label, style).width;
    if width < cell.width - 3.0 && cell.height > 9.0 {
        pen.text_around(cell.x + cell.width / 2.0, cell.y + cell.height / 2.0 + 2.6, &label, style);
    }
}

fn legend(pen: &mut Pen<'_>, area: Area, (low, high): (f64, f64)) {
    const STEPS: u8 = 30;
    let width = area.width / f32::from(STEPS);
    for step in 0..STEPS {
        let color = ACCENT_PALE.mix(ACCENT, f64::from(step) / f64::from(STEPS - 1));
        pen.sheet().fill(Area { x: area.x + width * f32::from(step), width: width + 0.2, ..area }, color);
    }
    pen.text(area.x, area.bottom() + 9.5, &format!("{} or less", label(low)), Style::LABEL);
    pen.text_before(area.right(), area.bottom() + 9.5, &label(high), Style::LABEL);
    pen.sheet().fill(Area { x: area.right() + 14.0, width: 12.0, ..area }, PALE);
    pen.text(area.right() + 30.0, area.bottom() - 1.0, "not tried, or not allowed", Style::LABEL.colored(MUTED));
}

fn label(value: f64) -> String {
    if value.abs() < 1_000.0 { fixed(value, 2) } else { short(value) }
}

#[expect(clippy::cast_precision_loss, reason = "few cells")]
fn real(count: usize) -> f32 {
    count as f32
}
