//! Reports on backtests and optimizations, as PDF for people who decide on money.
//!
//! [`pdf`] makes the file from a [`Report`]: A4, at most [`MAX_PAGES`] pages, with embedded fonts and without images. The crate is
//! pure: it reads no file, no clock and no environment. The same report gives the same bytes.
//!
//! The modules in reading order:
//!
//! 1. [`input`]: what a report is made from.
//! 2. `number`: numbers and dates in words and figures.
//! 3. `font`, `sheet`, `pen`, `table`, `chart`: from texts and numbers to marks on pages.
//! 4. `surface`: the objective over the parameters of a search.
//! 5. `page`: the pages in turn, each with its explanations.
//! 6. `write`: the marks as PDF.

mod chart;
mod font;
pub mod input;
mod number;
mod page;
mod pen;
mod sheet;
mod surface;
mod table;
mod write;

pub use input::{OutOfSample, Ranked, Report, Search, WalkForward, Window};

/// The most pages of a report.
pub const MAX_PAGES: usize = 12;

/// The report as a PDF file.
///
/// Texts may hold any characters. What the fonts lack (they have Latin, Greek and Cyrillic letters) is printed as its code, as
/// `[U+65E5]`. Lists that have no room say how much they leave out.
#[must_use]
pub fn pdf(report: &Report<'_>) -> Vec<u8> {
    let fonts = font::FontData::load();
    let fonts = font::Fonts::new(&fonts);
    let mut pen = pen::Pen::new(&fonts);
    page::all(&mut pen, report);
    let title = page::title(report);
    let (sheets, sections) = pen.finish(&title, page::FOOTER);
    write::pdf(&title, report.strategy.about(), &sheets, &sections)
}
