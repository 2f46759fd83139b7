//! The commands that read files of candles, on both databases and over a service.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use rstest_reuse::apply;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::harness::{Database, KEY, StoreKind, TOKEN, TestApp, both_store_kinds, both_stores, eventually, run};
use crate::program::{folder, kill, program};

const MT5: &str = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n";

/// Two hours of minutes in MetaTrader's form, from midnight of 4 August 2025 on the broker's clock.
fn minutes(count: usize) -> String {
    let line = |at: usize| {
        let (day, hour, minute) = (4 + at / 1440, at / 60 % 24, at % 60);
        format!("2025.08.{day:02}\t{hour:02}:{minute:02}:00\t1.15810\t1.15815\t1.15800\t1.15801\t{}\t0\t5\r\n", at + 1)
    };
    MT5.to_owned() + &(0..count).map(line).collect::<String>()
}

/// Hours of `weeks` weeks of foreign exchange by a clock that is seven hours ahead of New York, in summer.
fn weeks(weeks: i64) -> String {
    let mut text = MT5.to_owned();
    for week in 0..weeks {
        for hour in 0..120 {
            let time = chrono::DateTime::from_timestamp(1_746_403_200 + week * 604_800 + hour * 3600, 0).unwrap();
            let _ = write!(text, "{}\t1.1\t1.2\t1.0\t1.1\t7\t0\t5\r\n", time.format("%Y.%m.%d\t%H:%M:%S"));
        }
    }
    text
}

/// Runs a command in a folder of its own, on a database.
fn call(place: &Path, database: &Database, arguments: &[&str]) -> (i32, String, String) {
    call_with(place, &database.url(), arguments, b"")
}

fn call_with(place: &Path, url: &str, arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = program(place, &[("DATABASE_URL", url)]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let ended = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().expect("no signal"), text(ended.stdout), text(ended.stderr))
}

/// An empty database with tables.
async fn empty(kind: StoreKind, place: &Path) -> Database {
    let database = kind.database().await;
    let migrated = tokio::task::block_in_place(|| call(place, &database, &["migrate"]));
    assert_eq!(migrated.0, 0, "{migrated:?}");
    database
}

fn write(place: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(place.join(name), bytes).unwrap();
}

/// The last line of an output, without the time that it took.
fn last(printed: &str) -> &str {
    let line = printed.lines().last().unwrap_or_default();
    line.split("; ").next().unwrap()
}

