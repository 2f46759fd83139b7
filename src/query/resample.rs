//! Candles that are built from stored candles of a shorter timeframe: the buckets that a query selects, and the rule
//! for when they are closed.

use std::fmt::Write as _;

use calendar::{Alignment, Bucket, Calendar, Grid, Weekday};
use candle::{Timeframe, format_millis};

use super::QueryError;
use super::selection::Refusal;
use crate::store::{Direction, Range, Reading, ResampleRange, ResampledBucket, Store, StoredCandles};
use crate::validation::FieldError;

/// The maximum number of stored candles that one answer is built from, by the calendar.
pub(super) const MAX_SOURCE_CANDLES: usize = 2_000_000;
/// The maximum number of stored candles that one statement reads, by the calendar, so that none takes long.
const MAX_STEP_CANDLES: usize = 500_000;
/// The minimum number of days, weeks or months that one statement covers, so that a series with few candles does not
/// take many.
const MIN_WHOLES: usize = 1500;
/// The maximum number of days, weeks or months that one statement covers.
const MAX_WHOLES: usize = 10_000;
const DAY_SECONDS: i64 = 86_400;

/// The candles that others are built from, and the calendar of their days and weeks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resampling {
    /// The stored timeframe that is read.
    pub source: Timeframe,
    /// The rules for where days and weeks begin.
    pub calendar: Calendar,
}

/// The reason why candles of a timeframe cannot be built from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbuildable {
    /// The source is not shorter than this timeframe.
    NotShorter(Timeframe),
    /// The source does not divide this timeframe.
    NotAMultiple(Timeframe),
}

impl Refusal for Unbuildable {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotShorter(_) => "not_shorter",
            Self::NotAMultiple(_) => "not_a_divisor",
        }
    }

    fn message(self) -> String {
        let (Self::NotShorter(timeframe) | Self::NotAMultiple(timeframe)) = self;
        let names = sources(timeframe).map(Timeframe::name).collect::<Vec<_>>().join(" ");
        match self {
            _ if names.is_empty() => format!("cannot be given with timeframe {timeframe}, the shortest one; drop it"),
            Self::NotShorter(_) => format!(
                "is not shorter than timeframe {timeframe}; send one of {names}, or drop it to read {timeframe} as stored"
            ),
            Self::NotAMultiple(_) => format!("does not divide timeframe {timeframe}; send one of {names}"),
        }
    }
}

/// The candles of an answer.
#[derive(Debug)]
pub(crate) struct BuiltCandles {
    /// At most as many as the answer may hold. A bucket whose rows are all not candles has a row without values.
    pub(crate) candles: StoredCandles,
    /// True if there are further candles in the direction in which the limit counts.
    pub(crate) more: bool,
    /// The opening times of the stored rows of these buckets that are not candles.
    pub(super) skipped: Vec<i64>,
}

/// A bucket, and whether its candle is closed.
struct Built {
    bucket: ResampledBucket,
    closed: bool,
}

/// Checks that candles of `timeframe` can be built from those of `source`. Months are not built from weeks, because
/// many weeks belong to two months.
pub(super) fn check(source: Timeframe, timeframe: Timeframe) -> Result<(), Unbuildable> {
    let position = |timeframe| Timeframe::ALL.iter().position(|&other| other == timeframe);
    if position(source) >= position(timeframe) {
        return Err(Unbuildable::NotShorter(timeframe));
    }
    let divides = match (source.length(), timeframe.length()) {
        (Some(source), Some(timeframe)) => timeframe >= DAY_SECONDS || timeframe % source == 0,
        (source, _) => source.is_some_and(|source| source <= DAY_SECONDS),
    };
    if divides { Ok(()) } else { Err(Unbuildable::NotAMultiple(timeframe)) }
}

/// The timeframes from which candles of `timeframe` can be built, shortest first.
pub(super) fn sources(timeframe: Timeframe) -> impl DoubleEndedIterator<Item = Timeframe> + Clone {
    Timeframe::ALL.into_iter().filter(move |&source| check(source, timeframe).is_ok())
}

