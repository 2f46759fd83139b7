//! The catalogue of series: their names, their first and last times, and their number of decimal places.
//!
//! A list is read in steps of a bounded number of rows, so that no statement takes long, and reading ends once nobody
//! waits for the list any more. If series are short, a step reads the key row by row. If they are long, it hops from
//! one series to the next and reads both ends of each.

use std::time::{Duration, Instant};

use super::precision::{self, Outliers, SAMPLE_CANDLES};
use super::reading::{ReadServer, Reading};
use super::{Database, Store, StoreError};
use candle::{Symbol, Timeframe};

/// The first millisecond of the year 1 and of the year 10000. Requests reach only candles between them.
pub(super) const FIRST_TIME_MILLISECONDS: i64 = -62_135_596_800_000;
pub(super) const END_TIME_MILLISECONDS: i64 = 253_402_300_800_000;

/// A list ends early, and returns the place to go on from, once this number of series was examined or this much time
/// has passed, because a filter that hardly any series matches must not cost more than any other list.
pub(super) const MAX_EXAMINED_SERIES: usize = 20_000;
pub(super) const LIST_TIME_BUDGET: Duration = Duration::from_secs(2);
/// The deadline of a list that cannot end early, because since [`LIST_TIME_BUDGET`] it has found only series that a
/// request cannot name as the place to go on from.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(4);

/// The number of rows of a step that reads the key row by row. The first step finds out how long the series are.
const MIN_ROWS: usize = 64;
const MAX_FIRST_ROWS: usize = 1_000;
const MAX_ROWS: usize = 12_000;
/// The number of series of a step that hops.
pub(super) const MIN_HOPS: usize = 8;
pub(super) const MAX_HOPS: usize = 500;
/// The length of a series from which hopping costs less than reading every row (measured on both stores).
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

impl SeriesKey {
    /// The series of stored texts, if a request can name it.
    pub(super) fn of_text(symbol: &str, timeframe: &str) -> Option<Self> {
        Some(Self { symbol: Symbol::parse(symbol).ok()?, timeframe: Timeframe::named(timeframe)? })
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
    /// The instruments of the series, ascending, each once. If this is empty, series of all instruments are listed.
    pub symbols: Vec<Symbol>,
    /// The period of the series, if only one is listed.
    pub timeframe: Option<Timeframe>,
    /// The series after which the list begins. It need not be stored.
    pub after: Option<SeriesKey>,
    /// The maximum number of series to return, at least 1.
    pub limit: usize,
}

impl SeriesSelection {
    /// The series that the named symbols may have after the place where the list begins, in the order of the key.
    pub(super) fn keys(&self) -> Vec<SeriesKey> {
        let mut timeframes: Vec<Timeframe> = self.timeframe.map_or(Timeframe::ALL.into(), |one| vec![one]);
        timeframes.sort_unstable_by_key(|timeframe| timeframe.name());
        let of_symbol = |symbol: &Symbol| {
            let symbol = symbol.clone();
            timeframes.iter().map(move |&timeframe| SeriesKey { symbol: symbol.clone(), timeframe })
        };
        let is_wanted = |key: &SeriesKey| self.after.as_ref().is_none_or(|after| key > after);
        self.symbols.iter().flat_map(of_symbol).filter(is_wanted).collect()
    }
}

/// A series, described by its closed candles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub key: SeriesKey,
    /// Opening time of the oldest candle in epoch milliseconds.
    pub first: i64,
    /// Opening time of the newest candle in epoch milliseconds.
    pub last: i64,
    /// The number of decimal places that nearly all of the newest candles need.
    pub price_precision: u32,
    /// The newest candles that need more, if there are any.
    pub outliers: Option<Outliers>,
}

/// A part of the catalogue in the order of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesPage {
    /// The series.
    pub series: Vec<Series>,
    /// The place to go on from, if there may be more series. There may be more even if this page has fewer than the
    /// limit.
    pub next: Option<SeriesKey>,
}

/// A place in the order of the key: after the last candle of a series. In a table that other programs write, a request
/// may not be able to name that series.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    pub(super) symbol: Vec<u8>,
    pub(super) timeframe: Vec<u8>,
}

impl Position {
    pub(super) fn after(key: &SeriesKey) -> Self {
        let SeriesKey { symbol, timeframe } = key;
        Self { symbol: symbol.as_str().into(), timeframe: timeframe.name().into() }
    }

    /// The series, if a request can name it.
    pub(super) fn key(&self) -> Option<SeriesKey> {
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
    /// In epoch milliseconds; `None` if the time is infinite.
    pub(super) time: Option<i64>,
    /// The maximum number of decimal places among its prices; `None` if one of them is not a price, in which case pages
    /// leave the row out.
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
    /// Lists the series that have closed candles, ordered by the bytes of symbol and timeframe. In an adopted table,
    /// the order is that of the key's index, unless `selection` names symbols.
    ///
    /// Reads in steps, and begins no further step once the caller stops waiting.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn series(&self, selection: &SeriesSelection) -> Result<SeriesPage, StoreError> {
        self.series_from(Reading::from_primary(), selection).await
    }

