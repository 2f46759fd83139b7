//! Every test of the service, in one binary: on both stores, over HTTP or the command line, with the truth read from the
//! database.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and shows what it measured")]
#![expect(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
#![expect(clippy::disallowed_methods, reason = "the servers to test against are named by the environment")]

mod engine;
mod harness;
mod pgbouncer;
mod pooler;
mod program;
mod proxies;
mod proxy;
mod redis_server;

mod abuse;
mod access;
mod adopting;
mod caching;
mod cancellation;
mod capacity;
mod check;
mod cli;
mod coalescing;
mod config;
mod conflicts;
mod copying;
mod corrections;
mod covering_key;
mod credentials;
mod deleting;
mod delivery;
mod engines;
mod export_round_trip;
mod exports;
mod faults;
mod first_contact;
mod flags;
mod freshness;
mod gaps;
mod handover;
mod health;
mod history;
mod http;
mod imports;
mod index;
mod ingest;
mod jobs;
mod latest;
mod limits;
mod live;
mod log_lines;
mod migrating;
mod monitoring;
mod mt5;
mod newest;
mod not_json;
mod outage;
mod phases;
mod poolers;
mod postgres;
mod properties;
mod query;
mod reload;
mod resample;
mod research;
mod research_api;
mod retention;
mod series;
mod serving;
mod shared_limits;
mod sqlite_file;
mod sqlite_neighbours;
mod sqlite_start;
mod standby;
mod standby_reads;
mod statistics;
mod telemetry;
mod times;
mod tls;
mod unknown_settings;
mod unreadable_rows;
mod untrusted;