/// The maximum number of candles of `timeframe` that one answer holds if they are built from those of `source`.
pub(super) fn max_candles(source: Timeframe, timeframe: Timeframe) -> usize {
    MAX_SOURCE_CANDLES / source_candles(source, timeframe)
}

/// The number of candles of `source` in one candle of `timeframe`, by the calendar.
fn source_candles(source: Timeframe, timeframe: Timeframe) -> usize {
    const LONGEST_MONTH_SECONDS: i64 = 31 * DAY_SECONDS;
    let length = |timeframe: Timeframe| timeframe.length().unwrap_or(LONGEST_MONTH_SECONDS);
    usize::try_from(length(timeframe) / length(source)).unwrap_or_default().max(1)
}

impl Resampling {
    /// The way to build candles of `timeframe` from those of `source`, if there is one.
    pub(crate) fn of(
        timeframe: Timeframe,
        source: Timeframe,
        alignment: Option<Alignment>,
        week: Option<Weekday>,
    ) -> Result<Self, Unbuildable> {
        check(source, timeframe).map(|()| Self::new(source, alignment, week))
    }

    /// A rule that the query does not name has its default: days begin at midnight in UTC, and weeks on Monday.
    pub(super) fn new(source: Timeframe, alignment: Option<Alignment>, week: Option<Weekday>) -> Self {
        let calendar = Calendar::new(alignment.unwrap_or(Alignment::UTC), week.unwrap_or(Weekday::Mon));
        Self { source, calendar }
    }

    /// The span of a query's buckets, from the start of the first to the end of the last. A bucket belongs to the
    /// query if its start is in the query's range.
    fn span(&self, range: &Range) -> Bucket {
        let mut walker = self.calendar.walker(range.timeframe);
        let first = walker.bucket(range.start);
        let start = if first.start < range.start { first.end } else { first.start };
        Bucket { start, end: walker.bucket(range.end - 1).end }
    }

    /// The stored candles from which those of `range` are built.
    pub(super) fn stored(&self, range: Range) -> Range {
        let Bucket { start, end } = self.span(&range);
        Range { timeframe: self.source, start, end, ..range }
    }

    /// The number of candles of a page that one statement reads. The statement reads one more.
    pub(super) fn candles_a_statement(&self, timeframe: Timeframe) -> usize {
        (MAX_STEP_CANDLES / source_candles(self.source, timeframe)).saturating_sub(1).max(1)
    }

    /// The days, weeks or months around the row at `time` in which the next `count` buckets are looked for.
    fn grid(&self, range: &Range, time: i64, count: usize) -> Grid {
        let a_day = range.timeframe.length().map_or(1, |length| (DAY_SECONDS / length).max(1));
        let wholes = (2 * count / usize::try_from(a_day).unwrap_or(1)).clamp(MIN_WHOLES, MAX_WHOLES);
        match range.direction {
            Direction::Ascending => self.calendar.grid_from(range.timeframe, time, wholes),
            Direction::Descending => self.calendar.grid_to(range.timeframe, time, wholes),
        }
    }

    /// True if no candle can be added to a bucket any more, because a candle at or past its end is stored, or a
    /// closed one that ends there. The result does not depend on the clock, so the same rows always have the same
    /// answer.
    fn is_closed(&self, bucket: &ResampledBucket, newest: Option<i64>) -> bool {
        let end = bucket.bucket.end;
        newest.is_some_and(|newest| newest >= end)
            || bucket.sum.as_ref().is_some_and(|sum| sum.last_is_closed && self.source_end(sum.last) >= end)
    }

    /// The end of the stored candle that opened at `opening`. A day ends with the day of the calendar if that is later,
    /// because it has 25 hours when the clocks go back.
    fn source_end(&self, opening: i64) -> i64 {
        let nominal = opening.saturating_add(self.source.length().unwrap_or_default() * 1000);
        if self.source == Timeframe::D1 { nominal.max(self.calendar.day(opening).end) } else { nominal }
    }