    /// Like [`Self::series`], but reads where `reading` says.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn series_from(&self, reading: Reading, selection: &SeriesSelection) -> Result<SeriesPage, StoreError> {
        self.measured("series", Walk::new(self, reading.server, selection).run()).await
    }

    /// Visits the name of every series that has closed candles, where `reading` says.
    ///
    /// Reads in steps, and begins no further step once the caller stops waiting.
    ///
    /// # Errors
    /// When the database cannot be read, or has more series than can be visited in time.
    pub async fn visit_keys(
        &self,
        reading: Reading,
        mut visit: impl FnMut(SeriesKey) + Send,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let walk = async {
            let mut position = Position::default();
            loop {
                let positions = self.keys_after(reading.server, position, MAX_HOPS).await?;
                positions.iter().filter_map(Position::key).for_each(&mut visit);
                match positions.into_iter().nth(MAX_HOPS - 1) {
                    Some(last) if began.elapsed() < LIST_TIMEOUT => position = last,
                    Some(_) => return Err(StoreError::unavailable("visiting the names of its series took too long")),
                    None => return Ok(()),
                }
            }
        };
        self.measured("keys", walk).await
    }

    /// Reads the names of the series after a place, at most `most`. If there are fewer, these are the last ones.
    pub(super) async fn keys_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<Position>, StoreError> {
        match &self.database {
            Database::Postgres(postgres) => postgres.keys_after(server, position, most).await,
            Database::Sqlite(sqlite) => sqlite.keys_after(position, most).await,
        }
    }
}

/// The outcome of a step.
struct StepOutcome {
    /// The number of series that it examined.
    series: usize,
    /// The number of their candles that it read.
    candles: usize,
    /// True if no series follows them.
    is_last: bool,
}

/// A walk through the catalogue.
struct Walk<'a> {
    store: &'a Store,
    server: ReadServer,
    selection: &'a SeriesSelection,
    found: Vec<Series>,
    examined: usize,
    began: Instant,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store, server: ReadServer, selection: &'a SeriesSelection) -> Self {
        Self { store, server, selection, found: Vec::new(), examined: 0, began: Instant::now() }
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

    /// Looks up each series that the wanted symbols may have. Returns the place to go on from if it ends early.
    async fn by_symbols(&mut self) -> Result<Option<SeriesKey>, StoreError> {
        let keys = self.selection.keys();
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

    /// Follows the key from one series to the next. Returns the place to go on from if it ends early.
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
            // A little more than is probably needed. If few of the series are wanted, each step reads more than the one
            // before.
            let wanted = self.wanted() * candles_a_series;
            rows = (wanted + wanted / 8).max(2 * rows).min(MAX_ROWS);
            hops = (2 * hops).min(MAX_HOPS);
        }
    }

    /// Reads `count` rows, and takes the series that end among them.
    async fn scan(&mut self, position: &mut Position, count: usize) -> Result<StepOutcome, StoreError> {
        let rows = match &self.store.database {
            Database::Postgres(postgres) => postgres.rows_after(self.server, position.clone(), count).await?,
            Database::Sqlite(sqlite) => sqlite.rows_after(position.clone(), count).await?,
        };
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

    /// Hops over some series, and reads the candles of those that are wanted.
    async fn hop(&mut self, position: &mut Position, hops: usize) -> Result<StepOutcome, StoreError> {
        let (series, keys, is_last) = if let Some(timeframe) = self.selection.timeframe {
            let symbols = match &self.store.database {
                Database::Postgres(postgres) => {
                    postgres.symbols_after(self.server, position.symbol.clone(), hops).await?
                }
                Database::Sqlite(sqlite) => sqlite.symbols_after(position.symbol.clone(), hops).await?,
            };
            let is_last = symbols.len() < hops;
            // The wanted series of the symbol that was reached may still follow.
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
            let positions = self.store.keys_after(self.server, position.clone(), hops).await?;
            if let Some(last) = positions.last() {
                *position = last.clone();
            }
            let keys = positions.iter().filter_map(Position::key).collect();
            (positions.len(), keys, positions.len() < hops)
        };
        let candles = self.ask(keys).await?;
        Ok(StepOutcome { series, candles, is_last })
    }

    /// Reads samples of series, and returns the number of candles that were read.
    async fn ask(&mut self, keys: Vec<SeriesKey>) -> Result<usize, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let samples = match &self.store.database {
            Database::Postgres(postgres) => postgres.samples(self.server, keys.clone()).await?,
            Database::Sqlite(sqlite) => sqlite.samples(keys.clone()).await?,
        };
        let candles = samples.iter().flatten().map(|sample| sample.digits.len()).sum();
        for (key, sample) in keys.into_iter().zip(samples) {
            self.found.extend(sample.map(|sample| sample.describe(key)));
        }
        Ok(candles)
    }

    /// The number of series that are still wanted: one more than the limit, which shows whether there are more.
    fn wanted(&self) -> usize {
        (self.selection.limit + 1).saturating_sub(self.found.len())
    }

    /// The number of hops: one for each series that is wanted, within the bounds.
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
