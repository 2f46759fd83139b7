//! Candles out.

use std::iter;

use chrono::TimeDelta;
use hyper::StatusCode;

use super::{ALL, Bench, Side, batches, fill};
use crate::bare::{Pages, Place};
use crate::bare_server::{self, BareServer};
use crate::candles::{Random, TIMEFRAME, beginning, symbol};
use crate::client::{Connection, Prepared, get, get_again, senders};
use crate::load;
use crate::postgres_server::{empty, settle};
use crate::table::Line;

const CONNECTIONS: usize = 4;
/// What is stored to read from: this many series of this many candles.
const SERIES: usize = 4;
const LENGTH: usize = 200_000;

/// The page that a chart shows first: the newest 1,000 candles.
const HOT: &str = "symbol=BENCH000&timeframe=M1&limit=1000";

async fn store(bench: &Bench) {
    const BATCH: usize = 2_000;
    let series: Vec<_> = (0..SERIES).map(|number| batches(number, 0, LENGTH / BATCH, BATCH)).collect();
    for side in ALL {
        empty(bench.url(side)).await;
        fill(bench.url(side), series.iter().map(Vec::as_slice)).await;
        settle(bench.url(side)).await;
    }
}

/// Pages of `size` candles that end anywhere, so that hardly one is asked for twice.
fn places(client: usize, round: usize, size: usize) -> impl Iterator<Item = Place> + Send + 'static {
    let mut random = Random::new((client * 1_000 + round) as u64);
    iter::from_fn(move || {
        let symbol = symbol(usize::try_from(random.below(SERIES as i64)).unwrap());
        let minute = size as i64 + random.below((LENGTH - size) as i64);
        Some((symbol, beginning() + TimeDelta::minutes(minute)))
    })
}

fn page_at((symbol, before): &Place, size: usize) -> String {
    format!("symbol={symbol}&timeframe={TIMEFRAME}&before={}&limit={size}", before.timestamp_millis())
}

/// Pages of `size` candles that nobody holds.
pub async fn uncached(bench: &Bench, size: usize, targets: (Option<f64>, Option<f64>)) -> Vec<Line> {
    store(bench).await;
    let rates = bench.in_turn(&ALL, async |side, round| {
        let places = (0..CONNECTIONS).map(|client| places(client, round, size));
        let done = if side == Side::Bare {
            let mut clients = Vec::new();
            for places in places {
                clients.push(Pages::new(bench.url(side), places, size as i64).await);
            }
            load::run(clients, bench.plan.length).await
        } else {
            let requests = places.map(|places| places.map(move |place| get(&page_at(&place, size))));
            load::run(senders(bench.address(side), requests, StatusCode::OK).await, bench.plan.length).await
        };
        done.rate()
    });
    let name = format!("GET of {size} candles, uncached, {CONNECTIONS} connections");
    rates.await.lines(&name, "pages/s", "bare row fetch", targets)
}

/// The same page again and again.
pub async fn hot(bench: &Bench) -> Vec<Line> {
    store(bench).await;
    let bare = bare_server(bench).await;
    let rates = bench.in_turn(&ALL, async |side, _| {
        let address = if side == Side::Bare { bare.address } else { bench.address(side) };
        repeated(bench, address, &get(HOT), StatusCode::OK).await
    });
    let name = format!("GET of 1000 candles, hot, {CONNECTIONS} connections");
    rates.await.lines(&name, "pages/s", "bare axum handler", (Some(0.6), Some(50.0)))
}

/// The same page again and again, by somebody who has it.
pub async fn not_modified(bench: &Bench) -> Vec<Line> {
    store(bench).await;
    let bare = bare_server(bench).await;
    let (_, tag) = Connection::open(bench.address(Side::Ours)).await.unwrap().page(HOT).await;
    let rates = bench.in_turn(&super::WITHOUT_PEER, async |side, _| {
        let (address, tag) =
            if side == Side::Bare { (bare.address, bare_server::TAG) } else { (bench.address(side), tag.as_str()) };
        repeated(bench, address, &get_again(HOT, tag), StatusCode::NOT_MODIFIED).await
    });
    let name = format!("304 for 1000 candles, {CONNECTIONS} connections");
    rates.await.lines(&name, "answers/s", "bare axum handler", (Some(0.5), None))
}

/// A bare server with the very bytes of the service's page.
async fn bare_server(bench: &Bench) -> BareServer {
    let (page, _) = Connection::open(bench.address(Side::Ours)).await.unwrap().page(HOT).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &page).unwrap();
    BareServer::start(file.path())
}

async fn repeated(bench: &Bench, address: std::net::SocketAddr, request: &Prepared, expected: StatusCode) -> f64 {
    let requests = (0..CONNECTIONS).map(|_| iter::repeat(request.clone()));
    load::run(senders(address, requests, expected).await, bench.plan.length).await.rate()
}
