//! Ingest of posted batches. A batch is parsed ([`parse`], with [`bare_words`] and [`malformed`] for bodies that are
//! not JSON) and validated ([`validate`], with [`scalar`] for values and [`broker_clock`] for candles from the future),
//! on a thread of its own if it is large ([`parse_pool`]). It is then written ([`writer`]), and its duplicates are
//! compared with the stored candles ([`conflicts`], counted by [`conflict_tally`]).

mod activity;
mod bare_words;
mod broker_clock;
mod conflict_tally;
mod conflicts;
mod malformed;
mod newest;
mod parse;
mod parse_pool;
mod scalar;
mod validate;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metrics::{Counter, counter};
use serde::Serialize;
use tokio::time::timeout_at;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::errors::chain;
use crate::store::{ClosingOutcome, DueCandle, MAX_CLOSED_AT_ONCE, Store, StoreError};
use crate::telemetry::metrics::{Candles, REJECTED};
use crate::validation::{FieldError, MAX_REPORTED_ERRORS};
use candle::{Rule, Sorted, Timeframe, Timestamp};

pub use activity::{ActivityReport, Counts, PosterActivity, SeriesActivity};
pub use coalescer::Poster;
pub use conflicts::{Conflict, Conflicts};
pub use malformed::Malformed;
pub use parse::{BatchFields, CandleFields};
pub use validate::{Rejected, ValidatedBatch};

pub(crate) use conflict_tally::{ConflictTally, SeriesConflicts};
pub(crate) use parse::text;
pub(crate) use scalar::{parse_scalar, parse_string};

use activity::Activity;
use newest::NewestCandles;
use parse_pool::ParsePool;
use writer::BatchWriter;

/// The treatment of a batch with bad candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// A batch is stored whole or not at all.
    Strict,
    /// The good candles of a batch are stored and the bad ones listed.
    Lenient,
}

/// The outcome of a batch, by candle: received = added + duplicate + forming + rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Candles in the batch.
    pub received: usize,
    /// Closed candles stored now.
    pub added: usize,
    /// Forming candles that were stored or replaced their earlier state.
    pub forming: usize,
    /// Candles that changed nothing: already stored, sent twice in the batch, or older than what is stored.
    pub duplicate: usize,
    /// Candles refused under [`Handling::Lenient`].
    pub rejected: usize,
    /// The first [`MAX_REPORTED_ERRORS`] errors in them.
    pub rejections: Vec<Rejection>,
    /// The duplicates that have other values than the stored candles.
    pub conflicts: Conflicts,
    /// The indexes of candles that were sent as complete although their end is still ahead. They are kept as forming,
    /// and closed in their last state once that end has passed.
    pub early: Vec<usize>,
}

/// One error in a candle that was left out of a lenient batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejection {
    /// Position of the candle in `candles`, from 0.
    pub index: usize,
    /// The error.
    #[serde(flatten)]
    pub field_error: FieldError,
}

/// The reason for which nothing of a batch was stored, or for which it is unknown whether anything was.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is not JSON.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The batch holds more candles than are allowed.
    #[error("the batch holds {count} candles and at most {max} are taken; send it in parts")]
    TooMany {
        /// Candles in the batch.
        count: usize,
        /// The maximum number of candles in a batch.
        max: usize,
    },
    /// Values of the batch break rules.
    #[error("{summary}")]
    Invalid {
        /// Names their number, the first of them, and the remedy.
        summary: String,
        /// The first [`MAX_REPORTED_ERRORS`] of them.
        field_errors: Vec<FieldError>,
    },
    /// The store did not accept it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Validates and stores batches.
#[derive(Debug, Clone)]
pub struct Ingest {
    store: Store,
    writer: BatchWriter,
    clock: Clock,
    max_candles: usize,
    parse_pool: ParsePool,
    seen: Arc<Seen>,
    conflicts: ConflictTally,
}

/// The last ingest, the newest candles and the posts, for health, metrics and the console.
#[derive(Debug)]
struct Seen {
    /// Time at which the last batch was acknowledged, in epoch seconds.
    last: AtomicI64,
    newest: NewestCandles,
    activity: Activity,
}

impl Ingest {
    const NEVER: i64 = i64::MIN;

