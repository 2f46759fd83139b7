//! Answers are the same where an extension keeps the tables. `make test-citus` and `make test-timescale` run these tests.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use candlewick::clock::Clock;
use candlewick::store::{Store, StoreError};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::delivery::backups::{Backups, everything};
use crate::engine::{Engine, prepare};
use crate::harness::{
    Answer, Database, Environment, KEY, NOW, PgDatabase, TOKEN, TestApp, candle, eventually, plain_server, run, send,
    with,
};
use crate::program::{folder, output, program};

/// An empty database with the tables of a service, not converted.
async fn migrated(engine: Engine) -> PgDatabase {
    let (this, server) = Engine::of_this_run().expect("make test-citus or make test-timescale runs it");
    assert_eq!(this, engine);
    let database = this.empty_database(&server).await;
    prepare(&database).await.unwrap();
    database
}

/// The report of `candlewick check`.
fn check(database: &PgDatabase) -> String {
    check_at(&database.url)
}

fn check_at(url: &str) -> String {
    let folder = folder();
    let settings = [("DATABASE_URL", url), ("PORT", "0"), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)];
    let (_, printed, _) = output(program(folder.path(), &settings).arg("check"));
    printed
}

/// Runs docs/postgres-retention.sql for candles of H1 that are older than a day, by the database's clock.
fn delete_older_h1(database: &PgDatabase) {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/postgres-retention.sql");
    let psql = std::env::var_os("TEST_POSTGRES_BIN").map_or("psql".into(), |bin| Path::new(&bin).join("psql"));
    let mut command = Command::new(psql);
    command.args([
        "-X",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "timeframe=H1",
        "-v",
        "keep=1 day",
        "-f",
        SCRIPT,
        &database.url,
    ]);
    let (code, _, said) = output(&mut command);
    assert_eq!(code, 0, "{said}");
}

/// Candles of 30 symbols in three timeframes over ten months: 30 in each series.
const HISTORY: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select 'SYM' || s, t, timestamptz '2025-01-01 00:00Z' + n * interval '10 days', 1.085, 1.086, 1.084, 1.0855, n
    from generate_series(1, 30) n, generate_series(1, 30) s, unnest(array['D1', 'H1', 'M5']) t";

/// The answers that clients get about [`HISTORY`]: lists of series with filters, and pages.
async fn answers(app: &TestApp) -> Vec<String> {
    let mut answers = Vec::new();
    for path in [
        "/api/v1/series",
        "/api/v1/series?limit=7",
        "/api/v1/series?timeframe=H1",
        "/api/v1/series?symbol=SYM7&symbol=SYM12",
        "/api/v1/candles?symbol=SYM3&timeframe=H1",
        "/api/v1/candles?symbol=SYM3&timeframe=H1&from=2025-03-01&to=2025-06-01",
        "/api/v1/candles?symbol=SYM3&timeframe=MN1",
        "/api/v1/export.csv?symbol=SYM3&timeframe=H1&from=2025-02-01&to=2025-09-01",
        "/api/v1/gaps?symbol=SYM3&timeframe=D1&from=2025-01-05&to=2025-06-01",
        "/api/v1/latest?symbol=SYM7&symbol=SYM12",
        "/api/v1/udf/history?symbol=SYM3&resolution=60&from=1735689600&to=1767225600",
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answers.push(answer.body);
    }
    answers
}

