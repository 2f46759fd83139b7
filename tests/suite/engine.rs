//! Databases in which an extension keeps the tables. `make test-citus` and `make test-timescale` run every test of both
//! stores on one of them instead of on plain Postgres.

use candlewick::store::{Store, StoreError};
use futures_util::future::join_all;
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
            Self::Citus => citus_database(server).await,
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

/// Creates a database on each server of a cluster, and joins them.
async fn citus_database(server: &str) -> PgDatabase {
    let mut main = PgConnection::connect(server).await.unwrap();
    let nodes = main.fetch_all(NODES).await.unwrap();
    let nodes: Vec<(bool, String, i32)> = nodes.iter().map(|node| (node.get(0), node.get(1), node.get(2))).collect();
    let mut database = PgDatabase::create(server).await;
    for (_, host, port) in nodes.iter().filter(|(is_coordinator, ..)| !is_coordinator) {
        let mut worker = url::Url::parse(server).unwrap();
        worker.set_host(Some(host)).unwrap();
        worker.set_port(Some((*port).try_into().unwrap())).unwrap();
        database.workers.push(worker.into());
    }
    join_all(database.workers.iter().map(async |worker| {
        let mut connection = PgConnection::connect(worker).await.unwrap();
        connection.execute(&*format!("create database {} template template0", database.name)).await.unwrap();
    }))
    .await;
    // Tests make statements fail by triggers.
    database.execute(&format!("alter database {} set citus.enable_unsafe_triggers = on", database.name)).await;
    join_all([server].into_iter().chain(database.workers.iter().map(String::as_str)).map(async |server| {
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&database.name);
        let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
        connection.execute("create extension citus").await.unwrap();
    }))
    .await;
    // Adding a server copies all logins to it, which must not happen twice at the same time.
    main.execute("select pg_advisory_lock(hashtext('candlewick tests'))").await.unwrap();
    for (is_coordinator, host, port) in nodes {
        let add = if is_coordinator { "citus_set_coordinator_host" } else { "citus_add_node" };
        database.execute(&format!("select {add}('{host}', {port})")).await;
    }
    main.close().await.unwrap();
    database
}

/// The servers of a cluster: whether each is the coordinator, its host and its port.
const NODES: &str =
    "select groupid = 0, nodename, nodeport from pg_dist_node where noderole = 'primary' order by groupid";
/// Few shards, because each test makes its own.
const DISTRIBUTE: &str = "
    set citus.shard_count = 4;
    select create_distributed_table('market_data_candles', 'symbol');
    select create_distributed_table('market_data_live_candles', 'symbol', colocate_with => 'market_data_candles')";
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
