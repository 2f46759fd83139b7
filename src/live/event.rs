//! The text of events.

use live::{History, State};

use crate::query::write_fields;
use crate::store::{SeriesKey, SeriesTail, StoredCandle, StoredCandles};

/// Asks the browser to wait this long before it connects again.
pub(super) const GREETING: &str = "retry: 2000\n\n";
/// The last words of a stream of a service that stops: its successor, or another replica, is there soon.
pub(super) const FAREWELL: &str = "retry: 500\n\n";

/// The first fields of the data of every event of a series.
pub(super) fn names(key: &SeriesKey) -> String {
    let symbol = serde_json::Value::from(key.symbol.as_str());
    format!(r#"{{"symbol":{symbol},"timeframe":"{}","#, key.timeframe)
}

/// The event of a candle, without its id.
pub(super) fn candle(names: &str, candle: StoredCandle<'_>) -> String {
    let mut fields = Vec::with_capacity(160);
    write_fields(&mut fields, candle);
    format!("event: candle\ndata: {names}{}}}\n\n", String::from_utf8_lossy(&fields))
}

/// The event of a change of older history, without its id.
pub(super) fn history(names: &str, History { from, to, kind, .. }: History) -> String {
    format!("event: history\ndata: {names}\"from\":{from},\"to\":{to},\"kind\":\"{}\"}}\n\n", kind.name())
}

/// The events of candles.
pub(super) fn states(names: &str, candles: &StoredCandles) -> Vec<State> {
    let candles = candles.range(0..candles.len());
    candles.map(|each| State { time: each.time, text: candle(names, each).into() }).collect()
}

/// The candles that a look found, as events.
pub(super) fn snapshot(names: &str, tail: &SeriesTail) -> live::Snapshot {
    live::Snapshot { states: states(names, &tail.candles), complete_from: tail.complete_from }
}