/// Posts candles of which some are stored, some differ from what is stored, and some are new.
async fn posts_are_counted(app: &TestApp) {
    let stored = |n: i64, volume: i64| {
        json!({"symbol": format!("SYM{n}"), "timeframe": "H1", "timestamp": "2025-03-02T00:00:00Z", "open": "1.085",
               "high": "1.086", "low": "1.084", "close": "1.0855", "volume": volume})
    };
    let candles: Vec<Value> = (1..=20).map(|n| stored(n, 6)).collect();
    assert_eq!(app.ingest(&candles).await, (0, 20, 0), "all are stored");
    let answer = app.post(&json!({ "candles": [stored(1, 6), stored(2, 7), stored(31, 6)] })).await;
    assert_eq!(answer.counts(3), (1, 2, 0));
    assert_eq!(answer.json()["records_conflicting"], 1, "{answer:?}");
    let hours = |symbol: &str| -> Vec<Value> {
        (0..300).map(|n| with(candle(NOW - (n + 2) * 3600), json!({"symbol": symbol}))).collect()
    };
    assert_eq!(app.ingest(&hours("LARGE")).await, (300, 0, 0));
    assert_eq!(app.ingest(&[hours("LARGE"), hours("SYM1")].concat()).await, (300, 300, 0));
    let forming = |volume: i64| with(candle(NOW), json!({"symbol": "SYM1", "complete": false, "volume": volume}));
    assert_eq!(app.ingest(&[forming(5), with(candle(NOW - 2 * 3600), json!({"symbol": "SYM1"}))]).await, (0, 1, 1));
    assert_eq!(app.ingest(&[forming(4)]).await, (0, 1, 0), "an older state");
    let count = "select (count(*) - count(distinct (symbol, timeframe, timestamp)))::text from market_data_candles";
    assert_eq!(app.database.rows(count).await, ["0"], "no candle twice");
}

/// The number of candles by timeframe.
async fn counts(app: &TestApp) -> Vec<String> {
    let counts = "select timeframe || ' ' || count(*) from market_data_candles group by timeframe order by timeframe";
    app.database.rows(counts).await
}

/// The time of the candles of [`HISTORY`] with this number, in seconds.
fn day(n: i64) -> i64 {
    1_735_689_600 + n * 10 * 86_400
}

/// A candle of [`HISTORY`] in H1, with this low.
fn stored(symbol: &str, n: i64, low: &str) -> Value {
    json!({"symbol": symbol, "timeframe": "H1", "timestamp": day(n), "open": "1.085", "high": "1.086", "low": low,
           "close": "1.0855", "volume": n})
}

const KEY_OF_OPS: &str = "maintenance-key-for-tests";

async fn correct(app: &TestApp, body: &Value) -> Answer {
    let request = app.request(Method::POST, "/api/v1/corrections").header("X-Maintenance-Key", KEY_OF_OPS);
    send(request.body(body.to_string())).await
}

async fn delete(app: &TestApp, query: &str) -> Answer {
    let request = app.request(Method::DELETE, &format!("/api/v1/candles?{query}"));
    send(request.bearer_auth(KEY_OF_OPS)).await
}

mod citus {
    use super::*;

    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn tables_are_refused_until_both_are_distributed_by_symbol() {
        run(async {
            let database = migrated(Engine::Citus).await;
            assert!(!check(&database).contains("Citus distributes"), "not yet");
            for distribution in [
                "select create_distributed_table('market_data_candles', 'symbol')",
                "select create_distributed_table('market_data_live_candles', 'symbol', colocate_with => 'none')",
            ] {
                database.execute(distribution).await;
                let Err(StoreError::Misconfigured(said)) = prepare(&database).await else { panic!("{distribution}") };
                assert!(said.to_string().contains("colocate_with => 'market_data_candles'"), "{said}");
            }
            database.execute("select undistribute_table('market_data_live_candles')").await;
            database.execute("select undistribute_table('market_data_candles')").await;
            prepare(&database).await.unwrap();
            Engine::Citus.convert(&database).await;
            prepare(&database).await.unwrap();
            let report = check(&database);
            assert!(report.contains("Citus distributes the tables by symbol"), "{report}");
        });
    }

    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn series_pages_and_posts_are_those_of_plain_tables() {
        run(async {
            let app = TestApp::start(Database::Postgres(migrated(Engine::Citus).await)).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            database.execute(HISTORY).await;
            let before = answers(&app).await;
            let TestApp { service, database } = app;
            drop(service);
            let Database::Postgres(database) = database else { unreachable!() };
            Engine::Citus.convert(&database).await;
            let app = TestApp::start(Database::Postgres(database)).await;
            assert_eq!(answers(&app).await, before);
            posts_are_counted(&app).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            delete_older_h1(database);
            assert_eq!(counts(&app).await, ["D1 900", "M5 900"]);
        });
    }

