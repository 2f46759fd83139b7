//! The cost of reading and writing as the tables grow.

use std::path::Path;

use chrono::TimeDelta;
use hyper::StatusCode;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::Bench;
use crate::candles::{Candle, Random, Series, TIMEFRAME, beginning, symbol};
use crate::client::{get, post};
use crate::contract::Prepared;
use crate::generator;
use crate::postgres_server::{empty, settle};
use crate::service::{self, Service};
use crate::table::{Line, Reference, compared};

/// The numbers of candles at which the database is measured, up to the plan's maximum.
const SIZES: [usize; 4] = [10_000, 1_000_000, 10_000_000, 50_000_000];
/// The number of series that grow together and are read together.
const MANY: usize = 100;
/// The maximum length of a series, which ends before today: about twenty years of minutes.
const LONGEST: usize = 10_000_000;
const PAGE: usize = 100;
const CONNECTIONS: usize = 4;

/// The order in which the stored candles were inserted.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// One long series after the other.
    InOneGo,
    /// A candle of each of many series, then the next minute's.
    MinuteByMinute,
}

impl Shape {
    fn series(self, size: usize) -> usize {
        if self == Self::MinuteByMinute { MANY } else { size.div_ceil(LONGEST) }
    }
}

/// A database that has grown to a size, and the service on it.
struct Grown {
    size: usize,
    url: String,
    service: Service,
}

/// Compares pages and ingest at every size with the smallest size, on both stores and for both shapes.
pub async fn measure(bench: &Bench) -> Vec<Line> {
    let mut lines = Vec::new();
    for store in ["Postgres", "SQLite"] {
        for shape in [Shape::InOneGo, Shape::MinuteByMinute] {
            let folder = tempfile::tempdir_in(bench.folder()).unwrap();
            let mut databases = vec![grow(bench, store, shape, 0, &folder).await];
            for size in SIZES.into_iter().filter(|size| *size <= bench.plan.growth) {
                databases.push(grow(bench, store, shape, size, &folder).await);
            }
            lines.extend(pages(bench, store, shape, &databases[1..]).await);
            lines.extend(ingest(bench, store, shape, &databases).await);
        }
    }
    lines
}

fn name(what: &str, size: usize, shape: Shape, store: &str) -> String {
    let how = if shape == Shape::InOneGo { "loaded in one go" } else { "grown minute by minute" };
    format!(
        "{what} {} candles {how}, {store}",
        if size >= 1_000_000 { format!("{} M", size / 1_000_000) } else { size.to_string() }
    )
}

/// Makes a database with `size` candles.
async fn grow(bench: &Bench, store: &str, shape: Shape, size: usize, folder: &TempDir) -> Grown {
    eprintln!("bench:   {}", name("storing", size, shape, store));
    let (series, minutes) = (shape.series(size), size / shape.series(size).max(1));
    let url = if store == "Postgres" {
        let database = if shape == Shape::InOneGo { format!("loaded_{size}") } else { format!("grown_{size}") };
        let url = bench.postgres.database(&database).await;
        store_in_postgres(&url, shape, series, minutes).await;
        url
    } else {
        let file = folder.path().join(format!("{size}.db"));
        let url = format!("sqlite://{}", file.display());
        service::migrate(&url);
        tokio::task::block_in_place(|| store_in_sqlite(&file, shape, series, minutes));
        url
    };
    let service = Service::start(&url).await;
    Grown { size, url, service }
}

async fn store_in_postgres(url: &str, shape: Shape, series: usize, minutes: usize) {
    let minute = "generate_series(0, $2 - 1) minute";
    let number = "generate_series(0, $1 - 1) number";
    let (from, order) = match shape {
        Shape::InOneGo => (format!("{number}, {minute}"), "number, minute"),
        Shape::MinuteByMinute => (format!("{minute}, {number}"), "minute, number"),
    };
    // Prices differ, because the bytes of a number in PostgreSQL depend on its digits.
    let price = "1.08 + ((minute * 7919 + number * 104729) % 30000)::numeric / 1000000";
    let insert = format!(
        r#"insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
           select 'BENCH' || lpad(number::text, 3, '0'), 'M1', $3 + minute * interval '1 minute',
               price, price + 0.00032, price - 0.00028, price + 0.00011, 1200
           from (select minute, number, round({price}, 5) as price from {from}) candle order by {order}"#
    );
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query(&insert).bind(series as i64).bind(minutes as i64).bind(beginning());
    query.execute(&mut connection).await.unwrap();
    settle(url).await;
}

fn store_in_sqlite(file: &Path, shape: Shape, series: usize, minutes: usize) {
    const INSERT: &str = "
        insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
        values (?1, ?2, ?3, '1.08500', '1.08650', '1.08480', '1.08620', 1200)";
    let mut connection = rusqlite::Connection::open(file).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut insert = transaction.prepare(INSERT).unwrap();
    let symbols: Vec<String> = (0..series).map(symbol).collect();
    let mut put = |number: usize, minute: usize| {
        let time = (beginning() + TimeDelta::minutes(minute as i64)).timestamp_millis();
        insert.execute((&symbols[number], TIMEFRAME, time)).unwrap();
    };
    match shape {
        Shape::InOneGo => (0..series).for_each(|number| (0..minutes).for_each(|minute| put(number, minute))),
        Shape::MinuteByMinute => (0..minutes).for_each(|minute| (0..series).for_each(|number| put(number, minute))),
    }
    drop(insert);
    transaction.commit().unwrap();
    connection.execute_batch("pragma wal_checkpoint(truncate)").unwrap();
}

