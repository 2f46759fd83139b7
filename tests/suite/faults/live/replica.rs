//! A replica: a service in a process of its own, so that it can be killed and its memory is its own. It runs by a time that passes
//! faster than ours, so that a run of minutes has hours of candles.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime};

use candle::Timestamp;
use candlewick::clock::Clock;

use crate::harness::{Environment, NOW, Service, run_within};

/// Names the database to a process that is to be a replica, and the beginning of its time in epoch microseconds.
const REQUEST: &str = "CANDLEWICK_TEST_REPLICA";
/// The test that such a process is started with.
const TEST: &str = "faults::live::every_client_ends_with_what_the_database_holds::case_1_sqlite";
/// Longer than any run.
const LIFETIME: Duration = Duration::from_hours(1);
/// The seconds that pass for replicas and terminals in a second.
const SPEED: u64 = 300;

/// The time of replicas and terminals.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// In epoch microseconds.
    began: u64,
}

impl Time {
    pub fn begin() -> Self {
        Self { began: micros() }
    }

    /// In epoch seconds.
    pub fn now(self) -> i64 {
        NOW + (micros().saturating_sub(self.began) * SPEED / 1_000_000) as i64
    }
}

fn micros() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64
}

pub struct Replica {
    child: Child,
    /// The process ends when this is closed.
    input: ChildStdin,
    pub url: String,
}

impl Replica {
    /// Starts a replica and waits until it has reached its database.
    pub fn start(database_url: &str, time: Time) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(REQUEST, format!("{} {database_url}", time.began))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.unwrap().split_once("replica at ")?.1.to_owned()));
        let url = url.expect("it says where it listens");
        // Nothing reads its later lines, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, input, url }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as a signal does, and waits for its end.
    pub fn stop(mut self) {
        self.input.write_all(b"stop\n").unwrap();
        assert!(self.child.wait().unwrap().success(), "a replica did not stop in order");
    }

    /// Its resident memory in KiB, where the system tells.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }
}

/// True if this process was started to be a replica.
pub fn is_requested() -> bool {
    std::env::var_os(REQUEST).is_some()
}

/// Serves until the process that started this one stops it or ends.
pub fn serve() {
    let request = std::env::var(REQUEST).unwrap();
    let (began, database_url) = request.split_once(' ').unwrap();
    let time = Time { began: began.parse().unwrap() };
    let unlimited = Environment::new(database_url).with("RATE_LIMIT_INGEST", "off").with("RATE_LIMIT_QUERY", "off");
    let environment = unlimited.with("DATABASE_MAX_CONNECTIONS", 8);
    run_within(LIFETIME, async {
        let clock = Clock::new(move || Timestamp::from_seconds(time.now()).unwrap());
        let (mut service, mut ready) = Service::launch_by(&environment.config(), clock);
        ready.wait_for(|ready| *ready).await.unwrap();
        println!("replica at {}", service.url());
        let is_asked_to_stop = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().is_some());
        if is_asked_to_stop.await.unwrap() {
            service.stop().await.unwrap();
        }
    });
}
