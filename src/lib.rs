//! Candlewick keeps OHLCV candles and serves them to charts.
//!
//! In reading order: the crate [`candle`] says what a candle is; [`errors`] puts errors into words; [`clock`] tells the
//! time; [`config`] reads flags and the environment; [`telemetry`] writes the log, counts and reports failures;
//! [`detach_on_drop`] finishes what nobody waits for; [`store`] keeps candles in Postgres or SQLite; [`validation`]
//! says what is wrong with a request and [`schema`] what may stand in one; [`ingest`] takes batches in and [`query`]
//! gives pages out; [`http`] puts them on the wire; [`first_contact`] reaches the store and [`housekeeping`] keeps it
//! ready; [`app`] puts it all together, [`shutdown`] and [`reload`] say when to stop and when to read keys again;
//! [`healthcheck`] asks a running service and [`check`] looks at what a start would meet; [`cli`] starts all of them.
//! Imports point from the end of this list to its beginning.

pub mod app;
mod check;
pub mod cli;
pub mod clock;
pub mod config;
mod detach_on_drop;
pub mod errors;
mod first_contact;
mod healthcheck;
mod housekeeping;
pub mod http;
pub mod ingest;
pub mod query;
mod reload;
pub mod schema;
mod shutdown;
pub mod store;
pub mod telemetry;
pub mod validation;
