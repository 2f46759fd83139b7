//! Research on stored candles: the [`strategies`] of the catalogue and of a folder, the [`columns`] of a series, and the
//! commands that list, print and test strategies ([`command`]). The crate [`research`] computes.

mod columns;
mod command;
mod strategies;

use crate::store::StoreError;

pub(crate) use command::{BacktestFlags, PineFlags, StrategiesFlags, backtest, pine, strategies as list};
pub(crate) use strategies::Strategies;

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResearchError {
    /// A value that was given is not valid, or files of strategies are not; the text has a line for each.
    #[error("{0}")]
    Invalid(String),
    /// There are too few candles.
    #[error("{0}")]
    TooFewCandles(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}
