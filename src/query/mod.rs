//! Queries for candles and lists of series: their parameters ([`selection`], [`series`]), candles that are built from
//! shorter ones ([`resample`]), the encoding of answers ([`page`], [`compression`]), and the cache of these
//! ([`cache`]).

mod cache;
mod compression;
mod page;
mod resample;
mod selection;
mod series;

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use cache::{PageKey, Pages, Question};
use series::OutlierLog;

use crate::store::{Range, Reading, SeriesSelection, Store, StoreError};
use crate::telemetry::spans::spawn_blocking;
use crate::validation::FieldError;

pub use compression::Encoding;
pub use page::Page;
pub use resample::Resampling;
pub use selection::{DEFAULT_LIMIT, Selection};
pub use series::{MAX_SERIES, MAX_SYMBOLS};

/// Answers queries.
#[derive(Debug, Clone)]
pub struct Query {
    store: Store,
    max_limit: usize,
    pages: Pages,
    /// One permit per core, because each compression takes up to a megabyte of its own.
    compressing: Arc<Semaphore>,
    lists: Lists,
}

/// The state that lists of series share while they are read.
#[derive(Debug, Clone)]
struct Lists {
    /// The KiB that they may take together.
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
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Query {
    /// Reads from `store`, at most `max_limit` candles at a time.
    #[must_use]
    pub fn new(store: Store, max_limit: usize) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let lists = Lists { memory: Arc::new(Semaphore::new(LIST_MEMORY_KIB)), outliers: OutlierLog::default() };
        Self { store, max_limit, pages: Pages::default(), compressing: Arc::new(Semaphore::new(cores)), lists }
    }

    /// Removes stale pages from the cache. Never returns.
    pub(crate) async fn maintain(self) {
        self.pages.sweep().await;
    }

    /// Answers a query string for candles, from the cache if it holds a fresh page. See [`Selection::parse`] for its
    /// parameters.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn candles(&self, query: &str) -> Result<QueryAnswer, QueryError> {
        let arrived = Instant::now();
        let selection = Selection::parse(query, self.max_limit).map_err(QueryError::Invalid)?;
        // Taken before the read, so that a page from before a change is never cached under the version after it.
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
        let selection = series::parse(query).map_err(QueryError::Invalid)?;
        let series_version = self.store.series_version_of(&selection.symbols, selection.timeframe);
        let reading = self.store.reading_of(&selection.symbols, selection.timeframe);
        let list = || Box::pin(list(self.lists.clone(), self.store.clone(), selection.clone(), reading));
        let question = Question::Series(selection.clone());
        let key = PageKey { question, series_version, encoding: Encoding::Identity };
        let page = self.pages.get(&key, arrived, reading.as_of().min(arrived), list).await?;
        Ok(QueryAnswer { page, key, arrived })
    }
}

async fn read(store: Store, selection: Selection, reading: Reading) -> Result<Page, QueryError> {
    if let Some(resampling) = &selection.resampling {
        let built = resampling.read(&store, reading, &selection).await?;
        return Ok(Page::of_built(&selection, &built, reading.as_of()));
    }
    // One row more than asked for shows whether there are more.
    let range = Range { limit: selection.range.limit + 1, ..selection.range.clone() };
    Ok(Page::new(&selection, &store.range_from(reading, range).await?, reading.as_of()))
}

async fn list(lists: Lists, store: Store, selection: SeriesSelection, reading: Reading) -> Result<Page, QueryError> {
    let kib = u32::try_from(series::max_bytes(&selection).div_ceil(1024)).unwrap_or(u32::MAX);
    let busy = || StoreError::unavailable("too many lists of series are being read");
    let memory = timeout(LIST_MEMORY_TIMEOUT, lists.memory.acquire_many(kib)).await.ok().and_then(Result::ok);
    let _memory = memory.ok_or_else(busy)?;
    let list = store.series_from(reading, &selection).await?;
    lists.outliers.name(&list);
    Ok(series::page(&selection, &list, reading.as_of())?)
}

async fn compress(places: Arc<Semaphore>, page: Arc<Page>, encoding: Encoding) -> Result<Page, QueryError> {
    if page.body.len() <= MAX_INLINE_COMPRESSION_BYTES {
        return Ok(page.encoded(encoding)?);
    }
    let _place = places.acquire().await.map_err(StoreError::internal)?;
    Ok(spawn_blocking(move || page.encoded(encoding)).await.map_err(StoreError::internal)??)
}
