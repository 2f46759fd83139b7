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

pub mod bars;
pub mod bits;
pub mod settings;
pub mod signals;

pub use bars::{Bars, BarsError, Columns, TickGrid};
pub use bits::Bits;
pub use settings::{Commission, Settings, SettingsError, Sides, Size};
pub use signals::{Signals, SignalsError};
