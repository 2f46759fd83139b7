//! Databases in which an extension keeps the tables. `make test-citus` and `make test-timescale` run every test of both
//! stores on one of them instead of on plain Postgres.

use candlewick::store::{Store, StoreError};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::harness::{Environment, PgDatabase};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Tables that are distributed over the servers of the cluster that `TEST_CITUS_DATABASE_URL` leads to.
    Citus,
    /// Hypertables on the server that `TEST_TIMESCALE_DATABASE_URL` leads to.
    Timescale,
}

impl Engine {
    /// The engine of this run, and its server, if one of the variables is set.
    pub fn of_this_run() -> Option<(Self, String)> {
        let [citus, timescale] =
            [(Self::Citus, "TEST_CITUS_DATABASE_URL"), (Self::Timescale, "TEST_TIMESCALE_DATABASE_URL")]
                .map(|(engine, variable)| Some((engine, std::env::var(variable).ok()?)));
        assert!(citus.is_none() || timescale.is_none(), "one run has one engine; unset one of the two variables");
        citus.or(timescale)
    }

    /// Creates a database in which this engine keeps the tables.
    pub async fn database(self, server: &str) -> PgDatabase {
        let database = self.empty_database(server).await;
        prepare(&database).await.unwrap();
        self.convert(&database).await;
        database
    }

    /// Creates a database with the extension and without tables.
    pub async fn empty_database(self, server: &str) -> PgDatabase {
        match self {
            Self::Citus => {
                let mut main = PgConnection::connect(server).await.unwrap();
                // Adding a server copies all logins to it, which must not happen twice at the same time.
                main.execute("select pg_advisory_lock(hashtext('candlewick tests'))").await.unwrap();
                let nodes = main.fetch_all(NODES).await.unwrap();
                let nodes: Vec<(bool, String, i32)> =
                    nodes.iter().map(|node| (node.get(0), node.get(1), node.get(2))).collect();
                let mut database = PgDatabase::create(server).await;
                // Tests make statements fail by triggers.
                let triggers = format!("alter database {} set citus.enable_unsafe_triggers = on", database.name);
                database.execute(&triggers).await;
                database.execute("create extension citus").await;
                for (is_coordinator, host, port) in &nodes {
                    if *is_coordinator {
                        database.execute(&format!("select citus_set_coordinator_host('{host}', {port})")).await;
                        continue;
                    }
                    let address = |url: &str| {
                        let mut url = url::Url::parse(url).unwrap();
                        url.set_host(Some(host)).unwrap();
                        url.set_port(Some((*port).try_into().unwrap())).unwrap();
                        String::from(url)
                    };
                    database.workers.push(address(server));
                    let mut worker = PgConnection::connect(&address(server)).await.unwrap();
                    worker.execute(&*format!("create database {} template template0", database.name)).await.unwrap();
                    let mut worker = PgConnection::connect(&address(&database.url)).await.unwrap();
                    worker.execute("create extension citus").await.unwrap();
                    database.execute(&format!("select citus_add_node('{host}', {port})")).await;
                }
                main.close().await.unwrap();
                database
            }
            Self::Timescale => {
                let database = PgDatabase::create(server).await;
                database.execute("create extension timescaledb").await;
                database
            }
        }
    }

    /// Has the extension keep the tables of a service.
    pub async fn convert(self, database: &PgDatabase) {
        database
            .execute(match self {
                Self::Citus => DISTRIBUTE,
                Self::Timescale => MAKE_HYPERTABLE,
            })
            .await;
    }
}

/// The servers of a cluster: whether each is the coordinator, its host and its port.
const NODES: &str =
    "select groupid = 0, nodename, nodeport from pg_dist_node where noderole = 'primary' order by groupid";
/// Few shards, because each test makes its own.
const DISTRIBUTE: &str = "
    set citus.shard_count = 4;
    select create_distributed_table('market_data_candles', 'symbol');
    select create_distributed_table('market_data_live_candles', 'symbol', colocate_with => 'market_data_candles');
    select create_reference_table('market_data_newest_candles')";
const MAKE_HYPERTABLE: &str = "
    select create_hypertable('market_data_candles', by_range('timestamp', interval '1 month'),
                             create_default_indexes => false, migrate_data => true)";

/// True if this run is on one of `engines`, where a test, or a part of one, does not apply because of `reason`.
pub fn leave_out_on(engines: &[Engine], reason: &str) -> bool {
    let applies = Engine::of_this_run().is_some_and(|(engine, _)| engines.contains(&engine));
    if applies {
        println!("left out on {engines:?}: {reason}");
    }
    applies
}

/// Makes first contact with a database as a service does.
pub async fn prepare(database: &PgDatabase) -> Result<(), StoreError> {
    Store::open(&Environment::new(&database.url).config().database).unwrap().prepare(true).await
}
