//! A page before it is written: lines of text and shapes, in points from the upper left corner.

use crate::font::{Face, Glyph};

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Color {
    /// A mixture of this colour and another one; with a share of 0 it is this one.
    pub(crate) fn mix(self, other: Self, share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
        let mix = |from: u8, to: u8| (f64::from(from) + share * (f64::from(to) - f64::from(from))).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

pub(crate) const WHITE: Color = Color(255, 255, 255);
/// Text.
pub(crate) const INK: Color = Color(26, 34, 46);
/// Explanations and labels.
pub(crate) const MUTED: Color = Color(92, 102, 117);
/// Lines of tables and grids.
pub(crate) const HAIRLINE: Color = Color(213, 218, 225);
/// Backgrounds that set something apart.
pub(crate) const PALE: Color = Color(243, 245, 248);
/// The strategy, and everything that is good. Dark enough to print as a dark grey.
pub(crate) const ACCENT: Color = Color(24, 72, 120);
pub(crate) const ACCENT_PALE: Color = Color(214, 226, 239);
/// Losses and drawdowns. In grey it is lighter than the accent; signs distinguish the two as well.
pub(crate) const LOSS: Color = Color(176, 74, 40);
pub(crate) const LOSS_PALE: Color = Color(247, 226, 214);
/// Comparisons, such as holding the market.
pub(crate) const GREY: Color = Color(140, 149, 161);

/// The look of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) face: Face,
    pub(crate) size: f32,
    pub(crate) color: Color,
}

const fn style(face: Face, size: f32, color: Color) -> Style {
    Style { face, size, color }
}

impl Style {
    pub(crate) const TITLE: Self = style(Face::Bold, 24.0, INK);
    pub(crate) const HEADING: Self = style(Face::Bold, 15.0, INK);
    pub(crate) const SUBHEADING: Self = style(Face::Bold, 10.0, INK);
    pub(crate) const BODY: Self = style(Face::Regular, 9.0, INK);
    pub(crate) const NOTE: Self = style(Face::Regular, 7.8, MUTED);
    pub(crate) const LABEL: Self = style(Face::Regular, 7.5, MUTED);
    pub(crate) const FIGURE: Self = style(Face::Bold, 16.0, INK);
    pub(crate) const CELL: Self = style(Face::Regular, 8.2, INK);
    pub(crate) const HEAD: Self = style(Face::Bold, 7.6, MUTED);
    pub(crate) const CODE: Self = style(Face::Mono, 6.9, INK);

    pub(crate) fn bold(self) -> Self {
        Self { face: Face::Bold, ..self }
    }

    pub(crate) fn colored(self, color: Color) -> Self {
        Self { color, ..self }
    }

    /// The distance of base lines.
    pub(crate) fn leading(self) -> f32 {
        self.size * if matches!(self.face, Face::Mono) { 1.32 } else { 1.42 }
    }
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) glyphs: Vec<Glyph>,
    pub(crate) style: Style,
    pub(crate) width: f32,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Area {
    pub(crate) fn right(self) -> f32 {
        self.x + self.width
    }

    pub(crate) fn bottom(self) -> f32 {
        self.y + self.height
    }

    /// The area without margins of these widths.
    pub(crate) fn inset(self, left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self {
            x: self.x + left,
            y: self.y + top,
            width: (self.width - left - right).max(1.0),
            height: (self.height - top - bottom).max(1.0),
        }
    }
}

/// Something on a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    /// A line of text, its base line beginning at (x, y).
    Text { x: f32, y: f32, line: Line },
    /// A filled polygon.
    Fill { points: Vec<(f32, f32)>, color: Color },
    /// A line through points.
    Stroke { points: Vec<(f32, f32)>, color: Color, width: f32, is_dashed: bool },
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sheet {
    pub(crate) marks: Vec<Mark>,
}

impl Sheet {
    pub(crate) fn fill(&mut self, area: Area, color: Color) {
        let Area { x, y, .. } = area;
        let points = vec![(x, y), (area.right(), y), (area.right(), area.bottom()), (x, area.bottom())];
        self.polygon(points, color);
    }

    pub(crate) fn polygon(&mut self, points: Vec<(f32, f32)>, color: Color) {
        self.marks.push(Mark::Fill { points, color });
    }

    pub(crate) fn stroke(&mut self, points: Vec<(f32, f32)>, color: Color, width: f32) {
        self.marks.push(Mark::Stroke { points, color, width, is_dashed: false });
    }

    pub(crate) fn dashed(&mut self, points: Vec<(f32, f32)>, color: Color, width: f32) {
        self.marks.push(Mark::Stroke { points, color, width, is_dashed: true });
    }

    /// A level line from `left` to `right`.
    pub(crate) fn rule(&mut self, left: f32, right: f32, y: f32, color: Color, width: f32) {
        self.stroke(vec![(left, y), (right, y)], color, width);
    }
}
