//! Optimizes a strategy on an invented market and writes the report:
//!
//! ```text
//! cargo run --release -p candlewick-report --example report -- report.pdf [STRATEGY] [walk]
//! ```
//!
//! With `walk` the search moves through time (walk-forward); otherwise the last quarter of the candles is kept from it.
#![expect(clippy::print_stdout, reason = "a program that says what it wrote")]

use std::{error::Error, time::Instant};

use candle::{OhlcField, Price};
use market::{INSTRUMENTS, Market};
use research::{
    Bars, Columns, Objective, TickGrid, catalogue,
    search::{Method, OutOfSample, WalkForward},
};

#[path = "../tests/pdf/case.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "a part of the tests, which use more of it and fail by panicking")]
mod case;

const HOUR_MS: i64 = 3_600_000;
/// 2 January 2023.
const FIRST_MS: i64 = 1_672_617_600_000;
const HOURS: i64 = 2 * 365 * 24;
/// Bars before the traded ones, for indicators to warm up.
const WARM_UP: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("say where the report goes, as in: report.pdf donchian walk")?;
    let id = arguments.get(1).map_or("donchian", String::as_str);
    let strategy = catalogue::find(id).ok_or_else(|| format!("there is no strategy {id}"))?;
    let bars = eurusd()?;
    let count = bars.len();
    let out_of_sample = match arguments.get(2).map(String::as_str) {
        Some("walk") => OutOfSample::WalkForward(WalkForward { in_bars: 3_000, out_bars: 750, anchored: false }),
        _ => OutOfSample::Forward { from: count - (count - WARM_UP) / 4 },
    };
    let request = case::SearchRequest {
        ranges: Vec::new(),
        bars: WARM_UP..count,
        method: Method::Genetic,
        max_evaluations: 1_000,
        objective: Objective::Sharpe,
        out_of_sample,
    };
    let mut case = case::Case::optimized(&bars, strategy, &request);
    case.name = "An invented market".into();
    let begin = Instant::now();
    let pdf = report::pdf(&case.report());
    let took = begin.elapsed();
    std::fs::write(path, &pdf)?;
    println!("{path}: {} bytes, made in {} ms", pdf.len(), took.as_millis());
    Ok(())
}

/// Two years of hours of EURUSD.
fn eurusd() -> Result<Bars, Box<dyn Error>> {
    let mut market = Market::new();
    let mut columns = Columns::default();
    for time in (0..HOURS).map(|hour| FIRST_MS + hour * HOUR_MS) {
        // Every sixth minute gives the hour's range well enough.
        let minutes = (0..60).step_by(6).chain([59]).map(|minute| time + minute * 60_000);
        let candles: Vec<candle::Candle> =
            minutes.filter_map(|minute| market.candle(&INSTRUMENTS[0], minute)).collect();
        let (Some(first), Some(last)) = (candles.first(), candles.last()) else { continue };
        let prices = |field| candles.iter().map(move |candle| real(candle.ohlc.get(field)));
        columns.time.push(time);
        columns.open.push(real(first.ohlc.get(OhlcField::Open)));
        columns.high.push(prices(OhlcField::High).fold(f64::MIN, f64::max));
        columns.low.push(prices(OhlcField::Low).fold(f64::MAX, f64::min));
        columns.close.push(real(last.ohlc.get(OhlcField::Close)));
        columns.volume.push(1.0);
    }
    Ok(Bars::new(columns, TickGrid::of_digits(5)?, Some(HOUR_MS))?)
}

fn real(price: Price) -> f64 {
    let mut text = String::new();
    price.write_to(&mut text);
    text.parse().unwrap_or_default()
}