    /// Closed candles of two symbols whose shards are on different workers.
    const ON_TWO_WORKERS: &str = "
        select distinct on (nodename, nodeport) symbol, shard_name, nodename, nodeport
        from (select 'SYM' || n as symbol, get_shard_id_for_distribution_column('market_data_candles', 'SYM' || n) as shard
              from generate_series(1, 30) n) symbols
            join citus_shards on shardid = shard
        order by nodename, nodeport, symbol";

    /// A symbol, and the worker that has its closed candles.
    struct Placed {
        symbol: String,
        shard: String,
        worker: String,
    }

    impl Placed {
        /// Connects to the database on the worker, with the right to change shards by their names.
        async fn connect(&self) -> PgConnection {
            const MANUAL: &str =
                "set citus.enable_manual_changes_to_shards = on; set citus.enable_ddl_propagation = off";
            let mut connection = PgConnection::connect(&self.worker).await.unwrap();
            connection.execute(MANUAL).await.unwrap();
            connection
        }

        /// Has the worker run `body` when it prepares to commit a change of the symbol's closed candles.
        async fn before_prepare(&self, body: &str) {
            let statement = format!(
                "create or replace function before_prepare() returns trigger language plpgsql
                     as $$ begin {body}; return null; end $$;
                 create constraint trigger before_prepare after update or delete on {}
                     deferrable initially deferred for each row execute function before_prepare()",
                self.shard
            );
            self.connect().await.execute(&*statement).await.unwrap();
        }

        async fn forget(&self) {
            self.connect().await.execute("drop function before_prepare cascade").await.unwrap();
        }
    }

    /// A service that may change history, with [`HISTORY`] on distributed tables, and two symbols on different workers.
    async fn on_two_workers() -> (TestApp, [Placed; 2]) {
        let database = migrated(Engine::Citus).await;
        Engine::Citus.convert(&database).await;
        database.execute(HISTORY).await;
        let rows = database.connect().await.fetch_all(ON_TWO_WORKERS).await.unwrap();
        let placed = rows.iter().map(|row| {
            let mut worker = url::Url::parse(&database.url).unwrap();
            worker.set_host(Some(row.get("nodename"))).unwrap();
            worker.set_port(Some(u16::try_from(row.get::<i32, _>("nodeport")).unwrap())).unwrap();
            Placed { symbol: row.get("symbol"), shard: row.get("shard_name"), worker: worker.into() }
        });
        let placed: Vec<_> = placed.collect();
        let app = TestApp::start_with(Database::Postgres(database), |environment| {
            environment.with("MAINTENANCE_KEY", format!("ops:{KEY_OF_OPS}"))
        })
        .await;
        let placed = placed.try_into().unwrap_or_else(|_| panic!("the cluster has two workers"));
        (app, placed)
    }

    /// A correction of a candle of both symbols.
    fn correction([one, other]: &[Placed; 2], low: &str) -> Value {
        json!({"reason": "bad tick", "candles": [stored(&one.symbol, 1, low), stored(&other.symbol, 1, low)]})
    }

    /// The lows that [`correction`] changes, and how many candles the record says were changed or deleted.
    async fn state(app: &TestApp, [one, other]: &[Placed; 2]) -> (Vec<String>, Vec<String>) {
        let lows = format!(
            "select symbol || ' ' || low from market_data_candles
             where symbol in ('{}', '{}') and timeframe = 'H1' and timestamp = to_timestamp({}) order by symbol = '{}'",
            one.symbol,
            other.symbol,
            day(1),
            other.symbol
        );
        let record = "select symbol || ' ' || kind || ' ' || candles from market_data_changes order by symbol";
        (app.database.rows(&lows).await, app.database.rows(record).await)
    }

    /// The state before a correction.
    fn untouched([one, other]: &[Placed; 2]) -> (Vec<String>, Vec<String>) {
        (vec![format!("{} 1.084", one.symbol), format!("{} 1.084", other.symbol)], Vec::new())
    }

