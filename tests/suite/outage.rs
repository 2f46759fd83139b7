//! A database that becomes unavailable and returns, behind a proxy that the test can cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Database, Environment, NOW, PgDatabase, Service, TableLock, TestApp, both_stores, candle, eventually,
    plain_server, run, send, with,
};
use crate::proxy::{Link, Proxy};

async fn health(service: &Service) -> Answer {
    send(service.request(Method::GET, "/health")).await
}

/// A terminal's default timeout. A refusal that comes later does not arrive.
const REFUSAL: Duration = Duration::from_secs(5);

/// Checks how each route behaves without a database.
async fn refuses_everything_that_needs_the_database(service: &Service) {
    let live = send(service.request(Method::GET, "/health/live")).await;
    assert_eq!(live.status, 200);
    let start = Instant::now();
    let batch = json!({"candles": [candle(NOW - 7200)]});
    let (health, post, get, series) =
        tokio::join!(health(service), service.post(&batch), service.candles(""), service.get("/api/v1/series"),);
    assert!(start.elapsed() < REFUSAL, "{:?}", start.elapsed());
    assert_eq!((health.status.as_u16(), health.body.as_str()), (503, r#"{"status":"unavailable"}"#));
    for answer in [&post, &get, &series] {
        let detail = answer.problem(503, "unavailable");
        assert!(!detail.contains("connection") && !detail.contains("127.0.0.1"), "{detail}");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    // A request that does not need the database does not wait for it.
    service.post_bytes("{").await.problem(400, "malformed");
    send(service.request(Method::GET, "/api/v1/series")).await.problem(401, "unauthorized");
    let details = service.get("/api/v1/health/detailed").await.json();
    assert_eq!((&details["status"], &details["store"]["latency_ms"]), (&json!("unavailable"), &json!(null)));
}

async fn heals(service: &Service) {
    eventually(async || health(service).await.status == 200).await;
}

#[test]
fn outages_at_the_start_and_later_are_waited_for() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let mut proxy = Proxy::to(&database).await;
        let (mut service, mut ready) = Service::launch(&Environment::new(&proxy.url(&database)));
        refuses_everything_that_needs_the_database(&service).await;

        proxy.up().await;
        heals(&service).await;
        ready.wait_for(|ready| *ready).await.unwrap();
        assert_eq!(service.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (1, 0, 1));

        for _ in 0..2 {
            proxy.down().await;
            // A result from before the cut may be shared for a second.
            eventually(async || health(&service).await.status != 200).await;
            refuses_everything_that_needs_the_database(&service).await;
            proxy.up().await;
            heals(&service).await;
            assert_eq!(service.candles("").await.json().as_array().unwrap().len(), 2);
            assert_eq!(service.ingest(&[candle(NOW - 7200)]).await, (0, 1, 0));
        }
        service.stop().await.unwrap();
    });
}

#[test]
fn connections_that_the_server_ends_are_replaced() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url)).await;
        service.ingest(&[candle(NOW)]).await;
        for _ in 0..3 {
            database
                .execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()",
                )
                .await;
            assert_eq!(service.candles("").await.status, 200, "a read on a lost connection is repeated");
            assert_eq!(service.ingest(&[candle(NOW)]).await, (0, 0, 1));
        }
    });
}

#[test]
fn a_locked_table_answers_503_until_released() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url).with("DATABASE_MAX_CONNECTIONS", 2)).await;
        service.ingest(&[candle(NOW - 7200)]).await;
        let lock = TableLock::take(&database).await;
        let mut posts = JoinSet::new();
        // Single candles share a statement; the large batches each have a connection or find none.
        for candles in [1, 1, 1, 129, 129, 129] {
            let candles: Vec<_> = (1..=candles).map(|hours| candle(NOW - hours * 3600)).collect();
            let body = json!({ "candles": candles }).to_string();
            posts.spawn(send(
                service.request(Method::POST, "/api/v1/candles").header("X-API-KEY", crate::harness::KEY).body(body),
            ));
        }
        for answer in posts.join_all().await {
            answer.problem(503, "unavailable");
        }
        assert_eq!(health(&service).await.status, 200, "the probe has a connection of its own");
        lock.release().await;
        assert_eq!(service.ingest(&[candle(NOW - 7200 * 100)]).await, (1, 0, 0));
    });
}

