//! The one task of a process that looks at what streams follow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use live::{HistoryKind, MAX_ENTRIES, Snapshot, Tail};
use metrics::counter;
use tokio::sync::RwLockWriteGuard;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::event;
use super::hub::{Hub, Series};
use super::pace::Reasons;
use crate::errors::chain;
use crate::store::{MAX_TAILS, RecordPlace, RecordedChange, SeriesKey, SeriesVersion, StoreError};
use crate::telemetry::metrics::LOOKS;
use candle::{Symbol, Timeframe};

/// The pause after a look that the database did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// A look that is due takes along every series whose last one is so long ago, so that all are read together.
const COMPANY_AGE: Duration = Duration::from_millis(600);
/// From the end of a write to a look at it, so that the writes of many terminals at the turn of a minute are seen by one.
const WRITE_PAUSE: Duration = Duration::from_millis(5);
/// The record is read again from so long before the last look, because a change gets its time before it becomes visible.
pub(super) const RECORD_OVERLAP_MILLIS: i64 = 60_000;

/// Looks at everything that streams follow. Never returns.
pub(super) async fn follow(hub: &Hub) {
    let mut follower =
        Follower { hub, added: HashMap::new(), told: HashMap::new(), record_read: None, is_failing: false };
    loop {
        match follower.next_look() {
            None => {
                follower.forget();
                hub.wake.notified().await;
            }
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = hub.wake.notified() => {}
                () = hub.store.written() => sleep(WRITE_PAUSE).await,
            },
        }
        if let Err(error) = follower.look().await {
            if !follower.is_failing {
                warn!(cause = chain(&error).to_string(), "live streams wait for the database");
            }
            follower.is_failing = true;
            sleep(RETRY_DELAY).await;
        } else if std::mem::take(&mut follower.is_failing) {
            info!("live streams follow the database again");
        }
    }
}

struct Follower<'a> {
    hub: &'a Hub,
    /// The spans that this process has added to series, and those that others gave hints of, until a look has told those that reach
    /// back.
    added: HashMap<SeriesKey, (i64, i64)>,
    /// The entries of the record that streams have, with their times in epoch milliseconds.
    told: HashMap<i64, i64>,
    record_read: Option<Instant>,
    is_failing: bool,
}

