//! Searches: what they find, what they may try, and that threads change nothing.
#![expect(clippy::float_cmp, reason = "the cases have whole numbers")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod functions;
mod items;
mod laws;
mod quality;