    fn corrected([one, other]: &[Placed; 2], low: &str) -> (Vec<String>, Vec<String>) {
        let mut record = vec![format!("{} correction 1", one.symbol), format!("{} correction 1", other.symbol)];
        record.sort();
        (vec![format!("{} {low}", one.symbol), format!("{} {low}", other.symbol)], record)
    }

    /// Returns once no worker has a transaction that is prepared and neither committed nor undone. Citus asks the workers for such
    /// transactions each minute by itself.
    async fn settled(app: &TestApp, placed: &[Placed; 2]) {
        const PREPARED: &str = "select count(*) from pg_prepared_xacts where database = current_database()";
        let deadline = Instant::now() + Duration::from_mins(1);
        eventually(async || {
            assert!(Instant::now() < deadline, "a transaction stays prepared");
            app.database.rows("select recover_prepared_transactions()::text").await;
            let mut left = 0;
            for place in placed {
                left += sqlx::query_scalar::<_, i64>(PREPARED).fetch_one(&mut place.connect().await).await.unwrap();
            }
            left == 0
        })
        .await;
    }

    /// One of the servers cannot commit.
    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn a_change_that_one_worker_refuses_changes_nothing_on_any() {
        run(async {
            let (app, placed) = on_two_workers().await;
            let span = |place: &Placed| format!("symbol={}&timeframe=H1&from={}&to={}", place.symbol, day(3), day(12));
            let before = app.database.closed().await;
            for place in &placed {
                place.before_prepare("raise disk_full").await;
                let answer = correct(&app, &correction(&placed, "1.0841")).await;
                assert!(answer.status.is_server_error(), "{answer:?}");
                let dry = delete(&app, &format!("{}&dry_run=true", span(place))).await.json();
                let confirmed = format!("{}&confirm={}&reason=bad+feed", span(place), dry["confirm"].as_str().unwrap());
                let answer = delete(&app, &confirmed).await;
                assert!(answer.status.is_server_error(), "{answer:?}");
                assert_eq!(app.database.closed().await, before);
                assert_eq!(state(&app, &placed).await, untouched(&placed));
                settled(&app, &placed).await;
                place.forget().await;
            }
            let answer = correct(&app, &correction(&placed, "1.0841")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(state(&app, &placed).await, corrected(&placed, "1.0841"));
        });
    }

    /// Sends a request that changes candles of the second symbol, and holds its commit between the two phases: the first worker has
    /// prepared it, and the second waits.
    async fn between_the_phases(
        app: &TestApp,
        placed: &[Placed; 2],
        request: impl Future<Output = Answer>,
        fault: impl AsyncFnOnce(&TestApp, &mut PgConnection),
    ) -> Answer {
        const LOCK: i64 = 19;
        const PREPARED: &str = "select count(*) from pg_prepared_xacts where database = current_database()";
        const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())";
        let [first, second] = placed;
        second.before_prepare(&format!("perform pg_advisory_xact_lock({LOCK})")).await;
        let (mut first, mut gate) = (first.connect().await, second.connect().await);
        sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut gate).await.unwrap();
        let faulty = async {
            eventually(async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut gate).await.unwrap() > 0).await;
            eventually(async || sqlx::query_scalar::<_, i64>(PREPARED).fetch_one(&mut first).await.unwrap() > 0).await;
            fault(app, &mut first).await;
            sqlx::query("select pg_advisory_unlock($1)").bind(LOCK).execute(&mut gate).await.unwrap();
        };
        let (answer, ()) = tokio::join!(request, faulty);
        settled(app, placed).await;
        second.forget().await;
        answer
    }

    /// Ends the connection that commits, as a crash of the coordinator would.
    async fn end_the_commit(app: &TestApp) {
        const END: &str = "
            select pg_terminate_backend(pid)::text from pg_stat_activity
            where datname = current_database() and application_name like 'candlewick%' and query ilike 'commit%'
              and state = 'active'";
        assert_eq!(app.database.rows(END).await, ["true"]);
    }

    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn a_change_is_undone_everywhere_if_the_coordinator_fails_before_it_commits() {
        run(async {
            let (app, placed) = on_two_workers().await;
            let before = app.database.closed().await;
            let body = correction(&placed, "1.0841");
            let answer =
                between_the_phases(&app, &placed, correct(&app, &body), async |app, _| end_the_commit(app).await).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(state(&app, &placed).await, untouched(&placed));
            assert_eq!(app.database.closed().await, before);

            // All rows of a deletion are on one worker, and the record is on the coordinator.
            let span = format!("symbol={}&timeframe=H1&from={}&to={}", placed[1].symbol, day(3), day(12));
            let dry = delete(&app, &format!("{span}&dry_run=true")).await.json();
            let confirmed = format!("{span}&confirm={}&reason=bad+feed", dry["confirm"].as_str().unwrap());
            let request = delete(&app, &confirmed);
            let answer = between_the_phases(&app, &placed, request, async |app, _| end_the_commit(app).await).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(state(&app, &placed).await, untouched(&placed));
            assert_eq!(app.database.closed().await, before);

            let answer = correct(&app, &body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(state(&app, &placed).await, corrected(&placed, "1.0841"));
            assert_eq!(delete(&app, &confirmed).await.json()["records_deleted"], 10);
        });
    }

    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn a_change_is_made_everywhere_if_a_worker_fails_after_it_has_prepared() {
        run(async {
            let (app, placed) = on_two_workers().await;
            let body = correction(&placed, "1.0841");
            let answer = between_the_phases(&app, &placed, correct(&app, &body), async |_, worker| {
                let end = "select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and application_name like 'citus_internal%' and state = 'idle'";
                assert!(!worker.fetch_all(end).await.unwrap().is_empty());
            })
            .await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(state(&app, &placed).await, corrected(&placed, "1.0841"));
        });
    }

    /// A worker has the distributed tables and none of the others.
    #[test]
    #[ignore = "needs Citus: make test-citus"]
    fn a_service_on_a_worker_is_refused() {
        run(async {
            let database = migrated(Engine::Citus).await;
            let worker = |database: &PgDatabase| {
                let mut url = url::Url::parse(&database.workers[0]).unwrap();
                url.set_path(&database.name);
                String::from(url)
            };
            let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
            let place = url::Url::parse(&database.url).unwrap();
            let place = format!(
                "name the coordinator in DATABASE_URL, which this worker knows as {}:{}",
                place.host_str().unwrap(),
                place.port().unwrap()
            );
            // Before the tables are distributed, and afterwards.
            for step in 0..2 {
                if step == 1 {
                    Engine::Citus.convert(&database).await;
                }
                let mut connection = PgConnection::connect(&worker(&database)).await.unwrap();
                let before: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
                let store = Store::open(&Environment::new(&worker(&database)).config().database).unwrap();
                for migrate in [true, false] {
                    let Err(StoreError::Misconfigured(said)) = store.prepare(migrate).await else { panic!("{step}") };
                    assert!(said.to_string().ends_with(&place), "{said}");
                }
                store.close().await;
                let after: i64 = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
                assert_eq!(after, before, "no table was made");
            }
            let report = check_at(&worker(&database));
            assert!(report.contains("the database is a worker of Citus"), "{report}");
        });
    }
}

