//! Concurrent posts of few candles share a statement, and their answers do not show it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use candle::Timestamp;
use candlewick::clock::Clock;
use candlewick::ingest::{Handling, Ingest, Receipt, Refusal};
use candlewick::store::{Store, StoreError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;

use crate::harness::{
    Database, Environment, KEY, NOW, PgDatabase, StoreKind, TEST_TIMEOUT, TableLock, TestApp, both_store_kinds,
    both_stores, candle, eventually, send, with,
};

const HOUR: i64 = 3600;

/// The ingest side of the service, on a store of its own.
struct Stage {
    ingest: Ingest,
    metrics: PrometheusHandle,
    database: Database,
}

/// Runs a test on one thread: everything that one task starts without waiting has started before another task, such as
/// the one that writes, runs.
fn on_one_thread(kind: StoreKind, test: impl AsyncFnOnce(&Stage)) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async {
        let database = kind.database().await;
        let store = Store::open(&Environment::new(&database.url()).config().database).unwrap();
        store.prepare(true).await.unwrap();
        // Late enough after the hour that the candle before it is certainly closed.
        let clock = Clock::new(|| Timestamp::from_seconds(NOW + 60).unwrap());
        let stage = Stage { ingest: Ingest::new(store.clone(), clock, 10_000), metrics, database };
        test(&stage).await;
        stage.ingest.close().await;
        store.close().await;
    };
    runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT, test).await.expect("the test ends") });
}

impl Stage {
    async fn submit(&self, candles: &[Value]) -> Result<Receipt, Refusal> {
        self.submit_of("terminal", candles).await
    }

    async fn submit_of(&self, poster: &str, candles: &[Value]) -> Result<Receipt, Refusal> {
        let body = json!({ "candles": candles }).to_string();
        self.ingest.submit(body.into(), Handling::Lenient, &poster.into()).await
    }

    /// The value of a counter.
    fn count(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
    }

    /// The number of the store's operations that ended in this way.
    fn statements(&self, operation: &str, error: &str) -> u64 {
        let labels = format!("{{db_operation_name=\"{operation}\",error_type=\"{error}\"}}");
        self.count(&format!("db_client_operation_duration_seconds_count{labels}"))
    }
}

/// Completes all of `work` within one task, and begins all of it before it waits for any.
async fn all<F: Future>(work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.into_iter().map(Box::pin).collect();
    let mut done: Vec<_> = work.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (work, done) in work.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = work.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(mem::take(&mut done).into_iter().map(Option::unwrap).collect())
    })
    .await
}

/// A candle whose prices identify its poster.
fn of(poster: usize, symbol: &str, hours: i64, fields: Value) -> Value {
    let price = poster.to_string();
    let candle = with(candle(NOW - hours * HOUR), json!({"open": price, "high": price, "low": price, "close": price}));
    with(with(candle, json!({ "symbol": symbol })), fields)
}

/// The poster of a stored row, the number of hours before now at which it opened, and its volume.
fn read(row: &str) -> (usize, i64, i64) {
    let fields: Vec<&str> = row.rsplit(' ').collect();
    (fields[1].parse().unwrap(), (NOW - fields[5].parse::<i64>().unwrap()) / HOUR, fields[0].parse().unwrap())
}

#[track_caller]
fn unavailable(result: &Result<Receipt, Refusal>) -> String {
    match result {
        Err(Refusal::Store(StoreError::Unavailable(cause))) => cause.to_string(),
        other => panic!("{other:?}"),
    }
}

