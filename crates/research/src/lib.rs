//! Trading strategies over columns of candles.
//!
//! The crate is pure: it reads no file, no clock and no environment, starts no thread, and does not know the program around
//! it. The same bars and the same parameters give the same bits on every machine.
//!
//! A strategy is one [`definition`]: a few expressions in a subset of Pine v6, over parameters. Validation, signals, warm-up, the
//! [description](describe()) and the [Pine text](pine::script) are made from one tree. No expression can look ahead, and a value
//! that is not defined is `na`.
//!
//! ```
//! use research::{Bars, Cache, Columns, Settings, TickGrid, catalogue, describe, pine};
//!
//! // Bars of a price that goes up and down.
//! let close: Vec<f64> = (0..400).map(|bar| 100.0 + 10.0 * (f64::from(bar) / 20.0).sin()).collect();
//! let columns = Columns {
//!     time: (0..400).map(|bar| bar * 3_600_000).collect(),
//!     open: close.clone(),
//!     high: close.iter().map(|price| price + 0.5).collect(),
//!     low: close.iter().map(|price| price - 0.5).collect(),
//!     close,
//!     volume: vec![1.0; 400],
//! };
//! let bars = Bars::new(columns, TickGrid::of_digits(2)?, Some(3_600_000))?;
//!
//! // A strategy with one parameter changed.
//! let strategy = catalogue::find("macd-signal").ok_or("unknown strategy")?;
//! let parameters = strategy.parameters_of([("fast", "8")]).map_err(|errors| errors[0].clone())?;
//! let bound = strategy.bind(&parameters)?;
//!
//! let cache = Cache::new(64 << 20);
//! let signals = bound.evaluate(&bars, &cache);
//! assert_eq!(signals.first, 33);
//! assert!(signals.enter_long.is_some_and(|bars| bars.count_ones() == 3));
//!
//! println!("{}", describe(strategy));
//! println!("{}", pine::script(strategy, &parameters, &Settings::default(), &[])?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules in reading order:
//!
//! 1. [`bars`]: the columns of one series, and its tick grid.
//! 2. [`bits`]: a set of bars, in which conditions are kept.
//! 3. [`signals`]: the entries and exits of a strategy at the close of each bar.
//! 4. [`settings`]: capital, sizes and costs of a run.
//! 5. [`expr`]: the language: tokens, parser, types and tree.
//! 6. `ops`: the functions of the language, one table and a file of kernels per family.
//! 7. [`mod@column`] and `graph`: evaluation of whole columns, in which equal parts are computed once.
//! 8. [`cache`] and [`formula`]: columns that were computed before, and single expressions.
//! 9. [`definition`], [`parameter`] and [`strategy`]: from texts to bound strategies.
//! 10. [`catalogue`]: a hundred known strategies.
//! 11. [`mod@describe`] and [`pine`]: rules in words, and as Pine Script v6.
//! 12. [`market`]: the bars as the broker and the figures read them.
//! 13. [`broker`] and [`trade`]: the fills of signals, trade by trade.
//! 14. [`metrics`]: figures of a run, and measures of overfitting.
//! 15. [`search`]: the search for good parameters.
//! 16. [`optimization`], [`run`] and [`signal`]: a strategy in a search, in one backtest, and today.

pub mod bars;
pub mod bits;
pub mod broker;
pub mod cache;
pub mod catalogue;
pub mod column;
pub mod definition;
pub mod describe;
pub mod expr;
pub mod formula;
mod graph;
pub mod market;
pub mod metrics;
mod nearest;
mod number;
mod ops;
pub mod optimization;
pub mod parameter;
pub mod pine;
#[cfg(test)]
mod properties;
pub mod run;
pub mod search;
pub mod settings;
pub mod signal;
pub mod signals;
pub mod strategy;
mod ticks;
pub mod trade;

pub use bars::{Bars, BarsError, Columns, TickGrid};
pub use bits::Bits;
pub use cache::Cache;
pub use column::{Column, Value};
pub use definition::{Definition, DefinitionError, Family, Timeframes};
pub use describe::{Description, describe};
pub use formula::Formula;
pub use market::Market;
pub use metrics::{Metrics, Objective};
pub use parameter::{Parameter, ParameterError, ParameterRange, Parameters};
pub use settings::{Commission, Settings, SettingsError, Sides, Size};
pub use signals::{Signals, SignalsError};
pub use strategy::{BindError, Bound, Strategy};
pub use trade::{ExitReason, Side, Trade};
