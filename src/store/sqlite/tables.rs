//! The check that the tables in a file are ours, and the advice if they are not. On SQLite no table that others made is
//! adopted, because its numbers keep 15 digits and its columns may hold values of any type, unless it is made as ours
//! are.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{Executor as _, SqliteConnection};
use tracing::info;

use super::first_contact_error;
use crate::errors::to_sentence;
use crate::store::{NEWEST_CANDLES_MIGRATION, StoreError, changed_migration};

const CANDLES: &str = "market_data_candles";
const LIVE_CANDLES: &str = "market_data_live_candles";

/// The columns that both tables have, each as it is declared.
const COLUMNS: [(&str, &str); 8] = [
    ("symbol", "text not null"),
    ("timeframe", "text not null"),
    ("timestamp", "integer not null"),
    ("open", "text not null"),
    ("high", "text not null"),
    ("low", "text not null"),
    ("close", "text not null"),
    ("volume", "integer not null"),
];
const KEY: [&str; 3] = ["symbol", "timeframe", "timestamp"];

/// A table as it was found.
#[derive(Debug, PartialEq, Eq)]
enum Table {
    Missing,
    /// It has the form that the migrations give it.
    Fits,
    Misfit {
        is_view: bool,
        /// All reasons why it does not fit.
        reasons: Vec<String>,
    },
}

/// Returns everything that is wrong with the tables, or `None` if they are those that `migrations` made, or if there
/// are none and they may be made.
pub(super) async fn problem(
    connection: &mut SqliteConnection,
    file: &Path,
    migrations: &Migrator,
    may_migrate: bool,
) -> sqlx::Result<Option<StoreError>> {
    let were_made = were_made(connection, migrations).await?;
    let tables = [(CANDLES, table(connection, CANDLES).await?), (LIVE_CANDLES, table(connection, LIVE_CANDLES).await?)];
    let are_all = |state: &Table| tables.iter().all(|(_, table)| table == state);
    if were_made && are_all(&Table::Fits) {
        let is_usable = may_migrate || is_up_to_date(connection).await?;
        let outdated = || StoreError::unavailable("its tables are of an earlier release; run candlewick migrate");
        return Ok((!is_usable).then(outdated));
    }
    if !were_made && may_migrate && are_all(&Table::Missing) {
        return Ok(None);
    }
    if !were_made && are_all(&Table::Missing) {
        return Ok(Some(StoreError::unavailable("its tables are missing; run candlewick migrate")));
    }
    let mut lines = complaints(file, were_made, &tables);
    for later in lines.iter_mut().skip(1) {
        *later = to_sentence(later);
    }
    if let Some(first) = lines.first_mut() {
        first.push('.');
    }
    lines.extend(remedy(connection, file, were_made, &tables).await?);
    Ok(Some(StoreError::misconfigured(lines.join("\n"))))
}

/// True if the migrations' table lists our migrations as applied.
async fn were_made(connection: &mut SqliteConnection, migrations: &Migrator) -> sqlx::Result<bool> {
    const HAS_RUN: &str = "select exists (select 1 from _sqlx_migrations where version = ? and checksum = ?)";
    if !knows_migrations(connection).await? {
        return Ok(false);
    }
    let Some(first) = migrations.iter().next() else { return Ok(false) };
    sqlx::query_scalar(HAS_RUN).bind(first.version).bind(&*first.checksum).fetch_one(connection).await
}

/// True if the migrations' table is there.
async fn knows_migrations(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    const IS_THERE: &str = "select exists (select 1 from sqlite_schema where name = '_sqlx_migrations')";
    sqlx::query_scalar(IS_THERE).fetch_one(connection).await
}

/// Names the migrations that have not run, and runs none.
pub(super) async fn pending(
    connection: &mut SqliteConnection,
    migrations: &Migrator,
) -> Result<Vec<String>, StoreError> {
    let applied: Vec<(i64, Vec<u8>)> = if knows_migrations(connection).await.map_err(first_contact_error)? {
        const APPLIED: &str = "select version, checksum from _sqlx_migrations";
        sqlx::query_as(APPLIED).fetch_all(connection).await.map_err(first_contact_error)?
    } else {
        Vec::new()
    };
    let mut pending = Vec::new();
    for migration in migrations.iter() {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            Some((_, checksum)) if **checksum != *migration.checksum => {
                return Err(StoreError::misconfigured(changed_migration(migration.version)));
            }
            Some(_) => {}
            None => pending.push(format!("migration {} {}", migration.version, migration.description)),
        }
    }
    Ok(pending)
}

/// Makes the table of the newest candles' times again if somebody dropped it.
pub(super) async fn restore_newest_candles(
    connection: &mut SqliteConnection,
    migrations: &Migrator,
) -> sqlx::Result<()> {
    const IS_THERE: &str = "select exists (select 1 from sqlite_schema where name = 'market_data_newest_candles')";
    if sqlx::query_scalar(IS_THERE).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    if let Some(migration) = migrations.iter().find(|migration| migration.version == NEWEST_CANDLES_MIGRATION) {
        info!("market_data_newest_candles, which was dropped, is made again");
        connection.execute(&*migration.sql).await?;
    }
    Ok(())
}

/// True if the newest migration that statements depend on has run.
async fn is_up_to_date(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    const HAS_CLOSING_TIMES: &str =
        "select exists (select 1 from pragma_table_info('market_data_live_candles') where name = 'closes_at')";
    sqlx::query_scalar(HAS_CLOSING_TIMES).fetch_one(connection).await
}