#[apply(both_store_kinds)]
fn concurrent_posts_share_one_statement(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let posts = all((0..64).map(async |n| stage.submit(&[of(n, &format!("S{n}"), 1, json!({}))]).await)).await;
        for receipt in posts {
            assert_eq!(receipt.unwrap().added, 1);
        }
        assert_eq!((stage.count("candlewick_flushes_total"), stage.count("candlewick_flushed_posts_total")), (1, 64));
        assert_eq!(stage.database.closed().await.len(), 64);
        // Of two states of a forming candle, the later one is written; another post's candle joins it.
        let live = |n, symbol| async move { stage.submit(&[of(n, symbol, 0, json!({}))]).await };
        let posts = all([live(0, "A"), live(1, "A"), live(2, "B")]).await;
        for receipt in posts {
            assert_eq!(receipt.unwrap().forming, 1);
        }
        assert_eq!((stage.count("candlewick_flushes_total"), stage.count("candlewick_flushed_posts_total")), (2, 67));
        let forming: Vec<usize> = stage.database.forming().await.iter().map(|row| read(row).0).collect();
        assert_eq!(forming, [1, 2], "the latest post wins");
    });
}

#[test]
fn a_large_post_has_a_statement_of_its_own() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let large: Vec<Value> = (1..=129).map(|hours| of(0, "LARGE", hours, json!({}))).collect();
        assert_eq!(stage.submit(&large).await.unwrap().added, 129);
        assert_eq!(stage.count("candlewick_flushes_total"), 0);
        assert_eq!(stage.submit(&large[1..]).await.unwrap().duplicate, 128);
        assert_eq!(stage.count("candlewick_flushes_total"), 1);
    });
}

#[test]
fn a_statement_holds_a_thousand_candles_and_never_splits_a_post() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let batch = |n: usize| (1..=128).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>();
        for receipt in all((0..8).map(async |n| stage.submit(&batch(n)).await)).await {
            assert_eq!(receipt.unwrap().added, 128);
        }
        assert_eq!((stage.count("candlewick_flushes_total"), stage.count("candlewick_flushed_posts_total")), (2, 8));
    });
}

#[apply(both_store_kinds)]
fn a_refused_post_does_not_fail_the_others(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        stage.database.refuse_some().await;
        let symbol = |n: usize| if n % 7 == 3 { "REFUSED" } else { "TAKEN" };
        let posts = all((0..20).map(async |n| stage.submit(&[of(n, symbol(n), n as i64 + 1, json!({}))]).await)).await;
        for (n, result) in posts.into_iter().enumerate() {
            match result {
                Ok(receipt) => assert!(symbol(n) == "TAKEN" && receipt.added == 1, "{n}: {receipt:?}"),
                Err(Refusal::Store(StoreError::ConstraintViolated(_))) => assert_eq!(symbol(n), "REFUSED", "{n}"),
                Err(other) => panic!("{n}: {other:?}"),
            }
        }
        assert_eq!(stage.database.closed().await.len(), 17);
        // A candle of a refused post is counted for the next post that contains it.
        let both = [of(30, "SHARED", 1, json!({})), of(30, "REFUSED", 1, json!({}))];
        let other = [of(31, "SHARED", 1, json!({}))];
        let posts = all([stage.submit(&both), stage.submit(&other)]).await;
        assert!(matches!(posts[0], Err(Refusal::Store(StoreError::ConstraintViolated(_)))), "{posts:?}");
        assert_eq!(posts[1].as_ref().unwrap().added, 1);
    });
}

#[apply(both_store_kinds)]
fn a_failure_not_caused_by_a_candle_is_not_retried_by_halves(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        stage.database.fail_on("BROKEN", Failing::Internally).await;
        let posts = all((0..64).map(async |n| stage.submit(&[of(n, "BROKEN", n as i64 + 1, json!({}))]).await)).await;
        for result in &posts {
            assert!(matches!(result, Err(Refusal::Store(StoreError::Internal(_)))), "{result:?}");
        }
        assert_eq!(stage.statements("append", "internal"), 1);
        assert!(stage.database.closed().await.is_empty());
    });
}

