//! Poolers between the service and its database: one that lends connections for a transaction is detected on any port,
//! and one that lends them for a session is accepted.

use candlewick::errors::chain;
use candlewick::store::StoreError;
use sqlx::{Connection, PgConnection};

use crate::harness::{Environment, NOW, PgDatabase, Service, TableLock, candle, eventually, plain_server, run};
use crate::pgbouncer::PgBouncer;
use crate::pooler::{ANOTHER, Choice, Pooler};
use crate::postgres::{prepare, unfit};

const REFUSAL: &str = "a pooler that lends a connection for one transaction only";

async fn serves(url: &str) {
    let mut app = Service::start(&Environment::new(url).with("DATABASE_MAX_CONNECTIONS", 3)).await;
    let new: Vec<_> = (2..300).map(|n| candle(NOW - n * 3600)).collect();
    assert_eq!(app.ingest(&new).await, (298, 0, 0));
    assert_eq!(app.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (0, 1, 1));
    for limit in 1..20 {
        assert_eq!(app.candles(&format!("&limit={limit}")).await.json().as_array().unwrap().len(), limit);
    }
    app.stop().await.unwrap();
}

#[test]
fn a_transaction_pooler_is_refused() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        for choice in [Choice::LastUsed, Choice::LongestFree] {
            for size in [1, 2, 3, 10] {
                let pooler = Pooler::to(&database, choice, size).await;
                let url = pooler.url(&database);
                // With this many free connections, only the swaps can reveal the pooler.
                let mut others = Vec::new();
                for _ in 0..size {
                    others.push(PgConnection::connect(&url).await.unwrap());
                }
                for mut other in others {
                    let prepared: i32 =
                        sqlx::query_scalar("select 1 + $1").bind(1).fetch_one(&mut other).await.unwrap();
                    assert_eq!(prepared, 2);
                }
                assert!(unfit(&url).await.contains(REFUSAL), "{choice:?} of {size}");
            }
        }
    });
}

#[test]
fn a_session_pooler_is_accepted() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let pooler = Pooler::to(&database, Choice::OwnForTheSession, 0).await;
        serves(&pooler.url(&database)).await;
    });
}

#[test]
fn a_session_reassigned_by_a_pooler_is_not_terminated() {
    run(async {
        const OWN: &str = "select pid from pg_stat_activity
            where datname = current_database() and application_name like 'candlewick-%'";
        const WAITING: &str = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        const LENT: &str =
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = $1";
        let database = PgDatabase::create(&plain_server()).await;
        let pooler = Pooler::to(&database, Choice::OwnForTheSession, 0).await;
        let service = Service::start(&Environment::new(&pooler.url(&database))).await;
        let mut watch = database.connect().await;
        // Two readers that wait at once take two connections.
        let lock = TableLock::take(&database).await;
        let release = async {
            eventually(async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut watch).await.unwrap() >= 2).await;
            lock.release().await;
        };
        tokio::join!(service.candles("&limit=1"), service.candles("&limit=2"), release);
        let before: Vec<i32> = sqlx::query_scalar(OWN).fetch_all(&mut watch).await.unwrap();
        assert!(before.len() >= 2, "{before:?}");

        pooler.lend_one_to_another().await;
        eventually(async || service.post(&serde_json::json!({"candles": [candle(NOW)]})).await.status == 201).await;
        eventually(async || service.get("/health").await.status == 200).await;
        // The pooler has not noticed that these are unused, so they end because the service terminates them.
        eventually(async || {
            let now: Vec<i32> = sqlx::query_scalar(OWN).fetch_all(&mut watch).await.unwrap();
            !now.iter().any(|pid| before.contains(pid))
        })
        .await;
        // The connection that terminates them is closed once all of them have ended.
        eventually(async || {
            sqlx::query_scalar::<_, i64>(LENT).bind("candlewick").fetch_one(&mut watch).await.unwrap() == 0
        })
        .await;
        assert_eq!(sqlx::query_scalar::<_, i64>(LENT).bind(ANOTHER).fetch_one(&mut watch).await.unwrap(), 1);
    });
}

#[test]
fn pgbouncer_in_transaction_mode_is_refused() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        for mode in ["transaction", "statement"] {
            for size in [1, 2, 20] {
                let Some(bouncer) = PgBouncer::start(&database, mode, size).await else { return };
                assert!(unfit(&bouncer.url).await.contains(REFUSAL), "{mode} mode with {size} connections");
            }
        }
    });
}

#[test]
fn pgbouncer_in_statement_mode_is_refused_by_a_single_connection() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let Some(bouncer) = PgBouncer::start_with(&database, "statement", 20, "max_client_conn = 1").await else {
            return;
        };
        loop {
            match prepare(&bouncer.url, true).await {
                // PgBouncer may still count the connection that tried its port.
                Err(error @ StoreError::Unavailable(_))
                    if chain(&error).to_string().contains("no more connections allowed") => {}
                Err(error @ StoreError::Misconfigured(_)) => {
                    break assert!(error.to_string().contains(REFUSAL), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn pgbouncer_in_session_mode_is_accepted() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let Some(bouncer) = PgBouncer::start(&database, "session", 20).await else { return };
        serves(&bouncer.url).await;
        // Without a second connection, nothing proves that it is a transaction pooler.
        for size in [1, 2] {
            let bouncer = PgBouncer::start(&database, "session", size).await.unwrap();
            let result = prepare(&bouncer.url, true).await;
            assert!(matches!(result, Ok::<(), StoreError>(())), "{size} connections: {result:?}");
        }
    });
}
