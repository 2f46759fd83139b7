//! Answers that were computed within the last second, as pages are kept. The version of the series is part of the key of a computed
//! one, so that writes of this process are seen at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::{Instant, sleep};

use super::ResearchError;
use crate::store::SeriesVersion;

/// The time for which an answer is given again, counted from when its computation began.
const ANSWER_TTL: Duration = Duration::from_secs(1);
/// The interval at which answers that are too old are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of bytes of kept answers.
const CAPACITY_BYTES: u64 = 8 << 20;
/// The bytes that an answer takes besides its body.
const ENTRY_BYTES: u64 = 512;

/// The question of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AnswerKey {
    /// A request in a form of its own, and the version of its series.
    Computed(String, SeriesVersion),
    /// The id of a job that is over, and its owner if the answer is for the owner alone.
    Job(String, Option<String>),
}

impl AnswerKey {
    fn bytes(&self) -> usize {
        match self {
            Self::Computed(request, _) => request.len(),
            Self::Job(id, owner) => id.len() + owner.as_ref().map_or(0, String::len),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// The parts that the body leaves out, for a header.
    pub(crate) skipped: Option<String>,
}

/// Answers by their keys. Clones share them.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Cache<AnswerKey, Entry, Weight>>);

#[derive(Clone)]
struct Entry {
    began: Instant,
    answer: Answer,
}

#[derive(Clone)]
struct Weight;

impl Weighter<AnswerKey, Entry> for Weight {
    fn weight(&self, key: &AnswerKey, entry: &Entry) -> u64 {
        (key.bytes() + entry.answer.body.len()) as u64 + ENTRY_BYTES
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("entries", &self.0.len()).field("bytes", &self.0.weight()).finish()
    }
}

impl Default for Answers {
    fn default() -> Self {
        let options =
            OptionsBuilder::new().weight_capacity(CAPACITY_BYTES).estimated_items_capacity(256).shards(1).build();
        let options = options.expect("both capacities are given");
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Arc::new(Cache::with_options(options, Weight, hash, lifecycle)))
    }
}

impl Answers {
    /// The answer for `key`, or else what `make` computes.
    ///
    /// # Errors
    /// Those of `make`, which are not kept.
    pub(super) async fn get(
        &self,
        key: AnswerKey,
        make: impl Future<Output = Result<Answer, ResearchError>>,
    ) -> Result<Answer, ResearchError> {
        let began = Instant::now();
        if let Some(answer) = self.recent(&key, began) {
            return Ok(answer);
        }
        let answer = make.await?;
        self.keep(key, began, answer.clone());
        Ok(answer)
    }

    /// The answer for `key` that is not too old at `now`.
    pub(crate) fn recent(&self, key: &AnswerKey, now: Instant) -> Option<Answer> {
        self.0.get(key).filter(|entry| entry.began + ANSWER_TTL >= now).map(|entry| entry.answer)
    }

    /// Keeps an answer whose computation began at this time.
    pub(crate) fn keep(&self, key: AnswerKey, began: Instant, answer: Answer) {
        self.0.insert(key, Entry { began, answer });
    }

    /// Removes answers that are too old. Never returns.
    pub(super) async fn sweep(&self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            let now = Instant::now();
            self.0.retain(|_, entry| entry.began + ANSWER_TTL >= now);
        }
    }
}
