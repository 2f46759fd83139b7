//! Trading strategies over columns of candles.
//!
//! The crate is pure: it reads no file, no clock and no environment, starts no thread, and knows nothing of the program around
//! it. The same bars and the same parameters give the same bits on every machine.
//!
//! The modules in reading order:
//!
//! 1. [`bars`]: the columns of one series, and its tick grid.
//! 2. [`bits`]: a set of bars, in which conditions are kept.
//! 3. [`signals`]: what a strategy wants at the close of each bar.
//! 4. [`settings`]: capital, sizes and costs of a run.
//! 5. [`market`]: the bars as the broker and the figures read them.
//! 6. [`broker`]: what becomes of signals, trade by trade.
//! 7. [`metrics`]: figures of a run, and how far they can be trusted.
//! 8. [`search`]: parameters that make the most of a strategy.

pub mod bars;
pub mod bits;
pub mod broker;
pub mod market;
pub mod metrics;
pub mod search;
pub mod settings;
pub mod signals;
mod ticks;
pub mod trade;

pub use bars::{Bars, BarsError, Columns, TickGrid};
pub use bits::Bits;
pub use market::Market;
pub use metrics::{Metrics, Objective};
pub use settings::{Commission, Settings, SettingsError, Sides, Size};
pub use signals::{Signals, SignalsError};
pub use trade::{ExitReason, Side, Trade};
