//! Rows that measure research: searches and single backtests beside vectorbt, backtesting.py and bare loops, the loading of
//! columns, and pages.

use std::fmt::Write as _;
use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hyper::StatusCode;

use super::jobs::{finished, start_job};
use super::{Bench, Contender, batches, fill};
use crate::bare::{Pages, Place, SqliteBatches, SqlitePages};
use crate::bare_server::BareServer;
use crate::candles::{Candle, Series, TIMEFRAME, beginning, symbol};
use crate::client::{Connection, get, page, post_research, research};
use crate::contract::{Prepared, RESEARCH_KEY};
use crate::generator;
use crate::load;
use crate::postgres_server::{empty, settle};
use crate::service::{self, Service};
use crate::table::{Line, Reference, compared, measured};
use crate::worker::Worker;

/// The candles of a search, which are hours.
const BARS: usize = 20_000;
/// The candles of a single backtest.
const LONG: usize = 100_000;
const SETS: usize = 1_000;

/// The commands of the two searches of 1,000 sets, and those of the 200 of them that vectorbt runs, which are scaled up.
const CROSS: &str = "5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24";
const CROSS_PART: &str = "6,11,16,21";
const STOPS: &str = "10,15,20,25,30,35,40,45,50,55 1.0,1.5,2.0,2.5,3.0 7,10,14,18,21 1,2,3,4";
const STOPS_PART: &str = "15,30 1.0,1.5,2.0,2.5,3.0 7,10,14,18,21 1,2,3,4";
const PART: usize = 200;
/// The sets that backtesting.py runs.
const SINGLES: [&str; 3] = ["single 5 30", "single 14 150", "single 24 275"];

const VECTORBT: &str = "vectorbt, 1 thread";
const BACKTESTING: &str = "backtesting.py";
const BARE_LOOP: &str = "bare loop over cached columns";

/// The lengths of the slow averages: 50 of them.
fn slow() -> String {
    (1..=50).map(|step| (25 + 5 * step).to_string()).collect::<Vec<_>>().join(",")
}

/// Writes the candles that both sides read, as hours.
fn write_hours(folder: &Path, count: usize) -> PathBuf {
    let path = folder.join(format!("{count}.csv"));
    let mut text = String::from("time,open,high,low,close,volume\n");
    for (hour, Candle { prices: [open, high, low, close], volume, .. }) in (0..).zip(Series::new(0).take(count)) {
        let time = (beginning() + TimeDelta::hours(hour)).timestamp_millis();
        writeln!(text, "{time},{open},{high},{low},{close},{volume}").unwrap();
    }
    std::fs::write(&path, text).unwrap();
    path
}

/// Measures the sides in every round, and begins with a different one each time. The first round only warms up. A side without a
/// figure is skipped.
pub(super) async fn in_turn<const N: usize>(
    bench: &Bench,
    names: [&str; N],
    mut measure: impl AsyncFnMut(usize) -> Option<f64>,
) -> [Vec<f64>; N] {
    let mut figures = [const { Vec::new() }; N];
    for round in 0..=bench.plan.rounds {
        for turn in 0..N {
            let side = (turn + round) % N;
            let Some(figure) = measure(side).await else { continue };
            eprintln!("bench:   round {round}, {}: {figure:.1}", names[side]);
            if round > 0 {
                figures[side].push(figure);
            }
        }
    }
    figures
}

/// The bars of all sets that a worker evaluates in a second, repeating the command for the length of a measurement.
fn bars_a_second(bench: &Bench, worker: &mut Worker, command: &str, bars: usize) -> f64 {
    let (mut seconds, mut passes) = (0.0, 0);
    while passes == 0 || seconds < bench.plan.length.as_secs_f64() {
        seconds += worker.work(command).seconds;
        passes += 1;
    }
    (passes * bars) as f64 / seconds
}