#[apply(both_store_kinds)]
fn a_candle_refused_by_a_trigger_does_not_fail_the_others(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        stage.database.fail_on("BROKEN", Failing::ByRefusal).await;
        let symbol = |n: usize| if n == 5 { "BROKEN" } else { "TAKEN" };
        let posts = all((0..8).map(async |n| stage.submit(&[of(n, symbol(n), n as i64 + 1, json!({}))]).await)).await;
        for (n, result) in posts.iter().enumerate() {
            match result {
                Ok(receipt) => assert!(n != 5 && receipt.added == 1, "{n}: {receipt:?}"),
                other => assert!(
                    n == 5 && matches!(other, Err(Refusal::Store(StoreError::ConstraintViolated(_)))),
                    "{other:?}"
                ),
            }
        }
        assert_eq!(stage.database.closed().await.len(), 7);
    });
}

#[apply(both_store_kinds)]
fn concurrent_large_posts_are_counted_and_refused_independently(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        stage.database.refuse_some().await;
        // Each batch shares its first hundred hours with the one before.
        let symbol = |n: usize, hours: i64| if n == 2 && hours == 400 { "REFUSED" } else { "TAKEN" };
        let batch = |n: usize| {
            let first = 100 * n as i64 + 1;
            (first..first + 200).map(|hours| of(n, symbol(n, hours), hours, json!({}))).collect::<Vec<_>>()
        };
        let posts = all((0..5).map(async |n| stage.submit(&batch(n)).await)).await;
        let stored = stage.database.closed().await;
        assert_eq!(stored.len(), 600, "all candles except those of the refused post alone");
        for (n, result) in posts.iter().enumerate() {
            if n == 2 {
                assert!(matches!(result, Err(Refusal::Store(StoreError::ConstraintViolated(_)))), "{result:?}");
                continue;
            }
            let Receipt { added, duplicate, .. } = result.as_ref().unwrap();
            assert_eq!((*added, added + duplicate), (stored.iter().filter(|row| read(row).0 == n).count(), 200), "{n}");
        }
    });
}

#[apply(both_store_kinds)]
fn closing_writes_the_queue_and_refuses_further_posts(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let candles = |n: usize, count: i64| {
            (1..=count).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>()
        };
        let posts = (0..50).map(async |n| stage.submit(&candles(n, 100)).await);
        let (posts, ()) = tokio::join!(biased; all(posts), stage.ingest.close());
        for receipt in posts {
            assert_eq!(receipt.unwrap().added, 100);
        }
        assert_eq!(stage.database.closed().await.len(), 5000);
        for count in [1, 129] {
            assert!(unavailable(&stage.submit(&candles(99, count)).await).contains("stopping"));
        }
        assert_eq!(stage.database.closed().await.len(), 5000);
    });
}

#[apply(both_store_kinds)]
fn a_post_is_written_although_its_client_disconnected(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let left = [of(0, "LEFT", 1, json!({}))];
        tokio::select! {
            biased;
            receipt = stage.submit(&left) => panic!("{receipt:?}"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(stage.submit(&left).await.unwrap().duplicate, 1);
        assert_eq!(stage.database.closed().await.len(), 1);
    });
}

/// The way in which a trigger fails a statement.
#[derive(Clone, Copy)]
enum Failing {
    /// With an error that is independent of the candle.
    Internally,
    /// With a refusal of this candle.
    ByRefusal,
}

impl Database {
    /// Creates a trigger that fails each statement which stores a closed candle of `symbol`.
    async fn fail_on(&self, symbol: &str, failing: Failing) {
        let trigger = match self {
            Self::Sqlite(_) => {
                let failure = match failing {
                    Failing::Internally => "json('{')",
                    Failing::ByRefusal => "raise(abort, 'not this one')",
                };
                format!(
                    "create trigger failing before insert on market_data_candles
                    when new.symbol = '{symbol}' begin select {failure}; end"
                )
            }
            Self::Postgres(_) => {
                let class = match failing {
                    Failing::Internally => " using errcode = 'XX000'",
                    Failing::ByRefusal => "",
                };
                // On Citus each statement goes to the other servers by itself.
                self.execute(&format!(
                    "create function fail() returns trigger language plpgsql as
                    $$ begin raise exception 'not this one'{class}; end $$"
                ))
                .await;
                format!(
                    "create trigger failing before insert on market_data_candles for each row
                    when (new.symbol = '{symbol}') execute function fail()"
                )
            }
        };
        self.execute(&trigger).await;
    }

