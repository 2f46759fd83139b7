//! Real processes that work on jobs, and are killed.

use rstest_reuse::apply;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::{begin, candles, has_items, job, over, small, start_with};
use crate::harness::{
    Database, Environment, KEY, PgDatabase, RESEARCH_KEY, Service, StoreKind, TOKEN, both_store_kinds, eventually,
    plain_server, run, with,
};
use crate::program::{Serving, folder, output, program};
use crate::proxy::Proxy;

pub async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

pub async fn expire_leases(database: &Database) {
    let past = match database {
        Database::Sqlite(_) => "1",
        Database::Postgres(_) => "now() - interval '1 second'",
    };
    execute(database, &format!("update research_jobs set lease_until = {past} where state = 'running'")).await;
}

/// The settings of a process that works on jobs.
fn settings(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", url.to_owned()),
        ("PORT", "0".to_owned()),
        ("MT5_API_KEY", KEY.to_owned()),
        ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
        ("RESEARCH_API_KEY", format!("quant:{RESEARCH_KEY}")),
        ("RESEARCH_THREADS", "1".to_owned()),
    ]
}

/// An optimization whose first item is soon over and whose second one takes some seconds.
fn medium() -> serde_json::Value {
    with(super::long(), json!({"max_evaluations": 3_000, "seed": 3}))
}

#[apply(both_store_kinds)]
fn a_job_whose_process_is_killed_ends_once_with_the_same_bytes(#[case] kind: StoreKind) {
    run(async move {
        // This service queues and shows; others work.
        let app = start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let place = folder();
        let settings = settings(&app.database.url());
        let variables: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let id = begin(&app, &medium()).await;
        let killed = Serving::start(place.path(), &variables);
        eventually(async || {
            !app.database.rows("select job_id from research_items where evaluations is not null").await.is_empty()
        })
        .await;
        killed.signal("KILL");
        killed.end();
        assert_eq!(job(&app, &id).await["state"], "running", "nobody knows yet");
        expire_leases(&app.database).await;
        let working = Serving::start(place.path(), &variables);
        let restarted = over(&app, &id).await;
        assert_eq!(restarted["state"], "done", "{restarted}");
        let attempts = "select cast(attempts as text) || ' ' || state from research_jobs";
        assert_eq!(app.database.rows(attempts).await, ["2 done"]);
        let undisturbed = begin(&app, &medium()).await;
        assert_eq!(over(&app, &undisturbed).await["items"], restarted["items"]);
        drop(working);
    });
}

#[apply(both_store_kinds)]
fn a_process_that_stops_leaves_its_job_to_others(#[case] kind: StoreKind) {
    run(async move {
        let app = start_with(kind, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let place = folder();
        let settings = settings(&app.database.url());
        let variables: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // None of so many items is the last when the process gets its signal.
        let mut request = super::long();
        let items = request["items"].as_array_mut().unwrap();
        let last = items[1].clone();
        items.extend(std::iter::repeat_n(last, 20));
        let id = begin(&app, &request).await;
        let stopped = Serving::start(place.path(), &variables);
        has_items(&app, &id, 1).await;
        stopped.signal("TERM");
        assert_eq!(stopped.end().0, Some(0));
        let rows = app.database.rows("select state || ' ' || cast(attempts as text) from research_jobs").await;
        assert_eq!(rows, ["queued 0"], "an orderly stop is not an attempt");
    });
}

#[test]
fn replicas_on_one_database_do_no_job_twice_and_lose_none() {
    run(async {
        let app = start_with(StoreKind::Postgres, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let environment = Environment::new(&app.database.url()).with("RESEARCH_THREADS", 1);
        let replicas = [Service::start(&environment).await, Service::start(&environment).await];
        let mut ids = Vec::new();
        for n in 0..20_usize {
            ids.push(begin(&replicas[n % 2], &with(small(), json!({"seed": n}))).await);
        }
        for id in &ids {
            assert_eq!(over(&app, id).await["state"], "done");
        }
        let attempts = "select distinct attempts::text || ' ' || state from research_jobs";
        assert_eq!(app.database.rows(attempts).await, ["1 done"]);
        let items = "select count(*)::text from research_items where evaluations is not null";
        assert_eq!(app.database.rows(items).await, ["20"]);
    });
}

#[test]
fn a_worker_works_on_the_jobs_of_a_service_that_serves_alone() {
    run(async {
        let app = start_with(StoreKind::Postgres, |environment| environment.with("RESEARCH_THREADS", 0)).await;
        let place = folder();
        let id = begin(&app, &small()).await;
        let url = app.database.url();
        let variables = [("DATABASE_URL", url.as_str()), ("ENVIRONMENT", "production"), ("ADMIN_ADDR", "127.0.0.1:0")];
        let mut worker = program(place.path(), &variables);
        let mut worker = worker.arg("worker").stdout(std::process::Stdio::null()).spawn().unwrap();
        let over = over(&app, &id).await;
        crate::program::kill(worker.id(), "TERM");
        assert_eq!((over["state"].as_str(), worker.wait().unwrap().code()), (Some("done"), Some(0)));
    });
}

#[test]
fn a_worker_needs_postgres_and_threads() {
    let place = folder();
    let (code, _, errors) = output(program(place.path(), &[("DATABASE_URL", "sqlite://c.db")]).arg("worker"));
    assert_eq!(code, 2);
    assert!(errors.contains("a worker needs Postgres"), "{errors}");
    let variables = [("DATABASE_URL", "postgres://127.0.0.1/x"), ("RESEARCH_THREADS", "0")];
    let (code, _, errors) = output(program(place.path(), &variables).arg("worker"));
    assert_eq!(code, 2);
    assert!(errors.contains("nothing to do"), "{errors}");
}

#[test]
fn a_job_waits_for_a_database_that_is_away() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let environment =
            Environment::new(&proxy.url(&database)).with("RATE_LIMIT_RESEARCH", "off").with("RESEARCH_THREADS", 1);
        let service = Service::start(&environment).await;
        service.ingest(&candles()).await;
        let id = begin(&service, &medium()).await;
        has_items(&service, &id, 1).await;
        proxy.down().await;
        // The job's lease expires meanwhile, and nobody else is there to take it over.
        let database = Database::Postgres(database);
        expire_leases(&database).await;
        let running = "select state from research_jobs";
        assert_eq!(database.rows(running).await, ["running"]);
        proxy.up().await;
        let over = over(&service, &id).await;
        assert_eq!(over["state"], "done", "{over}");
        assert_eq!(database.rows("select attempts::text from research_jobs").await, ["1"]);
    });
}

#[test]
fn a_login_without_rights_on_jobs_is_refused_where_jobs_can_be_started() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        Service::start(&Environment::new(&database.url)).await.stop().await.unwrap();
        let url = database.make_login().await;
        let place = folder();
        let serve = |key: &str| {
            let variables = [("DATABASE_URL", url.as_str()), ("RESEARCH_API_KEY", key), ("MIGRATE_ON_START", "false")];
            output(program(place.path(), &variables).arg("check"))
        };
        // The documented role may.
        let (_, report, _) = serve("quant:research-key-for-tests");
        assert!(report.contains("the login may do what the service does"), "{report}");
        database.execute(&format!("revoke insert on research_jobs from {}", database.login())).await;
        let (code, report, _) = serve("quant:research-key-for-tests");
        assert!(code == 2 && report.contains("may not insert on research_jobs"), "{report}");
        let (_, report, _) = serve("");
        assert!(report.contains("the login may do what the service does"), "{report}");
    });
}
