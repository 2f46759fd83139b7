//! Rate limits that replicas share, by one bucket for each key and each address in a Redis or Valkey server.
//!
//! The local bucket comes first. A request that it refuses makes no trip, and one that it lets through is decided by
//! Redis. If Redis gives no sensible answer in time, the local verdict stands and a [`breaker`] keeps requests away
//! from Redis for a while. So without Redis each replica limits alone, as it does where none is configured.

mod breaker;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tracing::{Instrument as _, info, warn};

use self::breaker::{Breaker, Entry};
use crate::config::SharedLimitsConfig;
use crate::errors;
use crate::http::middleware::credentials::Credential;
use crate::http::middleware::keyed_limiter::RateLimitState;
use crate::telemetry::metrics::{LIMITER_FALLBACKS, LIMITER_SHARED};

/// The maximum time to connect, to log in and to load the script. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// The number of commands that may wait to be sent: one for each request that is being worked on.
const MAX_QUEUED_COMMANDS: usize = 1024;

/// Takes a request from a bucket.
const GCRA: &str = include_str!("gcra.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(GCRA));

/// The buckets that replicas share, or none where no Redis is configured. Clones share the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedLimits(Option<Arc<Server>>);

/// The verdict about a request: the state of its quota, `None` where it has no limit, or `Err` if it is refused.
pub(crate) type Verdict = Result<Option<RateLimitState>, RateLimitState>;

/// A bucket of [`SharedLimits`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bucket<'a> {
    /// The requests of a key or token. Keys are told apart by their digests, because a name is each replica's own.
    Key(&'a Credential),
    /// The requests of an address without a valid key.
    Anonymous(IpAddr),
    /// The wrong keys of an address.
    WrongKeys(IpAddr),
    /// The searches for misplaced keys in the requests of an address.
    Searches(IpAddr),
    /// Nobody's, to see whether the server works.
    Probe,
}

impl fmt::Display for Bucket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("candlewick:q:")?;
        match self {
            Self::Key(key) => f.write_str(&hex::encode(key.digest_start())),
            Self::Anonymous(address) => write!(f, "anonymous:{address}"),
            Self::WrongKeys(address) => write!(f, "wrong-keys:{address}"),
            Self::Searches(address) => write!(f, "searches:{address}"),
            Self::Probe => f.write_str("probe"),
        }
    }
}

/// The reason for which Redis did not decide.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndecidedError {
    #[error("there was no connection within {CONNECT_TIMEOUT:?}")]
    ConnectTimeout,
    #[error("there was no answer within {0:?}")]
    DecisionTimeout(Duration),
    #[error("the answer {0:?} makes no sense")]
    Nonsense(Answer),
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// The script's answer: 1 or 0 for passed or refused, requests left, microseconds until the bucket is full, and those
/// until the next request.
type Answer = (u8, u32, u64, u64);

impl SharedLimits {
    /// Connects in the background, so that a server that is away delays nothing.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub(crate) fn start(config: Option<&SharedLimitsConfig>) -> Result<Self, RedisError> {
        let Some(config) = config else { return Ok(Self(None)) };
        let server = Arc::new(Server::new(config)?);
        gauge!(LIMITER_SHARED).set(0);
        server.probe_if_due();
        Ok(Self(Some(server)))
    }

    /// Lets Redis decide about a request that the local bucket lets through.
    pub(crate) async fn confirm(&self, bucket: Bucket<'_>, local: Verdict) -> Verdict {
        match (&self.0, local) {
            // Boxed, because most requests are decided without it, and every request has room for this future.
            (Some(server), Ok(Some(local))) => Box::pin(server.confirm(bucket, local)).await.map(Some),
            (_, local) => local,
        }
    }

    /// True while Redis decides, false while each replica limits alone; `None` where no Redis is configured.
    pub(crate) fn are_shared(&self) -> Option<bool> {
        self.0.as_ref().map(|server| server.breaker.is_closed())
    }
}

/// Connects as the service does and runs the script without a write.
///
/// # Errors
/// When the service could not share its limits now.
pub(crate) async fn test(config: &SharedLimitsConfig) -> Result<(), UndecidedError> {
    let server = Server::new(config)?;
    let mut connection = server.connect().await?;
    // A bucket that holds nothing refuses, and a refusal is not stored.
    server.ask(&mut connection, Bucket::Probe, Duration::from_micros(1), 0).await.map(drop)
}

/// The server that holds the buckets.
struct Server {
    client: Client,
    breaker: Breaker<MultiplexedConnection>,
    decision_timeout: Duration,
}

