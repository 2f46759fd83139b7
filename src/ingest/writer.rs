//! Posts of few candles, gathered into statements.
//!
//! An Expert Advisor posts one candle at a time, and a statement costs a database far more than one row in it. So small
//! batches wait in a queue while a statement is under way, and the next one takes all of them; where nothing is under way
//! there is nothing to wait for. Each caller is answered after the commit that holds its candles, with the counts that it
//! would have got alone.

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

/// Most candles of a batch that is written together with others. A larger one has little to gain by it, and would make
/// others wait for its rows.
const MAX_CANDLES_TO_COALESCE: usize = 128;
/// Most candles in one statement: more of them would hardly cost less each, and keep the first callers waiting.
const MAX_STATEMENT_CANDLES: usize = 1000;
/// Most candles that wait: sixteen statements' worth. A database that takes a quarter of a second for each gets through
/// them within [`QUEUE_TIMEOUT`], and what a slower one could not reach in time is better refused at once.
const MAX_QUEUED_CANDLES: usize = 16 * MAX_STATEMENT_CANDLES;
/// Most bytes that they take: somewhat more than so many of an ordinary symbol, half of what the longest symbols would need.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// Most batches that a statement passes over, since each is looked at again for the next one.
const MAX_PASSED_OVER_BATCHES: usize = 256;
/// Longest that a batch waits for its statement: most Expert Advisors give up after 5 s.
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
            // On the heap, since inline its thousands of bytes would be part of what runs a small post too.
            return Box::pin(self.store.append(batch)).await;
        }
        let answer = self.queue.push(batch)?;
        let broken = || StoreError::internal("the task that writes small batches broke");
        answer.await.unwrap_or_else(|_| Err(broken()))
    }

    /// Takes no more batches, and returns when those that wait have been written and answered.
    pub(super) async fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.arrival.notify_one();
        self.ended().await;
    }

    /// Returns once small batches are not written any more.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Where small batches wait. Whoever brings one holds the lock for a moment and wakes the flusher at most once.
#[derive(Debug)]
struct Queue {
    state: Mutex<QueueState>,
    /// That there is something in a queue that was empty, or that it was closed.
    arrival: Notify,
    waiting_candles: Gauge,
}

#[derive(Debug, Default)]
struct QueueState {
    /// What has come since the flusher last looked.
    entries: VecDeque<QueuedBatch>,
    /// The size of these and of those that the flusher has taken over and not begun to write.
    waiting: Size,
    closed: bool,
}

/// A batch and who waits for it.
#[derive(Debug)]
struct QueuedBatch {
    batch: Arc<Batch>,
    size: Size,
    came: Instant,
    /// That of its request.
    span: Span,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
}

/// Room that batches take.
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
            return Err(StoreError::unavailable("more candles wait for it than it would take in time"));
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

    /// Makes room again for what does not wait any more.
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
    /// Tells the caller, who may have left.
    fn answer(self, result: Result<Appended, StoreError>) {
        let _ = self.answer.send(result);
    }

    fn is_overdue(&self) -> bool {
        self.came.elapsed() >= QUEUE_TIMEOUT
    }

    fn give_up(self) {
        self.answer(Err(StoreError::unavailable("too much waited for it before this batch")));
    }
}

/// Writes what waits, one statement at a time.
struct Flusher {
    store: Store,
    queue: Arc<Queue>,
    /// Taken over from the queue, in the order in which it came.
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
            // What breaks there fails only those whose candles it held.
            let mut writing = Box::pin(AssertUnwindSafe(write(&store, entries)).catch_unwind());
            loop {
                // What comes while this is under way cannot be overdue before a batch that comes now would be.
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

    /// Takes over what has come, and gives up what has waited for too long. Says whether more may come.
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

    /// Takes the batches that go into one statement: in the order in which they came, except for those that could not be
    /// told apart in it from an earlier one.
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
    /// Lets nobody wait for ever if this ends by a panic: a caller whose entry is dropped learns of it.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        let abandoned = mem::take(&mut state.entries);
        drop(state);
        drop(abandoned);
    }
}

/// Who may bring a key into a statement, beside those who do.
#[derive(Debug, Default)]
struct Claims(HashMap<Key, Claim>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Batches that hold it closed: the first one's counts, as it would if they were written one after the other.
    Closed,
    /// Nobody: whether a forming candle counts depends on what is stored when its turn comes.
    Alone,
}

impl Claims {
    /// Whether `batch` may go into the statement; if not, later ones that share a key with it may not overtake it.
    fn admit(&mut self, batch: &Batch) -> bool {
        let admitted = batch.closed().iter().all(|candle| self.0.get(&candle.key) != Some(&Claim::Alone))
            && batch.forming().iter().all(|forming| !self.0.contains_key(&forming.candle.key));
        let closed = if admitted { Claim::Closed } else { Claim::Alone };
        self.0.extend(batch.closed().iter().map(|candle| (candle.key.clone(), closed)));
        self.0.extend(batch.forming().iter().map(|forming| (forming.candle.key.clone(), Claim::Alone)));
        admitted
    }
}

/// Writes and answers `entries`: in one statement, or where a candle of theirs is refused in halves, so that no caller fails
/// another. Any other failure is everybody's, because the database would give it to each half as well: to split on it would
/// turn one failing statement into twice as many as there are posts.
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
    async fn when_the_flusher_breaks_nobody_waits_for_it() {
        let config = Config::read(&Variables::from_lookup(|_| Ok(None))).unwrap();
        let (writer, flusher) = BatchWriter::new(Store::open(&config.database).unwrap());
        let answered = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write(Arc::default()).await }
        });
        while writer.queue.lock().entries.is_empty() {
            tokio::task::yield_now().await;
        }
        // As a panic does.
        drop(flusher);
        assert!(matches!(answered.await.unwrap(), Err(StoreError::Internal(_))));
        assert!(matches!(writer.write(Arc::default()).await, Err(StoreError::Unavailable(_))));
        writer.ended().await;
        writer.close().await;
    }
}
