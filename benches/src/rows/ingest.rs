//! Rows that measure ingest.

use hyper::StatusCode;

use super::{ALL, Bench, Contender, Rates, Targets, batches, fill};
use crate::bare::{Batches, Columns, Singles, SqliteBatches};
use crate::bare_server::BareServer;
use crate::candles::{Candle, Series};
use crate::client::{self, post};
use crate::contract::Prepared;
use crate::generator;
use crate::influx::{self, Influx};
use crate::load;
use crate::postgres_server::{empty, settle};
use crate::service::{self, Service};
use crate::table::Line;

pub const CONNECTIONS: usize = 4;
const TERMINALS: usize = 64;
/// The number of connections on which the bare clients that insert single rows are fastest.
const BARE_TERMINALS: usize = 16;

/// A round prepares enough work for this many rows a second. A faster contender is done sooner, which does not change
/// its rate.
const MAX_ROWS_PER_SECOND: f64 = 400_000.0;
const MAX_SINGLES_PER_SECOND: f64 = 60_000.0;

/// Makes the batches of a round for each connection. A connection has its own series, and its batches continue those of
/// the round before.
pub fn work(bench: &Bench, round: usize, size: usize) -> Vec<Vec<Vec<Candle>>> {
    let count = share(bench, MAX_ROWS_PER_SECOND / size as f64, CONNECTIONS);
    (0..CONNECTIONS).map(|series| batches(series, round * count, count, size)).collect()
}

/// The number of steps for each of `clients` that keep all of them busy for a round at this total rate.
fn share(bench: &Bench, rate: f64, clients: usize) -> usize {
    (rate * bench.plan.length.as_secs_f64() / clients as f64).ceil() as usize
}

/// Measures posts of `size` candles that are not stored yet.
pub async fn new_candles(bench: &Bench, size: usize, targets: Targets) -> Vec<Line> {
    let contenders = [Contender::Ours, Contender::Bare, Contender::Peer, Contender::Influx];
    let rates = bench.in_turn(&contenders, async |contender, round| {
        let work = work(bench, round, size);
        if let (Contender::Influx, Some(influx)) = (contender, &bench.influx) {
            return into_influx(bench, influx, &work, size);
        }
        empty(bench.url(contender)).await;
        rows_a_second(bench, contender, &work, size).await
    });
    let name = format!("ingest, {size} new candles a post, {CONNECTIONS} connections");
    rates.await.lines(&name, "rows/s", "bare UNNEST", targets)
}

/// Measures posts of 1,000 candles, every second one of which is stored already.
pub async fn duplicates(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    let rates = bench.in_turn(&ALL, async |contender, round| {
        let url = bench.url(contender);
        let work = work(bench, round, SIZE);
        empty(url).await;
        fill(url, work.iter().map(|batches| every_second(batches)).collect::<Vec<_>>().iter().map(Vec::as_slice)).await;
        settle(url).await;
        rows_a_second(bench, contender, &work, SIZE).await
    });
    let name = format!("ingest, {SIZE} a post, every second one a duplicate, {CONNECTIONS} connections");
    rates.await.lines(&name, "rows/s", "bare UNNEST", Targets { bare: Some(0.7), ..Targets::default() })
}

fn every_second(batches: &[Vec<Candle>]) -> Vec<Vec<Candle>> {
    batches.iter().map(|candles| candles.iter().step_by(2).cloned().collect()).collect()
}

async fn rows_a_second(bench: &Bench, contender: Contender, work: &[Vec<Vec<Candle>>], a_post: usize) -> f64 {
    let length = bench.plan.length;
    let done = if contender == Contender::Bare {
        let mut clients = Vec::new();
        for batches in work {
            let columns = batches.iter().map(|candles| Columns::new(candles)).collect();
            clients.push(Batches::new(bench.url(contender), columns).await);
        }
        load::run(clients, length).await
    } else {
        generator::run(bench.address(contender), posts(work, post), StatusCode::CREATED, length)
    };
    done.rate() * a_post as f64
}

