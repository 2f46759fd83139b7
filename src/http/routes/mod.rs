//! The handlers, and what they share on the way in and out.

mod accept_encoding;
pub(crate) mod activity;
pub(crate) mod backtests;
pub(crate) mod batch_body;
pub(crate) mod candles;
pub(crate) mod changes;
pub(crate) mod console;
pub(crate) mod corrections;
pub(crate) mod docs;
mod event_stream;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod freshness;
pub(crate) mod gaps;
pub(crate) mod health;
pub(crate) mod index;
mod job_answers;
pub(crate) mod jobs;
pub(crate) mod latest;
pub(crate) mod live;
mod page;
pub(crate) mod series;
pub(crate) mod signals;
pub(crate) mod strategies;
pub(crate) mod udf;
