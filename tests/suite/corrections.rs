//! Corrections, deletions and the record of them.

use std::time::Duration;

use candle::{Symbol, Timeframe};
use candlewick::store::{RecordPlace, SeriesKey};
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Executor as _, PgConnection};

use crate::harness::{
    Answer, Database, Environment, KEY, NOW, PgDatabase, Service, StoreKind, TOKEN, TableLock, TestApp,
    both_store_kinds, candle, eventually, plain_server, run, send, with,
};
use crate::jobs::processes::execute;
use crate::program::{Serving, folder};

const HOUR: i64 = 3600;
const MAINTENANCE: &str = "maintenance-key-for-tests";

/// A closed candle that opened this many hours ago.
fn closed(hours: i64, fields: Value) -> Value {
    with(with(candle(NOW - hours * HOUR), json!({"complete": true})), fields)
}

async fn start(kind: StoreKind) -> TestApp {
    TestApp::start_with(kind.database().await, |environment| {
        environment.with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"))
    })
    .await
}

async fn correct(service: &Service, body: &Value) -> Answer {
    let request = service.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
    send(request.body(body.to_string())).await
}

async fn delete(service: &Service, query: &str) -> Answer {
    let path = format!("/api/v1/candles?symbol=EURUSD&timeframe=H1&{query}");
    send(service.request(Method::DELETE, &path).bearer_auth(MAINTENANCE)).await
}

