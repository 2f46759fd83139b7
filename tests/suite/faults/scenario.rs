//! One scenario: the built program on a database of its own, under load, while the test breaks something.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Executor as _;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::batch::Batch;
use super::database_server::DatabaseServer;
use super::disconnects::come_and_leave;
use super::jobs::JobLoad;
use super::load::{Answer, Load, client, post};
use super::oracle::{Broken, judge};
use super::report::{Figures, left_out};
use super::small_disk::SmallDisk;
use super::{Random, full};
use crate::harness::{Database, KEY, PgDatabase, RESEARCH_KEY, TOKEN, run_within};
use crate::pgbouncer::PgBouncer;
use crate::program::{Serving, folder};
use crate::proxy::Proxy;

/// The maximum time to recover on a machine that does nothing else.
const HEALS_WITHIN: Duration = Duration::from_secs(2);
/// The same where a link drops answers: a statement that waits for one keeps its connection until it is given up, 5.5 s after it was
/// sent.
const HEALS_AFTER_LOST_ANSWERS: Duration = Duration::from_secs(6);
/// The maximum time to recover beside other tests.
const HEALS_AT_ALL: Duration = Duration::from_secs(10);

/// Fewer connections than the load uses at once, so that requests wait for one.
pub const FEW: &str = "4";
/// As many connections as the load and the jobs use at once, because an unanswered statement holds one for longer than a recovery
/// may take.
pub const ENOUGH: &str = "18";

pub struct Scenario {
    pub random: Random,
    pub load: Load,
    pub figures: Figures,
    /// The possible effects of a broken connection in this scenario.
    pub broken: Broken,
    heals_within: Duration,
    jobs: Option<JobLoad>,
    service: Option<Serving>,
    service_folder: TempDir,
    /// The address of the database for the service.
    service_url: String,
    connections: &'static str,
    database: Database,
}

/// Runs a scenario on a PostgreSQL server of its own.
pub fn on_postgres(name: &'static str, scenario: impl AsyncFnOnce(&mut Scenario, &DatabaseServer)) {
    run_within(limit(), async {
        let Some((server, database)) = postgres(name, Path::new("/tmp")).await else { return };
        let url = database.url.clone();
        let mut running = Scenario::start(name, Database::Postgres(database), url, FEW);
        scenario(&mut running, &server).await;
        running.end().await;
    });
}

/// Runs a scenario with a proxy between the service and its PostgreSQL server.
pub fn on_a_link(
    name: &'static str,
    connections: &'static str,
    scenario: impl AsyncFnOnce(&mut Scenario, &DatabaseServer, &Proxy),
) {
    run_within(limit(), async {
        let Some((server, database)) = postgres(name, Path::new("/tmp")).await else { return };
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let url = proxy.url(&database);
        let mut running = Scenario::start(name, Database::Postgres(database), url, connections);
        scenario(&mut running, &server, &proxy).await;
        running.end().await;
    });
}

/// Runs a scenario on a PostgreSQL server with a synchronous standby, behind a proxy that leads to the primary.
pub fn on_a_pair(
    name: &'static str,
    scenario: impl AsyncFnOnce(&mut Scenario, &DatabaseServer, &DatabaseServer, &mut Proxy),
) {
    run_within(limit(), async {
        let Some((primary, database)) = postgres(name, Path::new("/tmp")).await else { return };
        let standby = primary.standby(Path::new("/tmp"));
        // Set after the standby was copied, so that the standby waits for nobody once it is promoted.
        let mut watch = primary.connect().await;
        for change in ["alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"] {
            watch.execute(change).await.unwrap();
        }
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let url = proxy.url(&database);
        let mut running = Scenario::start(name, Database::Postgres(database), url, ENOUGH);
        scenario(&mut running, &primary, &standby, &mut proxy).await;
        running.end().await;
    });
}

