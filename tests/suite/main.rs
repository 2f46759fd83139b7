//! Every test of the service, in one binary: on both stores, over HTTP or the command line, with the truth read from the
//! database.

mod harness;

mod cli;
mod config;
mod http;
mod ingest;
mod outage;
mod phases;
mod postgres;
mod properties;
mod query;
mod series;