impl Server {
    fn new(config: &SharedLimitsConfig) -> Result<Self, RedisError> {
        let client = Client::open(config.url.expose_secret())?;
        Ok(Self { client, breaker: Breaker::new(Instant::now()), decision_timeout: config.decision_timeout })
    }

    async fn confirm(
        self: &Arc<Self>,
        bucket: Bucket<'_>,
        local: RateLimitState,
    ) -> Result<RateLimitState, RateLimitState> {
        match self.breaker.enter(Instant::now()) {
            Entry::Use(mut connection, number) => {
                match self.ask(&mut connection, bucket, local.interval, local.limit).await {
                    // The local bucket may hold less, if Redis has lost the shared one.
                    Ok((1, remaining, reset, _)) if remaining < local.remaining => {
                        return Ok(RateLimitState { remaining, reset: Duration::from_micros(reset), ..local });
                    }
                    Ok((1, ..)) => return Ok(local),
                    Ok((_, _, reset, wait)) => {
                        let (reset, wait) = (Duration::from_micros(reset), Duration::from_micros(wait));
                        return Err(RateLimitState { remaining: 0, reset, wait, ..local });
                    }
                    Err(error) => {
                        if self.breaker.failed(number, Instant::now()) {
                            tell(Err(&error));
                        }
                    }
                }
            }
            Entry::Probe => self.spawn_probe(),
            Entry::Skip => {}
        }
        counter!(LIMITER_FALLBACKS).increment(1);
        Ok(local)
    }

    fn probe_if_due(self: &Arc<Self>) {
        if matches!(self.breaker.enter(Instant::now()), Entry::Probe) {
            self.spawn_probe();
        }
    }

    /// Probes in a task of its own, because a request must not wait for a connection.
    fn spawn_probe(self: &Arc<Self>) {
        let server = Arc::clone(self);
        let probe = async move {
            let result = server.probe().await;
            let outcome = result.as_ref().map(drop);
            if server.breaker.probed(result.as_ref().ok().cloned(), Instant::now()) {
                tell(outcome);
            }
        };
        tokio::spawn(probe.in_current_span());
    }

    /// A connection on which the server has decided in time. The decision includes a write, which a server that is full
    /// or only readable refuses.
    async fn probe(&self) -> Result<MultiplexedConnection, UndecidedError> {
        let mut connection = self.connect().await?;
        self.ask(&mut connection, Bucket::Probe, Duration::from_micros(1), 1).await?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, UndecidedError> {
        // The time-outs here include those of the crate.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_QUEUED_COMMANDS);
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            // Loaded here, so that a request needs one trip. Not by `Script`, which panics in a debug build if a server
            // answers with another hash.
            redis::cmd("SCRIPT").arg("LOAD").arg(GCRA).exec_async(&mut connection).await?;
            Ok(connection)
        };
        timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| UndecidedError::ConnectTimeout)?
    }

    /// Takes a request from a bucket that holds `capacity` of them, of which one comes back in each `interval`.
    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        bucket: Bucket<'_>,
        interval: Duration,
        capacity: u32,
    ) -> Result<Answer, UndecidedError> {
        let nanoseconds = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let mut invocation = SCRIPT.key(bucket.to_string());
        let invocation = invocation.arg(nanoseconds).arg(capacity);
        let answer: Answer = timeout(self.decision_timeout, invocation.invoke_async(connection))
            .await
            .map_err(|_| UndecidedError::DecisionTimeout(self.decision_timeout))??;
        let (passed, remaining, reset, wait) = answer;
        // The script rounds up, so times may be longer by a microsecond.
        let longest = interval.as_micros().saturating_mul(capacity.into()).saturating_add(u128::from(capacity) + 1);
        let makes_sense = match passed {
            0 => remaining == 0 && wait > 0,
            1 => remaining < capacity && wait == 0,
            _ => false,
        };
        if makes_sense && u128::from(reset) <= longest && u128::from(wait) <= interval.as_micros() + 1 {
            Ok(answer)
        } else {
            Err(UndecidedError::Nonsense(answer))
        }
    }
}

impl fmt::Debug for Server {
    /// Without the client, whose address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("works", &self.breaker.is_closed()).finish_non_exhaustive()
    }
}

/// Reports that Redis began or ceased to decide.
fn tell(outcome: Result<(), &UndecidedError>) {
    gauge!(LIMITER_SHARED).set(u32::from(outcome.is_ok()));
    match outcome {
        Ok(()) => info!("rate limits are shared with the other replicas by Redis"),
        // Escaped, because a server's text may hold anything.
        Err(error) => warn!(
            error = %errors::chain(error).to_string().escape_debug(),
            "rate limits are not shared, because Redis does not decide; this replica limits alone until it does"
        ),
    }
}