/// Panics unless two programs have closed about as many trades, because a comparison of different work would be meaningless.
fn check_trades(what: &str, ours: usize, theirs: usize, tolerance: f64) {
    let difference = ours.abs_diff(theirs) as f64 / ours.max(theirs).max(1) as f64;
    eprintln!("bench:   {what}: {ours} trades, theirs {theirs}");
    assert!(difference <= tolerance, "{what}: {ours} trades here and {theirs} there, so it is not the same work");
}

/// Lines for the references that were measured.
fn lines(name: &str, unit: &str, ours: &[f64], references: impl IntoIterator<Item = Reference>) -> Vec<Line> {
    let measured = references.into_iter().filter(|reference| !reference.rates.is_empty());
    measured.map(|reference| compared(name, unit, ours, &reference)).collect()
}

/// A grid over crossings of two averages.
pub async fn sweep(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let candles = write_hours(folder.path(), BARS);
    let (all, part) = (format!("cross {CROSS} {}", slow()), format!("cross {CROSS_PART} {}", slow()));
    // Each with a worker of its own, so that the memory of one is not in that of another.
    let (mut ours, mut bare) = (Worker::ours(&candles), Worker::ours(&candles));
    let (mut vectorbt, mut single) = (Worker::python(&candles), Worker::python(&candles));
    if let (Some(vectorbt), Some(single)) = (&mut vectorbt, &mut single) {
        check_trades("crossings", ours.work(&part).trades, vectorbt.work(&part).trades, 0.02);
        check_trades("one crossing", ours.work("cross 14 150").trades, single.work("single 14 150").trades, 0.02);
    }
    let names = ["ours", "bare loop", "vectorbt", "backtesting.py"];
    let [grid, loops, by_vectorbt, by_backtesting] = in_turn(bench, names, async |side| match side {
        0 => Some(bars_a_second(bench, &mut ours, &all, SETS * BARS)),
        1 => Some(bars_a_second(bench, &mut bare, &format!("bare-{all}"), SETS * BARS)),
        2 => vectorbt.as_mut().map(|vectorbt| (PART * BARS) as f64 / vectorbt.work(&part).seconds),
        _ => single.as_mut().map(|single| {
            let seconds: f64 = SINGLES.iter().map(|command| single.work(command).seconds).sum();
            (SINGLES.len() * BARS) as f64 / seconds
        }),
    })
    .await;
    let name = format!("{SETS} crossings on {BARS} candles, all figures, 1 thread");
    let references = [
        Reference { name: VECTORBT, target: Some(60.0), rates: by_vectorbt },
        Reference { name: BACKTESTING, target: Some(1_000.0), rates: by_backtesting },
        Reference { name: BARE_LOOP, target: Some(0.4), rates: loops },
    ];
    let mut lines: Vec<Line> = lines(&name, "bars/s", &grid, references)
        .into_iter()
        .map(|line| line.with_memory(ours.peak_memory()))
        .collect();
    if let Some(vectorbt) = &vectorbt {
        let (here, there) = (ours.peak_memory(), vectorbt.peak_memory());
        let name = format!("memory of {SETS} crossings, beside vectorbt's of {there:.0} MiB for 100 at once");
        lines.push(measured(&name, "% of it", &[100.0 * here / there], Some(10.0)));
    }
    let mut judged = Vec::new();
    for _ in 0..bench.plan.rounds {
        judged.push(ours.work(&all.replacen("cross", "judged", 1)).seconds * 1_000.0);
    }
    lines.push(measured(&format!("{SETS} crossings, and a judgement of the winner"), "ms", &judged, None));
    lines
}