async fn changes(service: &Service, query: &str) -> Value {
    let answer = service.get(&format!("/api/v1/changes?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The number of rows in the record, from the database.
async fn recorded(database: &Database) -> usize {
    database.rows("select kind from market_data_changes").await.len()
}

#[apply(both_store_kinds)]
fn the_record_is_followed_in_parts_without_a_gap(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        // Several entries a millisecond, of which the thousandth, where a part ends, is in the second half of one.
        let insert = match kind {
            StoreKind::Sqlite => {
                "with recursive n(n) as (select 1 union all select n + 1 from n where n < 2500)
                 insert into market_data_changes (at, actor, kind, symbol, timeframe, first, last, candles, reason, detail)
                 select 1772625600000 + (6 + n) / 10, 'ops', 'correction', 'EURUSD', 'H1', n, n, 1, 'wrong', '{}' from n"
            }
            StoreKind::Postgres => {
                "insert into market_data_changes (at, actor, kind, symbol, timeframe, first, last, candles, reason, detail)
                 select timestamptz '2026-03-04 12:00Z' + (6 + n) * interval '0.1 milliseconds', 'ops', 'correction', 'EURUSD',
                        'H1', to_timestamp(n / 1000.0), to_timestamp(n / 1000.0), 1, 'wrong', '{}'
                 from generate_series(1, 2500) n"
            }
        };
        execute(&app.database, insert).await;
        let store = app.database.store().await;
        let keys = [SeriesKey { symbol: Symbol::parse("EURUSD").unwrap(), timeframe: Timeframe::H1 }];
        let (mut place, mut seen) = (RecordPlace { at: NOW * 1000 - 1, id: i64::MAX }, Vec::new());
        loop {
            let part = store.changes_since(place, &keys).await.unwrap();
            seen.extend(part.changes.iter().map(|change| change.first));
            match part.next {
                Some(next) => place = next,
                None => break,
            }
        }
        assert_eq!(seen, (1..=2500).collect::<Vec<_>>());
        store.close().await;
    });
}

/// The parameters that select the hours from `first` to `last` hours ago.
fn span(first: i64, last: i64) -> String {
    format!("from={}&to={}", NOW - first * HOUR, NOW - last * HOUR)
}

#[apply(both_store_kinds)]
fn a_correction_replaces_values_and_is_recorded(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        app.ingest(&[closed(3, json!({})), closed(2, json!({})), closed(1, json!({}))]).await;
        let body = json!({"reason": "bad tick", "candles": [
            closed(2, json!({"high": "1.0870", "expect": {"high": 1.0865, "volume": "1200"}})),
            closed(1, json!({})),
            closed(3, json!({"close": "1.086200"})),
        ]});
        let answer = correct(&app, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.json(),
            json!({"status": "success", "message": "Corrections stored.", "records_received": 3, "records_corrected": 2,
                   "records_unchanged": 1, "change": "1"})
        );
        assert_eq!(
            app.database.closed().await,
            [
                format!("EURUSD H1 {} 1.08500 1.08650 1.08480 1.086200 1200", NOW - 3 * HOUR),
                format!("EURUSD H1 {} 1.08500 1.0870 1.08480 1.08620 1200", NOW - 2 * HOUR),
                format!("EURUSD H1 {} 1.08500 1.08650 1.08480 1.08620 1200", NOW - HOUR),
            ]
        );
        let text = app.get("/api/v1/changes").await.body;
        let (first, last) = ((NOW - 3 * HOUR) * 1000, (NOW - 2 * HOUR) * 1000);
        let before = format!(
            "[{{\"timestamp\":{first},\"open\":1.08500,\"high\":1.08650,\"low\":1.08480,\"close\":1.08620,\"volume\":1200}},\
             {{\"timestamp\":{last},\"open\":1.08500,\"high\":1.08650,\"low\":1.08480,\"close\":1.08620,\"volume\":1200}}]"
        );
        let after = format!(
            "[{{\"timestamp\":{first},\"open\":1.08500,\"high\":1.08650,\"low\":1.08480,\"close\":1.086200,\"volume\":1200}},\
             {{\"timestamp\":{last},\"open\":1.08500,\"high\":1.0870,\"low\":1.08480,\"close\":1.08620,\"volume\":1200}}]"
        );
        let ends = format!(
            "\"actor\":\"ops\",\"kind\":\"correction\",\"symbol\":\"EURUSD\",\"timeframe\":\"H1\",\"from\":{first},\
             \"to\":{last},\"candles\":2,\"reason\":\"bad tick\",\"before\":{before},\"after\":{after}}}]"
        );
        assert!(text.ends_with(&ends), "digits are kept: {text}");
        // A page of this process shows it at once.
        assert!(app.candles("").await.body.contains("\"high\":1.0870"));
        // The old bar posted again changes nothing.
        assert_eq!(app.ingest(&[closed(2, json!({}))]).await, (0, 1, 0));
        assert!(app.candles("").await.body.contains("\"high\":1.0870"));
        // The same correction again changes nothing and adds nothing to the record.
        let again = json!({"reason": "bad tick", "candles": [closed(2, json!({"high": "1.0870"}))]});
        let again = correct(&app, &again).await.json();
        assert_eq!((&again["records_unchanged"], &again["change"]), (&json!(1), &Value::Null));
        assert_eq!(recorded(&app.database).await, 1);
    });
}

#[apply(both_store_kinds)]
fn a_correction_is_all_or_nothing(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        app.ingest(&[closed(3, json!({})), closed(2, json!({}))]).await;
        let before = app.database.closed().await;
        let body = json!({"reason": "bad tick", "candles": [
            closed(3, json!({"close": "1.0850"})),
            closed(1, json!({})),
            closed(2, json!({"close": "1.0850", "expect": {"open": "1.0851"}})),
        ]});
        let answer = correct(&app, &body).await;
        let detail = answer.problem(409, "conflict");
        assert!(detail.starts_with("None of 3 candles was corrected, because candles[1] is not stored"), "{detail}");
        let errors = answer.json()["errors"].clone();
        assert_eq!(errors[0]["loc"], json!(["body", "candles", 1]));
        assert_eq!(errors[1]["loc"], json!(["body", "candles", 2]));
        let message = errors[1]["msg"].as_str().unwrap();
        assert!(
            message.starts_with("is stored as open 1.08500, high 1.08650, low 1.08480, close 1.08620"),
            "{message}"
        );
        assert_eq!(app.database.closed().await, before);
        assert_eq!(recorded(&app.database).await, 0);
    });
}

