//! Live streams while everything around them fails: terminals post through replicas that restart, while clients connect, stall, are cut
//! at random bytes and go on elsewhere, and the database is away for a while. Each client ends with exactly what the database holds,
//! and gets no state out of order or before its commit.

mod follower;
mod replica;
mod terminals;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use rstest_reuse::apply;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio::time::sleep;

use super::database_server::DatabaseServer;
use super::report::{add_to_table, left_out, say};
use super::{Random, SEED, full};
use crate::harness::{Database, PgDatabase, StoreKind, both_store_kinds, eventually, run_within};
use follower::{Candles, Follower, Story, Truth, read_all};
use replica::{Replica, Time};
use terminals::{Log, SERIES, State, TERMINALS, Terminal};

/// The size of a run.
struct Form {
    /// States that terminals post.
    states: usize,
    clients: usize,
    /// The clients among them that stay connected and read at once.
    steady: usize,
    /// The number of times that each replica restarts.
    restarts: usize,
    /// The time for which the database is away.
    outage: Duration,
    longest_stall: u64,
    limit: Duration,
}

const SHORT: Form = Form {
    states: 2_000,
    clients: 10,
    steady: 3,
    restarts: 1,
    outage: Duration::from_millis(500),
    longest_stall: 300,
    limit: Duration::from_mins(2),
};

const LONG: Form = Form {
    states: 50_000,
    clients: 60,
    steady: 6,
    restarts: 3,
    outage: Duration::from_secs(30),
    longest_stall: 4_000,
    limit: Duration::from_mins(15),
};

/// The memory that a replica may take more at the end than in the middle, in KiB.
const MAX_GROWTH_KIB: u64 = 16 * 1024;
/// The interval of comments, within which each stream has one in the long form's outage.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// The database, which can be made to commit nothing, and to go away.
enum Store {
    Sqlite(Database),
    /// Fields drop in this order.
    Postgres(PgDatabase, DatabaseServer),
}

/// A transaction that keeps all others from committing.
enum Hold {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Store {
    fn url(&self) -> String {
        match self {
            Self::Sqlite(database) => database.url(),
            Self::Postgres(database, _) => database.url.clone(),
        }
    }

    /// Reads go on meanwhile, so that only a commit is missing.
    async fn hold(&self) -> sqlx::Result<Hold> {
        match self {
            Self::Sqlite(database) => {
                let mut connection = SqliteConnection::connect(&database.url()).await?;
                connection.execute("begin immediate").await?;
                Ok(Hold::Sqlite(connection))
            }
            Self::Postgres(database, _) => {
                let mut connection = PgConnection::connect(&database.url).await?;
                let lock = "begin; lock table market_data_candles, market_data_live_candles in exclusive mode";
                connection.execute(lock).await?;
                Ok(Hold::Postgres(connection))
            }
        }
    }

    /// Takes the database away for a time: the server stops as in a crash, and the file lets nobody write.
    async fn is_away_for(&self, time: Duration) {
        match self {
            Self::Sqlite(_) => {
                let hold = self.hold().await.unwrap();
                sleep(time).await;
                hold.end().await;
            }
            Self::Postgres(_, server) => {
                server.stop("immediate");
                sleep(time).await;
                server.start_again().await;
            }
        }
    }
}

impl Hold {
    async fn end(self) {
        // A server that was stopped has ended the transaction already.
        let _ = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
    }
}

/// Keeps the database from committing for moments, which the log notes, until all is written.
async fn hold_now_and_then(store: Arc<Store>, log: Arc<Log>, mut random: Random) {
    while !log.is_written.load(Ordering::Relaxed) {
        sleep(random.millis(100..600)).await;
        let Ok(hold) = store.hold().await else { continue };
        *log.held.lock().unwrap() = Some(Instant::now());
        sleep(random.millis(30..200)).await;
        *log.held.lock().unwrap() = None;
        hold.end().await;
    }
}

struct Checker {
    form: &'static Form,
    store: Arc<Store>,
    log: Arc<Log>,
    time: Time,
    replicas: Vec<Option<Replica>>,
    random: Random,
}

/// The faults that a run had, and the memory of each replica after them.
struct Faults {
    kills: usize,
    stops: usize,
    outage: [Instant; 2],
    memory: Vec<Option<u64>>,
}

impl Checker {
    /// Returns once terminals have stored this part of their states.
    async fn stored(&self, percent: usize) {
        let enough = self.form.states * percent / 100;
        eventually(async || self.log.acknowledged.load(Ordering::Relaxed) >= enough).await;
    }