mod timescale {
    use super::*;

    const ENABLE_COLUMNSTORE: &str = "
        alter table market_data_candles disable row level security;
        alter table market_data_candles set (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol, timeframe',
                                             timescaledb.orderby = '\"timestamp\" desc')";
    const COMPRESS: &str = "
        do $$
        declare
            chunk regclass;
        begin
            for chunk in select show_chunks('market_data_candles') loop
                call convert_to_columnstore(chunk, if_not_columnstore => true);
            end loop;
        end
        $$";

    #[test]
    #[ignore = "needs TimescaleDB: make test-timescale"]
    fn compressed_chunks_are_read_and_written_as_a_plain_table() {
        run(async {
            let app = TestApp::start(Database::Postgres(migrated(Engine::Timescale).await)).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            assert!(!check(database).contains("hypertable"), "not yet");
            database.execute(HISTORY).await;
            let before = answers(&app).await;
            let TestApp { service, database } = app;
            drop(service);
            let Database::Postgres(database) = database else { unreachable!() };
            Engine::Timescale.convert(&database).await;
            database.execute(ENABLE_COLUMNSTORE).await;
            database.execute(COMPRESS).await;
            let app = TestApp::start(Database::Postgres(database)).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            assert!(check(database).contains("market_data_candles is a hypertable of TimescaleDB"));
            let compressed = "select count(*)::text from timescaledb_information.chunks where is_compressed";
            assert_eq!(app.database.rows(compressed).await, ["11"]);
            assert_eq!(answers(&app).await, before);
            posts_are_counted(&app).await;
            database.execute(COMPRESS).await;
            posts_are_the_same_again(&app).await;

            let Some(backups) = Backups::of(&app.database) else { return };
            let file = backups.make(&app.database.url());
            for target in
                [Engine::Timescale.database(&database.server).await, PgDatabase::create(&plain_server()).await]
            {
                prepare(&target).await.unwrap();
                let (code, said) = backups.restore(&target.url, &file);
                assert_eq!(code, 0, "{said}");
                assert_eq!(everything(&Database::Postgres(target)).await, everything(&app.database).await);
            }
            delete_older_h1(database);
            assert_eq!(counts(&app).await, ["D1 900", "M5 900"]);
        });
    }

