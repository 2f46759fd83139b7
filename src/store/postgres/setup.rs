//! First contact with a PostgreSQL database: how to connect, whether it fits, and its tables.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::store::{StoreError, changed_migration};

/// Longest that reaching the database may take before it is tried anew.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest that first contact may take once it is made. Migrations only make tables; a server that froze meanwhile is
/// tried anew.
const FIRST_CONTACT: Duration = Duration::from_secs(60);
/// The release in which `extract` became exact and which the oldest supported distributions ship.
const OLDEST_SERVER: i32 = 140_000;
/// Supabase's pooler lends a connection for one transaction on this port (Supabase documentation, "Connect to your
/// database").
const TRANSACTION_POOLER: u16 = 6543;

/// Parameters of an address that sqlx acts on. It would pass over any other, and with it perhaps a misspelt `sslmode`.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads a `postgres://` address. A host that is not this machine gets TLS unless the address, or PGSSLMODE, says otherwise.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let unfit = |sentence: &str| StoreError::Unfit(sentence.to_owned());
    let parsed = url::Url::parse(url).map_err(|_| {
        unfit("DATABASE_URL is not a URL; write postgres://USER:PASSWORD@HOST:5432/DATABASE and percent-encode the password")
    })?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(unfit("DATABASE_URL names no known database; it starts with sqlite:// or postgres://"));
    }
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !known(name)) {
        return Err(StoreError::Unfit(format!(
            "DATABASE_URL holds the parameter {name}, which is not known; remove it"
        )));
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|_| {
        unfit("DATABASE_URL holds a parameter with a value that is not known; correct it, as in sslmode=verify-full")
    })?;
    if options.get_port() == TRANSACTION_POOLER {
        return Err(unfit(
            "DATABASE_URL names port 6543, the transaction pooler, which keeps no prepared statements; \
             use the session pooler or the direct connection on port 5432",
        ));
    }
    let names_sslmode = parsed.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"));
    let falls_back_to_plain = matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer);
    if !names_sslmode && falls_back_to_plain && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::Require);
    }
    // Poolers refuse a start-up parameter that they do not know, and extra_float_digits concerns no type of ours.
    Ok(options.application_name("candlewick").extra_float_digits(None).disable_statement_logging())
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Checks that the database fits and, if `migrate`, makes or updates its tables, all on one connection of its own:
/// a failed migration keeps its lock for as long as its connection lives (sqlx).
///
/// Says whether the table takes COPY, which row security forbids, which passes by rules, and which writes into partitions
/// one after the other instead of in the order of the keys.
pub(super) async fn prepare(options: &PgConnectOptions, migrate: bool) -> Result<bool, StoreError> {
    let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(options));
    let mut connection =
        connecting.await.map_err(|_| StoreError::Unavailable("connecting to it took too long".to_owned()))??;
    let result = tokio::time::timeout(FIRST_CONTACT, prepare_on(&mut connection, migrate))
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable("it did not answer while it was checked".to_owned())));
    // Its outcome changes nothing: the connection is not used again.
    let _ = connection.close().await;
    result
}

async fn prepare_on(connection: &mut PgConnection, migrate: bool) -> Result<bool, StoreError> {
    const TAKES_COPY: &str = "
        select not row_security_active(oid) and not relhasrules and relkind = 'r'
        from pg_class where oid = 'market_data_candles'::regclass";
    check_server(connection).await?;
    check_adopted_table(connection).await?;
    if migrate {
        let mut migrations = sqlx::migrate!("migrations/postgres");
        // A rollback to the release before leaves newer migrations in place; they only ever add.
        migrations.set_ignore_missing(true);
        // Not `run`: its bounds keep this future from being spawned (sqlx).
        migrations.run_direct(&mut *connection).await.map_err(migration_error)?;
    }
    check_tables(connection).await?;
    check_access(connection).await?;
    Ok(sqlx::query_scalar(TAKES_COPY).fetch_one(connection).await?)
}

