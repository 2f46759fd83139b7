//! Marks of what was corrected and deleted.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{HOUR, MINUTE, execute, get, of, read};
use crate::harness::{Answer, Database, NOW, StoreKind, TestApp, both_store_kinds, run, send};

const MAINTENANCE: &str = "maintenance-key-for-tests";

async fn start(kind: StoreKind) -> TestApp {
    TestApp::start_with(kind.database().await, |environment| environment.with("MAINTENANCE_KEY", MAINTENANCE)).await
}

async fn correct(app: &TestApp, reason: &str, candles: &[Value]) -> Answer {
    let request = app.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
    let answer = send(request.body(json!({"reason": reason, "candles": candles}).to_string())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Deletes candles in both steps.
async fn delete(app: &TestApp, timeframe: &str, from: i64, to: i64) {
    let path = format!("/api/v1/candles?symbol=EURUSD&timeframe={timeframe}&from={from}&to={to}");
    let asked = async |query: &str| {
        let answer = send(app.request(Method::DELETE, &format!("{path}&{query}")).bearer_auth(MAINTENANCE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let confirm = asked("dry_run=true").await["confirm"].as_str().unwrap().to_owned();
    asked(&format!("confirm={confirm}&reason=bad%20feed")).await;
}

async fn marks(app: &TestApp, resolution: &str, from: i64, to: i64) -> Value {
    read(app, &format!("marks?symbol=EURUSD&resolution={resolution}&from={from}&to={to}")).await
}

#[apply(both_store_kinds)]
fn corrections_and_deletions_are_marked(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let start = NOW - HOUR;
        let minute = |n: i64, fields: Value| of("EURUSD", "M1", start + n * MINUTE, fields);
        let none =
            json!({"id": [], "time": [], "color": [], "text": [], "label": [], "labelFontColor": [], "minSize": []});
        app.ingest(&(0..40).map(|n| minute(n, json!({}))).collect::<Vec<_>>()).await;
        assert_eq!(marks(&app, "1", 0, NOW).await, none);
        let changes = [
            minute(3, json!({"high": "1.10000"})),
            minute(4, json!({"close": "1.0862", "low": "1.08470", "volume": 7})),
        ];
        correct(&app, "bad tick", &changes).await;
        delete(&app, "M1", start + 10 * MINUTE, start + 12 * MINUTE).await;
        delete(&app, "M1", start + 20 * MINUTE, start + 20 * MINUTE).await;
        let at = |n: i64| start + n * MINUTE;
        let iso = |n: i64| candle::format_millis(at(n) * 1000).unwrap();
        let texts = [
            "corrected: high 1.08650 → 1.10000".to_owned(),
            "corrected: low 1.08480 → 1.08470, close 1.08620 → 1.0862, volume 1200 → 7".to_owned(),
            format!("deleted: 3 candles from {} to {}", iso(10), iso(12)),
            format!("deleted: the candle of {}", iso(20)),
        ];
        let ids: Vec<String> = [(1, 3), (1, 4), (2, 10), (3, 20)]
            .iter()
            .map(|(change, n)| format!("{change}-{}", at(*n) * 1000))
            .collect();
        assert_eq!(
            marks(&app, "1", 0, NOW).await,
            json!({
                "id": ids, "time": [at(3), at(4), at(10), at(20)], "color": ["yellow", "yellow", "red", "red"], "text": texts,
                "label": ["C", "C", "D", "D"], "labelFontColor": ["black", "black", "white", "white"], "minSize": [14, 14, 14, 14],
            })
        );
        // Both bounds are inclusive, and a deletion is where its first candle was, or where the range begins if that is later, because
        // a chart may have no older bars.
        assert_eq!(marks(&app, "1", at(4), at(10)).await["time"], json!([at(4), at(10)]));
        for (from, time) in [(at(11), at(11)), (at(11) + 1, at(12)), (at(12), at(12))] {
            let reached = marks(&app, "1", from, at(19)).await;
            assert_eq!((&reached["time"], &reached["id"]), (&json!([time]), &json!([ids[2]])), "{reached}");
            assert_eq!(reached["text"], json!([texts[2]]));
        }
        assert_eq!(marks(&app, "1", at(12) + 1, at(19)).await, none);
        // A chart of five minutes is built from these candles; of a symbol without any, there are no marks.
        assert_eq!(marks(&app, "5", 0, NOW).await["time"], json!([at(3), at(4), at(10), at(20)]));
        assert_eq!(read(&app, &format!("marks?symbol=X&resolution=1&from=0&to={NOW}")).await, none);

        let path = format!("timescale_marks?symbol=EURUSD&resolution=1&from={}&to={}", at(4), at(10));
        assert_eq!(
            read(&app, &path).await,
            json!([
                {"id": ids[1], "time": at(4), "color": "yellow", "label": "C", "tooltip": [texts[1], "reason: bad tick"]},
                {"id": ids[2], "time": at(10), "color": "red", "label": "D", "tooltip": [texts[2], "reason: bad feed"]},
            ])
        );
        // The chart itself shows the corrected bar and not the deleted ones.
        let bars = read(&app, &format!("history?symbol=EURUSD&resolution=1&from={}&to={}", at(3), at(13))).await;
        assert_eq!(bars["h"][0], 1.1);
        assert_eq!(super::times(&bars), [3, 4, 5, 6, 7, 8, 9, 13].map(at));
    });
}

#[apply(both_store_kinds)]
fn marks_of_days_are_at_their_trading_dates(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        // A broker at +3: Monday opens on Sunday at 21:00 UTC.
        let monday = NOW - 60 * HOUR;
        let day = |fields: Value| of("EURUSD", "D1", monday - 3 * HOUR, fields);
        app.ingest(&[day(json!({})), of("EURUSD", "M1", NOW - HOUR, json!({}))]).await;
        correct(&app, "gap", &[day(json!({"open": "1.0851"}))]).await;
        for resolution in ["1D", "D", "1W", "1M"] {
            let marks = marks(&app, resolution, monday, monday).await;
            assert_eq!(marks["time"], json!([monday]), "{resolution}");
            assert_eq!(marks["text"], json!(["corrected: open 1.08500 → 1.0851"]));
        }
        assert_eq!(marks(&app, "1", 0, NOW).await["id"], json!([]), "it is not a minute that was corrected");
        assert_eq!(marks(&app, "1D", monday - 3 * HOUR, monday - 1).await["id"], json!([]));
    });
}

#[apply(both_store_kinds)]
fn a_deletion_of_days_that_began_before_the_range_is_marked_on_its_first_date(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        // A broker at +3: each day opens at 21:00 UTC of the day before.
        let date = |n: i64| NOW - 12 * HOUR - 24 * HOUR * (10 - n);
        let day = |n: i64| of("EURUSD", "D1", date(n) - 3 * HOUR, json!({}));
        app.ingest(&(0..10).map(day).collect::<Vec<_>>()).await;
        delete(&app, "D1", date(2) - 3 * HOUR, date(5) - 3 * HOUR).await;
        for (from, to, time) in [
            (date(0), date(9), date(2)),
            (date(2), date(2), date(2)),
            (date(3), date(9), date(3)),
            (date(2) + 1, date(9), date(3)),
            (date(5), date(9), date(5)),
        ] {
            assert_eq!(marks(&app, "1D", from, to).await["time"], json!([time]), "{from} {to}");
        }
        for (from, to) in [(date(6), date(9)), (date(5) + 1, date(9)), (date(0), date(1)), (date(3) + 1, date(3) + 2)] {
            assert_eq!(marks(&app, "1D", from, to).await["time"], json!([]), "{from} {to}");
        }
    });
}