#[apply(both_store_kinds)]
fn several_series_have_a_row_each(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let pound = json!({"symbol": "GBPUSD"});
        app.ingest(&[closed(2, json!({})), closed(2, pound.clone())]).await;
        let low = json!({"low": "1.0840"});
        let body = json!({"reason": "why not", "candles": [closed(2, with(pound, low.clone())), closed(2, low)]});
        let answer = correct(&app, &body).await.json();
        assert_eq!((&answer["change"], &answer["changes"]), (&json!("2"), &json!(["1", "2"])));
        let both = changes(&app, "").await;
        let mut symbols: Vec<_> = both.as_array().unwrap().iter().map(|change| change["symbol"].clone()).collect();
        symbols.sort_by_key(ToString::to_string);
        assert_eq!(symbols, ["EURUSD", "GBPUSD"]);
        assert_eq!(changes(&app, "symbol=GBPUSD").await.as_array().unwrap().len(), 1);
        assert_eq!(changes(&app, "symbol=GBPUSD&timeframe=M1").await, json!([]));
        assert_eq!(changes(&app, "after=1").await[0]["id"], "2");
        assert_eq!(changes(&app, "limit=1").await.as_array().unwrap().len(), 1);
        assert_eq!(changes(&app, "after=2").await, json!([]));
    });
}

