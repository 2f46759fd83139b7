//! Queries for candles, lists of series and the newest candles: their parameters ([`selection`], [`series`]), candles that are
//! built from shorter ones ([`resample`]), the encoding of answers ([`page`], [`latest`], [`compression`]), and their cache
//! ([`cache`]). [`freshness`] judges the age of the newest candles, [`export`] writes series as files, [`gaps`] finds their
//! gaps, [`statistics`] counts their candles, and [`udf`] answers TradingView charts.

mod cache;
mod compression;
mod export;
mod freshness;
mod gaps;
mod latest;
mod page;
mod resample;
mod selection;
mod series;
mod statistics;
mod udf;

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use cache::{PageKey, Pages, Question};
use calendar::Alignment;
use export::{ExportSelection, Exports};
use freshness::FreshnessSelection;
use gaps::{GapSelection, LearnedSessions};
use series::OutlierLog;
use statistics::Statistics;

use crate::clock::Clock;
use crate::config::Symbols;
use crate::store::{Range, Reading, SeriesKey, SeriesSelection, Store, StoreError};
use crate::telemetry::spans::spawn_blocking;
use crate::validation::FieldError;

pub use compression::Encoding;
pub use export::{Export, ExportError, FileFormat, FileName};
pub(crate) use freshness::Feed;
pub use freshness::{Freshness, Worst};
pub use gaps::GapsAnswer;
pub use page::Page;
pub(crate) use page::write_fields;
pub use resample::Resampling;
pub use selection::{DEFAULT_LIMIT, Selection};
pub(crate) use selection::{END_MILLISECOND, FIRST_MILLISECOND, Parameters, Refusal, parse_limit};
pub(crate) use series::parse_after as parse_series;
pub use series::{MAX_SERIES, MAX_SYMBOLS};
pub use udf::{UdfRoute, udf_failure};

/// Answers queries.
#[derive(Debug, Clone)]
pub struct Query {
    store: Store,
    clock: Clock,
    max_limit: usize,
    pages: Pages,
    /// One permit per core, because each compression takes up to a megabyte of its own.
    compressing: Arc<Semaphore>,
    lists: Lists,
    exports: Exports,
    learned: LearnedSessions,
    statistics: Statistics,
    /// The descriptions of symbols for charts.
    symbols: Arc<Symbols>,
}

/// The state that lists of series share while they are read.
#[derive(Debug, Clone)]
struct Lists {
    /// The KiB of memory that they may take together.
    memory: Arc<Semaphore>,
    outliers: OutlierLog,
}

/// The answer to a query.
#[derive(Debug)]
pub struct QueryAnswer {
    /// The page that was found.
    pub page: Arc<Page>,
    key: PageKey,
    arrived: Instant,
}

/// The maximum length of a page that is compressed by the worker of its request, in less time than a query takes.
const MAX_INLINE_COMPRESSION_BYTES: usize = 16 * 1024;

/// The memory of all lists of series that are being read, in KiB: that of two full lists with the longest symbols.
const LIST_MEMORY_KIB: usize = 16 * 1024;
/// The maximum time that a list of series waits for its part of [`LIST_MEMORY_KIB`].
const LIST_MEMORY_TIMEOUT: Duration = Duration::from_secs(4);

