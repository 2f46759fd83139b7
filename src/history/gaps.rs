//! The command `gaps`: a report as a table.

use std::fmt::Write as _;

use serde_json::Value;
use url::form_urlencoded;

use super::numbers::grouped;
use super::{HistoryError, Source};
use candle::format_millis;

/// The report as the service answers it.
pub(crate) async fn gaps_json(source: &Source, parameters: &[(&str, String)]) -> Result<Value, HistoryError> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    source.gaps(&query).await
}

/// The report as a table.
pub(crate) fn gaps_table(report: &Value) -> String {
    let time = |value: &Value| value.as_i64().and_then(format_millis).unwrap_or_default();
    let count = |value: &Value| value.as_u64().map_or(String::new(), grouped);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let session = &report["session"];
    let by = match session["source"].as_str() {
        Some("learned") => format!("learned from {} weeks", count(&session["weeks"])),
        Some("given") => text(&session["hours"]),
        _ => text(&session["source"]),
    };
    let coverage = report["coverage"].as_f64().map_or(String::new(), |share| format!(" ({:.3} %)", share * 100.0));
    let mut table = format!(
        "series    {} {}, {} to {}\nexpected  {} ({by}, {}, {} a week)\nstored    {}{coverage}\n",
        text(&report["symbol"]),
        text(&report["timeframe"]),
        time(&report["from"]),
        time(&report["to"]),
        count(&report["expected"]),
        text(&session["timezone"]),
        count(&session["expected_per_week"]),
        count(&report["stored"]),
    );
    let gaps = report["gaps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if gaps.is_empty() {
        table.push_str("no gaps");
        return table;
    }
    let _ = write!(table, "\n{:20}  {:20}  {:>9}  kind", "first", "last", "missing");
    for gap in gaps {
        let (from, to, missing) = (time(&gap["from"]), time(&gap["to"]), count(&gap["missing"]));
        let _ = write!(table, "\n{from:20}  {to:20}  {missing:>9}  {}", text(&gap["kind"]));
    }
    if report["more"] == true {
        table.push_str("\nthere are more; raise --limit, or --min to leave out small ones");
    }
    table
}
