//! Coalesces posts of few candles into statements.
//!
//! An Expert Advisor posts one candle at a time, and a statement costs a database far more than one row in it. So small
//! batches wait in a queue while a statement runs, and the next statement takes all of them. If none runs, a batch is
//! written at once. Each caller is answered after the commit that holds its candles, with the counts that it would have
//! got alone.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::{Gauge, counter, gauge};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument as _, Span};

use crate::store::{Appended, Store, StoreError};
use crate::telemetry::metrics::{FLUSHED_POSTS, FLUSHES, Shed, WAITING_CANDLES};
use crate::telemetry::spans;
use candle::{Batch, Candle, Key};

/// The maximum number of candles of a batch that is written together with others. A larger batch gains little by it,
/// and would make others wait for its rows.
const MAX_CANDLES_TO_COALESCE: usize = 128;
/// The maximum number of candles in one statement. More of them would hardly cost less each, and would keep the first
/// callers waiting.
const MAX_STATEMENT_CANDLES: usize = 1000;
/// The maximum number of candles in the queue, which fill sixteen statements. A database that takes a quarter of a
/// second for each writes them within [`QUEUE_TIMEOUT`]. A slower database could not write more of them in time, so the
/// rest is refused at once.
const MAX_QUEUED_CANDLES: usize = 16 * MAX_STATEMENT_CANDLES;
/// The maximum number of bytes in the queue: somewhat more than [`MAX_QUEUED_CANDLES`] of an ordinary symbol take, and
/// half of what they take with the longest symbols.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// The maximum number of batches that a statement passes over, because each is examined again for the next statement.
const MAX_PASSED_OVER_BATCHES: usize = 256;
/// The maximum time that a batch waits for its statement, because most Expert Advisors give up after 5 s.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(4);

/// Writes batches. Clones share the queue of the small ones.
#[derive(Debug, Clone)]
pub(super) struct BatchWriter {
    store: Store,
    queue: Arc<Queue>,
    ended: CancellationToken,
}

impl BatchWriter {
    /// Starts the task that writes small batches to `store`.
    pub(super) fn start(store: Store) -> Self {
        let (writer, flusher) = Self::new(store);
        tokio::spawn(flusher.run());
        writer
    }

    fn new(store: Store) -> (Self, Flusher) {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            arrival: Notify::new(),
            waiting_candles: gauge!(WAITING_CANDLES),
        });
        let ended = CancellationToken::new();
        let flusher = Flusher {
            store: store.clone(),
            queue: Arc::clone(&queue),
            waiting: VecDeque::new(),
            claims: Claims::default(),
            _ended: ended.clone().drop_guard(),
        };
        (Self { store, queue, ended }, flusher)
    }

    /// Stores a batch as [`Store::append`] does, a small one together with others that come at the same time.
    pub(super) async fn write(&self, batch: Arc<Batch>) -> Result<Appended, StoreError> {
        if batch.len() > MAX_CANDLES_TO_COALESCE {
            self.queue.is_open()?;
            // Boxed, because inline its thousands of bytes would be part of the future of a small post too.
            return Box::pin(self.store.append(batch)).await;
        }
        let answer = self.queue.push(batch)?;
        let broken = || StoreError::internal("the task that writes small batches broke");
        answer.await.unwrap_or_else(|_| Err(broken()))
    }

    /// Accepts no more batches, and returns when the queued ones have been written and answered.
    pub(super) async fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.arrival.notify_one();
        self.ended().await;
    }

    /// Returns once the task that writes small batches has ended.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// The queue of small batches. A caller that adds one holds the lock for a moment and wakes the flusher at most once.
#[derive(Debug)]
struct Queue {
    state: Mutex<QueueState>,
    /// Notified when an empty queue receives a batch, and when the queue is closed.
    arrival: Notify,
    waiting_candles: Gauge,
}

#[derive(Debug, Default)]
struct QueueState {
    /// The batches that have arrived since the flusher last took them over.
    entries: VecDeque<QueuedBatch>,
    /// The size of `entries` and of the batches that the flusher has taken over and not begun to write.
    waiting: Size,
    closed: bool,
}

/// A batch and the caller that waits for it.
#[derive(Debug)]
struct QueuedBatch {
    batch: Arc<Batch>,
    size: Size,
    came: Instant,
    /// The span of its request.
    span: Span,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
}

/// The size of batches.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    candles: usize,
    bytes: usize,
}

