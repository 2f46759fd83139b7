//! SQLite files with which the program does not start: files that it may not write, and files with foreign tables.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sqlx::{Executor, Row, SqlitePool};
use tempfile::TempDir;

use crate::harness::{NOW, candle, run, send, with};
use crate::program::{Serving, output, program};

const HOUR: i64 = 3600;
/// A user to whom file modes apply.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A database that was served once, in WAL mode, in a folder that another user may open.
struct File {
    outer: TempDir,
}

impl File {
    /// With the files that a killed service leaves, if it was killed.
    async fn served(killed: bool) -> Self {
        let outer = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        fs::create_dir(outer.path().join("data")).unwrap();
        let file = Self { outer };
        let serving = Serving::on(&file.folder(), &file.url());
        let client = reqwest::Client::new();
        let body = json!({"candles": [candle(NOW - 2 * HOUR)]}).to_string();
        let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", crate::harness::KEY);
        assert_eq!(send(post.body(body)).await.status, 201);
        serving.signal(if killed { "KILL" } else { "TERM" });
        tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
        assert_eq!(file.beside("-wal").exists(), killed);
        file
    }

    fn folder(&self) -> PathBuf {
        self.outer.path().join("data")
    }

    fn path(&self) -> PathBuf {
        self.folder().join("test.db")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.path().display()))
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    /// Makes the user who starts the program the owner of everything in it.
    fn hand_over(&self) {
        if is_root() {
            for path in [self.folder(), self.path(), self.beside("-wal"), self.beside("-shm")] {
                if path.exists() {
                    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
                }
            }
        }
    }

    /// Starts the program as a user to whom file modes apply, and returns its exit code and errors.
    fn start(&self, executable: &Executable, command: &str) -> (i32, String) {
        let (code, _, errors) = self.run(executable, command);
        (code, errors)
    }

    /// Runs `check` on the file, and returns its output.
    fn check(&self, executable: &Executable) -> (i32, String) {
        let (code, report, _) = self.run(executable, "check");
        (code, report)
    }

    fn run(&self, executable: &Executable, command: &str) -> (i32, String, String) {
        let variables =
            [("DATABASE_URL", &*self.url()), ("PORT", "0"), ("MT5_API_KEY", "a"), ("INTERNAL_API_TOKEN", "b")];
        output(executable.program(&variables).arg(command))
    }
}

/// The program for a user to whom file modes apply. They do not apply to root, who therefore starts it as another user,
/// from a copy because the clone may be in a folder that only root can open.
struct Executable {
    copy: Option<TempDir>,
}

impl Executable {
    fn new() -> Self {
        let copy = is_root().then(|| {
            let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
            fs::copy(env!("CARGO_BIN_EXE_candlewick"), folder.path().join("candlewick")).unwrap();
            folder
        });
        Self { copy }
    }