    /// Writes batches of at most `max_candles`, validated by `clock`, to `store`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, max_candles: usize) -> Self {
        for rule in Rule::ALL {
            rejections(*rule).increment(0);
        }
        let seen = Seen {
            last: AtomicI64::new(Self::NEVER),
            newest: NewestCandles::default(),
            activity: Activity::new(clock.now().seconds()),
        };
        Self {
            writer: BatchWriter::new(store.clone()),
            store,
            clock,
            max_candles,
            parse_pool: ParsePool::new(),
            seen: Arc::new(seen),
            conflicts: ConflictTally::default(),
        }
    }

    /// Stores the batch in `body`, which has just arrived from `poster`. When this returns a receipt, what it counts as
    /// added or forming is durable.
    ///
    /// # Errors
    /// Nothing of the batch was stored and nothing will be, unless [`Store::append`] leaves it open. Posting it again is
    /// safe in every case.
    pub async fn submit(&self, body: Vec<u8>, handling: Handling, poster: &Poster) -> Result<Receipt, Refusal> {
        let now = self.clock.now();
        let outcome = self.store_batch(body, now, handling, poster).await;
        self.seen.activity.note(poster, now.seconds(), &outcome);
        outcome
    }

    async fn store_batch(
        &self,
        body: Vec<u8>,
        now: Timestamp,
        handling: Handling,
        poster: &Poster,
    ) -> Result<Receipt, Refusal> {
        let deadline = Deadline::from_now();
        let ValidatedBatch { sorted, received, rejected } = self.parse_pool.check(body, now, self.max_candles).await?;
        let Sorted { batch, closed_indexes, superseded, early } = sorted;
        for (rule, count) in &rejected.reasons {
            rejections(*rule).increment(*count);
        }
        Candles::Rejected.count(rejected.candles as u64);
        if handling == Handling::Strict && rejected.candles > 0 {
            return Err(candles_refused(rejected, received));
        }
        let newest = newest::of(batch.closed());
        let closed = batch.closed().len();
        let series = activity::series_of(batch.keys());
        let batch = Arc::new(batch);
        let stored = self.writer.write(poster, Arc::clone(&batch), deadline).await?;
        self.seen.last.store(now.seconds(), Ordering::Relaxed);
        self.seen.activity.note_series(poster, now.seconds(), series);
        for (timeframe, time) in newest {
            self.seen.newest.note(timeframe, time);
        }
        let duplicate = received - rejected.candles - stored.added - stored.forming;
        Candles::Added.count(stored.added as u64);
        Candles::Forming.count(stored.forming as u64);
        Candles::Duplicate.count(duplicate as u64);
        if stored.forming < batch.forming().len() && batch.forming().iter().any(|forming| forming.closes_at().is_some())
        {
            // The stored prices are newer, but the posted closing time still counts.
            let kept = timeout_at(deadline.answer_by().into(), self.store.keep_closing_times(Arc::clone(&batch))).await;
            let late = |_| Err(StoreError::unavailable("it took too long"));
            if let Err(error) = kept.unwrap_or_else(late) {
                tracing::warn!(
                    cause = chain(&error).to_string(),
                    "could not store the closing times of forming candles"
                );
            }
        }
        let conflicts = if stored.added < closed || !superseded.is_empty() {
            let closed = closed_indexes.into_iter().zip(Arc::unwrap_or_clone(batch).into_closed());
            let counts = (&self.seen.activity, &self.conflicts);
            conflicts::find(&self.store, closed.chain(superseded), counts, deadline).await
        } else {
            Conflicts::NONE
        };
        Ok(Receipt {
            received,
            added: stored.added,
            forming: stored.forming,
            duplicate,
            rejected: rejected.candles,
            rejections: rejected
                .listed
                .into_iter()
                .map(|(index, field_error)| Rejection { index, field_error })
                .collect(),
            conflicts,
            early,
        })
    }

    /// Accepts no more batches, and returns when the accepted ones have been written and answered. Does not wait for those
    /// that are written on their own.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    /// The counts of conflicting candles.
    pub(crate) fn conflict_tally(&self) -> ConflictTally {
        self.conflicts.clone()
    }

    /// The time at which this process last acknowledged a batch.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let seconds = self.seen.last.load(Ordering::Relaxed);
        (seconds != Self::NEVER).then(|| Timestamp::from_seconds(seconds).ok()).flatten()
    }

    /// The posts that this process has stored and refused since its start; of the series, only those that were posted to after
    /// `posted_after`, in epoch seconds.
    #[must_use]
    pub fn activity(&self, posted_after: Option<i64>) -> ActivityReport {
        self.seen.activity.report(posted_after)
    }

    /// Closes the forming candles that are due by the clock in their last state, and returns how many of them were not
    /// stored as closed before.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn close_due(&self) -> Result<usize, StoreError> {
        let mut closed = 0;
        loop {
            let candles = self.store.close_due(self.clock.now()).await?;
            for DueCandle { symbol, timeframe, time, outcome } in &candles {
                match outcome {
                    ClosingOutcome::Closed => {
                        closed += 1;
                        if let Ok(timeframe) = Timeframe::parse(timeframe) {
                            self.seen.newest.note(timeframe, time.div_euclid(1000));
                        }
                    }
                    ClosingOutcome::WasClosed => {}
                    ClosingOutcome::Refused(cause) => tracing::warn!(
                        symbol,
                        timeframe,
                        time,
                        cause,
                        "the database refuses to close a forming candle that is due; trying again in an hour"
                    ),
                }
            }
            if candles.len() < usize::try_from(MAX_CLOSED_AT_ONCE).unwrap_or(usize::MAX) {
                return Ok(closed);
            }
        }
    }

    /// Exchanges the opening times of the newest closed candles with other processes through the store. A failure is
    /// logged and has no other effect.
    pub async fn share_newest(&self) {
        self.seen.newest.share(&self.store).await;
    }

    /// Stores the opening times of the newest candles of this process for other processes, after [`Self::close`].
    pub async fn leave_newest(&self) {
        self.seen.newest.leave(&self.store).await;
    }

    /// The number of seconds since the newest closed candle opened, for each timeframe that has any.
    pub fn newest_ages(&self) -> impl Iterator<Item = (Timeframe, i64)> {
        let now = self.clock.now().seconds();
        self.seen.newest.seen().map(move |(timeframe, time)| (timeframe, now - time))
    }
}

