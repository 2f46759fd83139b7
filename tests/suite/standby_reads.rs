//! Reads on a standby (`DATABASE_READ_URL`): what was posted is in the next page, whatever the standby does.

use std::sync::atomic::{AtomicU64, Ordering};

use candlewick::config::{Config, Variables};
use candlewick::store::{Store, StoreError};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::faults::database_server::DatabaseServer;
use crate::harness::{Environment, NOW, PgDatabase, Service, candle, eventually, run};
use crate::postgres::prepare;
use crate::standby::{at, server};

/// A primary, its standby, and a service that reads from the standby.
struct Pair {
    /// Runs until the test ends.
    _primary: DatabaseServer,
    standby: DatabaseServer,
    database: PgDatabase,
    environment: Environment,
    service: Service,
}

impl Pair {
    /// `None` if this machine cannot run servers.
    async fn start() -> Option<Self> {
        let place = std::env::temp_dir();
        let primary = server(&place, &[])?;
        let database = PgDatabase::create(&primary.url).await;
        let standby = primary.standby(&place);
        let environment = Environment::new(&database.url).with("DATABASE_READ_URL", at(&standby, &database));
        let service = Service::start(&environment).await;
        Some(Self { _primary: primary, standby, database, environment, service })
    }

    /// The number of the service's sessions on the standby that have read candles. The server shows the first 1,024 characters of a
    /// statement, which may name no table.
    async fn readers(&self) -> i64 {
        const READERS: &str = "
            select count(*) from pg_stat_activity
            where application_name like 'candlewick%'
              and (query like '%market_data_candles%' or query like '%newest candle of each series%')";
        let mut watch = self.standby.connect().await;
        sqlx::query_scalar(READERS).fetch_one(&mut watch).await.unwrap()
    }

    /// Returns once the service reads from the standby.
    async fn reads_there(&self) {
        eventually(async || {
            self.newest(&self.service).await;
            self.readers().await > 0
        })
        .await;
    }

    async fn newest(&self, service: &Service) -> Vec<Value> {
        // Each page is another one, so that none comes from memory.
        static LIMIT: AtomicU64 = AtomicU64::new(0);
        let limit = 100 + LIMIT.fetch_add(1, Ordering::Relaxed) % 9000;
        service.candles(&format!("&limit={limit}")).await.json().as_array().unwrap().clone()
    }
}

#[test]
fn a_posted_candle_is_in_the_next_page() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        pair.service.ingest(&[candle(NOW - 400 * 3600)]).await;
        pair.reads_there().await;
        for posted in 1..=100 {
            pair.service.ingest(&[candle(NOW - (102 - posted) * 3600)]).await;
            assert_eq!(pair.newest(&pair.service).await.len() as i64, posted + 1);
            let series = pair.service.get("/api/v1/series?symbol=EURUSD").await.json();
            assert_eq!(series[0]["last"], (NOW - (102 - posted) * 3600) * 1000, "{series}");
            let days = pair.service.get("/api/v1/candles?symbol=EURUSD&timeframe=D1&source=H1").await.json();
            let volumes = days.as_array().unwrap().iter().map(|day| day["volume"].as_i64().unwrap());
            assert_eq!(volumes.sum::<i64>(), 1200 * (posted + 1), "{days}");
            let latest = pair.service.get("/api/v1/latest?symbol=EURUSD").await.json();
            assert_eq!(latest[0]["timestamp"], series[0]["last"], "{latest}");
            let file = pair.service.get("/api/v1/export.csv?symbol=EURUSD&timeframe=H1").await.body;
            assert_eq!(file.lines().count() as i64, posted + 2);
            let days =
                pair.service.get("/api/v1/export.ndjson?symbol=EURUSD&timeframe=D1&source=H1&forming=true").await;
            let volumes =
                days.body.lines().map(|day| serde_json::from_str::<Value>(day).unwrap()["volume"].as_i64().unwrap());
            assert_eq!(volumes.sum::<i64>(), 1200 * (posted + 1), "{days:?}");
            assert_eq!(gaps(&pair.service).await["stored"], posted + 1);
        }
    });
}

