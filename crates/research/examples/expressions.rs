//! Evaluates expressions over bars in CSV, and prints a column for each result:
//!
//! ```text
//! cargo run -p candlewick-research --example expressions -- 'ta.sma(close, 20)' 'ta.macd(close, 12, 26, 9)' < bars.csv
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use research::{Cache, Formula, Value};

mod csv;

fn main() -> Result<(), Box<dyn Error>> {
    let bars = csv::bars_from_stdin()?;
    let cache = Cache::new(64 << 20);
    let mut header = vec!["time".to_owned()];
    let mut columns = Vec::new();
    for text in std::env::args().skip(1) {
        let formula = Formula::parse(&text).map_err(|error| format!("{text}: {error}"))?;
        for (place, column) in formula.evaluate(&bars, &cache).into_iter().enumerate() {
            header.push(format!("\"{}:{place}\"", text.replace('"', "\"\"")));
            columns.push(column);
        }
    }
    println!("{}", header.join(","));
    for (bar, time) in bars.time().iter().enumerate() {
        let cells = columns.iter().map(|column| match column {
            // `na` is an empty cell.
            Value::Numbers(numbers) if numbers[bar].is_nan() => String::new(),
            Value::Numbers(numbers) => format!("{:?}", numbers[bar]),
            Value::Flags(flags) => u8::from(flags.get(bar)).to_string(),
        });
        println!("{}", std::iter::once(time.to_string()).chain(cells).collect::<Vec<_>>().join(","));
    }
    Ok(())
}
