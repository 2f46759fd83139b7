//! The bench's own PostgreSQL server, which writes through to the disk as in production.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::service;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/throwaway-postgres");

/// The usual settings for a machine of this size. Without the larger WAL, a run would measure checkpoints.
const SETTINGS: [&str; 5] = [
    "shared_buffers = 1GB",
    "max_wal_size = 8GB",
    "min_wal_size = 2GB",
    "checkpoint_timeout = 30min",
    "max_connections = 200",
];

pub struct PostgresServer {
    folder: TempDir,
    url: String,
    /// Stops and deletes the server when this process ends, for whatever reason.
    holder: Child,
}

impl PostgresServer {
    pub fn start() -> Self {
        // In /tmp, because the server's user may have no access to the folders above the clone.
        let folder = tempfile::Builder::new().prefix("candlewick-bench.").tempdir_in("/tmp").unwrap();
        let mut holder = Command::new(SCRIPT);
        let holder = holder.arg("hold").arg(folder.path()).process_group(0).stdin(Stdio::piped()).spawn().unwrap();
        let output = Command::new(SCRIPT)
            .arg("start")
            .arg(folder.path())
            .args(SETTINGS)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "PostgreSQL did not start");
        Self { folder, url: String::from_utf8(output.stdout).unwrap().trim().to_owned(), holder }
    }

    /// Makes a database with the service's tables and returns its address.
    pub async fn database(&self, name: &str) -> String {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute(format!("create database {name}").as_str()).await.unwrap();
        let url = format!("{}/{name}", self.url.rsplit_once('/').unwrap().0);
        service::migrate(&url);
        url
    }

    /// Its version, as in `15.5`.
    pub async fn version(&self) -> String {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar("select split_part(current_setting('server_version'), ' ', 1)")
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// The folder of the server's data.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Empties the tables of a database and writes out the changes of earlier work, so that no measurement pays for the one
/// before it.
pub async fn empty(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute("truncate market_data_candles, market_data_live_candles").await.unwrap();
    settle(url).await;
}

/// Writes out all changes, and refreshes the planner's statistics.
pub async fn settle(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute("vacuum analyze market_data_candles, market_data_live_candles").await.unwrap();
    connection.execute("checkpoint").await.unwrap();
}
