//! InfluxDB as a peer in ingest: a process with Debian's settings, on loopback, with its data on the disk of the others.
//!
//! It is as durable as the service: without a `wal-fsync-delay`, which is the default, it answers a write once the write
//! is on the disk. It keeps prices as floats, and the last of two candles with the same key.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tempfile::TempDir;

use crate::candles::{Candle, TIMEFRAME};
use crate::contract::Prepared;
use crate::service::free_address;

const DATABASE: &str = "bench";

/// The running InfluxDB, which is killed when this is dropped.
pub struct Influx {
    child: Child,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Influx {
    /// Starts InfluxDB with its data in a new folder below `place`, if `INFLUXD` names the program.
    pub async fn start(place: &Path) -> Option<Self> {
        let Ok(program) = std::env::var("INFLUXD") else {
            eprintln!(
                "bench: INFLUXD names no influxd, so InfluxDB is skipped; make bench takes it from Debian's package"
            );
            return None;
        };
        let folder = tempfile::tempdir_in(place).unwrap();
        let data = |name: &str| folder.path().join(name).into_os_string();
        let address = free_address();
        let child = Command::new(program)
            .env_clear()
            .envs([
                ("INFLUXDB_META_DIR", data("meta")),
                ("INFLUXDB_DATA_DIR", data("data")),
                ("INFLUXDB_DATA_WAL_DIR", data("wal")),
                ("INFLUXDB_HTTP_BIND_ADDRESS", address.to_string().into()),
                // The port for backups.
                ("INFLUXDB_BIND_ADDRESS", free_address().to_string().into()),
                ("INFLUXDB_REPORTING_DISABLED", "true".into()),
                // As little log as the service writes.
                ("INFLUXDB_HTTP_LOG_ENABLED", "false".into()),
                ("INFLUXDB_DATA_QUERY_LOG_ENABLED", "false".into()),
                ("INFLUXDB_LOGGING_LEVEL", "warn".into()),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut influx = Self { child, address, _folder: folder };
        let began = Instant::now();
        while influx.ask("GET", "show databases").is_none() {
            assert!(began.elapsed() < Duration::from_secs(30), "InfluxDB is not ready after 30 s");
            assert!(influx.child.try_wait().unwrap().is_none(), "InfluxDB ended while it started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(influx)
    }

    /// Deletes what is stored.
    pub fn empty(&self) {
        for statement in ["drop database", "create database"] {
            self.ask("POST", &format!("{statement} {DATABASE}")).unwrap();
        }
    }

    /// The number of stored candles.
    pub fn count(&self) -> usize {
        let table = self.ask("GET", "select count(volume) from candles").unwrap();
        // A line of names, then one of values, the count at its end.
        table.trim().rsplit_once(',').map_or(0, |(_, count)| count.parse().unwrap())
    }

    /// The answer to a statement, as CSV. `None` if the server cannot be reached.
    fn ask(&self, method: &str, statement: &str) -> Option<String> {
        let statement = statement.replace(' ', "%20");
        let mut stream = TcpStream::connect(self.address).ok()?;
        // Of HTTP 1.0, so that the answer does not come in chunks.
        let request =
            format!("{method} /query?db={DATABASE}&q={statement} HTTP/1.0\r\naccept: application/csv\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "InfluxDB answered {statement} with {answer}");
        Some(body.to_owned())
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A post of a batch in InfluxDB's line protocol.
pub fn write(candles: &[Candle]) -> Prepared {
    let mut lines = String::new();
    for Candle { symbol, time, prices: [open, high, low, close], volume } in candles {
        let time = time.timestamp();
        writeln!(
            lines,
            "candles,symbol={symbol},timeframe={TIMEFRAME} \
             open={open},high={high},low={low},close={close},volume={volume}i {time}"
        )
        .unwrap();
    }
    let length = lines.len();
    Bytes::from(format!(
        "POST /write?db={DATABASE}&precision=s HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n{lines}"
    ))
}