/// Random pages, read by one client, so that the figure is the time of a page. They end at a random moment within a
/// minute, so that hardly any page is read twice, even if there are few candles.
async fn pages(bench: &Bench, store: &str, shape: Shape, databases: &[Grown]) -> Vec<Line> {
    let rates = in_turn(bench, databases, async |database, round| {
        let series = shape.series(database.size);
        let minutes = database.size / series;
        let mut random = Random::new(round as u64);
        let requests = std::iter::from_fn(move || {
            let minute = PAGE as i64 + random.below((minutes - PAGE) as i64 + 1);
            let before = (beginning() + TimeDelta::minutes(minute)).timestamp_millis() - random.below(60_000);
            let symbol = symbol(usize::try_from(random.below(series as i64)).unwrap());
            Some(get(&format!("symbol={symbol}&timeframe={TIMEFRAME}&before={before}&limit={PAGE}")))
        });
        generator::run(database.service.address, [requests], StatusCode::OK, bench.plan.length).rate()
    });
    // At most 1.3 times the time is at least 1/1.3 of the rate.
    against_the_first(databases, &rates.await, "page of 100 out of", "pages/s", shape, store, 0.77)
}

/// Posts of 1,000 candles that follow the stored ones, or that add new series if the stored ones were loaded in one go.
async fn ingest(bench: &Bench, store: &str, shape: Shape, databases: &[Grown]) -> Vec<Line> {
    const POST: usize = 1_000;
    const MAX_ROWS_PER_SECOND: f64 = 300_000.0;
    let posts = (MAX_ROWS_PER_SECOND * bench.plan.length.as_secs_f64() / (POST * CONNECTIONS) as f64).ceil() as usize;
    let rates = in_turn(bench, databases, async |database, round| {
        if database.size == 0 {
            clear(store, &database.url).await;
        } else if store == "Postgres" {
            settle(&database.url).await;
        }
        let requests: Vec<Vec<Prepared>> = (0..CONNECTIONS)
            .map(|client| work(shape, database.size, client, round, posts * POST).chunks(POST).map(post).collect())
            .collect();
        let done = generator::run(database.service.address, requests, StatusCode::CREATED, bench.plan.length);
        done.rate() * POST as f64
    });
    against_the_first(databases, &rates.await, "ingest, 1000 a post, beside", "rows/s", shape, store, 0.7)
}

/// The candles that a client posts in a round, in their order.
fn work(shape: Shape, size: usize, client: usize, round: usize, count: usize) -> Vec<Candle> {
    if shape == Shape::InOneGo {
        return Series::from_minute(500 + client, round * count).take(count).collect();
    }
    let together = MANY / CONNECTIONS;
    let minutes = count / together;
    let first = size / MANY + round * minutes;
    let mut series: Vec<_> =
        (0..together).map(|number| Series::from_minute(client * together + number, first)).collect();
    (0..minutes).flat_map(|_| series.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect()
}

async fn clear(store: &str, url: &str) {
    if store == "Postgres" {
        return empty(url).await;
    }
    let connection = rusqlite::Connection::open(url.trim_start_matches("sqlite://")).unwrap();
    connection.execute_batch("delete from market_data_candles; pragma wal_checkpoint(truncate)").unwrap();
}

/// Measures each database in every round, and begins with a different one each time. The first round only warms up.
async fn in_turn(
    bench: &Bench,
    databases: &[Grown],
    mut measure: impl AsyncFnMut(&Grown, usize) -> f64,
) -> Vec<Vec<f64>> {
    let mut rates = vec![Vec::new(); databases.len()];
    for round in 0..=bench.plan.rounds {
        for turn in 0..databases.len() {
            let chosen = (turn + round) % databases.len();
            let rate = measure(&databases[chosen], round).await;
            eprintln!("bench:   round {round}, {} candles: {rate:.0}/s", databases[chosen].size);
            if round > 0 {
                rates[chosen].push(rate);
            }
        }
    }
    rates
}

fn against_the_first(
    databases: &[Grown],
    rates: &[Vec<f64>],
    what: &str,
    unit: &str,
    shape: Shape,
    store: &str,
    target: f64,
) -> Vec<Line> {
    let first = if databases[0].size == 0 { "empty table" } else { "10,000 candles" };
    let reference = Reference { name: first, target: Some(target), rates: rates[0].clone() };
    let grown = databases.iter().zip(rates).skip(1);
    grown
        .map(|(database, rates)| {
            let line = compared(&name(what, database.size, shape, store), unit, rates, &reference);
            line.with_memory(database.service.peak_memory())
        })
        .collect()
}
