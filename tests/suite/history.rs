//! The commands that write series into files and report their gaps, on a database and over a service.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{Database, NOW, TOKEN, TestApp, both_stores, candle, run, with};
use crate::program::{Serving, folder, output, program};

const HOUR: i64 = 3600;

/// Runs a command on the app's database, or over its service with the token of the tests.
fn commanded(app: &TestApp, place: &Path, over_service: bool, arguments: &[&str]) -> (i32, String, String) {
    let url = app.database.url();
    let mut command = program(place, &[("DATABASE_URL", &url)]);
    command.args(arguments);
    if over_service {
        std::fs::write(place.join("token"), format!("{TOKEN}\n")).unwrap();
        command.args(["--url", &app.url(), "--key-file", "token"]);
    }
    // On a thread that may block, because the service runs on this test's threads.
    tokio::task::block_in_place(|| output(&mut command))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[apply(both_stores)]
async fn exports_are_those_of_the_service(app: TestApp) {
    app.ingest(&[
        candle(NOW - 3 * HOUR),
        candle(NOW - 2 * HOUR),
        with(candle(NOW - HOUR), json!({"complete": false})),
        with(candle(NOW - 3 * HOUR), json!({"symbol": "EUR/USD", "timeframe": "M5"})),
        with(candle(NOW - 3 * HOUR), json!({"symbol": "EUR_USD", "timeframe": "M5"})),
    ])
    .await;
    let of_service = async |format: &str, query: &str| {
        app.get(&format!("/api/v1/export.{format}?symbol=EURUSD&timeframe=H1{query}")).await.body
    };
    let series = ["export", "--symbol", "EURUSD", "--timeframe", "h1"];
    for over_service in [false, true] {
        let own = folder();
        let call = |arguments: &[&str]| commanded(&app, own.path(), over_service, &[&series[..], arguments].concat());
        assert_eq!(call(&[]), (0, of_service("csv", "").await, String::new()));
        let forming = call(&["--forming", "--time", "ms", "--from", "2026-03-04T10:00:00Z", "-o", "-"]);
        let query = "&forming=true&time=ms&from=2026-03-04T10:00:00Z";
        assert_eq!(forming, (0, of_service("csv", query).await, String::new()));
        assert_eq!(call(&["--format", "ndjson"]).1, of_service("ndjson", "").await);
        for name in ["a.csv", "a.ndjson", "a.jsonl", "a.parquet"] {
            assert_eq!(call(&["-o", name]), (0, String::new(), String::new()), "{name}");
        }
        let read = |name: &str| std::fs::read(own.path().join(name)).unwrap();
        assert_eq!(read("a.csv"), of_service("csv", "").await.into_bytes());
        assert_eq!(read("a.ndjson"), read("a.jsonl"));
        assert!(read("a.parquet").starts_with(b"PAR1") && read("a.parquet").ends_with(b"PAR1"));

        let (code, _, said) =
            commanded(&app, own.path(), over_service, &["export", "--all", "-o", "all", "--format", "csv"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.ends_with("3 files in all\n"), "{said}");
        assert_eq!(names(&own.path().join("all")), ["EURUSD_H1.csv", "EUR_USD_M5-2.csv", "EUR_USD_M5.csv"]);
        assert_eq!(read("all/EURUSD_H1.csv"), read("a.csv"));
        let (code, _, said) =
            commanded(&app, own.path(), over_service, &["export", "--all", "-o", "some", "--timeframe", "H1"]);
        assert_eq!((code, names(&own.path().join("some"))), (0, vec!["EURUSD_H1.csv".to_owned()]), "{said}");
    }
}

#[apply(both_stores)]
async fn built_candles_are_exported_as_the_service_builds_them(app: TestApp) {
    let of = |hours: i64, symbol: &str, timeframe: &str| {
        with(candle(NOW - hours * HOUR), json!({"symbol": symbol, "timeframe": timeframe, "complete": true}))
    };
    app.ingest(&[of(60, "EURUSD", "H1"), of(40, "EURUSD", "H1"), of(2, "EURUSD", "H1")]).await;
    app.ingest(&[of(60, "EURUSD", "M5"), of(60, "USDJPY", "H1"), of(2, "USDJPY", "H1"), of(48, "OLD", "D1")]).await;
    let build = ["--timeframe", "D1", "--source", "H1", "--align", "-05:00", "--week", "sunday"];
    for over_service in [false, true] {
        let own = folder();
        let call = |arguments: &[&str]| {
            commanded(&app, own.path(), over_service, &[&["export"], &build[..], arguments].concat())
        };
        let file = |symbol: &str| {
            format!("/api/v1/export.csv?symbol={symbol}&timeframe=D1&source=H1&align=-05:00&week=sunday")
        };
        let of_service = app.get(&file("EURUSD")).await.body;
        assert_eq!(of_service.lines().count(), 3, "{of_service}");
        assert_eq!(call(&["--symbol", "EURUSD"]), (0, of_service.clone(), String::new()));
        // Those that are stored in the source, under the timeframe that is built.
        let (code, _, said) = call(&["--all", "-o", "all"]);
        assert_eq!(
            (code, names(&own.path().join("all"))),
            (0, vec!["EURUSD_D1.csv".into(), "USDJPY_D1.csv".into()]),
            "{said}"
        );
        assert_eq!(std::fs::read_to_string(own.path().join("all/EURUSD_D1.csv")).unwrap(), of_service);
    }
}

#[apply(both_stores)]
async fn mistakes_are_exit_code_2_and_leave_no_file(app: TestApp) {
    let own = folder();
    let key = ["--url", &app.url(), "--key-file", "wrong"];
    std::fs::write(own.path().join("wrong"), "not-a-token").unwrap();
    std::fs::write(own.path().join("empty"), " \n").unwrap();
    let file = ["export", "--symbol", "A", "--timeframe", "M1", "-o", "x.csv"];
    for (arguments, said) in [
        (&["export", "--timeframe", "M1"][..], "--symbol is missing"),
        (&["export", "--symbol", "A", "--timeframe", "1M"], "--timeframe can mean a minute or a month"),
        (&[&file[..], &["--from", "2025-01-02", "--to", "2025-01-01"]].concat(), "--to is before from"),
        (&[&file[..], &["--prices", "text"]].concat(), "--prices is not a parameter"),
        (&["export", "--symbol", "A", "--timeframe", "M1", "-o", "x.txt"], "--format must be csv, ndjson or parquet"),
        (&["export", "--all"], "--output"),
        (&["export", "--all", "-o", "all", "--source", "M1"], "--source needs --timeframe"),
        (
            &["export", "--symbol", "A", "--timeframe", "M1", "--source", "H1"],
            "--source cannot be given with timeframe M1",
        ),
        (&["export", "--symbol", "A", "--timeframe", "H1", "--week", "monday"], "--source is missing beside week"),
        (&["export", "--all", "-o", "all", "--timeframe", "2d"], "--timeframe is not a known timeframe"),
        (&[&file[..], &["--url", &app.url()]].concat(), "--key-file"),
        (&[&file[..], &["--url", "candles.example.com", "--key-file", "wrong"]].concat(), "--url must be an address"),
        (&[&file[..], &["--url", &app.url(), "--key-file", "none"]].concat(), "annot read the key file none"),
        (&[&file[..], &["--url", &app.url(), "--key-file", "empty"]].concat(), "does not hold a key"),
        (&[&file[..], &key, &["--database-url", "sqlite://x.db"]].concat(), "cannot be combined"),
        (&[&file[..], &key].concat(), "answers 401: Invalid or missing API Key"),
        (
            &["gaps", "--symbol", "A", "--timeframe", "MN1", "--from", "2025-01-01", "--to", "2025-02-01"],
            "--timeframe cannot be MN1",
        ),
        (&["gaps", "--symbol", "A", "--timeframe", "M1"], "--from"),
    ] {
        let (code, printed, complaint) = commanded(&app, own.path(), false, arguments);
        assert_eq!((code, printed.as_str()), (2, ""), "{arguments:?}: {complaint}");
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("not-a-token"), "{complaint}");
    }
    assert_eq!(names(own.path()), ["empty", "wrong"]);
    let nobody = ["--url", "http://127.0.0.1:1", "--key-file", "wrong"];
    let (code, _, complaint) = commanded(&app, own.path(), false, &[&file[..], &nobody].concat());
    assert!(code == 1 && complaint.contains("http://127.0.0.1:1 does not answer"), "{complaint}");
}

#[apply(both_stores)]
async fn a_report_is_a_table_or_the_answer_of_the_service(app: TestApp) {
    // A Monday to Wednesday in March 2026, without two hours.
    let monday = 1_772_409_600;
    let hours = (0..48).filter(|hour| !(30..32).contains(hour)).map(|hour| candle(monday + hour * HOUR));
    app.ingest(&hours.collect::<Vec<_>>()).await;
    let range = ["--from", "2026-03-02", "--to", "2026-03-03T23:00:00Z", "--session", "24x7", "--tz", "utc"];
    let series = ["gaps", "--symbol", "EURUSD", "--timeframe", "H1"];
    let table = "series    EURUSD H1, 2026-03-02T00:00:00Z to 2026-03-03T23:00:00Z\n\
                 expected  48 (24x7, utc, 168 a week)\n\
                 stored    46 (95.833 %)\n\
                 \n\
                 first                 last                    missing  kind\n\
                 2026-03-03T06:00:00Z  2026-03-03T07:00:00Z          2  hole\n";
    let path = "/api/v1/gaps?symbol=EURUSD&timeframe=H1&from=2026-03-02&to=2026-03-03T23:00:00Z&session=24x7&tz=utc";
    let answer = app.get(path).await.json();
    for over_service in [false, true] {
        let own = folder();
        let arguments = [&series[..], &range].concat();
        assert_eq!(commanded(&app, own.path(), over_service, &arguments), (0, table.to_owned(), String::new()));
        let (code, printed, _) = commanded(&app, own.path(), over_service, &[&arguments[..], &["--json"]].concat());
        assert_eq!((code, serde_json::from_str::<Value>(&printed).unwrap()), (0, answer.clone()));
        let learned = [&series[..], &["--from", "2026-03-02", "--to", "2026-03-03"]].concat();
        let (code, _, complaint) = commanded(&app, own.path(), over_service, &learned);
        assert!(code != 0 && complaint.contains(" 1 of the 26 weeks"), "{complaint}");
    }
}

/// A service that is killed while it sends a file leaves no file behind.
#[test]
fn a_download_that_breaks_off_leaves_no_file() {
    run(async {
        let (own, database) = (folder(), Database::sqlite());
        let mut serving = Serving::on(own.path(), &database.url());
        let numbers =
            "(with recursive n(n) as (select 0 union all select n + 1 from n where n < 399999) select n from n)";
        let insert = format!(
            "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
             select 'EURUSD', 'M1', 1500000000000 + 60000 * n, '1.1', '1.1', '1.1', '1.1', n from {numbers}"
        );
        SqliteConnection::connect(&database.url()).await.unwrap().execute(&*insert).await.unwrap();
        std::fs::write(own.path().join("token"), TOKEN).unwrap();
        // The reader of a pipe that reads nothing holds the download up.
        let status = Command::new("mkfifo").arg(own.path().join("x.csv.part")).status().unwrap();
        assert!(status.success());
        let mut command = program(own.path(), &[]);
        command.args(["export", "--symbol", "EURUSD", "--timeframe", "M1", "-o", "x.csv"]);
        command.args(["--url", &serving.url, "--key-file", "token"]).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let mut pipe = std::fs::File::open(own.path().join("x.csv.part")).unwrap();
        pipe.read_exact(&mut [0; 1]).unwrap();
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        let reading = std::thread::spawn(move || std::io::copy(&mut { pipe }, &mut std::io::sink()));
        let ended = child.wait_with_output().unwrap();
        assert!(reading.join().unwrap().unwrap() > 0);
        let complaint = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains("The export broke off, so nothing was written"), "{complaint}");
        assert!(!names(own.path()).iter().any(|name| name.starts_with("x.csv")), "{:?}", names(own.path()));
    });
}
