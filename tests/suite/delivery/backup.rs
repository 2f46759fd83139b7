//! `backup.sh` and `restore.sh`, on both stores.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Executor as _;
use tempfile::TempDir;

use super::{command_lines, script};
use crate::faults::small_disk::SmallDisk;
use crate::harness::{
    Database, Environment, NOW, PgDatabase, Service, TableLock, TestApp, both_stores, candle, plain_server, run, with,
};
use crate::postgres::ADOPTED;
use crate::program::{folder, kill, output};

const DEADLINE: Duration = Duration::from_secs(60);

/// Where the programs are that the scripts need for this store, unless they cannot be had.
fn programs(database: &Database) -> Option<Vec<PathBuf>> {
    let found = match database {
        Database::Sqlite(_) => std::env::var_os("TEST_SQLITE3").map(|program| vec![parent(Path::new(&program))]),
        Database::Postgres(_) => match std::env::var_os("TEST_POSTGRES_BIN") {
            Some(bin) => Some(vec![bin.into()]),
            None => Command::new("pg_dump").arg("--version").output().is_ok().then(Vec::new),
        },
    };
    if found.is_none() {
        println!(
            "left out: there is no sqlite3, or no pg_dump; scripts/with-programs and scripts/with-postgres find them"
        );
    }
    found
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

/// A folder for backups, and how to make and restore them.
struct Backups {
    programs: Vec<PathBuf>,
    folder: TempDir,
}

impl Backups {
    fn of(database: &Database) -> Option<Self> {
        Some(Self { programs: programs(database)?, folder: folder() })
    }

    fn command(&self, url: &str) -> Command {
        let folder = self.folder.path().to_str().unwrap();
        script("backup.sh", &self.programs, &[("DATABASE_URL", url), ("BACKUP_DIR", folder)])
    }

    /// Makes one and returns it.
    fn make(&self, url: &str) -> PathBuf {
        let before = self.files();
        let (code, _, said) = output(&mut self.command(url));
        assert_eq!(code, 0, "{said}");
        let mut new: Vec<PathBuf> = self.files().into_iter().filter(|file| !before.contains(file)).collect();
        assert_eq!(new.len(), 1, "{said}");
        new.remove(0)
    }

    fn restore(&self, url: &str, file: &Path) -> (i32, String) {
        let (code, _, said) = output(script("restore.sh", &self.programs, &[("DATABASE_URL", url)]).arg(file));
        (code, said)
    }

    fn check(&self) -> i32 {
        let folder = self.folder.path().to_str().unwrap();
        output(script("backup.sh", &self.programs, &[("BACKUP_DIR", folder)]).arg("--check")).0
    }

    /// Everything in the folder but checksums, in order.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|file| file.extension() != Some("sha256".as_ref())).collect();
        files.sort();
        files
    }

    /// What looks like a backup that one could restore.
    fn complete(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "dump" || end == "db"))
            .collect()
    }
}

/// An empty database of the same kind, with its tables on Postgres.
async fn empty_like(database: &Database) -> Database {
    match database {
        Database::Sqlite(_) => Database::sqlite(),
        Database::Postgres(_) => {
            let empty = Database::postgres().await;
            migrate(&empty).await;
            empty
        }
    }
}

async fn migrate(database: &Database) {
    let mut service = Service::start(&Environment::new(&database.url())).await;
    service.stop().await.unwrap();
}

/// Every column of every row of both tables.
async fn everything(database: &Database) -> Vec<String> {
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
    rows
}

/// Symbols that a format could trip over.
const SYMBOLS: [&str; 8] =
    ["EURUSD", "Ünïcode€📈", "\\.", "\\N", "A'B\"C;--", "COPY market_data_candles (x) FROM stdin;", "x|y,z", "null"];