/// A grid over a strategy with stops.
pub async fn stops(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let candles = write_hours(folder.path(), BARS);
    let (all, part) = (format!("stops {STOPS}"), format!("stops {STOPS_PART}"));
    let (mut ours, mut bare) = (Worker::ours(&candles), Worker::ours(&candles));
    let mut vectorbt = Worker::python(&candles);
    // A bar that reaches a stop and asks for an exit, and the entry's own bar, differ.
    check_trades("stops, bare loop", ours.work(&part).trades, bare.work(&format!("bare-{part}")).trades, 0.1);
    if let Some(vectorbt) = &mut vectorbt {
        check_trades("stops, vectorbt", ours.work(&part).trades, vectorbt.work(&part).trades, 0.1);
    }
    let names = ["ours", "bare loop", "vectorbt"];
    let [grid, loops, by_vectorbt] = in_turn(bench, names, async |side| match side {
        0 => Some(bars_a_second(bench, &mut ours, &all, SETS * BARS)),
        1 => Some(bars_a_second(bench, &mut bare, &format!("bare-{all}"), SETS * BARS)),
        _ => vectorbt.as_mut().map(|vectorbt| (PART * BARS) as f64 / vectorbt.work(&part).seconds),
    })
    .await;
    let name = format!("{SETS} sets of bands, index and stop on {BARS} candles, all figures, 1 thread");
    let references = [
        Reference { name: VECTORBT, target: Some(30.0), rates: by_vectorbt },
        Reference { name: BARE_LOOP, target: Some(0.3), rates: loops },
    ];
    let lines = lines(&name, "bars/s", &grid, references);
    lines.into_iter().map(|line| line.with_memory(ours.peak_memory())).collect()
}

/// The grid over crossings on two threads, beside one.
pub async fn threads(bench: &Bench) -> Vec<Line> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("bench: left out, because this machine has one core");
        return Vec::new();
    }
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let mut worker = Worker::ours(&write_hours(folder.path(), BARS));
    let command = |threads: usize| format!("threads {threads} {CROSS} {}", slow());
    let [two, one] = in_turn(bench, ["2 threads", "1 thread"], async |side| {
        Some(bars_a_second(bench, &mut worker, &command(2 - side), SETS * BARS))
    })
    .await;
    let reference = Reference { name: "1 thread", target: Some(1.8), rates: one };
    vec![compared(&format!("{SETS} crossings on {BARS} candles, 2 threads"), "bars/s", &two, &reference)]
}

/// A service with a research key and without limits.
pub(super) async fn researching(url: &str, variables: &[(&str, &str)]) -> Service {
    let own = [("RESEARCH_API_KEY", RESEARCH_KEY), ("RATE_LIMIT_RESEARCH", "off")];
    Service::start_with(url, &[&own[..], variables].concat()).await
}

/// Stores the first `count` minutes of a series in place of everything else.
pub(super) async fn store(url: &str, number: usize, count: usize) {
    const BATCH: usize = 10_000;
    const BATCHES: usize = 20;
    empty(url).await;
    for first in (0..count.div_ceil(BATCH)).step_by(BATCHES) {
        let count = BATCHES.min(count.div_ceil(BATCH) - first);
        fill(url, [batches(number, first, count, BATCH).as_slice()]).await;
    }
    settle(url).await;
}

/// Requests for backtests of the crossing of averages over 10 and 30 candles, no two of which are the same.
struct Tests {
    connection: Connection,
    include: &'static str,
    asked: usize,
}

impl Tests {
    /// The stored candles: those of a backtest, and one for each time that other candles are asked for.
    const STORED: usize = LONG + 10_000;

    async fn new(address: SocketAddr, include: &'static str) -> Self {
        Self { connection: Connection::open(address).await.unwrap(), include, asked: 0 }
    }

    /// The seconds that a backtest takes which ends `later` minutes after the first `LONG` candles. Its capital is new, so that the
    /// answer is not in memory.
    async fn seconds(&mut self, later: usize) -> f64 {
        self.asked += 1;
        let to = (beginning() + TimeDelta::minutes((LONG - 1 + later) as i64)).timestamp_millis();
        let (symbol, capital, include) = (symbol(0), 10_000 + self.asked, self.include);
        let body = format!(
            r#"{{"strategy":"sma-cross","parameters":{{"fast":10,"slow":30}},"symbol":"{symbol}","timeframe":"{TIMEFRAME}","to":{to},"settings":{{"capital":{capital},"commission":{{"percent":0.02}}}},"include":[{include}]}}"#
        );
        let request = post_research("/api/v1/backtests", &body);
        let began = Instant::now();
        self.connection.send_expecting(&request, StatusCode::OK).await;
        began.elapsed().as_secs_f64()
    }
}

