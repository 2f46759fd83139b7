//! Token buckets by key and by client address, in bounded memory.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::config::RateLimit;
use crate::http::net::client_address::Client;

/// The maximum number of keys or addresses that have a bucket of their own, at some 100 bytes each. The rest share one bucket.
const MAX_KEYS: usize = 100_000;
/// The interval in seconds at which the buckets of quiet addresses are dropped.
const TIDY_INTERVAL_SECONDS: u64 = 10;

/// The state of a caller's quota: how many requests it may make at once, how many are left, the time until all of them are
/// available again, the time until the next one is, and the time in which one comes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimitState {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset: Duration,
    pub(crate) wait: Duration,
    pub(crate) interval: Duration,
}

impl RateLimitState {
    fn new(quota: Quota, remaining: u32, wait: Duration) -> Self {
        let limit = quota.burst_size().get();
        // A caller that has to wait gets one request at the end of the wait.
        let missing = limit.saturating_sub(remaining + u32::from(!wait.is_zero()));
        let interval = quota.replenish_interval();
        let reset = wait + interval * missing;
        Self { limit, remaining, reset, wait, interval }
    }
}

/// A bucket for each key, or none where there is no limit.
pub(crate) struct KeyedLimiter<K: Clone + Hash + Eq>(
    Option<RateLimiter<K, BoundedStateStore<K>, DefaultClock, StateInformationMiddleware>>,
);

impl<K: Clone + Hash + Eq> KeyedLimiter<K> {
    /// Allows `limit`, and bursts of `burst` times as many requests.
    pub(crate) fn new(limit: RateLimit, burst: u32) -> Self {
        let RateLimit::Per { times, period } = limit else { return Self(None) };
        let quota = Quota::with_period(period / times.get())
            .map(|quota| quota.allow_burst(times.saturating_mul(NonZeroU32::MIN.saturating_add(burst - 1))));
        Self(quota.map(|quota| RateLimiter::new(quota, BoundedStateStore::new(MAX_KEYS), DefaultClock::default())))
    }

    pub(crate) fn take(&self, key: &K) -> Result<Option<RateLimitState>, RateLimitState> {
        let Some(buckets) = &self.0 else { return Ok(None) };
        loop {
            match buckets.check_key(key) {
                Ok(state) => {
                    let remaining = state.remaining_burst_capacity();
                    return Ok(Some(RateLimitState::new(state.quota(), remaining, Duration::ZERO)));
                }
                Err(not_yet) => {
                    let wait = not_yet.wait_time_from(DefaultClock::default().now());
                    // No wait: a request that came a moment later was counted first, because the time is read before the lock
                    // is taken. By now there is a place for this one.
                    if !wait.is_zero() {
                        return Err(RateLimitState::new(not_yet.quota(), 0, wait));
                    }
                }
            }
        }
    }
}

impl<K: Clone + Hash + Eq> fmt::Debug for KeyedLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedLimiter").field(&self.0.is_some()).finish()
    }
}

/// The state of at most `most` buckets. Keys beyond them share one.
struct BoundedStateStore<K> {
    each: Mutex<HashMap<K, InMemoryState>>,
    most: usize,
    shared: InMemoryState,
}

