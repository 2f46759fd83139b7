//! The check that the login has the privileges that the service needs.

use sqlx::PgConnection;

use crate::store::StoreError;

/// The work for which the login needs more than posts and pages do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Duties {
    /// Corrections and deletions.
    pub(super) maintains: bool,
    /// Jobs of research.
    pub(super) researches: bool,
}

/// Refuses a login that lacks a privilege, or from which row security would silently hide rows.
pub(super) async fn check(connection: &mut PgConnection, duties: Duties) -> Result<(), StoreError> {
    const SEQUENCE: &str = r"
        select coalesce(bool_and(has_sequence_privilege(s.oid, 'usage')), true)
        from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.refobjid = 'market_data_candles'::regclass and d.deptype = 'a'";
    let user = check_commands(connection, duties, |_| true).await?;
    let may_count: bool = sqlx::query_scalar(SEQUENCE).fetch_one(connection).await?;
    if may_count {
        return Ok(());
    }
    Err(StoreError::misconfigured(format!(
        "the login {user} may not use the sequence of market_data_candles.id; \
         run: grant usage on all sequences in schema public to {user};"
    )))
}

/// Like [`check`], for a login that only reads.
pub(super) async fn check_reading(connection: &mut PgConnection) -> Result<(), StoreError> {
    check_commands(connection, Duties::default(), |command| command == "select").await.map(drop)
}

/// Checks the commands that are wanted, and returns the login.
async fn check_commands(
    connection: &mut PgConnection,
    duties: Duties,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<String, StoreError> {
    let user: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut *connection).await?;
    let needed = sqlx::query_as::<_, (String, String, bool, bool)>(include_str!("sql/access.sql"));
    let needed = needed.bind(duties.maintains).bind(duties.researches).fetch_all(&mut *connection).await?;
    for (table, command, granted, all_rows) in needed.into_iter().filter(|(_, command, ..)| is_wanted(command)) {
        if table == "market_data_changes" && !granted {
            return Err(StoreError::misconfigured(format!(
                "the login {user} may not {command} on market_data_changes, which records corrections and deletions; run \
                 candlewick migrate as the owner of the tables, then: grant select, insert on market_data_changes to {user}; \
                 grant usage on sequence market_data_changes_id_seq to {user}"
            )));
        }
        if table.starts_with("research_") && !granted {
            return Err(StoreError::misconfigured(format!(
                "the login {user} may not {command} on {table}, which jobs need; run candlewick migrate as the owner of the \
                 tables, then: grant select, insert, update, delete on research_jobs, research_items, research_files to {user}; \
                 without RESEARCH_API_KEY the service starts without jobs"
            )));
        }
        if !granted {
            return Err(StoreError::misconfigured(format!(
                "the login {user} may not {command} on {table}; \
                 run: grant {command} on {table} to {user}, or see docs/postgres-role.sql"
            )));
        }
        if !all_rows {
            return Err(StoreError::misconfigured(format!(
                "row security on {table} would silently hide rows from the login {user} ({command}); \
                 give it a policy with using (true) as docs/postgres-role.sql does, or use the table's owner"
            )));
        }
    }
    Ok(user)
}
