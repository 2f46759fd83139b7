//! Hints between services on one Postgres. The services here look at the database once an hour, so what arrives on the stream of one
//! after a post to the other came by a hint.

use std::collections::BTreeSet;
use std::time::Duration;

use candlewick::app::AppError;
use candlewick::config::{Config, Variables};
use candlewick::store::StoreError;
use serde_json::{Value, json};
use sqlx::{Executor as _, PgConnection};

use super::{Client, HOUR, MAINTENANCE, correct, hour, millis};
use crate::harness::{Environment, NOW, PgDatabase, Service, candle, eventually, plain_server, run, with};
use crate::pooler::{Choice, Pooler};

/// The backends that listen for hints.
const LISTENING: &str = "select pid from pg_stat_activity where datname = current_database() and state = 'idle' \
                         and application_name = 'candlewick hints' and query ilike 'listen%'";

struct Replicas {
    services: [Service; 2],
    watch: PgConnection,
    database: PgDatabase,
}

fn environment(url: &str) -> Environment {
    Environment::new(url).with("LIVE_HINTS", true).with("MAINTENANCE_KEY", format!("ops:{MAINTENANCE}"))
}

impl Replicas {
    async fn start() -> Self {
        let database = PgDatabase::create(&plain_server()).await;
        let start = async || {
            let mut config = environment(&database.url).config();
            config.limits.look_interval = Duration::from_hours(1);
            let (service, mut ready) = Service::launch_with(&config);
            ready.wait_for(|ready| *ready).await.unwrap();
            service
        };
        let services = [start().await, start().await];
        let watch = database.connect().await;
        let mut replicas = Self { services, watch, database };
        replicas.listening_beside(&BTreeSet::new()).await;
        replicas
    }

    async fn listening(&mut self) -> BTreeSet<i32> {
        sqlx::query_scalar::<_, i32>(LISTENING).fetch_all(&mut self.watch).await.unwrap().into_iter().collect()
    }

