//! Cache of pages, none older than [`PAGE_TTL`], so that processes that share a database agree within that time
//! without communication. Writes of this process are visible at once, because the version of the series is part of a
//! page's key.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::udf::UdfQuestion;
use super::{Encoding, Page, QueryError, Selection};
use crate::detach_on_drop::detach_on_drop;
use crate::store::{SeriesSelection, SeriesVersion, StoreError};
use crate::telemetry::panic_text;

/// The TTL of a page. A page answers requests that arrive up to this long after its read began.
const PAGE_TTL: Duration = Duration::from_secs(1);
/// The interval at which stale pages are removed. A page that is not requested again stays for at most twice this
/// time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of bytes of cached pages and lists of series: 160 pages of 1,000 candles, because hardly more
/// series are viewed within one second. It is an eighth of the memory that the whole service may take.
const CACHE_CAPACITY_BYTES: u64 = 16 * 1024 * 1024;
/// The maximum number of bytes of a cached page, because a larger page would evict many others. 10,000 candles take
/// half of it.
const MAX_ENTRY_BYTES: u64 = CACHE_CAPACITY_BYTES / 8;
/// The bytes that an entry takes besides its page: key, headers, and the table's part.
const ENTRY_OVERHEAD_BYTES: u64 = 1024;

/// Pages by their key. Clones share them.
#[derive(Clone)]
pub(super) struct Pages(Arc<Cache<PageKey, CacheEntry, Weight>>);

/// The key of a page. It holds the version of the series, so a change to a series invalidates its pages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) question: Question,
    pub(super) series_version: SeriesVersion,
    pub(super) encoding: Encoding,
}

/// The subject of a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Candles of one series.
    Candles(Selection),
    /// Series of the catalogue.
    Series {
        selection: SeriesSelection,
        /// True if the answer has statistics.
        statistics: bool,
    },
    /// The newest candles of series.
    Latest(SeriesSelection),
    /// A question of a TradingView chart.
    Udf(UdfQuestion),
}

impl Question {
    /// True if work on the answer is cancelled once no request waits for it. Stored candles are read by one short
    /// statement, which is finished in any case. Lists take many statements, and so may built candles.
    fn ends_unawaited(&self) -> bool {
        match self {
            Self::Candles(selection) => selection.resampling.is_some(),
            Self::Series { .. } | Self::Latest(_) | Self::Udf(_) => true,
        }
    }
}

type Made = Result<Arc<Page>, QueryError>;

/// The outcome of making a page.
#[derive(Debug, Clone)]
enum Outcome {
    Made(Made),
    /// No request waited for the page any more.
    Abandoned,
}

/// The requests that wait for a page.
#[derive(Debug, Clone, Default)]
struct Waiters(Arc<watch::Sender<()>>);

impl Waiters {
    /// Counts a request until the returned receiver is dropped.
    fn join(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    /// Returns once no request waits.
    async fn all_left(&self) {
        self.0.closed().await;
    }
}

#[derive(Clone)]
enum CacheEntry {
    /// A page that is being made. All waiters receive its outcome.
    InFlight {
        began: Instant,
        outcome: watch::Receiver<Option<Outcome>>,
        waiters: Waiters,
    },
    Cached {
        began: Instant,
        page: Arc<Page>,
    },
}

impl CacheEntry {
    fn began(&self) -> Instant {
        let (Self::InFlight { began, .. } | Self::Cached { began, .. }) = self;
        *began
    }

    /// True if the entry is stale for a request that arrived at `arrived`.
    fn is_too_old(&self, arrived: Instant) -> bool {
        self.began() + PAGE_TTL < arrived
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<PageKey, CacheEntry> for Weight {
    /// In-flight entries weigh 0 so that they are never evicted, because later requests would start a second read.
    fn weight(&self, _: &PageKey, entry: &CacheEntry) -> u64 {
        match entry {
            CacheEntry::InFlight { .. } => 0,
            CacheEntry::Cached { page, .. } => weight(page),
        }
    }
}

fn weight(page: &Page) -> u64 {
    page.body.len() as u64 + ENTRY_OVERHEAD_BYTES
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("entries", &self.0.len()).field("bytes", &self.0.weight()).finish()
    }
}

impl Default for Pages {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(CACHE_CAPACITY_BYTES)
            .estimated_items_capacity(1024)
            // One shard, because each shard gets a part of the capacity, which must hold the largest page.
            .shards(1)
            .build();
        let options = options.expect("both capacities are given");
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Arc::new(Cache::with_options(options, Weight, hash, lifecycle)))
    }
}

