//! Shared by the tests of backups: making and restoring them, the rows to back up, and the comparison afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle::{Symbol, Timeframe};
use candlewick::store::{NewSignal, SeriesKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{command_lines_of, script};
use crate::harness::{Database, Environment, NOW, Service, TestApp, candle, eventually, leave_out, with};
use crate::program::{folder, output};

/// The time limit of every wait.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The folders of the programs that the scripts need for this store, or `None` where they are missing.
pub fn programs(database: &Database) -> Option<Vec<PathBuf>> {
    let found = match database {
        Database::Sqlite(_) => std::env::var_os("TEST_SQLITE3").map(|program| vec![parent(Path::new(&program))]),
        Database::Postgres(_) => match std::env::var_os("TEST_POSTGRES_BIN") {
            Some(bin) => Some(vec![bin.into()]),
            None => Command::new("pg_dump").arg("--version").output().is_ok().then(Vec::new),
        },
    };
    if found.is_none() {
        leave_out("there is no sqlite3, or no pg_dump; scripts/with-programs and scripts/with-postgres find them");
    }
    found
}

pub fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

/// A folder for backups, and the commands that make and restore them.
pub struct Backups {
    pub programs: Vec<PathBuf>,
    pub folder: TempDir,
}

impl Backups {
    pub fn of(database: &Database) -> Option<Self> {
        Some(Self { programs: programs(database)?, folder: folder() })
    }

    pub fn command(&self, url: &str) -> Command {
        let folder = self.folder.path().to_str().unwrap();
        script("backup.sh", &self.programs, &[("DATABASE_URL", url), ("BACKUP_DIR", folder)])
    }

    /// Makes a backup and returns its file.
    pub fn make(&self, url: &str) -> PathBuf {
        let before = self.files();
        let (code, _, said) = output(&mut self.command(url));
        assert_eq!(code, 0, "{said}");
        let mut new: Vec<PathBuf> = self.files().into_iter().filter(|file| !before.contains(file)).collect();
        assert_eq!(new.len(), 1, "{said}");
        new.remove(0)
    }

    pub fn restore(&self, url: &str, file: &Path) -> (i32, String) {
        let (code, _, said) = output(script("restore.sh", &self.programs, &[("DATABASE_URL", url)]).arg(file));
        (code, said)
    }

    pub fn check(&self) -> i32 {
        let folder = self.folder.path().to_str().unwrap();
        output(script("backup.sh", &self.programs, &[("BACKUP_DIR", folder)]).arg("--check")).0
    }

    /// Everything in the folder but checksums, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|file| file.extension() != Some("sha256".as_ref())).collect();
        files.sort();
        files
    }

    /// The files that look like complete backups.
    pub fn complete(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "dump" || end == "db"))
            .collect()
    }
}

/// An empty database of the same kind, with its tables on Postgres.
pub async fn empty_like(database: &Database) -> Database {
    match database {
        Database::Sqlite(_) => Database::sqlite(),
        Database::Postgres(_) => {
            let empty = Database::postgres().await;
            migrate(&empty).await;
            empty
        }
    }
}

pub async fn migrate(database: &Database) {
    let mut service = Service::start(&Environment::new(&database.url())).await;
    service.stop().await.unwrap();
}

/// Every column of every row of both tables and of the history of signals.
pub async fn everything(database: &Database) -> Vec<String> {
    let columns = "symbol, timeframe, timestamp, open, high, low, close, volume";
    let mut rows = Vec::new();
    for (table, time) in [("market_data_candles", "created_at"), ("market_data_live_candles", "updated_at")] {
        rows.extend(match database {
            Database::Sqlite(_) => {
                let values = format!("json_array({columns}, {time})");
                database.rows(&format!("select {values} from {table} order by symbol, timeframe, timestamp")).await
            }
            Database::Postgres(_) => database.rows(&format!("select r::text from {table} r order by 1")).await,
        });
    }
    let signals = match database {
        Database::Sqlite(_) => {
            "select json_array(symbol, timeframe, candle, close, signal, score, votes, previous, at)
             from research_signals order by 1"
        }
        Database::Postgres(_) => "select r::text from research_signals r order by 1",
    };
    rows.extend(database.rows(signals).await);
    rows
}

/// Stores a first signal and one that follows it, for each symbol that a format might not keep.
pub async fn fill_signals(database: &Database) {
    let store = database.store().await;
    for symbol in SYMBOLS {
        for (candle, signal) in [(NOW - 7200, "buy"), (NOW - 3600, "hold")] {
            let signal = NewSignal {
                key: SeriesKey { symbol: Symbol::parse(symbol).unwrap(), timeframe: Timeframe::H1 },
                candle: candle * 1000,
                close: "1.0860".to_owned(),
                signal,
                score: 0.1 + 0.2,
                votes: json!([{"strategy": symbol}]).to_string(),
            };
            assert!(store.add_signal(signal).await.unwrap());
        }
    }
    store.close().await;
}

