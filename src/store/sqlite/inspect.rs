//! An inspection of a SQLite file as first contact would use it, which changes nothing.

use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::file::beside;
use super::{LOCK_TIMEOUT, NOT_WRITABLE, first_contact_error, tables};
use crate::config::MissingFolder;
use crate::errors::chain;
use crate::store::StoreError;
use crate::store::inspection::Findings;

/// The advice if no file can be made.
const FOLDER_NOT_WRITABLE: &str = "its folder may not be written; change the folder's owner, or choose another path";

/// True if files may be made in the folder of `path`. Windows shows this only to a program that makes one, so it is
/// assumed there.
fn takes_files(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        true
    }
}

/// Reports what first contact would find.
pub(super) async fn inspect(path: &Path, may_migrate: bool, findings: &mut Findings) {
    let shown = path.display();
    if let Some(folder) = MissingFolder::of(path) {
        return findings.must_change("file", format!("the SQLite file {shown} cannot be made: {folder}"));
    }
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !takes_files(path) {
                findings.must_change("file", format!("the SQLite file {shown} cannot be made: {FOLDER_NOT_WRITABLE}"));
            } else if may_migrate {
                findings.fine("file", format!("the SQLite file {shown} does not exist yet; serve makes it"));
            } else {
                findings.must_change("file", format!("the SQLite file {shown} does not exist; run candlewick migrate"));
            }
            return;
        }
        Err(error) => return findings.must_change("file", format!("{shown} cannot be accessed: {error}")),
        Ok(found) if !found.is_file() => {
            return findings.must_change("file", format!("{shown} is not a file; choose another path"));
        }
        Ok(found) => findings.fine("file", format!("the SQLite file {shown}, {} bytes", found.len())),
    }
    // Opening the files for appending proves that they may be written, and writes nothing.
    let may_write = |path: &Path| !path.exists() || fs::OpenOptions::new().append(true).open(path).is_ok();
    let log = beside(path, "-wal");
    if !takes_files(path) || ![path, &log, &beside(path, "-shm")].into_iter().all(may_write) {
        findings.must_change("writing", NOT_WRITABLE);
    }
    // If there is no log, nobody uses the file. It is opened as immutable then, because any other reader would leave a
    // log behind.
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).immutable(!log.exists()).busy_timeout(LOCK_TIMEOUT);
    if let Err(error) = look(options.disable_statement_logging(), path, may_migrate, findings).await {
        findings.fail("file", &error);
    }
}

async fn look(
    options: SqliteConnectOptions,
    path: &Path,
    may_migrate: bool,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(first_contact_error)?;
    let version: String =
        sqlx::query_scalar("select sqlite_version()").fetch_one(&mut connection).await.map_err(first_contact_error)?;
    findings.fine("version", format!("SQLite {version}, which is part of the program"));
    let result = look_at_tables(&mut connection, path, may_migrate, findings).await;
    // The outcome does not matter, because the connection has only read.
    let _ = connection.close().await;
    result
}

async fn look_at_tables(
    connection: &mut SqliteConnection,
    path: &Path,
    may_migrate: bool,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let migrations = sqlx::migrate!("migrations/sqlite");
    match tables::problem(connection, path, &migrations, may_migrate).await.map_err(first_contact_error)? {
        None => {}
        // The operator has to run a command.
        Some(StoreError::Unavailable(cause)) => {
            findings.must_change("tables", chain(&cause).to_string());
            return Ok(());
        }
        Some(problem) => return Err(problem),
    }
    let pending = tables::pending(connection, &migrations).await?;
    let names = pending.join(", ");
    if pending.is_empty() {
        findings.fine("tables", "up to date");
    } else if may_migrate && pending.len() == migrations.iter().count() {
        findings.fine("tables", format!("there are none yet; serve makes them ({names})"));
    } else if may_migrate {
        findings.fine("tables", format!("of an earlier release; serve brings them up to date ({names})"));
    } else {
        let advice = "candlewick migrate brings them up to date";
        findings.warn("tables", format!("of an earlier release, which this one can use; {advice} ({names})"));
    }
    Ok(())
}
