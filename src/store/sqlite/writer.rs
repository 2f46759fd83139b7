//! The only connection that writes, and the batches that wait for it.
//!
//! A transaction waits for the disk before it ends, which takes far longer than one more batch in it. So the caller
//! that gets the connection writes all waiting batches in one transaction.

use std::collections::VecDeque;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, Span};

use super::file::DatabaseFile;
use super::{LOCK_TIMEOUT, append, unfinished};
use crate::store::{StoreError, Written};
use crate::telemetry::spans::{self, spawn_blocking};
use candle::Batch;

/// The maximum time for which a batch waits for others, because most Expert Advisors give up after 5 s.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(4);
/// The maximum number of candles in one transaction, unless a single batch has more, because the batches that came
/// first wait for all of them.
const MAX_TRANSACTION_CANDLES: usize = 10_000;

/// Writes to a file, one transaction at a time.
#[derive(Debug)]
pub(super) struct TransactionWriter {
    file: Arc<DatabaseFile>,
    connection: tokio::sync::Mutex<Slot>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Open(Connection),
    /// It is never opened again.
    Closed,
}

/// Batches in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<WaitingBatch>,
    /// The number of batches that have ever joined.
    joined: u64,
}

/// A batch and the channel to its waiting caller.
#[derive(Debug)]
struct WaitingBatch {
    number: u64,
    batch: Arc<Batch>,
    came: Instant,
    span: Span,
    answer: oneshot::Sender<Result<Written, StoreError>>,
}

impl TransactionWriter {
    /// The file has to exist at the first write, which opens it.
    pub(super) fn new(file: Arc<DatabaseFile>) -> Self {
        Self { file, connection: tokio::sync::Mutex::new(Slot::Empty), waiting: Mutex::default() }
    }

    /// Runs `work` once the connection is free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut slot = self.turn(Instant::now() + QUEUE_TIMEOUT).await?;
        self.run_on(&mut slot, LOCK_TIMEOUT, work).await
    }

    /// Stores a batch, together with those that wait when its turn comes. The future has to be polled to its end,
    /// because it may be writing batches of other callers.
    pub(super) async fn append(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let came = Instant::now();
        let (number, mut answer) = self.join(batch, came);
        loop {
            let turn = tokio::select! {
                biased;
                result = &mut answer => return result.unwrap_or_else(|_| Err(broken())),
                turn = self.turn(came + QUEUE_TIMEOUT) => turn,
            };
            match turn {
                Ok(mut slot) => self.write(&mut slot, self.take()).await,
                Err(error) if self.leave(number) => return Err(error),
                // Another caller is writing it.
                Err(_) => return answer.await.unwrap_or_else(|_| Err(broken())),
            }
        }
    }

    /// The number of open connections, and of idle ones among them.
    pub(super) fn count(&self) -> (u32, u32) {
        let Ok(slot) = self.connection.try_lock() else { return (1, 0) };
        let open = u32::from(matches!(*slot, Slot::Open(_)));
        (open, open)
    }

    /// Closes the connection when it is free. Later writes fail.
    pub(super) async fn close(&self) {
        if let Slot::Open(connection) = mem::replace(&mut *self.connection.lock().await, Slot::Closed) {
            // It may take a moment, because the last connection to a file empties the write-ahead log.
            let _ = spawn_blocking(|| connection.close().is_ok()).await;
        }
    }

    async fn turn(&self, deadline: Instant) -> Result<tokio::sync::MutexGuard<'_, Slot>, StoreError> {
        let busy = |_| StoreError::unavailable("the connection that writes was not free in time");
        timeout_at(deadline, self.connection.lock()).await.map_err(busy)
    }

    /// Runs `work`, which waits for a lock of another process for `lock_wait`. A connection on which something failed
    /// is closed, because after a disk failure its cache may differ from the file. Nothing is written into a file that
    /// is not at its path, and a write during which the file went away is not reported as stored.
    async fn run_on<T: Send + 'static>(
        &self,
        slot: &mut Slot,
        lock_wait: Duration,
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
            connection.busy_timeout(lock_wait)?;
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

    /// Writes and answers `entries` in one transaction. If one of their candles is refused, they are bisected, so that
    /// no caller makes another one's batch fail. Any other failure goes to all of them, because each half would meet it
    /// as well.
    async fn write(&self, slot: &mut Slot, entries: Vec<WaitingBatch>) {
        let mut parts = vec![entries];
        while let Some(mut part) = parts.pop() {
            part.extract_if(.., |entry| entry.time_left().is_zero()).for_each(WaitingBatch::give_up);
            let Some(oldest) = part.first() else { continue };
            let lock_wait = LOCK_TIMEOUT.max(oldest.time_left());
            let batches: Vec<_> = part.iter().map(|entry| Arc::clone(&entry.batch)).collect();
            let insert = move |connection: &mut _| append::insert(connection, batches.iter().map(|batch| &**batch));
            // Not in the span of the caller that happens to write them.
            let span = spans::joined("append", part.iter().map(|entry| &entry.span));
            match self.run_on(slot, lock_wait, insert).instrument(span).await {
                Ok(written) => part.into_iter().zip(written).for_each(|(entry, written)| entry.answer(Ok(written))),
                Err(StoreError::ConstraintViolated(_)) if part.len() > 1 => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Err(error) => part.into_iter().for_each(|entry| entry.answer(Err(error.clone()))),
            }
        }
    }

    fn join(&self, batch: Arc<Batch>, came: Instant) -> (u64, oneshot::Receiver<Result<Written, StoreError>>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.joined += 1;
        let number = waiting.joined;
        waiting.entries.push_back(WaitingBatch { number, batch, came, span: Span::current(), answer });
        (number, answered)
    }

    /// Takes the batches of the next transaction out of the queue.
    fn take(&self) -> Vec<WaitingBatch> {
        let mut waiting = self.lock();
        let mut candles = 0;
        let fitting = waiting.entries.iter().take_while(|WaitingBatch { batch, .. }| {
            let is_first = candles == 0;
            candles += batch.len();
            is_first || candles <= MAX_TRANSACTION_CANDLES
        });
        let count = fitting.count();
        waiting.entries.drain(..count).collect()
    }

    /// Takes a batch out of the queue; false if it is being written.
    fn leave(&self, number: u64) -> bool {
        let mut waiting = self.lock();
        let place = waiting.entries.iter().position(|entry| entry.number == number);
        place.and_then(|place| waiting.entries.remove(place)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingBatch {
    /// Sends the result to the caller, which may have stopped waiting.
    fn answer(self, result: Result<Written, StoreError>) {
        let _ = self.answer.send(result);
    }

    fn time_left(&self) -> Duration {
        QUEUE_TIMEOUT.saturating_sub(self.came.elapsed())
    }

    fn give_up(self) {
        self.answer(Err(StoreError::unavailable("too much was written before this batch")));
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

fn broken() -> StoreError {
    StoreError::internal("the task that wrote this batch together with others failed")
}
