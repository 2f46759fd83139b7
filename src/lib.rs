//! Candlewick keeps OHLCV candles and serves them to charts.
//!
//! In reading order: the crate [`candle`] defines candles; [`errors`] formats errors; [`clock`] gives the time;
//! [`config`] reads flags and the environment; [`telemetry`] writes the log, counts and reports failures;
//! [`deadline`] bounds the work on a post, [`detach_on_drop`] finishes work whose caller has gone, and [`places`] shares places between clients; [`store`] keeps candles in Postgres or SQLite;
//! [`validation`] describes the errors of a request and [`schema`] its valid values; [`ingest`] stores batches and
//! [`query`] reads pages; [`live`] streams what is new; [`maintain`] corrects and deletes, and [`retention`] deletes what is old;
//! [`research`](mod@research) tests strategies; [`http`] serves them all; [`first_contact`] connects to the store and [`housekeeping`] keeps it
//! ready; [`app`] assembles the service; [`shutdown`] and [`reload`] handle the signals to stop and to read keys again;
//! [`webhook`] posts events;
//! [`history`] holds the commands that read files into the store, write series into files, report gaps, and correct or delete; [`demo`] invents a market; [`healthcheck`] asks a running service for its health and [`check`] reports the problems that a start would have;
//! [`cli`] runs the commands. Imports point from the end of this list to its beginning.

pub mod app;
mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deadline;
mod demo;
mod detach_on_drop;
pub mod errors;
mod first_contact;
mod healthcheck;
mod history;
mod housekeeping;
pub mod http;
pub mod ingest;
pub mod live;
pub mod maintain;
mod places;
pub mod query;
mod reload;
pub mod research;
pub mod retention;
pub mod schema;
mod shutdown;
pub mod store;
pub mod telemetry;
pub mod validation;
mod webhook;
