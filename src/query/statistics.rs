//! Statistics of series: the number of candles in each month. A background task counts one series at a time, in steps
//! with pauses, and only while clients ask. The counts stay in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::clock::Clock;
use crate::errors::chain;
use crate::store::{
    MonthCount, NewestRows, Reading, Series, SeriesKey, SeriesSelection, SeriesVersion, Store, StoreError,
};

/// The time after the last question at which counting stops.
const ASKED_TTL: Duration = Duration::from_mins(5);
/// The time between two looks at the list of series.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The pause after a step as a multiple of the step's duration, so that counting takes at most a fifth of a
/// connection.
const PAUSE_FACTOR: u32 = 4;
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The number of series that are listed at once.
const LISTED_SERIES: usize = 500;
/// A series that changed is counted again after this multiple of the time that counting took, so that a series that
/// changes all the time costs a hundredth of a connection.
const RECOUNT_FACTOR: u32 = 100;
/// The time after which a series is counted again although no change is visible, because another process may have
/// added candles before its newest one.
const RECOUNT_INTERVAL: Duration = Duration::from_hours(1);
/// The maximum numbers of series and of months in memory, which take some 20 MiB.
const MAX_SERIES: usize = 20_000;
const MAX_MONTHS: usize = 1_000_000;

/// The statistics of a series.
#[derive(Debug)]
pub(super) struct SeriesStatistics {
    /// The time, in epoch milliseconds, up to which everything that was stored is counted.
    pub(super) as_of: i64,
    /// The months that hold candles, in ascending order.
    pub(super) months: Vec<MonthCount>,
    pub(super) newest: NewestRows,
    counting: Counting,
}

/// The state of a series when it was counted, and the duration of the count.
#[derive(Debug)]
struct Counting {
    edges: (i64, i64),
    version: SeriesVersion,
    began: Instant,
    took: Duration,
}

impl SeriesStatistics {
    pub(super) fn candles(&self) -> u64 {
        self.months.iter().map(|month| month.candles).sum()
    }

    /// The bytes of the rows, estimated from the newest ones.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = u128::from(self.candles()) * u128::from(self.newest.bytes) / u128::from(self.newest.rows.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// The statistics of all series. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Statistics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counted: Mutex<Counted>,
    asked: Mutex<Option<Instant>>,
    wake: Notify,
}

/// The counts.
#[derive(Debug, Default)]
struct Counted {
    series: HashMap<SeriesKey, Arc<SeriesStatistics>>,
    months: usize,
}

impl Counted {
    /// Keeps the statistics of a series, unless there are too many.
    fn insert(&mut self, key: SeriesKey, statistics: SeriesStatistics) {
        self.remove(&key);
        let months = self.months + statistics.months.len();
        if self.series.len() < MAX_SERIES && months <= MAX_MONTHS {
            self.months = months;
            self.series.insert(key, Arc::new(statistics));
        }
    }

    fn remove(&mut self, key: &SeriesKey) {
        if let Some(removed) = self.series.remove(key) {
            self.months -= removed.months.len();
        }
    }

    fn is_full(&self) -> bool {
        self.series.len() >= MAX_SERIES || self.months >= MAX_MONTHS
    }
}

impl Statistics {
    /// Notes a client's request, which wakes the task.
    pub(super) fn ask(&self) {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.wake.notify_one();
    }

    /// The statistics of a series; `None` if it was not counted yet.
    pub(super) fn of(&self, key: &SeriesKey) -> Option<Arc<SeriesStatistics>> {
        self.counted().series.get(key).cloned()
    }

    /// Counts while clients ask. Never returns.
    pub(super) async fn maintain(&self, store: &Store, clock: &Clock) {
        loop {
            if !self.is_asked() {
                self.0.wake.notified().await;
                continue;
            }
            if let Err(error) = (Look { statistics: self, store, clock }).run().await {
                debug!(cause = chain(&error).to_string(), "the candles of the series could not be counted");
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn is_asked(&self) -> bool {
        let asked = *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| asked.elapsed() < ASKED_TTL)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pass over all series, which counts those that are due.
struct Look<'a> {
    statistics: &'a Statistics,
    store: &'a Store,
    clock: &'a Clock,
}

impl Look<'_> {
    async fn run(&self) -> Result<(), StoreError> {
        let mut selection = SeriesSelection { symbols: Vec::new(), timeframe: None, after: None, limit: LISTED_SERIES };
        let mut listed = HashSet::new();
        while self.statistics.is_asked() {
            let began = Instant::now();
            let page = self.store.series_from(self.reading(), &selection).await?;
            pause(began).await;
            for series in &page.series {
                if self.is_due(series) {
                    self.count(series).await?;
                }
            }
            if listed.len() < MAX_SERIES {
                listed.extend(page.series.into_iter().map(|series| series.key));
            }
            selection.after = page.next;
            if selection.after.is_none() {
                self.forget_all_but(&listed);
                break;
            }
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        self.store.reading_of(&[], None)
    }

    fn version(&self, series: &Series) -> SeriesVersion {
        self.store.series_version(&series.key.symbol, series.key.timeframe)
    }

    fn is_due(&self, series: &Series) -> bool {
        let Some(counted) = self.statistics.of(&series.key) else { return !self.statistics.counted().is_full() };
        let Counting { edges, version, began, took } = counted.counting;
        let changed = edges != (series.first, series.last) || version != self.version(series);
        let age = began.elapsed();
        age >= RECOUNT_INTERVAL || (changed && age >= took * RECOUNT_FACTOR)
    }

    /// Counts a series, unless no client asks any more.
    async fn count(&self, series: &Series) -> Result<(), StoreError> {
        let (version, reading) = (self.version(series), self.reading());
        let as_of = self.clock.now().millis() - i64::try_from(reading.as_of().elapsed().as_millis()).unwrap_or(0);
        let began = Instant::now();
        let (mut months, mut took, mut from) = (Vec::new(), Duration::ZERO, None);
        let newest = loop {
            let step_began = Instant::now();
            let step = self.store.count_months(self.reading(), &series.key, from).await?;
            took += step_began.elapsed();
            months.extend(step.months);
            pause(step_began).await;
            if step.next.is_none() {
                break step.newest;
            }
            if !self.statistics.is_asked() {
                return Ok(());
            }
            from = step.next;
        };
        let counting = Counting { edges: (series.first, series.last), version, began, took };
        let statistics = SeriesStatistics { as_of, months, newest, counting };
        self.statistics.counted().insert(series.key.clone(), statistics);
        Ok(())
    }

    /// Drops series that are not listed any more.
    fn forget_all_but(&self, listed: &HashSet<SeriesKey>) {
        let mut counted = self.statistics.counted();
        let gone: Vec<_> = counted.series.keys().filter(|key| !listed.contains(key)).cloned().collect();
        for key in &gone {
            counted.remove(key);
        }
    }
}

/// Pauses for a multiple of the time since `began`.
async fn pause(began: Instant) {
    sleep((began.elapsed() * PAUSE_FACTOR).min(MAX_PAUSE)).await;
}
