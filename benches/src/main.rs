//! Measures the service beside the bare limit of the same work: `make bench`, explained in docs/performance.md.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench fails loudly and prints")]
#![expect(unreachable_pub, reason = "a bench exports nothing")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is chosen by the environment, and the date is today's"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the numbers of benches are small and above 0"
)]

mod answer;
mod bare;
mod bare_server;
mod candles;
mod client;
mod contract;
mod download;
mod duckdb;
mod generator;
mod influx;
mod load;
mod machine;
mod peer;
mod plan;
mod postgres_server;
mod process;
mod redis_server;
mod rows;
mod service;
mod strategies;
mod table;
mod worker;

use plan::Plan;

/// The argument that makes this program the bare server, which hot pages are compared with. It runs in its own process,
/// because the service does, too.
const BARE_SERVER: &str = "bare-server";
/// The argument that makes this program do work on strategies, in a process whose memory is measured.
const WORKER: &str = "worker";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, page, coding] = &arguments[..]
        && first == BARE_SERVER
    {
        return bare_server::serve(page.as_ref(), coding).await;
    }
    if let [first, candles] = &arguments[..]
        && first == WORKER
    {
        return strategies::serve(candles.as_ref());
    }
    let plan = Plan::from_environment();
    let chosen = plan.chosen(&rows::NAMES);
    let before = machine::load_average();
    let mut bench = rows::Bench::start(plan).await;
    let mut lines = Vec::new();
    for name in chosen {
        eprintln!("bench: {name}");
        lines.extend(rows::measure(&mut bench, name).await);
    }
    println!("\n{}", machine::description(&bench.postgres.version().await));
    println!("{}", bench.plan);
    println!("Load average {before} before, {} after.\n", machine::load_average());
    println!("{}", table::table(&lines));
}
