//! The fonts of a report: IBM Plex, one family with a face for code, whose figures all have one width.

use std::ops::Range;

use harfrust::{Direction, Feature, FontRef, ShapeOptions, ShapePlan, Shaper, ShaperData, Tag, UnicodeBuffer, script};

/// One of the three faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Regular,
    Bold,
    Mono,
}

impl Face {
    pub(crate) const ALL: [Self; 3] = [Self::Regular, Self::Bold, Self::Mono];

    /// The font file, as its publisher made it.
    pub(crate) fn file(self) -> &'static [u8] {
        match self {
            Self::Regular => include_bytes!("../fonts/IBMPlexSans-Regular.ttf"),
            Self::Bold => include_bytes!("../fonts/IBMPlexSans-SemiBold.ttf"),
            Self::Mono => include_bytes!("../fonts/IBMPlexMono-Regular.ttf"),
        }
    }
}

/// A glyph in the place that it has in its line. Lengths are parts of the font size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glyph {
    pub(crate) id: u32,
    pub(crate) advance: f32,
    pub(crate) offset: (f32, f32),
    /// The bytes of the text that it stands for.
    pub(crate) bytes: Range<usize>,
}

/// A text as glyphs of one face.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shaped {
    /// The text, in which a character that the face lacks is replaced by its code.
    pub(crate) text: String,
    pub(crate) glyphs: Vec<Glyph>,
    /// Its width, as a part of the font size.
    pub(crate) width: f32,
}

/// The parts of the fonts that shaping reads.
pub(crate) struct FontData(Vec<(FontRef<'static>, ShaperData)>);

impl FontData {
    /// # Panics
    /// Never: a test reads the files.
    pub(crate) fn load() -> Self {
        let fonts = Face::ALL.map(|face| {
            let font = FontRef::new(face.file()).expect("the embedded fonts are valid");
            let data = ShaperData::new(&font);
            (font, data)
        });
        Self(fonts.into())
    }
}

/// Shapes texts of any face.
pub(crate) struct Fonts<'a>(Vec<(Shaper<'a>, ShapePlan)>);

/// Ligatures are off, because copied text should have the letters that were written.
const FEATURES: [Feature; 2] = [off(*b"liga"), off(*b"clig")];

const fn off(tag: [u8; 4]) -> Feature {
    Feature { tag: Tag::new(&tag), value: 0, start: 0, end: u32::MAX }
}

impl<'a> Fonts<'a> {
    pub(crate) fn new(data: &'a FontData) -> Self {
        let shapers = data.0.iter().map(|(font, data)| {
            let shaper = data.shaper(font).build();
            let plan = ShapePlan::new(&shaper, Direction::LeftToRight, Some(script::LATIN), None, &FEATURES);
            (shaper, plan)
        });
        Self(shapers.collect())
    }

    /// The glyphs of a text on one line.
    pub(crate) fn shape(&self, face: Face, text: &str) -> Shaped {
        let printable: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let shaped = self.shape_as_it_is(face, printable);
        if shaped.glyphs.iter().all(|glyph| glyph.id != 0) {
            return shaped;
        }
        let mut text = String::new();
        for cluster in shaped.glyphs.chunk_by(|glyph, next| glyph.bytes == next.bytes) {
            let part = &shaped.text[cluster[0].bytes.clone()];
            if cluster.iter().any(|glyph| glyph.id == 0) {
                text.extend(part.chars().map(|letter| format!("[U+{:04X}]", u32::from(letter))));
            } else {
                text.push_str(part);
            }
        }
        self.shape_as_it_is(face, text)
    }

    /// The width of a text, as a part of the font size.
    pub(crate) fn width(&self, face: Face, text: &str) -> f32 {
        self.shape(face, text).width
    }

    #[expect(clippy::cast_precision_loss, reason = "units of fonts are small")]
    fn shape_as_it_is(&self, face: Face, text: String) -> Shaped {
        let (shaper, plan) = &self.0[face as usize];
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(&text);
        buffer.set_direction(Direction::LeftToRight);
        buffer.set_script(script::LATIN);
        let placed = shaper.shape(buffer, ShapeOptions::new().plan(Some(plan)).features(&FEATURES));
        let em = shaper.units_per_em() as f32;
        let infos = placed.glyph_infos();
        let glyphs = infos.iter().zip(placed.glyph_positions()).enumerate().map(|(place, (info, position))| {
            let start = info.cluster as usize;
            let next = infos[place..].iter().find(|next| next.cluster != info.cluster);
            Glyph {
                id: info.glyph_id,
                advance: position.x_advance as f32 / em,
                offset: (position.x_offset as f32 / em, position.y_offset as f32 / em),
                bytes: start..next.map_or(text.len(), |next| next.cluster as usize),
            }
        });
        let glyphs: Vec<Glyph> = glyphs.collect();
        let width = glyphs.iter().map(|glyph| glyph.advance).sum();
        Shaped { text, glyphs, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_one_width_and_text_is_kerned() {
        let data = FontData::load();
        let fonts = Fonts::new(&data);
        for face in Face::ALL {
            let widths: Vec<f32> = "0123456789−".chars().map(|digit| fonts.width(face, &digit.to_string())).collect();
            assert!(widths.iter().all(|width| width.to_bits() == widths[0].to_bits()), "{face:?} {widths:?}");
        }
        assert!(fonts.width(Face::Regular, "To") < fonts.width(Face::Regular, "T") + fonts.width(Face::Regular, "o"));
        assert!(fonts.width(Face::Regular, "").abs() < f32::EPSILON);
    }

    #[test]
    fn letters_that_the_fonts_lack_are_printed_as_their_codes() {
        let data = FontData::load();
        let fonts = Fonts::new(&data);
        for (text, printed) in [
            ("Zürich Žižek Ελλάδα Привет €", "Zürich Žižek Ελλάδα Привет €"),
            ("日経225", "[U+65E5][U+7D4C]225"),
            ("a\u{301}b\u{0}c", "a\u{301}b c"),
            ("🚀", "[U+1F680]"),
            ("e\u{301}日", "e\u{301}[U+65E5]"),
        ] {
            assert_eq!(fonts.shape(Face::Regular, text).text, printed);
        }
    }
}
