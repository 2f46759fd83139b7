//! The rows of the table: the work of each row, and the programs that are compared in it.

mod client;
mod export;
mod growth;
mod import;
mod ingest;
mod jobs;
mod latest;
mod limits;
mod live;
mod mixed;
mod process;
mod read;
mod resample;
mod research;
mod series;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::bare::{Batches, Columns};
use crate::candles::{Candle, Series};
use crate::influx::Influx;
use crate::load;
use crate::peer::Peer;
use crate::plan::Plan;
use crate::postgres_server::PostgresServer;
use crate::service::Service;
use crate::table::{INFLUX, Line, PEER, Reference, compared};

/// The rows in the order of the table.
pub const NAMES: [&str; 43] = [
    "ingest-1000",
    "ingest-10000",
    "duplicates",
    "singles",
    "sqlite",
    "get-100",
    "get-1000",
    "get-10000",
    "get-gzip",
    "hot-100",
    "hot-1000",
    "hot-10000",
    "hot-gzip",
    "not-modified",
    "shared-hot",
    "shared-refused",
    "resample-page",
    "resample-year",
    "export-csv",
    "export-parquet",
    "series",
    "latest",
    "live",
    "import-postgres",
    "import-sqlite",
    "import-first-pass",
    "idle",
    "peak",
    "start",
    "size",
    "mixed",
    "mixed-10",
    "growth",
    "client",
    "research-sweep",
    "research-stops",
    "research-threads",
    "research-backtest",
    "research-load",
    "research-pages",
    "research-jobs",
    "research-beside",
    "research-beside-all",
];

/// The programs and databases that every row needs.
pub struct Bench {
    pub plan: Plan,
    /// Started again for each row, so that no row is affected by an earlier one.
    service: Service,
    peer: Option<Peer>,
    influx: Option<Influx>,
    /// Databases of the service, the bare clients and the peer, each with the same tables.
    urls: [String; 3],
    /// The last field, so that it is dropped after the programs that use it.
    pub postgres: PostgresServer,
}

impl Bench {
    pub async fn start(plan: Plan) -> Self {
        let postgres = PostgresServer::start();
        let urls = [postgres.database("ours").await, postgres.database("bare").await, postgres.database("peer").await];
        let service = Service::start(&urls[0]).await;
        let peer = Peer::start(&urls[2]).await;
        let influx = Influx::start(postgres.folder()).await;
        Self { plan, service, peer, influx, urls, postgres }
    }

    fn url(&self, contender: Contender) -> &str {
        match contender {
            Contender::Ours | Contender::Plain | Contender::Axum | Contender::Stored | Contender::Influx => {
                &self.urls[0]
            }
            Contender::Bare => &self.urls[1],
            Contender::Peer => &self.urls[2],
        }
    }

    /// The address of a contender that serves HTTP. The bare clients use only the database's server.
    fn address(&self, contender: Contender) -> SocketAddr {
        match (contender, &self.peer) {
            (Contender::Peer, Some(peer)) => peer.address,
            _ => self.service.address,
        }
    }

    /// The processor time that a contender's processes have used since they started, without the database's.
    fn cpu_seconds(&self, contender: Contender) -> f64 {
        match (contender, &self.peer) {
            (Contender::Peer, Some(peer)) => peer.cpu_seconds(),
            _ => self.service.cpu_seconds(),
        }
    }

    /// A folder on the disk that the databases are on.
    fn folder(&self) -> &Path {
        self.postgres.folder()
    }

    /// Measures each contender in every round, and begins with a different one each time. The first round only warms
    /// up.
    async fn in_turn(&self, contenders: &[Contender], mut measure: impl AsyncFnMut(Contender, usize) -> f64) -> Rates {
        let mut rates = Rates::default();
        for round in 0..=self.plan.rounds {
            for contender in self.turns(contenders, round) {
                let rate = measure(contender, round).await;
                eprintln!("bench:   round {round}, {contender:?}: {rate:.0}/s");
                if round > 0 {
                    rates.of[contender as usize].push(rate);
                }
            }
        }
        rates.memory = self.service.peak_memory();
        rates
    }

    /// The contenders in the order of a round, without those that are skipped.
    fn turns(&self, contenders: &[Contender], round: usize) -> Vec<Contender> {
        let mut order: Vec<Contender> = contenders
            .iter()
            .copied()
            .filter(|contender| match contender {
                Contender::Peer => self.peer.is_some(),
                Contender::Influx => self.influx.is_some(),
                _ => true,
            })
            .collect();
        let first = round % order.len();
        order.rotate_left(first);
        order
    }
}

/// The program whose work is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Ours,
    Bare,
    Peer,
    /// The service again, without compression, in a row that measures compressed pages.
    Plain,
    /// A bare axum handler that takes the same posts and stores nothing.
    Axum,
    /// The service again, with pages of stored candles, in a row that measures built ones.
    Stored,
    Influx,
}

const ALL: [Contender; 3] = [Contender::Ours, Contender::Bare, Contender::Peer];
const WITHOUT_PEER: [Contender; 2] = [Contender::Ours, Contender::Bare];

