//! Prints the strategies of the catalogue, or one with its rules and its Pine text:
//!
//! ```text
//! cargo run -p candlewick-research --example catalogue
//! cargo run -p candlewick-research --example catalogue -- donchian entry=55 exit=20
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use research::{Settings, catalogue, describe, pine};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((id, values)) = arguments.split_first() else {
        for strategy in catalogue::all() {
            println!("{:24} {:16} {}", strategy.id(), strategy.family().name(), strategy.about());
        }
        return Ok(());
    };
    let strategy =
        catalogue::find(id).ok_or_else(|| format!("{id} is unknown; near are {:?}", catalogue::nearest(id, 3)))?;
    let values = values.iter().filter_map(|value| value.split_once('='));
    let parameters = strategy.parameters_of(values).map_err(|errors| errors[0].clone())?;
    println!("{}\n", strategy.title());
    println!("{}", describe(strategy));
    println!("Needs {} bars before the first of interest.\n", strategy.warm_up(&parameters)?);
    println!("{}", pine::script(strategy, &parameters, &Settings::default(), &[])?);
    Ok(())
}
