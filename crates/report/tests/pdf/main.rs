//! Reports as files: their bytes, their structure, their text and their look.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod cases;
mod laws;
mod programs;
mod reader;
mod structure;
