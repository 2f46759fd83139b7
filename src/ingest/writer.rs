//! Coalesces concurrent posts into groups, each of which is one statement or one transaction.
//!
//! An Expert Advisor posts one candle at a time, and a statement costs a database far more than one row in it. So batches
//! wait in a queue while a group is being written, and the next group takes what waits. If nothing is being written, a batch
//! is written at once. Each caller is answered after the commit that holds its candles, with the counts that it would have
//! got if the batches had been written one after the other. The crate [`coalescer`] decides which batches form a group; this file keeps the time and gives the answers.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coalescer::{Group, Poster, Queue};
use futures_util::FutureExt as _;
use metrics::{Gauge, counter, gauge};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

use crate::deadline::Deadline;
use crate::store::{Appended, Grouping, Store, StoreError};
use crate::telemetry::metrics::{FLUSHED_POSTS, FLUSHES, Shed, WAITING_CANDLES};
use crate::telemetry::spans;
use candle::{Batch, Written};

/// The pause between two looks for overdue batches while a group is being written.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// The maximum number of refused statements in the writing of a group. The rest of it waits for the next group, so that a
/// poster of refused candles cannot keep the others waiting.
const MAX_REFUSALS: usize = 64;

/// A database of candles, as far as groups of batches are written to it.
pub(super) trait Database: Clone + Send + Sync + 'static {
    /// The groups in which batches are written to it.
    fn grouping(&self) -> Grouping;

    /// Stores a batch, if that begins by `write_by`.
    fn append(&self, batch: Arc<Batch>, write_by: Instant)
    -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// Stores all batches or none, if that begins by `write_by`, and returns what each of them changed.
    fn append_group(
        &self,
        batches: Vec<Arc<Batch>>,
        write_by: Instant,
    ) -> impl Future<Output = Result<Vec<Written>, StoreError>> + Send;
}

impl Database for Store {
    fn grouping(&self) -> Grouping {
        Self::grouping(self)
    }

    async fn append(&self, batch: Arc<Batch>, write_by: Instant) -> Result<Appended, StoreError> {
        Self::append(self, batch, write_by).await
    }

    async fn append_group(&self, batches: Vec<Arc<Batch>>, write_by: Instant) -> Result<Vec<Written>, StoreError> {
        Self::append_group(self, batches, write_by).await
    }
}

/// Writes batches. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct BatchWriter<D = Store>(Arc<Shared<D>>);

#[derive(Debug)]
struct Shared<D> {
    database: D,
    grouping: Grouping,
    state: Mutex<State>,
    /// Notified when nothing waits and nothing is being written any more.
    idle: Notify,
    waiting_candles: Gauge,
}

#[derive(Debug)]
struct State {
    queue: Queue<Ticket>,
    /// True while a task writes what is in the queue.
    is_written: bool,
    closed: bool,
}

/// The caller that waits for a batch.
#[derive(Debug)]
struct Ticket {
    /// The span of its request.
    span: Span,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
}

impl<D: Database> BatchWriter<D> {
    pub(super) fn new(database: D) -> Self {
        let grouping = database.grouping();
        let state = State { queue: Queue::new(grouping.limits), is_written: false, closed: false };
        let (state, idle) = (Mutex::new(state), Notify::new());
        Self(Arc::new(Shared { database, grouping, state, idle, waiting_candles: gauge!(WAITING_CANDLES) }))
    }

    /// Stores a batch as [`Store::append`] does, together with others that come at the same time unless it is too large for
    /// that.
    pub(super) async fn write(
        &self,
        poster: &Poster,
        batch: Arc<Batch>,
        deadline: Deadline,
    ) -> Result<Appended, StoreError> {
        if batch.len() > self.0.grouping.max_batch_candles {
            self.0.is_open()?;
            // Boxed, because inline its thousands of bytes would be part of the future of a small post too.
            return Box::pin(self.0.database.append(batch, deadline.write_by())).await;
        }
        let answer = self.0.push(poster, batch, deadline)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::internal("the task that writes batches broke")))
    }

    /// Accepts no more batches, and returns when the queued ones have been written and answered.
    pub(super) async fn close(&self) {
        self.0.lock().closed = true;
        loop {
            let mut idle = pin!(self.0.idle.notified());
            idle.as_mut().enable();
            if !self.0.lock().is_written {
                return;
            }
            idle.await;
        }
    }
}

