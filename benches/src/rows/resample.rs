//! Rows that measure candles which are built from minutes.

use std::iter;

use chrono::TimeDelta;
use hyper::StatusCode;

use super::{Bench, Contender, Targets, batches, fill};
use crate::bare::Years;
use crate::candles::{Random, TIMEFRAME, beginning, symbol};
use crate::client::get;
use crate::download::export;
use crate::duckdb::DuckDb;
use crate::postgres_server::{empty, settle};
use crate::table::{Line, Reference, compared};
use crate::{generator, load};

const CONNECTIONS: usize = 4;
/// The candles of a page.
const SIZE: usize = 1_000;
/// The stored minutes: enough for a year and some pages of hours.
const LENGTH: usize = 600_000;
const DAYS: usize = 365;

async fn store(bench: &Bench) {
    const BATCH: usize = 2_000;
    let series = batches(0, 0, LENGTH / BATCH, BATCH);
    empty(bench.url(Contender::Ours)).await;
    fill(bench.url(Contender::Ours), iter::once(series.as_slice())).await;
    settle(bench.url(Contender::Ours)).await;
}

/// Random pages of `SIZE` candles of `minutes` each.
fn pages(query: &'static str, minutes: usize, seed: usize) -> impl Iterator<Item = crate::contract::Prepared> + Send {
    let mut random = Random::new(seed as u64);
    iter::from_fn(move || {
        let minute = SIZE * minutes + usize::try_from(random.below((LENGTH - SIZE * minutes) as i64)).unwrap();
        let before = beginning() + TimeDelta::minutes(i64::try_from(minute).unwrap());
        let symbol = symbol(0);
        Some(get(&format!("symbol={symbol}&{query}&before={}&limit={SIZE}", before.timestamp_millis())))
    })
}

/// Pages of 1,000 hours that are not in any cache, beside stored pages of as many minutes.
pub async fn page(bench: &Bench) -> Vec<Line> {
    store(bench).await;
    let rates = bench.in_turn(&[Contender::Ours, Contender::Stored], async |contender, round| {
        let (query, minutes) = match contender {
            Contender::Ours => ("timeframe=H1&source=M1", 60),
            _ => ("timeframe=M1", 1),
        };
        let requests = (0..CONNECTIONS).map(|client| pages(query, minutes, client * 1_000 + round));
        generator::run(bench.address(contender), requests, StatusCode::OK, bench.plan.length).rate()
    });
    let name = format!("GET of {SIZE} H1 built from {TIMEFRAME}, uncached, {CONNECTIONS} connections");
    rates.await.lines(&name, "pages/s", "bare row fetch", Targets::default())
}

/// The same year in DuckDB, right after, because its process would take memory from the others.
fn beside_duckdb(bench: &Bench, name: &str, ours: &[f64]) -> Option<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let path = folder.path().join("candles.csv");
    let mut file = std::fs::File::create(&path).unwrap();
    let query = format!("symbol={}&timeframe={TIMEFRAME}&time=ms", symbol(0));
    export(bench.address(Contender::Ours), "csv", &query, &mut file);
    let mut duckdb = DuckDb::start(&path)?;
    let first = beginning() + TimeDelta::days(1);
    let command = format!("days {} {DAYS}", first.timestamp_millis());
    let rates: Vec<f64> = (0..=ours.len()).map(|_| 1.0 / duckdb.seconds(&command)).skip(1).collect();
    // It may take three times as long as DuckDB does.
    let reference = Reference { name: "DuckDB in memory, 1 thread", target: Some(1.0 / 3.0), rates };
    Some(compared(name, "pages/s", ours, &reference))
}

/// A year of days, beside the statement that a query tool would send.
pub async fn year(bench: &Bench) -> Vec<Line> {
    store(bench).await;
    let first = beginning() + TimeDelta::days(1);
    let rates = bench.in_turn(&[Contender::Ours, Contender::Bare], async |contender, round| {
        if contender == Contender::Bare {
            let client = Years::new(bench.url(Contender::Ours), symbol(0), first, DAYS as i64).await;
            return load::run(vec![client], bench.plan.length).await.rate();
        }
        // Each begins another minute later, so that none is in the cache.
        let requests = (0..10_000).map(move |n| {
            let from = first.timestamp_millis() - (round as i64 * 10_000 + n) - 1;
            get(&format!("symbol={}&timeframe=D1&source=M1&from={from}&limit={DAYS}", symbol(0)))
        });
        generator::run(bench.address(contender), iter::once(requests), StatusCode::OK, bench.plan.length).rate()
    });
    let name = format!("{DAYS} D1 built from {TIMEFRAME}, uncached, 1 connection");
    let rates = rates.await;
    let duckdb = beside_duckdb(bench, &name, &rates.of[Contender::Ours as usize]);
    let targets = Targets { bare: Some(2.0), ..Targets::default() };
    let mut lines = rates.lines(&name, "pages/s", "date_trunc and array_agg", targets);
    lines.extend(duckdb);
    lines
}
