//! Fills pages from top to bottom.

use crate::{
    font::Fonts,
    sheet::{Area, HAIRLINE, Line, MUTED, Mark, Sheet, Style},
};

/// A4 in points.
pub(crate) const PAGE_WIDTH: f32 = 595.28;
pub(crate) const PAGE_HEIGHT: f32 = 841.89;
/// The left and right edges of everything.
pub(crate) const LEFT: f32 = 51.0;
pub(crate) const RIGHT: f32 = PAGE_WIDTH - 51.0;
pub(crate) const WIDTH: f32 = RIGHT - LEFT;
const TOP: f32 = 76.0;
pub(crate) const BOTTOM: f32 = PAGE_HEIGHT - 62.0;
/// The space between parts that are side by side.
pub(crate) const GUTTER: f32 = 18.0;
const HEADER_Y: f32 = 40.0;
const FOOTER_Y: f32 = PAGE_HEIGHT - 36.0;

/// The pages so far, and the place on the last one where the next thing goes.
pub(crate) struct Pen<'f> {
    fonts: &'f Fonts<'f>,
    sheets: Vec<Sheet>,
    sections: Vec<(String, usize)>,
    pub(crate) y: f32,
}

impl<'f> Pen<'f> {
    pub(crate) fn new(fonts: &'f Fonts<'f>) -> Self {
        Self { fonts, sheets: Vec::new(), sections: Vec::new(), y: TOP }
    }

    /// The number of pages so far.
    pub(crate) fn pages(&self) -> usize {
        self.sheets.len()
    }

    /// Begins a page without a heading, which readers find in the outline by its title.
    pub(crate) fn page(&mut self, title: &str) {
        self.sections.push((title.to_owned(), self.sheets.len()));
        self.sheets.push(Sheet::default());
        self.y = TOP;
    }

    /// Begins a section on a page of its own.
    pub(crate) fn section(&mut self, title: &str, introduction: &str) {
        self.page(title);
        self.heading(title);
        self.paragraph(LEFT, WIDTH, introduction, Style::BODY);
        self.y += 8.0;
    }

    /// Begins another page of the current section.
    pub(crate) fn continued(&mut self) {
        let title = self.sections.last().map_or(String::new(), |(title, _)| format!("{title}, continued"));
        self.sheets.push(Sheet::default());
        self.y = TOP;
        self.heading(&title);
    }

    fn heading(&mut self, title: &str) {
        self.y += Style::HEADING.size;
        self.text(LEFT, self.y, title, Style::HEADING);
        self.y += 18.0;
    }

    /// The title of a part of a section, kept on one page with the next `height` points.
    pub(crate) fn part(&mut self, title: &str, height: f32) {
        self.keep(height + 36.0);
        self.y += 20.0;
        self.text(LEFT, self.y, title, Style::SUBHEADING);
        self.y += 10.0;
    }

    /// Goes on to the next page if this one has less than `height` left.
    pub(crate) fn keep(&mut self, height: f32) {
        if self.y + height > BOTTOM {
            self.continued();
        }
    }

    /// The next `height` points over the whole width, kept on one page.
    pub(crate) fn area(&mut self, height: f32) -> Area {
        self.keep(height);
        let area = Area { x: LEFT, y: self.y, width: WIDTH, height };
        self.y += height;
        area
    }

    pub(crate) fn sheet(&mut self) -> &mut Sheet {
        if self.sheets.is_empty() {
            self.sheets.push(Sheet::default());
        }
        let last = self.sheets.len() - 1;
        &mut self.sheets[last]
    }

    /// A text as one line.
    pub(crate) fn line(&self, text: &str, style: Style) -> Line {
        let shaped = self.fonts.shape(style.face, text);
        Line { text: shaped.text, glyphs: shaped.glyphs, style, width: shaped.width * style.size }
    }

    fn put(&mut self, x: f32, y: f32, line: Line) {
        if !line.glyphs.is_empty() {
            self.sheet().marks.push(Mark::Text { x, y, line });
        }
    }

    /// A text that begins at `x`.
    pub(crate) fn text(&mut self, x: f32, y: f32, text: &str, style: Style) {
        let line = self.line(text, style);
        self.put(x, y, line);
    }

    /// A text that ends at `x`.
    pub(crate) fn text_before(&mut self, x: f32, y: f32, text: &str, style: Style) {
        let line = self.line(text, style);
        self.put(x - line.width, y, line);
    }

