//! Keys and requests on which the clients and the programs that they measure agree.

use hyper::body::Bytes;

/// The key that may post.
pub const KEY: &str = "bench-key-0123456789abcdef0123456789abcdef";
/// The token that may read.
pub const TOKEN: &str = "bench-token-fedcba9876543210fedcba9876543210";

/// A request as it goes over the wire, which can be sent again and again.
pub type Prepared = Bytes;

/// A request for the health of a service.
pub const HEALTH: Prepared = Bytes::from_static(b"GET /health HTTP/1.1\r\nhost: bench\r\n\r\n");
