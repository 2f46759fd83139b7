//! Bars of a symbol: those that are stored, or else those that can be built.

use std::ops::Range as Span;

use url::form_urlencoded;

use super::request::{BarSelection, HistoryQuestion};
use super::resolution::{Resolution, intraday, source};
use super::{Feed, UNKNOWN_SYMBOL, columns, failure, page};
use crate::query::QueryError;
use crate::query::page::Page;
use crate::query::resample::{Resampling, max_candles};
use crate::query::selection::FIRST_MILLISECOND;
use crate::store::{Direction, Range, Reading, StoredCandle, StoredCandles};
use candle::Timeframe;

/// The newest rows of a span, in parts. Each part is older than the one before.
#[derive(Default)]
struct NewestRows {
    parts: Vec<(StoredCandles, Span<usize>)>,
    /// The number of bars that the candles are, fewer than the candles where days share a date.
    bars: usize,
    /// True if the span has older rows.
    more: bool,
    /// The opening times of rows that are not candles, and so are not answered.
    skipped: Vec<i64>,
}

impl NewestRows {
    /// The candles, oldest first.
    fn ascending(&self) -> impl Iterator<Item = StoredCandle<'_>> {
        self.parts.iter().rev().flat_map(|(rows, part)| rows.range(part.clone()))
    }

    /// The opening time of the oldest row.
    fn oldest(&self) -> Option<i64> {
        self.parts.last().and_then(|(rows, part)| rows.time(part.start))
    }
}

impl HistoryQuestion {
    /// The opening times of the candles that are asked for, in milliseconds.
    fn openings(&self) -> Span<i64> {
        let bars = match self.bars {
            BarSelection::Between(from, to) => from..to.saturating_add(1),
            BarSelection::Before { count: 0, end } => end..end,
            BarSelection::Before { end, .. } => i64::MIN..end,
        };
        self.resolution.openings(&bars)
    }

    /// The maximum number of bars that are asked for.
    fn count(&self) -> usize {
        match self.bars {
            BarSelection::Between(..) => usize::MAX,
            BarSelection::Before { count, .. } => count,
        }
    }

    fn range(&self, openings: Span<i64>, limit: usize) -> Range {
        let Span { start, end } = openings;
        let timeframe = self.resolution.timeframe();
        Range { symbol: self.symbol.clone(), timeframe, start, end, direction: Direction::Descending, limit }
    }

    /// The query string for the bars before the one at `first`, of which this answer has `answered` ones.
    fn before(&self, first: i64, answered: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("symbol", self.symbol.as_str()).append_pair("resolution", &self.resolution.name());
        match self.bars {
            BarSelection::Between(from, _) => {
                query.append_pair("from", &from.to_string()).append_pair("to", &(first - 1).max(from).to_string());
            }
            BarSelection::Before { count, .. } => {
                query.append_pair("to", &first.to_string());
                query.append_pair("countback", &count.saturating_sub(answered).to_string());
            }
        }
        query.finish()
    }
}

impl Feed {
    /// Reads bars that are stored as candles. If there are none, and none earlier, the body is empty.
    pub(super) async fn stored_history(&self, asked: &HistoryQuestion, reading: Reading) -> Result<Page, QueryError> {
        let rows = self.newest_rows(asked, reading).await?;
        if rows.bars > 0 {
            return Ok(answer(asked, &rows, None, reading));
        }
        let earlier = match rows.oldest().filter(|_| rows.more) {
            Some(oldest) => Some(oldest),
            None => self.nearest_before(asked, asked.openings().start, reading).await?,
        };
        if earlier.is_none() {
            return Ok(page(Vec::new(), None, &[], reading.as_of()));
        }
        Ok(answer(asked, &rows, earlier, reading))
    }

    /// Answers where no bar is stored in the period that is asked for: builds bars from shorter candles, or says what there
    /// is.
    pub(super) async fn other_history(&self, asked: &HistoryQuestion, reading: Reading) -> Result<Page, QueryError> {
        let began = reading.as_of();
        let stored = self.timeframes(&asked.symbol, reading).await?;
        let timeframe = asked.resolution.timeframe();
        if stored.is_empty() {
            return Ok(failure(UNKNOWN_SYMBOL, began));
        }
        if stored.contains(&timeframe) {
            return Ok(page(columns::no_data(None), None, &[], began));
        }
        let Some(source) = source(&stored, timeframe).filter(|_| asked.resolution != Resolution::Day) else {
            return Ok(failure(&not_available(asked, &stored), began));
        };
        let Some(alignment) = self.symbols.of(&asked.symbol).session.alignment.clone() else {
            let sentence = format!(
                "{timeframe} candles of {} are not stored, and cannot be built, because its trading days in SYMBOLS_FILE do not \
                 begin at one time; ask for another resolution, from which a chart can build them.",
                asked.symbol
            );
            return Ok(failure(&sentence, began));
        };
        self.built_history(asked, &Resampling::new(source, Some(alignment), None), reading).await
    }

