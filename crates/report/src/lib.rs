//! Reports on backtests and optimizations, as PDF for people who decide on money.
//!
//! [`pdf`] makes the file from a [`Report`]: A4, at most [`MAX_PAGES`] pages, with embedded fonts and without images. The crate is
//! pure: it reads no file, no clock and no environment. The same report gives the same bytes.
//!
//! ```
//! use report::Report;
//! use research::{Bars, Cache, Columns, Market, Settings, TickGrid, catalogue, pine, run::Backtest};
//!
//! // Bars of a price that goes up and down.
//! let close: Vec<f64> = (0..400).map(|bar| 100.0 + (10.0 * (f64::from(bar) / 20.0).sin()).round()).collect();
//! let columns = Columns {
//!     time: (0..400).map(|bar| bar * 3_600_000).collect(),
//!     open: close.clone(),
//!     high: close.clone(),
//!     low: close.clone(),
//!     close,
//!     volume: vec![1.0; 400],
//! };
//! let market = Market::new(Bars::new(columns, TickGrid::of_digits(2)?, Some(3_600_000))?, None);
//!
//! let strategy = catalogue::find("sma-cross").ok_or("unknown strategy")?;
//! let (parameters, settings) = (strategy.defaults(), Settings::default());
//! let backtest = Backtest { strategy, parameters: &parameters, market: &market, bars: 100..400, settings: &settings };
//! let (result, equity) = backtest.run_with_equity(&Cache::new(1 << 20))?;
//! let file = report::pdf(&Report {
//!     name: "",
//!     symbol: "EURUSD",
//!     timeframe: "H1",
//!     strategy,
//!     parameters: &parameters,
//!     settings: &settings,
//!     market: &market,
//!     backtest: &result,
//!     equity: &equity,
//!     search: None,
//!     warnings: &[],
//!     script: &pine::script(strategy, &parameters, &settings, &[])?,
//! });
//! assert!(file.starts_with(b"%PDF-"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules in reading order:
//!
//! 1. [`input`]: the results that a report is made from.
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

/// The maximum number of pages of a report.
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
