//! The command `delete`.

use rstest_reuse::apply;
use serde_json::json;

use crate::harness::{NOW, StoreKind, TestApp, both_store_kinds, candle, run, with};
use crate::program::{folder, output, program};

/// Runs the command on the M1 candles of EURUSD, and returns its exit code and its whole output.
fn delete(folder: &std::path::Path, url: &str, arguments: &[&str]) -> (i32, String) {
    let series = ["delete", "--symbol", "EURUSD", "--timeframe", "M1"];
    let variables = [("DATABASE_URL", url), ("USER", "mary")];
    let (code, printed, errors) = output(program(folder, &variables).args(series).args(arguments));
    (code, printed + &errors)
}

#[apply(both_store_kinds)]
fn a_deletion_is_shown_confirmed_backed_up_and_recorded(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        let start = NOW - 200 * 86_400;
        app.database.fill_minutes(start, 117_000).await;
        let (url, folder) = (app.database.url(), folder());
        let (first, last) = (start.to_string(), (start + 109_999 * 60).to_string());
        let span = ["--from", &first, "--to", &last];
        let run = |more: &[&str]| delete(folder.path(), &url, &[&span[..], more].concat());

        let (code, shown) = run(&[]);
        assert_eq!(code, 0, "{shown}");
        assert!(shown.starts_with("would delete 110,000 closed and 0 forming candles of EURUSD M1 in "), "{shown}");
        assert!(!shown.contains('@'), "no login is shown: {shown}");
        let digest = shown.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();

        let (code, refused) = run(&["--confirm", digest, "--reason", "bad feed"]);
        assert_eq!(code, 2);
        assert!(refused.contains("--backup FILE.csv, or --no-backup"), "{refused}");
        let backup = folder.path().join("backup.csv");
        let confirmed = ["--confirm", digest, "--reason", "bad feed", "--backup", backup.to_str().unwrap()];
        let other = ["--confirm", "0123456789ab", "--reason", "bad feed", "--no-backup"];
        let (code, refused) = run(&other);
        assert_eq!(code, 1);
        assert!(refused.contains(&format!("and confirm {digest}")), "{refused}");
        assert_eq!(app.database.closed().await.len(), 117_000, "nothing was deleted");

        let (code, done) = run(&confirmed);
        assert_eq!(code, 0, "{done}");
        assert!(done.starts_with("deleted 110,000 closed and 0 forming candles of EURUSD M1"), "{done}");
        assert_eq!(app.database.closed().await.len(), 7_000);
        let text = std::fs::read_to_string(&backup).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("timestamp,open,high,low,close,volume,complete"));
        assert_eq!(lines.clone().count(), 110_000);
        assert!(lines.all(|line| line.ends_with(",1.08500,1.08650,1.08480,1.08620,1200,true")));
        let record = app.get("/api/v1/changes").await.json();
        let record = record.as_array().unwrap();
        assert_eq!(
            record.iter().map(|row| row["candles"].as_i64().unwrap()).collect::<Vec<_>>(),
            [50_000, 50_000, 10_000]
        );
        assert!(record.iter().all(|row| row["actor"] == "mary" && row["reason"] == "bad feed"));

        // A second backup does not replace the first one, and there is nothing left to delete.
        let (code, again) = run(&[]);
        assert_eq!((code, again.contains("there are no candles of EURUSD M1")), (0, true), "{again}");
        let rest = ["--from", &last, "--to", &NOW.to_string(), "--reason", "x", "--confirm"].map(str::to_owned);
        let rest: Vec<_> = rest.iter().map(|text| &**text).collect();
        let shown = delete(folder.path(), &url, &rest[..4]).1;
        let digest = shown.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();
        let arguments = [&rest[..], &[digest, "--backup", backup.to_str().unwrap()]].concat();
        let (code, refused) = delete(folder.path(), &url, &arguments);
        assert_eq!(code, 1, "{refused}");
        assert!(refused.contains("Cannot write") && refused.contains("backup.csv"), "{refused}");
        assert_eq!(app.database.closed().await.len(), 7_000);
    });
}

#[apply(both_store_kinds)]
fn forming_candles_go_too(#[case] kind: StoreKind) {
    run(async move {
        let app = TestApp::start(kind.database().await).await;
        let fields = |complete: bool| json!({"timeframe": "M1", "complete": complete});
        app.ingest(&[with(candle(NOW - 60), fields(true)), with(candle(NOW), fields(false))]).await;
        let (url, folder) = (app.database.url(), folder());
        let span = ["--from", "2026-03-01", "--to", "2026-03-05"];
        let shown = delete(folder.path(), &url, &span).1;
        assert!(shown.starts_with("would delete 1 closed and 1 forming candles"), "{shown}");
        let digest = shown.split("--confirm ").nth(1).unwrap().split(' ').next().unwrap();
        let (code, done) = delete(
            folder.path(),
            &url,
            &[
                &span[..],
                &["--confirm", digest, "--reason", "x", "--backup", folder.path().join("b.csv").to_str().unwrap()],
            ]
            .concat(),
        );
        assert_eq!(code, 0, "{done}");
        let text = std::fs::read_to_string(folder.path().join("b.csv")).unwrap();
        assert!(text.contains(",true\n") && text.contains(",false\n"), "{text}");
        assert!(app.database.closed().await.is_empty() && app.database.forming().await.is_empty());
        let (code, refused) = delete(folder.path(), &url, &["--from", "2026-03-05", "--to", "2026-03-01"]);
        assert_eq!(code, 2);
        assert!(refused.contains("--to is before --from"), "{refused}");
    });
}
