//! The columns of a series: stored decimals become doubles once, on loading.
//!
//! Candles come first: columns are read in pages on at most one connection, and the next page waits while all connections of the
//! store are in use. Loaded columns stay in memory for as long as pages do, so that processes that share a database agree.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use research::{Bars, Columns as Prices, Market, TickGrid};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::requests::SeriesRequest;
use super::{ResearchError, Threads};
use crate::query::FIRST_MILLISECOND;
use crate::store::{Direction, PoolUse, Range, Reading, SeriesKey, SeriesVersion, Store, StoreError, StoredCandles};

/// The number of candles of a page.
const PAGE_CANDLES: usize = 10_000;
/// The pause between two checks whether the store has a free connection, and the maximum number of pauses, after
/// which a page is read all the same.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
const MAX_BUSY_PAUSES: u32 = 100;
/// The time for which columns answer requests. It is that of the page cache.
const COLUMNS_TTL: Duration = Duration::from_secs(1);
/// The interval at which columns that are too old are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The bytes of a bar: six columns of eight bytes, and its part of the days.
const BAR_BYTES: u64 = 56;
/// The bytes that an entry takes besides its bars.
const ENTRY_BYTES: u64 = 512;

/// The columns to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ColumnsRequest {
    pub(crate) series: SeriesRequest,
    /// The first opening time to trade, and the first one not to trade any more, in epoch milliseconds.
    pub(crate) span: (i64, i64),
    /// The number of candles to read before them.
    pub(crate) warm_up: usize,
    /// The maximum number of candles to read.
    pub(crate) max_bars: usize,
}

/// The bars of a series, and the position of the first one to trade.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) market: Arc<Market>,
    pub(crate) first: usize,
}

impl Loaded {
    /// The bytes of its bars in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.market.len() as u64 * BAR_BYTES
    }
}

/// Reads columns. Clones share what is in memory.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    store: Store,
    /// Computes the doubles of a page; `None` on the thread that reads, in a command.
    threads: Option<Threads>,
    /// One permit, so that research takes one connection at most.
    connection: Arc<Semaphore>,
    kept: Kept,
}

/// Columns in memory, by request and version of the series, so that they are read again after a write.
#[derive(Clone)]
struct Kept(Arc<Cache<ColumnsKey, Entry, Weight>>);

type ColumnsKey = (ColumnsRequest, SeriesVersion);

#[derive(Debug, Clone)]
struct Entry {
    /// The columns hold everything that was stored before this time.
    began: Instant,
    loaded: Loaded,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<ColumnsKey, Entry> for Weight {
    fn weight(&self, _: &ColumnsKey, entry: &Entry) -> u64 {
        entry.loaded.bytes() + ENTRY_BYTES
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("entries", &self.0.len()).field("bytes", &self.0.weight()).finish()
    }
}

impl Columns {
    /// Reads from `store`, and keeps at most `max_bytes` in memory.
    pub(crate) fn new(store: Store, threads: Threads, max_bytes: u64) -> Self {
        Self { threads: Some(threads), ..Self::keeping(store, max_bytes) }
    }

    /// Reads from `store` for a command, which has no threads of its own and asks once.
    pub(crate) fn for_command(store: Store) -> Self {
        Self::keeping(store, 0)
    }

    fn keeping(store: Store, max_bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(256)
            // One shard, because each shard gets a part of the capacity, which must hold the longest series.
            .shards(1)
            .build();
        let options = options.expect("both capacities are given");
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let kept = Kept(Arc::new(Cache::with_options(options, Weight, hash, lifecycle)));
        Self { store, threads: None, connection: Arc::new(Semaphore::new(1)), kept }
    }

    /// Removes columns that are too old to answer a request. Never returns.
    pub(crate) async fn sweep(&self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            let now = Instant::now();
            self.kept.0.retain(|_, entry| entry.began + COLUMNS_TTL >= now);
        }
    }

    /// The closed candles that opened within the span, and up to `warm_up` before them.
    ///
    /// # Errors
    /// [`ResearchError::UnknownSeries`] if nothing is stored, [`ResearchError::TooManyCandles`] if there are more than `max_bars`,
    /// [`ResearchError::UnusableCandle`] if a stored row is not a candle, and when the store cannot be read.
    pub(crate) async fn load(&self, request: ColumnsRequest) -> Result<Loaded, ResearchError> {
        let arrived = Instant::now();
        let (symbol, stored) = (request.series.key.symbol.clone(), request.series.stored());
        // The version is taken before the read, so that columns from before a change are never kept under the version
        // after it.
        let key = (request, self.store.series_version(&symbol, stored));
        if let Some(entry) = self.kept.0.get(&key).filter(|entry| entry.began + COLUMNS_TTL >= arrived) {
            return Ok(entry.loaded);
        }
        let reading = self.store.reading(&symbol, stored);
        let loaded = self.read(&key.0, reading).await?;
        let began = reading.as_of().min(arrived);
        self.kept.0.insert(key, Entry { began, loaded: loaded.clone() });
        Ok(loaded)
    }

