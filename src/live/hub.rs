//! The series that streams follow, and the newest candles of each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use live::Tail;
use metrics::gauge;
use tokio::sync::{Notify, RwLock, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Reasons};
use super::{LiveError, event};
use crate::clock::Clock;
use crate::config::Limits;
use crate::places::{NoPlace, Place, Places};
use crate::store::{SeriesKey, SeriesVersion, Store, WrittenSeries};
use crate::telemetry::metrics::{SERIES_WATCHED, STREAMS_ACTIVE, Shed};

/// The maximum number of series that all streams together follow.
pub const MAX_WATCHED_SERIES: usize = 2_000;
/// The maximum number of clients that are sent more than a tail holds at once, because that takes memory for each of them.
const MAX_CATCH_UPS: usize = 32;

/// The series that streams follow.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) stopping: CancellationToken,
    /// The open streams, by the name of their key.
    places: Places<Arc<str>>,
    max_streams: usize,
    max_streams_per_key: usize,
    pub(super) catch_ups: Arc<Semaphore>,
    series: Mutex<HashMap<SeriesKey, Followed>>,
    /// The database's time up to which streams know the record of changes, in epoch milliseconds; `i64::MIN` before the
    /// first look.
    record: AtomicI64,
    /// The spans of closed candles that other processes said they added to series, until a look takes them.
    hinted: Mutex<HashMap<SeriesKey, (i64, i64)>>,
    /// Every series is looked at so often, which shows what other processes write.
    pub(super) look_interval: Duration,
    /// Wakes the follower.
    pub(super) wake: Notify,
    streams: AtomicU64,
}

#[derive(Debug)]
struct Followed {
    series: Arc<Series>,
    streams: usize,
}

/// A series that is followed.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) key: SeriesKey,
    /// The beginning of the data of its events.
    pub(super) names: String,
    state: Mutex<SeriesState>,
    /// Held for writing from the beginning of a look to the publication of what it found, and for reading while a stream reads
    /// by itself: so that what a stream has read is older or newer than a tail as a whole, and no state follows a newer one.
    pub(super) reading: RwLock<()>,
}

#[derive(Debug, Default)]
pub(super) struct SeriesState {
    pub(super) tail: Arc<Tail>,
    /// The times of the looks that succeeded.
    pub(super) pace: Pace,
    /// The version before the last look.
    pub(super) version: Option<SeriesVersion>,
    /// A stream waits for a look that begins at this time or later.
    pub(super) wanted: Option<Instant>,
    /// Another process said at this time that it has written to the series.
    pub(super) hinted: Option<Instant>,
    listeners: HashMap<u64, Arc<Notify>>,
}

impl Series {
    pub(super) fn state(&self) -> MutexGuard<'_, SeriesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeriesState {
    /// The reasons for a look before the interval ends, where the series has this version now.
    pub(super) fn reasons(&self, version: SeriesVersion) -> Reasons {
        let is_written = self.version != Some(version);
        Reasons { is_state: is_written || self.hinted.is_some(), is_join: self.wanted.is_some() }
    }

    pub(super) fn notify(&self) {
        self.listeners.values().for_each(|listener| listener.notify_one());
    }
}

