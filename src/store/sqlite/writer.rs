//! The one connection that writes, and the batches that wait for it.
//!
//! A transaction has the disk write what it changed before it ends, which takes far longer than one more batch in it. So
//! whoever gets the connection writes all batches that wait, in one transaction.

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

/// Longest that a batch waits behind others: most Expert Advisors give up after 5 s.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(4);
/// Most candles in one transaction, unless a single batch has more: those that came first wait for all of them.
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
    /// For good.
    Closed,
}

/// Batches in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<WaitingBatch>,
    /// How many have ever joined.
    joined: u64,
}

/// A batch and who waits for it.
#[derive(Debug)]
struct WaitingBatch {
    number: u64,
    batch: Arc<Batch>,
    came: Instant,
    span: Span,
    answer: oneshot::Sender<Result<Written, StoreError>>,
}

impl TransactionWriter {
    /// Will write to a file that is there.
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

    /// Stores a batch, together with those that wait when its turn comes. To be polled to its end, since it may be writing
    /// those of others.
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
                // Somebody is writing it.
                Err(_) => return answer.await.unwrap_or_else(|_| Err(broken())),
            }
        }
    }

    /// How many connections are open, and how many of them are idle.
    pub(super) fn count(&self) -> (u32, u32) {
        let Ok(slot) = self.connection.try_lock() else { return (1, 0) };
        let open = u32::from(matches!(*slot, Slot::Open(_)));
        (open, open)
    }

    /// Closes the connection when it is free. Nothing is written any more.
    pub(super) async fn close(&self) {
        if let Slot::Open(connection) = mem::replace(&mut *self.connection.lock().await, Slot::Closed) {
            // It may take a moment, since the last connection to a file puts its log in order.
            let _ = spawn_blocking(|| connection.close().is_ok()).await;
        }
    }

    async fn turn(&self, deadline: Instant) -> Result<tokio::sync::MutexGuard<'_, Slot>, StoreError> {
        let busy = |_| StoreError::unavailable("the connection that writes was not free in time");
        timeout_at(deadline, self.connection.lock()).await.map_err(busy)
    }

    /// Waits so long for a lock of another process. A connection on which something failed is closed: after a failing disk, what
    /// it remembers of the file need not be what is there. Nothing is written into a file that is not at its path, and what was
    /// written while it went away is not taken for stored.
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
            // First, because it explains a failure as well.
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

    /// Writes and answers `entries`: in one transaction, or where a candle of theirs is refused in halves, so that no caller
    /// fails another. Any other failure is everybody's, because each half would meet it as well.
    async fn write(&self, slot: &mut Slot, entries: Vec<WaitingBatch>) {
        let mut parts = vec![entries];
        while let Some(mut part) = parts.pop() {
            part.extract_if(.., |entry| entry.time_left().is_zero()).for_each(WaitingBatch::give_up);
            let Some(oldest) = part.first() else { continue };
            let lock_wait = LOCK_TIMEOUT.max(oldest.time_left());
            let batches: Vec<_> = part.iter().map(|entry| Arc::clone(&entry.batch)).collect();
            let insert = move |connection: &mut _| append::insert(connection, batches.iter().map(|batch| &**batch));
            // Not in the span of the one who happens to write them.
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

    /// Takes those whose turn it is.
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

    /// Gives up waiting; false if it is being written.
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
    /// Tells the caller, who may have left.
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

/// Opens a connection that writes to a file that is there.
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
    StoreError::internal("who wrote this batch together with others broke")
}
