//! Marks of what was corrected and deleted, from the record of changes.

use std::fmt::Write as _;

use serde::Serialize;
use url::form_urlencoded;

use super::request::MarksQuestion;
use super::resolution::{Resolution, source};
use super::{Feed, page};
use crate::query::QueryError;
use crate::query::page::Page;
use crate::store::{Change, Reading, RecordedCandle, SeriesKey, Span, StoreError};
use candle::format_millis;

/// The maximum number of changes in an answer, because charts draw each mark on its own.
const MAX_CHANGES: usize = 500;
/// The maximum number of candles of a correction that have a mark each. A larger correction has one mark.
const MAX_MARKED_CANDLES: usize = 20;
/// The size of a mark in pixels.
const MARK_PIXELS: u32 = 14;

/// A change of one candle, or the deletion of several.
struct Mark<'a> {
    id: String,
    /// The time of the bar in seconds.
    time: i64,
    kind: MarkKind,
    text: String,
    change: &'a Change,
}

#[derive(Clone, Copy)]
enum MarkKind {
    Correction,
    Deletion,
}

impl MarkKind {
    fn color(self) -> &'static str {
        match self {
            Self::Correction => "yellow",
            Self::Deletion => "red",
        }
    }

    /// The letter on the mark.
    fn label(self) -> &'static str {
        match self {
            Self::Correction => "C",
            Self::Deletion => "D",
        }
    }

    fn label_color(self) -> &'static str {
        match self {
            Self::Correction => "black",
            Self::Deletion => "white",
        }
    }
}

/// Marks on bars, as columns.
#[derive(Serialize, Default)]
struct BarMarks<'a> {
    id: Vec<&'a str>,
    time: Vec<i64>,
    color: Vec<&'static str>,
    text: Vec<&'a str>,
    label: Vec<&'static str>,
    #[serde(rename = "labelFontColor")]
    label_font_color: Vec<&'static str>,
    #[serde(rename = "minSize")]
    min_size: Vec<u32>,
}

/// A mark on the time axis.
#[derive(Serialize)]
struct TimescaleMark<'a> {
    id: &'a str,
    time: i64,
    color: &'static str,
    label: &'static str,
    tooltip: [String; 2],
}

impl Feed {
    /// Reads the marks of the candles that a chart shows or builds its bars from.
    pub(super) async fn marks(&self, asked: &MarksQuestion, reading: Reading) -> Result<Page, QueryError> {
        let stored = self.timeframes(&asked.symbol, reading).await?;
        let timeframe = asked.resolution.timeframe();
        let shown = if stored.contains(&timeframe) { None } else { source(&stored, timeframe) };
        let timeframe = shown.unwrap_or(timeframe);
        let resolution = if timeframe.opens_with_a_day() { Resolution::Day } else { Resolution::Minutes(timeframe) };
        let openings = resolution.openings(&(asked.from..asked.to.saturating_add(1)));
        let key = SeriesKey { symbol: asked.symbol.clone(), timeframe };
        let span = Span { key, start: openings.start, end: openings.end };
        // One more than is answered shows whether there are more.
        let mut changes = self.store.changes_within(span, MAX_CHANGES + 1, MAX_MARKED_CANDLES).await?;
        // Within one second, there is no earlier time to ask for.
        let earlier = changes.get(MAX_CHANGES).filter(|_| asked.from < asked.to);
        let before = earlier.map(|change| asked.until(resolution.bar_time(change.first)));
        changes.truncate(MAX_CHANGES);
        let mut marks = Vec::new();
        for change in &changes {
            marks.extend(of_change(change, resolution, openings.start)?);
        }
        marks.retain(|mark| (asked.from..=asked.to).contains(&mark.time));
        marks.sort_by_key(|mark| (mark.time, mark.change.id));
        let body = if asked.on_timescale { on_timescale(&marks) } else { on_bars(&marks) };
        Ok(page(body.map_err(StoreError::internal)?, before, &[], reading.as_of()))
    }
}