/// Writes the same candles into an empty InfluxDB.
fn into_influx(bench: &Bench, influx: &Influx, work: &[Vec<Vec<Candle>>], a_post: usize) -> f64 {
    influx.empty();
    let posts = posts(work, influx::write);
    let done = generator::run(influx.address, posts, StatusCode::NO_CONTENT, bench.plan.length);
    assert_eq!(influx.count(), done.steps * a_post, "InfluxDB has not stored every candle that it accepted");
    done.rate() * a_post as f64
}

/// The requests of each connection.
pub fn posts(work: &[Vec<Vec<Candle>>], post: fn(&[Candle]) -> Prepared) -> Vec<Vec<Prepared>> {
    work.iter().map(|batches| batches.iter().map(|candles| post(candles)).collect()).collect()
}

/// Measures posts of one candle each, as Expert Advisors send them.
pub async fn singles(bench: &Bench) -> Vec<Line> {
    let nothing = client::Page { body: Vec::new(), tag: String::new(), coding: "identity".to_owned() };
    let axum = BareServer::start(&nothing);
    let contenders = [Contender::Ours, Contender::Bare, Contender::Axum, Contender::Peer];
    let rates = bench.in_turn(&contenders, async |contender, round| {
        empty(bench.url(contender)).await;
        if contender == Contender::Bare {
            let mut clients = Vec::new();
            for candles in singles_of(bench, BARE_TERMINALS, round) {
                clients.push(Singles::new(bench.url(contender), candles.collect()).await);
            }
            return load::run(clients, bench.plan.length).await.rate();
        }
        let posts = single_posts(bench, TERMINALS, round);
        let address = if contender == Contender::Axum { axum.address } else { bench.address(contender) };
        generator::run(address, posts, StatusCode::CREATED, bench.plan.length).rate()
    });
    let name = format!("single-candle posts, {TERMINALS} connections");
    rates.await.lines(
        &name,
        "posts/s",
        "bare single rows, 16 connections",
        Targets { bare: Some(2.5), peer: Some(12.0), ..Targets::default() },
    )
}

/// The candles of each client in a round.
fn singles_of(bench: &Bench, clients: usize, round: usize) -> impl Iterator<Item = impl Iterator<Item = Candle>> {
    let count = share(bench, MAX_SINGLES_PER_SECOND, clients);
    (0..clients).map(move |number| Series::from_minute(number, round * count).take(count))
}

/// The posts of each client in a round.
pub fn single_posts(bench: &Bench, clients: usize, round: usize) -> Vec<Vec<Prepared>> {
    singles_of(bench, clients, round).map(|candles| candles.map(|candle| post(&[candle])).collect()).collect()
}

/// Measures posts of 1,000 new candles to a SQLite file.
pub async fn sqlite(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    let mut most_memory = 0.0_f64;
    let contenders = [Contender::Ours, Contender::Bare, Contender::Influx];
    let rates = bench.in_turn(&contenders, async |contender, round| {
        let work = work(bench, round, SIZE);
        if let (Contender::Influx, Some(influx)) = (contender, &bench.influx) {
            return into_influx(bench, influx, &work, SIZE);
        }
        // Each measurement gets a new file, on the disk that holds the other databases.
        let folder = tempfile::tempdir_in(bench.folder()).unwrap();
        let file = folder.path().join("bench.db");
        let url = format!("sqlite://{}", file.display());
        service::migrate(&url);
        let done = if contender == Contender::Bare {
            // SQLite has one writer at a time, so more clients would only wait for each other.
            let batches = work.into_iter().flatten().collect();
            load::run(vec![SqliteBatches::new(&file, batches)], bench.plan.length).await
        } else {
            let service = Service::start(&url).await;
            let done = generator::run(service.address, posts(&work, post), StatusCode::CREATED, bench.plan.length);
            most_memory = service.peak_memory().max(most_memory);
            done
        };
        done.rate() * SIZE as f64
    });
    let rates = rates.await;
    let name = format!("ingest, {SIZE} new candles a post, {CONNECTIONS} connections, SQLite");
    let rates = Rates { memory: most_memory, ..rates };
    rates.lines(
        &name,
        "rows/s",
        "bare prepared inserts",
        Targets { bare: Some(0.6), influx: Some(1.6), ..Targets::default() },
    )
}
