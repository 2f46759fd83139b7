//! The service as users run it: the release binary in its own process, configured as in production.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Connection;
use crate::contract::{HEALTH, KEY, TOKEN};
use crate::process;

/// The service's program, which scripts/bench has built beside this one.
pub fn executable() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("candlewick")
}

/// A running service, which is killed when this is dropped.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    /// The time from the start of the process to the first answer of `/health` that the service is healthy.
    pub ready_after: Duration,
    _folder: TempDir,
}

impl Service {
    pub async fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[]).await
    }

    /// As [`Self::start`], with other values of some variables.
    pub async fn start_with(database_url: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut command = program(database_url);
        command.current_dir(folder.path()).env("PORT", address.port().to_string());
        command.envs(variables.iter().copied()).stdout(Stdio::null());
        let began = Instant::now();
        let child = command.spawn().unwrap();
        let mut service = Self { child, address, ready_after: Duration::ZERO, _folder: folder };
        while !is_healthy(address).await {
            assert!(began.elapsed() < Duration::from_secs(10), "the service is not ready after 10 s");
            assert!(service.child.try_wait().unwrap().is_none(), "the service ended while it started");
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        service.ready_after = began.elapsed();
        service
    }

    /// The resident memory of the service, in MiB.
    pub fn memory(&self) -> f64 {
        process::memory(self.child.id())
    }

    /// The peak resident memory of the service, in MiB.
    pub fn peak_memory(&self) -> f64 {
        process::peak_memory(self.child.id())
    }

    /// The processor time that the service has used since it started.
    pub fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.child.id())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the tables of a database.
pub fn migrate(database_url: &str) {
    assert!(program(database_url).arg("migrate").stdout(Stdio::null()).status().unwrap().success());
}

fn program(database_url: &str) -> Command {
    let mut command = Command::new(executable());
    command.env_clear().envs([
        ("DATABASE_URL", database_url),
        ("ENVIRONMENT", "production"),
        ("MT5_API_KEY", KEY),
        ("INTERNAL_API_TOKEN", TOKEN),
        ("RATE_LIMIT_INGEST", "off"),
        ("RATE_LIMIT_QUERY", "off"),
        ("RATE_LIMIT_ANONYMOUS", "off"),
        ("LOG_LEVEL", "warn"),
    ]);
    command
}

/// An address on which nothing listens.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns whether a service at `address` answers that it is healthy.
pub async fn is_healthy(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    connection.send(&HEALTH).await.is_ok_and(|status| status.is_success())
}
