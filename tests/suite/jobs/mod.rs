//! Jobs of research.

mod store;