    #[test]
    #[ignore = "needs TimescaleDB: make test-timescale"]
    fn history_is_corrected_and_deleted_on_compressed_chunks() {
        run(async {
            let database = migrated(Engine::Timescale).await;
            database.execute(HISTORY).await;
            Engine::Timescale.convert(&database).await;
            database.execute(ENABLE_COLUMNSTORE).await;
            database.execute(COMPRESS).await;
            let app = TestApp::start_with(Database::Postgres(database), |environment| {
                environment.with("MAINTENANCE_KEY", format!("ops:{KEY_OF_OPS}"))
            })
            .await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            let mut expected = app.database.closed().await;

            // Candles of two series, in two chunks.
            let body =
                json!({"reason": "bad tick", "candles": [stored("SYM1", 1, "1.0841"), stored("SYM2", 9, "1.08410")]});
            let answer = correct(&app, &body).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["records_corrected"]), (200, &json!(2)), "{answer:?}");
            for (symbol, n, low) in [("SYM1", 1, "1.0841"), ("SYM2", 9, "1.08410")] {
                let start = format!("{symbol} H1 {} ", day(n));
                let row = expected.iter_mut().find(|row| row.starts_with(&start)).unwrap();
                *row = row.replace(" 1.084 ", &format!(" {low} "));
            }
            assert_eq!(app.database.closed().await, expected);
            let wrong = with(stored("SYM1", 2, "1.0840"), json!({"expect": {"low": "1.0841"}}));
            let body = json!({"reason": "bad tick", "candles": [stored("SYM1", 3, "1.0841"), wrong]});
            correct(&app, &body).await.problem(409, "conflict");
            assert_eq!(app.database.closed().await, expected, "all or nothing");

            // Of two that expect the same, one wins, also where both wait for the same compressed rows.
            let race = |volume: i64| {
                let fields = json!({"volume": volume, "expect": {"volume": 5}});
                json!({"reason": "race", "candles": [with(stored("SYM3", 5, "1.084"), fields)]})
            };
            let (first, second) = (race(100), race(200));
            let (one, other) = tokio::join!(correct(&app, &first), correct(&app, &second));
            let mut statuses = [one.status.as_u16(), other.status.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 409], "{one:?} {other:?}");

