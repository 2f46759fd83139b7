//! Who else uses a SQLite file: other services, and others who wrote rows into it. The log says so, and nothing is kept out.

use std::fs;
use std::os::unix::fs::symlink;

use sqlx::{Executor, Row, SqlitePool};

use crate::harness::{NOW, run};
use crate::program::{Serving, folder};

const WARNING: &str = "another running candlewick uses this SQLite file";

/// What a service says until it is ready.
fn start(folder: &std::path::Path, url: &str) -> Serving {
    let serving = Serving::on(folder, url);
    assert!(serving.printed.contains("ready"), "{}", serving.printed);
    serving
}

#[test]
fn a_second_service_on_a_file_says_which_process_is_the_first() {
    let folder = folder();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("test.db"), folder.path().join("elsewhere/link.db")).unwrap();
    let first = start(folder.path(), "sqlite://test.db");
    assert!(!first.printed.contains(WARNING), "{}", first.printed);
    let absolute = format!("sqlite://{}", folder.path().join("test.db").display());
    for url in ["sqlite://test.db", &absolute, "sqlite://elsewhere/link.db", "sqlite://elsewhere/../test.db"] {
        let second = start(folder.path(), url);
        let warning = second.printed.lines().find(|line| line.contains(WARNING));
        let warning = warning.unwrap_or_else(|| panic!("{url}: {}", second.printed));
        assert!(warning.contains("WARN"), "{warning}");
        assert!(warning.contains(&format!("process=\"{}\"", first.child.id())), "{warning}");
    }
    // It is free once the first is gone, however it went.
    for signal in ["KILL", "TERM"] {
        let serving = if signal == "KILL" { &first } else { &start(folder.path(), "sqlite://test.db") };
        assert!(!serving.printed.contains(WARNING), "{signal}: {}", serving.printed);
        serving.signal(signal);
        while fs::File::open(folder.path().join("test.db-lock")).unwrap().try_lock().is_err() {}
    }
    let last = start(folder.path(), "sqlite://test.db");
    assert!(!last.printed.contains(WARNING), "{}", last.printed);
    // Another file in the same folder is nobody else's.
    let other = start(folder.path(), "sqlite://other.db");
    assert!(!other.printed.contains(WARNING), "{}", other.printed);
}

#[test]
fn a_lock_that_cannot_be_made_keeps_no_service_from_starting() {
    let folder = folder();
    fs::create_dir(folder.path().join("test.db-lock")).unwrap();
    let serving = start(folder.path(), "sqlite://test.db");
    assert!(!serving.printed.contains("WARN"), "{}", serving.printed);
}

#[test]
fn a_file_with_two_names_is_warned_of() {
    let folder = folder();
    drop(start(folder.path(), "sqlite://test.db"));
    fs::hard_link(folder.path().join("test.db"), folder.path().join("other.db")).unwrap();
    let serving = start(folder.path(), "sqlite://test.db");
    assert!(serving.printed.contains("more than one name"), "{}", serving.printed);
}

/// Runs statements as others may, and returns what the last one finds.
async fn others_run(folder: &std::path::Path, statements: &[String]) -> Vec<String> {
    let pool = SqlitePool::connect(&format!("sqlite://{}", folder.join("test.db").display())).await.unwrap();
    let mut found = Vec::new();
    for statement in statements {
        found = pool.fetch_all(&**statement).await.unwrap();
    }
    pool.close().await;
    found.iter().map(|row| row.get(0)).collect()
}

#[test]
fn rows_that_nobody_can_ask_for_are_named_with_the_statement_that_mends_them() {
    run(async {
        let folder = folder();
        let first = start(folder.path(), "sqlite://test.db");
        first.signal("TERM");
        tokio::task::spawn_blocking(|| first.end()).await.unwrap();
        let insert = |symbol: &str, timeframe: &str, volume: i64| {
            let time = (NOW - 7200) * 1000;
            format!(
                "insert into market_data_candles values ({symbol}, '{timeframe}', {time} , '1', '1', '1', '1', {volume}, 0)"
            )
        };
        let foreign = [
            insert("'EURUSD'", "H1", 1),
            insert("'GBPUSD'", "1h", 2),
            // Its right name is taken.
            insert("'EURUSD'", "1h", 3),
            insert("' O''NEIL '", "D1", 4),
            insert("'XAUUSD' || char(10)", "M1", 5),
            insert("'AUDUSD'", "hour", 6),
            insert("cast(x'ff' as text)", "M1", 7),
        ];
        others_run(folder.path(), &foreign).await;
        let mut serving = start(folder.path(), "sqlite://test.db");
        let mut remedies = Vec::new();
        for _ in 0..5 {
            let line = serving.line_with("rows that others wrote");
            assert!(line.contains("WARN"), "{line}");
            let remedy = line.split("remedy=\"").nth(1).unwrap().rsplit_once('"').unwrap().0;
            remedies
                .push(remedy.replace("'THE RIGHT NAME'", if remedy.contains("set symbol") { "'NEW'" } else { "'H1'" }));
        }
        let select = "select quote(symbol) || ' ' || timeframe || ' ' || volume from market_data_candles order by 1";
        remedies.push(select.to_owned());
        let stored = others_run(folder.path(), &remedies).await;
        let right = [
            "'AUDUSD' H1 6",
            "'EURUSD' 1h 3",
            "'EURUSD' H1 1",
            "'GBPUSD' H1 2",
            "'NEW' M1 7",
            "'O''NEIL' D1 4",
            "'XAUUSD' M1 5",
        ];
        assert_eq!(stored, right, "{remedies:?}");
    });
}
