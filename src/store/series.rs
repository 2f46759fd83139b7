//! The catalogue: which series are stored, from when to when, and with how many digits.
//!
//! A list is read in steps of a bounded number of rows, so that no statement takes long and nothing goes on being read
//! once nobody waits for the list. Where series are short, a step reads the key row by row; where they are long, it hops
//! from one to the next and looks at both ends of each.

use std::time::{Duration, Instant};

use super::precision::{self, Outliers, SAMPLE_CANDLES};
use super::{Database, Store, StoreError, either};
use candle::{Symbol, Timeframe};

/// First millisecond of the year 1 and of the year 10000: no other candle can be asked for.
pub(super) const FIRST_TIME_MILLISECONDS: i64 = -62_135_596_800_000;
pub(super) const END_TIME_MILLISECONDS: i64 = 253_402_300_800_000;

/// A list ends early, and says where to go on, once so many series were looked at or so much time has passed: a filter
/// that hardly any series fits must not cost more than any other list.
const MAX_EXAMINED_SERIES: usize = 20_000;
const LIST_TIME_BUDGET: Duration = Duration::from_secs(2);
/// Deadline of a list that has passed only series since then that cannot be named as the place to go on from.
const LIST_TIMEOUT: Duration = Duration::from_secs(4);

/// Rows of a step that reads the key row by row. The first one finds out how long the series are.
const MIN_ROWS: usize = 64;
const MAX_FIRST_ROWS: usize = 1_000;
const MAX_ROWS: usize = 12_000;
/// Series of a step that hops.
const MIN_HOPS: usize = 8;
pub(super) const MAX_HOPS: usize = 500;
/// From so many candles a series on, to hop costs less than to read every row (measured on both stores).
const CANDLES_WORTH_A_HOP: usize = 8;

/// The name of a series. Ordered by the bytes of the symbol, then of the timeframe's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// The instrument.
    pub symbol: Symbol,
    /// The length of the period.
    pub timeframe: Timeframe,
}

impl Ord for SeriesKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.symbol, self.timeframe.name()).cmp(&(&other.symbol, other.timeframe.name()))
    }
}

impl PartialOrd for SeriesKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A selection of series to list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesSelection {
    /// Only those of these instruments, ascending, each once; of all where it is empty.
    pub symbols: Vec<Symbol>,
    /// Only those with this period.
    pub timeframe: Option<Timeframe>,
    /// Only those after this one, which need not be stored.
    pub after: Option<SeriesKey>,
    /// The most series to return, at least 1.
    pub limit: usize,
}

/// A series, as its closed candles show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub key: SeriesKey,
    /// Opening time of the oldest candle in epoch milliseconds.
    pub first: i64,
    /// Opening time of the newest candle in epoch milliseconds.
    pub last: i64,
    /// Digits behind the point that nearly all of the newest candles need.
    pub price_precision: u32,
    /// Those of the newest candles that need more.
    pub outliers: Option<Outliers>,
}

/// A part of the catalogue in the order of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesPage {
    /// The series.
    pub series: Vec<Series>,
    /// The place to go on from, if there may be more. There may be even if these are fewer than was asked for.
    pub next: Option<SeriesKey>,
}

/// A place in the order of the key: behind the last candle of a series, which in a table that others write need not be one
/// that can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub(super) symbol: Vec<u8>,
    pub(super) timeframe: Vec<u8>,
}

impl Position {
    fn after(key: &SeriesKey) -> Self {
        let SeriesKey { symbol, timeframe } = key;
        Self { symbol: symbol.as_str().into(), timeframe: timeframe.name().into() }
    }

    /// The series, if it is one that can be asked for.
    fn key(&self) -> Option<SeriesKey> {
        let symbol = parse_symbol(&self.symbol)?;
        let timeframe = std::str::from_utf8(&self.timeframe).ok().and_then(Timeframe::named)?;
        Some(SeriesKey { symbol, timeframe })
    }
}

fn parse_symbol(text: &[u8]) -> Option<Symbol> {
    std::str::from_utf8(text).ok().and_then(|text| Symbol::parse(text).ok())
}

/// A closed candle as the catalogue needs it.
#[derive(Debug)]
pub(super) struct SeriesRow {
    pub(super) position: Position,
    /// In epoch milliseconds; `None` if that is infinite.
    pub(super) time: Option<i64>,
    /// The most digits behind the point among its prices; `None` if one of them is not a price, so that pages leave the row out.
    pub(super) digits: Option<u32>,
}

