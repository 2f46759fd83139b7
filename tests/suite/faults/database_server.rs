//! A PostgreSQL server of a test's own, which it may stop, freeze and kill.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::timeout;

use super::Random;
use crate::harness::eventually;
use crate::program::kill;

pub struct DatabaseServer {
    folder: TempDir,
    pub url: String,
    /// Stops and deletes the server when this process ends for any reason.
    holder: Child,
}

/// This script holds everything that differs between machines.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/throwaway-postgres");

impl DatabaseServer {
    /// Starts a server with its data below `place`, or returns the reason why this machine cannot run one.
    pub fn start(place: &Path, settings: &[&str]) -> Result<Self, String> {
        Self::with(place, "start", settings)
    }

    /// Starts a standby that follows this server.
    pub fn standby(&self, place: &Path) -> Self {
        Self::with(place, "standby", &[&*self.url]).unwrap()
    }

    fn with(place: &Path, command: &str, arguments: &[&str]) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("candlewick-faults.").tempdir_in(place).unwrap();
        // In a process group of its own, because Ctrl-C must not end the process that cleans up.
        let mut holder = Command::new(SCRIPT);
        let holder = holder.arg("hold").arg(folder.path()).process_group(0).stdin(Stdio::piped());
        let holder = holder.stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { folder, url: String::new(), holder };
        server.url = server.script(command, arguments)?;
        Ok(server)
    }

    fn script(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        const NO_BINARIES: i32 = 3;
        let output = Command::new(SCRIPT).arg(command).arg(self.folder.path()).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.code() {
            Some(0) => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            Some(NO_BINARIES) => Err(error),
            _ => panic!("{command}: {error}"),
        }
    }

    /// Stops it: `fast` ends its sessions in order, `immediate` drops everything, as a crash does.
    pub fn stop(&self, mode: &str) {
        self.script("stop", &[mode]).unwrap();
    }

    /// Starts it if it does not run, and returns once it accepts connections.
    pub async fn start_again(&self) {
        self.script("start", &[]).unwrap();
        self.accepts().await;
    }

    /// Returns once it accepts connections.
    pub async fn accepts(&self) {
        const AN_ATTEMPT: Duration = Duration::from_secs(2);
        eventually(async || matches!(timeout(AN_ATTEMPT, PgConnection::connect(&self.url)).await, Ok(Ok(_)))).await;
    }

    /// Freezes it in the middle of its work.
    pub async fn freeze(&self) -> Frozen {
        let mut watch = self.connect().await;
        let postmaster = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let mut frozen = Frozen(vec![postmaster.lines().next().unwrap().parse().unwrap()]);
        kill(frozen.0[0], "STOP");
        // The processes that it has started. It can start no more, and the one that lists them comes last.
        let others = "select pid from pg_stat_activity order by pid = pg_backend_pid()";
        let others: Vec<i32> = sqlx::query_scalar(others).fetch_all(&mut watch).await.unwrap();
        for pid in others {
            kill_if_there(pid.unsigned_abs(), "STOP");
            frozen.0.push(pid.unsigned_abs());
        }
        frozen
    }

    /// A connection from which a test watches the server, which does not count as one of the service's.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A server that stays frozen until this value is dropped.
pub struct Frozen(Vec<u32>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            kill_if_there(*pid, "CONT");
        }
    }
}

/// Ends the service's sessions and returns how many there were.
pub async fn end_sessions(watch: &mut PgConnection) -> i64 {
    const END: &str =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'candlewick%'";
    sqlx::query_scalar(END).fetch_one(watch).await.unwrap()
}

/// Kills one of the service's sessions and returns once the server has ended all others because of it.
pub async fn kill_a_session(mut watch: PgConnection, random: &mut Random) {
    const SESSIONS: &str = "select pid from pg_stat_activity where application_name like 'candlewick%'";
    let mut sessions: Vec<i32> = Vec::new();
    eventually(async || {
        sessions = sqlx::query_scalar(SESSIONS).fetch_all(&mut watch).await.unwrap();
        !sessions.is_empty()
    })
    .await;
    kill_if_there(sessions[random.below(sessions.len())].unsigned_abs(), "KILL");
    eventually(async || sqlx::query("select 1").execute(&mut watch).await.is_err()).await;
}

/// A process may have ended since it was listed.
fn kill_if_there(pid: u32, signal: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {pid} 2>/dev/null")]).status();
}
