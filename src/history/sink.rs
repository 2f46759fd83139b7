//! The target of an import: the database of the configuration, or a running service, which gets posts as an Expert
//! Advisor sends them. Both give the same counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HistoryError, Remote};
use crate::config::DatabaseConfig;
use crate::store::{Imported, Note, SeriesKey, Store, StoreError};
use crate::telemetry::spans::spawn_blocking;
use candle::{Batch, BatchBuilder, Candle, OhlcField, Phase, Symbol, Timeframe, Timestamp};

/// The number of candles that are written at once: as many as a service takes in a post by default.
pub(super) const BATCH_CANDLES: usize = 10_000;
/// The time within which a statement has to begin, including the time that it waits for a connection.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// The number of attempts for one batch, the first included.
const MAX_ATTEMPTS: u32 = 8;
/// The pause after the first failure. It doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The maximum pause, even if a service asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// The numbers of candles by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// They were not stored before.
    pub(super) added: u64,
    /// They were stored with the same values.
    pub(super) same: u64,
    /// They are stored with other values, which stay.
    pub(super) conflicting: u64,
    /// The service stored them as forming candles, because their period is not over by its clock.
    pub(super) forming: u64,
}

impl Stored {
    pub(super) fn add(&mut self, other: Self) {
        self.added += other.added;
        self.same += other.same;
        self.conflicting += other.conflicting;
        self.forming += other.forming;
    }
}

/// The candles that were added, by series.
#[derive(Debug, Default)]
pub(super) struct Additions(BTreeMap<(Symbol, &'static str), Addition>);

/// The candles that were added to a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addition {
    /// Opening time of the first candle of the batches that added something.
    pub(super) first: Timestamp,
    /// Opening time of the last one.
    pub(super) last: Timestamp,
    /// The number of candles that were not stored before.
    pub(super) added: u64,
}

impl Additions {
    /// Each series with its symbol and timeframe.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Symbol, &'static str, Addition)> {
        self.0.iter().map(|((symbol, timeframe), addition)| (symbol, *timeframe, *addition))
    }

    /// Adds candles of one series that are in the order of time.
    fn note(&mut self, series: &[Candle], added: u64) {
        let (Some(first), Some(last), true) = (series.first(), series.last(), added > 0) else { return };
        let (symbol, timeframe) = (first.key.symbol().clone(), first.key.timeframe().name());
        let (first, last) = (first.key.time(), last.key.time());
        let known = self.0.entry((symbol, timeframe)).or_insert(Addition { first, last, added: 0 });
        known.first = known.first.min(first);
        known.last = known.last.max(last);
        known.added += added;
    }
}

/// A place to write to.
#[derive(Debug)]
pub(crate) enum Sink {
    /// The database of the configuration.
    Database(Store),
    /// A running service.
    Service(Poster),
}

/// A service and the number of candles that it takes in a post.
#[derive(Debug, Clone)]
pub(crate) struct Poster {
    remote: Arc<Remote>,
    max_candles: usize,
}

/// The outcome of a post.
enum Answer {
    Stored(Stored),
    /// The post is too large for the service.
    TooLarge(String),
    /// Another attempt may succeed, after the pause that the service asks for.
    Again(Option<Duration>, HistoryError),
}

impl Sink {
    /// Connects to the database that the configuration names, whose tables have to be there.
    pub(crate) async fn database(config: &DatabaseConfig) -> Result<Self, HistoryError> {
        let store = Store::open(config)?;
        store.prepare(false).await?;
        Ok(Self::Database(store))
    }

    /// Posts to a service. Asks it for a series first, so that a wrong address or key is known before a file is read.
    pub(crate) fn service(remote: Remote) -> Result<Self, HistoryError> {
        remote.check_ingest_key()?;
        Ok(Self::Service(Poster { remote: Arc::new(remote), max_candles: BATCH_CANDLES }))
    }

    /// Stores closed candles, and notes what a database did not hold before. Doing it again is safe.
    pub(super) async fn write(
        &mut self,
        candles: Vec<Candle>,
        additions: &mut Additions,
    ) -> Result<Stored, HistoryError> {
        match self {
            Self::Database(store) => write_to(store, candles, additions).await,
            Self::Service(poster) => poster.post(candles).await,
        }
    }

    /// Adds a row to the record of changes for each series of a database to which an import has added candles.
    /// Streams and charts read the record. Posts to a service are not in it.
    pub(super) async fn record(&self, additions: &Additions, note: &Note, detail: &str) -> Result<(), StoreError> {
        let Self::Database(store) = self else { return Ok(()) };
        for (symbol, timeframe, Addition { first, last, added }) in additions.iter() {
            let Some(timeframe) = Timeframe::named(timeframe) else { continue };
            let key = SeriesKey { symbol: symbol.clone(), timeframe };
            let (first, last) = (first.millis(), last.millis());
            let imported = Imported { key, first, last, added, detail: detail.to_owned() };
            store.record_import(imported, note.clone()).await?;
        }
        Ok(())
    }

    /// Closes the connections.
    pub(crate) async fn close(self) {
        if let Self::Database(store) = self {
            store.close().await;
        }
    }
}

fn batch_of(candles: Vec<Candle>) -> Batch {
    let mut builder = BatchBuilder::default();
    for (index, candle) in candles.into_iter().enumerate() {
        builder.push(index, candle, Phase::Closed.into());
    }
    builder.build().batch
}

