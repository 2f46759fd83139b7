//! Makes and updates the tables, without a limit on the time that this takes.

use sqlx::migrate::{Migrate as _, MigrateError, Migration};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tracing::info;

use super::covering_key;
use super::engine::{self, Engine};
use super::watch::{FIRST_REPORT, Watch};
use crate::store::{NEWEST_CANDLES_MIGRATION, StoreError, changed_migration};

/// The version of the migration for which an index is built beforehand.
const COVERING_KEY_MIGRATION: i64 = 4;

/// The advice if the login may not make tables.
pub(super) const MAY_NOT_CREATE: &str = "the login may not create tables; run candlewick migrate with one that may, \
                                         and serve with MIGRATE_ON_START=false";

/// Runs the migrations that have not run. Nothing limits their time, neither we nor a default of the database, because
/// building an index over years of candles takes long. Meanwhile the log says which step is running, and the server is
/// asked whether it still works on it, because a lost connection would otherwise be waited for forever.
pub(super) async fn run(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), StoreError> {
    const NO_LIMITS: &str =
        "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0";
    connection.execute(NO_LIMITS).await?;
    let watch = Watch::start(connection, options).await?;
    lock(connection, &watch).await?;
    // After a rollback to the release before, newer migrations stay in place; they only ever add. So applied migrations
    // that this release does not know are ignored.
    connection.ensure_migrations_table().await.map_err(store_error)?;
    if let Some(version) = connection.dirty_version().await.map_err(store_error)? {
        return Err(store_error(MigrateError::Dirty(version)));
    }
    let mut applied = connection.list_applied_migrations().await.map_err(store_error)?;
    let engine = engine::find(connection).await;
    for migration in sqlx::migrate!("migrations/postgres").iter() {
        let migration = &if matches!(engine, Ok(Engine::Citus)) { on_citus(migration) } else { migration.clone() };
        if migration.version == COVERING_KEY_MIGRATION
            // Neither Citus nor TimescaleDB lets another index take the place of a key's.
            && matches!(engine, Ok(Engine::Plain))
            && applied.iter().all(|applied| applied.version != migration.version)
        {
            connection.unlock().await.map_err(store_error)?;
            covering_key::build(connection, &watch).await?;
            lock(connection, &watch).await?;
            // Another process may have run it meanwhile.
            applied = connection.list_applied_migrations().await.map_err(store_error)?;
        }
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum != migration.checksum => {
                return Err(StoreError::misconfigured(changed_migration(migration.version)));
            }
            Some(_) if migration.version == NEWEST_CANDLES_MIGRATION && lacks_newest_candles(connection).await? => {
                info!("market_data_newest_candles, which was dropped, is made again");
                let again = watch.over("market_data_newest_candles is being made again", rerun(connection, migration));
                again.await?.map_err(store_error)?;
            }
            Some(_) => {}
            None => {
                let name = format!("migration {} ({}) is running", migration.version, migration.description);
                let took = watch.over(&name, connection.apply(migration)).await?.map_err(store_error)?;
                // A migration that was reported while it ran is reported at its end, too.
                if took >= FIRST_REPORT {
                    info!(version = migration.version, seconds = took.as_secs(), "migrated");
                }
            }
        }
    }
    connection.unlock().await.map_err(store_error)
}

async fn lock(connection: &mut PgConnection, watch: &Watch<'_>) -> Result<(), StoreError> {
    let waiting = "waiting for another process that migrates the same database";
    watch.over(waiting, connection.lock()).await?.map_err(store_error)
}

/// Names the migrations that have not run, and runs none. Returns `None` if the login may not see which have run.
pub(super) async fn pending(connection: &mut PgConnection) -> Result<Option<Vec<String>>, StoreError> {
    const ACCESS: &str = "
        select has_table_privilege(oid, 'select') and not row_security_active(oid)
        from pg_class where oid = to_regclass('_sqlx_migrations')";
    let applied = match sqlx::query_scalar(ACCESS).fetch_optional(&mut *connection).await? {
        None => Vec::new(),
        Some(false) => return Ok(None),
        Some(true) => {
            if let Some(version) = connection.dirty_version().await.map_err(store_error)? {
                return Err(store_error(MigrateError::Dirty(version)));
            }
            connection.list_applied_migrations().await.map_err(store_error)?
        }
    };
    let mut pending = Vec::new();
    for migration in sqlx::migrate!("migrations/postgres").iter() {
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum != migration.checksum => {
                return Err(StoreError::misconfigured(changed_migration(migration.version)));
            }
            Some(_) => {}
            None => pending.push(format!("migration {} {}", migration.version, migration.description)),
        }
    }
    Ok(Some(pending))
}

async fn lacks_newest_candles(connection: &mut PgConnection) -> Result<bool, StoreError> {
    const IS_MISSING: &str = "select to_regclass('market_data_newest_candles') is null";
    Ok(sqlx::query_scalar(IS_MISSING).fetch_one(connection).await?)
}

/// Runs a migration again that the migrations' table already lists.
async fn rerun(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await?;
    transaction.execute(&*migration.sql).await?;
    Ok(transaction.commit().await?)
}

/// The migration in a wording that Citus can run, under the checksum of the usual one. That of the newest candles hops
/// over the key of all series, which Citus does for no distributed table.
fn on_citus(migration: &Migration) -> Migration {
    const FILL: &str = "insert into market_data_newest_candles";
    let mut on_citus = migration.clone();
    if let Some((before, fill)) = migration.sql.find(FILL).map(|start| migration.sql.split_at(start))
        && let Some((_, after)) = fill.split_once(';')
    {
        on_citus.sql = format!("{before}{}{after}", include_str!("sql/citus_newest_candles.sql")).into();
    }
    on_citus
}

/// A failure to make or update the tables.
#[derive(Debug, thiserror::Error)]
enum MigrationFailure {
    #[error("the tables cannot be made in this database")]
    Make(#[source] sqlx::Error),
    #[error("the tables cannot be brought up to date")]
    Update(#[source] MigrateError),
}

fn store_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            match state.as_deref() {
                Some("42501") => StoreError::misconfigured(MAY_NOT_CREATE),
                // Another object in the database has a name that we need, or is not what we expect under that name.
                // An extension refuses a statement for tables of its own.
                Some(state) if state.starts_with("42") || state.starts_with("0A") => {
                    StoreError::misconfigured(MigrationFailure::Make(error))
                }
                _ => StoreError::from(error),
            }
        }
        other => StoreError::misconfigured(MigrationFailure::Update(other)),
    }
}
