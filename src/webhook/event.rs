//! The events that the webhook receives.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::ingest::SeriesConflicts;
use crate::research::numbers::Number;
use crate::store::{EndedJob, JobState, NotedChange, OutboxEvent, ReportedFeed, SeriesKey, StoredSignal};
use candle::Timestamp;

const FEED_STALE: &str = "feed.stale";
const FEED_FRESH: &str = "feed.fresh";
const CONFLICT: &str = "candles.conflict";
const CORRECTED: &str = "candles.corrected";
const DELETED: &str = "candles.deleted";
const SIGNAL_CHANGED: &str = "signal.changed";
const JOB_DONE: &str = "job.done";
const JOB_FAILED: &str = "job.failed";

/// The body of an event. Its order of fields is that of the specification Standard Webhooks.
#[derive(Debug, Serialize)]
struct Body<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    /// The time of what happened, in epoch milliseconds.
    timestamp: i64,
    data: T,
}

#[derive(Debug, Serialize)]
struct ChangeData<'a> {
    change: String,
    symbol: &'a str,
    timeframe: &'a str,
    from: i64,
    to: i64,
    candles: i64,
    actor: &'a str,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct ConflictData<'a> {
    symbol: &'a str,
    timeframe: &'a str,
    candles: u64,
    from: i64,
    to: i64,
}

/// The data of a stale feed, and of one that is fresh again.
#[derive(Debug, Serialize)]
struct FeedData<'a> {
    symbol: &'a str,
    timeframe: &'a str,
    /// The time at which the newest candle was stored, in epoch milliseconds; null if there has been none.
    received: Option<i64>,
    /// The time after which the feed is stale, in seconds.
    stale_after: u64,
}

#[derive(Debug, Serialize)]
struct SignalData<'a> {
    symbol: &'a str,
    timeframe: &'a str,
    candle: i64,
    /// With the digits of its series; null if somebody else has stored something that is not a number.
    close: Option<Box<RawValue>>,
    signal: &'a str,
    previous: Option<&'a str>,
    score: Number,
}

#[derive(Debug, Serialize)]
struct JobData<'a> {
    job: &'a str,
    name: Option<&'a str>,
    state: &'static str,
    owner: &'a str,
}

/// An event about a correction or a deletion. Every process makes the same one of it.
pub(super) fn of_change(change: &NotedChange) -> OutboxEvent {
    let kind = if change.kind == "deletion" { DELETED } else { CORRECTED };
    let data = ChangeData {
        change: change.id.to_string(),
        symbol: &change.symbol,
        timeframe: &change.timeframe,
        from: change.first,
        to: change.last,
        candles: change.candles,
        actor: &change.actor,
        reason: &change.reason,
    };
    event(kind, change.at, &data, &[change.id.to_string()])
}

/// An event about candles that this process was sent with other values than the stored ones. `process` and `number` tell it from
/// the others.
pub(super) fn of_conflicts(
    key: &SeriesKey,
    found: SeriesConflicts,
    now: Timestamp,
    (process, number): (&str, u64),
) -> OutboxEvent {
    let data = ConflictData {
        symbol: key.symbol.as_str(),
        timeframe: key.timeframe.name(),
        candles: found.candles,
        from: found.first,
        to: found.last,
    };
    event(CONFLICT, now.millis(), &data, &[process.to_owned(), number.to_string()])
}

/// An event about a feed that is stale, or is fresh again. Its number tells it from the others about the feed.
pub(super) fn of_feed(reported: &ReportedFeed, stale_after_seconds: u64, now: Timestamp) -> OutboxEvent {
    let (symbol, timeframe) = (reported.key.symbol.as_str(), reported.key.timeframe.name());
    let data = FeedData { symbol, timeframe, received: reported.received, stale_after: stale_after_seconds };
    let received = reported.received.map_or_else(String::new, |received| received.to_string());
    let identity = [symbol.to_owned(), timeframe.to_owned(), received, reported.events.to_string()];
    match (reported.is_stale, reported.received) {
        (false, Some(received)) => event(FEED_FRESH, received, &data, &identity),
        _ => event(FEED_STALE, now.millis(), &data, &identity),
    }
}

/// An event about a signal that followed another one. Every process makes the same one of it. Its time distinguishes a corrected one from the
/// one that it was.
pub(super) fn of_signal(changed: &StoredSignal) -> OutboxEvent {
    let data = SignalData {
        symbol: &changed.symbol,
        timeframe: &changed.timeframe,
        candle: changed.candle,
        close: RawValue::from_string(changed.close.clone()).ok(),
        signal: &changed.signal,
        previous: changed.previous.as_deref(),
        score: Number(changed.score),
    };
    let (candle, at) = (changed.candle.to_string(), changed.at.to_string());
    let identity = [changed.symbol.clone(), changed.timeframe.clone(), candle, at];
    event(SIGNAL_CHANGED, changed.at, &data, &identity)
}

/// An event about a job that is done or has failed. Every process makes the same one of it.
pub(super) fn of_job(job: &EndedJob) -> OutboxEvent {
    let kind = if job.state == JobState::Failed { JOB_FAILED } else { JOB_DONE };
    let data = JobData { job: &job.id, name: job.name.as_deref(), state: job.state.name(), owner: &job.owner };
    event(kind, job.finished, &data, std::slice::from_ref(&job.id))
}

/// `identity` and the kind decide the id, so that the same event is stored once.
fn event(kind: &'static str, timestamp: i64, data: &impl Serialize, identity: &[String]) -> OutboxEvent {
    let mut hash = Sha256::new();
    for part in std::iter::once(kind).chain(identity.iter().map(String::as_str)) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let body = serde_json::to_string(&Body { kind, timestamp, data });
    OutboxEvent { id: format!("evt_{}", hex::encode(&hash.finalize()[..16])), kind, body: body.unwrap_or_default() }
}