    /// Makes the database refuse a symbol.
    async fn refuse_some(&self) {
        let constraint = match self {
            Self::Sqlite(_) => {
                "create trigger refusing before insert on market_data_candles
                when new.symbol = 'REFUSED' begin select raise(abort, 'refused'); end"
            }
            Self::Postgres(_) => "alter table market_data_candles add constraint refusing check (symbol <> 'REFUSED')",
        };
        self.execute(constraint).await;
    }

    pub async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => {
                let pool = sqlx::SqlitePool::connect(&self.url()).await.unwrap();
                pool.execute(sql).await.unwrap();
                pool.close().await;
            }
            Self::Postgres(database) => database.execute(sql).await,
        }
    }
}

/// The cause that a full queue gives for its refusal.
const NO_ROOM: &str = "more candles are queued";

/// Posts 126 batches of 128 candles at once, and returns how many of them are refused for lack of room.
async fn refused_for_room(stage: &Stage, symbol: impl Fn(usize, i64) -> String) -> usize {
    let batch = |n| (1..=128).map(|hours| of(n, &symbol(n, hours), hours, json!({}))).collect::<Vec<_>>();
    let posts = all((0..126).map(async |n| stage.submit(&batch(n)).await)).await;
    let added: usize = posts.iter().flatten().map(|receipt| receipt.added).sum();
    assert_eq!(stage.database.closed().await.len(), added);
    assert_eq!(stage.count("candlewick_waiting_candles"), 0);
    let refused = posts.iter().filter(|result| result.is_err() && unavailable(result).contains(NO_ROOM)).count();
    assert_eq!(stage.count("candlewick_load_shed_total{reason=\"write_queue\"}"), refused as u64);
    refused
}

#[test]
fn posts_beyond_the_queue_limit_are_refused_at_once() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        // The queue has room for 16,000 candles.
        assert_eq!(refused_for_room(stage, |n, _| format!("S{n}")).await, 1);
    });
}

#[test]
fn long_symbols_count_towards_the_queue_limit() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let refused = refused_for_room(stage, |n, hours| format!("{}{n:03}{hours:03}", "😀".repeat(58))).await;
        assert!((2..126).contains(&refused), "{refused}");
    });
}

#[test]
fn sqlite_commits_queued_large_posts_in_one_transaction() {
    /// The number of transactions in a write-ahead log: a frame that ends a transaction holds the file's size in pages
    /// (SQLite's file format, section 4.1).
    fn transactions(url: &str) -> usize {
        const HEADER: usize = 32;
        const FRAME_HEADER: usize = 24;
        let log = std::fs::read(format!("{}-wal", url.strip_prefix("sqlite://").unwrap())).unwrap();
        let page_size = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
        log[HEADER..].chunks_exact(FRAME_HEADER + page_size).filter(|frame| frame[4..8] != [0; 4]).count()
    }
    on_one_thread(StoreKind::Sqlite, async |stage: &Stage| {
        let batch = |n: usize| (1..=200).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>();
        for receipt in all((0..4).map(async |n| stage.submit(&batch(n)).await)).await {
            assert_eq!(receipt.unwrap().added, 200);
        }
        // Earlier transactions are in the file, because the connection that made the tables was closed.
        assert_eq!(transactions(&stage.database.url()), 1);
    });
}

#[test]
fn sqlite_fails_all_posts_of_a_transaction_on_an_internal_error() {
    on_one_thread(StoreKind::Sqlite, async |stage: &Stage| {
        stage.database.fail_on("BROKEN", Failing::Internally).await;
        let symbol = |n: usize| if n == 2 { "BROKEN" } else { "TAKEN" };
        let batch = |n: usize| {
            let first = 200 * n as i64 + 1;
            (first..first + 200).map(|hours| of(n, symbol(n), hours, json!({}))).collect::<Vec<_>>()
        };
        assert_eq!(stage.submit(&batch(0)).await.unwrap().added, 200);
        for result in all((1..5).map(async |n| stage.submit(&batch(n)).await)).await {
            assert!(matches!(result, Err(Refusal::Store(StoreError::Internal(_)))), "{result:?}");
        }
        assert_eq!(stage.database.closed().await.len(), 200);
    });
}

