//! The primary key of Postgres whose index holds the values of a candle: where it is made, how, and where it is not.

use serde_json::json;
use sqlx::Executor;

use crate::harness::{Environment, NOW, PgDatabase, Service, candle, plain_server, run};
use crate::migrating::Migrating;
use crate::postgres::{ADOPTED, prepare, scalar};
use crate::program::folder;

const COVERING: &str = "PRIMARY KEY (symbol, timeframe, \"timestamp\") INCLUDE (open, high, low, close, volume)";
const PLAIN: &str = "PRIMARY KEY (symbol, timeframe, \"timestamp\")";
/// The primary key as earlier releases made it.
const EARLIER: &str = "
    delete from _sqlx_migrations where version = 4;
    alter table market_data_candles reset (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold),
        drop constraint market_data_candles_pkey, add primary key (symbol, timeframe, \"timestamp\");";

/// A database of the release before, with a candle.
async fn earlier() -> PgDatabase {
    let database = PgDatabase::create(&plain_server()).await;
    let mut app = Service::start(&Environment::new(&database.url)).await;
    assert_eq!(app.ingest(&[candle(NOW - 10800)]).await, (1, 0, 0));
    app.stop().await.unwrap();
    database.execute(EARLIER).await;
    assert_eq!(key(&database).await, PLAIN);
    database
}

async fn key(database: &PgDatabase) -> String {
    let key = "select pg_get_constraintdef(oid) from pg_constraint
        where conrelid = 'market_data_candles'::regclass and contype = 'p'";
    scalar(database, key).await
}

async fn indexes(database: &PgDatabase) -> String {
    let names = "select string_agg(indexrelid::regclass::text, ', ' order by indexrelid::regclass::text)
        from pg_index where indrelid = 'market_data_candles'::regclass";
    scalar(database, names).await
}

/// Checks that the key is what it was, and that candles are posted and read as ever.
async fn keeps(database: &PgDatabase, expected: &str) {
    prepare(&database.url, true).await.unwrap();
    assert_eq!(key(database).await, expected);
    assert!(!indexes(database).await.contains("covering"));
    let mut app = Service::start(&Environment::new(&database.url)).await;
    assert_eq!(app.ingest(&[candle(NOW - 3600), candle(NOW)]).await, (1, 0, 1));
    assert_eq!(app.ingest(&[candle(NOW - 3600)]).await.0, 0);
    assert_eq!(app.candles(&format!("&from={}", NOW - 3600)).await.json().as_array().unwrap().len(), 2);
    app.stop().await.unwrap();
}

#[test]
fn a_page_of_a_new_database_is_read_from_the_index_alone() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let app = Service::start(&Environment::new(&database.url)).await;
        app.ingest(&(1..=50).map(|hours| candle(NOW - 3600 * hours)).collect::<Vec<_>>()).await;
        assert_eq!(key(&database).await, COVERING);
        assert_eq!(indexes(&database).await, "market_data_candles_pkey");
        database.execute("vacuum market_data_candles").await;
        let mut connection = database.connect().await;
        connection.execute("set enable_seqscan = off; set enable_bitmapscan = off").await.unwrap();
        let page = r#"explain (analyze, costs off, timing off) select "timestamp", open, high, low, close, volume
            from market_data_candles where symbol = 'EURUSD' and timeframe = 'H1' order by "timestamp" desc limit 20"#;
        let plan = sqlx::query_scalar::<_, String>(page).fetch_all(&mut connection).await.unwrap().join("\n");
        assert!(plan.contains("Index Only Scan") && plan.contains("Heap Fetches: 0"), "{plan}");
    });
}

#[test]
fn the_newest_candles_are_vacuumed_early_unless_the_operator_chose_when() {
    run(async {
        let options = "select coalesce(array_to_string(reloptions, ' '), '') from pg_class
            where oid = 'market_data_candles'::regclass";
        let database = earlier().await;
        prepare(&database.url, true).await.unwrap();
        assert_eq!(
            scalar(&database, options).await,
            "autovacuum_vacuum_insert_scale_factor=0 autovacuum_vacuum_insert_threshold=10000"
        );
        let database = earlier().await;
        database.execute("alter table market_data_candles set (autovacuum_vacuum_insert_threshold = 7)").await;
        prepare(&database.url, true).await.unwrap();
        assert_eq!(key(&database).await, COVERING);
        assert_eq!(scalar(&database, options).await, "autovacuum_vacuum_insert_threshold=7");
    });
}