impl Queue {
    fn push(&self, batch: Arc<Batch>) -> Result<oneshot::Receiver<Result<Appended, StoreError>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let entry = QueuedBatch { size: Size::of(&batch), batch, came: Instant::now(), span: Span::current(), answer };
        let mut state = self.lock();
        if state.closed {
            return Err(stopping());
        }
        let waiting = state.waiting.with(entry.size);
        if waiting.candles > MAX_QUEUED_CANDLES || waiting.bytes > MAX_QUEUED_BYTES {
            drop(state);
            Shed::WriteQueue.count(1);
            return Err(StoreError::unavailable("more candles are queued for it than it would write in time"));
        }
        self.set_waiting(&mut state, waiting);
        let wakes = state.entries.is_empty();
        state.entries.push_back(entry);
        drop(state);
        if wakes {
            self.arrival.notify_one();
        }
        Ok(answered)
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.lock().closed { Err(stopping()) } else { Ok(()) }
    }

    /// Gives back the room of batches that have left the queue.
    fn release(&self, size: Size) {
        let mut state = self.lock();
        let waiting = state.waiting.without(size);
        self.set_waiting(&mut state, waiting);
    }

    fn set_waiting(&self, state: &mut QueueState, waiting: Size) {
        state.waiting = waiting;
        self.waiting_candles.set(u32::try_from(waiting.candles).unwrap_or(u32::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping() -> StoreError {
    StoreError::unavailable("the service is stopping")
}

impl Size {
    fn of(batch: &Batch) -> Self {
        let mut bytes = size_of::<QueuedBatch>();
        let mut last: Option<&Key> = None;
        for key in batch.keys() {
            bytes += size_of::<Candle>();
            if last.is_none_or(|last| last.symbol() != key.symbol()) {
                bytes += key.symbol().as_str().len();
            }
            last = Some(key);
        }
        Self { candles: batch.len(), bytes }
    }

    fn with(self, other: Self) -> Self {
        Self { candles: self.candles + other.candles, bytes: self.bytes + other.bytes }
    }

    fn without(self, other: Self) -> Self {
        Self { candles: self.candles - other.candles, bytes: self.bytes - other.bytes }
    }
}

impl QueuedBatch {
    /// Answers the caller, which may have left.
    fn answer(self, result: Result<Appended, StoreError>) {
        let _ = self.answer.send(result);
    }

    fn is_overdue(&self) -> bool {
        self.came.elapsed() >= QUEUE_TIMEOUT
    }

    fn give_up(self) {
        self.answer(Err(StoreError::unavailable("this batch waited too long in the queue")));
    }
}

/// Writes the queued batches, one statement at a time.
struct Flusher {
    store: Store,
    queue: Arc<Queue>,
    /// The batches taken over from the queue, in the order of their arrival.
    waiting: VecDeque<QueuedBatch>,
    claims: Claims,
    _ended: DropGuard,
}

impl Flusher {
    async fn run(mut self) {
        let store = self.store.clone();
        while self.something_waits().await {
            let entries = self.choose();
            counter!(FLUSHES).increment(1);
            counter!(FLUSHED_POSTS).increment(entries.len() as u64);
            // A panic fails only the callers whose candles were in the statement.
            let mut writing = Box::pin(AssertUnwindSafe(write(&store, entries)).catch_unwind());
            loop {
                // A batch that arrives while this statement runs is overdue no earlier than one that arrives now.
                let oldest = self.waiting.front().map_or_else(Instant::now, |entry| entry.came);
                tokio::select! {
                    _ = &mut writing => break,
                    () = sleep_until(oldest + QUEUE_TIMEOUT) => { self.take_over(); }
                }
            }
        }
    }

    /// Waits for batches; false once the queue is closed and empty.
    async fn something_waits(&mut self) -> bool {
        loop {
            let more_may_come = self.take_over();
            if !self.waiting.is_empty() {
                return true;
            }
            if !more_may_come {
                return false;
            }
            self.queue.arrival.notified().await;
        }
    }

    /// Takes over the batches that have arrived, and gives up those that have waited for too long. Returns true if more
    /// may come.
    fn take_over(&mut self) -> bool {
        let mut state = self.queue.lock();
        self.waiting.append(&mut state.entries);
        let more_may_come = !state.closed;
        drop(state);
        while self.waiting.front().is_some_and(QueuedBatch::is_overdue)
            && let Some(entry) = self.waiting.pop_front()
        {
            self.queue.release(entry.size);
            entry.give_up();
        }
        more_may_come
    }

    /// Takes the batches that go into one statement, in the order of their arrival, except for those that could not be
    /// distinguished in it from an earlier batch.
    fn choose(&mut self) -> Vec<QueuedBatch> {
        let mut chosen = Vec::with_capacity(self.waiting.len().min(MAX_STATEMENT_CANDLES));
        let mut size = Size::default();
        let mut left = Vec::new();
        self.claims.0.clear();
        while left.len() < MAX_PASSED_OVER_BATCHES
            && self.waiting.front().is_some_and(|entry| size.candles + entry.size.candles <= MAX_STATEMENT_CANDLES)
            && let Some(entry) = self.waiting.pop_front()
        {
            if self.claims.admit(&entry.batch) {
                size = size.with(entry.size);
                chosen.push(entry);
            } else {
                left.push(entry);
            }
        }
        for entry in left.into_iter().rev() {
            self.waiting.push_front(entry);
        }
        self.queue.release(size);
        chosen
    }
}

impl Drop for Flusher {
    /// Lets no caller wait forever after a panic, because a caller whose entry is dropped gets an error.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        let abandoned = mem::take(&mut state.entries);
        drop(state);
        drop(abandoned);
    }
}

/// The keys in a statement, and the batches that may still add each of them.
#[derive(Debug, Default)]
struct Claims(HashMap<Key, Claim>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Batches with a closed candle of this key. The candle of the first batch counts, as if they were written one
    /// after the other.
    Closed,
    /// No batch, because a forming candle counts or not depending on what is stored when its turn comes.
    Alone,
}

impl Claims {
    /// Returns true if `batch` may go into the statement. If not, later batches that share a key with it may not
    /// overtake it.
    fn admit(&mut self, batch: &Batch) -> bool {
        let admitted = batch.closed().iter().all(|candle| self.0.get(&candle.key) != Some(&Claim::Alone))
            && batch.forming().iter().all(|forming| !self.0.contains_key(&forming.candle.key));
        let closed = if admitted { Claim::Closed } else { Claim::Alone };
        self.0.extend(batch.closed().iter().map(|candle| (candle.key.clone(), closed)));
        self.0.extend(batch.forming().iter().map(|forming| (forming.candle.key.clone(), Claim::Alone)));
        admitted
    }
}

/// Writes and answers `entries` in one statement. If the database refuses one of their candles, bisects them, so that
/// no caller fails another. Any other failure answers all callers, because the database would repeat it for each half:
/// bisecting would turn one failing statement into twice as many as there are posts.
async fn write(store: &Store, entries: Vec<QueuedBatch>) {
    let mut parts = vec![entries];
    while let Some(mut part) = parts.pop() {
        part.extract_if(.., |entry| entry.is_overdue()).for_each(QueuedBatch::give_up);
        let span = spans::joined("append", part.iter().map(|entry| &entry.span));
        match append(store, &part).instrument(span).await {
            Ok(appended) => part.into_iter().zip(appended).for_each(|(entry, appended)| entry.answer(Ok(appended))),
            Err(StoreError::ConstraintViolated(_)) if part.len() > 1 => {
                let later = part.split_off(part.len() / 2);
                parts.extend([later, part]);
            }
            Err(error) => part.into_iter().for_each(|entry| entry.answer(Err(error.clone()))),
        }
    }
}

/// Stores the batches of `entries` in one statement, and returns what each of them changed.
async fn append(store: &Store, entries: &[QueuedBatch]) -> Result<Vec<Appended>, StoreError> {
    match entries {
        [] => return Ok(Vec::new()),
        [only] => return store.append(Arc::clone(&only.batch)).await.map(|appended| vec![appended]),
        _ => {}
    }
    let mut appended = vec![Appended { added: 0, forming: 0 }; entries.len()];
    let (batch, origins) = Batch::merge(entries.iter().map(|entry| &*entry.batch));
    let written = store.append_returning_positions(Arc::new(batch)).await?;
    for position in written.closed {
        appended[origins.closed[position]].added += 1;
    }
    for position in written.forming {
        appended[origins.forming[position]].forming += 1;
    }
    Ok(appended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Variables};

    #[tokio::test]
    async fn no_caller_waits_for_a_broken_flusher() {
        let config = Config::read(&Variables::from_lookup(|_| Ok(None))).unwrap();
        let (writer, flusher) = BatchWriter::new(Store::open(&config.database).unwrap());
        let answered = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write(Arc::default()).await }
        });
        while writer.queue.lock().entries.is_empty() {
            tokio::task::yield_now().await;
        }
        // A panic drops it, too.
        drop(flusher);
        assert!(matches!(answered.await.unwrap(), Err(StoreError::Internal(_))));
        assert!(matches!(writer.write(Arc::default()).await, Err(StoreError::Unavailable(_))));
        writer.ended().await;
        writer.close().await;
    }
}
