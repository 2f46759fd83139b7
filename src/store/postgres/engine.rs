//! The engine that keeps the tables: PostgreSQL itself, or one of its extensions, for which some statements are worded
//! differently.

use sqlx::{FromRow, PgConnection};

use crate::store::StoreError;

/// The engine that keeps the table of closed candles. It is that of the table and not of the server, because an extension
/// may be installed and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Ordinary or partitioned tables.
    Plain,
    /// A hypertable of TimescaleDB in its Community edition, which may compress chunks. In the Apache edition it takes the
    /// statements of an ordinary table.
    Timescale,
    /// Tables that Citus distributes over servers by their symbol.
    Citus,
}

/// The extensions of the database.
#[derive(FromRow)]
struct Extensions {
    has_citus: bool,
    has_timescale: bool,
}

/// The distribution of the tables over the servers of Citus.
#[derive(FromRow)]
struct Distribution {
    /// The number of our two tables that Citus manages.
    managed: i64,
    /// True if both are distributed by their symbols, and rows with the same symbol are on the same server.
    fits: bool,
}

/// Finds the engine of the tables. Tables that are not made yet are plain.
///
/// # Errors
/// [`StoreError::Misconfigured`] if Citus distributes the tables in a way in which no statement of ours works.
pub(super) async fn find(connection: &mut PgConnection) -> Result<Engine, StoreError> {
    // The catalogues of an extension can be named only where it is installed.
    const EXTENSIONS: &str = "
        select coalesce(bool_or(extname = 'citus'), false) as has_citus,
               coalesce(bool_or(extname = 'timescaledb'), false) as has_timescale
        from pg_extension";
    const IS_HYPERTABLE: &str = "
        select coalesce(current_setting('timescaledb.license', true), '') = 'timescale' and exists (
            select from timescaledb_information.hypertables
            where format('%I.%I', hypertable_schema, hypertable_name)::regclass = to_regclass('market_data_candles'))";
    let Extensions { has_citus, has_timescale } = sqlx::query_as(EXTENSIONS).fetch_one(&mut *connection).await?;
    if has_citus {
        let Distribution { managed, fits } =
            sqlx::query_as(include_str!("sql/citus_distribution.sql")).fetch_one(&mut *connection).await?;
        match (managed, fits) {
            (0, _) => {}
            (_, true) => return Ok(Engine::Citus),
            (_, false) => return Err(StoreError::misconfigured(NOT_COLOCATED)),
        }
    }
    if has_timescale && sqlx::query_scalar(IS_HYPERTABLE).fetch_one(connection).await? {
        return Ok(Engine::Timescale);
    }
    Ok(Engine::Plain)
}

/// Refuses a worker of Citus. It has the distributed tables, but none of the ordinary ones, which are on the coordinator: the record of
/// changes, jobs, signals, webhooks and the list of migrations. Migrations would make a second set of them.
///
/// # Errors
/// [`StoreError::Misconfigured`] on a worker.
pub(super) async fn refuse_worker(connection: &mut PgConnection, setting: &str) -> Result<(), StoreError> {
    const HAS_CITUS: &str = "select exists (select from pg_extension where extname = 'citus')";
    // The coordinator's group has the number 0. A server that belongs to no cluster is in that group, too.
    const COORDINATOR: &str = "
        select (select format('%s:%s', nodename, nodeport) from pg_dist_node where groupid = 0 and noderole = 'primary')
        from pg_dist_local_group where groupid <> 0";
    if !sqlx::query_scalar::<_, bool>(HAS_CITUS).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let Some(coordinator) = sqlx::query_scalar::<_, Option<String>>(COORDINATOR).fetch_optional(connection).await?
    else {
        return Ok(());
    };
    let known = coordinator.map(|place| format!(", which this worker knows as {place}")).unwrap_or_default();
    Err(StoreError::misconfigured(format!(
        "the database is a worker of Citus, which has no tables for jobs, webhooks, signals and the record of changes; name the \
         coordinator in {setting}{known}"
    )))
}

/// The advice if Citus distributes only one of the tables, or one of them otherwise than by symbol.
const NOT_COLOCATED: &str = "Citus must distribute market_data_candles and market_data_live_candles both by their symbol, \
     and keep equal symbols together. Undo it for a table that is distributed: select undistribute_table('TABLE'); then run: \
     select create_distributed_table('market_data_candles', 'symbol'); \
     select create_distributed_table('market_data_live_candles', 'symbol', colocate_with => 'market_data_candles')";
