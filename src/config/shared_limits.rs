//! The settings of the Redis server that shares the rate limits among replicas.

use std::time::Duration;

use redis::IntoConnectionInfo as _;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;

/// The time for which a request waits for Redis before its replica decides alone.
const DECISION_TIMEOUT: Duration = Duration::from_millis(20);

/// The settings of the Redis server that shares the rate limits among replicas.
#[derive(Debug, Clone)]
pub struct SharedLimitsConfig {
    /// `redis://…`, `rediss://…` or `unix:///…`, with its password.
    pub url: SecretString,
    /// The time for which a request waits for a decision of Redis. No variable sets it.
    pub decision_timeout: Duration,
}

impl Reader<'_> {
    pub(super) fn shared_limits(&mut self) -> Option<SharedLimitsConfig> {
        self.parsed("RATE_LIMIT_REDIS_URL", None, |text| {
            let url = redis_url(text)?;
            Ok(Some(SharedLimitsConfig { url, decision_timeout: DECISION_TIMEOUT }))
        })
    }
}

/// Errors quote nothing, because the URL may hold a password.
fn redis_url(text: &str) -> Result<SecretString, String> {
    const SCHEMES: [&str; 5] = ["redis", "rediss", "valkey", "valkeys", "unix"];
    if text.contains('#') {
        return Err("holds a #, behind which a URL has no login and no host; write a # of a password as %23".into());
    }
    let url = Url::parse(text).ok().filter(|url| SCHEMES.contains(&url.scheme()));
    url.ok_or("must be the URL of a Redis server, such as redis://:PASSWORD@redis.example.com:6379/0")?;
    // Without the crate's error, which may quote a part of the URL.
    if text.into_connection_info().is_err() {
        return Err("has a host, a path or a database that Redis cannot have; write it as redis://HOST:PORT/0 or \
                    unix:///PATH?db=0"
            .into());
    }
    Ok(SecretString::from(text))
}
