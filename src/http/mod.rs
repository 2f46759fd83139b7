//! The HTTP service.
//!
//! A connection comes in by [`net`]; each of its requests passes the [`middleware`] and ends in one of the [`routes`];
//! [`service`] puts these together, and [`admin`] does so for operators. [`problem`], [`probes`] and [`timeouts`] are
//! below all of them.
//! Imports point from the end of this list to its beginning: `problem`, `probes`, `timeouts`, `net`, `middleware`, `routes`, `service`, `admin`.

pub(crate) mod admin;
pub(crate) mod middleware;
pub(crate) mod net;
mod probes;
mod problem;
mod routes;
pub(crate) mod service;
mod timeouts;

pub use service::openapi;
