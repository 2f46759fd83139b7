//! Restoring backups, on both stores.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rstest_reuse::apply;

use super::backups::{Backups, Group, empty_like, everything, fill, fill_much, fill_signals, migrate, travels};
use super::script;
use crate::engine::{Engine, leave_out_on};
use crate::harness::{Database, NOW, PgDatabase, TestApp, both_stores, candle, eventually, plain_server, run};

#[apply(both_stores)]
async fn a_restored_database_equals_the_original(app: TestApp) {
    let target = empty_like(&app.database).await;
    let TestApp { mut service, database } = app;
    service.stop().await.unwrap();
    travels(database, target).await;
}

#[apply(both_stores)]
async fn a_restore_requires_an_empty_database(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    fill(&app).await;
    let file = backups.make(&app.database.url());
    app.ingest(&[candle(NOW - 20 * 3600)]).await;
    let before = everything(&app.database).await;
    let (code, said) = backups.restore(&app.database.url(), &file);
    assert_eq!(code, 1);
    assert!(said.contains("nothing was touched"), "{said}");
    assert_eq!(everything(&app.database).await, before);

    // Nor does it restore into a database that isn't candlewick's.
    let (other, reason) = match &app.database {
        Database::Sqlite(_) => {
            let other = Database::sqlite();
            let leftover = format!("{}-wal", other.url().trim_start_matches("sqlite://"));
            fs::write(leftover, "what a database that was moved away has left").unwrap();
            (other, "-wal is there already")
        }
        Database::Postgres(_) => (Database::Postgres(PgDatabase::create(&plain_server()).await), "candlewick migrate"),
    };
    let (code, said) = backups.restore(&other.url(), &file);
    assert_eq!(code, 1);
    assert!(said.contains(reason), "{said}");
}

#[test]
fn a_restore_adds_no_signals_to_others() {
    run(async {
        let app = TestApp::start(Database::postgres().await).await;
        let Some(backups) = Backups::of(&app.database) else { return };
        fill(&app).await;
        fill_signals(&app.database).await;
        let file = backups.make(&app.database.url());
        let target = empty_like(&app.database).await;
        fill_signals(&target).await;
        let before = everything(&target).await;
        let (code, said) = backups.restore(&target.url(), &file);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("research_signals holds signals already") && said.contains("nothing was restored"),
            "{said}"
        );
        assert_eq!(everything(&target).await, before);
    });
}

#[apply(both_stores)]
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
    // One flipped bit, which only the checksum reveals.
    fs::write(&made, bytes).unwrap();
    let (code, said) = backups.restore(&target.url(), &made);
    assert_eq!(code, 1);
    assert!(said.contains("does not have the checksum"), "{said}");
}

#[apply(both_stores)]
async fn a_killed_restore_is_atomic(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    fill_much(&app, 2).await;
    let file = backups.make(&app.database.url());
    let expected = everything(&app.database).await;
    let mut seen = [0, 0];
    // Making a database of a cluster takes seconds.
    let every = if leave_out_on(&[Engine::Citus], "most of the moments at which a restore is killed") { 4 } else { 1 };
    for tenth in (0..10).step_by(every) {
        let target = empty_like(&app.database).await;
        let mut command = script("restore.sh", &backups.programs, &[("DATABASE_URL", &target.url())]);
        let mut restoring = Group::spawn(command.arg(&file));
        // Kills it at different stages. Only the state that it leaves counts, not the moment.
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

#[test]
fn a_dump_of_a_newer_server_is_recognised() {
    run(async {
        // Of plain Postgres, whose backups are made by pg_dump.
        let source = Database::Postgres(PgDatabase::create(&plain_server()).await);
        let Some(backups) = Backups::of(&source) else { return };
        migrate(&source).await;
        let mut bytes = fs::read(backups.make(&source.url())).unwrap();
        // The magic PGDMP is followed by the major and the minor version of the format.
        bytes[6] = 99;
        let newer = backups.folder.path().join("newer");
        fs::write(&newer, bytes).unwrap();
        let (code, said) = backups.restore(&source.url(), &newer);
        assert_eq!(code, 1);
        assert!(said.contains("was made by a newer pg_dump; nothing was touched"), "{said}");
    });
}

/// The stored rows, once the server has rolled back or committed the statement of a killed client.
async fn settled(database: &Database) -> Vec<String> {
    const OTHERS: &str = "select count(*)::text from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
        and application_name not like 'citus%'";
    eventually(async || database.rows(OTHERS).await == ["0"]).await;
    everything(database).await
}
