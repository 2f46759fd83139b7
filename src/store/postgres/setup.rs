//! First contact with a PostgreSQL database: checks whether it can be used, and makes its tables.

use std::time::Duration;

use sqlx::{Connection as _, FromRow, PgConnection};
use tokio::time::timeout;
use tracing::warn;

use super::contact::Server;
use super::engine::{self, Engine};
use super::pooler::{Proof, connect_past_poolers};
use super::{access, adopt, migrate};
use crate::store::StoreError;

/// The maximum time of the checks before the migrations, and of those after them. A server that hangs longer is tried
/// again.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);
/// The warning for [`Proof::Doubt`].
pub(super) const DOUBT: &str =
    "no second connection to the database could be opened, so a pooler in transaction mode would go unnoticed";
/// The first release in which `extract` is exact, and which the oldest supported distributions ship.
const MIN_SERVER_VERSION: i32 = 140_000;

/// The facts that first contact has found out about the table of closed candles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    pub(super) engine: Engine,
    /// True if COPY may write into it. Row security forbids COPY, rules do not apply to it, and it writes into partitions
    /// one after the other instead of in the order of the keys.
    pub(super) takes_copy: bool,
}

/// Checks that the database can be used and, if `migrate`, makes or updates its tables. All this happens on a
/// connection that belongs to no pool, because a failed migration keeps its lock for as long as its connection lives
/// (sqlx). A read-only database is not migrated.
///
/// Returns what later statements depend on.
pub(super) async fn prepare(server: Server<'_>, migrate: bool) -> Result<Prepared, StoreError> {
    let (mut connection, proof) = in_time(connect_past_poolers(server)).await?;
    if proof == Proof::Doubt {
        warn!("{DOUBT}; the service goes on with the connections that it gets");
    }
    let result = prepare_on(&mut connection, server, migrate).await;
    // The outcome does not matter, because the connection is not used again.
    let _ = timeout(CHECK_TIMEOUT, connection.close()).await;
    result
}

async fn in_time<T>(checks: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = || StoreError::unavailable("it did not answer while it was checked");
    timeout(CHECK_TIMEOUT, checks).await.unwrap_or_else(|_| Err(late()))
}

async fn prepare_on(connection: &mut PgConnection, server: Server<'_>, migrate: bool) -> Result<Prepared, StoreError> {
    const TAKES_COPY: &str = "
        select not row_security_active(oid) and not relhasrules and relkind = 'r'
        from pg_class where oid = 'market_data_candles'::regclass";
    let mode = in_time(async {
        let mode = check_server(connection).await?;
        engine::refuse_worker(connection, server.setting).await?;
        adopt::check(connection).await?;
        Ok(mode)
    })
    .await?;
    if migrate && mode == Mode::Writable {
        migrate::run(connection, server.options).await?;
    }
    let prepared = in_time(async {
        check_tables(connection, mode).await?;
        access::check(connection, server.duties).await?;
        let engine = engine::find(connection).await?;
        let takes_copy = sqlx::query_scalar(TAKES_COPY).fetch_one(connection).await?;
        Ok(Prepared { engine, takes_copy })
    });
    let prepared = prepared.await?;
    mode.report();
    Ok(prepared)
}

/// The access that the database gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Writable,
    /// It follows another server.
    Standby,
    /// Its own settings make it read-only.
    ReadOnly,
}

impl Mode {
    /// The warning about a database that the service can only read.
    pub(super) fn restriction(self) -> Option<&'static str> {
        match self {
            Self::Writable => None,
            Self::Standby => {
                Some("the database is a standby: candles are read from it, and posts are refused until it is promoted")
            }
            Self::ReadOnly => Some(
                "the database can only be read (default_transaction_read_only is on): candles are read from it, and \
                 posts are refused until that is off",
            ),
        }
    }

    fn report(self) {
        if let Some(restriction) = self.restriction() {
            warn!("{restriction}");
        }
    }
}

