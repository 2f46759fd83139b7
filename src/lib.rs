//! Candlewick keeps OHLCV candles and serves them to charts.
//!
//! In reading order: the crate [`candle`] says what a candle is; [`clock`] tells the time; [`config`] reads the environment; [`telemetry`] writes the log, counts
//! and reports failures; [`to_the_end`] finishes what nobody waits for; [`store`] keeps candles in Postgres or SQLite;
//! [`violation`] says what is wrong with a request and [`schema`] what may stand in one; [`ingest`] takes batches in and
//! [`query`] gives pages out; [`http`] puts them on the wire; [`housekeeping`] keeps the store ready; [`app`] puts it all
//! together, [`shutdown`] and [`reload`] say when to stop and when to read keys again, and [`cli`] starts it. Imports point
//! from the end of this list to its beginning.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
mod housekeeping;
pub mod http;
pub mod ingest;
pub mod query;
mod reload;
pub mod schema;
mod shutdown;
pub mod store;
pub mod telemetry;
mod to_the_end;
pub mod violation;