/// Runs a scenario with PgBouncer between the service and its PostgreSQL server, as docs/operations/postgres.md sets it up.
pub fn on_pgbouncer(name: &'static str, scenario: impl AsyncFnOnce(&mut Scenario, &DatabaseServer, &mut PgBouncer)) {
    run_within(limit(), async {
        let Some((server, database)) = postgres(name, Path::new("/tmp")).await else { return };
        let settings = "server_login_retry = 1";
        let Some(mut bouncer) = PgBouncer::start_with(&database, "session", 20, settings).await else { return };
        let url = bouncer.url.clone();
        let mut running = Scenario::start(name, Database::Postgres(database), url, FEW);
        scenario(&mut running, &server, &mut bouncer).await;
        running.end().await;
    });
}

/// Runs a scenario on a PostgreSQL server whose disk can be filled.
pub fn on_a_small_disk(name: &'static str, scenario: impl AsyncFnOnce(&mut Scenario, &DatabaseServer, &SmallDisk)) {
    run_within(limit(), async {
        let disk = match SmallDisk::mount(160) {
            Ok(disk) => disk,
            Err(reason) => return left_out(name, &reason),
        };
        let Some((server, database)) = postgres(name, disk.path()).await else { return };
        let url = database.url.clone();
        let mut running = Scenario::start(name, Database::Postgres(database), url, FEW);
        scenario(&mut running, &server, &disk).await;
        running.end().await;
    });
}

/// Runs a scenario on a SQLite file below `place`, or in the folder for temporary files.
pub fn on_sqlite(name: &'static str, place: Option<&Path>, scenario: impl AsyncFnOnce(&mut Scenario)) {
    run_within(limit(), async {
        let folder = place.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        let database = Database::Sqlite(folder);
        let url = database.url();
        let mut running = Scenario::start(name, database, url, FEW);
        scenario(&mut running).await;
        running.end().await;
    });
}

async fn postgres(name: &str, place: &Path) -> Option<(DatabaseServer, PgDatabase)> {
    match DatabaseServer::start(place, &["max_connections=40"]) {
        Ok(server) => {
            let database = PgDatabase::create(&server.url).await;
            Some((server, database))
        }
        Err(reason) => {
            left_out(name, &reason);
            None
        }
    }
}

/// The time after which a scenario counts as hanging.
fn limit() -> Duration {
    Duration::from_secs(if full() { 300 } else { 180 })
}

impl Scenario {
    fn start(name: &'static str, database: Database, service_url: String, connections: &'static str) -> Self {
        let mut random = Random::of(name);
        let service_folder = folder();
        let mut service = serve(&service_folder, &service_url, connections);
        service.is_ready();
        let load = Load::start(&service.url, &mut random);
        let figures = Figures { scenario: name, ..Figures::default() };
        let service = Some(service);
        Self {
            random,
            load,
            figures,
            broken: Broken::Never,
            heals_within: HEALS_WITHIN,
            jobs: None,
            service,
            service_folder,
            service_url,
            connections,
            database,
        }
    }

    pub fn postgres(&self) -> &PgDatabase {
        let Database::Postgres(database) = &self.database else { panic!("the scenario is not on PostgreSQL") };
        database
    }

    /// Has the service work on jobs from now on. Returns once it has ended one that no fault has disturbed.
    pub async fn start_jobs(&mut self) {
        self.jobs = Some(JobLoad::start(&self.load.log.url, &self.database).await);
    }

    /// True if a candle of a batch is stored.
    pub async fn has_stored(&self, batch: Batch) -> bool {
        let rows = format!("select symbol from market_data_candles where symbol = '{}' limit 1", batch.symbol());
        !self.database.rows(&rows).await.is_empty()
    }

    /// The database is on this server from now on.
    pub fn moves_to(&mut self, server: &DatabaseServer) {
        let Database::Postgres(database) = &mut self.database else { panic!("the scenario is not on PostgreSQL") };
        database.move_to(&server.url);
    }

    /// Waits for a point of the load that the seed chooses, for the next fault.
    pub async fn random_point(&mut self) {
        self.load.flows(5).await;
        sleep(self.random.millis(0..200)).await;
    }

