//! The only connection that writes.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::file::DatabaseFile;
use super::{LOCK_TIMEOUT, append, unfinished};
use crate::store::StoreError;
use crate::telemetry::spans::spawn_blocking;
use candle::{Batch, Written};

/// The maximum time for which work that no request waits for waits for the connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(4);

/// Writes to a file, one transaction at a time.
#[derive(Debug)]
pub(super) struct WriteConnection {
    file: Arc<DatabaseFile>,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Open(Connection),
    /// It is never opened again.
    Closed,
}

impl WriteConnection {
    /// The file has to exist at the first write, which opens it.
    pub(super) fn new(file: Arc<DatabaseFile>) -> Self {
        Self { file, slot: Mutex::new(Slot::Empty) }
    }

    /// Runs `work` once the connection is free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut slot = self.turn(TURN_TIMEOUT).await?;
        self.run_on(&mut slot, LockWait::For(LOCK_TIMEOUT), work).await
    }

    /// Stores batches in one transaction, if that begins by `write_by`, and returns what each of them changed.
    pub(super) async fn append(&self, batches: Vec<Arc<Batch>>, write_by: Instant) -> Result<Vec<Written>, StoreError> {
        let mut slot = self.turn(write_by.saturating_duration_since(Instant::now())).await?;
        let insert = move |connection: &mut _| append::insert(connection, batches.iter().map(|batch| &**batch));
        self.run_on(&mut slot, LockWait::Until(write_by), insert).await
    }

    /// The number of open connections, and of idle ones among them.
    pub(super) fn count(&self) -> (u32, u32) {
        let Ok(slot) = self.slot.try_lock() else { return (1, 0) };
        let open = u32::from(matches!(*slot, Slot::Open(_)));
        (open, open)
    }

    /// Closes the connection when it is free. Later writes fail.
    pub(super) async fn close(&self) {
        if let Slot::Open(connection) = mem::replace(&mut *self.slot.lock().await, Slot::Closed) {
            // It may take a moment, because the last connection to a file empties the write-ahead log.
            let _ = spawn_blocking(|| connection.close().is_ok()).await;
        }
    }

    async fn turn(&self, wait: Duration) -> Result<tokio::sync::MutexGuard<'_, Slot>, StoreError> {
        let busy = |_| StoreError::unavailable("the connection that writes was not free in time");
        timeout(wait, self.slot.lock()).await.map_err(busy)
    }

    /// Runs `work`, which waits for a lock of another process as `lock_wait` says. A connection on which something failed
    /// is closed, because after a disk failure its cache may differ from the file. Nothing is written into a file that
    /// is not at its path, and a write during which the file went away is not reported as stored.
    async fn run_on<T: Send + 'static>(
        &self,
        slot: &mut Slot,
        lock_wait: LockWait,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = match mem::replace(slot, Slot::Empty) {
            Slot::Open(connection) => Some(connection),
            Slot::Empty => None,
            Slot::Closed => {
                *slot = Slot::Closed;
                return Err(StoreError::unavailable("its connections are closed"));
            }
        };
        let file = Arc::clone(&self.file);
        let working = spawn_blocking(move || {
            file.check()?;
            let mut connection = connection.map_or_else(|| open(file.path()), Ok)?;
            // Only now, because the disk may have taken long until here.
            connection.busy_timeout(lock_wait.left()?)?;
            let result = work(&mut connection);
            // Checked before the result, because a lost file explains a failure as well.
            file.check()?;
            Ok::<_, StoreError>((connection, result?))
        });
        let (connection, result) = match working.await {
            Ok(done) => done?,
            Err(error) => return Err(unfinished(error)),
        };
        *slot = Slot::Open(connection);
        Ok(result)
    }
}

/// The time for which a lock of another process is waited for.
#[derive(Debug, Clone, Copy)]
enum LockWait {
    For(Duration),
    /// Until this time, after which nothing begins.
    Until(Instant),
}

impl LockWait {
    fn left(self) -> Result<Duration, StoreError> {
        match self {
            Self::For(wait) => Ok(wait),
            Self::Until(time) => {
                let left = time.saturating_duration_since(Instant::now());
                let late = || StoreError::unavailable("the file could not be opened in time");
                (!left.is_zero()).then_some(left).ok_or_else(late)
            }
        }
    }
}

/// Opens a connection that writes to an existing file.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A 201 means durable: the write-ahead log is on disk before COMMIT returns.
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}