/// The counter of candles that broke `rule` first.
fn rejections(rule: Rule) -> Counter {
    counter!(REJECTED, "reason" => rule.name())
}

/// Parses the batch in `body` and validates it at the time `now`, without storing anything.
///
/// # Errors
/// When no candle of the batch could be stored, because of the body, its size or the fields beside `candles`.
pub fn check(body: &[u8], now: Timestamp, max_candles: usize) -> Result<ValidatedBatch, Refusal> {
    let text = &*bare_words::escape_marks(parse::text(body)?);
    match check_text(text, now, max_candles) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Parses again with the words marked that stopped the parser, so that only their candles are refused.
            let marked = bare_words::mark(text);
            let outcome = marked.and_then(|marked| check_text(&marked, now, max_candles).ok());
            outcome.unwrap_or_else(|| Err(Refusal::Malformed(malformed::explain(text, &error))))
        }
    }
}

/// Validates the batch in `text`, which is an error of the outer result if it is not JSON.
fn check_text(
    text: &str,
    now: Timestamp,
    max_candles: usize,
) -> Result<Result<ValidatedBatch, Refusal>, serde_json::Error> {
    let mut candles = validate::Validator::new(now);
    let fields = parse::parse(text, max_candles, |before, candle| candles.take(before, candle))?;
    if let parse::Shape::Right(whole) = &fields {
        if let parse::Shape::Right(count) = whole.candles
            && count > max_candles
        {
            return Ok(Err(Refusal::TooMany { count, max: max_candles }));
        }
        if candles.lack_defaults_of(whole) {
            // The defaults follow `candles`, so the batch is parsed again now that they are known.
            candles = validate::Validator::new(now);
            parse::parse(text, max_candles, |_, candle| candles.take(whole, candle))?;
        }
    }
    if let Some(malformed) = candles.contradiction() {
        return Ok(Err(Refusal::Malformed(malformed)));
    }
    Ok(candles.finish(fields, text).map_err(whole_batch_refused))
}

fn whole_batch_refused(mut field_errors: Vec<FieldError>) -> Refusal {
    field_errors.truncate(MAX_REPORTED_ERRORS);
    let first = field_errors.first().map(|first| (place(first), first.msg.clone())).unwrap_or_default();
    Refusal::Invalid { summary: format!("nothing was stored: {} {}", first.0, first.1), field_errors }
}

fn candles_refused(rejected: Rejected, received: usize) -> Refusal {
    let field_errors: Vec<_> = rejected.listed.into_iter().map(|(_, field_error)| field_error).collect();
    let first = field_errors.first().map(|first| format!("{} {}", place(first), first.msg)).unwrap_or_default();
    let bad = rejected.candles;
    let summary = format!(
        "nothing was stored, because {bad} of {received} candles cannot be: {first}; \
         correct what errors lists, or send Prefer: handling=lenient to store the others"
    );
    Refusal::Invalid { summary, field_errors }
}

fn place(field_error: &FieldError) -> String {
    match field_error.path() {
        path if path.is_empty() => "the body".to_owned(),
        path => path,
    }
}