    /// Keeps the fault for a time that the seed chooses from `short`, or up to `longest` in the long form.
    pub async fn lasts(&mut self, short: Range<u64>, longest: u64) {
        let range = if full() { short.start..longest } else { short };
        sleep(self.random.millis(range)).await;
    }

    /// Sends the service a signal, waits for its end and returns its exit code.
    pub fn end_service(&mut self, signal: &str) -> Option<i32> {
        let service = self.service.take().expect("it runs");
        service.signal(signal);
        service.end().0
    }

    /// Starts the service again on another port, and returns the time at which the start began.
    pub fn start_service(&mut self) -> Instant {
        let began = Instant::now();
        let service = serve(&self.service_folder, &self.service_url, self.connections);
        self.load.log.url.send_replace(service.url.clone());
        self.service = Some(service);
        began
    }

    /// Call this when a fault's cause has just ended; it returns once batches are acknowledged again.
    pub async fn heals(&mut self) {
        self.heals_since(Instant::now()).await;
    }

    pub async fn heals_since(&mut self, since: Instant) {
        let healed = timeout(HEALS_AT_ALL, self.load.acknowledged_after(since)).await;
        let healed =
            healed.unwrap_or_else(|_| panic!("{}: nothing is stored {HEALS_AT_ALL:?} later", self.figures.scenario));
        self.figures.faults += 1;
        self.figures.heals.push(healed - since);
        // The next fault must come after the effects of this one.
        self.load.all_acknowledged_after(healed).await;
    }

    /// Posts a batch beside the load.
    pub async fn post(&self, batch: Batch) -> Answer {
        let url = self.load.log.url.borrow().clone();
        let attempt = post(&client(), &url, batch).await;
        let answer = attempt.answer.clone();
        self.load.log.write(attempt);
        answer
    }

    /// Lets recovery take as long as a statement whose answer was dropped.
    pub fn answers_are_lost(&mut self) {
        self.heals_within = HEALS_AFTER_LOST_ANSWERS;
    }

    pub async fn clients_come_and_leave(&mut self, count: usize) {
        come_and_leave(&self.load.log, count, &mut self.random).await;
    }

    async fn end(&mut self) {
        let jobs = match self.jobs.take() {
            Some(jobs) => Some(jobs.stop().await),
            None => None,
        };
        let attempts = self.load.stop().await;
        let service = self.service.as_ref().expect("it runs");
        let mut complaints = judge(attempts, &self.database, &service.url, self.broken, &mut self.figures).await;
        let had_jobs = jobs.is_some();
        if let Some(jobs) = jobs {
            jobs.judge(&self.database, &service.url, self.broken, &mut self.figures, &mut complaints).await;
        }
        self.figures.tell();
        complaints.are_none(self.figures.scenario);
        assert!(self.figures.faults > 0 && self.figures.acknowledged > 0, "{:?}", self.figures);
        assert!(!had_jobs || self.figures.jobs > 0, "{:?}", self.figures);
        if full() {
            assert!(self.figures.slowest_heal() <= self.heals_within, "{:?}", self.figures);
            assert!(self.figures.median_heal() <= HEALS_WITHIN, "{:?}", self.figures);
        }
    }
}

fn serve(folder: &TempDir, database_url: &str, connections: &str) -> Serving {
    let variables = [
        ("MT5_API_KEY", KEY),
        ("INTERNAL_API_TOKEN", TOKEN),
        ("RESEARCH_API_KEY", RESEARCH_KEY),
        ("RESEARCH_THREADS", "1"),
        ("RATE_LIMIT_RESEARCH", "off"),
        ("PORT", "0"),
        ("DATABASE_URL", database_url),
        ("DATABASE_MAX_CONNECTIONS", connections),
        ("RATE_LIMIT_INGEST", "off"),
        ("RATE_LIMIT_ANONYMOUS", "off"),
    ];
    Serving::start_for(limit(), folder.path(), &variables)
}
