//! Rows that measure jobs: how soon a small one is over, what posts and pages lose while jobs run, and the memory of jobs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hyper::StatusCode;

use super::research::{crossings, researching, store};
use super::{Bench, Contender, batches};
use crate::bare::SqliteBatches;
use crate::candles::{Random, TIMEFRAME, beginning, symbol};
use crate::client::{Connection, cancel, get, page, post, post_research, research};
use crate::contract::{Prepared, RESEARCH_KEY};
use crate::generator;
use crate::load;
use crate::service::{self, Service};
use crate::table::{Line, Reference, compared, measured};

const CONNECTIONS: usize = 4;
/// The candles of a post, and of a page.
const SIZE: usize = 1_000;
/// The candles of the jobs beside which posts and pages are measured, which are those of the pages, too.
const STORED: usize = 100_000;
/// The number of the series of the jobs; the posts have those below.
const JOBS_SERIES: usize = 900;
const JOBS: usize = 3;
/// The posts that are prepared for a second.
const MAX_POSTS_PER_SECOND: f64 = 500.0;
/// A job that makes no progress in this time has failed.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// Starts a job with these fields, and returns its id.
pub(super) async fn start_job(address: SocketAddr, fields: &str) -> String {
    let mut connection = Connection::open(address).await.unwrap();
    started(&mut connection, &post_research("/api/v1/optimizations", &format!("{{{fields}}}"))).await
}

async fn started(connection: &mut Connection, request: &Prepared) -> String {
    connection.send_expecting(request, StatusCode::ACCEPTED).await;
    let answer = String::from_utf8_lossy(connection.body()).into_owned();
    let id = answer.split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next());
    id.expect("the answer names the job").to_owned()
}

