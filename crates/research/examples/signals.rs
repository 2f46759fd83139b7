//! Prints what strategies want at the close of each bar in CSV. Without arguments, all of the catalogue:
//!
//! ```text
//! cargo run -p candlewick-research --example signals -- sma-cross donchian < bars.csv
//! ```
//!
//! A line has the strategy, the rule and the bars on which it holds; for distances, the number on each bar.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use research::{Cache, catalogue};

mod csv;

fn main() -> Result<(), Box<dyn Error>> {
    let bars = csv::bars_from_stdin()?;
    let cache = Cache::new(256 << 20);
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for strategy in catalogue::all().iter().filter(|known| asked.is_empty() || asked.iter().any(|id| id == known.id()))
    {
        let signals = strategy.bind(&strategy.defaults())?.evaluate(&bars, &cache);
        println!("{},first,{}", strategy.id(), signals.first);
        let sets = [
            ("enterLong", &signals.enter_long),
            ("exitLong", &signals.exit_long),
            ("enterShort", &signals.enter_short),
            ("exitShort", &signals.exit_short),
        ];
        for (rule, set) in sets.iter().filter_map(|(rule, set)| set.as_ref().map(|set| (rule, set))) {
            let held: Vec<String> = set.iter_ones().map(|bar| bar.to_string()).collect();
            println!("{},{rule},{}", strategy.id(), held.join(" "));
        }
        for (rule, column) in [("stopDistance", &signals.stop), ("targetDistance", &signals.target)] {
            if let Some(column) = column {
                let numbers: Vec<String> = column.iter().map(|number| format!("{number:?}")).collect();
                println!("{},{rule},{}", strategy.id(), numbers.join(" "));
            }
        }
    }
    Ok(())
}