/// Takes a SQLite file's write lock, as another program may.
async fn lock_file(database: &Database) -> sqlx::SqliteConnection {
    let mut other = sqlx::SqliteConnection::connect(&database.url()).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    other
}

#[test]
fn posts_wait_while_another_program_locks_the_file() {
    on_one_thread(StoreKind::Sqlite, async |stage: &Stage| {
        let mut other = lock_file(&stage.database).await;
        let batch = |n: usize| (1..=200).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>();
        let posts = all((0..4).map(async |n| stage.submit(&batch(n)).await));
        let (posts, _) = tokio::join!(biased; posts, other.execute("commit"));
        for receipt in posts {
            assert_eq!(receipt.unwrap().added, 200);
        }
    });
}

#[test]
fn posts_locked_out_for_too_long_time_out_and_are_not_written() {
    on_one_thread(StoreKind::Sqlite, async |stage: &Stage| {
        let mut other = lock_file(&stage.database).await;
        let batch = |n: usize| (1..=200).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>();
        for result in all((0..4).map(async |n| stage.submit(&batch(n)).await)).await {
            unavailable(&result);
        }
        other.execute("commit").await.unwrap();
        assert_eq!(stage.submit(&batch(0)).await.unwrap().added, 200);
        assert_eq!(stage.database.closed().await.len(), 200);
    });
}

#[test]
fn posts_that_arrive_during_a_statement_share_the_next_one() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let Database::Postgres(database) = &stage.database else { unreachable!() };
        let mut lock = TableLock::take(database).await;
        let first = [of(0, "FIRST", 1, json!({}))];
        let others = async {
            lock.is_awaited().await;
            let posts = all((0..100).map(async |n| stage.submit(&[of(n, &format!("S{n}"), 1, json!({}))]).await));
            let release = async {
                assert_eq!(stage.count("candlewick_waiting_candles"), 100);
                lock.release().await;
            };
            tokio::join!(biased; posts, release).0
        };
        let (first, others) = tokio::join!(stage.submit(&first), others);
        for receipt in others.into_iter().chain([first]) {
            assert_eq!(receipt.unwrap().added, 1);
        }
        assert_eq!((stage.count("candlewick_flushes_total"), stage.count("candlewick_flushed_posts_total")), (2, 101));
        assert_eq!(stage.count("candlewick_waiting_candles"), 0);
    });
}

/// Makes the insertion of each closed candle that meets `condition` take a time.
async fn slow_down(database: &PgDatabase, condition: &str, seconds: f64) {
    let trigger = format!(
        "create function sleep() returns trigger language plpgsql as
        $$ begin perform pg_sleep({seconds}); return new; end $$;
        create trigger slow before insert on market_data_candles for each row when ({condition})
            execute function sleep()"
    );
    database.execute(&trigger).await;
}

/// The number of statements that such a candle holds up.
const SLEEPING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";

#[test]
fn posts_queued_for_too_long_time_out_and_are_not_written() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let Database::Postgres(database) = &stage.database else { unreachable!() };
        // Nearly as slow as a statement may be.
        slow_down(database, "new.symbol = 'FIRST'", 4.9).await;
        let mut watch = database.connect().await;
        let first = [of(0, "FIRST", 1, json!({}))];
        let others = async {
            eventually(async || sqlx::query_scalar::<_, i64>(SLEEPING).fetch_one(&mut watch).await.unwrap() != 0).await;
            all((0..10).map(async |n| stage.submit(&[of(n, &format!("S{n}"), 1, json!({}))]).await)).await
        };
        let first_is_answered = Cell::new(false);
        let first = async {
            let _ = stage.submit(&first).await;
            first_is_answered.set(true);
        };
        let others = async {
            let others = others.await;
            assert!(!first_is_answered.get(), "they are answered in time, not when a statement ends");
            others
        };
        let ((), others) = tokio::join!(biased; first, others);
        for result in &others {
            assert!(unavailable(result).contains("waited too long in the queue"), "{result:?}");
        }
        assert_eq!(stage.count("candlewick_waiting_candles"), 0);
        stage.ingest.close().await;
        assert!(stage.database.closed().await.iter().all(|row| row.starts_with("FIRST ")));
    });
}

