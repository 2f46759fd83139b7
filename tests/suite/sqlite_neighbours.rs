//! Other users of a SQLite file: services, and programs that wrote rows into it. The log reports them, and nothing is
//! refused.

use std::fs;
use std::os::unix::fs::symlink;

use sqlx::{Executor, Row, SqlitePool};

use crate::harness::{NOW, run};
use crate::program::{Serving, folder};

const WARNING: &str = "another running candlewick uses this SQLite file";

/// A service, with its output until it is ready.
fn start(folder: &std::path::Path, url: &str) -> Serving {
    let serving = Serving::on(folder, url);
    assert!(serving.printed.contains("ready"), "{}", serving.printed);
    serving
}

#[test]
fn a_second_service_on_a_file_names_the_first_process() {
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
    // The lock is free once the first service has ended, by any signal.
    for signal in ["KILL", "TERM"] {
        let serving = if signal == "KILL" { &first } else { &start(folder.path(), "sqlite://test.db") };
        assert!(!serving.printed.contains(WARNING), "{signal}: {}", serving.printed);
        serving.signal(signal);
        while fs::File::open(folder.path().join("test.db-lock")).unwrap().try_lock().is_err() {}
    }
    let last = start(folder.path(), "sqlite://test.db");
    assert!(!last.printed.contains(WARNING), "{}", last.printed);
    // Another file in the same folder has no other user.
    let other = start(folder.path(), "sqlite://other.db");
    assert!(!other.printed.contains(WARNING), "{}", other.printed);
}

#[test]
fn a_failed_service_lock_does_not_prevent_the_start() {
    let folder = folder();
    fs::create_dir(folder.path().join("test.db-lock")).unwrap();
    let serving = start(folder.path(), "sqlite://test.db");
    assert!(!serving.printed.contains("WARN"), "{}", serving.printed);
}

#[test]
fn a_file_with_two_hard_links_is_a_warning() {
    let folder = folder();
    drop(start(folder.path(), "sqlite://test.db"));
    fs::hard_link(folder.path().join("test.db"), folder.path().join("other.db")).unwrap();
    let serving = start(folder.path(), "sqlite://test.db");
    assert!(serving.printed.contains("more than one name"), "{}", serving.printed);
}

/// Runs statements as another program, and returns the result of the last one.
async fn others_run(folder: &std::path::Path, statements: &[String]) -> Vec<String> {
    let pool = SqlitePool::connect(&format!("sqlite://{}", folder.join("test.db").display())).await.unwrap();
    let mut found = Vec::new();
    for statement in statements {
        found = pool.fetch_all(&**statement).await.unwrap();
    }
    pool.close().await;
    found.iter().map(|row| row.get(0)).collect()
}

/// The text that all warnings about unreachable names share.
const UNREACHABLE: &str = "which nobody can ask for";

/// A statement that stores `count` series of one candle. `symbol` is an expression of their number `n`.
fn many_series(symbol: &str, count: u32) -> String {
    format!(
        "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {count})
         insert into market_data_candles select {symbol}, 'M1', 0, '1', '1', '1', '1', 1, 0 from numbers"
    )
}

#[test]
fn unreachable_rows_are_named_with_the_statement_that_fixes_them() {
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
            // Its corrected name is taken.
            insert("'EURUSD'", "1h", 3),
            insert("' O''NEIL '", "D1", 4),
            insert("'XAUUSD' || char(10)", "M1", 5),
            insert("'AUDUSD'", "hour", 6),
            insert("cast(x'ff' as text)", "M1", 7),
            insert("'USDJPY'", "60", 8),
            insert("'USDCHF'", "D", 9),
            // Too long for a statement, though the excess is only blanks.
            insert("'LONG' || printf('%300s', '')", "M1", 10),
            many_series("'S' || n", 1100),
        ];
        others_run(folder.path(), &foreign).await;
        let mut serving = start(folder.path(), "sqlite://test.db");
        serving.line_with("cast(x'ff' as text)");
        serving.signal("TERM");
        let (_, log) = serving.end();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains(UNREACHABLE)).collect();
        assert!(warnings.iter().all(|line| line.contains("WARN")), "{log}");
        let (mended, unknown): (Vec<&str>, Vec<&str>) =
            warnings.into_iter().partition(|line| line.contains(": update "));
        assert_eq!((mended.len(), unknown.len()), (5, 3), "{log}");
        for (line, name) in
            unknown.iter().zip(["'hour'", "of 304 bytes that begins with 'LONG ", "cast(x'ff' as text)"])
        {
            assert!(line.contains(name), "{line}");
        }
        let mut statements: Vec<_> =
            mended.iter().map(|line| line[line.find("update ").unwrap()..].to_owned()).collect();
        statements.push(
            "select quote(trim(symbol)) || ' ' || timeframe || ' ' || volume from market_data_candles
             where symbol not glob 'S[0-9]*' and volume <> 7 order by 1"
                .to_owned(),
        );
        let right = [
            "'AUDUSD' hour 6",
            "'EURUSD' 1h 3",
            "'EURUSD' H1 1",
            "'GBPUSD' H1 2",
            "'LONG' M1 10",
            "'O''NEIL' D1 4",
            "'USDCHF' D1 9",
            "'USDJPY' H1 8",
            "'XAUUSD' M1 5",
        ];
        assert_eq!(others_run(folder.path(), &statements).await, right, "{statements:?}");
        statements.push("select hex(symbol) || ' ' || timeframe from market_data_candles where volume = 7".to_owned());
        assert_eq!(others_run(folder.path(), &statements).await, ["FF M1"], "nothing was merged");
    });
}

#[test]
fn many_unreachable_names_are_truncated_in_the_log() {
    run(async {
        let folder = folder();
        let first = start(folder.path(), "sqlite://test.db");
        first.signal("TERM");
        tokio::task::spawn_blocking(|| first.end()).await.unwrap();
        let late = many_series("'Z' || n", 1).replace("'M1'", "'1h'");
        others_run(folder.path(), &[many_series("' A' || n", 600), late]).await;
        let mut serving = start(folder.path(), "sqlite://test.db");
        let line = serving.line_with(UNREACHABLE);
        assert!(line.contains("timeframe '1h'"), "a late one is reported too: {line}");
        serving.line_with("more than 20 such names are stored");
        serving.signal("TERM");
        let (_, log) = serving.end();
        assert_eq!(log.lines().filter(|line| line.contains(UNREACHABLE)).count(), 20, "{log}");
    });
}