impl MarksQuestion {
    /// The query string for the marks up to a time.
    fn until(&self, time: i64) -> String {
        let to = time.min(self.to.saturating_sub(1)).max(self.from);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("symbol", self.symbol.as_str()).append_pair("resolution", &self.resolution.name());
        query.append_pair("from", &self.from.to_string()).append_pair("to", &to.to_string());
        query.finish()
    }
}

/// The marks of a change: one for each candle that was corrected, and one for a deletion or a large correction. That one is on its
/// first candle, or where the change reaches into the period that begins at `start` milliseconds and began before it, at the
/// beginning of that period, because a chart may have no bars before it.
fn of_change(change: &Change, resolution: Resolution, start: i64) -> Result<Vec<Mark<'_>>, StoreError> {
    let mark = |kind, opening: i64, at: i64, text| Mark {
        id: format!("{}-{opening}", change.id),
        time: resolution.bar_time(at),
        kind,
        text,
        change,
    };
    let of_all = |kind, verb| {
        let at = if change.first < start { resolution.first_opening(start).min(change.last) } else { change.first };
        mark(kind, change.first, at, whole_text(verb, change))
    };
    if change.kind == "deletion" {
        return Ok(vec![of_all(MarkKind::Deletion, "deleted")]);
    }
    let detail = change.detail()?;
    let (before, after) = (detail.before.unwrap_or_default(), detail.after.unwrap_or_default());
    if after.is_empty() {
        return Ok(vec![of_all(MarkKind::Correction, "corrected")]);
    }
    let correction = |new: &RecordedCandle<'_>| {
        let old = before.iter().find(|old| old.timestamp == new.timestamp);
        mark(MarkKind::Correction, new.timestamp, new.timestamp, correction_text(old, new))
    };
    Ok(after.iter().map(correction).collect())
}

/// Names the candles of a change.
fn whole_text(verb: &str, change: &Change) -> String {
    let at = |opening: i64| format_millis(opening).unwrap_or_else(|| opening.to_string());
    match change.candles {
        1 => format!("{verb}: the candle of {}", at(change.first)),
        candles => format!("{verb}: {candles} candles from {} to {}", at(change.first), at(change.last)),
    }
}

/// Names the values that a correction changed, with their digits.
fn correction_text(old: Option<&RecordedCandle<'_>>, new: &RecordedCandle<'_>) -> String {
    let Some(old) = old else { return "corrected".to_owned() };
    let mut text = "corrected:".to_owned();
    let prices = [
        ("open", old.open, new.open),
        ("high", old.high, new.high),
        ("low", old.low, new.low),
        ("close", old.close, new.close),
    ];
    for (name, old, new) in prices.into_iter().filter(|(_, old, new)| old.get() != new.get()) {
        let _ = write!(text, " {name} {} → {},", old.get(), new.get());
    }
    if old.volume != new.volume {
        let _ = write!(text, " volume {} → {},", old.volume, new.volume);
    }
    text.trim_end_matches([',', ':']).to_owned()
}

fn on_bars(marks: &[Mark<'_>]) -> serde_json::Result<Vec<u8>> {
    let mut columns = BarMarks::default();
    for Mark { id, time, kind, text, .. } in marks {
        columns.id.push(id);
        columns.time.push(*time);
        columns.color.push(kind.color());
        columns.text.push(text);
        columns.label.push(kind.label());
        columns.label_font_color.push(kind.label_color());
        columns.min_size.push(MARK_PIXELS);
    }
    serde_json::to_vec(&columns)
}

fn on_timescale(marks: &[Mark<'_>]) -> serde_json::Result<Vec<u8>> {
    let mut list = Vec::with_capacity(marks.len());
    for Mark { id, time, kind, text, change } in marks {
        let tooltip = [text.clone(), format!("reason: {}", change.reason)];
        list.push(TimescaleMark { id, time: *time, color: kind.color(), label: kind.label(), tooltip });
    }
    serde_json::to_vec(&list)
}