    /// Restarts replicas one after the other and takes the database away, all in the first half of the states.
    async fn cause(&mut self) -> Faults {
        let count = self.replicas.len();
        let (all, mut kills, mut stops) = (self.form.restarts * count, 0, 0);
        let mut outage = None;
        for number in 0..all {
            self.stored(5 + 35 * number / all).await;
            let running = self.replicas[number % count].take().unwrap();
            if self.random.below(2) == 0 {
                kills += 1;
                running.kill();
            } else {
                stops += 1;
                tokio::task::block_in_place(|| running.stop());
            }
            self.start(number % count);
            if number == all / 2 {
                // Every steady client is connected again, so that their streams can show what becomes of them.
                eventually(async || self.log.steady.load(Ordering::Relaxed) == self.form.steady).await;
                let began = Instant::now();
                self.store.is_away_for(self.form.outage).await;
                outage = Some([began, Instant::now()]);
            }
        }
        self.stored(50).await;
        Faults { kills, stops, outage: outage.unwrap(), memory: self.memory() }
    }

    fn start(&mut self, number: usize) {
        let started = tokio::task::block_in_place(|| Replica::start(&self.store.url(), self.time));
        self.log.urls.write().unwrap()[number].clone_from(&started.url);
        self.replicas[number] = Some(started);
    }

