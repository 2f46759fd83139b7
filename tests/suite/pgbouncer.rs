//! PgBouncer in front of a database's server.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{PgDatabase, eventually, program_of};
use crate::program::kill;

pub struct PgBouncer {
    program: String,
    port: u16,
    process: Option<Child>,
    pub url: String,
    folder: TempDir,
}

impl PgBouncer {
    /// Lends at most `size` connections to the server of `database`. `None` where this machine has no PgBouncer.
    pub async fn start(database: &PgDatabase, mode: &str, size: usize) -> Option<Self> {
        Self::start_with(database, mode, size, "").await
    }

    /// As [`Self::start`], with further lines of its settings.
    pub async fn start_with(database: &PgDatabase, mode: &str, size: usize, settings: &str) -> Option<Self> {
        let program = program_of("TEST_PGBOUNCER")?;
        let server = url::Url::parse(&database.url).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let users = folder.path().join("users.txt");
        std::fs::write(&users, format!("\"{}\" \"{}\"\n", server.username(), server.password().unwrap())).unwrap();
        std::fs::write(
            folder.path().join("pgbouncer.ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = {mode}\n\
                 default_pool_size = {size}\n{settings}\n",
                server.port().unwrap(),
                users.display()
            ),
        )
        .unwrap();
        let url = database.url_with(|url| url.set_port(Some(port)).unwrap());
        let mut bouncer = Self { program, port, process: None, url, folder };
        bouncer.start_again().await;
        Some(bouncer)
    }

    /// Starts it on its port, and returns once it accepts connections.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none());
        let mut command = Command::new(&self.program);
        // PgBouncer refuses to run as root.
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            command.args(["-u", "nobody"]);
        }
        let settings = self.folder.path().join("pgbouncer.ini");
        self.process = Some(command.arg(settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually(async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()).await;
    }

    /// Sends it a signal, and waits for its end.
    pub fn end(&mut self, signal: &str) {
        let mut process = self.process.take().expect("it runs");
        kill(process.id(), signal);
        process.wait().unwrap();
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