#[apply(both_store_kinds)]
fn a_file_is_described_and_stored_once(kind: StoreKind) {
    run(async {
        let own = folder();
        let database = empty(kind, own.path()).await;
        write(own.path(), "EURUSD_M1.csv", minutes(120));
        let arguments = ["import", "EURUSD_M1.csv", "--symbol", "EURUSD", "--tz", "ny+7"];
        let (code, printed, complaint) = call(own.path(), &database, &arguments);
        assert_eq!((code, complaint.as_str()), (0, ""), "{printed}");
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "EURUSD_M1.csv   MetaTrader 5 \"Export Bars\": tab, UTF-8, CRLF, 121 lines",
                "  columns   <DATE> <TIME> → time, <OPEN> <HIGH> <LOW> <CLOSE>, <TICKVOL> → volume; left out: <VOL> <SPREAD>",
                "  times     Y.M.D h:m:s at New York + 7 h (--tz): 2025.08.04 00:00:00 is 2025-08-03T21:00:00Z",
                "  zone      cannot be checked, because the file has no weekends like those of foreign exchange",
                "  series    EURUSD M1: all steps are one minute",
            ]
        );
        assert_eq!(last(&printed), "120 candles: 120 added, 0 were stored already, 0 refused");
        let stored = database.closed().await;
        assert_eq!(stored.len(), 120);
        assert_eq!(stored[1], "EURUSD M1 1754254860 1.15810 1.15815 1.15800 1.15801 2");
        let recorded = "select kind || ' ' || symbol || ' ' || timeframe || ' ' || candles || ' ' || reason from market_data_changes";
        assert_eq!(database.rows(recorded).await, ["import EURUSD M1 120 import of EURUSD_M1.csv"]);

        write(own.path(), "EURUSD_M1.csv", minutes(130).replace("1.15801\t2\t", "1.15802\t2\t"));
        let (code, printed, _) = call(own.path(), &database, &arguments);
        assert_eq!(code, 0, "{printed}");
        let counts = "130 candles: 10 added, 119 were stored already, 0 refused, 1 conflicting; ";
        assert!(printed.lines().any(|line| line.starts_with(counts)), "{printed}");
        assert!(printed.ends_with(
            "  1 candle is stored with other values, which stay; candlewick verify lists the first of them\n"
        ));
        assert_eq!(database.closed().await[..120], stored);

        let verify = ["verify", "EURUSD_M1.csv", "--symbol", "EURUSD", "--tz", "ny+7"];
        let (code, printed, _) = call(own.path(), &database, &verify);
        assert_eq!(code, 1);
        let differing = "differ\n  EURUSD M1 2025-08-03T21:01:00Z: close 1.15802, stored 1.15801\n129 same, 1 differ, 0 not stored\n";
        assert!(printed.ends_with(differing), "{printed}");

        // A candle that differs is corrected once it is confirmed; nothing else changes.
        let correct = ["correct", "EURUSD_M1.csv", "--symbol", "EURUSD", "--tz", "ny+7"];
        let (code, printed, _) = call(own.path(), &database, &correct);
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains("would correct 1 candles\nnothing was corrected; "), "{printed}");
        let digest = printed.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();
        let confirmed = |digest: &str| {
            call(own.path(), &database, &[&correct[..], &["--confirm", digest, "--reason", "wrong tick"]].concat())
        };
        let (code, _, errors) = confirmed("0123456789ab");
        assert_eq!((code, errors.contains(&format!("confirm {digest}"))), (1, true), "{errors}");
        assert_eq!(database.closed().await[..120], stored);
        let (code, printed, errors) = confirmed(digest);
        assert_eq!(code, 0, "{errors}");
        assert!(printed.ends_with("corrected 1 candles\n"), "{printed}");
        let closed = database.closed().await;
        assert_eq!(closed[1], "EURUSD M1 1754254860 1.15810 1.15815 1.15800 1.15802 2");
        assert_eq!((closed.len(), &closed[2..120]), (130, &stored[2..]));
        assert!(database.rows(recorded).await.contains(&"correction EURUSD M1 1 wrong tick".to_owned()));
        let (_, printed, _) = call(own.path(), &database, &correct);
        assert!(printed.ends_with("no stored candle differs from these files; nothing was corrected\n"), "{printed}");

        write(own.path(), "EURUSD_M1.csv", minutes(132).replace("1.15801\t2\t", "1.15802\t2\t"));
        let (code, printed, _) = call(own.path(), &database, &verify);
        assert_eq!(code, 1);
        let missing = "not stored\n  EURUSD M1 2025-08-03T23:10:00Z\n  EURUSD M1 2025-08-03T23:11:00Z\n\
                       130 same, 0 differ, 2 not stored\n";
        assert!(printed.ends_with(missing), "{printed}");
        let longer = minutes(120).replace("1.15801\t2\t", "1.15802\t2\t").replace("1.15810", "1.158100");
        write(own.path(), "EURUSD_M1.csv", longer);
        assert_eq!(call(own.path(), &database, &verify).0, 0, "zeros at the end are not a difference");
    });
}

