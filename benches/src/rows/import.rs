//! Import of a MetaTrader 5 file beside the databases' own loaders of the same candles, already clean.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Bench, Contender};
use crate::candles::{Series, TIMEFRAME};
use crate::postgres_server::empty;
use crate::service;
use crate::table::{Line, Reference, compared, measured};

/// The files of the same candles.
struct Files {
    /// As MetaTrader 5 exports them.
    exported: PathBuf,
    /// The columns of the Postgres table.
    postgres: PathBuf,
    /// The columns of the SQLite table.
    sqlite: PathBuf,
}

impl Files {
    fn write(folder: &Path, count: usize) -> Self {
        let path = |name: &str| folder.join(name);
        let files = Self { exported: path("mt5.csv"), postgres: path("postgres.csv"), sqlite: path("sqlite.csv") };
        let create = |path: &Path| BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        let (mut exported, mut postgres, mut sqlite) =
            (create(&files.exported), create(&files.postgres), create(&files.sqlite));
        exported.write_all(b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n").unwrap();
        let mut line = String::new();
        for candle in Series::new(0).take(count) {
            let ([open, high, low, close], volume) = (&candle.prices, candle.volume);
            line.clear();
            let time = candle.time.format("%Y.%m.%d\t%H:%M:%S");
            write!(line, "{time}\t{open}\t{high}\t{low}\t{close}\t{volume}\t0\t5\r\n").unwrap();
            exported.write_all(line.as_bytes()).unwrap();
            line.clear();
            let (symbol, time) = (&candle.symbol, candle.time.format("%Y-%m-%d %H:%M:%S+00"));
            writeln!(line, "{symbol},{TIMEFRAME},{time},{open},{high},{low},{close},{volume}").unwrap();
            postgres.write_all(line.as_bytes()).unwrap();
            line.clear();
            let millis = candle.time.timestamp_millis();
            writeln!(line, "{symbol},{TIMEFRAME},{millis},{open},{high},{low},{close},{volume},0").unwrap();
            sqlite.write_all(line.as_bytes()).unwrap();
        }
        for mut file in [exported, postgres, sqlite] {
            file.flush().unwrap();
        }
        files
    }
}

/// Compares imports into Postgres, in two passes and in one, with psql.
pub async fn postgres(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let files = Files::write(folder.path(), bench.plan.import);
    let urls = [bench.url(Contender::Ours), bench.url(Contender::Bare)];
    let (mut both, mut once, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        for (rates, extra) in [(&mut both, &[][..]), (&mut once, &["--one-pass"])] {
            empty(urls[0]).await;
            let rate = import(bench, urls[0], &files, extra);
            report(round, "import", rates, rate);
        }
        empty(urls[1]).await;
        let copy = format!(
            "\\copy market_data_candles (symbol, timeframe, \"timestamp\", open, high, low, close, volume) from '{}' csv",
            files.postgres.display()
        );
        let rate = rate(bench, Command::new("psql").args(["-q", urls[1], "-c", &copy]));
        report(round, "psql", &mut theirs, rate);
    }
    empty(urls[0]).await;
    empty(urls[1]).await;
    let reference =
        |target, rates: &[f64]| Reference { name: "psql \\copy", target: Some(target), rates: rates.to_vec() };
    vec![
        compared("import, Postgres", "candles/s", &both, &reference(0.5, &theirs)),
        compared("import --one-pass, Postgres", "candles/s", &once, &reference(0.7, &theirs)),
    ]
}

/// Compares imports into SQLite with the loader of sqlite3.
pub fn sqlite(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let files = Files::write(folder.path(), bench.plan.import);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let fresh = |name: &str| {
            let own = tempfile::tempdir_in(folder.path()).unwrap();
            let path = own.path().join(name);
            service::migrate(&format!("sqlite://{}", path.display()));
            (own, path)
        };
        let (_own, path) = fresh("ours.db");
        let rate_of_ours = import(bench, &format!("sqlite://{}", path.display()), &files, &[]);
        report(round, "import", &mut ours, rate_of_ours);
        let (_theirs, path) = fresh("theirs.db");
        let load = format!(".import --csv {} market_data_candles", files.sqlite.display());
        let rate = rate(bench, Command::new("sqlite3").arg(&path).arg(load));
        report(round, "sqlite3", &mut theirs, rate);
    }
    let reference = Reference { name: "sqlite3 .import", target: Some(0.5), rates: theirs };
    vec![compared("import, SQLite", "candles/s", &ours, &reference)]
}

/// Measures the first reading alone, beside DuckDB counting the rows of the file if it is there.
pub fn first_pass(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let files = Files::write(folder.path(), bench.plan.import);
    let duckdb = std::env::var("DUCKDB").ok();
    if duckdb.is_none() {
        eprintln!("bench: DUCKDB names no Python with DuckDB, so it is skipped; make bench installs it");
    }
    let count = format!(
        "import duckdb; c = duckdb.connect(config={{'threads': 1}}); \
         print(c.sql(\"select count(*), max(columns(*)) from read_csv('{}')\").fetchall())",
        files.exported.display()
    );
    let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        let mut command = import_command(bench.url(Contender::Ours), &files, &["--dry-run"]);
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        // The peak is read while it runs, because nothing is left of it afterwards.
        let mut peak = 0.0_f64;
        while child.try_wait().unwrap().is_none() {
            if std::fs::metadata(format!("/proc/{}/exe", child.id())).is_ok()
                && let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id()))
                && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
            {
                peak = peak.max(line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        report(round, "first pass", &mut ours, bench.plan.import as f64 / began.elapsed().as_secs_f64());
        if round > 0 {
            memory.push(peak);
        }
        if let Some(python) = &duckdb {
            let rate = rate(bench, Command::new(python).args(["-c", &count]));
            report(round, "DuckDB", &mut theirs, rate);
        }
    }
    let mut lines = vec![measured("import --dry-run, memory", "MiB", &memory, Some(64.0))];
    if duckdb.is_some() {
        let reference = Reference { name: "DuckDB read_csv", target: Some(0.5), rates: theirs };
        lines.push(compared("import --dry-run", "candles/s", &ours, &reference));
    }
    lines
}

fn import_command(url: &str, files: &Files, extra: &[&str]) -> Command {
    let mut command = Command::new(service::executable());
    command.env_clear().env("DATABASE_URL", url).stdout(Stdio::null());
    command
        .arg("import")
        .arg(&files.exported)
        .args(["--symbol", &crate::candles::symbol(0), "--tz", "UTC"])
        .args(extra);
    command
}

fn import(bench: &Bench, url: &str, files: &Files, extra: &[&str]) -> f64 {
    rate(bench, &mut import_command(url, files, extra))
}

/// The candles that a command handles in a second.
fn rate(bench: &Bench, command: &mut Command) -> f64 {
    let began = Instant::now();
    assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
    bench.plan.import as f64 / began.elapsed().as_secs_f64()
}

/// Keeps the rate of a round, the first of which only warms up.
fn report(round: usize, name: &str, rates: &mut Vec<f64>, rate: f64) {
    eprintln!("bench:   round {round}, {name}: {rate:.0}/s");
    if round > 0 {
        rates.push(rate);
    }
}