    async fn read(&self, request: &ColumnsRequest, reading: Reading) -> Result<Loaded, ResearchError> {
        let (start, end) = request.span;
        let mut pages = Vec::new();
        let (mut before, mut missing) = (start, request.warm_up);
        while missing > 0 && before > FIRST_MILLISECOND {
            let limit = missing.min(PAGE_CANDLES);
            let page = self.page(request, reading, (FIRST_MILLISECOND, before), Direction::Descending, limit).await?;
            let is_last = !page.more;
            before = page.first_row.unwrap_or(before);
            missing -= page.prices.time.len().min(missing);
            pages.push(page);
            if is_last {
                break;
            }
        }
        let mut all = Page::default();
        pages.into_iter().rev().for_each(|page| all.append(page));
        let first = all.prices.time.len();
        let mut from = start;
        while from < end {
            let page = self.page(request, reading, (from, end), Direction::Ascending, PAGE_CANDLES).await?;
            let (more, last) = (page.more, page.last_row);
            all.append(page);
            if all.prices.time.len() > request.max_bars {
                return Err(ResearchError::TooManyCandles(request.max_bars));
            }
            match last {
                Some(last) if more => from = last + 1,
                _ => break,
            }
        }
        if all.prices.time.is_empty() && self.is_unknown(request, reading).await? {
            return Err(ResearchError::UnknownSeries(request.series.key.clone()));
        }
        let period = request.series.key.timeframe.length().map(|seconds| seconds * 1000);
        let key = request.series.key.clone();
        let market = self.compute(move || market(all, period, key)).await??;
        Ok(Loaded { market: Arc::new(market), first })
    }

    /// True if nothing at all is stored of a series.
    async fn is_unknown(&self, request: &ColumnsRequest, reading: Reading) -> Result<bool, ResearchError> {
        let series = &request.series;
        let range = Range {
            symbol: series.key.symbol.clone(),
            timeframe: series.stored(),
            start: FIRST_MILLISECOND,
            end: crate::query::END_MILLISECOND,
            direction: Direction::Descending,
            limit: 1,
        };
        Ok(self.store.range_from(reading, range).await?.is_empty())
    }

    /// Reads one page of rows.
    async fn page(
        &self,
        request: &ColumnsRequest,
        reading: Reading,
        (start, end): (i64, i64),
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ResearchError> {
        let key = &request.series.key;
        let range = Range { symbol: key.symbol.clone(), timeframe: key.timeframe, start, end, direction, limit };
        let (candles, more) = {
            let _connection = self.connection.acquire().await.map_err(StoreError::internal)?;
            self.let_others_go_first().await;
            if let Some(resampling) = &request.series.resampling {
                let built = resampling.read(&self.store, reading, &range).await?;
                (built.candles, built.more)
            } else {
                let candles = self.store.range_from(reading, range).await?;
                let is_full = candles.len() == limit;
                (candles, is_full)
            }
        };
        self.compute(move || Page::of(&candles, more)).await
    }

    /// Waits while all connections of the store are in use, up to the maximum number of pauses.
    async fn let_others_go_first(&self) {
        for _ in 0..MAX_BUSY_PAUSES {
            let PoolUse { open, idle, max } = self.store.pool_use();
            if idle > 0 || open < max {
                break;
            }
            sleep(BUSY_PAUSE).await;
        }
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ResearchError> {
        match &self.threads {
            Some(threads) => threads.run(work).await,
            None => Ok(work()),
        }
    }
}

fn market(page: Page, period: Option<i64>, series: SeriesKey) -> Result<Market, ResearchError> {
    let grid = TickGrid::of_digits(page.digits.min(TickGrid::MAX_DIGITS));
    let bars = grid.and_then(|grid| Bars::new(page.prices, grid, period));
    let bars = bars.map_err(|error| match error.fault() {
        // Other programs may write rows of numbers that are not candles, which pages return as they are.
        Some((millis, fault)) => {
            let time = candle::format_millis(millis).unwrap_or_else(|| millis.to_string());
            ResearchError::UnusableCandle { series, time, fault }
        }
        None => StoreError::internal(error.to_string()).into(),
    })?;
    Ok(Market::new(bars, None))
}

/// Columns that are being read.
#[derive(Debug, Default)]
struct Page {
    prices: Prices,
    /// The maximum number of digits behind the point so far.
    digits: u8,
    first_row: Option<i64>,
    last_row: Option<i64>,
    /// True if there may be more rows in the direction of reading.
    more: bool,
}

impl Page {
    fn of(candles: &StoredCandles, more: bool) -> Self {
        let (first_row, last_row) = (candles.time(0), candles.time(candles.len().saturating_sub(1)));
        let mut page = Self { first_row, last_row, more, ..Self::default() };
        for candle in candles.range(0..candles.len()).filter(|candle| candle.closed) {
            let [open, high, low, close] = candle.prices.map(|price| price.parse::<f64>().unwrap_or(f64::NAN));
            for price in candle.prices {
                let digits = price.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                page.digits = page.digits.max(u8::try_from(digits).unwrap_or(u8::MAX));
            }
            page.prices.time.push(candle.time);
            page.prices.open.push(open);
            page.prices.high.push(high);
            page.prices.low.push(low);
            page.prices.close.push(close);
            #[expect(clippy::cast_precision_loss, reason = "volumes of markets are below 2^53")]
            page.prices.volume.push(candle.volume as f64);
        }
        page
    }

    fn append(&mut self, mut later: Self) {
        let (own, other) = (&mut self.prices, &mut later.prices);
        own.time.append(&mut other.time);
        own.open.append(&mut other.open);
        own.high.append(&mut other.high);
        own.low.append(&mut other.low);
        own.close.append(&mut other.close);
        own.volume.append(&mut other.volume);
        self.digits = self.digits.max(later.digits);
    }
}