    async fn built_history(
        &self,
        asked: &HistoryQuestion,
        resampling: &Resampling,
        reading: Reading,
    ) -> Result<Page, QueryError> {
        let openings = asked.openings();
        let limit = asked.count().min(self.max_limit).min(max_candles(resampling.source, asked.resolution.timeframe()));
        let mut rows = NewestRows::default();
        if limit > 0 && !openings.is_empty() {
            let built = resampling.read(&self.store, reading, &asked.range(openings.clone(), limit)).await?;
            let (count, more) = (built.candles.len(), built.more);
            rows = NewestRows { parts: vec![(built.candles, 0..count)], bars: count, more, skipped: built.skipped };
        }
        let mut earlier = rows.oldest().filter(|_| rows.more);
        if rows.bars == 0 && earlier.is_none() && openings.start > FIRST_MILLISECOND {
            let before = asked.range(FIRST_MILLISECOND..openings.start, 1);
            earlier = resampling.read(&self.store, reading, &before).await?.candles.time(0);
        }
        Ok(answer(asked, &rows, earlier, reading))
    }

    /// Reads the candles of the newest bars that are asked for. Rows that are not candles do not count, up to as many as an answer
    /// may hold.
    async fn newest_rows(&self, asked: &HistoryQuestion, reading: Reading) -> Result<NewestRows, QueryError> {
        let wanted = asked.count().min(self.max_limit);
        let (mut found, mut openings) = (NewestRows::default(), asked.openings());
        let mut oldest_bar = None;
        while wanted > 0 && !openings.is_empty() {
            // One bar more than is needed shows whether there are more. Each row is at most one, so only the oldest can be that one.
            let limit = wanted + 1 - found.bars;
            let rows = self.store.range_from(reading, asked.range(openings.clone(), limit)).await?;
            let mut times: Vec<i64> =
                rows.range(0..rows.len()).map(|candle| asked.resolution.bar_time(candle.time)).collect();
            times.dedup();
            let is_continued = times.last().is_some_and(|last| oldest_bar == Some(*last));
            found.bars += times.len() - usize::from(is_continued);
            oldest_bar = times.first().copied().or(oldest_bar);
            found.more = found.bars > wanted;
            found.bars = found.bars.min(wanted);
            let part = usize::from(found.more)..rows.len();
            found.skipped.extend(rows.unreadable_times(part.clone()));
            let (count, oldest) = (rows.len(), rows.time(0));
            found.parts.push((rows, part));
            let Some(oldest) = oldest.filter(|_| count == limit && !found.more) else { break };
            if found.skipped.len() >= self.max_limit {
                found.more = true;
                break;
            }
            openings.end = oldest;
        }
        let first = found.ascending().next().map(|candle| candle.time);
        if let Some(first) = first.filter(|_| found.bars == wanted) {
            found.skipped.retain(|&time| time > first);
        }
        found.skipped.sort_unstable();
        Ok(found)
    }

    /// The opening time of the newest row before `opening`, if there is one.
    async fn nearest_before(
        &self,
        asked: &HistoryQuestion,
        opening: i64,
        reading: Reading,
    ) -> Result<Option<i64>, QueryError> {
        if opening <= FIRST_MILLISECOND {
            return Ok(None);
        }
        let rows = self.store.range_from(reading, asked.range(FIRST_MILLISECOND..opening, 1)).await?;
        Ok(rows.time(0))
    }
}

/// The answer with these rows, or with the opening time of an `earlier` row if none of them is a candle.
fn answer(asked: &HistoryQuestion, rows: &NewestRows, earlier: Option<i64>, reading: Reading) -> Page {
    if rows.bars == 0 {
        let time = earlier.map(|opening| asked.resolution.bar_time(opening));
        return page(columns::no_data(time), None, &rows.skipped, reading.as_of());
    }
    let first = rows.ascending().next().map(|candle| asked.resolution.bar_time(candle.time));
    let (body, left_out) = columns::bars(asked.resolution, rows.ascending());
    let is_cut = rows.more && rows.bars < asked.count();
    let before = first.filter(|_| is_cut).map(|first| asked.before(first, rows.bars));
    let mut skipped = rows.skipped.clone();
    skipped.extend(left_out);
    skipped.sort_unstable();
    page(body, before, &skipped, reading.as_of())
}

/// The sentence for bars that are neither stored nor built here.
fn not_available(asked: &HistoryQuestion, stored: &[Timeframe]) -> String {
    let symbol = &asked.symbol;
    if asked.resolution == Resolution::Day && intraday().any(|timeframe| stored.contains(&timeframe)) {
        return format!("D1 candles of {symbol} are not stored; a chart builds days from minutes.");
    }
    let names: Vec<_> = stored.iter().map(|timeframe| timeframe.name()).collect();
    format!(
        "{} candles of {symbol} are neither stored nor can they be built from what is: {}.",
        asked.resolution.timeframe(),
        names.join(" ")
    )
}
