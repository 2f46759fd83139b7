//! Prints scripts of all strategies over bars in CSV, and the trades that the broker makes of them, for a comparison with another
//! runtime (`tests/oracle/trades.py`):
//!
//! ```text
//! cargo run -p candlewick-research --example trades < bars.csv
//! ```
//!
//! Settings change from strategy to strategy, so that every kind of size, commission and slippage occurs.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use research::{
    Cache, Commission, Market, Parameters, Settings, SettingsError, Sides, Size, Strategy,
    broker::{self, Window},
    catalogue,
    metrics::Full,
    pine,
};

mod csv;

fn main() -> Result<(), Box<dyn Error>> {
    let market = Market::new(csv::bars_from_stdin()?, None);
    let cache = Cache::new(256 << 20);
    let all_settings = settings()?;
    for (place, strategy) in catalogue::all().iter().enumerate() {
        for (bracket, parameters) in [("", strategy.defaults()), ("with a bracket", bracketed(strategy))] {
            let settings = &all_settings[(place + bracket.len()) % all_settings.len()];
            let signals = strategy.bind(&parameters)?.evaluate(market.bars(), &cache);
            let mut full = Full::new(&market, settings.capital(), 0);
            let account = broker::run(&market, &signals, settings, &Window::all(market.len()), &mut full)?;
            println!("strategy {} {bracket} {settings:?}", strategy.id());
            println!("equity {:?}", account.equity);
            for trade in full.trades() {
                let (side, entry, exit) = (trade.side.name(), trade.entry_price, trade.exit_price);
                let (from, until) = (trade.entry_bar, trade.exit_bar);
                println!("trade {side} {from} {entry:?} {until} {exit:?} {:?} {:?}", trade.quantity, trade.profit);
            }
            println!("script\n{}end", pine::script(strategy, &parameters, settings, &[])?);
        }
    }
    Ok(())
}

/// The defaults with a stop and a target of average ranges, where the strategy can have them.
fn bracketed(strategy: &Strategy) -> Parameters {
    let brackets = [("stop_atr", "1.5"), ("target_atr", "2.5")];
    let can = |name: &str| strategy.parameters().iter().any(|parameter| parameter.name == name);
    let values = brackets.into_iter().filter(|(name, _)| can(name));
    strategy.parameters_of(values).unwrap_or_else(|_| strategy.defaults())
}

fn settings() -> Result<Vec<Settings>, SettingsError> {
    let base = Settings::default();
    Ok(vec![
        base.with_commission(Commission::Percent(0.02))?,
        base.with_commission(Commission::Percent(0.05))?.with_slippage_ticks(3)?,
        base.with_size(Size::Fixed(1_000.0))?.with_commission(Commission::PerContract(0.000_1))?,
        base.with_size(Size::Cash(2_500.0))?.with_commission(Commission::PerOrder(0.5))?.with_slippage_ticks(1)?,
        base.with_size(Size::PercentOfEquity(80.0))?.with_commission(Commission::PerOrder(1.0))?,
        base.with_size(Size::PercentOfEquity(50.0))?
            .with_commission(Commission::PerContract(0.000_2))?
            .with_slippage_ticks(2)?,
        base.with_sides(Sides::Long).with_slippage_ticks(1)?,
        base.with_sides(Sides::Short).with_commission(Commission::Percent(0.01))?,
    ])
}