/// Stores closed and forming candles with digits of every kind.
async fn fill(app: &Service) {
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
async fn fill_much(app: &Service, batches: i64) {
    for batch in 0..batches {
        app.ingest(&many(batch, 10_000)).await;
    }
}

fn many(batch: i64, size: i64) -> Vec<Value> {
    let minute = |n: i64| {
        let digits = (batch * size + n) * 7_919 % 100_000;
        let fields = json!({"symbol": format!("MANY{batch}"), "timeframe": "M1", "complete": true, "volume": digits,
                            "open": format!("1.{digits:05}"), "high": "3", "low": "0.5"});
        with(candle(NOW / 60 * 60 - (n + 1) * 60), fields)
    };
    (0..size).map(minute).collect()
}

/// What the service answers for all series.
async fn answers(app: &Service) -> Vec<String> {
    let mut answers = vec![app.get("/api/v1/series").await.body];
    for symbol in SYMBOLS {
        let symbol: String = url::form_urlencoded::byte_serialize(symbol.as_bytes()).collect();
        let answer = app.get(&format!("/api/v1/candles?symbol={symbol}&timeframe=H1")).await;
        assert_eq!(answer.json().as_array().unwrap().len(), 3);
        answers.push(answer.body);
    }
    answers
}

/// Backs `source` up and restores it into `target`, then compares everything that one can see of the two.
async fn travels(source: Database, target: Database) {
    let Some(backups) = Backups::of(&source) else { return };
    let app = TestApp::start(source).await;
    fill(&app).await;
    // Ids with gaps, as duplicates leave them.
    app.ingest(&[candle(NOW - 3600)]).await;
    let years = (2005..2025).map(|year| with(candle(format!("{year}-01-01T00:00:00Z")), json!({"symbol": "AFTER"})));
    assert_eq!(app.ingest(&years.collect::<Vec<_>>()).await, (20, 0, 0));
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

both_stores! {
    async fn what_is_restored_is_what_was_backed_up(app: TestApp) {
        let target = empty_like(&app.database).await;
        let TestApp { mut service, database } = app;
        service.stop().await.unwrap();
        travels(database, target).await;
    }

    async fn a_restore_touches_nothing_that_is_not_empty(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        let file = backups.make(&app.database.url());
        app.ingest(&[candle(NOW - 20 * 3600)]).await;
        let before = everything(&app.database).await;
        let (code, said) = backups.restore(&app.database.url(), &file);
        assert_eq!(code, 1);
        assert!(said.contains("nothing was touched"), "{said}");
        assert_eq!(everything(&app.database).await, before);

        // Nor anything that is not a database of candlewick.
        let (other, reason) = match &app.database {
            Database::Sqlite(_) => {
                let other = Database::sqlite();
                let leftover = format!("{}-wal", other.url().trim_start_matches("sqlite://"));
                fs::write(leftover, "what a database that was moved away has left").unwrap();
                (other, "-wal is there already")
            }
            Database::Postgres(_) => (Database::postgres().await, "candlewick migrate"),
        };
        let (code, said) = backups.restore(&other.url(), &file);
        assert_eq!(code, 1);
        assert!(said.contains(reason), "{said}");
    }

    async fn a_damaged_backup_is_refused_and_leaves_nothing(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        fill_much(&app, 1).await;
        let made = backups.make(&app.database.url());
        let whole = fs::read(&made).unwrap();
        let target = empty_like(&app.database).await;
        let mut broken = whole.clone();
        broken[whole.len() / 4 * 3..][..64].fill(0xaa);
        let wrong_kind = match &app.database {
            Database::Sqlite(_) => b"PGDMP".to_vec(),
            Database::Postgres(_) => b"SQLite format 3\0".to_vec(),
        };
        let files = [
            ("truncated", whole[..whole.len() / 4 * 3].to_vec()),
            ("truncated by a byte", whole[..whole.len() - 1].to_vec()),
            ("only its first bytes", whole[..100].to_vec()),
            ("broken in the middle", broken),
            ("empty", Vec::new()),
            ("of the other kind", wrong_kind),
        ];
        let one_bit = whole.iter().rposition(u8::is_ascii_digit).unwrap();
        // Without its checksum.
        for (what, bytes) in files {
            let file = backups.folder.path().join("damaged");
            fs::write(&file, bytes).unwrap();
            let (code, said) = backups.restore(&target.url(), &file);
            assert_eq!(code, 1, "{what}: {said}");
            match &target {
                Database::Sqlite(folder) => assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{what}"),
                Database::Postgres(_) => assert_eq!(everything(&target).await, [""; 0], "{what}"),
            }
        }
        let mut bytes = whole;
        bytes[one_bit] ^= 1;
        // One bit of it, which only the checksum shows.
        fs::write(&made, bytes).unwrap();
        let (code, said) = backups.restore(&target.url(), &made);
        assert_eq!(code, 1);
        assert!(said.contains("does not have the checksum"), "{said}");
    }

    async fn a_killed_backup_leaves_no_file_that_looks_complete(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill_much(&app, 2).await;
        let url = app.database.url();
        let deadline = Instant::now() + DEADLINE;
        // Until one was killed while it wrote.
        loop {
            assert!(Instant::now() < deadline, "each backup was faster than this test");
            let mut killed = Group::spawn(&mut backups.command(&url));
            while backups.files().is_empty() && killed.runs() {}
            drop(killed);
            if backups.complete().is_empty() {
                break;
            }
            for file in backups.files() {
                fs::remove_file(file).unwrap();
            }
        }
        let left = backups.files();
        assert!(!left.is_empty(), "it had begun");
        assert_eq!(backups.check(), 1);

        backups.make(&url);
        assert_eq!(backups.files(), backups.complete(), "the next one cleans up");
        assert_eq!(backups.check(), 0);
    }

    async fn a_killed_restore_leaves_all_or_nothing(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill_much(&app, 2).await;
        let file = backups.make(&app.database.url());
        let expected = everything(&app.database).await;
        let mut seen = [0, 0];
        for tenth in 0..10 {
            let target = empty_like(&app.database).await;
            let mut command = script("restore.sh", &backups.programs, &[("DATABASE_URL", &target.url())]);
            let mut restoring = Group::spawn(command.arg(&file));
            // Kills it at different stages: what it has come to is all that counts, not when that was.
            let progress = Instant::now();
            while restoring.runs() && progress.elapsed() < Duration::from_millis(60 * tenth) {}
            drop(restoring);
            let is_there = match &target {
                Database::Sqlite(_) => Path::new(target.url().trim_start_matches("sqlite://")).exists(),
                Database::Postgres(_) => !settled(&target).await.is_empty(),
            };
            if !is_there {
                let (code, said) = backups.restore(&target.url(), &file);
                assert_eq!(code, 0, "it can be repeated: {said}");
            }
            assert!(everything(&target).await == expected, "a part of it was restored");
            if let Database::Sqlite(folder) = &target {
                let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
                let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("restoring")).collect();
                assert!(is_there || left.is_empty(), "the next one cleans up: {left:?}");
            }
            seen[usize::from(is_there)] += 1;
        }
        println!("killed restores: {} left nothing, {} all", seen[0], seen[1]);
    }

    async fn two_backups_at_once_follow_one_another(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        let url = app.database.url();
        let running: Vec<Child> =
            (0..3).map(|_| backups.command(&url).stderr(Stdio::null()).spawn().unwrap()).collect();
        for mut child in running {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(backups.files().len(), 3);
        assert_eq!(backups.files(), backups.complete());
    }

    async fn old_backups_go_and_the_newest_stays(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        assert_eq!(backups.check(), 1, "there is none yet");
        let url = app.database.url();
        let first = backups.make(&url);
        let second = backups.make(&url);
        touch(&first, "15 days ago");
        touch(&second, "13 days ago");
        // One that fails deletes nothing.
        let nowhere = match &app.database {
            Database::Sqlite(_) => "sqlite:///nowhere/at-all.db".to_owned(),
            Database::Postgres(database) => database.url_with(|url| url.set_path("no_such_database")),
        };
        assert_eq!(output(&mut backups.command(&nowhere)).0, 1);
        assert_eq!(backups.files(), [first.clone(), second.clone()]);
        let third = backups.make(&url);
        assert_eq!(backups.files(), [second.clone(), third.clone()]);

        for (age, code) in [("25 hours ago", 0), ("27 hours ago", 1)] {
            touch(&third, age);
            assert_eq!(backups.check(), code, "{age}");
        }
        fs::write(third.with_extension("dump.partial"), "fresh").unwrap();
        assert_eq!(backups.check(), 1, "one that is being made is none yet");
        touch(&third, "400 days ago");
        touch(&second, "15 days ago");
        let fourth = backups.make(&url);
        assert_eq!(backups.files(), [fourth]);
    }

    async fn a_backup_is_of_one_moment_while_the_service_takes_posts(app: TestApp) {
        const SIZE: i64 = 500;
        let Some(backups) = Backups::of(&app.database) else { return };
        let url = app.database.url();
        fill_much(&app, 1).await;
        let mut making = backups.command(&url).stderr(Stdio::null()).spawn().unwrap();
        let mut during = 0;
        while making.try_wait().unwrap().is_none() {
            during += 1;
            assert_eq!(app.ingest(&many(during, SIZE)).await, (SIZE as u64, 0, 0));
        }
        assert!(making.wait().unwrap().success());
        let target = empty_like(&app.database).await;
        let (code, said) = backups.restore(&target.url(), &backups.complete()[0]);
        assert_eq!(code, 0, "{said}");
        let per_batch = "select symbol || ' ' || count(*) from market_data_candles group by symbol";
        let counts: BTreeMap<String, i64> = target.rows(per_batch).await.iter().map(|row| {
            let (symbol, count) = row.split_once(' ').unwrap();
            (symbol.to_owned(), count.parse().unwrap())
        }).collect();
        assert_eq!(counts["MANY0"], 10_000);
        let stored = (1..=during).take_while(|batch| counts.contains_key(&format!("MANY{batch}"))).count() as i64;
        println!("{during} posts while it was made, {stored} of them in it");
        assert_eq!(counts.len() as i64, stored + 1, "no later post without the earlier ones");
        assert!(counts.iter().all(|(symbol, count)| symbol == "MANY0" || *count == SIZE), "no half post: {counts:?}");
    }

    async fn the_nightly_backup_makes_one_at_the_start_and_ends_at_once(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        let mut nightly = Group::spawn(backups.command(&app.database.url()).arg("--nightly"));
        let deadline = Instant::now() + DEADLINE;
        while backups.complete().is_empty() {
            assert!(nightly.runs() && Instant::now() < deadline, "it makes one");
        }
        kill(nightly.0.id(), "TERM");
        let ended = nightly.0.wait().unwrap();
        assert_eq!(ended.code(), Some(0));
        drop(nightly);

        // A restart makes none where the newest is young enough until the next is due, and else does.
        touch(&backups.files()[0], "5 hours ago");
        for (due, count) in [("1 hour", 1), ("1 hour ago", 2)] {
            let (_, time, _) = output(Command::new("date").args(["-u", "+%H:%M", "-d", due]));
            let mut command = backups.command(&app.database.url());
            let mut nightly = Group::spawn(command.arg("--nightly").env("BACKUP_AT", time.trim()));
            let deadline = Instant::now() + DEADLINE;
            while !sleeps(&nightly) {
                assert!(nightly.runs() && Instant::now() < deadline, "it waits for the night");
            }
            assert_eq!(backups.files().len(), count, "due in {due}");
        }
    }

    async fn a_full_disk_is_told_in_words(app: TestApp) {
        let Some(backups) = Backups::of(&app.database) else { return };
        let disk = match SmallDisk::mount(1) {
            Ok(disk) => disk,
            Err(reason) => return println!("left out: {reason}"),
        };
        fill(&app).await;
        disk.fill();
        let mut command = backups.command(&app.database.url());
        let (code, _, said) = output(command.env("BACKUP_DIR", disk.path()));
        assert_eq!(code, 1);
        assert!(said.contains("is full; nothing was kept"), "{said}");
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "nothing but what filled it");
    }
}

#[test]
fn an_adopted_table_travels_into_one_of_either_shape() {
    run(async {
        for shape in [ADOPTED, "select 1"] {
            let (source, target) =
                (PgDatabase::create(&plain_server()).await, PgDatabase::create(&plain_server()).await);
            source.execute(ADOPTED).await;
            target.execute(shape).await;
            let target = Database::Postgres(target);
            migrate(&target).await;
            travels(Database::Postgres(source), target).await;
        }
    });
}

/// A new database, with `docs/postgres-partitioned.sql` in it if it shall be partitioned and there is a psql.
async fn shaped(is_partitioned: bool) -> Option<PgDatabase> {
    let database = Database::postgres().await;
    if is_partitioned {
        let psql = programs(&database)?.pop().map_or("psql".into(), |folder| folder.join("psql"));
        let statements = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/postgres-partitioned.sql");
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(statements).arg(database.url());
        let (code, _, said) = output(&mut command);
        assert_eq!(code, 0, "{said}");
    }
    let Database::Postgres(database) = database else { unreachable!() };
    Some(database)
}

#[test]
fn a_partitioned_table_travels_into_one_of_either_shape_and_a_plain_one_into_it() {
    run(async {
        for (from, to) in [(true, true), (true, false), (false, true)] {
            let (Some(source), Some(target)) = (shaped(from).await, shaped(to).await) else { return };
            let target = Database::Postgres(target);
            if from {
                // Partitions of a partition, with names that would be patterns or two words.
                source
                    .execute(
                        r#"create table "the.Old ""ones""" partition of market_data_candles
                               for values from (minvalue) to ('2008-01-01Z') partition by range ("timestamp");
                           create table candlewick_partitions."old$|.*" partition of "the.Old ""ones"""
                               for values from (minvalue) to ('2007-01-01Z');
                           create table candlewick_partitions."2007 €'\?" partition of "the.Old ""ones""" default;"#,
                    )
                    .await;
            }
            migrate(&target).await;
            travels(Database::Postgres(source), target).await;
        }
    });
}

#[test]
fn a_partition_that_comes_while_a_backup_starts_is_not_left_out_in_silence() {
    run(async {
        let Some(database) = shaped(true).await else { return };
        let app = TestApp::start(Database::Postgres(database)).await;
        let Some(backups) = Backups::of(&app.database) else { return };
        let Database::Postgres(database) = &app.database else { unreachable!() };
        fill(&app).await;
        let mut creator = database.connect().await;
        let create = "begin; create table candlewick_partitions.candles_2041 partition of market_data_candles
                          for values from ('2041-01-01Z') to ('2042-01-01Z')";
        creator.execute(create).await.unwrap();
        let url = app.database.url();
        let making = backups.command(&url).stderr(Stdio::piped()).spawn().unwrap();
        waits(&app.database).await;
        creator.execute("commit").await.unwrap();
        let made = making.wait_with_output().unwrap();
        let said = String::from_utf8(made.stderr).unwrap();
        assert_eq!(made.status.code(), Some(1), "{said}");
        assert!(said.contains("a partition of market_data_candles came or went"), "{said}");
        assert_eq!(backups.files().len(), 0);
        backups.make(&url);
    });
}

#[test]
fn a_table_whose_rows_lie_elsewhere_makes_no_backup() {
    run(async {
        let source = Database::postgres().await;
        let Some(backups) = Backups::of(&source) else { return };
        migrate(&source).await;
        let Database::Postgres(database) = &source else { unreachable!() };
        // As a hypertable keeps its rows.
        database.execute("create table chunk () inherits (market_data_candles)").await;
        let (code, _, said) = output(&mut backups.command(&database.url));
        assert_eq!(code, 1);
        assert!(said.contains("is a hypertable"), "{said}");
    });
}

#[test]
fn a_dump_of_a_newer_server_is_called_that() {
    run(async {
        let source = Database::postgres().await;
        let Some(backups) = Backups::of(&source) else { return };
        migrate(&source).await;
        let mut bytes = fs::read(backups.make(&source.url())).unwrap();
        // After the magic PGDMP stand the major and the minor version of the format.
        bytes[6] = 99;
        let newer = backups.folder.path().join("newer");
        fs::write(&newer, bytes).unwrap();
        let (code, said) = backups.restore(&source.url(), &newer);
        assert_eq!(code, 1);
        assert!(said.contains("was made by a newer pg_dump; nothing was touched"), "{said}");
    });
}

#[test]
fn a_login_from_which_rows_are_hidden_makes_no_backup() {
    run(async {
        let app = TestApp::start(Database::postgres().await).await;
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        let login = database.login();
        database
            .execute(&format!(
                "create role {login} login password 'p%40ss @:?w\\rd';
                 grant select on all tables in schema public to {login};
                 grant select on all sequences in schema public to {login};"
            ))
            .await;
        let url = database.url_with(|url| {
            url.set_username(&login).unwrap();
            url.set_password(Some("p%2540ss%20%40%3A%3Fw%5Crd")).unwrap();
        });
        let (code, _, said) = output(&mut backups.command(&url));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("row-level security") && said.contains("log in as the owner of the tables"), "{said}");
        assert_eq!(backups.files().len(), 0);
        database.execute(&format!("alter role {login} bypassrls")).await;
        backups.make(&url);
        database.execute(&format!("drop owned by {login}")).await;
    });
}