impl<D: Database> Shared<D> {
    /// Adds a batch to the queue, and starts the task that writes it unless that is running.
    fn push(
        self: &Arc<Self>,
        poster: &Poster,
        batch: Arc<Batch>,
        deadline: Deadline,
    ) -> Result<oneshot::Receiver<Result<Appended, StoreError>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { span: Span::current(), answer };
        let mut state = self.lock();
        if state.closed {
            return Err(stopping());
        }
        let refused = state.queue.push(poster, batch, deadline.write_by(), ticket);
        let begins = !state.is_written && !state.queue.is_empty();
        state.is_written |= begins;
        self.show(&state);
        drop(state);
        if begins {
            tokio::spawn(Arc::clone(self).write_queue());
        }
        for ticket in refused {
            Shed::WriteQueue.count(1);
            ticket.answer(Err(StoreError::unavailable("more candles are queued for it than it would write in time")));
        }
        Ok(answered)
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.lock().closed { Err(stopping()) } else { Ok(()) }
    }

    /// Writes one group after the other until nothing waits.
    async fn write_queue(self: Arc<Self>) {
        let end = WritingEnd(&self);
        while let Some(group) = self.next_group() {
            counter!(FLUSHES).increment(1);
            counter!(FLUSHED_POSTS).increment(group.tickets().count() as u64);
            // A panic fails only the callers whose candles were in the group.
            let mut writing = pin!(AssertUnwindSafe(self.write(group)).catch_unwind());
            while timeout(EXPIRY_INTERVAL, &mut writing).await.is_err() {
                self.expire();
            }
        }
        end.reached();
    }

    /// Takes the next group out of the queue. If there is none, the next batch starts another task.
    fn next_group(&self) -> Option<Group<Ticket>> {
        self.expire();
        let mut state = self.lock();
        let group = state.queue.take();
        self.show(&state);
        state.is_written = !group.is_empty();
        (!group.is_empty()).then_some(group)
    }

    /// Gives up the queued batches that are overdue.
    fn expire(&self) {
        let mut state = self.lock();
        let overdue = state.queue.expire(Instant::now());
        self.show(&state);
        drop(state);
        overdue.into_iter().for_each(Ticket::give_up);
    }

    /// Writes a group and answers it. If the database refuses one of its candles, writes it in smaller parts, so that no
    /// caller fails another. Any other failure answers all callers, because the database would repeat it for each part:
    /// bisecting would turn one failing statement into twice as many as there are posts.
    async fn write(&self, group: Group<Ticket>) {
        let mut parts = VecDeque::from([group]);
        // Parts of one poster each. They are bisected once those of all other posters are written.
        let mut bisected: Vec<Group<Ticket>> = Vec::new();
        let mut refusals = 0;
        while let Some(mut part) = parts.pop_front().or_else(|| bisected.pop()) {
            if refusals >= MAX_REFUSALS {
                self.lock().queue.put_back(part);
                continue;
            }
            part.expire(Instant::now()).into_iter().for_each(Ticket::give_up);
            let Some(write_by) = part.write_by() else { continue };
            let callers: Vec<_> = part.tickets().map(|ticket| &ticket.span).collect();
            let span = spans::joined("append", callers.into_iter());
            let batches = part.batches().cloned().collect();
            match self.database.append_group(batches, write_by).instrument(span).await {
                Ok(written) => part.answers(written).for_each(|(ticket, written)| ticket.answer(Ok(written.into()))),
                Err(error @ StoreError::ConstraintViolated(_)) => {
                    refusals += 1;
                    let is_of_one_poster = part.is_of_one_poster();
                    match part.split() {
                        Ok(smaller) if is_of_one_poster => bisected.extend(smaller.into_iter().rev()),
                        Ok(smaller) => parts.extend(smaller),
                        Err(whole) => fail(whole, &error),
                    }
                }
                // Nothing was stored because one of them was late, and the others have time left.
                Err(StoreError::Unavailable(_)) if write_by <= Instant::now() && part.has_time(Instant::now()) => {
                    parts.push_front(part);
                }
                Err(error) => fail(part, &error),
            }
        }
    }

    fn show(&self, state: &State) {
        self.waiting_candles.set(u32::try_from(state.queue.waiting().candles).unwrap_or(u32::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fail(group: Group<Ticket>, error: &StoreError) {
    group.into_tickets().for_each(|ticket| ticket.answer(Err(error.clone())));
}

fn stopping() -> StoreError {
    StoreError::unavailable("the service is stopping")
}

impl Ticket {
    /// Answers the caller, which may have left.
    fn answer(self, result: Result<Appended, StoreError>) {
        let _ = self.answer.send(result);
    }

    fn give_up(self) {
        self.answer(Err(StoreError::unavailable("this batch waited too long in the queue")));
    }
}

/// Lets no caller wait forever if the task that writes the queue breaks: the queued batches fail, and the next batch starts
/// another task.
struct WritingEnd<'s, D: Database>(&'s Shared<D>);

impl<D: Database> WritingEnd<'_, D> {
    /// The queue is empty, as [`Shared::next_group`] has noted.
    fn reached(self) {
        self.0.idle.notify_waiters();
        std::mem::forget(self);
    }
}

impl<D: Database> Drop for WritingEnd<'_, D> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let abandoned = std::mem::replace(&mut state.queue, Queue::new(self.0.grouping.limits));
        state.is_written = false;
        self.0.show(&state);
        drop(state);
        self.0.idle.notify_waiters();
        drop(abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use candle::{BatchBuilder, Candle, Key, Ohlc, Phase, Price, Symbol, Timeframe, Timestamp, Volume};
    use coalescer::{Limits, Size};
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    /// A database in memory that fails in every way.
    #[derive(Debug, Clone, Default)]
    struct Unreliable(Arc<UnreliableState>);

    #[derive(Debug, Default)]
    struct UnreliableState {
        stored: Mutex<HashSet<Key>>,
        groups: AtomicUsize,
    }

    impl Database for Unreliable {
        fn grouping(&self) -> Grouping {
            let waiting = Size { candles: 200, bytes: usize::MAX };
            Grouping { max_batch_candles: 2, limits: Limits { group_candles: 20, waiting, one_batch: true } }
        }

        async fn append(&self, batch: Arc<Batch>, write_by: Instant) -> Result<Appended, StoreError> {
            // As the store, which turns panics into errors.
            let written = AssertUnwindSafe(self.append_group(vec![batch], write_by)).catch_unwind().await;
            let broke = |_| Err(StoreError::internal("panic"));
            written.unwrap_or_else(broke).map(|mut written| written.remove(0).into())
        }

        async fn append_group(&self, batches: Vec<Arc<Batch>>, _: Instant) -> Result<Vec<Written>, StoreError> {
            let turn = self.0.groups.fetch_add(1, Ordering::Relaxed);
            for _ in 0..turn % 5 {
                yield_now().await;
            }
            assert!(turn % 13 != 7, "the database's driver broke");
            let refused = |batch: &Batch| batch.closed().iter().any(|candle| candle.volume.get() == 13);
            if turn % 11 == 5 {
                return Err(StoreError::unavailable("away"));
            }
            if batches.iter().any(|batch| refused(batch)) {
                return Err(StoreError::ConstraintViolated(Arc::from(Box::from("thirteen"))));
            }
            let mut stored = self.0.stored.lock().unwrap();
            let closed = |batch: &Batch, stored: &mut HashSet<Key>| {
                let new = batch.closed().iter().enumerate().filter(|(_, candle)| stored.insert(candle.key.clone()));
                new.map(|(position, _)| position).collect()
            };
            Ok(batches.iter().map(|batch| Written { closed: closed(batch, &mut stored), forming: vec![] }).collect())
        }
    }

    fn batch(hours: impl IntoIterator<Item = i64>, volume: i64) -> Arc<Batch> {
        let mut builder = BatchBuilder::default();
        for (index, hour) in hours.into_iter().enumerate() {
            let time = Timestamp::from_seconds(hour * 3600).unwrap();
            let candle = Candle {
                key: Key::new(Symbol::parse("EURUSD").unwrap(), Timeframe::H1, time).unwrap(),
                ohlc: Ohlc::new([Price::parse("1.085").unwrap(); 4]).unwrap(),
                volume: Volume::parse(&volume.to_string()).unwrap(),
            };
            builder.push(index, candle, Phase::Closed.into());
        }
        Arc::new(builder.build().batch)
    }

    /// A soak: posters on several threads, some of whom leave, while groups fail, panic and are refused. Everybody is
    /// answered, what is answered as added is stored once, and a refusal is of one's own candle.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn everybody_is_answered_whatever_the_database_does() {
        const POSTERS: i64 = 16;
        const POSTS: i64 = 500;
        let database = Unreliable::default();
        let writer = BatchWriter::new(database.clone());
        let mut posters = JoinSet::new();
        for number in 0..POSTERS {
            let writer = writer.clone();
            posters.spawn(async move {
                let poster: Poster = format!("poster {}", number % 5).into();
                let mut added = 0;
                for post in 0..POSTS {
                    let thirteen = (post + number) % 29 == 0;
                    // Two posters have each hour.
                    let first = (post * (POSTERS / 2) + number / 2) * 3;
                    let batch = batch(first..first + 1 + post % 3, if thirteen { 13 } else { 1 });
                    let mut write = Box::pin(writer.write(&poster, batch, Deadline::from_now()));
                    if post % 17 == 3 {
                        // Leaves at once, or after the first wait.
                        let _ = (&mut write).now_or_never();
                        continue;
                    }
                    match write.await {
                        Ok(appended) => {
                            assert!(!thirteen);
                            added += appended.added;
                        }
                        Err(StoreError::ConstraintViolated(_)) => assert!(thirteen),
                        Err(StoreError::Unavailable(_) | StoreError::Internal(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                added
            });
        }
        let mut added = 0;
        while let Some(poster) = posters.join_next().await {
            added += poster.unwrap();
        }
        writer.close().await;
        let stored = database.0.stored.lock().unwrap().len();
        assert!(added > 0 && added <= stored, "{added} of {stored}: those who left stored some, too");
        assert!(writer.0.lock().queue.is_empty());
        let late = writer.write(&"late".into(), batch([1], 1), Deadline::from_now()).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    }

    #[tokio::test]
    async fn no_caller_waits_for_a_task_that_broke() {
        let writer = BatchWriter::new(Unreliable::default());
        let answered = writer.0.push(&"a".into(), batch([1], 1), Deadline::from_now()).unwrap();
        // As if the task had panicked outside of a group.
        drop(WritingEnd(&*writer.0));
        assert!(answered.await.is_err());
        let next = writer.write(&"a".into(), batch([2], 1), Deadline::from_now()).await;
        assert_eq!(next.unwrap().added, 1, "the next batch starts another task");
        writer.close().await;
    }
}
