//! Rows that measure reads.

use std::iter;
use std::net::SocketAddr;

use chrono::TimeDelta;
use hyper::StatusCode;

use super::{ALL, Bench, Contender, Targets, WITHOUT_PEER, batches, fill};
use crate::bare::{Pages, Place};
use crate::bare_server::{self, BareServer};
use crate::candles::{Random, TIMEFRAME, beginning, symbol};
use crate::client::{Page, get, get_again, get_gzip, page};
use crate::contract::Prepared;
use crate::postgres_server::{empty, settle};
use crate::table::Line;
use crate::{generator, load};

const CONNECTIONS: usize = 4;
/// The stored data: this many series of this many candles.
const SERIES: usize = 4;
const LENGTH: usize = 200_000;

const BARE_HANDLER: &str = "bare axum handler";
/// The service beside its bare limit and beside itself without compression.
const GZIP: [Contender; 3] = [Contender::Ours, Contender::Bare, Contender::Plain];

async fn store(bench: &Bench) {
    const BATCH: usize = 2_000;
    let series: Vec<_> = (0..SERIES).map(|number| batches(number, 0, LENGTH / BATCH, BATCH)).collect();
    for contender in ALL {
        empty(bench.url(contender)).await;
        fill(bench.url(contender), series.iter().map(Vec::as_slice)).await;
        settle(bench.url(contender)).await;
    }
}

/// Random pages of `candles` candles, so that hardly any page is read twice.
fn places(
    contender: Contender,
    client: usize,
    round: usize,
    candles: usize,
) -> impl Iterator<Item = Place> + Send + 'static {
    let mut random = Random::new((contender as usize * 1_000_000 + client * 1_000 + round) as u64);
    iter::from_fn(move || {
        let symbol = symbol(usize::try_from(random.below(SERIES as i64)).unwrap());
        let minute = candles as i64 + random.below((LENGTH - candles) as i64);
        Some((symbol, beginning() + TimeDelta::minutes(minute)))
    })
}

fn page_at((symbol, before): &Place, size: usize) -> String {
    format!("symbol={symbol}&timeframe={TIMEFRAME}&before={}&limit={size}", before.timestamp_millis())
}

/// The page that a chart shows first: the newest candles.
fn newest(size: usize) -> String {
    format!("symbol={}&timeframe={TIMEFRAME}&limit={size}", symbol(0))
}

/// Pages of `size` candles that are not in any cache.
pub async fn uncached(bench: &Bench, size: usize, targets: Targets) -> Vec<Line> {
    store(bench).await;
    let rates = bench.in_turn(&ALL, async |contender, round| random_pages(bench, contender, round, size, get).await);
    let name = format!("GET of {size} candles, uncached, {CONNECTIONS} connections");
    rates.await.lines(&name, "pages/s", "bare row fetch", targets)
}

/// Pages that are not in any cache, for clients that accept gzip.
pub async fn uncached_gzip(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    store(bench).await;
    let sample = page(bench.address(Contender::Ours), &get_gzip(&newest(SIZE))).await;
    let rates = bench.in_turn(&GZIP, async |contender, round| {
        let request = if contender == Contender::Ours { get_gzip } else { get };
        random_pages(bench, contender, round, SIZE, request).await
    });
    let name = format!("GET of {SIZE} candles, uncached, {}, {CONNECTIONS} connections", on_request(&sample));
    rates.await.lines(&name, "pages/s", "bare row fetch", Targets::default())
}

async fn random_pages(
    bench: &Bench,
    contender: Contender,
    round: usize,
    candles: usize,
    request: fn(&str) -> Prepared,
) -> f64 {
    let places = (0..CONNECTIONS).map(|client| places(contender, client, round, candles));
    let done = if contender == Contender::Bare {
        let mut clients = Vec::new();
        for places in places {
            clients.push(Pages::new(bench.url(contender), places, candles as i64).await);
        }
        load::run(clients, bench.plan.length).await
    } else {
        let requests = places.map(|places| places.map(move |place| request(&page_at(&place, candles))));
        generator::run(bench.address(contender), requests, StatusCode::OK, bench.plan.length)
    };
    done.rate()
}

/// The same page again and again.
pub async fn hot(bench: &Bench, size: usize, targets: Targets) -> Vec<Line> {
    store(bench).await;
    let request = get(&newest(size));
    let bare = BareServer::start(&page(bench.address(Contender::Ours), &request).await);
    let rates = bench.in_turn(&ALL, async |contender, _| {
        let address = if contender == Contender::Bare { bare.address } else { bench.address(contender) };
        repeated(bench, address, &request, StatusCode::OK)
    });
    let name = format!("GET of {size} candles, hot, {CONNECTIONS} connections");
    rates.await.lines(&name, "pages/s", BARE_HANDLER, targets)
}

/// The same page again and again, for clients that accept gzip.
pub async fn hot_gzip(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    store(bench).await;
    let sample = page(bench.address(Contender::Ours), &get_gzip(&newest(SIZE))).await;
    let bare = BareServer::start(&sample);
    let rates = bench.in_turn(&GZIP, async |contender, _| {
        let address = if contender == Contender::Bare { bare.address } else { bench.address(contender) };
        let request = if contender == Contender::Plain { get(&newest(SIZE)) } else { get_gzip(&newest(SIZE)) };
        repeated(bench, address, &request, StatusCode::OK)
    });
    let name = format!("GET of {SIZE} candles, hot, {}, {CONNECTIONS} connections", on_request(&sample));
    rates.await.lines(&name, "pages/s", BARE_HANDLER, Targets::default())
}

/// The encoding and the size of the page that a request for gzip got.
fn on_request(sample: &Page) -> String {
    format!("gzip on request ({} of {:.0} KiB came)", sample.coding, sample.body.len() as f64 / 1_024.0)
}

/// The same page again and again, for clients that have it already.
pub async fn not_modified(bench: &Bench) -> Vec<Line> {
    const SIZE: usize = 1_000;
    store(bench).await;
    let held = page(bench.address(Contender::Ours), &get(&newest(SIZE))).await;
    let bare = BareServer::start(&held);
    let rates = bench.in_turn(&WITHOUT_PEER, async |contender, _| {
        let (address, tag) = match contender {
            Contender::Bare => (bare.address, bare_server::TAG),
            _ => (bench.address(contender), held.tag.as_str()),
        };
        repeated(bench, address, &get_again(&newest(SIZE), tag), StatusCode::NOT_MODIFIED)
    });
    let name = format!("304 for {SIZE} candles, {CONNECTIONS} connections");
    rates.await.lines(&name, "answers/s", BARE_HANDLER, Targets { bare: Some(0.5), ..Targets::default() })
}

fn repeated(bench: &Bench, address: SocketAddr, request: &Prepared, expected: StatusCode) -> f64 {
    let requests = (0..CONNECTIONS).map(|_| iter::repeat(request.clone()));
    generator::run(address, requests, expected, bench.plan.length).rate()
}
