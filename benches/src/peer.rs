//! The peer in benches/peer, as a process.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::contract::{KEY, TOKEN};
use crate::process;
use crate::service::{free_address, is_healthy};

/// The running peer, which is stopped when this is dropped.
pub struct Peer {
    child: Child,
    pub address: SocketAddr,
}

impl Peer {
    /// Starts the peer, if `PEER` names the uvicorn to start it with.
    pub async fn start(database_url: &str) -> Option<Self> {
        let Ok(uvicorn) = std::env::var("PEER") else {
            eprintln!("bench: PEER names no uvicorn, so the peer is skipped; make bench installs it");
            return None;
        };
        let address = free_address();
        let child = Command::new(uvicorn)
            .args(["--app-dir", concat!(env!("CARGO_MANIFEST_DIR"), "/peer"), "service:app"])
            .args(["--workers", "2", "--loop", "uvloop", "--http", "httptools"])
            .args(["--no-access-log", "--log-level", "warning", "--port", &address.port().to_string()])
            .envs([("DATABASE_URL", database_url), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .spawn()
            .unwrap();
        let mut peer = Self { child, address };
        let began = Instant::now();
        while !is_healthy(address).await {
            assert!(began.elapsed() < Duration::from_secs(30), "the peer is not ready after 30 s");
            assert!(peer.child.try_wait().unwrap().is_none(), "the peer ended while it started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(peer)
    }

    /// The processor time that the peer and its workers have used since they started.
    pub fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.child.id())
    }
}

impl Drop for Peer {
    /// Asks the peer to end, so that it ends its workers; if it were killed, they would continue to run.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
