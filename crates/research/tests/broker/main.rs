//! The broker against a slow model of it, and laws that hold for every run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod laws;
mod model;
mod slow;
