//! Rows that measure lists of series: cold pages of a large catalogue, and the everyday list that open charts poll.

use std::path::Path;

use hyper::StatusCode;
use sqlx::{Connection, PgConnection};

use super::Bench;
use crate::client::{Connection as Client, list, list_again, page};
use crate::contract::Prepared;
use crate::generator;
use crate::postgres_server::settle;
use crate::service::{self, Service};
use crate::table::{Line, measured};

/// The number of series in the catalogue, of one candle each, and of series in a page.
const CATALOGUE: usize = 1_000_000;
const PAGE: usize = 10_000;
/// 300 symbols in 9 timeframes.
const SYMBOLS: usize = 300;
const TIMEFRAMES: [&str; 9] = ["D1", "H1", "H4", "M1", "M15", "M30", "M5", "MN1", "W1"];
const CANDLES: usize = 1_000;
const CONNECTIONS: usize = 4;
/// The maximum time of a page, and the service's maximum memory in MiB: 16 more than when it is idle.
const MAX_MILLISECONDS: f64 = 50.0;
const MAX_MEMORY: f64 = 20.0 + 16.0;

pub async fn measure(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let mut lines = Vec::new();
    for store in ["Postgres", "SQLite"] {
        let mut databases = Vec::new();
        for name in ["catalogue", "everyday"] {
            eprintln!("bench:   storing the series of {name}, {store}");
            databases.push(fill(bench, store, name, folder.path()).await);
        }
        lines.extend(cold_pages(bench, store, &databases[0]).await);
        lines.extend(everyday(bench, store, &databases[1]).await);
    }
    lines
}

/// Pages from all over the catalogue that are not in the service's cache.
async fn cold_pages(bench: &Bench, store: &str, url: &str) -> Vec<Line> {
    let service = Service::start(url).await;
    page(service.address, &list("after=H1:S0990000")).await;
    let memory_of_one = service.peak_memory();
    let mut figures = Vec::new();
    for round in 0..=bench.plan.rounds {
        let pages = 10;
        let requests = (0..pages).map(|n| list(&format!("after=H1:S{:07}", (10 * round + n) * 17_431 % 980_000)));
        let requests: Vec<Prepared> = requests.collect();
        let done = generator::run(service.address, [requests], StatusCode::OK, bench.plan.length);
        if round > 0 {
            figures.push(1_000.0 / done.rate());
        }
    }
    let name = format!("list of {PAGE} of {CATALOGUE} series, from the database, {store}");
    let memory = |lists: &str| format!("most memory after {lists}, {store}");
    vec![
        measured(&name, "ms", &figures, Some(MAX_MILLISECONDS)),
        measured(&memory("one of these lists"), "MiB", &[memory_of_one], Some(MAX_MEMORY)),
        // By then, the cache is full of these lists.
        measured(&memory("all of them, each within a second of the last"), "MiB", &[service.peak_memory()], None),
    ]
}

/// The whole list of an everyday database: read, from memory, and not modified.
async fn everyday(bench: &Bench, store: &str, url: &str) -> Vec<Line> {
    let service = Service::start(url).await;
    let series = SYMBOLS * TIMEFRAMES.len();
    let mut read = Vec::new();
    let mut client = Client::open(service.address).await.unwrap();
    for n in 0..=bench.plan.rounds {
        // The same list with another limit, so that it is not in the cache.
        let began = std::time::Instant::now();
        client.send_expecting(&list(&format!("limit={}", PAGE - n)), StatusCode::OK).await;
        if n > 0 {
            read.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    let held = page(service.address, &list("")).await;
    let (mut hot, mut unchanged) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        for (rates, request, status) in [
            (&mut hot, list(""), StatusCode::OK),
            (&mut unchanged, list_again("", &held.tag), StatusCode::NOT_MODIFIED),
        ] {
            let clients = vec![std::iter::repeat(request); CONNECTIONS];
            let rate = generator::run(service.address, clients, status, bench.plan.length).rate();
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let name = |what: &str| format!("list of {series} series of {CANDLES} candles, {what}, {store}");
    vec![
        measured(&name("from the database"), "ms", &read, None),
        measured(&name(&format!("hot, {CONNECTIONS} connections")), "answers/s", &hot, None),
        measured(&name(&format!("304, {CONNECTIONS} connections")), "answers/s", &unchanged, None),
    ]
}

/// Makes a database, and returns its address.
async fn fill(bench: &Bench, store: &str, name: &str, folder: &Path) -> String {
    let timeframes = TIMEFRAMES.map(|name| format!("select '{name}' as name")).join(" union all ");
    let numbers = |count: usize| match store {
        "Postgres" => format!("(select n from generate_series(0, {count} - 1) n)"),
        _ => format!(
            "(with recursive n(n) as (select 0 union all select n + 1 from n where n < {count} - 1) select n from n)"
        ),
    };
    let (price, time) = match store {
        "Postgres" => ("1.08500", "to_timestamp(1500000000 + candle.n * 60)"),
        _ => ("'1.08500'", "(1500000000 + candle.n * 60) * 1000"),
    };
    let (symbols, timeframes, candles) = match name {
        "catalogue" => (CATALOGUE, "select 'H1' as name", 1),
        _ => (SYMBOLS, &*timeframes, CANDLES),
    };
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select 'S' || substr('' || (10000000 + symbol.n), 2), timeframe.name, {time}, {price}, {price}, {price}, {price}, 1
         from {} symbol, ({timeframes}) timeframe, {} candle order by 1, 2, 3",
        numbers(symbols),
        numbers(candles)
    );
    if store == "Postgres" {
        let url = bench.postgres.database(name).await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query(&insert).execute(&mut connection).await.unwrap();
        settle(&url).await;
        return url;
    }
    let file = folder.join(format!("{name}.db"));
    let url = format!("sqlite://{}", file.display());
    service::migrate(&url);
    tokio::task::block_in_place(|| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch(&insert).unwrap();
        connection.execute_batch("pragma wal_checkpoint(truncate)").unwrap();
    });
    url
}