#[test]
fn a_second_statement_of_a_post_does_not_begin_too_late() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let Database::Postgres(database) = &stage.database else { unreachable!() };
        let large: Vec<Value> = (1..=300).map(|hours| of(0, "LARGE", hours, json!({"volume": hours}))).collect();
        assert_eq!(stage.submit(&large[..1]).await.unwrap().added, 1);
        // Another process's, for all that this one knows.
        database.execute("update market_data_candles set \"timestamp\" = \"timestamp\" - interval '1 hour'").await;
        // COPY meets a stored candle only after most of the time of a post.
        slow_down(database, "new.volume = 7", 4.2).await;
        unavailable(&stage.submit(&large[1..]).await);
        assert_eq!(stage.database.closed().await.len(), 1, "it was refused, so nothing is stored later");
        stage.ingest.close().await;
        assert_eq!(stage.database.closed().await.len(), 1);
    });
}

#[test]
fn large_posts_leave_a_connection_to_small_ones() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let Database::Postgres(database) = &stage.database else { unreachable!() };
        slow_down(database, "new.volume = 7", 2.0).await;
        let mut watch = database.connect().await;
        let large = |n: usize| {
            (1..=200).map(|hours| of(n, &format!("S{n}"), hours, json!({"volume": hours}))).collect::<Vec<_>>()
        };
        let are_done = Cell::new(false);
        let large = async {
            let posts = all((0..20).map(async |n| stage.submit(&large(n)).await)).await;
            are_done.set(true);
            posts
        };
        let small = async {
            // Seven of the eight connections that ten leave to writers.
            eventually(async || sqlx::query_scalar::<_, i64>(SLEEPING).fetch_one(&mut watch).await.unwrap() == 7).await;
            assert_eq!(stage.submit(&[of(99, "SMALL", 1, json!({}))]).await.unwrap().added, 1);
            assert!(!are_done.get());
        };
        let (large, ()) = tokio::join!(biased; large, small);
        assert!(large.iter().filter(|post| post.is_ok()).count() >= 7);
    });
}

#[apply(both_store_kinds)]
fn a_flood_of_states_of_one_candle_does_not_delay_others(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let state = |n: usize| of(n, "FLOOD", 0, json!({"volume": n}));
        let flood = (0..500).map(async |n| stage.submit_of("flooding", &[state(n)]).await);
        let others = (0..20).map(async |n| stage.submit_of("other", &[of(n, &format!("S{n}"), 1, json!({}))]).await);
        let (flood, others) = tokio::join!(biased; all(flood), all(others));
        assert_eq!((stage.count("candlewick_flushes_total"), stage.count("candlewick_flushed_posts_total")), (1, 520));
        assert!(others.into_iter().all(|receipt| receipt.unwrap().added == 1));
        let live: Vec<usize> = flood.into_iter().map(|receipt| receipt.unwrap().forming).collect();
        assert_eq!(live.iter().sum::<usize>(), 1, "the others are older than what is stored");
        assert_eq!(live.last(), Some(&1));
        let forming = stage.database.forming().await;
        assert_eq!(forming.iter().map(|row| read(row).0).collect::<Vec<_>>(), [499]);
    });
}