impl<K: Clone + Hash + Eq> BoundedStateStore<K> {
    fn new(most: usize) -> Self {
        Self { each: Mutex::default(), most, shared: InMemoryState::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, InMemoryState>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Hash + Eq> StateStore for BoundedStateStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut each = self.lock();
        let state = if each.len() >= self.most && !each.contains_key(key) {
            &self.shared
        } else {
            each.entry(key.clone()).or_default()
        };
        state.measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

impl<K: Clone + Hash + Eq> ShrinkableKeyedStateStore<K> for BoundedStateStore<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        // `measure_and_replace` is the only way to read a state's time.
        let is_recent = |state: &InMemoryState| {
            state.measure_and_replace(&NotKeyed::NonKey, |time| Err::<((), Nanos), _>(time > Some(drop_below)))
                == Err(true)
        };
        self.lock().retain(|_, state| is_recent(state));
    }

    fn shrink_to_fit(&self) {
        self.lock().shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// A bucket for each client address. The number of addresses has no bound, and the memory for them does.
#[derive(Debug)]
pub(crate) struct AddressLimiter {
    buckets: KeyedLimiter<IpAddr>,
    start: Instant,
    /// Seconds from the start to the last time that the buckets of quiet addresses were dropped.
    tidied: AtomicU64,
}

impl AddressLimiter {
    pub(crate) fn new(limit: RateLimit, burst: u32) -> Self {
        Self { buckets: KeyedLimiter::new(limit, burst), start: Instant::now(), tidied: AtomicU64::new(0) }
    }

    pub(crate) fn take(&self, client: Client) -> Result<Option<RateLimitState>, RateLimitState> {
        self.tidy();
        self.buckets.take(&client.group())
    }

    /// Drops the buckets that are full again, because a new one would be equal.
    fn tidy(&self) {
        let now = self.start.elapsed().as_secs();
        let last = self.tidied.load(Ordering::Relaxed);
        let due = now >= last + TIDY_INTERVAL_SECONDS;
        if due
            && self.tidied.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(buckets) = &self.buckets.0
        {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.0.as_ref().map_or(0, RateLimiter::len)
    }
}

#[cfg(test)]
mod tests {
    use governor::middleware::NoOpMiddleware;

    use super::*;

    type Plain = RateLimiter<&'static str, BoundedStateStore<&'static str>, DefaultClock, NoOpMiddleware<Instant>>;

    fn of_two(quota: Quota) -> Plain {
        RateLimiter::new(quota, BoundedStateStore::new(2), DefaultClock::default())
    }

    #[test]
    fn newcomers_share_a_bucket_when_there_are_as_many_as_are_remembered_and_nobody_else_does() {
        let buckets = of_two(Quota::per_hour(NonZeroU32::MIN));
        assert!(buckets.check_key(&"first").is_ok() && buckets.check_key(&"second").is_ok());
        assert!(buckets.check_key(&"third").is_ok(), "the shared bucket");
        assert!(buckets.check_key(&"fourth").is_err(), "the same");
        assert!(buckets.check_key(&"first").is_err() && buckets.check_key(&"second").is_err(), "each its own");
        assert_eq!(buckets.len(), 2);
    }

    /// `None` is hashed slowly, while the buckets are locked, so that other threads read their time and wait for the lock.
    #[derive(Clone, PartialEq, Eq)]
    struct Caller(Option<u32>);

    impl Hash for Caller {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            match self.0 {
                Some(number) => state.write_u32(number),
                None => (0..100).for_each(|_| std::thread::yield_now()),
            }
        }
    }

    #[test]
    fn requests_of_the_same_moment_get_all_places_of_a_bucket() {
        let limit = RateLimit::Per { times: NonZeroU32::MIN, period: Duration::from_hours(1) };
        let buckets = KeyedLimiter::new(limit, 2);
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = buckets.take(&Caller(None));
                }
            });
            let refused = (0..2_000).find(|number| {
                let start = std::sync::Barrier::new(2);
                std::thread::scope(|scope| {
                    let take = || {
                        start.wait();
                        buckets.take(&Caller(Some(*number))).is_ok()
                    };
                    let other = scope.spawn(take);
                    let taken = take();
                    !(other.join().unwrap() && taken)
                })
            });
            ended.store(true, Ordering::Relaxed);
            assert_eq!(refused, None);
        });
        assert!(buckets.take(&Caller(Some(0))).is_err());
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten_and_others_are_not() {
        let quota = Quota::with_period(Duration::from_nanos(1)).unwrap();
        let quick = of_two(quota);
        let slow = of_two(Quota::per_hour(NonZeroU32::MIN));
        assert!(quick.check_key(&"a").is_ok() && slow.check_key(&"a").is_ok());
        quick.retain_recent();
        slow.retain_recent();
        assert_eq!((quick.len(), slow.len()), (0, 1));
    }
}