    /// A text whose middle is `x`.
    pub(crate) fn text_around(&mut self, x: f32, y: f32, text: &str, style: Style) {
        let line = self.line(text, style);
        self.put(x - line.width / 2.0, y, line);
    }

    /// A text in as large a size as fits, at most that of the style, and cut with an ellipsis below 6 points.
    pub(crate) fn text_within(&mut self, x: f32, y: f32, width: f32, text: &str, style: Style) {
        let natural = self.line(text, style).width;
        let size =
            if natural > width { (style.size * width / natural).max(6.0_f32.min(style.size)) } else { style.size };
        let style = Style { size, ..style };
        let text = self.cut(text, width + 0.5, style);
        self.text(x, y, &text, style);
    }

    /// The text, or as much of it as fits before an ellipsis.
    pub(crate) fn cut(&self, text: &str, width: f32, style: Style) -> String {
        let fits = |text: &str| self.fonts.width(style.face, text) * style.size <= width;
        if fits(text) {
            return text.to_owned();
        }
        let ends: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let fitting = ends.partition_point(|end| fits(&format!("{}…", &text[..*end])));
        format!("{}…", &text[..fitting.checked_sub(1).map_or(0, |last| ends[last])])
    }

    /// The lines of a text in a column. It breaks at spaces, and within a word that is wider than the column.
    pub(crate) fn lines(&self, text: &str, width: f32, style: Style) -> Vec<String> {
        let measure = |text: &str| self.fonts.width(style.face, text) * style.size;
        let space = measure(" ");
        let mut lines = Vec::new();
        let (mut line, mut used) = (String::new(), 0.0);
        for word in text.split_whitespace() {
            let mut word = word;
            let mut length = measure(word);
            if !line.is_empty() && used + space + length > width {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            while line.is_empty() && length > width {
                let ends: Vec<usize> = word.char_indices().map(|(place, _)| place).skip(1).collect();
                let fitting = ends.partition_point(|end| measure(&word[..*end]) <= width);
                let Some(end) = ends.get(fitting.saturating_sub(1)) else { break };
                lines.push(word[..*end].to_owned());
                word = &word[*end..];
                length = measure(word);
            }
            if !line.is_empty() {
                line.push(' ');
                used += space;
            }
            line.push_str(word);
            used += length;
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    /// A text in a column at the pen.
    pub(crate) fn paragraph(&mut self, x: f32, width: f32, text: &str, style: Style) {
        for line in self.lines(text, width, style) {
            self.keep(style.leading());
            self.y += style.leading();
            self.text(x, self.y - 0.3 * style.size, &line, style);
        }
    }

    /// Numbered or marked sentences.
    pub(crate) fn list(&mut self, x: f32, width: f32, sentences: &[String], style: Style) {
        for (place, sentence) in sentences.iter().enumerate() {
            let lines = self.lines(sentence, width - 16.0, style);
            self.keep(style.leading());
            self.text(x, self.y + style.leading() - 0.3 * style.size, &format!("{}", place + 1), style.colored(MUTED));
            for line in lines {
                self.keep(style.leading());
                self.y += style.leading();
                self.text(x + 16.0, self.y - 0.3 * style.size, &line, style);
            }
            self.y += 3.0;
        }
    }

    /// The pages with a header and a footer on each, and the sections with their pages.
    pub(crate) fn finish(mut self, header: &str, footer: &str) -> (Vec<Sheet>, Vec<(String, usize)>) {
        let sheets = std::mem::take(&mut self.sheets);
        let total = sheets.len();
        for (place, sheet) in sheets.into_iter().enumerate() {
            self.sheets.push(sheet);
            // The first page says the same in large letters.
            if place > 0 {
                let header = self.cut(header, WIDTH, Style::LABEL);
                self.text(LEFT, HEADER_Y, &header, Style::LABEL);
                self.sheet().rule(LEFT, RIGHT, HEADER_Y + 7.0, HAIRLINE, 0.5);
            }
            self.sheet().rule(LEFT, RIGHT, FOOTER_Y - 11.0, HAIRLINE, 0.5);
            self.text(LEFT, FOOTER_Y, footer, Style::LABEL);
            self.text_before(RIGHT, FOOTER_Y, &format!("Page {} of {total}", place + 1), Style::LABEL);
        }
        (self.sheets, self.sections)
    }
}
