//! Detects a pooler that lends connections for one transaction only, or even for one statement.
//!
//! Behind such a pooler, statements prepared by one client run under the same name for another, so that pages and
//! counts are wrong without an error, and settings of the session, durability among them, are lost.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::contact::Server;
use crate::store::StoreError;
use crate::store::error::sql_state;

/// The maximum time for which the second connection is waited for. A pooler in session mode delays it while all its
/// connections are lent.
const SECOND_CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of comparing two sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// No pooler lends connections for one transaction.
    NoTransactionPooler,
    /// No second connection could be opened, so that such a pooler would go unnoticed.
    Doubt,
}

/// Opens a connection, and refuses a database that is reached through a pooler in transaction mode.
///
/// Two sessions mark themselves and read their marks back in turn, also while the other one holds a transaction. This
/// detects a pooler that lends both of them one server connection, or one of them several, however it chooses. If no
/// second connection can be opened, the first one is tested alone, which may find a pooler but cannot rule it out.
pub(super) async fn connect_past_poolers(server: Server<'_>) -> Result<(PgConnection, Proof), StoreError> {
    let second = timeout(SECOND_CONNECTION_TIMEOUT, PgConnection::connect_with(server.options));
    let (first, second) = tokio::join!(server.connect(), second);
    let (mut first, second) = match (first, second) {
        (Ok(first), Ok(Ok(second))) => (first, Some(second)),
        (Ok(only), _) | (Err(_), Ok(Ok(only))) => (only, None),
        (Err(error), _) => return Err(error),
    };
    match judge(&mut first, second).await? {
        Some(proof) => Ok((first, proof)),
        None => Err(StoreError::misconfigured(format!(
            "{} leads to a pooler that lends a connection for one transaction only, so that statements of different \
             clients get mixed up and settings of the session are lost; use the pooler's session mode (PgBouncer: \
             pool_mode = session; Supabase: port 5432) or the direct connection (Neon: the host without -pooler)",
            server.setting
        ))),
    }
}

/// Returns `None` if a connection is lent for one transaction only.
async fn judge(first: &mut PgConnection, second: Option<PgConnection>) -> sqlx::Result<Option<Proof>> {
    let mut one = Session::mark(first, "first").await?;
    // One session alone detects a pooler that gives each statement another connection, or that allows no transactions.
    if !(one.is_itself("").await? && one.is_itself("begin;").await? && one.is_itself("commit;").await?) {
        return Ok(None);
    }
    let Some(mut second) = second else { return Ok(Some(Proof::Doubt)) };
    // A pooler in session mode accepts a client before it has a connection for it.
    let Ok(Ok(mut other)) = timeout(SECOND_CONNECTION_TIMEOUT, Session::mark(&mut second, "second")).await else {
        return Ok(Some(Proof::Doubt));
    };
    let swaps = one.pid == other.pid || are_swapped(&mut one, &mut other).await?;
    // The outcome does not matter, because the connection is not used again.
    let _ = timeout(SECOND_CONNECTION_TIMEOUT, second.close()).await;
    Ok((!swaps).then_some(Proof::NoTransactionPooler))
}

/// True if a session does not keep its server connection while the other one is used.
async fn are_swapped(one: &mut Session<'_>, other: &mut Session<'_>) -> sqlx::Result<bool> {
    // The first session twice in a row, because a pooler that lends its connections in turn would give two alternating
    // sessions the same ones again.
    let are_themselves = one.is_itself("").await?
        && one.is_itself("").await?
        && other.is_itself("begin;").await?
        && one.is_itself("").await?
        && other.is_itself("commit;").await?
        && one.is_itself("begin;").await?
        && other.is_itself("").await?
        && one.is_itself("commit;").await?;
    Ok(!are_themselves)
}

/// A connection, its mark, and the backend that it had when it was marked.
struct Session<'a> {
    connection: &'a mut PgConnection,
    mark: &'static str,
    pid: i32,
}

impl<'a> Session<'a> {
    /// Sends simple statements only, because a pooler may refuse prepared ones, or mix them up.
    async fn mark(connection: &'a mut PgConnection, mark: &'static str) -> sqlx::Result<Self> {
        let marking = format!("select set_config('candlewick.session', '{mark}', false), pg_backend_pid()");
        let (_, pid) = session(&connection.fetch_all(&*marking).await?)?;
        Ok(Self { connection, mark, pid })
    }

    /// True if its mark and its backend are still the same once `statement` has run.
    async fn is_itself(&mut self, statement: &str) -> sqlx::Result<bool> {
        let reading = format!("{statement} select current_setting('candlewick.session', true), pg_backend_pid()");
        let rows = match self.connection.fetch_all(&*reading).await {
            Err(error) if takes_no_transactions(&error) => return Ok(false),
            rows => rows?,
        };
        let (mark, pid) = session(&rows)?;
        Ok(pid == self.pid && mark.as_deref() == Some(self.mark))
    }
}

/// True if PgBouncer in statement mode has refused a transaction. The message is compared too, because PgBouncer
/// reports all its own errors with this state, a lost server among them. The words are "Long transactions not allowed"
/// in earlier releases, and since then "transaction blocks not allowed in statement pooling mode".
fn takes_no_transactions(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    error.as_database_error().is_some_and(|error| {
        sql_state(error) == Some(PROTOCOL_VIOLATION)
            && error.message().contains("transaction")
            && error.message().contains("not allowed")
    })
}

fn session(rows: &[PgRow]) -> sqlx::Result<(Option<String>, i32)> {
    let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
