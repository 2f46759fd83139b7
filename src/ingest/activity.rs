//! The posts that this process has stored and refused since its start: by key that posted, and by series.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalescer::Poster;

use super::{Receipt, Refusal};
use crate::errors::sentence;
use crate::store::SeriesKey;
use candle::Key;

/// The maximum number of series that are remembered, at some 150 bytes each. Further ones are counted.
const MAX_TRACKED_SERIES: usize = 20_000;

/// The posts of one key. Times are epoch seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PosterActivity {
    /// When it last sent a batch, refused or not.
    pub last_post: i64,
    /// Batches that were stored.
    pub posts: u64,
    /// Batches that were refused because of what they hold, or are not JSON.
    pub refused_posts: u64,
    /// The candles of the stored batches, in the counts of their answers.
    pub counts: Counts,
    /// The time and the sentence of the last refusal.
    pub last_refusal: Option<(i64, String)>,
}

/// Numbers of candles. Those of a batch: received = added + duplicate + forming + rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All candles.
    pub received: u64,
    /// Closed candles that were not stored before.
    pub added: u64,
    /// Candles that changed nothing.
    pub duplicate: u64,
    /// Forming candles that were stored or replaced their earlier selves.
    pub forming: u64,
    /// Candles that were left out of lenient batches.
    pub rejected: u64,
    /// Duplicates that differ from the stored candle.
    pub conflicting: u64,
}

/// The posts of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesActivity {
    /// The name of the key that posted last.
    pub poster: Poster,
    /// When it did, in epoch seconds.
    pub last_post: i64,
    /// Candles that differ from the stored one.
    pub conflicting: u64,
}

/// A copy of everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityReport {
    /// When the process began to count, in epoch seconds.
    pub since: i64,
    /// The keys that have posted, by name.
    pub posters: Vec<(Poster, PosterActivity)>,
    /// The series that were posted to, by symbol and timeframe.
    pub series: Vec<(SeriesKey, SeriesActivity)>,
    /// Posts to series that are not remembered, because there are too many.
    pub untracked_posts: u64,
}

/// Remembers in bounded memory. Posters are as many as there are keys.
#[derive(Debug)]
pub(super) struct Activity {
    since: i64,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    posters: BTreeMap<Poster, PosterActivity>,
    series: HashMap<SeriesKey, SeriesActivity>,
    untracked_posts: u64,
}

impl Activity {
    pub(super) fn new(since: i64) -> Self {
        Self { since, memory: Mutex::default() }
    }

    /// Notes the outcome of a batch that `poster` sent at `now`. Failures of the store are nobody's refusals.
    pub(super) fn note(&self, poster: &Poster, now: i64, outcome: &Result<Receipt, Refusal>) {
        let mut memory = self.memory();
        let of_poster = memory.posters.entry(Arc::clone(poster)).or_default();
        of_poster.last_post = now;
        match outcome {
            Ok(receipt) => {
                of_poster.posts += 1;
                of_poster.counts.add(receipt);
            }
            Err(Refusal::Store(_)) => {}
            Err(refusal) => {
                of_poster.refused_posts += 1;
                of_poster.last_refusal = Some((now, sentence(refusal)));
            }
        }
    }

    /// Notes the series of a batch that was stored.
    pub(super) fn note_series(&self, poster: &Poster, now: i64, series: Vec<SeriesKey>) {
        let mut memory = self.memory();
        for key in series {
            if let Some(of_series) = memory.series.get_mut(&key) {
                of_series.last_post = now;
                if of_series.poster != *poster {
                    of_series.poster = Arc::clone(poster);
                }
            } else if memory.series.len() < MAX_TRACKED_SERIES {
                let of_series = SeriesActivity { poster: Arc::clone(poster), last_post: now, conflicting: 0 };
                memory.series.insert(key, of_series);
            } else {
                memory.untracked_posts += 1;
            }
        }
    }

    /// Notes candles that differ from the stored ones.
    pub(super) fn note_conflicts<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let mut memory = self.memory();
        for key in keys {
            let key = SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() };
            if let Some(of_series) = memory.series.get_mut(&key) {
                of_series.conflicting += 1;
            }
        }
    }

    /// Everything that is remembered, but of the series only those that were posted to after `posted_after`, in epoch seconds.
    pub(super) fn report(&self, posted_after: Option<i64>) -> ActivityReport {
        let memory = self.memory();
        let posters = memory.posters.iter().map(|(name, of_poster)| (Arc::clone(name), of_poster.clone())).collect();
        let is_wanted = |of_series: &SeriesActivity| posted_after.is_none_or(|time| of_series.last_post > time);
        let series = memory.series.iter().filter(|(_, of_series)| is_wanted(of_series));
        let mut series: Vec<_> = series.map(|(key, of_series)| (key.clone(), of_series.clone())).collect();
        let untracked_posts = memory.untracked_posts;
        drop(memory);
        series.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        ActivityReport { since: self.since, posters, series, untracked_posts }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, receipt: &Receipt) {
        self.received += receipt.received as u64;
        self.added += receipt.added as u64;
        self.duplicate += receipt.duplicate as u64;
        self.forming += receipt.forming as u64;
        self.rejected += receipt.rejected as u64;
        self.conflicting += receipt.conflicts.count() as u64;
    }
}

/// The series of these keys, each once if equal ones follow each other.
pub(super) fn series_of<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<SeriesKey> {
    let mut series: Vec<SeriesKey> = Vec::new();
    for key in keys {
        let is_last = |last: &SeriesKey| last.timeframe == key.timeframe() && last.symbol == *key.symbol();
        if !series.last().is_some_and(is_last) {
            series.push(SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() });
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle::{Symbol, Timeframe};

    fn key(number: usize) -> SeriesKey {
        SeriesKey { symbol: Symbol::parse(&format!("S{number}")).unwrap(), timeframe: Timeframe::M1 }
    }

    #[test]
    fn series_beyond_the_limit_are_counted_and_the_known_ones_go_on() {
        let (activity, poster) = (Activity::new(5), Poster::from("terminal"));
        activity.note_series(&poster, 10, (0..MAX_TRACKED_SERIES).map(key).collect());
        activity.note_series(&poster, 11, vec![key(MAX_TRACKED_SERIES), key(0), key(MAX_TRACKED_SERIES + 1)]);
        let report = activity.report(None);
        assert_eq!((report.since, report.series.len(), report.untracked_posts), (5, MAX_TRACKED_SERIES, 2));
        let newer = activity.report(Some(10));
        assert_eq!(newer.series.iter().map(|(key, _)| key.symbol.as_str()).collect::<Vec<_>>(), ["S0"]);
    }
}