/// The rate of each contender in each round.
#[derive(Default)]
struct Rates {
    of: [Vec<f64>; 7],
    /// The service's peak memory, in MiB.
    memory: f64,
}

/// The minimum ratios of a row, where it has any.
#[derive(Clone, Copy, Default)]
struct Targets {
    bare: Option<f64>,
    peer: Option<f64>,
    influx: Option<f64>,
}

impl Rates {
    /// Makes a line for each contender that the service is compared with.
    fn lines(self, name: &str, unit: &str, bare: &'static str, targets: Targets) -> Vec<Line> {
        let [ours, bare_rates, peer_rates, plain_rates, axum_rates, stored_rates, influx_rates] = self.of;
        let references = [
            Reference { name: bare, target: targets.bare, rates: bare_rates },
            Reference { name: PEER, target: targets.peer, rates: peer_rates },
            Reference { name: INFLUX, target: targets.influx, rates: influx_rates },
            Reference { name: "without gzip", target: None, rates: plain_rates },
            Reference { name: "axum, storing nothing", target: None, rates: axum_rates },
            // A built page may take twenty times as long as a stored one.
            Reference { name: "stored page", target: Some(0.05), rates: stored_rates },
        ];
        let measured = references.iter().filter(|reference| !reference.rates.is_empty());
        measured.map(|reference| compared(name, unit, &ours, reference).with_memory(self.memory)).collect()
    }
}

/// Measures the row with this name.
pub async fn measure(bench: &mut Bench, name: &str) -> Vec<Line> {
    bench.service = Service::start(bench.url(Contender::Ours)).await;
    let targets = |bare, peer| Targets { bare: Some(bare), peer: Some(peer), ..Targets::default() };
    match name {
        "ingest-1000" => ingest::new_candles(bench, 1_000, Targets { influx: Some(1.0), ..targets(1.2, 4.0) }).await,
        "ingest-10000" => ingest::new_candles(bench, 10_000, Targets::default()).await,
        "duplicates" => ingest::duplicates(bench).await,
        "singles" => ingest::singles(bench).await,
        "sqlite" => ingest::sqlite(bench).await,
        "get-100" => read::uncached(bench, 100, Targets::default()).await,
        "get-1000" => read::uncached(bench, 1_000, targets(1.0, 5.0)).await,
        "get-10000" => read::uncached(bench, 10_000, Targets::default()).await,
        "get-gzip" => read::uncached_gzip(bench).await,
        "hot-100" => read::hot(bench, 100, Targets::default()).await,
        "hot-1000" => read::hot(bench, 1_000, targets(0.6, 50.0)).await,
        "hot-10000" => read::hot(bench, 10_000, Targets::default()).await,
        "hot-gzip" => read::hot_gzip(bench).await,
        "not-modified" => read::not_modified(bench).await,
        "shared-hot" => limits::hot(bench).await,
        "shared-refused" => limits::refused(bench).await,
        "resample-page" => resample::page(bench).await,
        "resample-year" => resample::year(bench).await,
        "export-csv" => export::csv(bench).await,
        "export-parquet" => export::parquet(bench).await,
        "series" => series::measure(bench).await,
        "latest" => latest::measure(bench).await,
        "live" => live::measure(bench).await,
        "import-postgres" => import::postgres(bench).await,
        "import-sqlite" => import::sqlite(bench),
        "import-first-pass" => import::first_pass(bench),
        "idle" => process::idle(bench).await,
        "peak" => process::peak(bench).await,
        "start" => process::start(bench).await,
        "mixed" => mixed::beside_peer(bench).await,
        "mixed-10" => mixed::ten_times_as_fast(bench).await,
        "client" => client::measure(bench),
        "growth" => growth::measure(bench).await,
        "research-sweep" => research::sweep(bench).await,
        "research-stops" => research::stops(bench).await,
        "research-threads" => research::threads(bench).await,
        "research-backtest" => research::backtest(bench).await,
        "research-load" => research::load(bench).await,
        "research-pages" => research::pages(bench).await,
        "research-jobs" => jobs::jobs(bench).await,
        "research-beside" => jobs::beside_some(bench).await,
        "research-beside-all" => jobs::beside_all(bench).await,
        _ => process::size(),
    }
}

/// Makes `count` batches of `size` candles of series `number`, beginning with batch `first`.
fn batches(number: usize, first: usize, count: usize, size: usize) -> Vec<Vec<Candle>> {
    let mut series = Series::from_minute(number, first * size);
    (0..count).map(|_| series.by_ref().take(size).collect()).collect()
}

/// Puts batches of several series into a database, as fast as possible.
async fn fill<'b>(url: &str, series: impl IntoIterator<Item = &'b [Vec<Candle>]>) {
    let mut clients = Vec::new();
    for batches in series {
        let columns = batches.iter().map(|candles| Columns::new(candles)).collect();
        clients.push(Batches::new(url, columns).await);
    }
    load::run(clients, Duration::MAX).await;
}