/// A file that does not say its zone is refused with what its weekends say; a wrong zone is named.
#[test]
fn the_zone_is_said_and_checked() {
    run(async {
        let own = folder();
        let database = empty(StoreKind::Sqlite, own.path()).await;
        write(own.path(), "a.csv", weeks(12));
        let (code, printed, complaint) = call(own.path(), &database, &["import", "a.csv", "--symbol", "EURUSD"]);
        assert_eq!((code, printed.as_str()), (2, ""));
        // In summer alone, New York + 7 h and Athens are the same clock.
        assert_eq!(
            complaint,
            "error: a.csv does not say in which time zone its times are\n  \
             with New York + 7 h, 11 of 11 weekends begin at 17:00 in New York; with Europe/Athens 11; with +03:00 11\n  \
             choose with --tz ny+7, --tz Europe/Athens, --tz UTC or --tz +03:00; nothing was imported\n"
        );
        let zone = |tz: &str| {
            let (code, printed, complaint) =
                call(own.path(), &database, &["import", "a.csv", "--symbol", "EURUSD", "--dry-run", "--tz", tz]);
            assert_eq!(code, 0, "{complaint}");
            printed.lines().find(|line| line.starts_with("  zone")).unwrap().to_owned()
        };
        assert_eq!(zone("ny+7"), "  zone      fits: 11 of 11 weekends begin at 17:00 in New York");
        let doubtful = "none of 11 weekends begin at 17:00 in New York; with New York + 7 h 11; is it --tz ny+7?";
        assert_eq!(zone("UTC"), format!("  zone      is doubtful: {doubtful}"));
        assert_eq!(zone("-05:00"), format!("  zone      is doubtful: {doubtful}"));
        assert!(database.closed().await.is_empty());
        for (arguments, said) in [
            (&["--tz", "Europe/Athen"][..], "did you mean Europe/Athens?"),
            (&["--tz", "UTC", "--symbol", " x"], "--symbol starts or ends with a blank"),
            (&["--tz", "UTC", "--timeframe", "M5"], "leave --timeframe M5 out"),
            (&["--tz", "UTC", "--volume", "some"], "--volume is some; give whole"),
            (&["--tz", "UTC", "--volume", "trades"], "no column that counts trades"),
            (&["--tz", "UTC", "--dialect", "hisdata"], "did you mean histdata?"),
            (&["--tz", "UTC", "--dialect", "mt4"], "is not MetaTrader 4 History Center (--dialect mt4)"),
            (&["--tz", "UTC", "--encoding", "utf-9"], "--encoding is utf-9, which is not known"),
            (&["--tz", "UTC", "--ambiguous", "both"], "--ambiguous must be earlier or later"),
            (&["--tz", "UTC", "--map", "A"], "--map is A; give a ticker and its symbol"),
            (&["--tz", "UTC", "--columns", "time=0"], "--columns does not name open"),
        ] {
            let named = if arguments.contains(&"--map") || arguments.contains(&"--symbol") {
                &[][..]
            } else {
                &["--symbol", "A"]
            };
            let (code, _, complaint) = call(own.path(), &database, &[&["import", "a.csv"], named, arguments].concat());
            assert!(code == 2 && complaint.contains(said), "{arguments:?}: {complaint}");
        }
        let (code, _, complaint) = call(own.path(), &database, &["import", "a.csv", "--tz", "ny+7"]);
        assert!(code == 2 && complaint.contains("name it with --symbol"), "{complaint}");
        let (code, _, complaint) = call(own.path(), &database, &["import", "none.csv", "--symbol", "A"]);
        assert!(code == 2 && complaint.starts_with("error: none.csv cannot be read: "), "{complaint}");
    });
}

