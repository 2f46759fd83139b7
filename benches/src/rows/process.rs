//! The process itself: its memory, its start, its size.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use tempfile::TempDir;

use super::{Bench, Contender, batches};
use crate::candles;
use crate::client::{Connection, get, post};
use crate::contract::Prepared;
use crate::load::{self, Client};
use crate::postgres_server::empty;
use crate::service::{self, Service};
use crate::table::{Line, measured};

/// Memory of a service that has nothing to do.
pub async fn idle(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let mut lines = Vec::new();
    for (store, url) in stores(bench, &folder) {
        let mut figures = Vec::new();
        for _ in 0..bench.plan.rounds {
            let service = Service::start(&url).await;
            // By then, the memory that the start needed may have been given back.
            tokio::time::sleep(Duration::from_secs(1)).await;
            figures.push(service.memory());
        }
        lines.push(measured(&format!("idle memory, {store}"), "MiB", &figures, Some(20.0)));
    }
    lines
}

/// Peak memory while large batches are posted and large pages are read.
pub async fn peak(bench: &Bench) -> Vec<Line> {
    const CONNECTIONS: usize = 64;
    const SIZE: usize = 10_000;
    /// The bodies of each connection, which sends them in turn. Taking in a batch that is stored already is the same
    /// work.
    const BODIES: usize = 2;
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let mut lines = Vec::new();
    empty(bench.url(Contender::Ours)).await;
    let posts: Vec<Vec<Prepared>> = (0..CONNECTIONS)
        .map(|number| batches(number, 0, BODIES, SIZE).iter().map(|candles| post(candles)).collect())
        .collect();
    for (store, url) in stores(bench, &folder) {
        let service = Service::start(&url).await;
        let mut clients = Vec::new();
        for (number, posts) in posts.iter().enumerate() {
            let connection = Connection::open(service.address).await.unwrap();
            let page =
                get(&format!("symbol={}&timeframe={}&limit={SIZE}", candles::symbol(number), candles::TIMEFRAME));
            clients.push(PostsAndReads { address: service.address, connection, posts: posts.clone(), page, steps: 0 });
        }
        load::run(clients, 5 * bench.plan.length).await;
        let name = format!("most memory, {CONNECTIONS} connections posting and reading 10,000 candles, {store}");
        lines.push(measured(&name, "MiB", &[service.peak_memory()], Some(128.0)));
    }
    lines
}

/// Alternately posts a batch and reads its series. A request that is refused for lack of memory counts, too, because it
/// needs that memory all the same.
struct PostsAndReads {
    address: SocketAddr,
    connection: Connection,
    posts: Vec<Prepared>,
    page: Prepared,
    steps: usize,
}

impl Client for PostsAndReads {
    async fn step(&mut self) -> bool {
        let posts = self.steps.is_multiple_of(2);
        let post = &self.posts[self.steps / 2 % self.posts.len()];
        let status = self.connection.send(if posts { post } else { &self.page }).await.unwrap();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // The rest of a refused request may still be on its way.
            self.connection = Connection::open(self.address).await.unwrap();
        } else {
            self.connection.expect(if posts { StatusCode::CREATED } else { StatusCode::OK });
        }
        self.steps += 1;
        true
    }
}

/// The time from the start of the process until it is healthy, with existing tables.
pub async fn start(bench: &Bench) -> Vec<Line> {
    let folder = tempfile::tempdir_in(bench.folder()).unwrap();
    let mut lines = Vec::new();
    for ((store, url), limit) in stores(bench, &folder).into_iter().zip([300.0, 100.0]) {
        let mut figures = Vec::new();
        for _ in 0..bench.plan.rounds {
            figures.push(Service::start(&url).await.ready_after.as_secs_f64() * 1_000.0);
        }
        lines.push(measured(&format!("start to ready, {store}"), "ms", &figures, Some(limit)));
    }
    lines
}

/// A database of each kind with its tables, the file in `folder`.
fn stores(bench: &Bench, folder: &TempDir) -> [(&'static str, String); 2] {
    let file = format!("sqlite://{}", folder.path().join("bench.db").display());
    service::migrate(&file);
    [("Postgres", bench.url(Contender::Ours).to_owned()), ("SQLite", file)]
}

/// The size of the program's file.
pub fn size() -> Vec<Line> {
    let bytes = std::fs::metadata(service::executable()).unwrap().len();
    vec![measured("size of the binary", "MiB", &[bytes as f64 / 1_048_576.0], None)]
}
