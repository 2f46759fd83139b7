//! Rows that measure exports of a long series: their rate, the memory that they take, and the size of the file.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Bench, Contender, fill};
use crate::candles::{Candle, Series, TIMEFRAME, symbol};
use crate::download::export;
use crate::duckdb::DuckDb;
use crate::postgres_server::{empty, settle};
use crate::service::Service;
use crate::table::{Line, Reference, compared, measured};

/// The maximum memory that an export takes above the idle service, in MiB.
const MAX_MEMORY: f64 = 32.0;

/// Stores as many candles of one series as the plan says.
async fn store(bench: &Bench) -> usize {
    const BATCH: usize = 10_000;
    const BATCHES: usize = 20;
    let count = bench.plan.export;
    empty(bench.url(Contender::Ours)).await;
    let mut series = Series::new(0).take(count);
    loop {
        let batches: Vec<Vec<Candle>> = (0..BATCHES).map(|_| series.by_ref().take(BATCH).collect()).collect();
        let batches: Vec<Vec<Candle>> = batches.into_iter().filter(|batch| !batch.is_empty()).collect();
        if batches.is_empty() {
            break;
        }
        fill(bench.url(Contender::Ours), [batches.as_slice()]).await;
    }
    settle(bench.url(Contender::Ours)).await;
    count
}

fn query() -> String {
    format!("symbol={}&timeframe={TIMEFRAME}", symbol(0))
}

/// Exports with another program in turn, and returns the rates of both in candles a second.
fn in_turn(bench: &Bench, format: &str, count: usize, mut other: impl FnMut() -> f64) -> (Vec<f64>, Vec<f64>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let seconds = || {
            let began = Instant::now();
            export(bench.address(Contender::Ours), format, &query(), &mut std::io::sink());
            began.elapsed().as_secs_f64()
        };
        let (one, another) = if round % 2 == 0 {
            let one = seconds();
            (one, other())
        } else {
            let another = other();
            (seconds(), another)
        };
        eprintln!("bench:   round {round}, {format}: {one:.2} s, beside {another:.2} s");
        if round > 0 {
            ours.push(count as f64 / one);
            theirs.push(count as f64 / another);
        }
    }
    (ours, theirs)
}

/// The memory that an export takes above a service that has answered nothing yet.
async fn memory(bench: &Bench, format: &str) -> f64 {
    let service = Service::start(bench.url(Contender::Ours)).await;
    let idle = service.memory();
    export(service.address, format, &query(), &mut std::io::sink());
    service.peak_memory() - idle
}

/// CSV, beside psql, which writes the same rows.
pub async fn csv(bench: &Bench) -> Vec<Line> {
    let count = store(bench).await;
    let mut lines = Vec::new();
    let name = format!("export of {count} candles");
    if Command::new("psql").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        let url = bench.url(Contender::Ours).to_owned();
        let (ours, psql) = in_turn(bench, "csv", count, || by_psql(&url));
        let reference = Reference { name: r"psql \copy", target: Some(0.5), rates: psql };
        lines.push(compared(&format!("{name}, CSV"), "candles/s", &ours, &reference));
    } else {
        eprintln!("bench: there is no psql, so it is skipped (on Debian: apt-get install postgresql-client)");
    }
    for format in ["csv", "ndjson", "parquet"] {
        let above = memory(bench, format).await;
        lines.push(measured(&format!("memory above idle, {name}, {format}"), "MiB", &[above], Some(MAX_MEMORY)));
    }
    lines
}

/// The seconds that psql takes.
fn by_psql(url: &str) -> f64 {
    let copy = format!(
        r#"\copy (select "timestamp", open, high, low, close, volume from market_data_candles where symbol = '{}' and timeframe = '{TIMEFRAME}' order by "timestamp") to stdout csv"#,
        symbol(0)
    );
    tokio::task::block_in_place(|| {
        let began = Instant::now();
        let status = Command::new("psql").args(["-X", "-c", &copy, url]).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "psql failed");
        began.elapsed().as_secs_f64()
    })
}

/// Parquet, beside DuckDB, which writes it from a table in its own memory: the rate and the size.
pub async fn parquet(bench: &Bench) -> Vec<Line> {
    let count = store(bench).await;
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let [candles, ours, theirs] =
        ["candles.csv", "ours.parquet", "duckdb.parquet"].map(|name| folder.path().join(name));
    save(bench, "csv", &format!("{}&time=ms", query()), &candles);
    let Some(mut duckdb) = DuckDb::start(&candles) else { return Vec::new() };
    let command = format!("parquet {}", theirs.display());
    let (rates, duckdb_rates) = in_turn(bench, "parquet", count, || duckdb.seconds(&command));
    save(bench, "parquet", &query(), &ours);
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let name = format!("export of {count} candles, Parquet");
    let rate = Reference { name: "DuckDB, its own table, 1 thread", target: Some(0.7), rates: duckdb_rates };
    let size = format!("size of the file beside DuckDB's of {:.1} MiB", bytes(&theirs) / 1_048_576.0);
    vec![
        compared(&name, "candles/s", &rates, &rate),
        measured(&size, "of it", &[bytes(&ours) / bytes(&theirs)], Some(0.8)),
    ]
}

fn save(bench: &Bench, format: &str, query: &str, path: &Path) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    export(bench.address(Contender::Ours), format, query, &mut file);
    file.flush().unwrap();
}
