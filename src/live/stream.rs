//! One stream: it writes what its client does not have yet.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use live::{Cursor, History, HistoryKind, Next, Position, Tail};
use metrics::counter;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tracing::debug;

use super::follow::{RECORD_OVERLAP_MILLIS, join_retention, known};
use super::hub::{Hub, Membership, Series};
use super::request::Request;
use super::{LiveError, event};
use crate::errors::chain;
use crate::store::{RecordPlace, StoreError};
use crate::telemetry::metrics::{LiveEvents, RESUMES};

/// The maximum number of candles that are sent at once to a client that was away.
const MAX_CATCH_UP: usize = 1_000;
/// The number of candles after which the position moves within these, so that a client whose connection is cut again and again does
/// not begin anew each time.
const CATCH_UP_STEP: usize = 50;
/// A comment is written so often, so that no proxy takes the connection for dead.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// The time after which a stream tries again what the database did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The streams of a service that stops end within this time, not at once, so that their clients do not come back at once.
const FAREWELL_SPREAD_MILLIS: u64 = 1_000;

/// Opens a stream.
pub(super) fn open(
    hub: &Arc<Hub>,
    request: &Request,
    key: &Arc<str>,
) -> Result<impl Stream<Item = Bytes> + Send + use<>, LiveError> {
    let member = hub.join(key, request.series.iter().map(|(key, _)| key))?;
    if request.record.is_some() {
        counter!(RESUMES).increment(1);
    }
    let starts = request.series.iter().map(|(_, start)| *start);
    let cursors = member.series.iter().zip(starts);
    let cursors = cursors.map(|(series, start)| Cursor::new(start, series.state().tail.revision())).collect();
    let mut comments = interval_at(Instant::now() + COMMENT_INTERVAL, COMMENT_INTERVAL);
    comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = Client { member, cursors, unread_record: request.record, first_record: None };
    let connection = Connection { client, comments, phase: Phase::Greeting };
    Ok(stream::unfold(connection, async |mut connection| {
        let bytes = connection.next().await?;
        Some((bytes, connection))
    }))
}

enum Phase {
    Greeting,
    Streaming,
    Ended,
}

struct Connection {
    client: Client,
    comments: Interval,
    phase: Phase,
}

impl Connection {
    async fn next(&mut self) -> Option<Bytes> {
        let Self { client, comments, phase } = self;
        match phase {
            Phase::Ended => return None,
            // The head and this line go out at once, because some proxies hold back a head without a body.
            Phase::Greeting => {
                *phase = Phase::Streaming;
                return Some(Bytes::from_static(event::GREETING.as_bytes()));
            }
            Phase::Streaming => {}
        }
        let hub = Arc::clone(&client.member.hub);
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => {
                sleep(farewell_delay(client.member.number)).await;
                *phase = Phase::Ended;
                Some(Bytes::from_static(event::FAREWELL.as_bytes()))
            }
            _ = comments.tick() => Some(format!(": {}\n\n", hub.clock.now().seconds()).into()),
            events = client.events() => Some(events),
        }
    }
}

/// Spreads the ends of streams evenly: 617 and 1,000 have no common divisor.
fn farewell_delay(number: u64) -> Duration {
    Duration::from_millis(number.wrapping_mul(617) % FAREWELL_SPREAD_MILLIS)
}

/// A client and where it stands.
struct Client {
    member: Membership,
    /// One for each series, in the order of the request.
    cursors: Vec<Cursor>,
    /// The record of changes has to be read from this time on, in epoch milliseconds, because the client was away.
    unread_record: Option<i64>,
    /// The time up to which the client knows the record until every series has begun; later changes may wait behind candles that it
    /// missed.
    first_record: Option<i64>,
}

