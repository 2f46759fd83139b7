//! The commands about strategies.

use std::path::Path;

use super::arguments::DatabaseFlags;
use super::database::database_config;
use super::error::CommandError;
use super::output::print;
use crate::config::Variables;
use crate::research::{self, BacktestFlags, PineFlags, ResearchError, Strategies, StrategiesFlags};
use crate::store::Store;
use crate::telemetry;

fn strategies(variables: &Variables) -> Result<Strategies, ResearchError> {
    Strategies::read(variables.get("STRATEGIES_DIR").map(Path::new))
}

pub(super) fn list_strategies(flags: &StrategiesFlags, variables: &Variables) -> Result<(), CommandError> {
    print(research::list(&strategies(variables)?, flags)?.trim_end())
}

pub(super) fn print_pine(flags: &PineFlags, variables: &Variables) -> Result<(), CommandError> {
    print(research::pine(&strategies(variables)?, flags)?.trim_end())
}

pub(super) async fn run_backtest(flags: &BacktestFlags, database: DatabaseFlags) -> Result<(), CommandError> {
    let _log = telemetry::init_on_stderr();
    let variables = Variables::from_process(&database.flags());
    let known = strategies(&variables)?;
    let store = Store::open(&database_config(&variables)?)?;
    store.prepare(false).await?;
    let report = research::backtest(&store, &known, flags).await;
    store.close().await;
    print(report?.trim_end())
}