impl Hub {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        &Limits { max_streams, max_streams_per_key, look_interval, .. }: &Limits,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            store,
            clock,
            stopping,
            places: Places::new(max_streams, max_streams_per_key),
            max_streams,
            max_streams_per_key,
            catch_ups: Arc::new(Semaphore::new(MAX_CATCH_UPS)),
            series: Mutex::default(),
            record: AtomicI64::new(i64::MIN),
            hinted: Mutex::default(),
            look_interval,
            wake: Notify::new(),
            streams: AtomicU64::new(0),
        }
    }

    fn series(&self) -> MutexGuard<'_, HashMap<SeriesKey, Followed>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All series that are followed.
    pub(super) fn followed(&self) -> Vec<Arc<Series>> {
        self.series().values().map(|followed| Arc::clone(&followed.series)).collect()
    }

    pub(super) fn get(&self, key: &SeriesKey) -> Option<Arc<Series>> {
        self.series().get(key).map(|followed| Arc::clone(&followed.series))
    }

    /// Has the series looked at that another process has written to, if streams follow them.
    pub(super) fn hint(&self, written: WrittenSeries) {
        let (all, mut spans) = (self.series(), self.hinted());
        let mut is_followed = false;
        for (key, span) in written {
            let Some(followed) = all.get(&key) else { continue };
            followed.series.state().hinted = Some(Instant::now());
            is_followed = true;
            if let Some((first, last)) = span {
                let span = spans.entry(key).or_insert((first, last));
                *span = (span.0.min(first), span.1.max(last));
            }
        }
        if is_followed {
            self.wake.notify_one();
        }
    }

    /// Takes the spans of closed candles that other processes said they added.
    pub(super) fn take_hinted(&self) -> HashMap<SeriesKey, (i64, i64)> {
        std::mem::take(&mut *self.hinted())
    }

    fn hinted(&self) -> MutexGuard<'_, HashMap<SeriesKey, (i64, i64)>> {
        self.hinted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self) -> i64 {
        self.record.load(Ordering::Acquire)
    }

    pub(super) fn set_record(&self, time: i64) {
        self.record.store(time, Ordering::Release);
    }

    /// Takes a place for a stream of the key `holder` that follows the series of `keys`, and has them looked at.
    pub(super) fn join<'k>(
        self: &Arc<Self>,
        holder: &Arc<str>,
        keys: impl ExactSizeIterator<Item = &'k SeriesKey> + Clone,
    ) -> Result<Membership, LiveError> {
        let place = self.places.take(Some(Arc::clone(holder))).map_err(|reason| {
            Shed::Streams.count(1);
            match reason {
                NoPlace::All => LiveError::TooManyStreams(self.max_streams),
                NoPlace::Share => LiveError::TooManyStreamsOfKey(self.max_streams_per_key),
            }
        })?;
        let joined = Instant::now();
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let listener = Arc::new(Notify::new());
        let mut all = self.series();
        let added = keys.clone().filter(|key| !all.contains_key(*key)).count();
        if all.len() + added > MAX_WATCHED_SERIES {
            Shed::Streams.count(1);
            return Err(LiveError::TooManySeries);
        }
        let mut series = Vec::with_capacity(keys.len());
        for key in keys {
            let followed = all.entry(key.clone()).or_insert_with(|| {
                let series = Series {
                    key: key.clone(),
                    names: event::names(key),
                    state: Mutex::default(),
                    reading: RwLock::new(()),
                };
                Followed { series: Arc::new(series), streams: 0 }
            });
            followed.streams += 1;
            let mut state = followed.series.state();
            state.listeners.insert(number, Arc::clone(&listener));
            state.wanted = Some(joined);
            drop(state);
            series.push(Arc::clone(&followed.series));
        }
        gauge!(SERIES_WATCHED).set(u32::try_from(all.len()).unwrap_or(u32::MAX));
        self.store.keep_added(true);
        drop(all);
        gauge!(STREAMS_ACTIVE).increment(1);
        self.wake.notify_one();
        Ok(Membership { hub: Arc::clone(self), number, listener, series, joined, _place: place })
    }

    fn leave(&self, number: u64, series: &[Arc<Series>]) {
        let mut all = self.series();
        for series in series {
            series.state().listeners.remove(&number);
            if let Some(followed) = all.get_mut(&series.key) {
                followed.streams -= 1;
                if followed.streams == 0 {
                    all.remove(&series.key);
                }
            }
        }
        gauge!(SERIES_WATCHED).set(u32::try_from(all.len()).unwrap_or(u32::MAX));
        if all.is_empty() {
            self.store.keep_added(false);
        }
    }
}

/// The place of a stream, and the series that it follows until this is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) hub: Arc<Hub>,
    /// Tells streams apart.
    pub(super) number: u64,
    /// Wakes the stream.
    pub(super) listener: Arc<Notify>,
    pub(super) series: Vec<Arc<Series>>,
    /// Only a look that began after this time holds everything that the client can know.
    pub(super) joined: Instant,
    _place: Place<Arc<str>>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.leave(self.number, &self.series);
        gauge!(STREAMS_ACTIVE).decrement(1);
    }
}
