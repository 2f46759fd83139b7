//! The row that measures the newest candles of many series, beside the list of the same series.

use hyper::StatusCode;
use sqlx::{Connection, PgConnection};

use super::{Bench, Contender};
use crate::client::{latest, list};
use crate::generator;
use crate::postgres_server::{empty, settle};
use crate::table::{Line, Reference, compared};

const SERIES: usize = 1_000;
const CANDLES: usize = 1_000;
const CONNECTIONS: usize = 4;

/// Lists that are not in any cache.
pub async fn measure(bench: &Bench) -> Vec<Line> {
    let url = bench.url(Contender::Ours);
    empty(url).await;
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select 'S' || series, 'M1', to_timestamp(1500000000 + candle * 60), 1.08500, 1.08650, 1.08480, 1.08620, 1200
         from generate_series(1, {SERIES}) series, generate_series(1, {CANDLES}) candle order by 1, 2, 3"
    );
    sqlx::query(&insert).execute(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
    settle(url).await;
    let address = bench.address(Contender::Ours);
    let (mut newest, mut series) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let mut sides = [(&mut newest, latest as fn(&str) -> _), (&mut series, list as fn(&str) -> _)];
        sides.rotate_left(round % 2);
        for (rates, request) in sides {
            // Each with another limit, so that none is in the cache.
            let requests = (0..CONNECTIONS).map(|client| {
                (0..).map(move |n| request(&format!("limit={}", 10_000 - (n * CONNECTIONS + client + round) % 9_000)))
            });
            let rate = generator::run(address, requests, StatusCode::OK, bench.plan.length).rate();
            eprintln!("bench:   round {round}: {rate:.1}/s");
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let name = format!("newest candles of {SERIES} series, uncached, {CONNECTIONS} connections");
    // They may take 1.2 times as long as the list.
    vec![compared(&name, "lists/s", &newest, &Reference { name: "/series", target: Some(1.0 / 1.2), rates: series })]
}