#[test]
fn a_refusal_says_whether_the_batch_may_be_stored() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let service = Service::start(&Environment::new(&proxy.url(&database))).await;
        service.ingest(&[candle(NOW)]).await;
        // Two ways of writing: with others, and alone.
        for candles in [100_usize, 300] {
            let batch = json!({"candles": (1..=candles).map(|n| candle(NOW - (n + candles) as i64 * 3600)).collect::<Vec<_>>()});
            proxy.set(Link::AnswerLost);
            let detail = service.post(&batch).await.problem(503, "unavailable");
            assert!(detail.contains("not known whether it was stored"), "{detail}");
            proxy.set(Link::Open);
            assert_eq!(service.post(&batch).await.counts(candles), (0, candles as u64, 0), "it was");
        }
        proxy.down().await;
        // The connections that were open are used first, and what is sent on them may arrive.
        let batch = json!({"candles": [candle(NOW - 3600)]});
        let is_known = async || !service.post(&batch).await.problem(503, "unavailable").contains("not known");
        eventually(is_known).await;
    });
}

#[test]
fn a_disconnect_does_not_split_a_batch() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let service = Service::start(&Environment::new(&database.url)).await;
        let body = json!({"candles": (2..=501).map(|n| candle(NOW - n * 3600)).collect::<Vec<_>>()}).to_string();
        let mut watch = database.connect().await;
        // On a busy machine the statement may wait for the lock for as long as it may take. Nothing is stored then.
        eventually(async || {
            let mut lock = TableLock::take(&database).await;
            let post = service.request(Method::POST, "/api/v1/candles").header("X-API-KEY", crate::harness::KEY);
            let post = tokio::spawn(send(post.body(body.clone())));
            lock.is_awaited().await;
            post.abort();
            let _ = post.await;
            lock.release().await;
            let busy = "select count(*) from pg_stat_activity
                        where application_name like 'candlewick%' and datname = current_database() and state = 'active'";
            eventually(async || sqlx::query_scalar::<_, i64>(busy).fetch_one(&mut watch).await.unwrap() == 0).await;
            let count = "select count(*) from market_data_candles";
            let stored: i64 = sqlx::query_scalar(count).fetch_one(&mut watch).await.unwrap();
            assert!(stored == 0 || stored == 500, "{stored}");
            stored == 500
        })
        .await;
        // The connection it used serves the next request in a clean state.
        for limit in 1..=20 {
            assert_eq!(service.candles(&format!("&limit={limit}")).await.json().as_array().unwrap().len(), limit);
        }
    });
}

#[test]
fn sqlite_accepts_a_batch_after_an_automatic_rollback() {
    run(async {
        // SQLite rolls back by itself when the disk is full; a trigger simulates that.
        let app = TestApp::start(Database::sqlite()).await;
        let pool = sqlx::SqlitePool::connect(&app.database.url()).await.unwrap();
        let trigger = "create trigger full before insert on market_data_candles when new.symbol = 'FULL'
            begin select raise(rollback, 'full'); end";
        sqlx::Executor::execute(&pool, trigger).await.unwrap();
        let good = candle(NOW - 7200);
        let bad = with(good.clone(), json!({"symbol": "FULL"}));
        for _ in 0..3 {
            app.post(&json!({"candles": [good, bad]})).await.problem(422, "invalid_values");
            assert!(app.database.closed().await.is_empty(), "all or nothing");
        }
        assert_eq!(app.ingest(&[good]).await, (1, 0, 0));
    });
}

/// The service's sessions, as the server counts them.
async fn sessions(watch: &mut sqlx::PgConnection) -> i64 {
    const SESSIONS: &str = "select count(*) from pg_stat_activity where application_name like 'candlewick%'";
    sqlx::query_scalar(SESSIONS).fetch_one(watch).await.unwrap()
}

#[test]
fn an_unresponsive_standby_gets_no_more_sessions_than_the_pool_allows() {
    run(async {
        const MAX_CONNECTIONS: i64 = 4;
        // One connection is the probe's, and one terminates the sessions that were given up.
        const BESIDE_THE_POOL: i64 = 2;
        let Some(server) = crate::standby::server(&std::env::temp_dir(), &[]) else { return };
        let database = PgDatabase::create(&server.url).await;
        let environment = Environment::new(&database.url).with("DATABASE_MAX_CONNECTIONS", MAX_CONNECTIONS);
        let service = Arc::new(Service::start(&environment).await);
        service.ingest(&[candle(NOW)]).await;
        let mut watch = server.connect().await;
        let names = async |watch: &mut sqlx::PgConnection, change: &str| {
            sqlx::Executor::execute(&mut *watch, change).await.unwrap();
            sqlx::Executor::execute(&mut *watch, "select pg_reload_conf()").await.unwrap();
        };
        names(&mut watch, "alter system set synchronous_standby_names = 'nobody'").await;

        let mut posters = JoinSet::new();
        for poster in 0..6_i64 {
            let service = Arc::clone(&service);
            posters.spawn(async move {
                // Large enough for a statement of their own. Three of them wait one after the other.
                for round in 0..3 {
                    let first = NOW - (poster * 3 + round) * 200 * 3600;
                    let candles: Vec<_> = (1..=150).map(|hours| candle(first - hours * 3600)).collect();
                    service.post(&json!({ "candles": candles })).await.problem(503, "unavailable");
                }
            });
        }
        let mut most = 0;
        while !posters.is_empty() {
            most = most.max(sessions(&mut watch).await);
            while let Some(poster) = posters.try_join_next() {
                poster.unwrap();
            }
        }
        assert!((MAX_CONNECTIONS - 1..=MAX_CONNECTIONS + BESIDE_THE_POOL).contains(&most), "{most} sessions");

        names(&mut watch, "alter system reset synchronous_standby_names").await;
        let batch = json!({"candles": [candle(NOW - 3600)]});
        eventually(async || service.post(&batch).await.status == 201).await;
        assert!(sessions(&mut watch).await <= MAX_CONNECTIONS + BESIDE_THE_POOL);
    });
}

