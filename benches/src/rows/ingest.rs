//! Rows that measure ingest.

use hyper::StatusCode;

use super::{ALL, Bench, Contender, Rates, WITHOUT_PEER, batches, fill};
use crate::bare::{Batches, Columns, Singles, SqliteBatches};
use crate::bare_server::BareServer;
use crate::candles::{Candle, Series};
use crate::client::{self, post, senders};
use crate::contract::Prepared;
use crate::load;
use crate::postgres_server::{empty, settle};
use crate::service::{self, Service};
use crate::table::Line;

const CONNECTIONS: usize = 4;
const TERMINALS: usize = 64;
/// The number of connections on which the bare clients that insert single rows are fastest.
const BARE_TERMINALS: usize = 16;

/// A round prepares enough work for this many rows a second. A faster contender is done sooner, which does not change
/// its rate.
const MAX_ROWS_PER_SECOND: f64 = 400_000.0;
const MAX_SINGLES_PER_SECOND: f64 = 60_000.0;

/// Makes the batches of a round for each connection. A connection has its own series, and its batches continue those of
/// the round before.
fn work(bench: &Bench, round: usize, size: usize) -> Vec<Vec<Vec<Candle>>> {
    let count = share(bench, MAX_ROWS_PER_SECOND / size as f64, CONNECTIONS);
    (0..CONNECTIONS).map(|series| batches(series, round * count, count, size)).collect()
}

/// The number of steps for each of `clients` that keep all of them busy for a round at this total rate.
fn share(bench: &Bench, rate: f64, clients: usize) -> usize {
    (rate * bench.plan.length.as_secs_f64() / clients as f64).ceil() as usize
}

/// Measures posts of `size` candles that are not stored yet.
pub async fn new_candles(bench: &Bench, size: usize, targets: (Option<f64>, Option<f64>)) -> Vec<Line> {
    let rates = bench.in_turn(&ALL, async |contender, round| {
        empty(bench.url(contender)).await;
        rows_a_second(bench, contender, &work(bench, round, size), size).await
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
    rates.await.lines(&name, "rows/s", "bare UNNEST", (Some(0.7), None))
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
        load::run(senders(bench.address(contender), posts(work), StatusCode::CREATED).await, length).await
    };
    done.rate() * a_post as f64
}

/// The requests of each connection.
fn posts(work: &[Vec<Vec<Candle>>]) -> Vec<Vec<Prepared>> {
    work.iter().map(|batches| batches.iter().map(|candles| post(candles)).collect()).collect()
}

/// Measures posts of one candle each, as Expert Advisors send them.
pub async fn singles(bench: &Bench) -> Vec<Line> {
    let nothing = client::Page { body: Vec::new(), tag: String::new(), coding: "identity".to_owned() };
    let axum = BareServer::start(&nothing);
    let contenders = [Contender::Ours, Contender::Bare, Contender::Axum, Contender::Peer];
    let rates = bench.in_turn(&contenders, async |contender, round| {
        empty(bench.url(contender)).await;
        let clients = if contender == Contender::Bare { BARE_TERMINALS } else { TERMINALS };
        let count = share(bench, MAX_SINGLES_PER_SECOND, clients);
        let series = (0..clients).map(|number| Series::from_minute(number, round * count).take(count));
        if contender == Contender::Bare {
            let mut clients = Vec::new();
            for candles in series {
                clients.push(Singles::new(bench.url(contender), candles.collect()).await);
            }
            return load::run(clients, bench.plan.length).await.rate();
        }
        let posts: Vec<Vec<_>> = series.map(|candles| candles.map(|candle| post(&[candle])).collect()).collect();
        let address = if contender == Contender::Axum { axum.address } else { bench.address(contender) };
        let clients = senders(address, posts, StatusCode::CREATED).await;
        load::run(clients, bench.plan.length).await.rate()
    });
    let name = format!("single-candle posts, {TERMINALS} connections");
    rates.await.lines(&name, "posts/s", "bare single rows, 16 connections", (Some(2.0), Some(12.0)))
}

/// Measures posts of 1,000 new candles to a SQLite file.
pub async fn sqlite(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    let mut most_memory = 0.0_f64;
    let rates = bench.in_turn(&WITHOUT_PEER, async |contender, round| {
        // Each measurement gets a new file, on the disk that holds the other databases.
        let folder = tempfile::tempdir_in(bench.folder()).unwrap();
        let file = folder.path().join("bench.db");
        let url = format!("sqlite://{}", file.display());
        service::migrate(&url);
        let work = work(bench, round, SIZE);
        let done = if contender == Contender::Bare {
            // SQLite has one writer at a time, so more clients would only wait for each other.
            let batches = work.into_iter().flatten().collect();
            load::run(vec![SqliteBatches::new(&file, batches)], bench.plan.length).await
        } else {
            let service = Service::start(&url).await;
            let clients = senders(service.address, posts(&work), StatusCode::CREATED).await;
            let done = load::run(clients, bench.plan.length).await;
            most_memory = service.peak_memory().max(most_memory);
            done
        };
        done.rate() * SIZE as f64
    });
    let rates = rates.await;
    let name = format!("ingest, {SIZE} new candles a post, {CONNECTIONS} connections, SQLite");
    let rates = Rates { memory: most_memory, ..rates };
    rates.lines(&name, "rows/s", "bare prepared inserts", (Some(0.6), None))
}