/// The reason for which a query was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// Its parameters break rules.
    #[error("the query is not valid: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<FieldError>),
    /// As many exports and reports as `MAX_EXPORTS` allows are being made.
    #[error("as many exports and reports are under way as MAX_EXPORTS ({0}) allows; try again once one has ended")]
    TooManyExports(usize),
    /// The weeks before the end of a range hold too few candles to learn from.
    #[error(
        "only {weeks} of the 26 weeks before the end hold candles, and a week is learned from {needed} at least; send \
         session=24x7, or the session in which the market trades"
    )]
    TooLittleHistory {
        /// The number of weeks with candles.
        weeks: u32,
        /// The minimum.
        needed: u32,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Query {
    /// Reads from `store`, at most `max_limit` candles at a time, and makes at most `max_exports` exports at once.
    #[must_use]
    pub fn new(store: Store, clock: Clock, max_limit: usize, max_exports: usize) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let exports = Exports::new(max_exports, max_limit);
        let lists = Lists { memory: Arc::new(Semaphore::new(LIST_MEMORY_KIB)), outliers: OutlierLog::default() };
        let compressing = Arc::new(Semaphore::new(cores));
        Self {
            store,
            clock,
            max_limit,
            pages: Pages::default(),
            compressing,
            lists,
            exports,
            learned: LearnedSessions::default(),
            statistics: Statistics::default(),
            symbols: Arc::default(),
        }
    }

    /// Removes stale pages from the cache, and counts the candles of series while clients ask for statistics. Never
    /// returns.
    pub(crate) async fn maintain(self) {
        tokio::join!(self.pages.sweep(), self.statistics.maintain(&self.store, &self.clock));
    }

    /// Answers a query string for candles, from the cache if it holds a fresh page. See [`Selection::parse`] for its
    /// parameters.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn candles(&self, query: &str) -> Result<QueryAnswer, QueryError> {
        let arrived = Instant::now();
        let selection = Selection::parse(query, self.max_limit).map_err(QueryError::Invalid)?;
        // The version is taken before the read, so that a page from before a change is never cached under the version
        // after it.
        let stored = selection.resampling.as_ref().map_or(selection.range.timeframe, |resampling| resampling.source);
        let series_version = self.store.series_version(&selection.range.symbol, stored);
        let reading = self.store.reading(&selection.range.symbol, stored);
        let read = || Box::pin(read(self.store.clone(), selection.clone(), reading));
        let question = Question::Candles(selection.clone());
        let key = PageKey { question, series_version, encoding: Encoding::Identity };
        let page = self.pages.get(&key, arrived, reading.as_of().min(arrived), read).await?;
        Ok(QueryAnswer { page, key, arrived })
    }

    /// Returns the page in another encoding. It is as old as the page that it is made from.
    ///
    /// # Errors
    /// When the compression fails.
    pub async fn encoded(&self, found: QueryAnswer, encoding: Encoding) -> Result<Arc<Page>, QueryError> {
        let QueryAnswer { page, key, arrived } = found;
        let key = PageKey { encoding, ..key };
        let compress = || Box::pin(compress(Arc::clone(&self.compressing), Arc::clone(&page), encoding));
        self.pages.get(&key, arrived, page.began, compress).await
    }

    /// Lists stored series, from the cache if it holds a fresh list. Writes of this process are visible at once if the
    /// query names symbols, and within a second if it does not.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn series(&self, query: &str) -> Result<QueryAnswer, QueryError> {
        let arrived = Instant::now();
        let (selection, statistics) = series::parse_with_statistics(query).map_err(QueryError::Invalid)?;
        if statistics {
            self.statistics.ask();
        }
        let series_version = self.store.series_version_of(&selection.symbols, selection.timeframe);
        let reading = self.store.reading_of(&selection.symbols, selection.timeframe);
        let counted = statistics.then(|| self.statistics.clone());
        let list = || {
            Box::pin(list_series(self.lists.clone(), self.store.clone(), selection.clone(), counted.clone(), reading))
        };
        let question = Question::Series { selection: selection.clone(), statistics };
        let key = PageKey { question, series_version, encoding: Encoding::Identity };
        let page = self.pages.get(&key, arrived, reading.as_of().min(arrived), list).await?;
        Ok(QueryAnswer { page, key, arrived })
    }

    /// Reads the newest candle of each series, from the cache if it holds a fresh list. It is as fresh as
    /// [`Self::series`].
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn latest(&self, query: &str) -> Result<QueryAnswer, QueryError> {
        let arrived = Instant::now();
        let selection = series::parse(query).map_err(QueryError::Invalid)?;
        let series_version = self.store.series_version_of(&selection.symbols, selection.timeframe);
        let reading = self.store.reading_of(&selection.symbols, selection.timeframe);
        let list = || Box::pin(list_latest(self.lists.clone(), self.store.clone(), selection.clone(), reading));
        let question = Question::Latest(selection.clone());
        let key = PageKey { question, series_version, encoding: Encoding::Identity };
        let page = self.pages.get(&key, arrived, reading.as_of().min(arrived), list).await?;
        Ok(QueryAnswer { page, key, arrived })
    }

    /// Begins to export what a query string selects.
    ///
    /// # Errors
    /// When the parameters are invalid, or too many exports are under way.
    pub fn export(&self, query: &str, format: FileFormat, encoding: Encoding) -> Result<Export, QueryError> {
        let selection = ExportSelection::parse(query, format).map_err(QueryError::Invalid)?;
        self.exports.begin(self.store.clone(), selection, encoding)
    }

    /// Reports the gaps of what a query string selects.
    ///
    /// # Errors
    /// When the parameters are invalid, too many exports and reports are under way, there is too little history to learn
    /// from, or the store cannot be read.
    pub async fn gaps(&self, query: &str) -> Result<GapsAnswer, QueryError> {
        let selection = GapSelection::parse(query).map_err(QueryError::Invalid)?;
        let _place = self.exports.place()?;
        gaps::report(&self.store, selection, self.exports.page_candles()).await
    }

    /// Judges whether every series that a query string selects received a candle a short time ago.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn freshness(&self, query: &str) -> Result<Freshness, QueryError> {
        let asked = freshness::parse(query).map_err(QueryError::Invalid)?;
        if let Some(series) = &asked.of_session {
            return self.session_freshness(&asked, series).await;
        }
        let mut selection = asked.selection.clone();
        let mut ages = freshness::Ages::default();
        let _memory = self.lists.reserve(latest::max_bytes(&selection)).await?;
        loop {
            let page = self.store.latest(&selection).await?;
            let now = self.clock.now();
            page.candles.iter().for_each(|candle| ages.add(candle, now));
            match page.next {
                Some(_) => selection.after = page.next,
                None => return Ok(ages.judge(asked.max_age)),
            }
        }
    }
}

