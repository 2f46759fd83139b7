//! Connections for reads of many rows. They are rusqlite's, because sqlx passes each row through a channel.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{LOCK_TIMEOUT, READER_CACHE, READER_TIMEOUT, unfinished};
use crate::store::StoreError;
use crate::telemetry::spans::spawn_blocking;

/// The maximum number of reads of one kind that run at once.
const MAX_READERS: usize = 2;

/// Connections that read the rows of one kind of answer.
#[derive(Debug)]
pub(super) struct RowReader {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    busy: &'static str,
}

impl RowReader {
    /// The file has to exist at the first read, which opens it. `busy` explains that no connection was free.
    pub(super) fn new(file: PathBuf, busy: &'static str) -> Self {
        Self { file, idle: Mutex::default(), places: Semaphore::new(MAX_READERS), busy }
    }

    /// Closes the idle connections, and lends none any more.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle().clear();
    }

    /// Runs `work` on a connection that nothing else uses. A connection on which something failed is not used again.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = || StoreError::unavailable(self.busy);
        let place = timeout(READER_TIMEOUT, self.places.acquire()).await.map_err(|_| busy())?;
        let _place = place.map_err(|_| StoreError::unavailable("its connections are closed"))?;
        let (idle, file) = (self.idle().pop(), self.file.clone());
        let working = spawn_blocking(move || {
            let connection = idle.map_or_else(|| open(file), Ok)?;
            let result = work(&connection)?;
            Ok::<_, rusqlite::Error>((connection, result))
        });
        let (connection, result) = match working.await {
            Ok(done) => done?,
            Err(error) => return Err(unfinished(error)),
        };
        self.idle().push(connection);
        Ok(result)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(file: PathBuf) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_TIMEOUT)?;
    connection.pragma_update(None, "query_only", "on")?;
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    Ok(connection)
}
