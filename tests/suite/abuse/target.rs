//! The target of the attacks: the built program, with rows that no attack may change and a log that is read to its end.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::keys::{HOST, ORIGIN, WRONG};
use super::wire::Door;
use crate::harness::{Database, KEY, TOKEN, candle, send, with};
use crate::program::{Serving, folder, kill};
use crate::proxies::{self, Proxy};

pub struct Target {
    pub address: SocketAddr,
    pub process: Process,
    pub database: Database,
    pub proxies: Vec<Proxy>,
    log: JoinHandle<(Option<i32>, String)>,
    canaries: [Vec<String>; 3],
    _folder: tempfile::TempDir,
}

impl Target {
    /// Starts the service behind its proxies, as in production except for limits, which `variables` may set.
    pub async fn start(database: Database, variables: &[(&'static str, &'static str)]) -> Self {
        let folder = folder();
        let url = database.url();
        let always = [
            ("PORT", "0"),
            ("ENVIRONMENT", "production"),
            ("DATABASE_URL", &url),
            ("MT5_API_KEY", KEY),
            ("INTERNAL_API_TOKEN", TOKEN),
            ("ALLOWED_HOSTS", HOST),
            ("ALLOWED_ORIGINS", ORIGIN),
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("RATE_LIMIT_INGEST", "off"),
            ("RATE_LIMIT_QUERY", "off"),
            // The canaries open it, so few attacks wait for a second connection, which takes long to open on a busy
            // machine.
            ("DATABASE_MAX_CONNECTIONS", "1"),
        ];
        let mut serving = Serving::start(folder.path(), &[&always, variables].concat());
        serving.is_ready();
        let address = serving.url.trim_start_matches("http://").parse().unwrap();
        let process = Process { pid: serving.child.id(), ended: false };
        // Read from the start, because the program drops lines when its log is not read.
        let log = tokio::task::spawn_blocking(|| serving.end());
        let proxies = proxies::start(address).await;
        let mut target =
            Self { address, process, database, proxies, log, canaries: Default::default(), _folder: folder };
        target.lay_canaries().await;
        target.canaries = target.truth().await;
        target
    }

    async fn lay_canaries(&self) {
        let canary = |time: i64, complete: bool| {
            with(candle(1_754_215_200 + time * 3600), json!({"symbol": "CANARY", "complete": complete}))
        };
        let batch = json!({"candles": [canary(0, true), canary(1, true), canary(2, false)]});
        let post = reqwest::Client::new().post(format!("http://{}/api/v1/candles", self.address));
        let post = post.header("host", HOST).header("X-API-KEY", KEY).body(batch.to_string());
        assert_eq!(send(post).await.counts(3), (2, 0, 1));
    }

    /// Closed rows, forming rows, and the schema of the database.
    async fn truth(&self) -> [Vec<String>; 3] {
        let schema = match &self.database {
            Database::Sqlite(_) => {
                "select type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_master order by 1"
            }
            Database::Postgres(_) => {
                "select table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
                        || coalesce(column_default, '')
                 from information_schema.columns where table_schema = 'public'
                 union all select indexdef from pg_indexes where schemaname = 'public'
                 union all select rolname::text from pg_roles where rolname !~ '^candlewick_test_'
                 union all select 'function ' || proname from pg_proc
                 where pronamespace = 'public'::regnamespace order by 1"
            }
        };
        [self.database.closed().await, self.database.forming().await, self.database.rows(schema).await]
    }

    /// The ways to the service, the direct one first.
    pub fn doors(&self) -> Vec<Door> {
        let direct = Door::plain("directly", self.address);
        std::iter::once(direct).chain(self.proxies.iter().map(|proxy| proxy.tls.clone())).collect()
    }

    /// Ends the service and checks the traces of the attacks: `stored` beside the canaries, and nothing unexpected in
    /// the log.
    pub async fn ends_unharmed(mut self, stored: Vec<String>) {
        let [closed, forming, schema] = self.truth().await;
        let mut expected = [self.canaries[0].clone(), stored].concat();
        expected.sort();
        assert_eq!(closed, expected, "the candles that should be there, and no others");
        assert_eq!(forming, self.canaries[1], "no forming candle was touched");
        assert_eq!(schema, self.canaries[2], "the schema is unchanged");
        kill(self.process.pid, "TERM");
        self.process.ended = true;
        let (code, log) = self.log.await.unwrap();
        assert_eq!(code, Some(0), "it stops cleanly");
        for line in log.lines() {
            assert!(!line.contains(['\u{1b}', '\r']) && !line.contains("smuggled"), "{line:?}");
            let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no entry of a log: {line:?}"));
            assert!(entry["injected"].is_null(), "{line}");
            let fault = entry["level"] == "ERROR" || entry["status"].as_u64().is_some_and(|status| status >= 500);
            assert!(!fault || entry["code"] == "unavailable", "attacks are never the service's fault: {line}");
        }
        assert_eq!(secrets_in(&log), [""; 0]);
        for proxy in &self.proxies {
            assert_eq!(secrets_in(&proxy.log()), [""; 0], "{}", proxy.tls.name);
        }
    }
}

/// Lines that hold a key.
pub fn secrets_in(log: &str) -> Vec<&str> {
    log.lines().filter(|line| [KEY, TOKEN, WRONG].iter().any(|secret| line.contains(secret))).collect()
}

/// The service's process. Dropping this value ends it, even if a test panics, because the thread that reads its log
/// would wait.
pub struct Process {
    pub pid: u32,
    ended: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            kill(self.pid, "KILL");
        }
    }
}