/// A report over all hours that the tests of this file post.
async fn gaps(service: &Service) -> Value {
    let bounds = format!("from={}&to={}", NOW - 500 * 3600, NOW);
    service.get(&format!("/api/v1/gaps?symbol=EURUSD&timeframe=H1&session=24x7&{bounds}")).await.json()
}

/// The routes whose reads go to the standby, each of which leads there by itself.
#[test]
fn every_long_read_goes_to_the_standby() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        // A file of these takes longer than it takes to look at the standby's position.
        let fill = "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            select 'EURUSD', 'M1', to_timestamp(1600000000 + 60 * n), 1.08501, 1.08501, 1.08501, 1.08501, 7
            from generate_series(0, 59999) n";
        pair.database.execute(fill).await;
        let to = 1_600_000_000 + 60 * 59_999;
        for path in [
            "/api/v1/candles?symbol=EURUSD&timeframe=M1",
            "/api/v1/candles?symbol=EURUSD&timeframe=H1&source=M1",
            "/api/v1/series",
            "/api/v1/series?symbol=EURUSD",
            "/api/v1/latest",
            "/api/v1/latest?symbol=EURUSD",
            "/api/v1/export.csv?symbol=EURUSD&timeframe=M1",
            "/api/v1/export.ndjson?symbol=EURUSD&timeframe=M2&source=M1",
            "/api/v1/export.parquet?symbol=EURUSD&timeframe=M1",
            &format!("/api/v1/gaps?symbol=EURUSD&timeframe=M1&session=24x7&from=1600000000&to={to}"),
        ] {
            let mut standby = pair.standby.connect().await;
            let end =
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'candlewick%'";
            eventually(async || {
                standby.execute(end).await.unwrap();
                pair.readers().await == 0
            })
            .await;
            eventually(async || {
                assert_eq!(pair.service.get(path).await.status, 200, "{path}");
                pair.readers().await > 0
            })
            .await;
        }
    });
}

#[test]
fn a_file_holds_what_any_process_had_stored_before_it_began() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        pair.service.ingest(&[candle(NOW - 400 * 3600)]).await;
        pair.reads_there().await;
        let other = Service::start(&Environment::new(&pair.database.url)).await;
        for posted in 1..=100 {
            other.ingest(&[candle(NOW - (102 - posted) * 3600)]).await;
            let file = pair.service.get("/api/v1/export.csv?symbol=EURUSD&timeframe=H1").await.body;
            assert_eq!(file.lines().count() as i64, posted + 2);
        }
    });
}

#[test]
fn a_standby_that_lags_is_not_read() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        pair.service.ingest(&[candle(NOW - 400 * 3600)]).await;
        pair.reads_there().await;
        let mut standby = pair.standby.connect().await;
        standby.execute("select pg_wal_replay_pause()").await.unwrap();
        // Another process's post, of which this one knows nothing.
        let other = Service::start(&Environment::new(&pair.database.url)).await;
        other.ingest(&[candle(NOW - 3600)]).await;
        eventually(async || pair.newest(&pair.service).await.len() == 2).await;
        eventually(async || {
            let latest = pair.service.get("/api/v1/latest").await.json();
            latest[0]["timestamp"] == (NOW - 3600) * 1000
        })
        .await;
        eventually(async || gaps(&pair.service).await["stored"] == 2).await;
        standby.execute("select pg_wal_replay_resume()").await.unwrap();
        // A session that reads there again is one that the pause has not seen.
        standby
            .execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'candlewick%'")
            .await
            .unwrap();
        pair.reads_there().await;
    });
}

