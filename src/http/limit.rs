//! How often one may call: each ingest key and each read token for itself, everybody else by address.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use metrics::{counter, gauge};

use super::auth::{Identity, Keyring, Scope};
use super::forwarded::Client;
use super::health;
use super::problem::{Code, Problem};
use crate::config::{RateLimit, RateLimits};
use crate::telemetry::metrics::{LIMITER_ADDRESSES, RATE_LIMITED};

/// How many wrong keys one address may try a minute. Who has a right one is never asked.
const WRONG_KEYS: RateLimit =
    RateLimit::Per { times: NonZeroU32::MIN.saturating_add(9), period: Duration::from_secs(60) };
/// Addresses that are remembered, some 100 bytes each. When there are more, those that are not share one limit.
const MOST_ADDRESSES: usize = 100_000;
/// How often addresses that were quiet for long are forgotten.
const TIDY: u64 = 10;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Says who called too often. Clones share their memory.
#[derive(Debug, Clone)]
pub(super) struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyring: Keyring,
    ingest: Buckets<Arc<str>>,
    query: Buckets<Arc<str>>,
    anonymous: Addresses,
    wrong_keys: Addresses,
}

impl Limiter {
    pub(super) fn new(keyring: Keyring, limits: &RateLimits) -> Self {
        let wrong_keys = if limits.anonymous == RateLimit::Off { RateLimit::Off } else { WRONG_KEYS };
        Self(Arc::new(Inner {
            keyring,
            ingest: Buckets::new(limits.ingest, 2),
            query: Buckets::new(limits.query, 2),
            anonymous: Addresses::new(limits.anonymous, 2),
            wrong_keys: Addresses::new(wrong_keys, 1),
        }))
    }

    /// Counts a request that presents a key which is none of ours.
    pub(super) fn wrong_key(&self, client: Client) -> Result<(), TooOften> {
        const DETAIL: &str = "Too many wrong keys came from this address; wait for Retry-After, and correct the key.";
        self.0.wrong_keys.take(client).map(drop).map_err(|standing| TooOften::new("wrong_key", DETAIL, standing))
    }

    /// Counts a request.
    fn take(&self, identity: &Identity, client: Client) -> Result<Option<Standing>, TooOften> {
        let (standing, scope, detail) = match identity {
            Identity::Known(key) if key.scope == Scope::Ingest => (
                self.0.ingest.take(&key.name),
                "ingest",
                "This key posts too often; wait for Retry-After, and put more candles into each post.",
            ),
            Identity::Known(key) => (
                self.0.query.take(&key.name),
                "query",
                "This token reads too often; wait for Retry-After, and ask for more candles at a time.",
            ),
            _ => (
                self.0.anonymous.take(client),
                "anonymous",
                "Too many requests without a valid key came from this address; wait for Retry-After.",
            ),
        };
        standing.map_err(|standing| TooOften::new(scope, detail, standing))
    }

    /// Tells the metrics how much is remembered.
    pub(super) fn measure(&self) {
        #[expect(clippy::cast_precision_loss, reason = "the count is bounded")]
        gauge!(LIMITER_ADDRESSES).set((self.0.anonymous.len() + self.0.wrong_keys.len()) as f64);
    }
}

/// Identifies the caller of a request, leaves the [`Identity`] for the guard of its route, and refuses it if the caller came
/// too often.
pub(super) async fn meter(
    State(limiter): State<Limiter>,
    Extension(client): Extension<Client>,
    mut request: Request,
    next: Next,
) -> Response {
    if health::is_probe(&request) {
        return next.run(request).await;
    }
    let identity = limiter.0.keyring.identify(request.headers());
    let standing = match limiter.take(&identity, client) {
        Ok(standing) => standing,
        Err(too_often) => return too_often.into_response(),
    };
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    if let Some(standing) = standing
        && !response.headers().contains_key(LIMIT)
    {
        standing.write(response.headers_mut());
    }
    response
}

/// A refusal, and where its caller stands.
#[derive(Debug)]
pub(super) struct TooOften {
    detail: &'static str,
    standing: Standing,
}

impl TooOften {
    fn new(scope: &'static str, detail: &'static str, standing: Standing) -> Self {
        counter!(RATE_LIMITED, "scope" => scope).increment(1);
        Self { detail, standing }
    }
}

impl IntoResponse for TooOften {
    fn into_response(self) -> Response {
        let mut response = Problem::new(Code::RateLimited, self.detail).into_response();
        response.headers_mut().insert("retry-after", seconds(self.standing.wait).max(1).into());
        self.standing.write(response.headers_mut());
        response
    }
}

/// Where a caller stands: how many requests it may have at once, how many it has left, until when it has all again, and
/// how long until it has the next.
#[derive(Debug, Clone, Copy)]
struct Standing {
    limit: u32,
    remaining: u32,
    reset: Duration,
    wait: Duration,
}

impl Standing {
    fn new(quota: Quota, remaining: u32, wait: Duration) -> Self {
        let limit = quota.burst_size().get();
        let reset = wait + quota.replenish_interval() * (limit - remaining.min(limit));
        Self { limit, remaining, reset, wait }
    }

    fn write(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, seconds(self.reset).into());
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A bucket for each key, or none where there is no limit.
struct Buckets<K: Clone + Hash + Eq>(Option<Keyed<K>>);

type Keyed<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

impl<K: Clone + Hash + Eq> Buckets<K> {
    /// Lets through `limit`, and at once `burst` times as many.
    fn new(limit: RateLimit, burst: u32) -> Self {
        let RateLimit::Per { times, period } = limit else { return Self(None) };
        let quota = Quota::with_period(period / times.get())
            .map(|quota| quota.allow_burst(times.saturating_mul(NonZeroU32::MIN.saturating_add(burst - 1))));
        Self(quota.map(|quota| RateLimiter::hashmap(quota).with_middleware()))
    }

    fn take(&self, key: &K) -> Result<Option<Standing>, Standing> {
        let Some(buckets) = &self.0 else { return Ok(None) };
        match buckets.check_key(key) {
            Ok(state) => Ok(Some(Standing::new(state.quota(), state.remaining_burst_capacity(), Duration::ZERO))),
            Err(not_yet) => {
                let wait = not_yet.wait_time_from(DefaultClock::default().now());
                Err(Standing::new(not_yet.quota(), 0, wait))
            }
        }
    }
}

impl<K: Clone + Hash + Eq> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buckets").field(&self.0.is_some()).finish()
    }
}

/// A bucket for each client address, of which there may be any number; the memory for them is bounded all the same.
#[derive(Debug)]
struct Addresses {
    buckets: Buckets<IpAddr>,
    start: Instant,
    /// Seconds from the start to the last time that quiet addresses were forgotten.
    tidied: AtomicU64,
}

impl Addresses {
    fn new(limit: RateLimit, burst: u32) -> Self {
        Self { buckets: Buckets::new(limit, burst), start: Instant::now(), tidied: AtomicU64::new(0) }
    }

    fn take(&self, client: Client) -> Result<Option<Standing>, Standing> {
        self.tidy();
        let address = if self.len() < MOST_ADDRESSES { client.group() } else { Ipv4Addr::UNSPECIFIED.into() };
        self.buckets.take(&address)
    }

    /// Forgets addresses whose bucket is full again: to forget them changes nothing.
    fn tidy(&self) {
        let now = self.start.elapsed().as_secs();
        let last = self.tidied.load(Ordering::Relaxed);
        let due = now >= last + TIDY;
        if due
            && self.tidied.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(buckets) = &self.buckets.0
        {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.buckets.0.as_ref().map_or(0, RateLimiter::len)
    }
}
