//! The bench's client beside wrk, which is known for its low cost: what a client costs is taken from what it measures.

use std::io::Read as _;
use std::process::{Command, Stdio};

use hyper::StatusCode;

use super::{Bench, ingest};
use crate::bare_server::BareServer;
use crate::candles::{self, Series};
use crate::client;
use crate::contract::KEY;
use crate::generator;
use crate::process;
use crate::table::{Line, measured};

const CONNECTIONS: usize = 64;

/// The processor time that each client spends on a single-candle post to a server that stores nothing.
pub fn measure(bench: &Bench) -> Vec<Line> {
    let nothing = client::Page { body: Vec::new(), tag: String::new(), coding: "identity".to_owned() };
    let server = BareServer::start(&nothing);
    let wrk = std::env::var("WRK").inspect_err(|_| eprintln!("bench: WRK names no wrk, so it is skipped")).ok();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let own = own_cost(bench, &server, round);
        let other = wrk.as_ref().map(|wrk| cost_of_wrk(bench, &server, wrk));
        eprintln!("bench:   round {round}: {own:.2} µs, wrk: {other:.2?} µs");
        if round > 0 {
            ours.push(own);
            theirs.extend(other);
        }
    }
    let name = |client: &str| format!("processor time of {client} for a single-candle post, {CONNECTIONS} connections");
    let clients = [(name("the bench's client"), ours), (name("wrk"), theirs)];
    let measurable = clients.iter().filter(|(_, figures)| !figures.is_empty());
    measurable.map(|(name, figures)| measured(name, "µs", figures, None)).collect()
}

fn own_cost(bench: &Bench, server: &BareServer, round: usize) -> f64 {
    let posts = ingest::single_posts(bench, CONNECTIONS, round);
    let before = process::own_cpu_seconds(std::process::id());
    let done = generator::run(server.address, posts, StatusCode::CREATED, bench.plan.length);
    (process::own_cpu_seconds(std::process::id()) - before) * 1e6 / done.steps as f64
}

fn cost_of_wrk(bench: &Bench, server: &BareServer, wrk: &str) -> f64 {
    let body = candles::body(&Series::new(0).take(1).collect::<Vec<_>>());
    let script = tempfile::NamedTempFile::new().unwrap();
    let headers = format!("{{ ['x-api-key'] = '{KEY}', ['content-type'] = 'application/json' }}");
    let lua = format!("wrk.method = 'POST'\nwrk.headers = {headers}\nwrk.body = '{body}'\n");
    std::fs::write(script.path(), lua).unwrap();
    let seconds = bench.plan.length.as_secs_f64().ceil();
    let mut child = Command::new(wrk)
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(script.path())
        .arg(format!("http://{}/api/v1/candles", server.address))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    // It has ended, and its figures can be read until it is waited for.
    let time = process::own_cpu_seconds(child.id());
    assert!(child.wait().unwrap().success() && !report.contains("Non-2xx"), "{report}");
    let line = report.lines().find(|line| line.contains(" requests in ")).unwrap();
    let requests: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    time * 1e6 / requests
}
