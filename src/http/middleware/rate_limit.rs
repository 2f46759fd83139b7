//! Rate limits: for each key and each read token, and for each address of callers without a valid key.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use metrics::gauge;

use crate::config::{RateLimit, RateLimits};
use crate::http::middleware::auth::Identity;
use crate::http::middleware::credentials::{Credential, Scope};
use crate::http::middleware::keyed_limiter::{AddressLimiter, KeyedLimiter, RateLimitState};
use crate::http::middleware::shared_limits::{Bucket, SharedLimits};
use crate::http::net::client_address::Client;
use crate::http::probes;
use crate::http::problem::{Code, Problem};
use crate::telemetry::metrics::{AuthFailures, LIMITER_ADDRESSES, RateLimited};

/// The number of wrong keys that one address may try in a minute. A caller with a valid key is not limited by it.
const WRONG_KEY_LIMIT: RateLimit =
    RateLimit::Per { times: NonZeroU32::MIN.saturating_add(9), period: Duration::from_mins(1) };
const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The limit on wrong keys from one address; none where anonymous requests have none.
pub(crate) fn of_wrong_keys(limits: &RateLimits) -> RateLimit {
    if limits.anonymous == RateLimit::Off { RateLimit::Off } else { WRONG_KEY_LIMIT }
}

/// The rate limits. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Limiter(Arc<Limiters>);

#[derive(Debug)]
struct Limiters {
    ingest: KeyedLimiter<Arc<str>>,
    query: KeyedLimiter<Arc<str>>,
    maintenance: KeyedLimiter<Arc<str>>,
    research: KeyedLimiter<Arc<str>>,
    anonymous: AddressLimiter,
    wrong_keys: AddressLimiter,
    shared: SharedLimits,
}

impl Limiter {
    pub(crate) fn new(limits: &RateLimits, shared: SharedLimits) -> Self {
        let wrong_keys = of_wrong_keys(limits);
        Self(Arc::new(Limiters {
            ingest: KeyedLimiter::new(limits.ingest, 2),
            query: KeyedLimiter::new(limits.query, 2),
            maintenance: KeyedLimiter::new(limits.ingest, 2),
            research: KeyedLimiter::new(limits.research, 2),
            anonymous: AddressLimiter::new(limits.anonymous, 2),
            wrong_keys: AddressLimiter::new(wrong_keys, 1),
            shared,
        }))
    }

    /// Takes a request from its caller's quota.
    async fn take(&self, identity: &Identity, client: Client) -> Result<Option<RateLimitState>, RateLimitExceeded> {
        let Limiters { anonymous, shared, .. } = &*self.0;
        let mut of_wrong_keys = None;
        match identity {
            Identity::Known(key, _) => return self.take_of(key).await,
            Identity::Anonymous(..) => {}
            Identity::Misplaced(misplaced) => misplaced.kind().count(1),
            Identity::Unknown(_) => of_wrong_keys = self.take_wrong_key(client).await?,
        }
        let detail = "Too many requests without a valid key came from this address; wait for Retry-After.";
        let state = shared
            .confirm(Bucket::Anonymous(client.group()), anonymous.take(client))
            .await
            .map_err(|state| RateLimitExceeded::new(RateLimited::Anonymous, detail, state))?;
        Ok(of_wrong_keys.into_iter().chain(state).min_by_key(|state| state.remaining))
    }

    /// Counts a wrong key that `client` sent.
    ///
    /// # Errors
    /// When too many came from its address.
    pub(crate) async fn take_wrong_key(&self, client: Client) -> Result<Option<RateLimitState>, RateLimitExceeded> {
        AuthFailures::Unknown.count(1);
        let detail = "Too many wrong keys came from this address; wait for Retry-After, and correct the key.";
        let verdict = self.0.shared.confirm(Bucket::WrongKeys(client.group()), self.0.wrong_keys.take(client)).await;
        verdict.map_err(|state| RateLimitExceeded::new(RateLimited::WrongKey, detail, state))
    }

    /// Takes a request from a key's quota.
    async fn take_of(&self, key: &Credential) -> Result<Option<RateLimitState>, RateLimitExceeded> {
        let (buckets, scope, detail) = match key.scope {
            Scope::Ingest => (
                &self.0.ingest,
                RateLimited::Ingest,
                "This key posts too often; wait for Retry-After, and put more candles into each post.",
            ),
            Scope::Maintenance => (
                &self.0.maintenance,
                RateLimited::Ingest,
                "This key corrects or deletes too often; wait for Retry-After, and put more candles into each request.",
            ),
            Scope::Research => (
                &self.0.research,
                RateLimited::Research,
                "This key asks too often; wait for Retry-After, and put several strategies or series into one job.",
            ),
            Scope::Read => (
                &self.0.query,
                RateLimited::Query,
                "This token reads too often; wait for Retry-After, and ask for more candles at a time.",
            ),
        };
        let verdict = self.0.shared.confirm(Bucket::Key(key), buckets.take(&key.name)).await;
        verdict.map_err(|state| RateLimitExceeded::new(scope, detail, state))
    }

    /// Sets the gauge of the addresses that are tracked.
    pub(crate) fn measure(&self) {
        #[expect(clippy::cast_precision_loss, reason = "the count is bounded")]
        gauge!(LIMITER_ADDRESSES).set((self.0.anonymous.len() + self.0.wrong_keys.len()) as f64);
    }
}

/// Refuses a request whose caller is over its limit, and adds the `RateLimit-*` headers to every other answer.
pub(crate) async fn meter(
    limiter: &Limiter,
    client: Client,
    identity: &Identity,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if probes::is_probe(&request) {
        return next(request).await;
    }
    match limiter.take(identity, client).await {
        Err(exceeded) => exceeded.into_response(),
        Ok(state) => {
            let mut response = next(request).await;
            if let Some(state) = state {
                state.write(response.headers_mut());
            }
            response
        }
    }
}

/// A refusal, with the state of its caller's quota.
#[derive(Debug)]
pub(crate) struct RateLimitExceeded {
    detail: &'static str,
    state: RateLimitState,
}

impl RateLimitExceeded {
    fn new(scope: RateLimited, detail: &'static str, state: RateLimitState) -> Self {
        scope.count(1);
        Self { detail, state }
    }
}

impl IntoResponse for RateLimitExceeded {
    fn into_response(self) -> Response {
        let mut response = Problem::new(Code::RateLimited, self.detail).into_response();
        response.headers_mut().insert("retry-after", seconds(self.state.wait).max(1).into());
        self.state.write(response.headers_mut());
        response
    }
}

impl RateLimitState {
    fn write(self, headers: &mut HeaderMap) {
        headers.insert(RATELIMIT_LIMIT, self.limit.into());
        headers.insert(RATELIMIT_REMAINING, self.remaining.into());
        headers.insert(RATELIMIT_RESET, seconds(self.reset).into());
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