#[test]
fn the_password_of_the_database_is_in_no_command_line() {
    run(async {
        let app = TestApp::start(Database::postgres().await).await;
        let Some(backups) = Backups::of(&app.database) else { return };
        let Database::Postgres(database) = &app.database else { unreachable!() };
        let url = url::Url::parse(&database.url).unwrap();
        let password = url.password().expect("the server asks for a password").to_owned();
        // Behind it pg_dump waits.
        let mut lock = TableLock::take(database).await;
        let mut command = backups.command("");
        let file = backups.folder.path().join("database_url");
        fs::write(&file, format!("{}\n", database.url)).unwrap();
        let mut making = Group::spawn(command.env_remove("DATABASE_URL").env("DATABASE_URL_FILE", &file));
        lock.is_awaited().await;
        let lines = command_lines();
        lock.release().await;
        assert!(
            lines.iter().any(|line| line.contains("pg_dump") && line.contains(backups.folder.path().to_str().unwrap()))
        );
        assert!(lines.iter().all(|line| !line.contains(&password)), "a command line shows it");
        let deadline = Instant::now() + DEADLINE;
        while making.runs() {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(backups.complete().len(), 1);
    });
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let set = [("DATABASE_URL", "sqlite://x.db"), ("BACKUP_DIR", path)];
    for (arguments, variables, reason) in [
        (&["--dayly"][..], vec![], "usage: backup.sh"),
        (&["--check", "--nightly"], vec![], "usage: backup.sh"),
        (&[], vec![("BACKUP_DIR", "")], "BACKUP_DIR is not set"),
        (&[], vec![("BACKUP_DIR", "/nowhere/at/all")], "which is no folder"),
        (&[], vec![("BACKUP_KEEP_DAYS", "0")], "BACKUP_KEEP_DAYS must be"),
        (&["--nightly"], vec![("BACKUP_AT", "2:30")], "BACKUP_AT must be"),
        (&[], vec![("DATABASE_URL", "mysql://x")], "DATABASE_URL must start with"),
        (&[], vec![("DATABASE_URL", "")], "DATABASE_URL is not set"),
        (&[], vec![("DATABASE_URL", "postgres://h/d?sslmod=verify-full")], "the parameter sslmod, which is not known"),
        (&[], vec![("DATABASE_URL_FILE", "/etc/hostname")], "are both set"),
    ] {
        let (code, _, said) = output(script("backup.sh", &[], &set).args(arguments).envs(variables));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(reason), "{said}");
    }
    for arguments in [&[][..], &["one", "two"], &["--help"], &["/nowhere/at/all"]] {
        let (code, _, said) = output(script("restore.sh", &[], &set).args(arguments));
        assert_eq!(code, 2, "{said}");
    }
}