/// The outcome of an abandoned page. No request receives this error, because every waiter has left.
fn abandoned() -> QueryError {
    StoreError::unavailable("nobody waited for the answer").into()
}

fn broken() -> QueryError {
    StoreError::internal("the task that makes a page broke").into()
}

impl Pages {
    /// Returns the page for `key` to a request that arrived at `arrived`. If no fresh page is cached, and no page in
    /// flight will be fresh, `make` makes one from data that is read after `began`. Single flight: waiters survive
    /// cancellation of the request that started the read, and share its error so that a failing database is not asked
    /// once per waiter. A page that takes many statements (see [`Question::ends_unawaited`]) is abandoned once all
    /// requests for it have left.
    pub(super) async fn get<M>(&self, key: &PageKey, arrived: Instant, began: Instant, make: impl Fn() -> M) -> Made
    where
        M: Future<Output = Result<Page, QueryError>> + Send + 'static,
    {
        loop {
            let mut new = None;
            let Ok(entry) = self.0.get_or_insert_with(key, || {
                let (announce, outcome) = watch::channel(None);
                let waiters = Waiters::default();
                new = Some((announce, waiters.clone()));
                Ok::<_, Infallible>(CacheEntry::InFlight { began, outcome, waiters })
            });
            if let Some((announce, waiters)) = new {
                let _waits = waiters.join();
                return self.make(key.clone(), began, announce, waiters, make()).await;
            }
            if entry.is_too_old(arrived) {
                self.0.remove_if(key, |entry| entry.is_too_old(arrived));
                continue;
            }
            let (mut outcome, waiters) = match entry {
                CacheEntry::Cached { page, .. } => return Ok(page),
                CacheEntry::InFlight { outcome, waiters, .. } => (outcome, waiters),
            };
            let _waits = waiters.join();
            let announced = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
            match announced {
                Some(Outcome::Made(result)) => return result,
                // The last waiter left just before this request joined, so it starts again.
                Some(Outcome::Abandoned) => {}
                None => return Err(broken()),
            }
        }
    }

    /// Makes a page, even if the request that started it is cancelled.
    async fn make(
        &self,
        key: PageKey,
        began: Instant,
        announce: watch::Sender<Option<Outcome>>,
        waiters: Waiters,
        making: impl Future<Output = Result<Page, QueryError>> + Send + 'static,
    ) -> Made {
        let pages = Arc::clone(&self.0);
        let making = detach_on_drop(async move {
            let may_end = key.question.ends_unawaited();
            let made = tokio::select! {
                biased;
                made = AssertUnwindSafe(making).catch_unwind() => made,
                () = waiters.all_left(), if may_end => {
                    pages.remove_if(&key, |entry| entry.began() == began);
                    announce.send_replace(Some(Outcome::Abandoned));
                    return Err(abandoned());
                }
            };
            let made = made.unwrap_or_else(|panic| Err(StoreError::internal(panic_text(&*panic)).into())).map(Arc::new);
            match &made {
                Ok(page) if weight(page) <= MAX_ENTRY_BYTES && began.elapsed() <= PAGE_TTL => {
                    pages.insert(key, CacheEntry::Cached { began, page: Arc::clone(page) });
                }
                _ => drop(pages.remove_if(&key, |entry| entry.began() == began)),
            }
            announce.send_replace(Some(Outcome::Made(made.clone())));
            made
        });
        making.await
    }