#[test]
fn connections_dropped_by_a_firewall_are_closed_when_replaced() {
    run(async {
        const MAX_CONNECTIONS: i64 = 4;
        let database = PgDatabase::create(&plain_server()).await;
        let mut proxy = Proxy::to(&database).await;
        proxy.up().await;
        let environment = Environment::new(&proxy.url(&database)).with("DATABASE_MAX_CONNECTIONS", MAX_CONNECTIONS);
        let service = Service::start(&environment).await;
        let mut watch = database.connect().await;
        let own = "select count(*) from pg_stat_activity
            where datname = current_database() and application_name like 'candlewick%'";
        for round in 0..4 {
            eventually(async || service.post(&json!({"candles": [candle(NOW - round * 3600)]})).await.status == 201)
                .await;
            proxy.forget();
        }
        // The earlier sessions end as soon as the server has been asked to terminate them.
        eventually(async || {
            sqlx::query_scalar::<_, i64>(own).fetch_one(&mut watch).await.unwrap() <= MAX_CONNECTIONS + 2
        })
        .await;
    });
}

#[test]
fn a_post_queued_behind_a_hanging_statement_is_refused_in_time() {
    run(async {
        /// The guaranteed 1.5 s, plus a margin for a busy machine; two waits in a row would take 2 s.
        const LONGEST_ANSWER: Duration = Duration::from_millis(1800);
        let Some(server) = crate::standby::server(&std::env::temp_dir(), &[]) else { return };
        let database = PgDatabase::create(&server.url).await;
        let service = Arc::new(Service::start(&Environment::new(&database.url)).await);
        let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut posters = JoinSet::new();
        for poster in 0..6_i64 {
            let (service, stopped) = (Arc::clone(&service), Arc::clone(&stopped));
            posters.spawn(async move {
                let (mut longest, mut refused) = (Duration::ZERO, 0);
                for round in 0.. {
                    let start = Instant::now();
                    let batch = json!({"candles": [candle(NOW - (round * 6 + poster + 1) * 3600)]});
                    let answer = service.post(&batch).await;
                    longest = longest.max(start.elapsed());
                    refused += usize::from(stopped.load(std::sync::atomic::Ordering::SeqCst) && answer.status == 503);
                    if refused > 10 {
                        break;
                    }
                }
                longest
            });
        }
        server.stop("fast");
        stopped.store(true, std::sync::atomic::Ordering::SeqCst);
        for longest in posters.join_all().await {
            assert!(longest < LONGEST_ANSWER, "{longest:?}");
        }
        server.start_again().await;
        eventually(async || service.post(&json!({"candles": [candle(NOW - 3600)]})).await.status == 201).await;
    });
}

#[apply(both_stores)]
async fn dropped_tables_are_reported_to_the_operator(app: TestApp) {
    let health = async || send(app.request(Method::GET, "/health")).await.status.as_u16();
    let batch = json!({"candles": [candle(NOW - 7200), candle(NOW)]});
    assert_eq!(app.post(&batch).await.status, 201);
    for change in ["alter table market_data_candles rename to mine", "drop table market_data_live_candles"] {
        assert_eq!(health().await, 200);
        app.database.execute(change).await;
        for answer in [app.post(&batch).await, app.candles("&limit=7").await] {
            let detail = answer.problem(503, "unavailable");
            assert!(detail.contains("are missing; its operator has to act"), "{detail}");
            assert!(!detail.contains("market_data") && answer.header("retry-after") == Some("1"), "{answer:?}");
            assert_eq!(health().await, 503, "health knows the failure of a request");
        }
        let details = app.get("/api/v1/health/detailed").await.json();
        assert_eq!(
            details["last_write_error"]["meaning"],
            "Tables of the database are missing; the log says what to do."
        );
        if change.starts_with("alter") {
            app.database.execute("alter table mine rename to market_data_candles").await;
            eventually(async || health().await == 200).await;
        }
    }
}
