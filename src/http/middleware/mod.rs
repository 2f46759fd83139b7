//! The middleware around every handler. [`stack`] has its order.

pub(crate) mod access_log;
pub(crate) mod admission;
pub(crate) mod auth;
pub(crate) mod cors;
pub(crate) mod credentials;
mod drain;
pub(crate) mod host;
mod keyed_limiter;
mod misplaced;
pub(crate) mod panic;
pub(crate) mod rate_limit;
pub(crate) mod request_metrics;
pub(crate) mod security_headers;
pub(crate) mod session;
mod session_key;
pub(crate) mod shared_limits;
pub(crate) mod stack;