    /// Removes stale pages at an interval, so that none stays in memory if no more requests come. Never returns.
    pub(super) async fn sweep(self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            self.forget_stale(Instant::now());
        }
    }

    /// Removes pages that are stale for every request after `now`. In-flight entries stay for their waiters.
    fn forget_stale(&self, now: Instant) {
        self.0.retain(|_, entry| match entry {
            CacheEntry::InFlight { .. } => true,
            CacheEntry::Cached { .. } => !entry.is_too_old(now),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use tokio::sync::{Semaphore, oneshot};
    use tokio::task::yield_now;

    use super::*;
    use crate::config::DatabaseConfig;
    use crate::store::Store;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn key(query: &str) -> PageKey {
        let selection = Selection::parse(&format!("symbol=EURUSD&timeframe=H1{query}"), 10_000).unwrap();
        let store = Store::open(&DatabaseConfig::new("sqlite://nowhere/at/all")).unwrap();
        let series_version = store.series_version(&selection.range.symbol, selection.range.timeframe);
        PageKey { question: Question::Candles(selection), series_version, encoding: Encoding::Identity }
    }

    fn page(bytes: usize) -> Page {
        let body = Bytes::from(vec![b' '; bytes]);
        Page { body, etag: String::new(), before: None, after: None, skipped: None, began: Instant::now() }
    }

    /// Makes one page per permit, and counts the pages that it began.
    #[derive(Clone)]
    struct Maker {
        begun: Arc<AtomicUsize>,
        may: Arc<Semaphore>,
    }

    impl Maker {
        fn new(pages: usize) -> Self {
            Self { begun: Arc::default(), may: Arc::new(Semaphore::new(pages)) }
        }

        fn make(&self, result: Result<usize, ()>) -> impl Future<Output = Result<Page, QueryError>> + Send + 'static {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let may = Arc::clone(&self.may);
            async move {
                may.acquire().await.unwrap().forget();
                result.map(page).map_err(|()| StoreError::unavailable("it is away").into())
            }
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }
    }

    /// Requests a page in a task of its own, and returns once the page has been found or begun or is awaited.
    async fn ask(
        pages: &Pages,
        key: &PageKey,
        arrived: Instant,
        make: impl Fn() -> Result<usize, ()> + Send + Sync + 'static,
        maker: &Maker,
    ) -> tokio::task::JoinHandle<Result<Arc<Page>, QueryError>> {
        let (pages, key, maker) = (pages.clone(), key.clone(), maker.clone());
        let (asks, asked) = oneshot::channel();
        let asking = tokio::spawn(async move {
            let asking = pages.get(&key, arrived, arrived, || maker.make(make()));
            let mut asking = std::pin::pin!(asking);
            let first = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context))).await;
            asks.send(()).unwrap();
            match first {
                std::task::Poll::Ready(page) => page,
                std::task::Poll::Pending => asking.await,
            }
        });
        asked.await.unwrap();
        asking
    }

    #[tokio::test]
    async fn a_page_is_made_once_for_all_requests_within_a_second() {
        let (pages, key, maker, now) = (Pages::default(), key(""), Maker::new(0), Instant::now());
        let first = ask(&pages, &key, now, || Ok(1), &maker).await;
        let joined = ask(&pages, &key, now + PAGE_TTL, || Ok(2), &maker).await;
        assert_eq!(maker.begun(), 1);
        let late = ask(&pages, &key, now + PAGE_TTL + MILLISECOND, || Ok(3), &maker).await;
        assert_eq!(maker.begun(), 2, "a read that began more than a second before is not joined");
        maker.may.add_permits(2);
        let body =
            async |asked: tokio::task::JoinHandle<Result<Arc<Page>, _>>| asked.await.unwrap().unwrap().body.len();
        assert_eq!((body(first).await, body(joined).await, body(late).await), (1, 1, 3));
        let kept = now + PAGE_TTL + MILLISECOND;
        assert_eq!(body(ask(&pages, &key, kept + PAGE_TTL, || Ok(4), &maker).await).await, 3);
        maker.may.add_permits(1);
        assert_eq!(body(ask(&pages, &key, kept + PAGE_TTL + MILLISECOND, || Ok(5), &maker).await).await, 5);
        assert_eq!(maker.begun(), 3);
    }

    #[tokio::test]
    async fn waiters_survive_cancellation_of_the_first_request() {
        let (pages, key, maker, now) = (Pages::default(), key(""), Maker::new(0), Instant::now());
        let first = ask(&pages, &key, now, || Ok(1), &maker).await;
        let joined = ask(&pages, &key, now, || Ok(2), &maker).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        maker.may.add_permits(1);
        assert_eq!(joined.await.unwrap().unwrap().body.len(), 1);
        assert_eq!(maker.begun(), 1);
    }

    #[tokio::test]
    async fn waiters_share_a_failure() {
        let (pages, key, maker, now) = (Pages::default(), key(""), Maker::new(0), Instant::now());
        let first = ask(&pages, &key, now, || Err(()), &maker).await;
        let joined = ask(&pages, &key, now, || Ok(2), &maker).await;
        assert_eq!(maker.begun(), 1);
        maker.may.add_permits(2);
        for failed in [first, joined] {
            assert!(matches!(failed.await.unwrap(), Err(QueryError::Store(StoreError::Unavailable(_)))));
        }
        assert_eq!(maker.begun(), 1);
        assert!(pages.0.is_empty(), "a failure is not cached");
        assert_eq!(ask(&pages, &key, now, || Ok(3), &maker).await.await.unwrap().unwrap().body.len(), 3);
    }

    #[tokio::test]
    async fn a_list_of_series_is_abandoned_with_its_last_request() {
        let (pages, candles, maker, now) = (Pages::default(), key(""), Maker::new(0), Instant::now());
        let selection = SeriesSelection { symbols: Vec::new(), timeframe: None, after: None, limit: 1 };
        let list = PageKey { question: Question::Series { selection, statistics: false }, ..candles.clone() };
        for (key, goes_on) in [(&list, false), (&candles, true)] {
            let first = ask(&pages, key, now, || Ok(1), &maker).await;
            let joined = ask(&pages, key, now, || Ok(2), &maker).await;
            let begun = maker.begun();
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            yield_now().await;
            assert!(pages.0.get(key).is_some(), "a request still waits for it");
            joined.abort();
            assert!(joined.await.unwrap_err().is_cancelled());
            // Other tasks get several turns.
            for _ in 0..10 {
                yield_now().await;
            }
            let joins = ask(&pages, key, now, || Ok(3), &maker).await;
            assert_eq!(maker.begun() - begun, usize::from(!goes_on));
            maker.may.add_permits(1);
            assert_eq!(joins.await.unwrap().unwrap().body.len(), if goes_on { 1 } else { 3 });
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_one_request() {
        let (pages, key, maker, now) = (Pages::default(), key(""), Maker::new(1), Instant::now());
        let broken = async || -> Result<Page, QueryError> { panic!("while it is made") };
        assert!(matches!(pages.get(&key, now, now, broken).await, Err(QueryError::Store(StoreError::Internal(_)))));
        assert!(pages.0.is_empty());
        assert_eq!(ask(&pages, &key, now, || Ok(2), &maker).await.await.unwrap().unwrap().body.len(), 2);
    }

    #[tokio::test]
    async fn the_cache_is_bounded_and_drops_stale_pages() {
        let (pages, maker) = (Pages::default(), Maker::new(1000));
        let now = Instant::now();
        let large = usize::try_from(MAX_ENTRY_BYTES - ENTRY_OVERHEAD_BYTES).unwrap();
        for limit in 1..=20 {
            let asked = ask(&pages, &key(&format!("&limit={limit}")), now, move || Ok(large), &maker).await;
            assert_eq!(asked.await.unwrap().unwrap().body.len(), large);
            assert!(pages.0.weight() <= CACHE_CAPACITY_BYTES, "{pages:?}");
        }
        let larger = ask(&pages, &key("&limit=21"), now, move || Ok(large + 1), &maker).await;
        assert_eq!(larger.await.unwrap().unwrap().body.len(), large + 1);
        assert!(pages.0.get(&key("&limit=21")).is_none(), "too large to be kept");
        pages.forget_stale(now + PAGE_TTL);
        assert!(!pages.0.is_empty(), "they still answer requests that came by then");
        let slow = Maker::new(0);
        let waiting = ask(&pages, &key(""), now, || Ok(1), &slow).await;
        pages.forget_stale(now + PAGE_TTL + MILLISECOND);
        assert_eq!((pages.0.len(), pages.0.weight()), (1, 0), "an in-flight entry stays");
        slow.may.add_permits(1);
        assert_eq!(waiting.await.unwrap().unwrap().body.len(), 1);
    }

    #[tokio::test]
    async fn stale_pages_are_removed_without_requests() {
        let (pages, maker, now) = (Pages::default(), Maker::new(1), Instant::now());
        let sweeping = tokio::spawn(pages.clone().sweep());
        ask(&pages, &key(""), now, || Ok(1), &maker).await.await.unwrap().unwrap();
        while !pages.0.is_empty() {
            sleep(PAGE_TTL / 100).await;
        }
        assert!(now.elapsed() >= PAGE_TTL);
        sweeping.abort();
    }
}
