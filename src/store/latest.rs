//! The newest candle of each series, closed or forming, read in steps as lists of series are ([`super::series`]).

use std::time::Instant;

use super::reading::{ReadServer, Reading};
use super::series::{
    LIST_TIME_BUDGET, LIST_TIMEOUT, MAX_EXAMINED_SERIES, MAX_HOPS, MIN_HOPS, Position, SeriesKey, SeriesSelection,
};
use super::{Database, Store, StoreError, StoredCandle, StoredCandles};
use crate::errors::chain;
use candle::Timeframe;
use tracing::debug;

/// The newest candle of a series.
#[derive(Debug, Clone)]
pub struct LatestCandle {
    /// The series.
    pub key: SeriesKey,
    /// The one row. Without a candle, if the newest row is not one.
    row: StoredCandles,
    /// The time at which it was stored, in epoch milliseconds; `None` in an adopted table that does not keep it.
    pub received: Option<i64>,
}

impl LatestCandle {
    /// The candle; `None` if the newest row of the series is not a candle.
    #[must_use]
    pub fn candle(&self) -> Option<StoredCandle<'_>> {
        self.row.range(0..self.row.len()).next()
    }

    /// The opening time of the newest row, in epoch milliseconds.
    #[must_use]
    pub fn opened(&self) -> i64 {
        self.row.time(0).unwrap_or_default()
    }
}

/// A part of the newest candles, in the order of their series.
#[derive(Debug, Clone, Default)]
pub struct LatestPage {
    /// One candle for each series.
    pub candles: Vec<LatestCandle>,
    /// The place to go on from, if there may be more series. There may be more even if this page has fewer than the
    /// limit.
    pub next: Option<SeriesKey>,
}

/// A series and its newest row.
#[derive(Debug)]
pub(super) struct LatestRow {
    pub(super) position: Position,
    /// The opening time in epoch milliseconds and the line of the row, as [`StoredCandles::parse`] takes them.
    pub(super) newest: Option<(i64, String)>,
    /// In epoch milliseconds.
    pub(super) received: Option<i64>,
}

impl LatestRow {
    /// The candle, if a request can name the series and it has a row in the years that requests reach.
    fn candle(self) -> Option<LatestCandle> {
        let key = self.position.key()?;
        let (time, line) = self.newest?;
        match StoredCandles::parse([time].into_iter(), line) {
            Ok(row) => Some(LatestCandle { key, row, received: self.received }),
            Err(error) => {
                debug!(cause = chain(&error).to_string(), "left out a newest row of more than one line");
                None
            }
        }
    }
}

impl Store {
    /// Reads the newest candle of each series that `selection` selects, forming ones included, ordered as
    /// [`Self::series`] orders the series. Logs each newest row that is not a candle, once.
    ///
    /// Reads in steps, and begins no further step once the caller stops waiting.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn latest(&self, selection: &SeriesSelection) -> Result<LatestPage, StoreError> {
        self.latest_from(Reading::from_primary(), selection).await
    }

    /// Like [`Self::latest`], but reads where `reading` says.
    ///
    /// # Errors
    /// As [`Self::latest`].
    pub async fn latest_from(&self, reading: Reading, selection: &SeriesSelection) -> Result<LatestPage, StoreError> {
        let server = reading.server;
        let walk = LatestWalk { store: self, server, selection, found: Vec::new(), examined: 0, began: Instant::now() };
        let page = self.measured("latest", walk.run()).await?;
        for LatestCandle { key, row, .. } in &page.candles {
            self.unreadable.report(&key.symbol, key.timeframe, row.unreadable());
        }
        Ok(page)
    }
}

/// A walk through the series of both tables.
struct LatestWalk<'a> {
    store: &'a Store,
    server: ReadServer,
    selection: &'a SeriesSelection,
    found: Vec<LatestCandle>,
    examined: usize,
    began: Instant,
}

impl LatestWalk<'_> {
    async fn run(mut self) -> Result<LatestPage, StoreError> {
        let cut =
            if self.selection.symbols.is_empty() { self.along_the_key().await? } else { self.by_symbols().await? };
        let Self { selection, found: mut candles, .. } = self;
        if candles.len() <= selection.limit {
            return Ok(LatestPage { candles, next: cut });
        }
        candles.truncate(selection.limit);
        let next = candles.last().map(|last| last.key.clone());
        Ok(LatestPage { candles, next })
    }

    /// Looks up each series that the wanted symbols may have. Returns the place to go on from if it ends early.
    async fn by_symbols(&mut self) -> Result<Option<SeriesKey>, StoreError> {
        let keys = self.selection.keys();
        let mut steps = keys.chunks(MAX_HOPS).peekable();
        while let Some(keys) = steps.next() {
            let rows = match &self.store.database {
                Database::Postgres(postgres) => postgres.latest_of(self.server, keys.to_vec()).await?,
                Database::Sqlite(sqlite) => sqlite.latest_of(keys.to_vec()).await?,
            };
            self.found.extend(rows.into_iter().filter_map(LatestRow::candle));
            if self.wanted() == 0 {
                return Ok(None);
            }
            if self.began.elapsed() >= LIST_TIME_BUDGET && steps.peek().is_some() {
                return Ok(keys.last().cloned());
            }
        }
        Ok(None)
    }

    /// Follows the keys of both tables from one series to the next. Returns the place to go on from if it ends early.
    async fn along_the_key(&mut self) -> Result<Option<SeriesKey>, StoreError> {
        let mut position = self.selection.after.as_ref().map_or_else(Position::default, Position::after);
        let mut hops = self.wanted().clamp(MIN_HOPS, MAX_HOPS);
        loop {
            let rows = match &self.store.database {
                Database::Postgres(postgres) => postgres.latest_after(self.server, position.clone(), hops).await?,
                Database::Sqlite(sqlite) => sqlite.latest_after(position.clone(), hops).await?,
            };
            let is_last = rows.len() < hops;
            self.examined += rows.len();
            if let Some(last) = rows.last() {
                position = last.position.clone();
            }
            let of = |timeframe: Timeframe| self.selection.timeframe.is_none_or(|wanted| wanted == timeframe);
            let candles = rows.into_iter().filter_map(LatestRow::candle).filter(|candle| of(candle.key.timeframe));
            self.found.extend(candles);
            if is_last || self.wanted() == 0 {
                return Ok(None);
            }
            if self.examined >= MAX_EXAMINED_SERIES || self.began.elapsed() >= LIST_TIME_BUDGET {
                if let Some(key) = position.key() {
                    return Ok(Some(key));
                }
                if self.began.elapsed() >= LIST_TIMEOUT {
                    return Err(StoreError::unavailable("reading the newest candles of its series took too long"));
                }
            }
            hops = (2 * hops).min(MAX_HOPS);
        }
    }

    /// The number of series that are still wanted: one more than the limit, which shows whether there are more.
    fn wanted(&self) -> usize {
        (self.selection.limit + 1).saturating_sub(self.found.len())
    }
}
