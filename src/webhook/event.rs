//! The events that the webhook receives.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ingest::SeriesConflicts;
use crate::store::{NotedChange, OutboxEvent, SeriesKey};
use candle::Timestamp;

/// The kind of the event of a feed that is stale.
pub(super) const FEED_STALE: &str = "feed.stale";
const FEED_FRESH: &str = "feed.fresh";
const CONFLICT: &str = "candles.conflict";
pub(super) const CORRECTED: &str = "candles.corrected";
pub(super) const DELETED: &str = "candles.deleted";

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
#[derive(Debug, Serialize, serde::Deserialize)]
pub(super) struct FeedData {
    pub(super) symbol: String,
    pub(super) timeframe: String,
    /// The time at which the newest candle was stored, in epoch milliseconds; absent if there has been none.
    pub(super) received: Option<i64>,
    /// The time after which the feed is stale, in seconds.
    pub(super) stale_after: u64,
}

/// A stored event, as far as it is read back.
#[derive(Debug, serde::Deserialize)]
pub(super) struct StoredFeedEvent {
    pub(super) data: FeedData,
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

/// An event about a feed that has been stale since it received its newest candle.
pub(super) fn of_stale_feed(data: &FeedData, now: Timestamp) -> OutboxEvent {
    event(FEED_STALE, now.millis(), data, &identity(data))
}

/// An event about a feed that was stale and has received a candle since.
pub(super) fn of_fresh_feed(stale: &FeedData, received: i64) -> OutboxEvent {
    let data = FeedData {
        symbol: stale.symbol.clone(),
        timeframe: stale.timeframe.clone(),
        received: Some(received),
        stale_after: stale.stale_after,
    };
    event(FEED_FRESH, received, &data, &identity(stale))
}

/// A feed is stale once for each newest candle, whatever process notices it.
fn identity(data: &FeedData) -> [String; 3] {
    let received = data.received.map_or_else(String::new, |received| received.to_string());
    [data.symbol.clone(), data.timeframe.clone(), received]
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