impl Query {
    /// Judges the feed of a series: it is stale if the trading time since its newest candle was stored exceeds `stale_after`.
    /// Trading time is the time in which the series' learned week expects candles, or all time while there is too little
    /// history to learn from.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn feed(&self, key: &SeriesKey, stale_after: Duration) -> Result<Feed, QueryError> {
        let symbols = vec![key.symbol.clone()];
        let selection = SeriesSelection { symbols, timeframe: Some(key.timeframe), after: None, limit: 1 };
        let latest = self.store.latest(&selection).await?;
        let Some(candle) = latest.candles.first() else { return Ok(Feed { received: None, is_stale: true }) };
        let (received, now) = (freshness::received(candle), self.clock.now().millis());
        let limit = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
        let is_stale = now - received > limit && self.trading_time(key, (received, now), limit).await? > limit;
        Ok(Feed { received: Some(received), is_stale })
    }

    /// The milliseconds of trading time between two instants. Stops counting beyond `enough`.
    async fn trading_time(&self, key: &SeriesKey, span: (i64, i64), enough: i64) -> Result<i64, QueryError> {
        let (since, until) = span;
        let zone = Alignment::parse(gaps::DEFAULT_ZONE).map_err(StoreError::internal)?;
        if key.timeframe.length().is_none() {
            return Ok(until - since);
        }
        match self.learned.of(&self.store, (key, &zone), until, self.exports.page_candles()).await {
            Ok(session) => Ok(session.expected_time(since, until, enough)),
            Err(QueryError::TooLittleHistory { .. }) => Ok(until - since),
            Err(error) => Err(error),
        }
    }

    /// Judges a series by the time in which its learned week expects candles.
    async fn session_freshness(
        &self,
        asked: &FreshnessSelection,
        (key, zone): &(SeriesKey, Alignment),
    ) -> Result<Freshness, QueryError> {
        let latest = self.store.latest(&asked.selection).await?;
        let Some(candle) = latest.candles.first() else { return Ok(Freshness::Empty {}) };
        let now = self.clock.now().millis();
        let session = self.learned.of(&self.store, (key, zone), now, self.exports.page_candles()).await?;
        let since = freshness::received(candle);
        let age = session.expected_time(since, now, asked.max_age * 1000) / 1000;
        Ok(freshness::judge_session(key, age, asked.max_age, session.is_open(now)))
    }
}

impl Lists {
    /// Waits for a part of the memory that lists may take together.
    async fn reserve(&self, bytes: usize) -> Result<SemaphorePermit<'_>, StoreError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let memory = timeout(LIST_MEMORY_TIMEOUT, self.memory.acquire_many(kib)).await.ok().and_then(Result::ok);
        memory.ok_or_else(|| StoreError::unavailable("too many lists of series are being read"))
    }
}

async fn read(store: Store, selection: Selection, reading: Reading) -> Result<Page, QueryError> {
    if let Some(resampling) = &selection.resampling {
        let built = resampling.read(&store, reading, &selection.range).await?;
        return Ok(Page::of_built(&selection, &built, reading.as_of()));
    }
    // One row more than requested shows whether there are more.
    let range = Range { limit: selection.range.limit + 1, ..selection.range.clone() };
    Ok(Page::new(&selection, &store.range_from(reading, range).await?, reading.as_of()))
}

async fn list_series(
    lists: Lists,
    store: Store,
    selection: SeriesSelection,
    statistics: Option<Statistics>,
    reading: Reading,
) -> Result<Page, QueryError> {
    let of_statistics = statistics.as_ref().map_or(0, |_| series::MAX_STATISTICS_BYTES);
    let of_series = series::max_series(&selection) * series::MAX_BYTES_A_SERIES;
    let _memory = lists.reserve(of_series + of_statistics).await?;
    let list = store.series_from(reading, &selection).await?;
    lists.outliers.name(&list);
    Ok(series::page(&selection, &list, statistics.as_ref(), reading.as_of())?)
}

async fn list_latest(
    lists: Lists,
    store: Store,
    selection: SeriesSelection,
    reading: Reading,
) -> Result<Page, QueryError> {
    let _memory = lists.reserve(latest::max_bytes(&selection)).await?;
    let list = store.latest_from(reading, &selection).await?;
    Ok(latest::page(&selection, &list, reading.as_of())?)
}

async fn compress(places: Arc<Semaphore>, page: Arc<Page>, encoding: Encoding) -> Result<Page, QueryError> {
    if page.body.len() <= MAX_INLINE_COMPRESSION_BYTES {
        return Ok(page.encoded(encoding)?);
    }
    let _place = places.acquire().await.map_err(StoreError::internal)?;
    Ok(spawn_blocking(move || page.encoded(encoding)).await.map_err(StoreError::internal)??)
}