fn touch(file: &Path, age: &str) {
    let status = Command::new("touch").arg("-d").arg(age).arg(file).status().unwrap();
    assert!(status.success());
}

/// Returns once a backup waits for a lock.
async fn waits(database: &Database) {
    const WAITING: &str = "select count(*)::text from pg_stat_activity
        where datname = current_database() and application_name = 'candlewick-backup' and wait_event_type = 'Lock'";
    let deadline = Instant::now() + DEADLINE;
    while database.rows(WAITING).await == ["0"] {
        assert!(Instant::now() < deadline, "it waits for no lock");
    }
}

/// What is stored once the server has rolled back, or committed, what a killed client left.
async fn settled(database: &Database) -> Vec<String> {
    const OTHERS: &str = "select count(*)::text from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    while database.rows(OTHERS).await != ["0"] {}
    everything(database).await
}

/// Whether a group has come to its wait.
fn sleeps(group: &Group) -> bool {
    let children = format!("/proc/{0}/task/{0}/children", group.0.id());
    let children = fs::read_to_string(children).unwrap_or_default();
    children
        .split_whitespace()
        .any(|child| fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep")))
}

/// A script and everything that it starts, killed with this value.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What has ended is not there to be killed.
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -s KILL -- -{}", self.0.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.wait();
    }
}
