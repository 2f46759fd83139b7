//! Writes pages as PDF; the only module that names krilla.

use krilla::{
    Document,
    color::rgb,
    destination::XyzDestination,
    geom::{Path, PathBuilder, Point},
    metadata::Metadata,
    num::NormalizedF32,
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::{Fill, FillRule, LineCap, LineJoin, Stroke, StrokeDash},
    surface::Surface,
    text::{Font, GlyphId, KrillaGlyph},
};

use crate::{
    font::Face,
    pen::{PAGE_HEIGHT, PAGE_WIDTH},
    sheet::{Color, Line, Mark, Sheet},
};

/// The pages as a PDF file. `sections` are titles and the places of their pages.
///
/// # Panics
/// Never: the embedded fonts are valid, the numbers of all marks are finite, and nothing is asked of the document that could be refused.
pub(crate) fn pdf(title: &str, subject: &str, sheets: &[Sheet], sections: &[(String, usize)]) -> Vec<u8> {
    let mut document = Document::new_with(krilla::SerializeSettings { enable_tagging: false, ..Default::default() });
    // Without a date, so that the same input gives the same bytes.
    let metadata = Metadata::new().title(title.to_owned()).description(subject.to_owned()).language("en".to_owned());
    document.set_metadata(metadata.creator("candlewick".to_owned()));
    let fonts = Face::ALL.map(|face| Font::new(face.file().into(), 0).expect("the embedded fonts are valid"));
    for sheet in sheets {
        let size = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).expect("A4 is not empty");
        let mut page = document.start_page_with(size);
        let mut surface = page.surface();
        sheet.marks.iter().for_each(|mark| draw(&mut surface, mark, &fonts));
        surface.finish();
        page.finish();
    }
    let mut outline = Outline::new();
    for (title, page) in sections {
        outline.push_child(OutlineNode::new(title.clone(), XyzDestination::new(*page, Point::from_xy(0.0, 0.0))));
    }
    document.set_outline(outline);
    document.finish().expect("without a standard to validate, a document with valid fonts is written")
}

fn draw(surface: &mut Surface<'_>, mark: &Mark, fonts: &[Font; 3]) {
    match mark {
        Mark::Text { x, y, line } => text(surface, (*x, *y), line, fonts),
        Mark::Fill { points, color } => {
            surface.set_stroke(None);
            surface.set_fill(Some(fill(*color)));
            if let Some(path) = path(points, true) {
                surface.draw_path(&path);
            }
        }
        Mark::Stroke { points, color, width, is_dashed } => {
            surface.set_fill(None);
            surface.set_stroke(Some(Stroke {
                paint: rgb(*color).into(),
                width: *width,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Round,
                dash: is_dashed.then(|| StrokeDash { array: vec![3.0, 2.0], offset: 0.0 }),
                ..Stroke::default()
            }));
            if let Some(path) = path(points, false) {
                surface.draw_path(&path);
            }
        }
    }
}

fn text(surface: &mut Surface<'_>, (x, y): (f32, f32), line: &Line, fonts: &[Font; 3]) {
    surface.set_stroke(None);
    surface.set_fill(Some(fill(line.style.color)));
    let glyphs = line.glyphs.iter().map(|glyph| {
        let (dx, dy) = glyph.offset;
        KrillaGlyph::new(GlyphId::new(glyph.id), glyph.advance, dx, dy, 0.0, glyph.bytes.clone(), None)
    });
    let glyphs: Vec<KrillaGlyph> = glyphs.collect();
    let font = fonts[line.style.face as usize].clone();
    surface.draw_glyphs(Point::from_xy(x, y), &glyphs, font, &line.text, line.style.size, false);
}

fn path(points: &[(f32, f32)], closes: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, others) = points.split_first()?;
    path.move_to(first.0, first.1);
    for (x, y) in others {
        path.line_to(*x, *y);
    }
    if closes {
        path.close();
    }
    path.finish()
}

fn fill(color: Color) -> Fill {
    Fill { paint: rgb(color).into(), opacity: NormalizedF32::ONE, rule: FillRule::NonZero }
}

fn rgb(color: Color) -> rgb::Color {
    rgb::Color::new(color.0, color.1, color.2)
}