/// Events, and the permit for the memory of many.
struct Events {
    text: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Events {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Client {
    /// Waits for the next events. May be cancelled: where the client stands changes only together with the returned events.
    async fn events(&mut self) -> Bytes {
        loop {
            match self.pending().await {
                Ok(Some(Events { text, permit: None })) => return text.into(),
                Ok(Some(events)) => return Bytes::from_owner(events),
                Ok(None) => self.member.listener.notified().await,
                Err(error) => {
                    debug!(cause = chain(&error).to_string(), "a live stream could not be continued yet");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// The events of the changes that the client does not know, if there are any.
    async fn pending(&mut self) -> Result<Option<Events>, StoreError> {
        // Read before the tails, so that a position never covers a change that was not sent.
        let record = self.member.hub.record();
        if self.first_record.is_none() && record != i64::MIN {
            self.first_record = Some(record);
        }
        if let Some(since) = self.unread_record {
            let text = self.missed_changes(since).await?;
            self.unread_record = None;
            if !text.is_empty() {
                return Ok(Some(Events { text, permit: None }));
            }
        }
        let mut text = String::new();
        for index in 0..self.cursors.len() {
            let series = Arc::clone(&self.member.series[index]);
            let tail = {
                let state = series.state();
                if !self.cursors[index].has_begun() && state.pace.last().is_none_or(|last| last < self.member.joined) {
                    continue;
                }
                Arc::clone(&state.tail)
            };
            match self.cursors[index].next(&tail) {
                Next::Entries(entries) => {
                    self.cursors[index].step_back(&tail);
                    let states = entries.iter().map(|entry| &*entry.state.text).collect::<Vec<_>>();
                    self.write_histories(&mut text, (index, record), &series, &tail);
                    let is_moved = self.cursors[index].sent(&tail);
                    self.write(&mut text, &states, is_moved.then_some(record));
                }
                // Written by itself, because it may be long.
                Next::CatchUp(_) if !text.is_empty() => break,
                Next::CatchUp(from) => return self.catch_up((index, record), &series, from).await.map(Some),
            }
        }
        Ok((!text.is_empty()).then_some(Events { text, permit: None }))
    }

    /// Writes states, and the position before the last of them if it moved.
    fn write(&self, text: &mut String, states: &[&str], record: Option<i64>) {
        let Some((last, others)) = states.split_last() else { return };
        for state in others {
            text.push_str(state);
        }
        if let Some(record) = record {
            self.write_id(text, record);
        }
        text.push_str(last);
        LiveEvents::Candle.count(states.len() as u64);
    }

    fn write_histories(&self, text: &mut String, (index, record): (usize, i64), series: &Series, tail: &Tail) {
        for history in self.cursors[index].next_histories(tail) {
            if history.kind.is_recorded() {
                self.write_id(text, record);
            }
            text.push_str(&event::history(&series.names, *history));
            LiveEvents::History.count(1);
        }
    }

    /// Writes the position, once the client has a place in every series.
    fn write_id(&self, text: &mut String, record: i64) {
        let have_begun = self.cursors.iter().all(Cursor::has_begun);
        let Some(record) = (if have_begun { Some(record) } else { self.first_record }) else { return };
        if record != i64::MIN && self.unread_record.is_none() && self.cursors.iter().all(Cursor::has_place) {
            let newest = self.cursors.iter().map(Cursor::newest).collect();
            let _ = writeln!(text, "id: {}", Position { newest, record });
        }
    }

    /// Sends what is stored from `from` on, or the newest candle and the span before it, if that is too much.
    async fn catch_up(
        &mut self,
        (index, record): (usize, i64),
        series: &Series,
        from: i64,
    ) -> Result<Events, StoreError> {
        let store = self.member.hub.store.clone();
        let permit = Arc::clone(&self.member.hub.catch_ups).acquire_owned().await.map_err(StoreError::internal)?;
        let guard = series.reading.read().await;
        let tail = Arc::clone(&series.state().tail);
        let page = store.candles_from(&series.key, from, MAX_CATCH_UP + 1).await?;
        let (mut states, mut text) = (event::states(&series.names, &page), String::new());
        let mut newest = page.len().checked_sub(1).and_then(|last| page.time(last));
        if page.len() > MAX_CATCH_UP {
            let found = store.newest_candles(&series.key, 1).await?;
            states = event::states(&series.names, &found.candles);
            newest = found.candles.time(0);
            let first = page.time(0).unwrap_or(from);
            let hole = History { from: first, to: newest.unwrap_or(first), kind: HistoryKind::Missed, revision: 0 };
            text.push_str(&event::history(&series.names, hole));
            LiveEvents::History.count(1);
        }
        drop(guard);
        self.write_histories(&mut text, (index, record), series, &tail);
        let texts: Vec<_> = states.iter().map(|state| &*state.text).collect();
        let mut steps: Vec<_> = texts.chunks(CATCH_UP_STEP).zip(states.chunks(CATCH_UP_STEP)).collect();
        let (last, _) = steps.pop().unwrap_or_default();
        for (texts, states) in steps {
            self.cursors[index].reached(states.last().map_or(i64::MIN, |state| state.time));
            self.write(&mut text, texts, Some(record));
        }
        let is_moved = self.cursors[index].caught_up(&tail, newest);
        self.write(&mut text, last, is_moved.then_some(record));
        Ok(Events { text, permit: Some(permit) })
    }

    /// The changes of older history while the client was away.
    async fn missed_changes(&mut self, since: i64) -> Result<String, StoreError> {
        let keys: Vec<_> = self.member.series.iter().map(|series| series.key.clone()).collect();
        let mut place = RecordPlace { at: since.saturating_sub(RECORD_OVERLAP_MILLIS), id: i64::MAX };
        let mut changes = Vec::new();
        loop {
            let part = self.member.hub.store.changes_since(place, &keys).await?;
            changes = join_retention(changes.into_iter().chain(part.changes).collect());
            match part.next {
                Some(next) => place = next,
                None => break,
            }
        }
        let mut text = String::new();
        for change in &changes {
            let Some((key, kind)) = known(change) else { continue };
            if let Some(index) = self.member.series.iter().position(|series| series.key == key) {
                let series = &self.member.series[index];
                if kind == HistoryKind::Deletion {
                    self.cursors[index].forget_deleted(change.first, change.last);
                }
                let history = History { from: change.first, to: change.last, kind, revision: 0 };
                text.push_str(&event::history(&series.names, history));
                LiveEvents::History.count(1);
            }
        }
        Ok(text)
    }
}
