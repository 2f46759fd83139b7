//! Writes whose caller is cancelled halfway, tested at the store itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use candle::{Batch, BatchBuilder, Candle, Key, Ohlc, Phase, Price, Symbol, Timeframe, Timestamp, Volume};
use candlewick::deadline::Deadline;
use candlewick::store::{Direction, Range, Store};
use futures_util::FutureExt as _;
use rstest_reuse::apply;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::harness::{Database, Environment, NOW, StoreKind, TableLock, both_store_kinds, eventually, run};

fn symbol() -> Symbol {
    Symbol::parse("EURUSD").unwrap()
}

/// One closed candle.
fn batch(hours: i64) -> Arc<Batch> {
    let time = Timestamp::from_seconds(NOW - hours * 3600).unwrap();
    let price = Price::parse("1.085").unwrap();
    let candle = Candle {
        key: Key::new(symbol(), Timeframe::parse("H1").unwrap(), time).unwrap(),
        ohlc: Ohlc::new([price; 4]).unwrap(),
        volume: Volume::parse("1").unwrap(),
    };
    let mut builder = BatchBuilder::default();
    builder.push(0, candle, Phase::Closed.into());
    Arc::new(builder.build().batch)
}

/// The time by which a write has to begin.
fn soon() -> Instant {
    Deadline::from_now().write_by()
}

async fn store(database: &Database, connections: u32) -> Store {
    let environment = Environment::new(&database.url()).with("DATABASE_MAX_CONNECTIONS", connections);
    let store = Store::open(&environment.config().database).unwrap();
    store.prepare(true).await.unwrap();
    store
}

/// Blocks every write until it is released.
enum Lock {
    Postgres(TableLock),
    Sqlite(SqliteConnection),
}

impl Lock {
    async fn take(database: &Database) -> Self {
        match database {
            Database::Postgres(database) => Self::Postgres(TableLock::take(database).await),
            Database::Sqlite(_) => {
                let mut holder = SqliteConnection::connect(&database.url()).await.unwrap();
                holder.execute("begin immediate").await.unwrap();
                Self::Sqlite(holder)
            }
        }
    }

    /// Begins `work`, and returns once it waits for the lock.
    async fn is_met_by<F: Future>(&mut self, work: Pin<&mut F>) {
        match self {
            Self::Postgres(lock) => tokio::select! {
                _ = work => panic!("it passed the lock"),
                () = lock.is_awaited() => {}
            },
            // SQLite does not show its waiters. The write completes anyway once it has been polled.
            Self::Sqlite(_) => assert!(work.now_or_never().is_none(), "it passed the lock"),
        }
    }

    async fn release(self) {
        match self {
            Self::Postgres(lock) => lock.release().await,
            Self::Sqlite(mut holder) => drop(holder.execute("rollback").await.unwrap()),
        }
    }
}

#[apply(both_store_kinds)]
fn a_cancelled_write_completes_and_then_changes_the_series_version(kind: StoreKind) {
    run(async {
        let database = kind.database().await;
        let store = store(&database, 2).await;
        // Opens a connection before the lock is needed, because on a busy machine that may take longer than a write
        // waits for one.
        store.append(batch(9), soon()).await.unwrap();
        let change = || store.series_version(&symbol(), Timeframe::parse("H1").unwrap());
        let before = change();
        let mut lock = Lock::take(&database).await;
        let mut write = Box::pin(store.append(batch(1), soon()));
        lock.is_met_by(write.as_mut()).await;
        drop(write);
        assert!(change() == before, "a page that is read now holds the state before the write");
        lock.release().await;
        eventually(async || change() != before).await;
        assert_eq!(database.closed().await.len(), 2, "it is stored when the series counts as changed");
        store.close().await;
    });
}

#[test]
fn a_connection_with_an_interrupted_statement_is_not_reused() {
    run(async {
        let database = Database::postgres().await;
        let store = store(&database, 1).await;
        store.append(batch(9), soon()).await.unwrap();
        let mut lock = Lock::take(&database).await;
        let mut write = Box::pin(store.append(batch(1), soon()));
        lock.is_met_by(write.as_mut()).await;
        assert_eq!(store.pool_use().open, 1);
        // Without a runtime that could finish it, the write is interrupted in the middle of its statement.
        std::thread::scope(|scope| scope.spawn(move || drop(write)).join()).unwrap();
        assert_eq!(store.pool_use().open, 0, "its connection is closed");
        lock.release().await;
        for hours in 2..5 {
            assert_eq!(store.append(batch(hours), soon()).await.unwrap().added, 1);
        }
        let range = Range {
            symbol: symbol(),
            timeframe: Timeframe::parse("H1").unwrap(),
            start: (NOW - 4 * 3600) * 1000,
            end: (NOW - 3600) * 1000,
            direction: Direction::Ascending,
            limit: 10,
        };
        assert_eq!(store.range(range).await.unwrap().len(), 3);
        store.close().await;
    });
}