/// Both ends of a series and the digits of its newest candles.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) digits: Vec<u32>,
}

impl Sample {
    /// From all rows of a series, ascending by time.
    fn of(rows: &[SeriesRow]) -> Option<Self> {
        let reachable = |row: &&SeriesRow| {
            row.time.is_some_and(|time| (FIRST_TIME_MILLISECONDS..END_TIME_MILLISECONDS).contains(&time))
        };
        let mut rows = rows.iter().filter(reachable);
        let first = rows.clone().next()?.time?;
        let digits = rows.clone().rev().take(SAMPLE_CANDLES).filter_map(|row| row.digits).collect();
        let last = rows.next_back()?.time?;
        Some(Self { first, last, digits })
    }

    fn describe(self, key: SeriesKey) -> Series {
        let (price_precision, outliers) = precision::of(self.digits);
        Series { key, first: self.first, last: self.last, price_precision, outliers }
    }
}

impl Store {
    /// Lists series that have closed candles, by the bytes of symbol and timeframe. In a table of somebody else's, it is by
    /// the order of its key's index, unless `selection` names symbols.
    ///
    /// Reads in steps, and begins no further step once the caller stops waiting.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn series(&self, selection: &SeriesSelection) -> Result<SeriesPage, StoreError> {
        self.measured("series", Walk::new(self, selection).run()).await
    }

    /// The names of the series behind a place, at most so many. There are no more where it returns fewer.
    pub(super) async fn keys_after(&self, position: Position, most: usize) -> Result<Vec<Position>, StoreError> {
        either!(self, store => store.keys_after(position, most).await)
    }
}

/// The outcome of a step.
struct StepOutcome {
    /// Series that it looked at.
    series: usize,
    /// Candles of theirs, as far as they were read.
    candles: usize,
    /// True if nothing stands behind them.
    is_last: bool,
}