    fn program(&self, variables: &[(&str, &str)]) -> Command {
        let root = Path::new("/");
        let Some(copy) = &self.copy else { return program(root, variables) };
        let mut command = Command::new(copy.path().join("candlewick"));
        command.current_dir(root).env_clear().envs(variables.iter().copied());
        // That user may not write coverage data where the others do, and the program would report that.
        command.env("LLVM_PROFILE_FILE", "/dev/null").uid(NOBODY).gid(NOBODY);
        command
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn check_finds_a_folder_in_which_no_file_can_be_made() {
    run(async {
        let executable = Executable::new();
        let file = File::served(false).await;
        fs::remove_file(file.path()).unwrap();
        file.hand_over();
        let (code, report) = file.check(&executable);
        assert_eq!(code, 0, "{report}");
        set_mode(&file.folder(), 0o555);
        let (code, report) = file.check(&executable);
        assert_eq!(code, 2, "{report}");
        assert!(report.contains("cannot be made: its folder may not be written"), "{report}");
    });
}

#[test]
fn a_read_only_file_stops_the_start() {
    /// The fault, whether the service before was killed and left its log, and the code that causes the fault.
    type Case = (&'static str, bool, fn(&File));
    const CASES: [Case; 7] = [
        ("the file may not be written", false, |file| set_mode(&file.path(), 0o444)),
        ("the file may not be written, and has a log", true, |file| set_mode(&file.path(), 0o444)),
        ("the file may not even be read", false, |file| set_mode(&file.path(), 0o000)),
        ("the folder may not be written", false, |file| set_mode(&file.folder(), 0o555)),
        ("nothing may be written", false, |file| {
            set_mode(&file.path(), 0o444);
            set_mode(&file.folder(), 0o555);
        }),
        ("the log may not be written", true, |file| set_mode(&file.beside("-wal"), 0o444)),
        ("the log's index may not be written", true, |file| set_mode(&file.beside("-shm"), 0o444)),
    ];
    run(async {
        let executable = Executable::new();
        for (what, killed, spoil) in CASES {
            let file = File::served(killed).await;
            file.hand_over();
            spoil(&file);
            for command in ["serve", "migrate"] {
                let (code, errors) = file.start(&executable, command);
                assert_eq!(code, 2, "{what}, {command}: {errors}");
                let sentences = ["The SQLite file may not be written", "The SQLite file cannot be opened"];
                assert!(sentences.iter().any(|sentence| errors.starts_with(sentence)), "{what}, {command}: {errors}");
            }
            let (code, report) = file.check(&executable);
            assert_eq!(code, 2, "{what}: {report}");
            for (path, mode) in [
                (file.folder(), 0o755),
                (file.path(), 0o644),
                (file.beside("-wal"), 0o644),
                (file.beside("-shm"), 0o644),
            ] {
                if path.exists() {
                    set_mode(&path, mode);
                }
            }
            assert_eq!(file.start(&executable, "migrate"), (0, String::new()), "{what}: once it is mended");
            let (code, report) = file.check(&executable);
            assert_eq!(code, 0, "{what}, once it is mended: {report}");
        }
    });
}

async fn execute(url: &str, sql: &str) {
    let pool = SqlitePool::connect(url).await.unwrap();
    pool.execute(sql).await.unwrap();
    pool.close().await;
}

async fn first(url: &str, sql: &str) -> i64 {
    let pool = SqlitePool::connect(url).await.unwrap();
    let found = pool.fetch_one(sql).await.unwrap().get(0);
    pool.close().await;
    found
}

/// Follows an error's advice line by line, and then posts a closed and a forming candle.
async fn follow(errors: &str, folder: &Path, url: &str) {
    for line in errors.lines().filter_map(|line| line.strip_prefix("  ")) {
        if line == "candlewick migrate" {
            let (code, _, errors) = output(program(folder, &[("DATABASE_URL", url)]).arg("migrate"));
            assert_eq!(code, 0, "{errors}");
        } else {
            let words: Vec<&str> = line.split('"').collect();
            assert_eq!((words[0], format!("sqlite://{}", words[1]).as_str()), ("sqlite3 ", url), "{line}");
            execute(url, words[3]).await;
        }
    }
    let serving = Serving::on(folder, url);
    let post = reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url));
    let body = json!({"candles": [candle(NOW - 9 * HOUR), with(candle(NOW - 8 * HOUR), json!({"complete": false}))]});
    let answer = send(post.header("X-API-KEY", crate::harness::KEY).body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn refused(folder: &Path, url: &str) -> String {
    let (code, _, errors) = output(program(folder, &[("DATABASE_URL", url)]).arg("migrate"));
    assert_eq!(code, 2, "{errors}");
    let variables = [("DATABASE_URL", url), ("PORT", "0")];
    let (code, _, said) = output(&mut program(folder, &variables));
    assert_eq!((code, &said), (2, &errors), "both say the same");
    errors
}

#[test]
fn the_advised_steps_recreate_dropped_tables() {
    run(async {
        let both = "drop table market_data_candles; drop table market_data_live_candles";
        for (drop, kept) in
            [("drop table market_data_candles", 0), ("drop table market_data_live_candles", 1), (both, 0)]
        {
            let file = File::served(false).await;
            execute(&file.url(), drop).await;
            let errors = refused(&file.folder(), &file.url());
            for table in ["market_data_candles", "market_data_live_candles"] {
                let complaint = format!("The table {table} is missing");
                assert_eq!(errors.contains(&complaint), drop.contains(table), "{errors}");
            }
            let stored = "select count(*) from market_data_candles where timestamp <= 1772618400000";
            follow(&errors, &file.folder(), &file.url()).await;
            assert_eq!(first(&file.url(), stored).await, kept + 1, "{drop}");
        }
    });
}

/// The table that pandas' `to_sql` makes from a frame with an index.
const FOREIGN: &str = r#"
    create table market_data_candles ("index" bigint, symbol text, "Timeframe" text, timestamp text, open real, high real,
        low real, close float, volume bigint);
    create index ix_market_data_candles_index on market_data_candles ("index");
    insert into market_data_candles values (0, 'EURUSD', 'H1', '2025-08-03 10:00:00', 1.085, 1.0865, 1.0848, 1.0862, 1200)"#;

#[test]
fn a_foreign_table_is_refused_with_all_misfits_and_unchanged() {
    run(async {
        for was_ours in [false, true] {
            let file = File::served(false).await;
            if was_ours {
                // `if_exists="replace"` does the same.
                execute(&file.url(), "drop table market_data_candles").await;
            } else {
                fs::remove_file(file.path()).unwrap();
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file.path()).create_if_missing(true);
                SqlitePool::connect_with(options).await.unwrap().close().await;
            }
            execute(&file.url(), FOREIGN).await;
            let errors = refused(&file.folder(), &file.url());
            for misfit in [
                "symbol is text and must be text not null",
                "timeframe is text and must be text not null",
                "timestamp is text and must be integer not null",
                "open is real and must be text not null",
                "close is float and must be text not null",
                "volume is bigint and must be integer not null",
                "it is not strict",
                "it has no primary key (symbol, timeframe, timestamp)",
            ] {
                assert!(errors.contains(misfit), "{misfit}: {errors}");
            }
            assert!(!errors.contains("index must be given"), "{errors}");
            let count = "select count(*) from market_data_candles";
            assert_eq!(first(&file.url(), count).await, 1, "nothing was touched");
            assert_eq!(
                first(&file.url(), "select count(*) from sqlite_schema where type = 'table' and name like '%live%'")
                    .await,
                i64::from(was_ours)
            );
            follow(&errors, &file.folder(), &file.url()).await;
            assert_eq!(first(&file.url(), "select count(*) from market_data_candles_old").await, 1);
        }
    });
}

#[test]
fn foreign_keys_and_columns_that_block_inserts_are_refused() {
    let columns =
        "symbol text not null, timeframe text not null, timestamp int not null, open text not null, high text not null,
        low text not null, close text not null, volume integer not null";
    let key = "primary key (symbol, timeframe, timestamp)";
    let cases = [
        (format!("{columns}, {key}, unique (timestamp)"), "its unique key (timestamp) would keep candles out"),
        (format!("{columns}, source text not null, {key}"), "source must be given a value"),
        (
            format!("{}, {key}", columns.replacen("not null", "not null collate nocase", 1)),
            "no primary key (symbol, timeframe, timestamp)",
        ),
        (
            format!("{columns}, primary key (timestamp, symbol, timeframe)"),
            "no primary key (symbol, timeframe, timestamp)",
        ),
    ];
    run(async {
        for (definition, misfit) in cases {
            let file = File::served(false).await;
            let create =
                format!("drop table market_data_candles; create table market_data_candles ({definition}) strict");
            execute(&file.url(), &create).await;
            let errors = refused(&file.folder(), &file.url());
            assert!(errors.contains(misfit), "{misfit}: {errors}");
            follow(&errors, &file.folder(), &file.url()).await;
        }
        // Harmless differences are accepted.
        let file = File::served(false).await;
        execute(&file.url(), "alter table market_data_candles add column source text not null default 'feed'").await;
        execute(&file.url(), "create index newest on market_data_candles (timestamp)").await;
        Serving::on(&file.folder(), &file.url());
    });
}

#[test]
fn our_own_tables_without_the_migrations_table_keep_their_rows() {
    run(async {
        let file = File::served(false).await;
        execute(&file.url(), "drop table _sqlx_migrations; create table market_data_candles_old (taken int)").await;
        let errors = refused(&file.folder(), &file.url());
        assert!(errors.contains("not one that candlewick migrate made"), "{errors}");
        follow(&errors, &file.folder(), &file.url()).await;
        let stored = "select count(*) from market_data_candles where timestamp <= 1772618400000";
        assert_eq!(first(&file.url(), stored).await, 2);
        assert_eq!(first(&file.url(), "select count(*) from market_data_candles_old").await, 0);
    });
}

#[test]
fn files_beside_the_database_are_named_after_it_whatever_the_url_encoding() {
    let folder = crate::program::folder();
    fs::create_dir(folder.path().join("trader's data")).unwrap();
    let mut keys = Vec::new();
    for url in ["sqlite://trader%27s%20data/c%2B1.db", "sqlite://trader's data/c+1.db"] {
        let mut serving = Serving::start(folder.path(), &[("DATABASE_URL", url), ("PORT", "0")]);
        keys.push(serving.curl_lines());
        // Its lock is taken before it logs that it is ready.
        serving.is_ready();
        let found = folder.path().join("trader's data").read_dir().unwrap();
        let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["c+1.db", "c+1.db-lock", "c+1.db-shm", "c+1.db-wal", "c+1.keys"], "{url}");
        serving.signal("TERM");
        assert_eq!(serving.end().0, Some(0));
    }
    let secrets = |lines: &[String; 2]| lines.each_ref().map(|line| line.split("-H ").nth(1).unwrap().to_owned());
    let [first, second] = [secrets(&keys[0]), secrets(&keys[1])];
    assert_eq!(first[1], second[1], "one file, one pair of keys");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing lies elsewhere");
}

#[test]
fn a_missing_folder_is_reported_and_not_created() {
    let folder = crate::program::folder();
    let missing = folder.path().join("data");
    let keys = [("MT5_API_KEY", "a"), ("INTERNAL_API_TOKEN", "b")];
    for (command, keys) in [("serve", &keys[..]), ("serve", &[]), ("migrate", &[])] {
        let variables = [&[("DATABASE_URL", "sqlite://data/x.db"), ("PORT", "0")], keys].concat();
        let (code, printed, errors) = output(program(folder.path(), &variables).arg(command));
        assert_eq!(code, 2, "{command}: {printed}{errors}");
        let said = format!(
            "its folder {folder} does not exist; correct the path, or make the folder: mkdir -p {folder}",
            folder = missing.display()
        );
        assert!(errors.contains(&said), "{command}: {errors}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
    fs::create_dir(missing).unwrap();
    Serving::start(folder.path(), &[("DATABASE_URL", "sqlite://data/x.db"), ("PORT", "0")]).is_ready();
}
