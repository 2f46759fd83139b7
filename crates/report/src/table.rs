//! Tables: texts to the left, numbers to the right, a line below each row.

use crate::{
    pen::Pen,
    sheet::{Area, Color, HAIRLINE, MUTED, Style},
};

/// The alignment of the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// From the left edge, in as many lines as it needs.
    Left,
    /// To the right edge, on one line.
    Right,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column<'a> {
    pub(crate) title: &'a str,
    /// Its share of the width is its weight, divided by the sum of all weights.
    pub(crate) weight: f32,
    pub(crate) align: Align,
}

pub(crate) const fn left(title: &str, weight: f32) -> Column<'_> {
    Column { title, weight, align: Align::Left }
}

pub(crate) const fn right(title: &str, weight: f32) -> Column<'_> {
    Column { title, weight, align: Align::Right }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    background: Option<Color>,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::CELL, background: None }
    }

    /// A cell of explanation.
    pub(crate) fn note(text: impl Into<String>) -> Self {
        Self { style: Style { size: 7.6, ..Style::CELL.colored(MUTED) }, ..Self::new(text) }
    }

    pub(crate) fn bold(self) -> Self {
        Self { style: self.style.bold(), ..self }
    }

    pub(crate) fn on(self, background: Color) -> Self {
        Self { background: Some(background), ..self }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

const PADDING: f32 = 4.0;
pub(crate) const HEAD_HEIGHT: f32 = 16.0;
/// The height of a row whose cells have one line each.
pub(crate) const ROW_HEIGHT: f32 = 14.2;

/// Draws a table at the pen, on as many pages as it needs, with its head on each.
pub(crate) fn draw(pen: &mut Pen<'_>, x: f32, width: f32, columns: &[Column<'_>], rows: &[Vec<Cell>]) {
    let edges = edges(x, width, columns);
    pen.keep(HEAD_HEIGHT + ROW_HEIGHT);
    head(pen, &edges, columns);
    for row in rows {
        let cells: Vec<Vec<String>> = cells(pen, &edges, columns, row);
        let most = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        #[expect(clippy::cast_precision_loss, reason = "few lines")]
        let height = ROW_HEIGHT + (most - 1) as f32 * Style::CELL.leading();
        let pages = pen.pages();
        pen.keep(height);
        if pen.pages() > pages {
            head(pen, &edges, columns);
        }
        draw_row(pen, &edges, columns, row, &cells, height);
        pen.y += height;
    }
}

/// Left and right edge of each column.
fn edges(x: f32, width: f32, columns: &[Column<'_>]) -> Vec<(f32, f32)> {
    let total: f32 = columns.iter().map(|column| column.weight).sum();
    let mut left = x;
    columns
        .iter()
        .map(|column| {
            let right = left + width * column.weight / total;
            let edge = (left, right);
            left = right;
            edge
        })
        .collect()
}

fn head(pen: &mut Pen<'_>, edges: &[(f32, f32)], columns: &[Column<'_>]) {
    for (column, edge) in columns.iter().zip(edges) {
        put(pen, *edge, pen.y + 10.5, column.align, column.title, Style::HEAD);
    }
    pen.y += HEAD_HEIGHT;
    let y = pen.y;
    if let (Some(first), Some(last)) = (edges.first(), edges.last()) {
        pen.sheet().rule(first.0, last.1, y, MUTED, 0.7);
    }
}

fn cells(pen: &Pen<'_>, edges: &[(f32, f32)], columns: &[Column<'_>], row: &[Cell]) -> Vec<Vec<String>> {
    let cells = columns.iter().zip(edges).zip(row);
    cells
        .map(|((column, (left, right)), cell)| match column.align {
            Align::Left => pen.lines(&cell.text, right - left - 2.0 * PADDING, cell.style),
            Align::Right => vec![cell.text.clone()],
        })
        .collect()
}

fn draw_row(
    pen: &mut Pen<'_>,
    edges: &[(f32, f32)],
    columns: &[Column<'_>],
    row: &[Cell],
    lines: &[Vec<String>],
    height: f32,
) {
    let top = pen.y;
    for (((column, edge), cell), lines) in columns.iter().zip(edges).zip(row).zip(lines) {
        if let Some(color) = cell.background {
            // Below the line of the row before.
            let area = Area { x: edge.0, y: top + 0.4, width: edge.1 - edge.0, height: height - 0.4 };
            pen.sheet().fill(area, color);
        }
        let mut y = top + 9.9;
        for line in lines {
            put(pen, *edge, y, column.align, line, cell.style);
            y += Style::CELL.leading();
        }
    }
    if let (Some(first), Some(last)) = (edges.first(), edges.last()) {
        pen.sheet().rule(first.0, last.1, top + height, HAIRLINE, 0.4);
    }
}

fn put(pen: &mut Pen<'_>, edge: (f32, f32), y: f32, align: Align, text: &str, style: Style) {
    match align {
        Align::Left => pen.text(edge.0 + PADDING, y, text, style),
        Align::Right => {
            let room = edge.1 - edge.0 - PADDING;
            let natural = pen.line(text, style).width;
            // A number must not be cut, so one that is too wide becomes smaller.
            let size = if natural > room { style.size * room / natural } else { style.size };
            pen.text_before(edge.1 - PADDING, y, text, Style { size, ..style });
        }
    }
}