#[apply(both_store_kinds)]
fn a_refused_state_does_not_fail_those_that_it_would_have_replaced(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let refusing = match kind {
            StoreKind::Sqlite => {
                "create trigger refusing before insert on market_data_live_candles
                when new.volume = 9 begin select raise(abort, 'refused'); end"
            }
            StoreKind::Postgres => "alter table market_data_live_candles add constraint refusing check (volume <> 9)",
        };
        stage.database.execute(refusing).await;
        let state = async |n: usize| stage.submit(&[of(n, "STATE", 0, json!({"volume": n}))]).await;
        let posts = all([state(7), state(8), state(9)]).await;
        assert!(matches!(posts[2], Err(Refusal::Store(StoreError::ConstraintViolated(_)))), "{posts:?}");
        assert_eq!(posts[..2].iter().map(|post| post.as_ref().unwrap().forming).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(stage.database.forming().await.iter().map(|row| read(row).2).collect::<Vec<_>>(), [8]);
    });
}

#[test]
fn a_poster_that_fills_the_queue_is_refused_in_favour_of_others() {
    on_one_thread(StoreKind::Postgres, async |stage: &Stage| {
        let batch = |n| (1..=128).map(|hours| of(n, &format!("S{n}"), hours, json!({}))).collect::<Vec<_>>();
        // All of the queue's room, for 16,000 candles.
        let flood = (0..125).map(async |n| stage.submit_of("flooding", &batch(n)).await);
        let other = (0..10).map(async |n| stage.submit_of("other", &[of(n, "OTHER", n as i64 + 1, json!({}))]).await);
        let (flood, other) = tokio::join!(biased; all(flood), all(other));
        assert!(other.into_iter().all(|receipt| receipt.unwrap().added == 1));
        // On a busy machine, some that had room wait for too long.
        let refused = flood.iter().filter(|result| result.is_err() && unavailable(result).contains(NO_ROOM)).count();
        assert!(refused > 0);
        assert_eq!(stage.count("candlewick_load_shed_total{reason=\"write_queue\"}"), refused as u64);
    });
}

#[apply(both_stores)]
async fn each_candle_of_concurrent_posters_counts_as_added_once(app: TestApp) {
    // Opens a connection before the posts arrive, because on a busy machine that may take longer than a post waits for
    // one.
    app.set_clock(NOW + 60);
    app.ingest(&[of(0, "FIRST", 1, json!({}))]).await;
    let mut posts = JoinSet::new();
    for n in 0..60 {
        let body =
            json!({"candles": [of(n, "SHARED", n as i64 % 20 + 1, json!({})), of(n, &format!("S{n}"), 0, json!({}))]});
        let post = app.request(reqwest::Method::POST, "/api/v1/candles").header("X-API-KEY", KEY);
        posts.spawn(async move { (n, send(post.body(body.to_string())).await.counts(2)) });
    }
    let mut added: BTreeMap<usize, u64> = BTreeMap::new();
    for (n, (own, duplicate, live)) in posts.join_all().await {
        assert_eq!((own + duplicate, live), (1, 1));
        added.insert(n, own);
    }
    let mut stored = app.database.closed().await;
    stored.retain(|row| row.starts_with("SHARED "));
    assert_eq!(stored.len(), 20);
    for row in stored {
        assert_eq!(added.insert(read(&row).0, 0), Some(1), "{row}");
    }
    assert!(added.values().all(|added| *added == 0), "a post that counts a candle as added has stored it");
    assert_eq!(app.database.forming().await.len(), 60);
}

/// A candle as posted: hours before now; closed, forming, or `None` for an invalid one; volume.
type Posted = (i64, Option<bool>, i64);

fn posted() -> impl Strategy<Value = Posted> {
    let phase = prop_oneof![4 => Just(Some(true)), 4 => Just(Some(false)), 1 => Just(None)];
    (1..5_i64, phase, 0..4_i64)
}

/// Closed and forming candles by hour, each with its poster and its volume.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Tables {
    closed: BTreeMap<i64, (usize, i64)>,
    forming: BTreeMap<i64, (usize, i64)>,
}

