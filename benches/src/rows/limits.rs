//! Rows that measure rate limits which replicas share by Redis, beside the limits of one replica.

use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;

use super::{Bench, Contender, batches, fill};
use crate::candles::{TIMEFRAME, symbol};
use crate::client::{Connection, get, page};
use crate::contract::Prepared;
use crate::generator;
use crate::postgres_server::{empty, settle};
use crate::redis_server::RedisServer;
use crate::service::{Service, free_address};
use crate::table::{Line, Reference, compared};

const CONNECTIONS: usize = 4;
const SIZE: usize = 1_000;
/// The number of measurements in which Redis was too slow, after which the row is left out.
const MAX_DISTURBED: usize = 20;
const SHARED: &str = "candlewick_rate_limiter_shared";
const FALLBACKS: &str = "candlewick_rate_limiter_fallbacks_total";

/// A hot page, of whose requests none is refused, and each is decided by Redis on one of the two sides.
pub async fn hot(bench: &Bench) -> Vec<Line> {
    let name = format!("GET of {SIZE} candles, hot, limits shared by Redis, {CONNECTIONS} connections");
    measure(bench, &name, "pages/s", "1000000/s", StatusCode::OK, 0.3).await
}

/// Refusals by the bucket of the service itself, for which it does not ask Redis.
pub async fn refused(bench: &Bench) -> Vec<Line> {
    let name = format!("429, limits shared by Redis, {CONNECTIONS} connections");
    measure(bench, &name, "answers/s", "1/m", StatusCode::TOO_MANY_REQUESTS, 0.95).await
}

async fn measure(bench: &Bench, name: &str, unit: &str, limit: &str, expected: StatusCode, target: f64) -> Vec<Line> {
    let Some(redis) = RedisServer::start().await else { return Vec::new() };
    let url = bench.url(Contender::Ours);
    empty(url).await;
    fill(url, [batches(0, 0, 1, SIZE).as_slice()]).await;
    settle(url).await;
    let request = get(&format!("symbol={}&timeframe={TIMEFRAME}&limit={SIZE}", symbol(0)));
    let alone = Service::start_with(url, &[("RATE_LIMIT_QUERY", limit)]).await;
    let admin = free_address();
    let variables =
        [("RATE_LIMIT_QUERY", limit), ("RATE_LIMIT_REDIS_URL", &*redis.url), ("ADMIN_ADDR", &*admin.to_string())];
    let sharing = Service::start_with(url, &variables).await;
    while figure(admin, SHARED).await < 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for service in [&alone, &sharing] {
        // Uses up a limit that is small, so that only refusals are measured.
        let mut connection = Connection::open(service.address).await.unwrap();
        for _ in 0..3 {
            connection.send(&request).await.unwrap();
        }
    }
    let (mut with, mut without, mut disturbed) = (Vec::new(), Vec::new(), 0);
    for round in 0..=bench.plan.rounds {
        let mut sides = [(&sharing, &mut with), (&alone, &mut without)];
        sides.rotate_left(round % 2);
        for (service, rates) in sides {
            let rate = loop {
                let fallbacks = figure(admin, FALLBACKS).await;
                let requests = (0..CONNECTIONS).map(|_| iter::repeat(request.clone()));
                let done = generator::run(service.address, requests, expected, bench.plan.length);
                let fallbacks = figure(admin, FALLBACKS).await - fallbacks;
                eprintln!(
                    "bench:   round {round}: {:.0}/s, {fallbacks:.0} of {} without Redis",
                    done.rate(),
                    done.steps
                );
                // A service that decides alone is faster, so such a figure would be too good.
                if fallbacks < 0.01 * done.steps as f64 {
                    break done.rate();
                }
                disturbed += 1;
                if disturbed == MAX_DISTURBED {
                    eprintln!("bench:   left out, because Redis takes more than 20 ms on a machine this busy");
                    return Vec::new();
                }
            };
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let reference = Reference { name: "limits of its own", target: Some(target), rates: without };
    vec![compared(name, unit, &with, &reference).with_memory(sharing.peak_memory())]
}

/// A figure of the service's metrics.
async fn figure(admin: SocketAddr, name: &str) -> f64 {
    const METRICS: Prepared = Prepared::from_static(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let metrics = String::from_utf8(page(admin, &METRICS).await.body).unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the figure is there").parse().unwrap()
}