    /// Waits until both services listen, on other backends than these.
    async fn listening_beside(&mut self, former: &BTreeSet<i32>) -> BTreeSet<i32> {
        loop {
            let now = self.listening().await;
            if now.len() == 2 && now.is_disjoint(former) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn one(&self) -> &Service {
        &self.services[0]
    }

    fn other(&self) -> &Service {
        &self.services[1]
    }
}

/// The time, the volume and the closedness of a candle.
fn state(candle: &Value) -> (i64, i64, bool) {
    (candle["timestamp"].as_i64().unwrap(), candle["volume"].as_i64().unwrap(), candle.get("complete").is_none())
}

#[test]
fn what_one_service_stores_reaches_the_streams_of_another() {
    run(async {
        let replicas = Replicas::start().await;
        replicas.one().ingest(&[hour(3, json!({})), hour(2, json!({}))]).await;
        let mut client = Client::open(replicas.other(), "series=H1:EURUSD").await;
        assert_eq!(client.candle().await["timestamp"], millis(2));
        for volume in 1..4 {
            let forming = hour(1, json!({"complete": false, "volume": volume}));
            replicas.one().ingest(&[forming]).await;
            assert_eq!(state(&client.candle().await), (millis(1), volume, false));
        }
        replicas.one().ingest(&[hour(1, json!({"volume": 9})), hour(0, json!({"complete": false, "volume": 1}))]).await;
        assert_eq!(state(&client.candle().await), (millis(1), 9, true));
        assert_eq!(state(&client.candle().await), (millis(0), 1, false));
        // A correction of a new candle is a new state of it.
        assert_eq!(correct(replicas.one(), hour(1, json!({"volume": 10}))).await.status, 200);
        assert_eq!(state(&client.candle().await), (millis(1), 10, true));
        // It goes both ways, and a service does not wait for itself.
        let mut client = Client::open(replicas.one(), "series=H1:EURUSD").await;
        assert_eq!(state(&client.candle().await), (millis(0), 1, false));
        replicas.other().ingest(&[hour(0, json!({"complete": false, "volume": 2}))]).await;
        assert_eq!(state(&client.candle().await), (millis(0), 2, false));
    });
}

#[test]
fn late_candles_are_history_on_the_streams_of_another_service() {
    run(async {
        let replicas = Replicas::start().await;
        let all = (1..=40).rev().filter(|hours| !(30..33).contains(hours));
        // Not by the first one, whose hint might come after the stream has begun.
        replicas.other().ingest(&all.map(|hours| hour(hours, json!({}))).collect::<Vec<_>>()).await;
        let mut client = Client::open(replicas.other(), "series=H1:EURUSD").await;
        client.candle().await;
        replicas.one().ingest(&[hour(32, json!({})), hour(30, json!({}))]).await;
        let expected =
            json!({"symbol": "EURUSD", "timeframe": "H1", "from": millis(32), "to": millis(30), "kind": "late"});
        assert_eq!(client.history().await, expected);
        // A candle that is stored already changes nothing, so the next event is that of a new one.
        replicas.one().ingest(&[hour(32, json!({})), hour(31, json!({"timeframe": "M30"}))]).await;
        replicas.one().ingest(&[hour(0, json!({"complete": false}))]).await;
        assert_eq!(client.candle().await["timestamp"], millis(0));
    });
}

#[test]
fn connections_that_are_killed_come_back() {
    run(async {
        let mut replicas = Replicas::start().await;
        replicas.one().ingest(&[hour(1, json!({}))]).await;
        let mut client = Client::open(replicas.other(), "series=H1:EURUSD").await;
        client.candle().await;
        for volume in 1..3 {
            let former = replicas.listening().await;
            let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
                        where datname = current_database() and application_name = 'candlewick hints'";
            replicas.watch.execute(kill).await.unwrap();
            replicas.listening_beside(&former).await;
            replicas.one().ingest(&[hour(0, json!({"complete": false, "volume": volume}))]).await;
            assert_eq!(state(&client.candle().await), (millis(0), volume, false));
        }
    });
}

#[test]
fn hints_of_many_series_take_several_payloads() {
    run(async {
        let replicas = Replicas::start().await;
        // Each takes 100 bytes, so that all of them take four payloads.
        let symbols: Vec<String> = (0..300).map(|n| format!("{n:03}{}", "x".repeat(61))).collect();
        let followed: Vec<&String> = symbols.iter().step_by(10).collect();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(followed.iter().map(|symbol| ("series", format!("H1:{symbol}"))));
        let mut client = Client::open(replicas.other(), &query.finish()).await;
        assert_eq!(client.block().await.unwrap(), "retry: 2000\n\n");
        let of = |symbol: &String| with(candle(NOW - HOUR), json!({"symbol": symbol, "complete": true}));
        replicas.one().ingest(&symbols.iter().map(of).collect::<Vec<_>>()).await;
        let mut seen = BTreeSet::new();
        while seen.len() < followed.len() {
            seen.insert(client.candle().await["symbol"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, followed.into_iter().cloned().collect());
    });
}

#[test]
fn other_payloads_are_ignored() {
    run(async {
        let mut replicas = Replicas::start().await;
        replicas.one().ingest(&[hour(2, json!({})), hour(1, json!({}))]).await;
        let mut client = Client::open(replicas.other(), "series=H1:EURUSD").await;
        client.candle().await;
        let long = "x".repeat(7_999);
        for payload in [
            "",
            "nonsense",
            "1",
            "2 0123456789abcdef\nH1 - - EURUSD",
            "1 0123456789abcdef\nH1 5 - EURUSD",
            "1 0123456789abcdef\nH1 99999999999999999999 99999999999999999999 EURUSD",
            "1 0123456789abcdef\nX9 - - EURUSD",
            "1 0123456789abcdef\nM1 - - NOBODY FOLLOWS IT",
            // True as far as it goes, but nothing has changed.
            "1 0123456789abcdef\nH1 - - EURUSD",
            &long,
        ] {
            let notify = sqlx::query("select pg_notify('candlewick', $1)").bind(payload);
            notify.execute(&mut replicas.watch).await.unwrap();
        }
        replicas.one().ingest(&[hour(0, json!({"complete": false}))]).await;
        let event = client.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["timestamp"]), ("candle", &json!(millis(0))));
        assert_eq!(replicas.listening().await.len(), 2, "nothing was lost over it");
    });
}

#[test]
fn a_service_without_hints_opens_no_connection_for_them() {
    run(async {
        let replicas = Replicas::start().await;
        let Replicas { mut services, mut watch, database } = replicas;
        let sessions = async |watch: &mut PgConnection| {
            let count = "select count(*) from pg_stat_activity where application_name = 'candlewick hints' \
                         and datname = current_database()";
            sqlx::query_scalar::<_, i64>(count).fetch_one(watch).await.unwrap()
        };
        // Each has one to send and one to listen.
        eventually(async || sessions(&mut watch).await == 4).await;
        for service in &mut services {
            service.stop().await.unwrap();
        }
        eventually(async || sessions(&mut watch).await == 0).await;
        let without = Service::start(&Environment::new(&database.url)).await;
        without.ingest(&[hour(1, json!({}))]).await;
        let mut client = Client::open(&without, "series=H1:EURUSD").await;
        client.candle().await;
        assert_eq!(sessions(&mut watch).await, 0);
    });
}

#[test]
fn hints_are_refused_where_they_cannot_work() {
    let values = [("LIVE_HINTS", "true"), ("DATABASE_URL", "sqlite://candles.db")];
    let lookup = |name: &str| Ok(values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
    let refused = Config::read(&Variables::from_lookup(lookup)).unwrap_err().to_string();
    assert!(
        refused.contains("LIVE_HINTS is for several services on one Postgres, and a SQLite file has one"),
        "{refused}"
    );
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let pooler = Pooler::to(&database, Choice::LastUsed, 3).await;
        let (mut service, _) = Service::launch_with(&environment(&pooler.url(&database)).config());
        let error = service.end().await.unwrap_err();
        assert!(matches!(error, AppError::Store(StoreError::Misconfigured(_))), "{error:?}");
        assert!(error.to_string().contains("pooler that lends a connection for one transaction only"), "{error}");
    });
}