/// Follows the events of a job until it is over. Panics unless it is done.
pub(super) fn finished(address: SocketAddr, job: &str) {
    // The caller is a task, whose thread this takes for as long as it runs.
    tokio::task::block_in_place(|| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = format!("/api/v1/jobs/{job}/events");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {RESEARCH_KEY}\r\n\r\n").unwrap();
        let mut lines =
            BufReader::new(stream).lines().map(|line| line.expect("the stream goes on until the job is over"));
        lines.find(|line| line == "event: done").expect("the stream ends with the event");
        let data = lines.next().unwrap_or_default();
        assert!(data.contains(r#""state":"done""#), "{data}");
    });
}

/// 20 evaluations from the post to the event that the job is done, and the memory of three long jobs.
pub async fn jobs(bench: &Bench) -> Vec<Line> {
    const CANDLES: usize = 20_000;
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let file = folder.path().join("bench.db");
    let sqlite = format!("sqlite://{}", file.display());
    service::migrate(&sqlite);
    load::run(vec![SqliteBatches::new(&file, batches(0, 0, CANDLES / SIZE, SIZE))], Duration::MAX).await;
    let postgres = bench.url(Contender::Ours);
    store(postgres, 0, CANDLES).await;
    let mut all = Vec::new();
    for (name, url) in [("Postgres", postgres), ("SQLite", &*sqlite)] {
        let service = researching(url, &[]).await;
        let mut connection = Connection::open(service.address).await.unwrap();
        let (mut times, mut seed) = (Vec::new(), 0);
        for round in 0..=bench.plan.rounds {
            let (mut seconds, mut count) = (0.0, 0.0);
            while seconds < bench.plan.length.as_secs_f64() {
                seed += 1;
                let body = format!(r#"{{{},"method":"grid","seed":{seed}}}"#, crossings());
                let request = post_research("/api/v1/optimizations", &body);
                let began = Instant::now();
                let job = started(&mut connection, &request).await;
                finished(service.address, &job);
                seconds += began.elapsed().as_secs_f64();
                count += 1.0;
            }
            eprintln!("bench:   round {round}, {name}: {:.1} ms", seconds / count * 1_000.0);
            if round > 0 {
                times.push(seconds / count * 1_000.0);
            }
        }
        let name = format!("20 evaluations on {CANDLES} candles, post to done, {name}");
        all.push(measured(&name, "ms", &times, Some(100.0)).with_memory(service.peak_memory()));
    }
    all.extend(memory(bench).await);
    all
}

/// The memory of three jobs at once, each with a million candles of its own, above the idle service.
async fn memory(bench: &Bench) -> Vec<Line> {
    const CANDLES: usize = 1_000_000;
    /// The default of `RESEARCH_MEMORY`, and what jobs may take besides.
    const LIMIT: f64 = 256.0 + 64.0;
    let url = bench.url(Contender::Ours);
    store(url, 0, CANDLES).await;
    let service = researching(url, &[]).await;
    // By then, the memory that the start needed may have been given back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = service.memory();
    let mut jobs = Vec::new();
    for job in 0..JOBS {
        // Spans that differ are columns of their own.
        let to = (beginning() + TimeDelta::minutes((CANDLES - 1 - job) as i64)).timestamp_millis();
        let item = format!(r#"{{"strategy":"sma-cross","symbol":"{}","timeframe":"{TIMEFRAME}"}}"#, symbol(0));
        let fields = format!(r#""items":[{item}],"method":"random","max_evaluations":100,"to":{to}"#);
        jobs.push(start_job(service.address, &fields).await);
    }
    for job in &jobs {
        finished(service.address, job);
    }
    let above = service.peak_memory() - idle;
    vec![
        measured("idle memory, with a research key", "MiB", &[idle], Some(22.0)),
        measured(&format!("memory above idle, {JOBS} jobs of {CANDLES} candles at once"), "MiB", &[above], Some(LIMIT)),
    ]
}

/// Posts and pages while jobs run, with one core fewer for jobs than the machine has.
pub async fn beside_some(bench: &Bench) -> Vec<Line> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("bench: left out, because this machine has one core");
        return Vec::new();
    }
    beside(bench, cores - 1, &format!("on {} of {cores} cores", cores - 1), 0.9).await
}

/// The same with as many threads for jobs as there are cores.
pub async fn beside_all(bench: &Bench) -> Vec<Line> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    beside(bench, cores, &format!("on all {cores} cores"), 0.6).await
}

/// Rates and 99th percentiles, in ms.
#[derive(Default)]
struct Figures {
    posts: Vec<f64>,
    pages: Vec<f64>,
    post_99: Vec<f64>,
    page_99: Vec<f64>,
}

async fn beside(bench: &Bench, threads: usize, place: &str, target: f64) -> Vec<Line> {
    let url = bench.url(Contender::Ours);
    let service = researching(url, &[("RESEARCH_THREADS", &threads.to_string())]).await;
    let (mut with, mut without) = (Figures::default(), Figures::default());
    for round in 0..=bench.plan.rounds {
        for turn in 0..2 {
            store(url, JOBS_SERIES, STORED).await;
            let has_jobs = (round + turn) % 2 == 0;
            let jobs = if has_jobs { long_jobs(&service).await } else { Vec::new() };
            let figures = posts_and_pages(bench, &service, round * 2 + turn);
            stop(&service, &jobs).await;
            eprintln!("bench:   round {round}, {} jobs: {figures:.1?}", jobs.len());
            if round > 0 {
                let all = if has_jobs { &mut with } else { &mut without };
                let lists = [&mut all.posts, &mut all.pages, &mut all.post_99, &mut all.page_99];
                lists.into_iter().zip(figures).for_each(|(list, figure)| list.push(figure));
            }
        }
    }
    let jobs = format!("while {JOBS} jobs run {place}");
    let reference = |rates: &[f64]| Reference { name: "without jobs", target: Some(target), rates: rates.to_vec() };
    let times = |with: &[f64], without: &[f64]| -> Vec<f64> { with.iter().zip(without).map(|(a, b)| a / b).collect() };
    let posts = format!("ingest, {SIZE} new candles a post, {CONNECTIONS} connections, {jobs}");
    let pages = format!("GET of {SIZE} candles, uncached, {CONNECTIONS} connections, {jobs}");
    let lines = [
        compared(&posts, "rows/s", &with.posts, &reference(&without.posts)),
        compared(&pages, "pages/s", &with.pages, &reference(&without.pages)),
        measured(&format!("{posts}: p99"), "of p99 without", &times(&with.post_99, &without.post_99), Some(2.0)),
        measured(&format!("{pages}: p99"), "of p99 without", &times(&with.page_99, &without.page_99), Some(2.0)),
    ];
    lines.into_iter().map(|line| line.with_memory(service.peak_memory())).collect()
}

/// Starts jobs that last longer than any measurement, and waits until each of them evaluates.
async fn long_jobs(service: &Service) -> Vec<String> {
    let mut jobs = Vec::new();
    let item = format!(r#"{{"strategy":"donchian","symbol":"{}","timeframe":"{TIMEFRAME}"}}"#, symbol(JOBS_SERIES));
    for seed in 0..JOBS {
        let fields = format!(
            r#""items":[{item}],"method":"random","max_evaluations":100000,"out_of_sample":null,"seed":{seed}"#
        );
        jobs.push(start_job(service.address, &fields).await);
    }
    let evaluate = |list: &str| list.matches(r#""state":"running""#).count() == JOBS && !list.contains(r#""done":0,"#);
    wait_for(service, "running", evaluate).await;
    jobs
}

/// Cancels jobs, and waits until none of them runs.
async fn stop(service: &Service, jobs: &[String]) {
    let mut connection = Connection::open(service.address).await.unwrap();
    for job in jobs {
        connection.send_expecting(&cancel(job), StatusCode::ACCEPTED).await;
    }
    wait_for(service, "running", |list| list == "[]").await;
}

async fn wait_for(service: &Service, state: &str, holds: impl Fn(&str) -> bool) {
    let began = Instant::now();
    let list = research(&format!("/api/v1/jobs?state={state}"));
    loop {
        let jobs = String::from_utf8(page(service.address, &list).await.body).unwrap();
        if holds(&jobs) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the jobs are in the way after a minute: {jobs}");
        tokio::time::sleep(POLL).await;
    }
}

/// Candles posted a second, pages a second, and the 99th percentile of both in ms.
fn posts_and_pages(bench: &Bench, service: &Service, seed: usize) -> [f64; 4] {
    let length = bench.plan.length;
    let count = (MAX_POSTS_PER_SECOND * length.as_secs_f64() / CONNECTIONS as f64).ceil() as usize;
    let posts: Vec<Vec<Prepared>> = (0..CONNECTIONS)
        .map(|series| batches(series, 0, count, SIZE).iter().map(|candles| post(candles)).collect())
        .collect();
    let (posted, post_times) = generator::run_timed(service.address, posts, StatusCode::CREATED, length);
    let pages = (0..CONNECTIONS).map(|client| {
        let mut random = Random::new((seed * CONNECTIONS + client) as u64);
        std::iter::repeat_with(move || {
            let minute = SIZE as i64 + random.below((STORED - SIZE) as i64);
            let before = (beginning() + TimeDelta::minutes(minute)).timestamp_millis();
            get(&format!("symbol={}&timeframe={TIMEFRAME}&before={before}&limit={SIZE}", symbol(JOBS_SERIES)))
        })
    });
    let (read, page_times) = generator::run_timed(service.address, pages, StatusCode::OK, length);
    [posted.rate() * SIZE as f64, read.rate(), percentile_99(post_times), percentile_99(page_times)]
}

fn percentile_99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64() * 1_000.0
}
