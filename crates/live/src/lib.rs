//! The next events of a stream of candles, without clocks, tasks and databases.
//!
//! A [`Tail`] holds the newest states of a series and the spans of its older history that changed. A [`Cursor`] is the place of
//! one client in it, and a [`Position`] its place in all its series, as the text that it sends when it comes back.
//!
//! A stream carries states, not messages: a client that was away or is slow gets the newest state, and nothing is queued for it.

mod cursor;
mod position;
mod tail;

pub use cursor::{Cursor, Next, Start};
pub use position::Position;
pub use tail::{Entry, History, HistoryKind, MAX_ENTRIES, Snapshot, State, Tail};