#[apply(both_store_kinds)]
fn a_file_with_a_fault_is_not_stored(kind: StoreKind) {
    run(async {
        let own = folder();
        let database = empty(kind, own.path()).await;
        let bad = minutes(20_000).replacen("1.15815\t7\t", "1.15700\t7\t", 1).replacen("\t1.15801\t3\t", "\tx\t3\t", 1);
        let bad = bad.replacen("2025.08.17\t20:00:00\t1.15810\t1.15815", "2025.08.17\t20:00:00\t1.15810\t1.1", 1);
        write(own.path(), "bad.csv", &bad);
        write(own.path(), "good.csv", minutes(3));
        let files = ["import", "bad.csv", "good.csv", "--symbol", "EURUSD", "--tz", "UTC"];
        let (code, printed, complaint) = call(own.path(), &database, &files);
        assert_eq!((code, last(&printed)), (2, "3 candles: 3 added, 0 were stored already, 0 refused"));
        assert_eq!(
            complaint,
            "error: bad.csv has 2 bad lines among 20,000\n  \
             line 4: the close is x, which is not a number\n  \
             line 19,922: the high is 1.1, below the low of 1.15800\n  \
             leave bad lines out with --skip-bad, or with --skip-bad=FILE to keep them with their reasons; nothing was imported\n"
        );
        assert_eq!(database.closed().await.len(), 3);

        let (code, printed, complaint) = call(own.path(), &database, &[&files[..], &["--one-pass"]].concat());
        assert_eq!(code, 2, "{printed}");
        assert!(
            complaint.contains("line 4: the close is x") && complaint.contains("before that were stored"),
            "{complaint}"
        );
        let (code, printed, _) = call(own.path(), &database, &[&files[..], &["--skip-bad=left.tsv"]].concat());
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains("20,000 candles: 19,996 added, 2 were stored already, 2 refused"), "{printed}");
        let left = std::fs::read_to_string(own.path().join("left.tsv")).unwrap();
        let left: Vec<_> = left.lines().map(|line| line.split('\t').take(3).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(
            left,
            [
                "bad.csv|4|the close is x, which is not a number",
                "bad.csv|19922|the high is 1.1, below the low of 1.15800"
            ]
        );
        let (_, printed, _) = call(own.path(), &database, &[&files[..], &["--skip-bad", "--json"]].concat());
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((&report["ended"], &report["files"][0]["refused"]), (&json!("done"), &json!(2)));
        assert_eq!(report["files"][0]["stored_already"], json!(19_998));
        write(
            own.path(),
            "two.csv",
            "ticker,volume,open,close,high,low,window_start,transactions\n\
             A,1,1,1,1,1,1744792500000000000,1\nA,1,1,1,1,1,1744792560000000000,1\nB,1,1,1,1,1,1744792500000000000,1\n",
        );
        let two = ["import", "two.csv", "--all-symbols", "--json"];
        let (code, printed, complaint) = call(own.path(), &database, &two);
        assert_eq!((code, complaint.as_str()), (0, ""));
        let report: Value = serde_json::from_str(&printed).unwrap();
        let added = json!([
            {"symbol": "A", "timeframe": "M1", "first": "2025-04-16T08:35:00Z", "last": "2025-04-16T08:36:00Z", "added": 2},
            {"symbol": "B", "timeframe": "M1", "first": "2025-04-16T08:35:00Z", "last": "2025-04-16T08:35:00Z", "added": 1},
        ]);
        assert_eq!(report["files"][0]["series"], added);
        // The third candle of good.csv has the time of a bad line.
        assert_eq!(database.closed().await.len(), 19_998 + 1 + 3);
    });
}

