//! Prints scripts and signals of all strategies over bars in CSV, at their defaults and at drawn parameters, for a comparison with
//! another runtime (`tests/oracle/signals.py`):
//!
//! ```text
//! cargo run -p candlewick-research --example scripts -- 5 < bars.csv
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use research::{Cache, ParameterRange, Parameters, Settings, Signals, Strategy, catalogue, pine};

mod csv;

fn main() -> Result<(), Box<dyn Error>> {
    let drawn: u64 = std::env::args().nth(1).map_or(Ok(0), |count| count.parse())?;
    let bars = csv::bars_from_stdin()?;
    let cache = Cache::new(256 << 20);
    for strategy in catalogue::all() {
        let sets = std::iter::once(strategy.defaults()).chain((0..drawn).filter_map(|seed| draw(strategy, seed)));
        for parameters in sets {
            let signals = strategy.bind(&parameters)?.evaluate(&bars, &cache);
            println!("strategy {} {:?}", strategy.id(), parameters.values());
            print_signals(&signals);
            println!("script\n{}end", pine::script(strategy, &parameters, &Settings::default(), &[])?);
        }
    }
    Ok(())
}

/// Parameters within their ranges and constraints, the same for the same seed.
fn draw(strategy: &Strategy, seed: u64) -> Option<Parameters> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678;
    let mut below = |count: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % count
    };
    let mut value = |parameter: &research::Parameter| match &parameter.range {
        // Long windows would leave few bars to compare.
        ParameterRange::Int { min, max, .. } => {
            let span = (max - min).min(60).unsigned_abs() + 1;
            (min.unsigned_abs() + below(span)).to_string()
        }
        // Brackets are left out half of the time.
        ParameterRange::Float { .. } if parameter.optional && below(2) == 0 => "0".to_owned(),
        ParameterRange::Float { min, max, .. } => {
            let tenths = u32::try_from(below(21)).unwrap_or(0);
            format!("{:.3}", min + (max - min) * f64::from(tenths) / 20.0)
        }
        ParameterRange::Choice { options, .. } => {
            options[usize::try_from(below(options.len() as u64)).unwrap_or(0)].clone()
        }
    };
    let sets = (0..1000).map(|_| {
        let values: Vec<String> = strategy.parameters().iter().map(&mut value).collect();
        let names = strategy.parameters().iter().map(|parameter| parameter.name.as_str());
        strategy.parameters_of(names.zip(values.iter().map(String::as_str)))
    });
    sets.filter_map(Result::ok).find(|parameters| strategy.bind(parameters).is_ok())
}

fn print_signals(signals: &Signals) {
    println!("first {}", signals.first);
    let sets = [
        ("enterLong", &signals.enter_long),
        ("exitLong", &signals.exit_long),
        ("enterShort", &signals.enter_short),
        ("exitShort", &signals.exit_short),
    ];
    for (rule, set) in sets.iter().filter_map(|(rule, set)| set.as_ref().map(|set| (rule, set))) {
        let held: Vec<String> = set.iter_ones().map(|bar| bar.to_string()).collect();
        println!("{rule} {}", held.join(" "));
    }
    for (rule, column) in [("stopDistance", &signals.stop), ("targetDistance", &signals.target)] {
        if let Some(column) = column {
            let numbers: Vec<String> = column.iter().map(|number| format!("{number:?}")).collect();
            println!("{rule} {}", numbers.join(" "));
        }
    }
}
