//! The bench's own Redis server, which keeps nothing on a disk.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::service::free_address;

pub struct RedisServer {
    child: Child,
    pub url: String,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts the program that `REDIS` names; `None` where scripts/bench found none.
    pub async fn start() -> Option<Self> {
        let program = std::env::var("REDIS").ok()?;
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string(), "--dir"]);
        let child = command.arg(folder.path()).stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Some(Self { child, url: format!("redis://{address}"), _folder: folder })
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