/// Symbols that a format might not keep.
pub const SYMBOLS: [&str; 8] =
    ["EURUSD", "Ünïcode€📈", "\\.", "\\N", "A'B\"C;--", "COPY market_data_candles (x) FROM stdin;", "x|y,z", "null"];

/// Stores closed and forming candles with digits of every kind.
pub async fn fill(app: &Service) {
    let prices = [
        ["1.08500", "1.08650", "1.08480", "1.08620"],
        ["-37.63", "0", "-40.3200", "-0.01"],
        ["0.0000000000000000000000000001", "9999999999999999999999999999", "-1.10", "1E+3"],
    ];
    let mut candles = Vec::new();
    for (n, symbol) in (0..).zip(SYMBOLS) {
        for (m, [open, high, low, close]) in (0..).zip(prices) {
            let fields = json!({"symbol": symbol, "open": open, "high": high, "low": low, "close": close,
                                "volume": i64::MAX - n, "complete": m != 2});
            let fields =
                if open == "1.08500" { fields } else { with(fields, json!({"high": "9999999999999999999999999999"})) };
            candles.push(with(candle(NOW - (m + 1) * 3600), fields));
        }
    }
    let (added, _, live) = app.ingest(&candles).await;
    assert_eq!((added, live), (16, 8));
}

/// Many closed candles, so that a backup takes a while.
pub async fn fill_much(app: &Service, batches: i64) {
    for batch in 0..batches {
        app.ingest(&many(batch, 10_000)).await;
    }
}

pub fn many(batch: i64, size: i64) -> Vec<Value> {
    let minute = |n: i64| {
        let digits = (batch * size + n) * 7_919 % 100_000;
        let fields = json!({"symbol": format!("MANY{batch}"), "timeframe": "M1", "complete": true, "volume": digits,
                            "open": format!("1.{digits:05}"), "high": "3", "low": "0.5"});
        with(candle(NOW / 60 * 60 - (n + 1) * 60), fields)
    };
    (0..size).map(minute).collect()
}

/// The service's answers for all series.
pub async fn answers(app: &Service) -> Vec<String> {
    let mut answers = vec![app.get("/api/v1/series").await.body];
    for symbol in SYMBOLS {
        let symbol: String = url::form_urlencoded::byte_serialize(symbol.as_bytes()).collect();
        let answer = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await;
        assert_eq!(answer.json().as_array().unwrap().len(), 3);
        answers.push(answer.body);
    }
    answers
}

/// Backs `source` up and restores it into `target`, then compares rows and answers of the two.
pub async fn travels(source: Database, target: Database) {
    let Some(backups) = Backups::of(&source) else { return };
    let app = TestApp::start(source).await;
    fill(&app).await;
    // Ids with gaps, as duplicates leave them.
    app.ingest(&[candle(NOW - 3600)]).await;
    let years = (2005..2025).map(|year| with(candle(format!("{year}-01-01T00:00:00Z")), json!({"symbol": "AFTER"})));
    assert_eq!(app.ingest(&years.collect::<Vec<_>>()).await, (20, 0, 0));
    fill_signals(&app.database).await;
    let expected_answers = answers(&app).await;
    let expected = everything(&app.database).await;
    let file = backups.make(&app.database.url());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let start = Instant::now();
    let (code, said) = backups.restore(&target.url(), &file);
    assert_eq!(code, 0, "{said}");
    println!("{said} (took {:.1?} in all)", start.elapsed());
    assert_eq!(everything(&target).await, expected);
    let restored = TestApp::start(target).await;
    assert_eq!(answers(&restored).await, expected_answers);
    assert_eq!(restored.ingest(&[candle(NOW - 3600), candle(NOW - 20 * 3600)]).await, (1, 1, 0));
    if let Database::Postgres(_) = &restored.database {
        let doubled = "select (count(*) - count(distinct id))::text from market_data_candles";
        assert_eq!(restored.database.rows(doubled).await, ["0"], "no id twice");
    }
}

/// Returns once a backup waits for a lock.
pub async fn waits(database: &Database) {
    const WAITING: &str = "select count(*)::text from pg_stat_activity
        where datname = current_database() and application_name = 'candlewick-backup' and wait_event_type = 'Lock'";
    let deadline = Instant::now() + DEADLINE;
    eventually(async || {
        assert!(Instant::now() < deadline, "it waits for no lock");
        database.rows(WAITING).await != ["0"]
    })
    .await;
}

/// A script and everything that it starts, killed with this value.
pub struct Group(pub(super) Child);

impl Group {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The command lines of its processes.
    pub fn command_lines(&self) -> Vec<String> {
        let group = self.0.id().to_string();
        command_lines_of(|process| {
            // The group is the third field after the name, which is in brackets (Linux: proc(5)).
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            after_name.split_whitespace().nth(2) == Some(&group)
        })
    }

    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails where the group has ended already, which is fine.
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -s KILL -- -{}", self.0.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.wait();
    }
}