async fn check_server(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (version, encoding): (i32, String) =
        sqlx::query_as("select current_setting('server_version_num')::int, current_setting('server_encoding')")
            .fetch_one(connection)
            .await?;
    if version < OLDEST_SERVER {
        let major = version / 10_000;
        return Err(StoreError::Unfit(format!("The database is PostgreSQL {major}; candlewick needs 14 or newer.")));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Unfit(format!(
            "The database's encoding is {encoding}, which cannot hold every symbol; create one with encoding UTF8."
        )));
    }
    Ok(())
}

/// The columns that we read and write, with their types.
const COLUMNS: [(&str, &str); 8] = [
    ("symbol", "text"),
    ("timeframe", "text"),
    ("timestamp", "timestamp with time zone"),
    ("open", "numeric"),
    ("high", "numeric"),
    ("low", "numeric"),
    ("close", "numeric"),
    ("volume", "bigint"),
];

/// Refuses a `market_data_candles` made by others that cannot hold every candle exactly and once.
async fn check_adopted_table(connection: &mut PgConnection) -> Result<(), StoreError> {
    const FOUND: &str = "
        select attname::text as name, format_type(atttypid, atttypmod) as type, attnotnull as not_null,
               attnotnull and not atthasdef and attidentity = '' as must_be_given
        from pg_attribute
        where attrelid = to_regclass('market_data_candles') and attnum > 0 and not attisdropped";
    // In this order, because reading hops over the index; with deterministic collations, because others take EURUSDm
    // and EURUSDM for one symbol; not deferrable, because "on conflict" cannot use such a key.
    const HAS_KEY: &str = "
        select exists (
            select from pg_index i
            where i.indrelid = to_regclass('market_data_candles') and i.indisunique and i.indimmediate and i.indisvalid
              and i.indpred is null and i.indexprs is null
              and (select array_agg(a.attname::text order by k.position)
                   from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k(number, position)
                   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
                  = array['symbol', 'timeframe', 'timestamp']
              and not exists (select from unnest(i.indcollation::oid[]) as used
                              join pg_collation c on c.oid = used and not c.collisdeterministic))
            and not exists (
                select from pg_attribute a join pg_collation c on c.oid = a.attcollation and not c.collisdeterministic
                where a.attrelid = to_regclass('market_data_candles') and a.attname in ('symbol', 'timeframe'))";
    let found = sqlx::query_as::<_, (String, String, bool, bool)>(FOUND).fetch_all(&mut *connection).await?;
    if found.is_empty() {
        return Ok(());
    }
    if let Some((missing, right)) = COLUMNS.iter().find(|(name, _)| !found.iter().any(|(found, ..)| found == name)) {
        return Err(StoreError::Unfit(format!(
            "The table market_data_candles exists without the column {missing}; add it as {right} or rename the table."
        )));
    }
    for (name, found, not_null, must_be_given) in &found {
        if let Some((_, right)) = COLUMNS.iter().find(|(wanted, _)| wanted == name) {
            check_adopted_column(name, found, *not_null, right)?;
        } else if *must_be_given {
            return Err(StoreError::Unfit(format!(
                "The column {name} of market_data_candles must be given a value that candlewick does not know; \
                 give it a default or drop its not-null constraint."
            )));
        }
    }
    if sqlx::query_scalar::<_, bool>(HAS_KEY).fetch_one(connection).await? {
        return Ok(());
    }
    Err(StoreError::Unfit(
        "The table market_data_candles exists without a unique key that tells every symbol apart, so candles could be \
         stored twice or lost; run: alter table market_data_candles add unique (symbol, timeframe, \"timestamp\")"
            .to_owned(),
    ))
}

fn check_adopted_column(name: &str, found: &str, not_null: bool, right: &str) -> Result<(), StoreError> {
    let alter = format!("alter table market_data_candles alter column \"{name}\"");
    if found != right && !(right == "text" && found == "character varying") {
        let remedy = if found == "timestamp without time zone" {
            format!("if it holds UTC, run: {alter} type {right} using \"{name}\" at time zone 'UTC'")
        } else {
            format!("run: {alter} type {right}")
        };
        return Err(StoreError::Unfit(format!(
            "The column {name} of market_data_candles is {found}, which cannot hold every value exactly; {remedy}"
        )));
    }
    if !not_null {
        return Err(StoreError::Unfit(format!(
            "The column {name} of market_data_candles may be null, and a candle has every value; run: {alter} set not null"
        )));
    }
    Ok(())
}

async fn check_tables(connection: &mut PgConnection) -> Result<(), StoreError> {
    const ALL_THERE: &str = "
        select to_regclass('market_data_candles') is not null and exists (
            select from pg_attribute
            where attrelid = to_regclass('market_data_live_candles') and attname = 'closes_at' and not attisdropped)";
    let there: bool = sqlx::query_scalar(ALL_THERE).fetch_one(connection).await?;
    if there {
        return Ok(());
    }
    Err(StoreError::Unavailable("its tables are missing or of an earlier release; run candlewick migrate".to_owned()))
}

/// Refuses a login that may not do what the service does, or from which row security would hide rows without a word.
async fn check_access(connection: &mut PgConnection) -> Result<(), StoreError> {
    const ACCESS: &str = r"
        with applicable as (
            select polrelid, polcmd::text as command, polpermissive as permissive,
                   coalesce(pg_get_expr(polqual, polrelid), 'true') = 'true'
                   and coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true' as lets_all_through
            from pg_policy
            where exists (select from unnest(polroles) as role where role = 0 or pg_has_role(role, 'usage'))
        )
        select needed.relation, needed.command,
               has_table_privilege(needed.relation, needed.command) as granted,
               not row_security_active(needed.relation) or coalesce((
                   select bool_or(p.permissive and p.lets_all_through)
                          and bool_and(p.permissive or p.lets_all_through)
                   from applicable p
                   where p.polrelid = needed.relation::regclass and p.command in ('*', needed.letter)
               ), false) as all_rows
        from (values
            ('market_data_candles', 'select', 'r'), ('market_data_candles', 'insert', 'a'),
            ('market_data_live_candles', 'select', 'r'), ('market_data_live_candles', 'insert', 'a'),
            ('market_data_live_candles', 'update', 'w'), ('market_data_live_candles', 'delete', 'd')
        ) as needed(relation, command, letter)";
    const SEQUENCE: &str = r"
        select coalesce(bool_and(has_sequence_privilege(s.oid, 'usage')), true)
        from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.refobjid = 'market_data_candles'::regclass and d.deptype = 'a'";
    let user: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut *connection).await?;
    let access = sqlx::query_as::<_, (String, String, bool, bool)>(ACCESS).fetch_all(&mut *connection).await?;
    for (table, command, granted, all_rows) in access {
        if !granted {
            return Err(StoreError::Unfit(format!(
                "The login {user} may not {command} on {table}; \
                 run: grant {command} on {table} to {user}, or see docs/postgres-role.sql."
            )));
        }
        if !all_rows {
            return Err(StoreError::Unfit(format!(
                "Row security on {table} would silently hide rows from the login {user} ({command}); \
                 give it a policy with using (true) as docs/postgres-role.sql does, or use the table's owner."
            )));
        }
    }
    let may_count: bool = sqlx::query_scalar(SEQUENCE).fetch_one(connection).await?;
    if may_count {
        return Ok(());
    }
    Err(StoreError::Unfit(format!(
        "The login {user} may not use the sequence of market_data_candles.id; \
         run: grant usage on all sequences in schema public to {user}"
    )))
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMismatch(version) => StoreError::Unfit(changed_migration(version)),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            match state.as_deref() {
                Some("42501") => StoreError::Unfit(
                    "The login may not create tables; run candlewick migrate with one that may, \
                     and serve with MIGRATE_ON_START=false."
                        .to_owned(),
                ),
                // Something else in the database has a name that we need, or is not what we take it for.
                Some(state) if state.starts_with("42") => {
                    StoreError::Unfit(format!("The tables cannot be made in this database: {error}."))
                }
                _ => StoreError::from(error),
            }
        }
        other => StoreError::Unfit(format!("The tables cannot be brought up to date: {other}.")),
    }
}
