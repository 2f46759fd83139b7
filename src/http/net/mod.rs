//! Connections, and the clients at their other end.

pub(crate) mod client_address;
pub(crate) mod connection;
pub(crate) mod listener;
mod preface;
pub(crate) mod tls;