    /// Builds the candles of a query. They are read in steps. Each step is one statement, so its rows are from one
    /// moment.
    pub(crate) async fn read(
        &self,
        store: &Store,
        reading: Reading,
        range: &Range,
    ) -> Result<BuiltCandles, QueryError> {
        let Bucket { mut start, mut end } = self.span(range);
        // One bucket more than requested shows whether there are more.
        let wanted = range.limit + 1;
        let max_step = (MAX_STEP_CANDLES / source_candles(self.source, range.timeframe)).max(1);
        let (mut built, mut skipped) = (Vec::new(), Vec::new());
        while start < end && built.len() < wanted {
            // Buckets are looked for from the next row on, however far away it is.
            let next = Range { timeframe: self.source, start, end, limit: 1, ..range.clone() };
            let Some(time) = store.range_from(reading, next).await?.time(0) else { break };
            let limit = max_step.min(wanted - built.len());
            let grid = self.grid(range, time, limit);
            let covered = grid.covers();
            let step = ResampleRange {
                symbol: range.symbol.clone(),
                source: self.source,
                start: start.max(covered.start),
                end: end.min(covered.end),
                direction: range.direction,
                grid,
                limit,
            };
            let step = store.resample_from(reading, step).await?;
            let edges = step.buckets.first().zip(step.buckets.last()).filter(|_| step.buckets.len() == limit);
            match range.direction {
                Direction::Ascending => start = edges.map_or(covered.end, |(_, last)| last.bucket.end),
                Direction::Descending => end = edges.map_or(covered.start, |(first, _)| first.bucket.start),
            }
            skipped.extend(step.unreadable.iter().map(|row| row.time));
            let closed = |bucket: &ResampledBucket| self.is_closed(bucket, step.newest);
            let mut buckets: Vec<_> =
                step.buckets.into_iter().map(|bucket| Built { closed: closed(&bucket), bucket }).collect();
            if range.direction == Direction::Descending {
                buckets.reverse();
            }
            built.append(&mut buckets);
        }
        let more = built.len() > range.limit;
        built.truncate(range.limit);
        if range.direction == Direction::Descending {
            built.reverse();
        }
        skipped.retain(|&time| {
            let edges = built.first().zip(built.last());
            edges.is_some_and(|(first, last)| (first.bucket.bucket.start..last.bucket.bucket.end).contains(&time))
        });
        skipped.sort_unstable();
        Ok(BuiltCandles { candles: candles(&built)?, more, skipped })
    }
}

/// The candles as the rows of a page.
fn candles(built: &[Built]) -> Result<StoredCandles, QueryError> {
    let mut text = String::new();
    for (position, Built { bucket, closed }) in built.iter().enumerate() {
        if position > 0 {
            text.push('\n');
        }
        // Without values, the row is not a candle.
        let Some(sum) = &bucket.sum else { continue };
        let volume = i64::try_from(sum.volume).map_err(|_| volume_too_large(bucket.bucket))?;
        let _ = write!(text, "{} {} {} {} {volume} {}", sum.open, sum.high, sum.low, sum.close, u8::from(*closed));
    }
    let times: Vec<_> = built.iter().map(|built| built.bucket.bucket.start).collect();
    Ok(StoredCandles::of_lines(times.into_iter(), text)?)
}

fn volume_too_large(bucket: Bucket) -> QueryError {
    let at = format_millis(bucket.start).unwrap_or_else(|| bucket.start.to_string());
    let msg = format!("has a candle at {at} whose volume exceeds {}; send a shorter one", i64::MAX);
    QueryError::Invalid(vec![FieldError { loc: vec!["query".into(), "timeframe".into()], msg, kind: "out_of_range" }])
}

/// A source from which more than [`max_candles`] candles can be answered at once: the first of the common sources
/// from which `limit` candles can be answered, or else the longest source.
pub(super) fn better_source(source: Timeframe, timeframe: Timeframe, limit: usize) -> Option<Timeframe> {
    use Timeframe::{D1, H1, H4, M5, M15, M30};
    let longer = |&other: &Timeframe| [M5, M15, M30, H1, H4, D1].contains(&other) && other.length() > source.length();
    let mut candidates = sources(timeframe).filter(longer);
    let enough = candidates.clone().find(|&source| max_candles(source, timeframe) >= limit);
    enough.or_else(|| candidates.next_back())
}
