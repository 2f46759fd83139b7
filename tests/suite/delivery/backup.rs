//! Tests of `deploy/backup.sh` on both stores.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rstest_reuse::apply;

use super::backups::{Backups, DEADLINE, Group, empty_like, fill, fill_much, many, waits};
use super::{command_lines, script};
use crate::engine::{Engine, leave_out_on};
use crate::faults::small_disk::SmallDisk;
use crate::harness::{Database, TableLock, TestApp, both_stores, eventually, leave_out, run};
use crate::program::{folder, kill, output};

#[apply(both_stores)]
async fn a_killed_backup_leaves_no_file_that_looks_complete(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    fill_much(&app, 2).await;
    let url = app.database.url();
    let deadline = Instant::now() + DEADLINE;
    // Repeats until a backup was killed while it wrote its file.
    loop {
        assert!(Instant::now() < deadline, "each backup ended before it could be killed");
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
    assert!(!left.is_empty(), "the backup had started");
    assert_eq!(backups.check(), 1);

    backups.make(&url);
    assert_eq!(backups.files(), backups.complete(), "the next backup removes the unfinished file");
    assert_eq!(backups.check(), 0);
}

#[apply(both_stores)]
async fn concurrent_backups_run_one_after_the_other(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    fill(&app).await;
    let url = app.database.url();
    let running: Vec<Child> = (0..3).map(|_| backups.command(&url).stderr(Stdio::null()).spawn().unwrap()).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(backups.files().len(), 3);
    assert_eq!(backups.files(), backups.complete());
}

#[apply(both_stores)]
async fn old_backups_are_deleted_except_the_newest(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    assert_eq!(backups.check(), 1, "there is no backup yet");
    let url = app.database.url();
    let first = backups.make(&url);
    let second = backups.make(&url);
    touch(&first, "15 days ago");
    touch(&second, "13 days ago");
    // A failed backup deletes nothing.
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
    assert_eq!(backups.check(), 1, "an unfinished backup does not count");
    touch(&third, "400 days ago");
    touch(&second, "15 days ago");
    let fourth = backups.make(&url);
    assert_eq!(backups.files(), [fourth]);
}

#[apply(both_stores)]
async fn a_backup_made_while_posts_arrive_is_a_snapshot(app: TestApp) {
    const SIZE: i64 = 500;
    if leave_out_on(&[Engine::Citus], "its servers have no snapshot in common") {
        return;
    }
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
    let counts: BTreeMap<String, i64> = target
        .rows(per_batch)
        .await
        .iter()
        .map(|row| {
            let (symbol, count) = row.split_once(' ').unwrap();
            (symbol.to_owned(), count.parse().unwrap())
        })
        .collect();
    assert_eq!(counts["MANY0"], 10_000);
    let stored = (1..=during).take_while(|batch| counts.contains_key(&format!("MANY{batch}"))).count() as i64;
    println!("{during} posts during the backup, {stored} of them are in it");
    assert_eq!(counts.len() as i64, stored + 1, "a post is in the backup only if all earlier ones are");
    assert!(
        counts.iter().all(|(symbol, count)| symbol == "MANY0" || *count == SIZE),
        "the backup holds a part of a post: {counts:?}"
    );
}

#[apply(both_stores)]
async fn the_nightly_backup_runs_at_the_start_and_ends_on_sigterm(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    fill(&app).await;
    let mut nightly = Group::spawn(backups.command(&app.database.url()).arg("--nightly"));
    let deadline = Instant::now() + DEADLINE;
    eventually(async || {
        assert!(nightly.runs() && Instant::now() < deadline, "a backup is made");
        !backups.complete().is_empty()
    })
    .await;
    kill(nightly.0.id(), "TERM");
    let ended = nightly.0.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    drop(nightly);

    // After a restart, a backup is made at once only if the newest would be too old for `--check` when the next is due.
    touch(&backups.files()[0], "5 hours ago");
    for (due, count) in [("1 hour", 1), ("1 hour ago", 2)] {
        let (_, time, _) = output(Command::new("date").args(["-u", "+%H:%M", "-d", due]));
        let mut command = backups.command(&app.database.url());
        let mut nightly = Group::spawn(command.arg("--nightly").env("BACKUP_AT", time.trim()));
        let deadline = Instant::now() + DEADLINE;
        eventually(async || {
            assert!(nightly.runs() && Instant::now() < deadline, "the script waits for BACKUP_AT");
            sleeps(&nightly)
        })
        .await;
        assert_eq!(backups.files().len(), count, "BACKUP_AT is {due}");
    }
}

#[apply(both_stores)]
async fn a_full_disk_is_reported(app: TestApp) {
    let Some(backups) = Backups::of(&app.database) else { return };
    let disk = match SmallDisk::mount(1) {
        Ok(disk) => disk,
        Err(reason) => return leave_out(&reason),
    };
    fill(&app).await;
    disk.fill();
    let mut command = backups.command(&app.database.url());
    let (code, _, said) = output(command.env("BACKUP_DIR", disk.path()));
    assert_eq!(code, 1);
    assert!(said.contains("is full; nothing was kept"), "{said}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "the folder holds only the file that filled the disk");
}

#[test]
fn a_login_under_row_security_is_refused() {
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
        // A login of its own, because a server may ask for no password, or for one that is also a word.
        let (login, password) = (database.login(), format!("secret-of-{}", database.name));
        database.execute(&format!("create role {login} login superuser password '{password}'")).await;
        let url = database.url_with(|url| {
            url.set_username(&login).unwrap();
            url.set_password(Some(&password)).unwrap();
        });
        let program = if Engine::of_this_run().is_some_and(|(engine, _)| engine == Engine::Timescale) {
            "psql"
        } else {
            "pg_dump"
        };
        // The program waits for this lock.
        let lock = TableLock::take(database).await;
        let mut command = backups.command("");
        let file = backups.folder.path().join("database_url");
        fs::write(&file, format!("{url}\n")).unwrap();
        let mut making = Group::spawn(command.env_remove("DATABASE_URL").env("DATABASE_URL_FILE", &file));
        waits(&app.database).await;
        let (lines, of_backup) = (command_lines(), making.command_lines());
        lock.release().await;
        assert!(of_backup.iter().any(|line| line.contains(program)), "{of_backup:?}");
        assert!(lines.iter().all(|line| !line.contains(&password)), "a command line shows the password");
        let deadline = Instant::now() + DEADLINE;
        eventually(async || {
            assert!(Instant::now() < deadline);
            !making.runs()
        })
        .await;
        assert_eq!(backups.complete().len(), 1);
    });
}

#[test]
fn invalid_arguments_are_refused() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let set = [("DATABASE_URL", "sqlite://x.db"), ("BACKUP_DIR", path)];
    for (arguments, variables, reason) in [
        (&["--dayly"][..], vec![], "usage: backup.sh"),
        (&["--check", "--nightly"], vec![], "usage: backup.sh"),
        (&[], vec![("BACKUP_DIR", "")], "BACKUP_DIR is not set"),
        (&[], vec![("BACKUP_DIR", "/nowhere/at/all")], "which is not a folder"),
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

/// Returns true while the script waits in `sleep`.
fn sleeps(group: &Group) -> bool {
    let children = format!("/proc/{0}/task/{0}/children", group.0.id());
    let children = fs::read_to_string(children).unwrap_or_default();
    children
        .split_whitespace()
        .any(|child| fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep")))
}
