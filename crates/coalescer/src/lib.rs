//! Decides which waiting batches of candles are written together.
//!
//! A database spends far more on a statement, and a file on a transaction, than on one more row in it. So batches wait in a
//! [`Queue`] while one group is written, and the next [`Group`] holds as many of them as it has room for. The caller
//! writes groups, keeps the time and answers the posters; this crate only decides:
//!
//! - **Who comes next.** Each poster has a lane, and every lane gets its share of a group before any lane gets more. When the
//!   queue is full, the poster that fills it most loses its newest batch.
//! - **Which batches share a group.** Where a group is written as one batch, a key of a forming candle occurs in it once,
//!   because one statement cannot store two states of one candle.
//! - **Which states need no writing.** Of several waiting states of the same forming candles, only the newest is written. The
//!   others [ride](Group) with it and get the answer that they would have got right before or after it.
//! - **What each batch changed**, as if the batches of a group had been written one after the other.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use candle::{BatchBuilder, Candle, Closing, Key, Ohlc, Phase, Price, Symbol, Timeframe, Timestamp, Volume, Written};
//! use coalescer::{Limits, Queue, Size};
//!
//! # fn main() -> Result<(), candle::ValueError> {
//! let state = |volume: &str| -> Result<_, candle::ValueError> {
//!     let time = Timestamp::parse("2025-08-03T10:00:00Z", None, None)?.time;
//!     let candle = Candle {
//!         key: Key::new(Symbol::parse("EURUSD")?, Timeframe::H1, time)?,
//!         ohlc: Ohlc::new([Price::parse("1.0850")?; 4]).expect("equal prices are consistent"),
//!         volume: Volume::parse(volume)?,
//!     };
//!     let mut builder = BatchBuilder::default();
//!     builder.push(0, candle, Phase::Forming(Closing::Undecided).into());
//!     Ok(Arc::new(builder.build().batch))
//! };
//! let room = Size { candles: 16_000, bytes: 4 << 20 };
//! let mut queue = Queue::new(Limits { group_candles: 1000, waiting: room, one_batch: true });
//! let (poster, in_time) = ("terminal".into(), Instant::now() + Duration::from_secs(4));
//! for (ticket, volume) in ["7", "8", "9"].into_iter().enumerate() {
//!     assert!(queue.push(&poster, state(volume)?, in_time, ticket).is_empty(), "there is room");
//! }
//!
//! let group = queue.take();
//! assert_eq!(group.batches().count(), 1, "the newest of three states");
//! let written = vec![Written { closed: vec![], forming: vec![0] }];
//! let mut answers: Vec<_> = group.answers(written).map(|(ticket, changed)| (ticket, changed.forming.len())).collect();
//! answers.sort_unstable();
//! assert_eq!(answers, [(0, 0), (1, 0), (2, 1)]);
//! # Ok(())
//! # }
//! ```

mod entry;
mod group;
mod queue;
mod states;

pub use entry::{Poster, Size};
pub use group::Group;
pub use queue::{Limits, Queue};