#[apply(both_store_kinds)]
fn many_changes_are_answered_from_the_last_one_back(#[case] kind: StoreKind) {
    run(async move {
        const COLUMNS: &str = "actor, kind, symbol, timeframe, first, last, candles, reason, detail";
        let app = start(kind).await;
        let start = NOW - 600 * MINUTE;
        app.ingest(&[of("EURUSD", "M1", start, json!({}))]).await;
        let insert = match &app.database {
            Database::Sqlite(_) => format!(
                "with recursive n(n) as (select 0 union all select n + 1 from n where n < 520)
                 insert into market_data_changes ({COLUMNS})
                 select 'ops', 'correction', 'EURUSD', 'M1', ({start} + n * 60) * 1000, ({start} + n * 60) * 1000 + 60000, 50,
                        'feed', '{{}}' from n"
            ),
            Database::Postgres(_) => format!(
                "insert into market_data_changes ({COLUMNS})
                 select 'ops', 'correction', 'EURUSD', 'M1', to_timestamp({start} + n * 60), to_timestamp({start} + n * 60 + 60),
                        50, 'feed', '{{}}' from generate_series(0, 520) as n"
            ),
        };
        execute(&app.database, &insert).await;
        let mut path = format!("/api/v1/udf/marks?symbol=EURUSD&resolution=1&from={start}&to={NOW}");
        let mut seen: Vec<i64> = Vec::new();
        let mut answers = 0;
        loop {
            let answer = app.get(&path).await;
            let marks = answer.json();
            assert!(marks["text"][0].as_str().unwrap().starts_with("corrected: 50 candles from "), "{marks}");
            seen.extend(marks["time"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap()));
            answers += 1;
            let link = answer.header("link").map(str::to_owned);
            assert_eq!(answer.header("x-more-before"), Some(if link.is_some() { "true" } else { "false" }));
            let Some(link) = link else { break };
            path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((answers, seen.len()), (2, 521));
        assert_eq!(
            get(&app, &format!("marks?symbol=EURUSD&resolution=1&from={start}&to={start}")).await.json()["time"],
            json!([start])
        );
    });
}