#[test]
fn reads_survive_a_standby_that_goes_and_one_that_is_promoted() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        pair.service.ingest(&[candle(NOW - 400 * 3600)]).await;
        pair.reads_there().await;
        for (change, first) in [("stop", 300), ("start", 250), ("promote", 200)] {
            match change {
                "stop" => pair.standby.stop("immediate"),
                "start" => {
                    pair.standby.start_again().await;
                    pair.reads_there().await;
                }
                _ => {
                    pair.standby.connect().await.execute("select pg_promote()").await.unwrap();
                }
            }
            for n in 0..20 {
                let hours = first - n;
                pair.service.ingest(&[candle(NOW - hours * 3600)]).await;
                let newest = pair.newest(&pair.service).await;
                assert_eq!(newest.last().unwrap()["timestamp"], (NOW - hours * 3600) * 1000, "{change}");
            }
        }
        // A row that somebody writes into the promoted server is not part of this service's history.
        let stray = "insert into market_data_candles (symbol, timeframe, \"timestamp\", open, high, low, close, volume)
            values ('EURUSD', 'H1', to_timestamp(0), 1, 1, 1, 1, 1)";
        let mut promoted = PgConnection::connect(&at(&pair.standby, &pair.database)).await.unwrap();
        promoted.execute(stray).await.unwrap();
        eventually(async || pair.newest(&pair.service).await.len() == 61).await;
    });
}

#[test]
fn a_service_starts_without_its_standby() {
    run(async {
        let Some(pair) = Pair::start().await else { return };
        pair.standby.stop("immediate");
        let service = Service::start(&pair.environment).await;
        service.ingest(&[candle(NOW - 3600)]).await;
        assert_eq!(pair.newest(&service).await.len(), 1);
        pair.standby.start_again().await;
        eventually(async || {
            pair.newest(&service).await;
            pair.readers().await > 0
        })
        .await;
    });
}

/// The sentence with which first contact refuses a standby.
async fn refusal(database: &PgDatabase, read_url: &str) -> String {
    let config = Environment::new(&database.url).with("DATABASE_READ_URL", read_url).config();
    let store = Store::open(&config.database).unwrap();
    let refused = store.prepare(true).await;
    store.close().await;
    let Err(StoreError::Misconfigured(cause)) = refused else { panic!("{refused:?}") };
    cause.to_string()
}

#[test]
fn a_server_with_other_candles_is_refused() {
    run(async {
        let place = std::env::temp_dir();
        let Some(primary) = server(&place, &[]) else { return };
        let Some(other) = server(&place, &[]) else { return };
        let own = PgDatabase::create(&primary.url).await;
        let (staging, elsewhere) = (PgDatabase::create(&primary.url).await, PgDatabase::create(&other.url).await);
        for database in [&staging, &elsewhere] {
            prepare(&database.url, true).await.unwrap();
            let sentence = refusal(&own, &database.url).await;
            assert!(sentence.starts_with("DATABASE_READ_URL names another database"), "{sentence}");
        }
    });
}

#[test]
fn a_login_that_sees_no_rows_is_refused() {
    run(async {
        let place = std::env::temp_dir();
        let Some(primary) = server(&place, &[]) else { return };
        let database = PgDatabase::create(&primary.url).await;
        prepare(&database.url, true).await.unwrap();
        let standby = primary.standby(&place);
        let login = database.login();
        database
            .execute(&format!(
                "create role {login} login password 'blind-reader-0123';
                 grant select on market_data_candles, market_data_live_candles to {login}"
            ))
            .await;
        let mut url = url::Url::parse(&at(&standby, &database)).unwrap();
        url.set_username(&login).unwrap();
        url.set_password(Some("blind-reader-0123")).unwrap();
        eventually(async || PgConnection::connect(url.as_str()).await.is_ok()).await;
        let sentence = refusal(&database, url.as_str()).await;
        assert!(sentence.contains("row security on market_data_candles would silently hide rows"), "{sentence}");
    });
}

#[test]
fn only_postgres_has_standbys() {
    let problems = |url: &str, read_url: &str| {
        let lookup = |name: &str| match name {
            "DATABASE_URL" => Some(url.to_owned()),
            "DATABASE_READ_URL" => Some(read_url.to_owned()),
            _ => None,
        };
        Config::read(&Variables::from_lookup(|name| Ok(lookup(name)))).unwrap_err().to_string()
    };
    let problem = problems("sqlite://candlewick.db", "postgres://u:secret@h/d");
    assert!(problem.contains("DATABASE_READ_URL names a standby, and only Postgres has standbys"), "{problem}");
    assert!(!problem.contains("secret"), "{problem}");
    let problem = problems("postgres://u:p@h/d", "sqlite://other.db");
    assert!(problem.contains("DATABASE_READ_URL must start with postgres://"), "{problem}");
}
