//! A day's load in seconds: terminals post at their pace while charts read at theirs, however long the answers take.

use std::time::Duration;

use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Bench, Side, batches, fill};
use crate::candles::{self, Series, TIMEFRAME, symbol};
use crate::client::{Connection, Prepared, expect, get, post};
use crate::postgres_server::{empty, settle};
use crate::table::{Line, measured};

const TERMINALS: usize = 200;
/// Of each terminal, which posts a candle a minute for every one of them.
const SYMBOLS: usize = 30;
/// How much a minute of the terminals is shortened.
const MINUTE: Duration = Duration::from_secs(6);

const READERS: usize = 50;
const READ_EVERY: Duration = Duration::from_millis(500);
const CHART: usize = 300;

pub async fn measure(bench: &Bench) -> Vec<Line> {
    let url = bench.url(Side::Ours);
    empty(url).await;
    let stored: Vec<_> = (0..READERS).map(|reader| batches(reader * SYMBOLS, 0, 1, CHART)).collect();
    fill(url, stored.iter().map(Vec::as_slice)).await;
    settle(url).await;

    let length = 10 * bench.plan.length;
    let before = bench.service.cpu_seconds();
    let start = Instant::now() + Duration::from_millis(100);
    let (mut posts, mut pages) = (JoinSet::new(), JoinSet::new());
    for terminal in 0..TERMINALS {
        let pace = MINUTE.div_f64(SYMBOLS as f64);
        // Terminals do not agree on when to post.
        let first = start + pace.mul_f64(terminal as f64 / TERMINALS as f64);
        let connection = Connection::open(bench.address(Side::Ours)).await.unwrap();
        posts.spawn(paced(connection, candles_of(terminal), first, pace, start + length, StatusCode::CREATED));
    }
    for reader in 0..READERS {
        let first = start + READ_EVERY.mul_f64(reader as f64 / READERS as f64);
        let page = get(&format!("symbol={}&timeframe={TIMEFRAME}&limit={CHART}", symbol(reader * SYMBOLS)));
        let requests = std::iter::repeat(page);
        let connection = Connection::open(bench.address(Side::Ours)).await.unwrap();
        pages.spawn(paced(connection, requests, first, READ_EVERY, start + length, StatusCode::OK));
    }
    let posts: Vec<Duration> = posts.join_all().await.into_iter().flatten().collect();
    let pages: Vec<Duration> = pages.join_all().await.into_iter().flatten().collect();
    let cpu = (bench.service.cpu_seconds() - before) / length.as_secs_f64() * 100.0;

    let load = |done: &[Duration]| done.len() as f64 / length.as_secs_f64();
    let (post_rate, page_rate) = (load(&posts), load(&pages));
    let mut lines = Vec::new();
    for (what, rate, mut times) in [("posts", post_rate, posts), ("pages", page_rate, pages)] {
        times.sort_unstable();
        for percent in [50, 99] {
            let time = times[times.len() * percent / 100].as_secs_f64() * 1_000.0;
            let name =
                format!("mixed, {rate:.0} {what} a second of {TERMINALS} terminals and {READERS} charts, p{percent}");
            lines.push(measured(&name, "ms", &[time], None));
        }
    }
    lines.push(measured("mixed, processor time of the service", "% of a core", &[cpu], None));
    lines
}

/// The posts of a terminal: a candle of each of its symbols, then the next minute's.
fn candles_of(terminal: usize) -> impl Iterator<Item = Prepared> + Send + 'static {
    let mut series: Vec<_> =
        (0..SYMBOLS).map(|number| Series::from_minute(terminal * SYMBOLS + number, CHART)).collect();
    std::iter::repeat_with(move || series.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>())
        .flatten()
        .map(|candle| post(candles::body(&[candle])))
}

/// Sends requests at a pace and tells how long each took from when it was due, so that one that has to wait for the one
/// before it is not taken for a fast one.
async fn paced(
    mut connection: Connection,
    requests: impl Iterator<Item = Prepared>,
    first: Instant,
    pace: Duration,
    end: Instant,
    expected: StatusCode,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut due = first;
    for request in requests {
        if due >= end {
            break;
        }
        tokio::time::sleep_until(due).await;
        expect(&connection.send(request).await.unwrap(), expected);
        times.push(due.elapsed());
        due += pace;
    }
    times
}