#[test]
fn files_come_compressed_in_archives_and_through_pipes() {
    run(async {
        let own = folder();
        let database = empty(StoreKind::Sqlite, own.path()).await;
        let said = ["--symbol", "EURUSD", "--tz", "UTC"];
        let import = |arguments: &[&str], input: &[u8]| {
            call_with(own.path(), &database.url(), &[&["import"], arguments, &said].concat(), input)
        };
        let text = minutes(50);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        write(own.path(), "a.csv.gz", &gzip);
        write(own.path(), "a.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in [("in/a.csv", text.as_str()), ("in/readme.txt", "about these candles\n"), ("b.csv", &text)]
        {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let zip = zip.finish().unwrap().into_inner();
        write(own.path(), "a.zip", &zip);
        let utf16: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        write(own.path(), "a-utf16.csv", utf16);
        write(own.path(), "a-bom.csv", format!("\u{feff}{text}"));

        let (code, printed, complaint) = import(&["a.csv.gz"], b"");
        assert_eq!(
            (code, last(&printed)),
            (0, "50 candles: 50 added, 0 were stored already, 0 refused"),
            "{complaint}"
        );
        assert!(printed.contains("gzip, tab, UTF-8, CRLF, 51 lines"), "{printed}");
        for (arguments, look) in [
            (&["a.csv.zst"][..], "zstd, tab"),
            (&["a-utf16.csv"], "tab, UTF-16 LE, CRLF"),
            (&["a-bom.csv"], "tab, UTF-8"),
            (&["a.zip", "--member", "*/a.csv"], "a.zip:in/a.csv   MetaTrader 5"),
            (&["a.zip", "--member", "b.csv"], "a.zip:b.csv   MetaTrader 5"),
        ] {
            let (code, printed, complaint) = import(arguments, b"");
            assert_eq!((code, complaint.as_str()), (0, ""), "{arguments:?}");
            assert!(printed.contains(look), "{printed}");
            assert_eq!(last(&printed), "50 candles: 0 added, 50 were stored already, 0 refused");
        }
        // Each member has its block, and what is not candles is refused.
        let (code, printed, complaint) = import(&["a.zip"], b"");
        assert_eq!((code, printed.matches("50 candles: 0 added").count()), (2, 2), "{printed}");
        assert!(complaint.contains("a.zip:in/readme.txt is of no known dialect"), "{complaint}");
        for input in [text.as_bytes(), &gzip] {
            let (code, printed, complaint) = import(&["-"], input);
            assert_eq!((code, complaint.as_str()), (0, ""));
            assert!(printed.starts_with("standard input   MetaTrader 5"), "{printed}");
            assert!(printed.contains("  series    EURUSD M1: all steps are one minute"), "{printed}");
        }
        for (arguments, input, said) in [
            (&["a.zip", "--member", "c*"][..], &b""[..], "the archive has no member that --member selects"),
            (&["-"], &zip, "a zip archive cannot be read from a pipe"),
            (&["-"], b"", "standard input is empty"),
            (&["-"], b"y\ny\ny\n", "standard input is of no known dialect; it begins with: y"),
            (&["."], b"", "it is a folder"),
        ] {
            let (code, _, complaint) = import(arguments, input);
            assert!(code == 2 && complaint.contains(said), "{arguments:?}: {complaint}");
        }
        write(own.path(), "cut.csv.gz", &gzip[..gzip.len() / 2]);
        let (code, _, complaint) = import(&["cut.csv.gz"], b"");
        assert!(code == 2 && complaint.starts_with("error: cut.csv.gz cannot be read: "), "{complaint}");
        let mut damaged = zip.clone();
        let member = damaged.windows(5).position(|name| name == b"b.csv").unwrap();
        damaged[member + 40] ^= 0x55;
        write(own.path(), "damaged.zip", damaged);
        assert_eq!(import(&["damaged.zip", "--member", "b.csv"], b"").0, 2);
        assert_eq!(database.closed().await.len(), 50);
    });
}

/// A file of zeros or of equal lines that becomes thousands of times longer.
#[test]
fn an_archive_ends_at_its_limit() {
    run(async {
        let own = folder();
        let database = empty(StoreKind::Sqlite, own.path()).await;
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("bomb.csv", SimpleFileOptions::default()).unwrap();
        zip.write_all(MT5.as_bytes()).unwrap();
        for _ in 0..32 {
            zip.write_all("2025.08.04\t00:01:00\t1\t1\t1\t1\t1\t0\t5\r\n".repeat(20_000).as_bytes()).unwrap();
        }
        let zip = zip.finish().unwrap().into_inner();
        assert!(zip.len() < 160 * 1024);
        write(own.path(), "bomb.zip", zip);
        let import = ["import", "bomb.zip", "--symbol", "A", "--tz", "UTC", "--timeframe", "M1"];
        let (code, _, complaint) = call(own.path(), &database, &import);
        assert!(
            code == 2 && complaint.contains("bytes come out of it; if that is right, allow more with --max-bytes"),
            "{complaint}"
        );
        let (code, printed, complaint) =
            call(own.path(), &database, &[&import[..], &["--max-bytes", "100000000"]].concat());
        assert_eq!(code, 0, "{complaint}");
        let counts = "640,000 candles: 1 added, 0 were stored already, 0 refused, 639,999 twice in the file";
        assert_eq!(last(&printed), counts);
    });
}

#[apply(both_stores)]
async fn a_service_counts_as_its_database_does(app: TestApp) {
    let own = folder();
    write(own.path(), "a.csv", minutes(250));
    write(own.path(), "key", KEY);
    write(own.path(), "token", TOKEN);
    let url = app.url();
    let posted = |extra: &[&str]| {
        let arguments = ["import", "a.csv", "--symbol", "EUR\"USD", "--tz", "ny+7", "--url", &url, "--key-file", "key"];
        tokio::task::block_in_place(|| call(own.path(), &app.database, &[&arguments[..], extra].concat()))
    };
    let (code, printed, complaint) = posted(&[]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{printed}");
    assert_eq!(last(&printed), "250 candles: 250 added, 0 were stored already, 0 refused");
    assert_eq!(app.database.closed().await[0], "EUR\"USD M1 1754254800 1.15810 1.15815 1.15800 1.15801 1");
    write(own.path(), "a.csv", minutes(260).replace("1.15801\t2\t", "1.15802\t2\t"));
    let (_, printed, _) = posted(&[]);
    assert!(printed.contains("260 candles: 10 added, 249 were stored already, 0 refused, 1 conflicting"), "{printed}");
    let verify = ["verify", "a.csv", "--symbol", "EUR\"USD", "--tz", "ny+7", "--url", &url, "--key-file", "token"];
    let (code, printed, _) = tokio::task::block_in_place(|| call(own.path(), &app.database, &verify));
    assert!(code == 1 && printed.ends_with("259 same, 1 differ, 0 not stored\n"), "{printed}");
    write(own.path(), "key", "wrong");
    let (code, _, complaint) = posted(&[]);
    assert!(code == 2 && complaint.contains("answers 401"), "{complaint}");
    let (code, _, complaint) = posted(&["--database-url", "sqlite://x.db"]);
    assert!(code == 2 && complaint.contains("cannot be combined"), "{complaint}");
}

/// A service that takes smaller posts gets them.
#[test]
fn posts_are_halved_until_they_are_taken() {
    run(async {
        let own = folder();
        let app = TestApp::start_with(Database::sqlite(), |environment| environment.with("MAX_BATCH", 100)).await;
        write(own.path(), "a.csv", minutes(1000));
        write(own.path(), "key", KEY);
        let arguments =
            ["import", "a.csv", "--symbol", "EURUSD", "--tz", "UTC", "--url", &app.url(), "--key-file", "key"];
        let (code, printed, complaint) = tokio::task::block_in_place(|| call(own.path(), &app.database, &arguments));
        assert_eq!((code, complaint.as_str()), (0, ""));
        assert_eq!(last(&printed), "1,000 candles: 1,000 added, 0 were stored already, 0 refused");
        assert_eq!(app.database.closed().await.len(), 1000);
    });
}

fn many(count: i64) -> String {
    let mut text = String::from("time,open,high,low,close,Volume\n");
    for at in 0..count {
        let _ = writeln!(text, "{},1.1{:05},1.3,1.0,1.2,{at}", 1_500_000_000 + 60 * at, at % 100_000);
    }
    text
}

/// Killed in the middle and run again, an import stores each candle once.
#[apply(both_store_kinds)]
fn a_killed_import_is_run_again(kind: StoreKind) {
    run(async {
        let own = folder();
        let database = empty(kind, own.path()).await;
        write(own.path(), "a.csv", many(300_000));
        let arguments = ["import", "a.csv", "--symbol", "EURUSD"];
        let mut command = program(own.path(), &[("DATABASE_URL", &database.url())]);
        let mut child = command.args(arguments).stdout(Stdio::null()).spawn().unwrap();
        let count = async || {
            database.rows("select cast(count(*) as text) from market_data_candles").await[0].parse::<u64>().unwrap()
        };
        eventually(async || count().await > 0).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let before = count().await;
        assert!(before % 10_000 == 0 && before < 300_000, "{before} candles are stored: whole batches");
        let (code, printed, complaint) = call(own.path(), &database, &arguments);
        assert_eq!(code, 0, "{complaint}");
        // The batch that was under way may have been stored after the count.
        let stored = [before, before + 10_000].map(|before| {
            let group = |count: u64| {
                count
                    .to_string()
                    .as_bytes()
                    .rchunks(3)
                    .rev()
                    .map(|part| std::str::from_utf8(part).unwrap().to_owned())
                    .collect::<Vec<_>>()
                    .join(",")
            };
            format!(
                "300,000 candles: {} added, {} were stored already, 0 refused",
                group(300_000 - before),
                group(before)
            )
        });
        assert!(stored.contains(&last(&printed).to_owned()), "{printed}");
        assert_eq!(count().await, 300_000);
        assert_eq!(call(own.path(), &database, &["verify", "a.csv", "--symbol", "EURUSD"]).0, 0);
    });
}

#[apply(both_store_kinds)]
fn an_interrupted_import_ends_after_its_batch(kind: StoreKind) {
    run(async {
        let own = folder();
        let database = empty(kind, own.path()).await;
        write(own.path(), "a.csv", many(400_000));
        let mut command = program(own.path(), &[("DATABASE_URL", &database.url())]);
        let child = command.args(["import", "a.csv", "--symbol", "EURUSD"]);
        let child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let count = async || {
            database.rows("select cast(count(*) as text) from market_data_candles").await[0].parse::<u64>().unwrap()
        };
        eventually(async || count().await > 0).await;
        kill(child.id(), "INT");
        let ended = child.wait_with_output().unwrap();
        let complaint = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{complaint}");
        // Lines about progress may precede it on a slow machine.
        let end = complaint.lines().last().unwrap();
        assert!(end.starts_with("interrupted after ") && end.ends_with("; run it again to go on"), "{complaint}");
        let said: String = end.split(' ').nth(2).unwrap().replace(',', "");
        assert_eq!(count().await, said.parse::<u64>().unwrap());
    });
}

#[test]
fn binary_and_foreign_files() {
    run(async {
        let own = folder();
        let database = empty(StoreKind::Sqlite, own.path()).await;
        let mut hst = vec![0; 148];
        hst[..4].copy_from_slice(&401_i32.to_le_bytes());
        hst[68..74].copy_from_slice(b"EURUSD");
        hst[80..84].copy_from_slice(&60_i32.to_le_bytes());
        hst[84..88].copy_from_slice(&5_i32.to_le_bytes());
        for hour in 0..3_i64 {
            hst.extend((1_754_265_600 + hour * 3600).to_le_bytes());
            for price in [1.158_1_f64, 1.158_15, 1.158, 1.158_01] {
                hst.extend(price.to_le_bytes());
            }
            hst.extend((hour.cast_unsigned() + 5).to_le_bytes());
            hst.extend([0; 12]);
        }
        write(own.path(), "EURUSD60.hst", &hst);
        let (code, printed, complaint) = call(own.path(), &database, &["import", "EURUSD60.hst", "--tz", "UTC"]);
        assert_eq!((code, complaint.as_str()), (0, ""));
        assert!(
            printed.starts_with("EURUSD60.hst   MetaTrader 4 .hst, version 401, 5 digits: binary, 3 candles\n"),
            "{printed}"
        );
        assert_eq!(database.closed().await[2], "EURUSD H1 1754272800 1.15810 1.15815 1.15800 1.15801 7");
        hst.truncate(hst.len() - 1);
        write(own.path(), "cut.hst", &hst);
        let (code, _, complaint) = call(own.path(), &database, &["import", "cut.hst", "--tz", "UTC"]);
        assert!(code == 2 && complaint.contains("breaks off in the middle of a candle"), "{complaint}");
        for (name, said) in
            [("a.fxt", "tester ticks"), ("EURUSD.hcc", "whose form is not public"), ("a.dat", "is not a text")]
        {
            write(own.path(), name, [1, 0, 2, 0, 3]);
            let (code, _, complaint) = call(own.path(), &database, &["import", name, "--symbol", "A"]);
            assert!(code == 2 && complaint.contains(said), "{complaint}");
        }
        let dates = "Date,Open,High,Low,Close,Volume\n8/4/2025,1,1,1,1,1\n8/5/2025,1,1,1,1,1\n8/6/2025,1,1,1,1,1\n";
        write(own.path(), "dates.csv", dates);
        let arguments = ["import", "dates.csv", "--symbol", "A", "--tz", "UTC"];
        let (code, _, complaint) = call(own.path(), &database, &arguments);
        assert!(code == 2 && complaint.contains("choose with --dates dmy (day first) or --dates mdy"), "{complaint}");
        let (code, printed, _) = call(own.path(), &database, &[&arguments[..], &["--dates", "mdy"]].concat());
        assert!(code == 0 && printed.contains("M/D/Y at UTC (--tz): 8/4/2025 is 2025-08-04T00:00:00Z"), "{printed}");
        let fractions = "1754265660,1,1,1,1,0.37,3\n1754265720,1,1,1,1,1.5,4\n";
        write(own.path(), "XBTUSD_1.csv", fractions);
        let (code, _, complaint) = call(own.path(), &database, &["import", "XBTUSD_1.csv", "--symbol", "XBTUSD"]);
        assert_eq!(code, 2);
        assert_eq!(
            complaint,
            "error: XBTUSD_1.csv has volumes with fractions (line 1: the volume is 0.37, which has a fraction), and a candle \
             counts whole ticks\n  choose with --volume trades (column \"trades\"), --volume scaled:8 (times 10^8), \
             --volume rounded or --volume none; nothing was imported\n"
        );
        let rounded = ["import", "XBTUSD_1.csv", "--symbol", "XBTUSD", "--volume", "rounded"];
        let (code, printed, _) = call(own.path(), &database, &rounded);
        assert!(code == 0 && printed.ends_with("  rounding took or added 0.87 of volume in all\n"), "{printed}");
    });
}

/// Posted, exported, and imported into an empty database of the other kind, candles are the same to the digit.
#[apply(both_stores)]
async fn what_is_exported_can_be_imported(app: TestApp) {
    let other = match app.database {
        Database::Sqlite(_) => StoreKind::Postgres,
        Database::Postgres(_) => StoreKind::Sqlite,
    };
    let price = "(0|[1-9][0-9]{0,8})(\\.[0-9]{1,12})?";
    let prices = proptest::collection::vec((price, any::<bool>()), 4);
    let candles = proptest::collection::btree_map(0_i64..100_000, (prices, 0_i64..=i64::MAX), 1..60);
    let symbol = "[A-Za-z#&'\" ._]{0,6}[A-Z]";
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let mut cases = Vec::new();
    for _ in 0..6 {
        cases.push((symbol, &candles).new_tree(&mut runner).unwrap().current());
    }
    let own = folder();
    let target = empty(other, own.path()).await;
    for (number, (symbol, candles)) in cases.into_iter().enumerate() {
        let symbol = format!("{number}{symbol}");
        let mut body = String::new();
        for (minute, (prices, volume)) in &candles {
            let mut sorted: Vec<(i128, String)> = prices
                .iter()
                .map(|(text, negative)| {
                    let text = if *negative && text.contains(['1', '2', '3', '4', '5', '6', '7', '8', '9']) {
                        format!("-{text}")
                    } else {
                        text.clone()
                    };
                    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
                    let digits = format!("{whole}{fraction:0<12}");
                    (digits.parse().unwrap(), text)
                })
                .collect();
            sorted.sort();
            let [low, open, close, high] = &sorted[..] else { panic!() };
            let comma = if body.is_empty() { "" } else { "," };
            let _ = write!(
                body,
                "{comma}{{\"timestamp\":{},\"open\":{},\"high\":{},\"low\":{},\"close\":{},\"volume\":{volume}}}",
                1_600_000_020 + 60 * minute,
                open.1,
                high.1,
                low.1,
                close.1
            );
        }
        let body = format!("{{\"symbol\":{},\"timeframe\":\"M1\",\"candles\":[{body}]}}", json!(symbol));
        let answer = app.post_bytes(body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("symbol", &symbol).finish();
        let exported = app.get(&format!("/api/v1/export.csv?timeframe=M1&{query}")).await.body;
        write(own.path(), "a.csv", exported);
        let arguments = ["import", "a.csv", "--symbol", &symbol, "--timeframe", "M1"];
        let (code, printed, complaint) = tokio::task::block_in_place(|| call(own.path(), &target, &arguments));
        assert_eq!((code, complaint.as_str()), (0, ""), "{printed}");
    }
    assert_eq!(target.closed().await, app.database.closed().await);
}

/// The newest candle of a file is left out while its period runs.
#[test]
fn a_candle_that_is_not_over_is_left_out() {
    run(async {
        let own = folder();
        let database = empty(StoreKind::Sqlite, own.path()).await;
        let now = chrono::Utc::now().timestamp();
        let month = |back: i64| {
            let mut date = chrono::DateTime::from_timestamp(now, 0).unwrap().date_naive();
            for _ in 0..back {
                date = chrono::Datelike::with_day(&date, 1).unwrap() - chrono::TimeDelta::days(1);
            }
            chrono::Datelike::with_day(&date, 1).unwrap().format("%Y-%m-%d").to_string()
        };
        let lines: String = [3, 2, 1, 0].iter().map(|&back| month(back).clone() + ",1,1,1,1,5\n").collect();
        write(own.path(), "months.csv", format!("Date,Open,High,Low,Close,Volume\n{lines}"));
        let arguments = ["import", "months.csv", "--symbol", "A", "--tz", "UTC"];
        let (code, printed, complaint) = call(own.path(), &database, &arguments);
        assert_eq!((code, complaint.as_str()), (0, ""));
        assert_eq!(
            last(&printed),
            "4 candles: 3 added, 0 were stored already, 0 refused, 1 left out because its period is not over"
        );
    });
}