#[apply(both_store_kinds)]
fn mistakes_of_a_correction_are_named(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        app.ingest(&[closed(2, json!({}))]).await;
        let refused = async |body: Value| {
            let answer = correct(&app, &body).await;
            let errors = answer.errors();
            assert_eq!(errors.len(), 1, "{answer:?}");
            (errors[0].clone(), answer.json()["detail"].as_str().unwrap().to_owned())
        };
        let one = |fields: Value| json!({"reason": "bad tick", "candles": [closed(2, fields)]});
        let at = |loc: &str, kind: &str| (loc.to_owned(), kind.to_owned());
        let (error, detail) = refused(json!({"candles": [closed(2, json!({}))]})).await;
        assert_eq!(error, at(r#"["body","reason"]"#, "missing"));
        assert_eq!(
            detail,
            "None of 1 candles was corrected: reason is missing; say why, as in \"reason\":\"bad tick\"."
        );
        let long = "x".repeat(201);
        assert_eq!(
            refused(with(one(json!({})), json!({"reason": long}))).await.0,
            at(r#"["body","reason"]"#, "too_long")
        );
        assert_eq!(refused(with(one(json!({})), json!({"reason": " "}))).await.0, at(r#"["body","reason"]"#, "empty"));
        let misspelt = refused(one(json!({"expect": {"highs": 1}}))).await.0;
        assert_eq!(misspelt, at(r#"["body","candles",0,"expect","highs"]"#, "wrong_type"));
        assert_eq!(
            refused(one(json!({"expect": {"high": "x"}}))).await.0,
            at(r#"["body","candles",0,"expect","high"]"#, "not_a_number")
        );
        assert_eq!(refused(one(json!({"expect": 3}))).await.0, at(r#"["body","candles",0,"expect"]"#, "wrong_type"));
        assert_eq!(refused(one(json!({"high": "1"}))).await.0.1, "inconsistent");
        let forming = json!({"reason": "bad tick", "candles": [with(candle(NOW), json!({"complete": false}))]});
        assert_eq!(refused(forming).await.0, at(r#"["body","candles",0]"#, "out_of_range"));
        let twice = json!({"reason": "bad tick", "candles": [closed(2, json!({})), closed(2, json!({"volume": 3}))]});
        assert_eq!(refused(twice).await.0, at(r#"["body","candles",0]"#, "inconsistent"));
        let many: Vec<_> = (1..=1001).map(|hours| closed(hours, json!({}))).collect();
        correct(&app, &json!({"reason": "bad tick", "candles": many})).await.problem(413, "too_large");
        correct(&app, &json!({"reason": "bad tick", "candles": []})).await.errors();
        assert_eq!(recorded(&app.database).await, 0);
    });
}

#[apply(both_store_kinds)]
fn a_deletion_needs_the_digest_of_its_dry_run(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let forming = with(candle(NOW), json!({"complete": false}));
        app.ingest(&[closed(4, json!({})), closed(3, json!({})), closed(2, json!({})), forming]).await;
        let dry = delete(&app, &format!("{}&dry_run=true", span(3, 0))).await;
        assert_eq!(dry.status, 200, "{dry:?}");
        let dry = dry.json();
        assert_eq!(
            (&dry["status"], &dry["matched"], &dry["first"], &dry["last"]),
            (&json!("dry_run"), &json!(3), &json!((NOW - 3 * HOUR) * 1000), &json!(NOW * 1000))
        );
        let confirm = dry["confirm"].as_str().unwrap();
        assert_eq!(app.database.closed().await.len(), 3, "nothing was deleted");

        // Another selection, and the same one after a change, have other digests.
        let query = format!("{}&confirm={confirm}&reason=bad+feed", span(4, 0));
        delete(&app, &query).await.problem(409, "changed");
        app.ingest(&[closed(1, json!({}))]).await;
        let query = format!("{}&confirm={confirm}&reason=bad+feed", span(3, 0));
        let detail = delete(&app, &query).await.problem(409, "changed");
        assert!(detail.contains("repeat the dry run"), "{detail}");
        assert_eq!((app.database.closed().await.len(), app.database.forming().await.len()), (4, 1));
        assert_eq!(recorded(&app.database).await, 0);

        let dry = delete(&app, &format!("{}&dry_run=true", span(3, 0))).await.json();
        let confirm = dry["confirm"].as_str().unwrap();
        let done = delete(&app, &format!("{}&confirm={confirm}&reason=bad+feed", span(3, 0))).await;
        assert_eq!(done.status, 200, "{done:?}");
        let done = done.json();
        assert_eq!(
            (&done["status"], &done["records_deleted"], &done["change"]),
            (&json!("success"), &json!(4), &json!("1"))
        );
        assert_eq!((app.database.closed().await.len(), app.database.forming().await.len()), (1, 0));
        assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 1, "this process shows it at once");
        let change = changes(&app, "").await[0].clone();
        assert_eq!(
            (&change["kind"], &change["candles"], &change["reason"], &change["actor"]),
            (&json!("deletion"), &json!(4), &json!("bad feed"), &json!("ops"))
        );
        let before = change["before"].as_array().unwrap();
        assert_eq!(before.len(), 4);
        assert_eq!(before[3]["complete"], false, "the forming one");
        assert!(change.get("after").is_none());

        // Nothing is left, so nothing changes.
        let dry = delete(&app, &format!("{}&dry_run=true", span(3, 0))).await.json();
        assert_eq!((&dry["matched"], &dry["first"]), (&json!(0), &Value::Null));
        let confirm = dry["confirm"].as_str().unwrap();
        let done = delete(&app, &format!("{}&confirm={confirm}&reason=again", span(3, 0))).await.json();
        assert_eq!(done["records_deleted"], 0);
        assert!(done.get("change").is_none());
        assert_eq!(recorded(&app.database).await, 1);

        // A candle that an Expert Advisor posts again is back.
        assert_eq!(app.ingest(&[closed(2, json!({}))]).await, (1, 0, 0));
    });
}

#[apply(both_store_kinds)]
fn mistakes_of_a_deletion_are_named(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        let refused = async |query: &str| delete(&app, query).await.errors();
        let at = |name: &str, kind: &str| (format!(r#"["query","{name}"]"#), kind.to_owned());
        assert_eq!(refused(&span(3, 0)).await, [at("confirm", "missing"), at("reason", "missing")]);
        assert_eq!(refused("from=1&dry_run=true").await, [at("to", "missing")]);
        assert_eq!(refused("from=5&to=1&dry_run=true").await, [at("to", "empty_range")]);
        assert_eq!(refused("from=1&to=5&dry_run=perhaps").await[0], at("dry_run", "wrong_type"));
        assert_eq!(refused("from=1&to=5&confirm=XYZ&reason=x").await, [at("confirm", "wrong_type")]);
        assert_eq!(refused("from=1&to=5&dry_run=true&limit=3").await, [at("limit", "unknown_parameter")]);
    });
}

#[apply(both_store_kinds)]
fn large_deletions_record_their_number_alone_and_have_a_limit(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        app.database.fill_minutes(NOW - 200_000 * 60, 101_200).await;
        // Where the machine is busy, 100,000 candles can take longer than a statement may. Nothing is deleted then.
        let minutes = async |query: &str| {
            let path = format!("/api/v1/candles?symbol=EURUSD&timeframe=M1&{query}");
            loop {
                let answer = send(app.request(Method::DELETE, &path).bearer_auth(MAINTENANCE)).await;
                if answer.status != 503 {
                    return answer;
                }
            }
        };
        let detail = minutes(&format!("from=0&to={NOW}&dry_run=true")).await.problem(413, "too_large");
        assert!(detail.contains("candlewick delete"), "{detail}");
        minutes(&format!("from=0&to={NOW}&confirm=0123456789ab&reason=x")).await.problem(413, "too_large");
        let to = NOW - 200_000 * 60 + 99_999 * 60;
        let dry = minutes(&format!("from=0&to={to}&dry_run=true")).await.json();
        assert_eq!(dry["matched"], 100_000);
        let confirm = dry["confirm"].as_str().unwrap();
        let done = minutes(&format!("from=0&to={to}&confirm={confirm}&reason=x")).await.json();
        assert_eq!(done["records_deleted"], 100_000, "{done}");
        let change = changes(&app, "").await[0].clone();
        assert_eq!(change["candles"], 100_000);
        assert!(change.get("before").is_none());
        assert_eq!(app.database.closed().await.len(), 1200);
    });
}

#[apply(both_store_kinds)]
fn only_maintenance_keys_change_history(#[case] kind: StoreKind) {
    run(async move {
        let database = kind.database().await;
        let app = TestApp::start(database).await;
        app.ingest(&[closed(2, json!({}))]).await;
        let body = json!({"reason": "x", "candles": [closed(2, json!({}))]}).to_string();
        let post = |header: &str, key: &str| {
            send(app.request(Method::POST, "/api/v1/corrections").header(header, key).body(body.clone()))
        };
        // Without the setting, the refusal names it.
        let detail = post("X-API-KEY", KEY).await.problem(403, "wrong_scope");
        assert!(detail.contains("MAINTENANCE_KEY"), "{detail}");
        post("X-Internal-Token", TOKEN).await.problem(403, "wrong_scope");
        post("X-Maintenance-Key", MAINTENANCE).await.problem(401, "unauthorized");
        let path = "/api/v1/candles?symbol=EURUSD&timeframe=H1&from=0&to=1&dry_run=true";
        send(app.request(Method::DELETE, path).bearer_auth(TOKEN)).await.problem(403, "wrong_scope");
        send(app.request(Method::DELETE, path)).await.problem(401, "unauthorized");
        // The record is read with a read token.
        assert_eq!(changes(&app, "").await, json!([]));
        send(app.request(Method::GET, "/api/v1/changes").header("X-API-KEY", KEY)).await.problem(403, "wrong_scope");

        let environment = Environment::new(&app.database.url()).with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"));
        let with_key = Service::start(&environment).await;
        let request = with_key.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", MAINTENANCE);
        assert_eq!(send(request.body(body.clone())).await.status, 200);
        let misplaced = with_key.request(Method::POST, "/api/v1/corrections").header("X-API-KEY", MAINTENANCE);
        let detail = send(misplaced.body(body.clone())).await.problem(401, "unauthorized");
        assert!(detail.contains("X-Maintenance-Key"), "{detail}");
        // It neither posts nor reads.
        let read = with_key.request(Method::GET, "/api/v1/candles?symbol=EURUSD&timeframe=H1");
        send(read.bearer_auth(MAINTENANCE)).await.problem(403, "wrong_scope");
        let ingest = with_key.request(Method::POST, "/api/v1/candles").bearer_auth(MAINTENANCE);
        send(ingest.body("{}")).await.problem(403, "wrong_scope");
        // With a read token beside it, each route takes the key that it is for.
        let both = with_key.request(Method::GET, "/api/v1/changes").header("X-Internal-Token", TOKEN);
        assert_eq!(send(both.header("X-Maintenance-Key", MAINTENANCE)).await.status, 200);
    });
}

#[apply(both_store_kinds)]
fn of_two_corrections_that_expect_the_same_one_wins(#[case] kind: StoreKind) {
    run(async move {
        let app = start(kind).await;
        app.ingest(&[closed(2, json!({}))]).await;
        for round in 0..10 {
            let was = 1200 + round;
            let body = |open: &str| {
                let fields = json!({"open": open, "volume": was + 1, "expect": {"volume": was}});
                json!({"reason": "race", "candles": [closed(2, fields)]})
            };
            let (low, high) = (body("1.08490"), body("1.08510"));
            let (one, other) = tokio::join!(correct(&app, &low), correct(&app, &high));
            let mut statuses = [one.status.as_u16(), other.status.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
        }
        let all = changes(&app, "").await;
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), 10);
        for pair in all.windows(2) {
            assert_eq!(pair[0]["after"], pair[1]["before"], "each correction saw the one before it");
        }
    });
}

/// A correction that waits for another writer's lock reads what that writer left.
#[test]
fn a_correction_sees_the_one_that_it_waited_for() {
    run(async {
        let app = start(StoreKind::Postgres).await;
        app.ingest(&[closed(2, json!({}))]).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        let mut other = database.connect().await;
        other.execute("begin; update market_data_candles set volume = 7").await.unwrap();
        let body = json!({"reason": "race", "candles": [closed(2, json!({"volume": 8}))]});
        let correcting = correct(&app, &body);
        let ending = async {
            wait_for_a_lock(database).await;
            other.execute("commit").await.unwrap();
        };
        let (answer, ()) = tokio::join!(correcting, ending);
        assert_eq!(answer.json()["records_corrected"], 1, "{answer:?}");
        assert_eq!(changes(&app, "").await[0]["before"][0]["volume"], 7);
        assert!(app.database.closed().await[0].ends_with(" 8"));
    });
}

async fn wait_for_a_lock(database: &PgDatabase) {
    const WAITING: &str =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let mut watch: PgConnection = database.connect().await;
    eventually(async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut watch).await.unwrap() != 0).await;
}

/// The server ends the statement in its middle: neither the candle nor the record changes, and the answer says so.
#[test]
fn a_statement_that_breaks_changes_nothing() {
    run(async {
        let app = start(StoreKind::Postgres).await;
        app.ingest(&[closed(2, json!({}))]).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        let before = app.database.closed().await;
        database
            .execute(
                "create function refuse() returns trigger language plpgsql as $$ begin raise check_violation; end $$;
                 create trigger refuse before insert on market_data_changes for each row execute function refuse()",
            )
            .await;
        let body = json!({"reason": "bad tick", "candles": [closed(2, json!({"volume": 8}))]});
        correct(&app, &body).await.problem(422, "invalid_values");
        let dry = delete(&app, &format!("{}&dry_run=true", span(3, 0))).await.json();
        let confirm = dry["confirm"].as_str().unwrap();
        delete(&app, &format!("{}&confirm={confirm}&reason=x", span(3, 0))).await.problem(422, "invalid_values");
        assert_eq!(app.database.closed().await, before);
        assert_eq!(recorded(&app.database).await, 0);

        // A lock that is held for longer than a statement may wait.
        database.execute("drop trigger refuse on market_data_changes").await;
        let lock = TableLock::take(database).await;
        correct(&app, &body).await.problem(503, "unavailable");
        lock.release().await;
        assert_eq!(app.database.closed().await, before);
        assert_eq!(correct(&app, &body).await.json()["records_corrected"], 1);
        assert_eq!(recorded(&app.database).await, 1);
    });
}

/// The process is killed in the middle of corrections and deletions: rows and record agree afterwards.
#[apply(both_store_kinds)]
fn rows_and_record_agree_after_a_kill(#[case] kind: StoreKind) {
    run(async move {
        let database = kind.database().await;
        let (folder, key, url) = (folder(), format!("ops:{MAINTENANCE}"), database.url());
        let variables = [
            ("MT5_API_KEY", KEY),
            ("INTERNAL_API_TOKEN", TOKEN),
            ("MAINTENANCE_KEY", &*key),
            ("PORT", "0"),
            ("DATABASE_URL", &*url),
        ];
        let serve = || {
            let mut serving = Serving::start(folder.path(), &variables);
            serving.is_ready();
            serving
        };
        let mut serving = serve();
        let client = reqwest::Client::new();
        let all: Vec<_> = (1..=500).map(|hours| closed(hours, json!({}))).collect();
        let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(json!({"candles": all}).to_string())).await.status, 201);
        for round in 1..=6 {
            let volume = 1200 + round;
            let candles: Vec<_> = (1..=500).map(|hours| closed(hours, json!({"volume": volume}))).collect();
            let body = json!({"reason": format!("round {round}"), "candles": candles}).to_string();
            let url = format!("{}/api/v1/corrections", serving.url);
            let request = client.post(url).header("X-Maintenance-Key", MAINTENANCE).body(body);
            let sending = tokio::spawn(request.send());
            tokio::time::sleep(Duration::from_millis(3 * round)).await;
            // Kills it.
            drop(serving);
            let _ = sending.await;
            serving = serve();
            let rows = database.closed().await;
            let volumes: std::collections::BTreeSet<_> =
                rows.iter().map(|row| row.rsplit_once(' ').unwrap().1.to_owned()).collect();
            assert_eq!((rows.len(), volumes.len()), (500, 1), "all of a correction or nothing");
            let last = database.rows("select reason from market_data_changes order by id").await.pop();
            let expected: u64 = last.map_or(1200, |last| 1200 + last["round ".len()..].parse::<u64>().unwrap());
            assert_eq!(volumes.first().unwrap(), &expected.to_string(), "the record says what is stored");
        }
    });
}

/// Another process on the same database shows a correction within a second.
#[test]
fn other_processes_show_a_correction() {
    run(async {
        let app = start(StoreKind::Postgres).await;
        app.ingest(&[closed(2, json!({}))]).await;
        let others = [Service::start(&Environment::new(&app.database.url())).await];
        for other in &others {
            assert!(other.candles("").await.body.contains("\"high\":1.08650"));
        }
        correct(&app, &json!({"reason": "bad tick", "candles": [closed(2, json!({"high": "1.09"}))]})).await;
        for other in &others {
            let first = other.candles("").await;
            eventually(async || other.candles("").await.body.contains("\"high\":1.09,")).await;
            assert_ne!(other.candles("").await.header("etag"), None);
            drop(first);
        }
    });
}

#[test]
fn a_login_without_the_privileges_is_refused_at_the_start() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        drop(Service::start(&Environment::new(&database.url)).await);
        let login = database.make_login().await;
        let environment =
            |url: &str| Environment::new(url).with("MAINTENANCE_KEY", MAINTENANCE).with("MIGRATE_ON_START", "false");
        let mut refused = Service::launch(&environment(&login)).0;
        let error = candlewick::errors::chain(&refused.end().await.unwrap_err()).to_string();
        assert!(error.contains("grant update on market_data_candles to"), "{error}");
        // Without the setting the same login serves.
        drop(Service::start(&Environment::new(&login).with("MIGRATE_ON_START", "false")).await);
        database.execute(&format!("grant update, delete on market_data_candles to {}", database.login())).await;
        let service = Service::start(&environment(&login)).await;
        let body = json!({"candles": [closed(2, json!({}))]});
        assert_eq!(service.post(&body).await.counts(1), (1, 0, 0));
        let body = json!({"reason": "bad tick", "candles": [closed(2, json!({"volume": 3}))]});
        assert_eq!(correct(&service, &body).await.json()["records_corrected"], 1);
        assert_eq!(changes(&service, "").await[0]["actor"], "key-1");
    });
}