impl Follower<'_> {
    /// The time of the next look; `None` while nothing is followed.
    fn next_look(&self) -> Option<Instant> {
        let due = |series: &Arc<Series>| {
            let state = series.state();
            let Some(last) = state.pace.last() else { return Instant::now() };
            let reasons = state.reasons(self.version(&series.key));
            if reasons.any() { state.pace.next(reasons).unwrap_or(last) } else { last + self.hub.look_interval }
        };
        self.hub.followed().iter().map(due).min()
    }

    /// Forgets what streams have got, because a stream that comes later knows everything that was stored before.
    fn forget(&mut self) {
        self.added.clear();
        drop(self.hub.take_hinted());
        self.told.clear();
        self.record_read = None;
        self.hub.set_record(i64::MIN);
    }

    fn version(&self, key: &SeriesKey) -> SeriesVersion {
        self.hub.store.series_version(&key.symbol, key.timeframe)
    }

    /// Looks at every series that is due, and at the record if its last look is a second ago.
    async fn look(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let followed = self.hub.followed();
        let age = |series: &Series| series.state().pace.last().map(|last| now.saturating_duration_since(last));
        let is_full = followed.iter().any(|series| age(series).is_none_or(|age| age >= self.hub.look_interval));
        let is_due = |series: &&Arc<Series>| {
            let Some(age) = age(series) else { return true };
            let is_early = || {
                let state = series.state();
                let reasons = state.reasons(self.version(&series.key));
                reasons.any() && state.pace.next(reasons).is_none_or(|next| next <= now)
            };
            (is_full && age >= COMPANY_AGE) || is_early()
        };
        let due: Vec<_> = followed.iter().filter(is_due).cloned().collect();
        for (key, (first, last)) in self.hub.store.take_added().into_iter().chain(self.hub.take_hinted()) {
            if self.hub.get(&key).is_some() {
                let span = self.added.entry(key).or_insert((first, last));
                *span = (span.0.min(first), span.1.max(last));
            }
        }
        let is_record_due =
            !followed.is_empty() && self.record_read.is_none_or(|read| now - read >= self.hub.look_interval);
        // At first before the tails, because positions name the time up to which the record is known.
        let is_first = is_record_due && self.hub.record() == i64::MIN;
        let record = if is_first { self.read_record(&followed, now).await } else { Ok(()) };
        for series in due.chunks(MAX_TAILS) {
            self.look_at(series).await?;
        }
        if is_record_due && !is_first { self.read_record(&followed, now).await } else { record }
    }

    async fn look_at(&mut self, due: &[Arc<Series>]) -> Result<(), StoreError> {
        let mut guards = Vec::with_capacity(due.len());
        for series in due {
            guards.push(series.reading.write().await);
        }
        let began = Instant::now();
        let versions: Vec<_> = due.iter().map(|series| self.version(&series.key)).collect();
        let keys: Vec<_> = due.iter().map(|series| series.key.clone()).collect();
        counter!(LOOKS).increment(1);
        let tails = self.hub.store.tails(&keys).await?;
        for (((series, found), version), guard) in due.iter().zip(&tails).zip(versions).zip(guards) {
            let snapshot = event::snapshot(&series.names, found);
            self.publish(series, snapshot, (began, version), guard).await?;
        }
        Ok(())
    }

    /// Takes a look into the tail of a series and wakes its streams.
    async fn publish(
        &mut self,
        series: &Series,
        snapshot: Snapshot,
        (began, version): (Instant, SeriesVersion),
        _guard: RwLockWriteGuard<'_, ()>,
    ) -> Result<(), StoreError> {
        let mut tail = Tail::clone(&series.state().tail);
        let added = self.added.get(&series.key).copied();
        let known_from = tail.complete_from();
        let reaches_back = added.is_some_and(|(first, _)| tail.newest().is_some_and(|newest| first < newest));
        // More candles came than the look holds, or some that are older than those it holds.
        let mut is_changed = if tail.has_hole_before(&snapshot) || reaches_back {
            let newest = self.hub.store.newest_candles(&series.key, MAX_ENTRIES).await?;
            tail.take(event::snapshot(&series.names, &newest))
        } else {
            tail.take(snapshot)
        };
        if let Some((first, last)) = added.filter(|(first, _)| reaches_back && *first < known_from) {
            tail.add_history(first, last, HistoryKind::Late);
            is_changed = true;
        }
        self.added.remove(&series.key);
        let mut state = series.state();
        state.tail = Arc::new(tail);
        let is_written = state.version.is_some_and(|looked_at| looked_at != version);
        state.version = Some(version);
        let was_hinted = state.hinted.take_if(|hinted| *hinted <= began).is_some();
        let was_wanted = state.wanted.take_if(|wanted| *wanted <= began).is_some();
        // A write that changes nothing here counts, too: it can be one of thousands.
        let reasons = Reasons { is_state: is_changed || is_written || was_hinted, is_join: was_wanted };
        state.pace.take(began, reasons);
        if is_changed || was_wanted {
            state.notify();
        }
        Ok(())
    }

    /// Tells the streams what the record says about their series.
    async fn read_record(&mut self, followed: &[Arc<Series>], began: Instant) -> Result<(), StoreError> {
        let keys: Vec<_> = followed.iter().map(|series| series.key.clone()).collect();
        let is_first = self.hub.record() == i64::MIN;
        // The first look asks for nothing but the time.
        let start = if is_first { i64::MAX } else { self.hub.record().saturating_sub(RECORD_OVERLAP_MILLIS) };
        let mut place = RecordPlace { at: start.min(MAX_TIME_MILLIS), id: i64::MAX };
        let mut now = None;
        loop {
            let part = self.hub.store.changes_since(place, &keys).await?;
            now = now.or(Some(part.now));
            let new: Vec<_> = part.changes.iter().filter(|it| !self.told.contains_key(&it.place.id)).cloned().collect();
            for change in &join_retention(new) {
                self.tell(change).await?;
            }
            self.told.extend(part.changes.iter().map(|change| (change.place.id, change.place.at)));
            match part.next {
                Some(next) => place = next,
                None => break,
            }
        }
        if let Some(now) = now {
            self.hub.set_record(now);
            self.told.retain(|_, at| *at >= now - 2 * RECORD_OVERLAP_MILLIS);
        }
        self.record_read = Some(began);
        Ok(())
    }

    async fn tell(&mut self, change: &RecordedChange) -> Result<(), StoreError> {
        if let Some((key, kind)) = known(change)
            && let Some(series) = self.hub.get(&key)
        {
            let _guard = series.reading.write().await;
            let (mut tail, is_looked_at) = {
                let state = series.state();
                (Tail::clone(&state.tail), state.pace.last().is_some())
            };
            // A change of older candles has changed nothing in the tail.
            if !is_looked_at || change.last >= tail.complete_from() {
                let newest = self.hub.store.newest_candles(&key, MAX_ENTRIES).await?;
                tail.take(event::snapshot(&series.names, &newest));
            }
            tail.add_history(change.first, change.last, kind);
            let mut state = series.state();
            state.tail = Arc::new(tail);
            state.notify();
        }
        Ok(())
    }
}

/// The kind of the record's entries about deletions by age.
const RETENTION: &str = "retention";

/// Joins the deletions by age of each series into the last of them, because a pass deletes in slices, from the oldest candle on, and
/// comes back every ten minutes.
pub(super) fn join_retention(changes: Vec<RecordedChange>) -> Vec<RecordedChange> {
    let mut joined: Vec<RecordedChange> = Vec::with_capacity(changes.len());
    for mut change in changes {
        let is_of_series = |other: &RecordedChange| {
            other.kind == change.kind && (&other.symbol, &other.timeframe) == (&change.symbol, &change.timeframe)
        };
        if change.kind == RETENTION
            && let Some(earlier) = joined.iter().position(is_of_series)
        {
            let earlier = joined.remove(earlier);
            change.first = change.first.min(earlier.first);
            change.last = change.last.max(earlier.last);
        }
        joined.push(change);
    }
    joined
}

/// The end of the years that requests reach, for a question that no entry of the record answers.
const MAX_TIME_MILLIS: i64 = 253_402_300_799_999;

/// The series and the kind of an entry of the record; `None` for one that no request can name.
pub(super) fn known(change: &RecordedChange) -> Option<(SeriesKey, HistoryKind)> {
    let kind = match &*change.kind {
        "correction" => HistoryKind::Correction,
        "deletion" | RETENTION => HistoryKind::Deletion,
        "import" => HistoryKind::Import,
        _ => return None,
    };
    let symbol = Symbol::parse(&change.symbol).ok()?;
    Some((SeriesKey { symbol, timeframe: Timeframe::named(&change.timeframe)? }, kind))
}