            let span = format!("symbol=SYM4&timeframe=H1&from={}&to={}", day(3), day(12));
            let dry = delete(&app, &format!("{span}&dry_run=true")).await.json();
            assert_eq!(dry["matched"], 10, "{dry}");
            let confirm = dry["confirm"].as_str().unwrap();
            let done = delete(&app, &format!("{span}&confirm={confirm}&reason=bad+feed")).await;
            assert_eq!((done.status.as_u16(), &done.json()["records_deleted"]), (200, &json!(10)), "{done:?}");
            assert_eq!(counts(&app).await, ["D1 900", "H1 890", "M5 900"]);
            let again = delete(&app, &format!("{span}&confirm={confirm}&reason=bad+feed")).await;
            again.problem(409, "changed");
            // The terminal posts one of them again, and the chunk is compressed once more.
            assert_eq!(app.ingest(&[stored("SYM4", 5, "1.084")]).await, (1, 0, 0));
            database.execute(COMPRESS).await;
            assert_eq!(counts(&app).await, ["D1 900", "H1 891", "M5 900"]);

            let retention = Environment::new("sqlite://unused.db").with("RETENTION", "M5:300d");
            let clock = Clock::new(|| ::candle::Timestamp::from_seconds(NOW).unwrap());
            let store = app.database.store().await;
            let newer = format!(
                "select symbol from market_data_candles
                 where timeframe = 'M5' and timestamp >= to_timestamp({NOW}) - interval '300 days'"
            );
            let kept = app.database.rows(&newer).await.len() as u64;
            let deleted = candlewick::retention::pass(&store, &retention.config().retention, &clock).await.unwrap();
            assert_eq!(deleted, 900 - kept);
            assert_eq!(counts(&app).await, ["D1 900".to_owned(), "H1 891".to_owned(), format!("M5 {kept}")]);
            let compressed = "select count(*)::text from timescaledb_information.chunks where is_compressed";
            assert_eq!(app.database.rows(compressed).await, ["11"], "no chunk was decompressed as a whole");
            let kinds = "select kind || ' ' || sum(candles) from market_data_changes group by kind order by kind";
            let retained = format!("retention {deleted}");
            assert_eq!(app.database.rows(kinds).await, ["correction 3", "deletion 10", &*retained]);
        });
    }

    /// A statement may take five seconds, also where TimescaleDB has no statistics yet.
    #[test]
    #[ignore = "needs TimescaleDB: make test-timescale"]
    fn long_series_in_compressed_chunks_are_corrected_and_deleted_in_time() {
        run(async {
            let (start, count) = (NOW - 200_000 * 60, 100_000);
            let app = TestApp::start_with(Database::Postgres(migrated(Engine::Timescale).await), |environment| {
                environment.with("MAINTENANCE_KEY", format!("ops:{KEY_OF_OPS}"))
            })
            .await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            app.database.fill_minutes(start, count).await;
            Engine::Timescale.convert(database).await;
            database.execute(ENABLE_COLUMNSTORE).await;
            database.execute(COMPRESS).await;
            let TestApp { service, database } = app;
            drop(service);
            let app = TestApp::start_with(database, |environment| {
                environment.with("MAINTENANCE_KEY", format!("ops:{KEY_OF_OPS}"))
            })
            .await;
            let spread = (0..1000)
                .map(|n| with(candle(start + n * 99 * 60), json!({"timeframe": "M1", "volume": 7, "complete": true})));
            let body = json!({"reason": "bad tick", "candles": spread.collect::<Vec<_>>()});
            let answer = correct(&app, &body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["records_corrected"], 1000);
            let span = format!("symbol=EURUSD&timeframe=M1&from={start}&to={}", start + (count - 2) * 60);
            let dry = delete(&app, &format!("{span}&dry_run=true")).await.json();
            let confirm = dry["confirm"].as_str().unwrap();
            let done = delete(&app, &format!("{span}&confirm={confirm}&reason=bad+feed")).await;
            assert_eq!(done.status, 200, "{done:?}");
            assert_eq!(done.json()["records_deleted"], count - 1);
            assert_eq!(app.database.closed().await.len(), 1);
        });
    }

    /// Posts what is stored, on compressed chunks.
    async fn posts_are_the_same_again(app: &TestApp) {
        let hours = (0..300).map(|n| with(candle(NOW - (n + 2) * 3600), json!({"symbol": "LARGE"})));
        assert_eq!(app.ingest(&hours.collect::<Vec<_>>()).await, (0, 300, 0));
    }
}