/// Checks the version and the encoding of the server, and returns the access that it gives.
pub(super) async fn check_server(connection: &mut PgConnection) -> Result<Mode, StoreError> {
    const SERVER: &str = "
        select current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(),
               current_setting('transaction_read_only')::bool";
    let (version, encoding, is_standby, is_read_only): (i32, String, bool, bool) =
        sqlx::query_as(SERVER).fetch_one(connection).await?;
    if version < MIN_SERVER_VERSION {
        let major = version / 10_000;
        return Err(StoreError::misconfigured(format!(
            "the database is PostgreSQL {major}; candlewick needs 14 or newer"
        )));
    }
    if encoding != "UTF8" {
        return Err(StoreError::misconfigured(format!(
            "the database's encoding is {encoding}, which cannot hold every symbol; create one with encoding UTF8"
        )));
    }
    Ok(match (is_standby, is_read_only) {
        (true, _) => Mode::Standby,
        (false, true) => Mode::ReadOnly,
        (false, false) => Mode::Writable,
    })
}

/// The tables that are missing, and what that may come from.
#[derive(FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct TableSearch {
    lacks_closed: bool,
    lacks_forming: bool,
    has_migrations: bool,
    may_read_migrations: bool,
    leftovers: Option<String>,
}

impl TableSearch {
    async fn run(connection: &mut PgConnection) -> sqlx::Result<Self> {
        sqlx::query_as(include_str!("sql/missing_tables.sql")).fetch_one(connection).await
    }

    /// True if tables are missing although a migration has made them.
    async fn lost_any(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        const MADE: &str = "select exists (select from _sqlx_migrations where success)";
        // While another process runs the first migration, the migrations' table is there and empty for a moment.
        let may_be_lost = (self.lacks_closed || self.lacks_forming) && self.has_migrations && self.may_read_migrations;
        Ok(may_be_lost && sqlx::query_scalar(MADE).fetch_one(connection).await?)
    }
}

/// Checks that both tables are there. If somebody dropped them, migrations do not make them again, because the
/// migrations' table lists them as applied.
pub(super) async fn check_tables(connection: &mut PgConnection, mode: Mode) -> Result<(), StoreError> {
    let mut search = TableSearch::run(connection).await?;
    let were_made = search.lost_any(connection).await?;
    if were_made {
        // Another process may have run the first migration between the two statements.
        search = TableSearch::run(connection).await?;
    }
    let TableSearch { lacks_closed, lacks_forming, leftovers, .. } = search;
    let missing = match (lacks_closed, lacks_forming) {
        (false, false) => return check_release(connection, mode).await,
        (true, false) => "the table market_data_candles is missing",
        (false, true) => "the table market_data_live_candles is missing",
        (true, true) => "the tables market_data_candles and market_data_live_candles are missing",
    };
    if mode != Mode::Writable {
        return Err(StoreError::unavailable("its tables are missing; run candlewick migrate on its primary"));
    }
    if !were_made {
        return Err(StoreError::unavailable("its tables are missing; run candlewick migrate"));
    }
    let leftovers = leftovers.unwrap_or_default();
    let steps = format!("run: drop table {leftovers}; and then candlewick migrate");
    Err(StoreError::misconfigured(if lacks_closed {
        format!(
            "{missing}, although it was made once. Restore it from a backup (docs/operations/backup-and-restore.md), \
             or, to start without any candles, {steps}"
        )
    } else {
        format!("{missing}, although it was made once. Stored candles are not touched if you {steps}")
    }))
}

/// Checks that the tables have the columns that statements of this release name.
async fn check_release(connection: &mut PgConnection, mode: Mode) -> Result<(), StoreError> {
    const HAS_CLOSING_TIMES: &str = "
        select exists (
            select from pg_attribute
            where attrelid = to_regclass('market_data_live_candles') and attname = 'closes_at' and not attisdropped)";
    if sqlx::query_scalar(HAS_CLOSING_TIMES).fetch_one(connection).await? {
        return Ok(());
    }
    let place = if mode == Mode::Writable { "" } else { " on its primary" };
    Err(StoreError::unavailable(format!("its tables are of an earlier release; run candlewick migrate{place}")))
}