/// A reading of the catalogue.
struct Walk<'a> {
    store: &'a Store,
    selection: &'a SeriesSelection,
    found: Vec<Series>,
    examined: usize,
    began: Instant,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store, selection: &'a SeriesSelection) -> Self {
        Self { store, selection, found: Vec::new(), examined: 0, began: Instant::now() }
    }

    async fn run(mut self) -> Result<SeriesPage, StoreError> {
        let cut =
            if self.selection.symbols.is_empty() { self.along_the_key().await? } else { self.by_symbols().await? };
        let Self { selection, found: mut series, .. } = self;
        if series.len() <= selection.limit {
            return Ok(SeriesPage { series, next: cut });
        }
        series.truncate(selection.limit);
        let next = series.last().map(|last| last.key.clone());
        Ok(SeriesPage { series, next })
    }

    /// Asks for each series that the wanted symbols may have. Returns where it was cut short.
    async fn by_symbols(&mut self) -> Result<Option<SeriesKey>, StoreError> {
        let mut timeframes: Vec<Timeframe> = self.selection.timeframe.map_or(Timeframe::ALL.into(), |one| vec![one]);
        timeframes.sort_unstable_by_key(|timeframe| timeframe.name());
        let of_symbol = |symbol: &Symbol| {
            let symbol = symbol.clone();
            timeframes.iter().map(move |&timeframe| SeriesKey { symbol: symbol.clone(), timeframe })
        };
        let is_wanted = |key: &SeriesKey| self.selection.after.as_ref().is_none_or(|after| key > after);
        let keys: Vec<_> = self.selection.symbols.iter().flat_map(of_symbol).filter(is_wanted).collect();
        let (mut rest, mut count) = (&*keys, self.hops());
        while !rest.is_empty() && !self.is_full() {
            let (asked, later) = rest.split_at(count.min(rest.len()));
            (rest, count) = (later, (2 * count).min(MAX_HOPS));
            self.ask(asked.to_vec()).await?;
            if self.is_spent() && !rest.is_empty() {
                return Ok(asked.last().cloned());
            }
        }
        Ok(None)
    }

    /// Follows the key from one series to the next. Returns where it was cut short.
    async fn along_the_key(&mut self) -> Result<Option<SeriesKey>, StoreError> {
        let mut position = self.selection.after.as_ref().map_or_else(Position::default, Position::after);
        let (mut rows, mut hops) = (self.wanted().clamp(MIN_ROWS, MAX_FIRST_ROWS), self.hops());
        let mut are_long = false;
        loop {
            let step =
                if are_long { self.hop(&mut position, hops).await? } else { self.scan(&mut position, rows).await? };
            if step.is_last || self.is_full() {
                return Ok(None);
            }
            self.examined += step.series;
            if self.is_spent() {
                if let Some(key) = position.key() {
                    return Ok(Some(key));
                }
                if self.began.elapsed() >= LIST_TIMEOUT {
                    return Err(StoreError::unavailable("listing its series took too long"));
                }
            }
            let candles_a_series = step.candles.div_ceil(step.series.max(1)).max(1);
            are_long = step.series == 0 || candles_a_series >= CANDLES_WORTH_A_HOP;
            // A little more than seems needed. Where few of the series are wanted, ever more are read at a time.
            let wanted = self.wanted() * candles_a_series;
            rows = (wanted + wanted / 8).max(2 * rows).min(MAX_ROWS);
            hops = (2 * hops).min(MAX_HOPS);
        }
    }

    /// Reads so many rows, and takes the series that end among them.
    async fn scan(&mut self, position: &mut Position, count: usize) -> Result<StepOutcome, StoreError> {
        let rows = either!(self.store, store => store.rows_after(position.clone(), count).await)?;
        let is_last = rows.len() < count;
        let mut series: Vec<&[SeriesRow]> = rows.chunk_by(|one, next| one.position == next.position).collect();
        if !is_last {
            series.pop();
        }
        for rows in &series {
            let key =
                rows[0].position.key().filter(|key| self.selection.timeframe.is_none_or(|it| it == key.timeframe));
            if let (Some(key), Some(sample)) = (key, Sample::of(rows)) {
                self.found.push(sample.describe(key));
            }
        }
        if let Some(last) = series.last() {
            *position = last[0].position.clone();
        }
        let candles = series.iter().map(|rows| rows.len()).sum();
        Ok(StepOutcome { series: series.len(), candles, is_last })
    }

    /// Hops over some series, and looks at those of them that are wanted.
    async fn hop(&mut self, position: &mut Position, hops: usize) -> Result<StepOutcome, StoreError> {
        let (series, keys, is_last) = if let Some(timeframe) = self.selection.timeframe {
            let symbols = either!(self.store, store => store.symbols_after(position.symbol.clone(), hops).await)?;
            let is_last = symbols.len() < hops;
            // Its series may still be to come in the symbol that was reached.
            let reached = std::mem::take(&mut position.symbol);
            let mut keys = Vec::new();
            for symbol in std::iter::once(&reached).chain(&symbols).filter_map(|symbol| parse_symbol(symbol)) {
                let key = SeriesKey { symbol, timeframe };
                let after = self.selection.after.as_ref();
                let is_behind = after.is_some_and(|after| after.symbol == key.symbol && key <= *after)
                    || self.found.last().is_some_and(|last| last.key == key);
                keys.extend((!is_behind).then_some(key));
            }
            position.symbol = symbols.last().cloned().unwrap_or(reached);
            position.timeframe = timeframe.name().into();
            (symbols.len(), keys, is_last)
        } else {
            let positions = self.store.keys_after(position.clone(), hops).await?;
            if let Some(last) = positions.last() {
                *position = last.clone();
            }
            let keys = positions.iter().filter_map(Position::key).collect();
            (positions.len(), keys, positions.len() < hops)
        };
        let candles = self.ask(keys).await?;
        Ok(StepOutcome { series, candles, is_last })
    }

    /// Looks at series, and returns how many candles were read.
    async fn ask(&mut self, keys: Vec<SeriesKey>) -> Result<usize, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let samples = either!(self.store, store => store.samples(keys.clone()).await)?;
        let candles = samples.iter().flatten().map(|sample| sample.digits.len()).sum();
        for (key, sample) in keys.into_iter().zip(samples) {
            self.found.extend(sample.map(|sample| sample.describe(key)));
        }
        Ok(candles)
    }

    /// One more than the limit tells whether there are more.
    fn wanted(&self) -> usize {
        (self.selection.limit + 1).saturating_sub(self.found.len())
    }

    /// The number of hops: as many as series are wanted.
    fn hops(&self) -> usize {
        self.wanted().clamp(MIN_HOPS, MAX_HOPS)
    }

    fn is_full(&self) -> bool {
        self.wanted() == 0
    }

    fn is_spent(&self) -> bool {
        self.examined >= MAX_EXAMINED_SERIES || self.began.elapsed() >= LIST_TIME_BUDGET
    }
}
