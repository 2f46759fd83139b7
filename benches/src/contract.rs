//! The keys and requests that the clients share with the programs that they measure.

use hyper::body::Bytes;

/// The key that may post.
pub const KEY: &str = "bench-key-0123456789abcdef0123456789abcdef";
/// The token that may read.
pub const TOKEN: &str = "bench-token-fedcba9876543210fedcba9876543210";

/// The key that may start jobs.
pub const RESEARCH_KEY: &str = "bench-research-0123456789abcdef0123456789abc";

/// The bytes of a request, which can be sent any number of times.
pub type Prepared = Bytes;

/// A request for the health of a service.
pub const HEALTH: Prepared = Bytes::from_static(b"GET /health HTTP/1.1\r\nhost: bench\r\n\r\n");