#[test]
fn the_key_of_an_earlier_release_is_built_anew_beside_a_service_at_work() {
    run(async {
        let database = earlier().await;
        let serving = Environment::new(&database.url).with("MIGRATE_ON_START", "false");
        let app = Service::start(&serving).await;
        // The server waits for this transaction before it calls the index whole.
        let mut old = database.connect().await;
        old.execute("begin isolation level repeatable read; select * from market_data_live_candles").await.unwrap();
        let place = folder();
        let mut first = Migrating::start(place.path(), &database.url);
        first.line_with("an index is being built");
        let mut second = Migrating::start(place.path(), &database.url);
        second.line_with("waiting for another process that builds an index");
        assert_eq!(app.ingest(&[candle(NOW - 10800), candle(NOW - 7200)]).await, (1, 1, 0));
        assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 2);
        old.execute("commit").await.unwrap();
        first.ends_well();
        second.ends_well();
        assert_eq!(key(&database).await, COVERING);
        assert_eq!(indexes(&database).await, "market_data_candles_pkey");
        assert_eq!(app.ingest(&[candle(NOW - 10800), candle(NOW)]).await, (0, 1, 1));
        assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 3);
    });
}

#[test]
fn what_holds_the_table_delays_the_new_key_and_nobody_else() {
    run(async {
        let database = earlier().await;
        let place = folder();
        // A reader's lock, as pg_dump holds it. Building the index does not wait for it.
        let mut reader = database.connect().await;
        reader.execute("begin; lock table market_data_candles in access share mode").await.unwrap();
        let mut migrating = Migrating::start(place.path(), &database.url);
        migrating.line_with("migration 4 (covering key) is running");
        assert_eq!(key(&database).await, PLAIN);
        // A statement that came after the migration gets the lock before it.
        let count = "set lock_timeout = '5s'; select * from market_data_candles";
        database.execute(count).await;
        reader.execute("commit").await.unwrap();
        migrating.ends_well();
        assert_eq!(key(&database).await, COVERING);
    });
}

#[test]
fn an_index_that_was_left_half_built_is_built_again() {
    run(async {
        let database = earlier().await;
        database
            .execute(
                "create unique index market_data_candles_covering on market_data_candles (symbol, timeframe, timestamp);
                 update pg_index set indisvalid = false where indexrelid = 'market_data_candles_covering'::regclass",
            )
            .await;
        keeps(&database, COVERING).await;
    });
}

#[test]
fn a_key_that_something_else_needs_stays_as_it_is() {
    run(async {
        for dependent in [
            "create table notes (symbol text, timeframe text, at timestamptz,
                 foreign key (symbol, timeframe, at) references market_data_candles)",
            "create view newest as select * from market_data_candles group by symbol, timeframe, timestamp",
            "alter table market_data_candles replica identity using index market_data_candles_pkey",
            "create table more () inherits (market_data_candles)",
        ] {
            let database = earlier().await;
            database.execute(dependent).await;
            keeps(&database, PLAIN).await;
        }
    });
}

#[test]
fn the_keys_of_other_programs_stay_as_they_are() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(ADOPTED).await;
        keeps(&database, "PRIMARY KEY (id)").await;

        let partitioned = PgDatabase::create(&plain_server()).await;
        partitioned
            .execute(
                "create table market_data_candles (symbol text not null, timeframe text not null,
                     timestamp timestamptz not null, open numeric not null, high numeric not null, low numeric not null,
                     close numeric not null, volume bigint not null, primary key (symbol, timeframe, timestamp)
                 ) partition by range (timestamp);
                 create table candles_all partition of market_data_candles default",
            )
            .await;
        keeps(&partitioned, PLAIN).await;
    });
}

#[test]
fn candles_too_wide_for_an_index_keep_the_key_as_it_is() {
    run(async {
        let database = earlier().await;
        // Others may write what candlewick does not take. The digits differ, because the server compresses a value.
        database
            .execute(
                "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                 select 'WIDE', 'H1', '2020-01-01Z', wide, wide, wide, wide, 1
                 from (select string_agg((random() * 10)::int::text, '')::numeric as wide from generate_series(1, 9000)) wide",
            )
            .await;
        keeps(&database, PLAIN).await;
    });
}

#[test]
fn prices_of_the_most_digits_fit() {
    run(async {
        let database = earlier().await;
        prepare(&database.url, true).await.unwrap();
        let app = Service::start(&Environment::new(&database.url)).await;
        let most = "0.1234567890123456789012345678";
        let wide = json!({"symbol": "W".repeat(64), "timeframe": "H1", "timestamp": NOW - 7200,
            "open": most, "high": most, "low": most, "close": most, "volume": i64::MAX >> 10});
        assert_eq!(app.ingest(&[wide]).await, (1, 0, 0));
    });
}