/// The time for which columns are surely in memory after a request for them.
const HOT: Duration = Duration::from_millis(700);

/// One backtest with everything in its answer, on columns in memory.
pub async fn backtest(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let candles = write_hours(folder.path(), LONG);
    let mut ours = Worker::ours(&candles);
    let mut python = Worker::python(&candles);
    if let Some(python) = &mut python {
        check_trades("one long crossing", ours.work("single 10 30").trades, python.work("single 10 30").trades, 0.02);
    }
    let mut in_crate = Vec::new();
    for round in 0..=bench.plan.rounds {
        let rate = bars_a_second(bench, &mut ours, "single 10 30", LONG);
        if round > 0 {
            in_crate.push(LONG as f64 / rate * 1_000.0);
        }
    }
    let url = bench.url(Contender::Ours);
    store(url, 0, Tests::STORED).await;
    let service = researching(url, &[]).await;
    let mut tests = Tests::new(service.address, r#""trades","equity""#).await;
    let mut later = 0;
    let [http, by_backtesting] = in_turn(bench, ["over HTTP", "backtesting.py"], async |side| {
        if side == 1 {
            return python.as_mut().map(|python| LONG as f64 / python.work("single 10 30").seconds);
        }
        let (began, mut seconds, mut count) = (Instant::now(), 0.0, 0);
        while count == 0 || began.elapsed() < bench.plan.length {
            later += 1;
            let loaded = Instant::now();
            tests.seconds(later).await;
            while loaded.elapsed() < HOT {
                seconds += tests.seconds(later).await;
                count += 1;
            }
        }
        Some((count * LONG) as f64 / seconds)
    })
    .await;
    let name = format!("one backtest of {LONG} candles, all included");
    let mut all = vec![measured(&format!("{name}, in the crate"), "ms", &in_crate, Some(10.0))];
    let over_http = format!("{name}, over HTTP");
    let times: Vec<f64> = http.iter().map(|rate| LONG as f64 / rate * 1_000.0).collect();
    all.push(measured(&over_http, "ms", &times, None).with_memory(service.peak_memory()));
    let reference = Reference { name: BACKTESTING, target: Some(300.0), rates: by_backtesting };
    all.extend(lines(&over_http, "candles/s", &http, [reference]));
    all
}

/// Loading columns: a backtest on candles that are not in memory, less one on candles that are, beside a bare fetch of the rows.
pub async fn load(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let file = folder.path().join("bench.db");
    let sqlite = format!("sqlite://{}", file.display());
    service::migrate(&sqlite);
    load::run(vec![SqliteBatches::new(&file, batches(0, 0, Tests::STORED / 10_000, 10_000))], Duration::MAX).await;
    let postgres = bench.url(Contender::Ours);
    store(postgres, 0, Tests::STORED).await;
    let place: Place = (symbol(0), beginning() + TimeDelta::minutes(LONG as i64));
    let mut all = Vec::new();
    for (name, url) in [("Postgres", postgres), ("SQLite", &*sqlite)] {
        let service = researching(url, &[]).await;
        let mut tests = Tests::new(service.address, "").await;
        let mut later = 0;
        let [ours, bare] = in_turn(bench, ["columns", "bare fetch"], async |side| {
            let length = bench.plan.length;
            if side == 1 {
                let places = iter::repeat(place.clone());
                let done = if name == "SQLite" {
                    load::run(vec![SqlitePages::new(&file, places, LONG as i64)], length).await
                } else {
                    load::run(vec![Pages::new(url, places, LONG as i64).await], length).await
                };
                return Some(done.rate() * LONG as f64);
            }
            let (mut cold, mut hot, mut count) = (0.0, 0.0, 0);
            while count == 0 || cold + hot < length.as_secs_f64() {
                later += 1;
                cold += tests.seconds(later).await;
                hot += tests.seconds(later).await;
                count += LONG;
            }
            Some(count as f64 / (cold - hot))
        })
        .await;
        let reference = Reference { name: "bare row fetch", target: Some(0.5), rates: bare };
        let line = compared(&format!("{LONG} candles into columns, {name}"), "candles/s", &ours, &reference);
        all.push(line.with_memory(service.peak_memory()));
    }
    all
}

/// Pages about strategies and jobs beside a bare server of the same bytes, and the files of a result.
pub async fn pages(bench: &Bench) -> Vec<Line> {
    const CONNECTIONS: usize = 4;
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let url = bench.url(Contender::Ours);
    store(url, 0, BARS).await;
    let service = researching(url, &[]).await;
    let job = start_job(service.address, &format!(r#"{},"method":"grid""#, crossings())).await;
    finished(service.address, &job);
    let pages = [
        ("list of strategies", "/api/v1/strategies".to_owned()),
        ("one strategy", "/api/v1/strategies/donchian".to_owned()),
        ("one job", format!("/api/v1/jobs/{job}")),
    ];
    let mut all = Vec::new();
    for (name, path) in pages {
        let request = research(&path);
        let sample = page(service.address, &request).await;
        let bare = BareServer::start(&sample);
        let [ours, rates] = in_turn(bench, ["ours", "bare axum"], async |side| {
            let (address, request) =
                if side == 0 { (service.address, request.clone()) } else { (bare.address, get("limit=1000")) };
            let requests = (0..CONNECTIONS).map(|_| iter::repeat(request.clone()));
            Some(generator::run(address, requests, StatusCode::OK, bench.plan.length).rate())
        })
        .await;
        let reference = Reference { name: "bare axum handler", target: Some(0.6), rates };
        let name = format!("{name} ({:.1} KiB), {CONNECTIONS} connections", sample.body.len() as f64 / 1_024.0);
        all.push(compared(&name, "pages/s", &ours, &reference).with_memory(service.peak_memory()));
    }
    let body = format!(r#"{{"job":"{job}","format":"pine"}}"#);
    all.push(exports(bench, &service, &post_research("/api/v1/exports", &body)).await);
    let mut worker = Worker::ours(&write_hours(folder.path(), BARS));
    let mut reports = Vec::new();
    for round in 0..=bench.plan.rounds {
        let seconds = worker.work(&format!("pdf {CROSS} {}", slow())).seconds;
        eprintln!("bench:   round {round}, PDF: {:.1} ms", seconds * 1_000.0);
        if round > 0 {
            reports.push(seconds * 1_000.0);
        }
    }
    let name = format!("PDF on the winner of {SETS} crossings on {BARS} candles, in the crate");
    all.push(measured(&name, "ms", &reports, Some(300.0)));
    all
}

/// The items of a job with one of 20 crossings on the stored series.
pub(super) fn crossings() -> String {
    format!(
        r#""items":[{{"strategy":"sma-cross","symbol":"{}","timeframe":"{TIMEFRAME}","ranges":{{"fast":[5,10,15,20],"slow":[50,100,150,200,250]}}}}]"#,
        symbol(0)
    )
}

/// The time of an export of a script, from the request to the address of the stored file.
async fn exports(bench: &Bench, service: &Service, request: &Prepared) -> Line {
    let mut connection = Connection::open(service.address).await.unwrap();
    let mut times = Vec::new();
    for round in 0..=bench.plan.rounds {
        let (began, mut count) = (Instant::now(), 0);
        while count == 0 || began.elapsed() < bench.plan.length {
            connection.send_expecting(request, StatusCode::CREATED).await;
            count += 1;
        }
        if round > 0 {
            times.push(began.elapsed().as_secs_f64() * 1_000.0 / f64::from(count));
        }
    }
    measured("Pine export, stored", "ms", &times, Some(5.0))
}
