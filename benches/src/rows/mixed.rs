//! Mixed load: terminals post at a fixed pace while charts read at theirs, however long the answers take.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Bench, Contender, batches, fill};
use crate::candles::{Series, TIMEFRAME, symbol};
use crate::client::{Connection, get, post};
use crate::contract::Prepared;
use crate::postgres_server::{empty, settle};
use crate::table::{self, Line, measured};

const TERMINALS: usize = 200;
/// The symbols of each terminal, which posts a candle a minute for each of them.
const SYMBOLS: usize = 30;
/// The duration to which a minute of the terminals is shortened.
const MINUTE: Duration = Duration::from_secs(6);

const READERS: usize = 50;
const READ_EVERY: Duration = Duration::from_millis(500);
const CHART: usize = 300;

/// The pause of a client that was refused.
const REFUSED: Duration = Duration::from_secs(1);

/// The number of figures of a run: times in ms, and % of a core.
const FIGURES: usize = 5;

/// The service and the peer under the same load.
pub async fn beside_peer(bench: &Bench) -> Vec<Line> {
    measure(bench, &[Contender::Ours, Contender::Peer], MINUTE).await
}

/// The service with terminals that post ten times as often.
pub async fn ten_times_as_fast(bench: &Bench) -> Vec<Line> {
    measure(bench, &[Contender::Ours], MINUTE / 10).await
}

async fn measure(bench: &Bench, contenders: &[Contender], minute: Duration) -> Vec<Line> {
    let (mut ours, mut peer) = ([const { Vec::new() }; FIGURES], [const { Vec::new() }; FIGURES]);
    for round in 0..=bench.plan.rounds {
        for contender in bench.turns(contenders, round) {
            let figures = run(bench, contender, minute).await;
            eprintln!("bench:   round {round}, {contender:?}: {figures:.1?}");
            if round > 0 {
                let all = if contender == Contender::Ours { &mut ours } else { &mut peer };
                all.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
            }
        }
    }
    let posts = (TERMINALS * SYMBOLS) as f64 / minute.as_secs_f64();
    let pages = READERS as f64 / READ_EVERY.as_secs_f64();
    let names = [
        format!("{posts:.0} posts a second of {TERMINALS} terminals, p50"),
        format!("{posts:.0} posts a second of {TERMINALS} terminals, p99"),
        format!("{pages:.0} pages a second of {READERS} charts beside {posts:.0} posts, p50"),
        format!("{pages:.0} pages a second of {READERS} charts beside {posts:.0} posts, p99"),
        format!("processor time of {posts:.0} posts and {pages:.0} pages a second"),
    ];
    let units = ["ms", "ms", "ms", "ms", "% of a core"];
    let figures = names.iter().zip(units).zip(ours.iter().zip(&peer));
    figures
        .map(|((name, unit), (ours, peer))| {
            let name = format!("mixed, {name}");
            let line = if peer.is_empty() {
                measured(&name, unit, ours, None)
            } else {
                table::beside_peer(&name, unit, ours, peer)
            };
            line.with_memory(bench.service.peak_memory())
        })
        .collect()
}

/// p50 and p99 of posts, p50 and p99 of pages, and the processor time of the contender.
async fn run(bench: &Bench, contender: Contender, minute: Duration) -> [f64; FIGURES] {
    let url = bench.url(contender);
    empty(url).await;
    let stored: Vec<_> = (0..READERS).map(|reader| batches(reader * SYMBOLS, 0, 1, CHART)).collect();
    fill(url, stored.iter().map(Vec::as_slice)).await;
    settle(url).await;

    let address = bench.address(contender);
    let before = bench.cpu_seconds(contender);
    let start = Instant::now() + Duration::from_millis(100);
    let end = start + 5 * bench.plan.length;
    let (mut posts, mut pages) = (JoinSet::new(), JoinSet::new());
    for terminal in 0..TERMINALS {
        let pace = minute.div_f64(SYMBOLS as f64);
        // Terminals post at different times.
        let first = start + pace.mul_f64(terminal as f64 / TERMINALS as f64);
        posts.spawn(paced(address, candles_of(terminal), [first, end], pace, StatusCode::CREATED));
    }
    for reader in 0..READERS {
        let first = start + READ_EVERY.mul_f64(reader as f64 / READERS as f64);
        let page = get(&format!("symbol={}&timeframe={TIMEFRAME}&limit={CHART}", symbol(reader * SYMBOLS)));
        pages.spawn(paced(address, std::iter::repeat(page), [first, end], READ_EVERY, StatusCode::OK));
    }
    let [post_50, post_99] = percentiles(posts).await;
    let [page_50, page_99] = percentiles(pages).await;
    let cpu = (bench.cpu_seconds(contender) - before) / start.elapsed().as_secs_f64() * 100.0;
    [post_50, post_99, page_50, page_99, cpu]
}

async fn percentiles(times: JoinSet<Vec<Duration>>) -> [f64; 2] {
    let mut times: Vec<Duration> = times.join_all().await.into_iter().flatten().collect();
    times.sort_unstable();
    [50, 99].map(|percent| times[times.len() * percent / 100].as_secs_f64() * 1_000.0)
}

/// The posts of a terminal: a candle of each of its symbols, then the next minute's.
fn candles_of(terminal: usize) -> impl Iterator<Item = Prepared> + Send + 'static {
    let mut series: Vec<_> =
        (0..SYMBOLS).map(|number| Series::from_minute(terminal * SYMBOLS + number, CHART)).collect();
    std::iter::repeat_with(move || series.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>())
        .flatten()
        .map(|candle| post(&[candle]))
}

/// Sends requests at a pace and returns how long each took from the time at which it was due, so that a request that
/// had to wait for the one before it does not count as fast. A request that is refused with 503 is sent again, as
/// terminals do.
async fn paced(
    address: SocketAddr,
    requests: impl Iterator<Item = Prepared>,
    [first, end]: [Instant; 2],
    pace: Duration,
    expected: StatusCode,
) -> Vec<Duration> {
    let mut connection = Connection::open(address).await.unwrap();
    let mut times = Vec::new();
    let mut due = first;
    for request in requests {
        if due >= end {
            break;
        }
        tokio::time::sleep_until(due).await;
        while connection.send(&request).await.unwrap() == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(REFUSED).await;
        }
        connection.expect(expected);
        times.push(due.elapsed());
        due += pace;
    }
    times
}