impl Tables {
    /// Stores a post after the earlier ones, and returns its counts of added and live candles.
    fn post(&mut self, poster: usize, post: &[Posted]) -> (usize, usize) {
        let (mut added, mut live) = (0, 0);
        let mut last: BTreeMap<i64, (bool, i64)> = BTreeMap::new();
        for (hours, phase, volume) in post {
            let Some(closed) = *phase else { continue };
            if closed || !last.get(hours).is_some_and(|(closed, _)| *closed) {
                last.insert(*hours, (closed, *volume));
            }
        }
        for (hours, (closed, volume)) in last {
            if self.closed.contains_key(&hours) {
                continue;
            }
            if closed {
                self.closed.insert(hours, (poster, volume));
                added += 1;
            } else if self.forming.get(&hours).is_none_or(|(_, stored)| *stored <= volume) {
                self.forming.insert(hours, (poster, volume));
                live += 1;
            }
        }
        (added, live)
    }

    /// Returns whether the posts in `left` can follow in some order, each with its own counts, and lead to `stored`.
    fn lead_to(&self, stored: &Self, posts: &[Vec<Posted>], counts: &[(usize, usize)], left: &[usize]) -> bool {
        if left.is_empty() {
            return self == stored;
        }
        left.iter().any(|&next| {
            let mut after = self.clone();
            let rest: Vec<usize> = left.iter().copied().filter(|&other| other != next).collect();
            after.post(next, &posts[next]) == counts[next] && after.lead_to(stored, posts, counts, &rest)
        })
    }
}

async fn some_order_explains_every_answer(stage: &Stage, symbol: &str, posts: &[Vec<Posted>]) {
    let as_sent = |poster: usize, (hours, phase, volume): &Posted| match phase {
        Some(closed) => of(poster, symbol, *hours, json!({"complete": closed, "volume": volume})),
        None => of(poster, symbol, *hours, json!({"volume": -1})),
    };
    let submit = async |(poster, post): (usize, &Vec<Posted>)| {
        let candles: Vec<Value> = post.iter().map(|candle| as_sent(poster, candle)).collect();
        stage.submit(&candles).await.unwrap()
    };
    let receipts = all(posts.iter().enumerate().map(submit)).await;
    for (post, receipt) in posts.iter().zip(&receipts) {
        assert_eq!(receipt.rejected, post.iter().filter(|(_, phase, _)| phase.is_none()).count());
        assert_eq!(receipt.received, post.len());
        assert_eq!(post.len(), receipt.added + receipt.duplicate + receipt.forming + receipt.rejected);
    }
    let rows = |rows: Vec<String>| {
        let own = rows.into_iter().filter(|row| row.starts_with(&format!("{symbol} ")));
        own.map(|row| read(&row)).map(|(poster, hours, volume)| (hours, (poster, volume))).collect()
    };
    let stored = Tables { closed: rows(stage.database.closed().await), forming: rows(stage.database.forming().await) };
    let counts: Vec<_> = receipts.iter().map(|receipt| (receipt.added, receipt.forming)).collect();
    let order: Vec<usize> = (0..posts.len()).collect();
    assert!(
        Tables::default().lead_to(&stored, posts, &counts, &order),
        "{counts:?} and {stored:?} by no order of {posts:?}"
    );
}

#[apply(both_store_kinds)]
fn concurrent_posts_are_answered_as_in_some_serial_order(kind: StoreKind) {
    on_one_thread(kind, async |stage: &Stage| {
        let mut runner = TestRunner::default();
        let cases = proptest::collection::vec(proptest::collection::vec(posted(), 1..5), 2..9);
        for case in 0..64 {
            let posts = cases.new_tree(&mut runner).unwrap().current();
            some_order_explains_every_answer(stage, &format!("CASE{case}"), &posts).await;
        }
        let flushes = stage.count("candlewick_flushes_total");
        assert!(stage.count("candlewick_flushed_posts_total") > flushes, "some shared a statement");
        match kind {
            StoreKind::Postgres => assert!(flushes > 64, "some could not"),
            StoreKind::Sqlite => assert_eq!(flushes, 64, "a transaction holds any mixture"),
        }
    });
}
