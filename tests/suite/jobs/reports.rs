//! Reports on results, as PDF.

use std::process::Command;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::files::export;
use super::{begin, candles, over, post, small, start, start_with, with_key};
use crate::harness::{Service, StoreKind, both_store_kinds, program_of, run, send, with};

/// A job whose newest quarter is kept from the search.
fn forward() -> Value {
    with(small(), json!({"out_of_sample": {"forward": 0.25}, "name": "hours of five weeks"}))
}

async fn download(service: &Service, href: &str) -> Vec<u8> {
    let response = with_key(service.request(Method::GET, href)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/pdf");
    let bytes = response.bytes().await.unwrap().to_vec();
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() <= 2 * 1024 * 1024, "{} bytes", bytes.len());
    bytes
}

/// The text of a file, after other programs have found no fault in it. `None` where they are missing.
fn text_of(file: &[u8]) -> Option<String> {
    let (qpdf, pdftotext) = (program_of("TEST_QPDF")?, program_of("TEST_PDFTOTEXT")?);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, file).unwrap();
    let output = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    output(Command::new(qpdf).arg("--check").arg(&path));
    let text = output(Command::new(pdftotext).args(["-layout", "-enc", "UTF-8"]).arg(&path).arg("-"));
    let pages = text.matches('\u{c}').count();
    assert!((2..=12).contains(&pages), "{pages} pages");
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A figure as a report prints it.
fn shown(figure: &Value) -> String {
    format!("{:.2}", figure.as_f64().unwrap()).replace('-', "−")
}

#[apply(both_store_kinds)]
fn a_report_says_what_the_job_found_and_is_the_same_file_each_time(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let id = begin(&app, &forward()).await;
        let item = over(&app, &id).await["items"][0].clone();
        let made = export(&app, &id, json!({"format": "pdf"})).await;
        assert_eq!((&made["name"], &made["mime"]), (&json!("sma-cross-EURUSD-H1.pdf"), &json!("application/pdf")));
        let file = download(&app, made["href"].as_str().unwrap()).await;
        assert_eq!(made["bytes"], file.len());
        assert_eq!(export(&app, &id, json!({"format": "pdf"})).await, made);
        if let Some(text) = text_of(&file) {
            let winner = &item["winner"];
            let mut expected = vec![
                "EURUSD · H1 ·".to_owned(),
                "hours of five weeks".to_owned(),
                item["fingerprint"].as_str().unwrap().to_owned(),
                shown(&winner["in_sample"]["net_profit"]),
                shown(&winner["out_of_sample"]["net_profit"]),
                format!("slow = input.int({}", winner["parameters"]["slow"]),
                "Not investment advice".to_owned(),
            ];
            expected.extend(item["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()));
            for part in expected {
                assert!(text.contains(&part), "{part} is not in {text}");
            }
            assert!(!text.contains("corrected, added or deleted"), "{text}");
        }
        // Made again, it has the same bytes, also after newer candles have come.
        let newer = with(candles()[899].clone(), json!({"timestamp": crate::harness::NOW - 3600}));
        assert_eq!(app.ingest(&[newer]).await, (1, 0, 0));
        super::processes::execute(&app.database, "delete from research_files").await;
        assert_eq!(export(&app, &id, json!({"format": "pdf"})).await["sha256"], made["sha256"]);
        // Another one of the best is another report.
        let second = export(&app, &id, json!({"format": "pdf", "rank": 2})).await;
        assert_ne!((&second["href"], &second["sha256"]), (&made["href"], &made["sha256"]));
        let refused = post(&app, "/api/v1/exports", &json!({"job": id, "format": "pdf", "rank": 19})).await;
        assert!(refused.problem(404, "no_results").contains("18 ranked results"));
    });
}

#[apply(both_store_kinds)]
fn a_report_has_the_windows_of_walk_forward(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        // An objective that is defined on a few days, which a Sharpe ratio is not.
        let walk = json!({"objective": "net_profit", "out_of_sample": {"walk_forward": {"in": 300, "out": 200}}});
        let id = begin(&app, &with(small(), walk)).await;
        let walk = over(&app, &id).await["items"][0]["walk_forward"].clone();
        let made = export(&app, &id, json!({"format": "pdf"})).await;
        let file = download(&app, made["href"].as_str().unwrap()).await;
        let Some(text) = text_of(&file) else { return };
        assert!(text.contains("The period was cut into 3 windows."), "{text}");
        assert!(text.contains("Equity out of sample, all windows joined"), "{text}");
        assert!(text.contains("Results of 54 evaluated sets in all windows"), "{text}");
        for window in walk["windows"].as_array().unwrap() {
            let profit = window["net_profit_percent"].as_f64().unwrap();
            let profit = format!("{:.1} %", profit.abs());
            assert!(text.contains(&profit), "{profit} is not in {text}");
        }
    });
}

#[apply(both_store_kinds)]
fn a_report_says_that_candles_were_changed_since(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| {
            environment.with("RESEARCH_THREADS", 1).with("MAINTENANCE_KEY", "ops:maintenance-key-for-tests")
        })
        .await;
        let id = begin(&app, &forward()).await;
        over(&app, &id).await;
        let changed = with(candles()[500].clone(), json!({"volume": 7}));
        let body = json!({"reason": "volume", "candles": [changed]}).to_string();
        let request = app.request(Method::POST, "/api/v1/corrections").bearer_auth("maintenance-key-for-tests");
        assert_eq!(send(request.body(body)).await.status, 200);
        let made = export(&app, &id, json!({"format": "pdf"})).await;
        if let Some(text) = text_of(&download(&app, made["href"].as_str().unwrap()).await) {
            assert!(text.contains("Candles of EURUSD H1 were corrected, added or deleted after the search"), "{text}");
        }
        // Without the candles there is no report, but a script.
        super::processes::execute(&app.database, "delete from market_data_candles").await;
        // A post after them, so that they are read again.
        let newer = with(candles()[899].clone(), json!({"timestamp": crate::harness::NOW - 3600}));
        assert_eq!(app.ingest(&[newer]).await.0, 1);
        let refused = post(&app, "/api/v1/exports", &json!({"job": id, "format": "pdf", "rank": 2})).await;
        assert!(refused.problem(404, "no_results").contains("export pine or csv instead"), "{refused:?}");
        export(&app, &id, json!({"rank": 2})).await;
    });
}