async fn write_to(store: &Store, candles: Vec<Candle>, additions: &mut Additions) -> Result<Stored, HistoryError> {
    let received = candles.len();
    let batch = Arc::new(batch_of(candles));
    let mut attempt = 1;
    let added = loop {
        match append(store, &batch, additions).await {
            Ok(added) => break added,
            Err(StoreError::Unavailable(_) | StoreError::Unanswered(_)) if attempt < MAX_ATTEMPTS => {
                tokio::time::sleep(pause(attempt)).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut stored = Stored { added: added as u64, ..Stored::default() };
    let rest = (received - added) as u64;
    if rest > 0 {
        let candles = Arc::unwrap_or_clone(batch).into_closed();
        let mut differing: Vec<_> =
            store.stored_otherwise(candles).await?.into_iter().map(|stored| stored.position).collect();
        // A table that inherits from the table of candles may hold the same key once more.
        differing.sort_unstable();
        differing.dedup();
        stored.conflicting = (differing.len() as u64).min(rest);
        stored.same = rest - stored.conflicting;
    }
    Ok(stored)
}

/// Appends a batch, and returns the number of candles that were not stored before.
async fn append(store: &Store, batch: &Arc<Batch>, additions: &mut Additions) -> Result<usize, StoreError> {
    let write_by = Instant::now() + WRITE_TIMEOUT;
    let candles = batch.closed();
    let is_one_series =
        matches!((candles.first(), candles.last()), (Some(first), Some(last)) if first.key.same_series(&last.key));
    if is_one_series {
        let added = store.append(Arc::clone(batch), write_by).await?.added;
        additions.note(candles, added as u64);
        return Ok(added);
    }
    // Only the answer to a group says which of its candles were added.
    let written = store.append_group(vec![Arc::clone(batch)], write_by).await?;
    let positions: Vec<usize> = written.into_iter().flat_map(|written| written.closed).collect();
    let mut start = 0;
    for series in candles.chunk_by(|one, other| one.key.same_series(&other.key)) {
        let end = start + series.len();
        let added = positions.partition_point(|&at| at < end) - positions.partition_point(|&at| at < start);
        additions.note(series, added as u64);
        start = end;
    }
    Ok(positions.len())
}

/// The pause after a failed attempt, counted from 1.
fn pause(attempt: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(attempt - 1)).min(MAX_PAUSE)
}

impl Poster {
    async fn post(&mut self, candles: Vec<Candle>) -> Result<Stored, HistoryError> {
        let batch = batch_of(candles);
        let mut rest = batch.closed();
        let mut stored = Stored::default();
        let mut attempt = 1;
        while !rest.is_empty() {
            let count = rest.len().min(self.max_candles);
            let body = body(&rest[..count]);
            let remote = Arc::clone(&self.remote);
            let answered = spawn_blocking(move || post(&remote, &body)).await;
            let answer = answered.map_err(|panic| HistoryError::Refused(panic.to_string()))??;
            match answer {
                Answer::Stored(part) => {
                    stored.add(part);
                    rest = &rest[count..];
                    attempt = 1;
                }
                Answer::TooLarge(_) if count > 1 => self.max_candles = count.div_ceil(2),
                Answer::TooLarge(detail) => return Err(HistoryError::Refused(detail)),
                Answer::Again(_, error) if attempt == MAX_ATTEMPTS => return Err(error),
                Answer::Again(asked, _) => {
                    tokio::time::sleep(asked.unwrap_or_else(|| pause(attempt)).min(MAX_PAUSE)).await;
                    attempt += 1;
                }
            }
        }
        Ok(stored)
    }
}

/// The body of a post.
fn body(candles: &[Candle]) -> String {
    const BYTES_OF_A_CANDLE: usize = 160;
    let mut body = String::with_capacity(candles.len() * BYTES_OF_A_CANDLE);
    body.push_str("{\"unit\":\"s\",\"candles\":[");
    let mut quoted = (None, String::new());
    for (place, candle) in candles.iter().enumerate() {
        let symbol = candle.key.symbol();
        if quoted.0 != Some(symbol) {
            quoted = (Some(symbol), Value::from(symbol.as_str()).to_string());
        }
        let comma = if place == 0 { "" } else { "," };
        let (timeframe, time) = (candle.key.timeframe(), candle.key.time().seconds());
        let _ = write!(
            body,
            "{comma}{{\"symbol\":{},\"timeframe\":\"{timeframe}\",\"timestamp\":{time},\"complete\":true",
            quoted.1
        );
        for field in OhlcField::ALL {
            let _ = write!(body, ",\"{}\":", field.name());
            candle.ohlc.get(field).write_to(&mut body);
        }
        let _ = write!(body, ",\"volume\":{}}}", candle.volume.get());
    }
    body.push_str("]}");
    body
}

/// Posts once. The rules are those of the Expert Advisor: a wrong key or an invalid batch ends the import, a batch
/// that is too large is halved, and after every other failure the same batch is posted again.
fn post(remote: &Remote, body: &str) -> Result<Answer, HistoryError> {
    let answer = match remote.post("/api/v1/candles", body) {
        Ok(answer) => answer,
        Err(error) => return Ok(Answer::Again(None, error)),
    };
    let count = |name: &str| answer.json[name].as_u64();
    match answer.status {
        200..=299 => {
            let (Some(added), Some(duplicate)) = (count("records_added"), count("records_duplicate")) else {
                return Ok(Answer::Again(None, remote.not_candlewick()));
            };
            let conflicting = count("records_conflicting").unwrap_or(0).min(duplicate);
            let forming = count("records_live").unwrap_or(0);
            Ok(Answer::Stored(Stored { added, same: duplicate - conflicting, conflicting, forming }))
        }
        status => {
            let error = remote.answered(status, &answer.json);
            let is_of_service = answer.json["code"].is_string();
            match status {
                413 => Ok(Answer::TooLarge(error.to_string())),
                401 => Err(error),
                400 | 403 | 404 | 415 | 422 if is_of_service => Err(error),
                _ => Ok(Answer::Again(answer.retry_after, error)),
            }
        }
    }
}
