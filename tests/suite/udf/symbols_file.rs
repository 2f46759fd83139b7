//! The file that describes symbols to charts.

use std::fs;

use candlewick::config::{Config, Variables};
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{HOUR, of, read, times};
use crate::harness::{NOW, StoreKind, TestApp, both_store_kinds, run};
use crate::program::{folder, output, program};

const FILE: &str = r#"{
  "EURUSD": {"description": "Euro / US Dollar", "type": "forex", "exchange": "ICM", "session": "1700-1700", "timezone": "America/New_York"},
  "AAPL": {"type": "stock", "exchange": "NASDAQ", "session": "0930-1600", "timezone": "America/New_York"},
  "UNEVEN": {"session": "0930-1600|1000-1300:6"},
  "ABSENT": {"exchange": "NOWHERE"}
}"#;

#[apply(both_store_kinds)]
fn a_symbol_is_described_as_the_file_says(#[case] kind: StoreKind) {
    run(async move {
        let folder = folder();
        let path = folder.path().join("symbols.json");
        fs::write(&path, FILE).unwrap();
        let app =
            TestApp::start_with(kind.database().await, |environment| environment.with("SYMBOLS_FILE", path.display()))
                .await;
        let symbols = ["AAPL", "EURUSD", "GBPUSD", "UNEVEN"];
        app.ingest(&symbols.map(|symbol| of(symbol, "H1", NOW - 2 * HOUR, json!({})))).await;
        let config = read(&app, "config").await;
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|entry| entry["value"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&config["exchanges"]), ["", "ICM", "NASDAQ", "NOWHERE"]);
        assert_eq!(names(&config["symbols_types"]), ["", "cfd", "forex", "stock"]);
        let info = read(&app, "symbols?symbol=EURUSD").await;
        for (field, value) in [
            ("name", "EURUSD"),
            ("description", "Euro / US Dollar"),
            ("type", "forex"),
            ("exchange", "ICM"),
            ("listed_exchange", "ICM"),
            ("session", "1700-1700"),
            ("timezone", "America/New_York"),
        ] {
            assert_eq!(info[field], value);
        }
        assert_eq!(read(&app, "symbols?symbol=GBPUSD").await["type"], "cfd");
        assert_eq!(read(&app, "symbols?symbol=ABSENT").await["errmsg"], "unknown_symbol");
        let found = async |query: &str| -> Vec<String> {
            let list = read(&app, &format!("search?{query}")).await;
            list.as_array().unwrap().iter().map(|found| found["symbol"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(found("query=&type=forex").await, ["EURUSD"]);
        assert_eq!(found("query=&exchange=NASDAQ").await, ["AAPL"]);
        assert_eq!(found("query=&type=cfd").await, ["GBPUSD", "UNEVEN"]);
    });
}

#[apply(both_store_kinds)]
fn bars_are_built_from_the_beginning_of_the_session(#[case] kind: StoreKind) {
    run(async move {
        let folder = folder();
        let path = folder.path().join("symbols.json");
        fs::write(&path, FILE).unwrap();
        let app =
            TestApp::start_with(kind.database().await, |environment| environment.with("SYMBOLS_FILE", path.display()))
                .await;
        // Tuesday 00:00 to Wednesday 00:00 UTC.
        let start = NOW - 36 * HOUR;
        for symbol in ["EURUSD", "AAPL", "GBPUSD", "UNEVEN"] {
            let candles: Vec<_> =
                (0..48).map(|n| of(symbol, "M30", start + n * HOUR / 2, json!({"volume": 1}))).collect();
            app.ingest(&candles).await;
        }
        let hours = async |symbol: &str| -> Vec<i64> {
            let path = format!("history?symbol={symbol}&resolution=240&from={}&to={}", start + HOUR, start + 24 * HOUR);
            times(&read(&app, &path).await).iter().map(|time| (time - start) / (HOUR / 2)).collect()
        };
        // In half hours from midnight UTC: 17:00 and 9:30 in New York are 22:00 and 14:30 UTC in winter.
        assert_eq!(hours("EURUSD").await, [4, 12, 20, 28, 36, 44]);
        assert_eq!(hours("AAPL").await, [5, 13, 21, 29, 37, 45]);
        assert_eq!(hours("GBPUSD").await, [8, 16, 24, 32, 40]);
        let sentence = super::fault(&app, "history?symbol=UNEVEN&resolution=240&from=0&to=9").await;
        assert!(
            sentence.starts_with("H4 candles of UNEVEN are not stored, and cannot be built, because"),
            "{sentence}"
        );
        // A stored resolution needs no session.
        assert_eq!(
            read(&app, &format!("history?symbol=UNEVEN&resolution=30&from={start}&to={start}")).await["s"],
            "ok"
        );
    });
}

/// The problems of a configuration with this file.
fn problems(text: &str) -> String {
    let folder = folder();
    let path = folder.path().join("symbols.json");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let lookup = |name: &str| Ok((name == "SYMBOLS_FILE").then(|| path.clone()));
    Config::read(&Variables::from_lookup(lookup)).unwrap_err().to_string().replace(&path, "symbols.json")
}

#[test]
fn a_file_with_problems_is_refused_with_their_places() {
    let found = problems(r#"{"EURUSD": {"hours": "1700-1700", "timezone": "America/NewYork"}, "A ": {}}"#);
    for expected in [
        "SYMBOLS_FILE: symbols.json: EURUSD.hours is not a field of a symbol, which are description, type, exchange, session, \
         timezone",
        "SYMBOLS_FILE: symbols.json: EURUSD.timezone names America/NewYork, which is not a zone of the IANA database; did you mean \
         America/New_York?",
        "SYMBOLS_FILE: symbols.json: the symbol \"A \" starts or ends with a blank; remove it",
    ] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
    assert!(problems("{\n \"EURUSD\": }").contains("at line 2 column 12"));
    let many: Vec<String> = (0..30).map(|n| format!("\"S{n}\": {{\"x\": \"\"}}")).collect();
    assert!(problems(&format!("{{{}}}", many.join(","))).contains("symbols.json: 10 more problems are not listed"));
}

#[test]
fn check_names_a_file_that_cannot_be_used() {
    let folder = folder();
    let (code, report, errors) =
        output(program(folder.path(), &[("SYMBOLS_FILE", "absent.json")]).args(["check", "--port", "0"]));
    assert_eq!((code, errors.as_str()), (2, ""), "{report}");
    assert!(report.contains("SYMBOLS_FILE names a file that cannot be read:"), "{report}");
    fs::write(folder.path().join("symbols.json"), FILE).unwrap();
    let (code, report, _) =
        output(program(folder.path(), &[("SYMBOLS_FILE", "symbols.json")]).args(["check", "--port", "0"]));
    assert_eq!(code, 0, "{report}");
    fs::write(folder.path().join("symbols.json"), "[]").unwrap();
    let (code, _, errors) =
        output(program(folder.path(), &[("SYMBOLS_FILE", "symbols.json")]).args(["serve", "--port", "0"]));
    assert_eq!(code, 2, "{errors}");
    assert!(
        errors.contains("SYMBOLS_FILE: symbols.json: is not a JSON object with an object for each symbol"),
        "{errors}"
    );
}