    fn memory(&self) -> Vec<Option<u64>> {
        self.replicas.iter().map(|replica| replica.as_ref().and_then(Replica::memory)).collect()
    }
}

/// The times from the acknowledgement of a state until a steady client had it or a newer one of its candle, in order. Counts those
/// during which the client was connected and the database was there.
fn delays(log: &Log, stories: &[Story], outage: [Instant; 2]) -> Vec<Duration> {
    let mut states: Vec<(State, Instant)> = Vec::new();
    for (state, posted) in &*log.states.lock().unwrap() {
        states.extend(posted.acknowledged.map(|acknowledged| (*state, acknowledged)));
    }
    states.sort_unstable();
    let mut delays = Vec::new();
    for watch in stories.iter().flat_map(|story| &story.watches) {
        // The first time at which each series had reached a state.
        let mut reached: Vec<Vec<(State, Instant)>> = vec![Vec::new(); SERIES];
        for (at, state) in &watch.received {
            let of_series = &mut reached[state.0];
            if of_series.last().is_none_or(|(last, _)| last < state) {
                of_series.push((*state, *at));
            }
        }
        for (state, acknowledged) in &states {
            let of_series = &reached[state.0];
            let next = of_series.partition_point(|(other, _)| other < state);
            let Some((_, at)) = of_series.get(next) else { continue };
            let was_away = *acknowledged < outage[1] && outage[0] < *at;
            if *acknowledged > watch.opened && !was_away {
                delays.push(at.saturating_duration_since(*acknowledged));
            }
        }
    }
    delays.sort_unstable();
    delays
}

/// Checks that no steady stream ended while the database was away, and that comments went on.
fn check_outage(stories: &[Story], outage: [Instant; 2]) {
    let watches = || stories.iter().flat_map(|story| &story.watches);
    let open = || watches().filter(|watch| watch.opened < outage[0] && outage[0] < watch.ended);
    assert!(open().count() > 0, "no stream was open when the database went away");
    for watch in open() {
        assert!(outage[1] < watch.ended, "a stream ended because the database was away");
        let has_comment = watch.comments.iter().any(|at| outage[0] < *at && *at < outage[1]);
        assert!(has_comment || outage[1] - outage[0] < COMMENT_INTERVAL, "no comment came while the database was away");
    }
}

#[apply(both_store_kinds)]
fn every_client_ends_with_what_the_database_holds(#[case] kind: StoreKind) {
    if replica::is_requested() {
        return replica::serve();
    }
    let form = if full() { &LONG } else { &SHORT };
    run_within(form.limit, async {
        match kind {
            StoreKind::Sqlite => check("live streams, SQLite", form, Store::Sqlite(Database::sqlite()), 1).await,
            StoreKind::Postgres => match DatabaseServer::start(Path::new("/tmp"), &["max_connections=60"]) {
                Ok(server) => {
                    let database = PgDatabase::create(&server.url).await;
                    check("live streams, Postgres", form, Store::Postgres(database, server), 3).await;
                }
                Err(reason) => left_out("live streams, Postgres", &reason),
            },
        }
    });
}

async fn check(name: &'static str, form: &'static Form, store: Store, replicas: usize) {
    let mut random = Random::of(name);
    let (time, truth, store) = (Time::begin(), Arc::<Truth>::default(), Arc::new(store));
    let started: Vec<_> = (0..replicas).map(|_| Replica::start(&store.url(), time)).collect();
    let log = Arc::new(Log::new(started.iter().map(|replica| replica.url.clone()).collect()));
    let replicas = started.into_iter().map(Some).collect();
    let mut checker =
        Checker { form, store: Arc::clone(&store), log: Arc::clone(&log), time, replicas, random: random.fork() };
    let clients: Vec<_> = (0..form.clients)
        .map(|number| {
            let (parts, is_steady) = ((Arc::clone(&log), Arc::clone(&truth)), number < form.steady);
            tokio::spawn(Follower::new(parts, number, is_steady, form.longest_stall, random.fork()).follow())
        })
        .collect();
    let terminals: Vec<_> = (0..TERMINALS)
        .map(|number| {
            let terminal = Terminal::new(Arc::clone(&log), number, time, random.fork());
            tokio::spawn(terminal.work(form.states / TERMINALS))
        })
        .collect();
    let holds = tokio::spawn(hold_now_and_then(Arc::clone(&store), Arc::clone(&log), random.fork()));
    let began = Instant::now();
    let written = async {
        let (faults, _) = tokio::try_join!(async { Ok(checker.cause().await) }, try_join_all(terminals))?;
        log.is_written.store(true, Ordering::Relaxed);
        let took = began.elapsed();
        let held: Vec<Candles> =
            join_all((0..SERIES).map(async |series| read_all(&log.url(series), series).await)).await;
        assert!(held.iter().all(|candles| !candles.is_empty()));
        *truth.lock().unwrap() = Some(held);
        Ok((faults, took))
    };
    // The first of them that fails ends the test.
    let ((faults, took), stories, ()) = tokio::try_join!(written, try_join_all(clients), holds).unwrap();

    check_outage(&stories, faults.outage);
    let last = checker.memory();
    print_figures(name, form, &log, &stories, &faults, (&last, took));
    for (first, last) in faults.memory.iter().zip(&last) {
        if let (Some(first), Some(last)) = (first, last) {
            assert!(*last <= first + MAX_GROWTH_KIB, "a replica grew from {first} to {last} KiB");
        }
    }
    for replica in checker.replicas.drain(..).flatten() {
        tokio::task::block_in_place(|| replica.stop());
    }
}

/// Prints the figures of a run.
fn print_figures(
    name: &str,
    form: &Form,
    log: &Log,
    stories: &[Story],
    faults: &Faults,
    (last, took): (&[Option<u64>], Duration),
) {
    let sum = |figure: fn(&Story) -> usize| stories.iter().map(figure).sum::<usize>();
    let delays = delays(log, stories, faults.outage);
    let of = |part: usize| delays.get((delays.len() * part / 100).min(delays.len().saturating_sub(1)));
    let mebibytes = |all: &[Option<u64>]| {
        let each = all.iter().map(|kib| kib.map_or("?".to_owned(), |kib| (kib / 1024).to_string()));
        each.collect::<Vec<_>>().join(", ")
    };
    let figures = format!(
        "{} states into {SERIES} series through {} replicas in {:.0} s, {} posts failed; {} clients, {} connections, {} cuts, {} stalls, \
         {} resumes, {} ends, {} events, {} late and {} missed spans; {} kills and {} stops of replicas; database away {:.1} s; from 201 to client p50 {:.0?}, \
         p99 {:.0?}, longest {:.0?} of {}; memory after half {} MiB, at the end {} MiB",
        log.acknowledged.load(Ordering::Relaxed),
        last.len(),
        took.as_secs_f64(),
        log.failed.load(Ordering::Relaxed),
        form.clients,
        sum(|story| story.connections),
        sum(|story| story.cuts),
        sum(|story| story.stalls),
        sum(|story| story.resumes),
        sum(|story| story.ends),
        sum(|story| story.events),
        sum(|story| story.late),
        sum(|story| story.missed),
        faults.kills,
        faults.stops,
        (faults.outage[1] - faults.outage[0]).as_secs_f64(),
        of(50).copied().unwrap_or_default(),
        of(99).copied().unwrap_or_default(),
        of(100).copied().unwrap_or_default(),
        delays.len(),
        mebibytes(&faults.memory),
        mebibytes(last),
    );
    say(&format!("{name}: {figures} (seed {})", *SEED));
    add_to_table(&format!("{name} | {figures}"));
}
