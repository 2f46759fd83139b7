//! A Redis server of a test's own, which it may kill, freeze and start again.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::{FromRedisValue, RedisError};
use tempfile::TempDir;

use crate::harness::{eventually, program_of};
use crate::program::{folder, kill};

pub struct RedisServer {
    program: String,
    port: u16,
    settings: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server, or returns `None` where this machine has none.
    pub async fn start() -> Option<Self> {
        let server = Self::start_with(&[])?;
        eventually(async || server.command::<String>(&["ping"]).await.is_ok()).await;
        Some(server)
    }

    /// Starts a server with further settings, and does not wait for it.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let program = program_of("TEST_REDIS")?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { program, port, settings, folder: folder(), child: None };
        server.spawn();
        Some(server)
    }

    fn spawn(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &self.port.to_string(), "--dir"]);
        command.arg(self.folder.path()).args(&self.settings).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Sends a command on a connection of its own.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, RedisError> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on its port, with nothing in it.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none());
        self.spawn();
    }

    /// Freezes it, or lets it go on.
    pub fn signal(&self, name: &str) {
        kill(self.child.as_ref().expect("it runs").id(), name);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