/// Checks everything at once, so that nobody has to repair one thing at each start.
async fn table(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Table> {
    const FOUND: &str = "select type = 'view', strict from pragma_table_list(?) where schema = 'main'";
    const FOUND_COLUMNS: &str = r#"
        select lower(name), lower(type) || iif("notnull", ' not null', ''), "notnull" and dflt_value is null and not hidden
        from pragma_table_xinfo(?)"#;
    // Each unique key as its columns in their order, with the collation of columns that are not compared by their
    // bytes.
    const UNIQUE_KEYS: &str = r#"
        select (
            select group_concat(lower(coalesce(c.name, 'an expression')) || iif(c.coll = 'BINARY', '', ' collate ' || c.coll), ', ')
            from (select * from pragma_index_xinfo(i.name) where key order by seqno) c)
        from pragma_index_list(?) i where i."unique""#;
    let found: Option<(bool, bool)> = sqlx::query_as(FOUND).bind(name).fetch_optional(&mut *connection).await?;
    let Some((is_view, is_strict)) = found else { return Ok(Table::Missing) };
    if is_view {
        return Ok(Table::Misfit { is_view, reasons: vec!["it is a view".to_owned()] });
    }
    let columns: Vec<(String, String, bool)> =
        sqlx::query_as(FOUND_COLUMNS).bind(name).fetch_all(&mut *connection).await?;
    let keys: Vec<String> = sqlx::query_scalar(UNIQUE_KEYS).bind(name).fetch_all(connection).await?;
    let mut reasons = Vec::new();
    for (wanted, declared) in COLUMNS {
        match columns.iter().find(|(name, ..)| name == wanted) {
            None => reasons.push(format!("the column {wanted} ({declared}) is missing")),
            Some((_, found, _)) if found.replace("int ", "integer ") != declared => {
                let found = if found.is_empty() { "of no type" } else { found };
                reasons.push(format!("{wanted} is {found} and must be {declared}"));
            }
            Some(_) => {}
        }
    }
    let is_wanted = |column: &str| COLUMNS.iter().any(|(wanted, _)| *wanted == column);
    let unknown = columns.iter().filter(|(name, _, must_be_given)| *must_be_given && !is_wanted(name));
    reasons.extend(unknown.map(|(name, ..)| format!("{name} must be given a value that candlewick does not know")));
    if !is_strict {
        reasons.push("it is not strict, so that a column may hold values of any type".to_owned());
    }
    let key = KEY.join(", ");
    if !keys.contains(&key) {
        reasons.push(format!("it has no primary key ({key})"));
    }
    let others = keys.iter().filter(|other| **other != key);
    reasons.extend(others.map(|other| format!("its unique key ({other}) would keep candles out")));
    Ok(if reasons.is_empty() { Table::Fits } else { Table::Misfit { is_view, reasons } })
}

fn complaints(file: &Path, were_made: bool, tables: &[(&str, Table); 2]) -> Vec<String> {
    let file = file.display();
    let complaint = |(name, table): &(&str, Table)| match table {
        Table::Misfit { reasons, .. } => {
            Some(format!("the table {name} in the SQLite file {file} cannot be used: {}", reasons.join("; ")))
        }
        Table::Missing if were_made => {
            Some(format!("the table {name} is missing from the SQLite file {file}, which had it"))
        }
        Table::Fits if !were_made => {
            Some(format!("the table {name} in the SQLite file {file} is not one that candlewick migrate made there"))
        }
        Table::Fits | Table::Missing => None,
    };
    tables.iter().filter_map(complaint).collect()
}

/// The advice that follows the complaints: statements, ready to be pasted, that make the file usable and lose nothing
/// in it.
async fn remedy(
    connection: &mut SqliteConnection,
    file: &Path,
    were_made: bool,
    tables: &[(&str, Table); 2],
) -> sqlx::Result<Vec<String>> {
    let mut statements = Vec::new();
    let mut moved_candles = None;
    for (name, table) in tables {
        match table {
            Table::Missing => {}
            Table::Misfit { is_view: true, .. } => statements.push(format!("drop view {name};")),
            Table::Fits | Table::Misfit { .. } => {
                let free = free_name(connection, name).await?;
                statements.push(format!("alter table {name} rename to {free};"));
                if *name == CANDLES {
                    moved_candles = Some((free, *table == Table::Fits));
                }
            }
        }
    }
    if were_made {
        statements.push("drop table _sqlx_migrations;".to_owned());
    }
    let sqlite3 = |statements: &str| format!("  sqlite3 \"{}\" \"{statements}\"", file.display());
    let advice = if were_made {
        "Stop the programs that use the file, and restore it from a backup, or go on with the rest of it by running:"
    } else {
        "Stop the programs that use the file, and name another one in DATABASE_URL, or move what is in the way aside \
         by running:"
    };
    let mut lines = vec![advice.to_owned(), sqlite3(&statements.join(" ")), "  candlewick migrate".to_owned()];
    match moved_candles {
        None => {}
        Some((moved, true)) => lines.extend([
            sqlite3(&format!("drop table {CANDLES}; alter table {moved} rename to {CANDLES};")),
            "The last line puts all closed candles back".to_owned(),
        ]),
        Some((moved, false)) => lines.push(format!(
            "A table in a SQLite file is not converted: post the candles of {moved} to the service, as \
             docs/operations/sqlite.md shows under \"A SQLite file that others made\""
        )),
    }
    Ok(lines)
}

/// A free name to which a table can be renamed.
async fn free_name(connection: &mut SqliteConnection, table: &str) -> sqlx::Result<String> {
    const IS_TAKEN: &str = "select exists (select 1 from sqlite_schema where lower(name) = ?)";
    let mut name = format!("{table}_old");
    let mut number = 1;
    while sqlx::query_scalar::<_, bool>(IS_TAKEN).bind(&name).fetch_one(&mut *connection).await? {
        number += 1;
        name = format!("{table}_old{number}");
    }
    Ok(name)
}
