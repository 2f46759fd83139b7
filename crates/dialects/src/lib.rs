//! Files of candles as terminals, exchanges and vendors write them.
//!
//! [`detect()`] finds the dialect of a file by a table and lists the candidates if that is not exactly one. A [`RowReader`] reads
//! each line by the [`Layout`] that was found, and a [`FileReader`] makes candles of the rows: with the instants of their
//! local times, in order, and with what the file does not say given by [`ReadOptions`]. Nothing is guessed: [`Weekends`] are
//! evidence about a zone, and choose none.
//!
//! ```
//! use candle::{Candle, Symbol, Timeframe, Timestamp};
//! use dialects::{
//!     DayMonth, Fault, FileReader, Output, ReadOptions, RowOptions, RowReader, Symbols, VolumeChoice, detect, parse_zone,
//! };
//!
//! #[derive(Default)]
//! struct Candles(Vec<Candle>);
//!
//! impl Output for Candles {
//!     fn candle(&mut self, candle: Candle) {
//!         self.0.push(candle);
//!     }
//!     fn fault(&mut self, line: u64, _: Option<&[u8]>, fault: Fault) {
//!         panic!("line {line}: {}", fault.message);
//!     }
//! }
//!
//! let file = b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n\
//!              2025.08.04\t00:01:00\t1.15810\t1.15815\t1.15800\t1.15801\t412\t0\t5";
//! let layout = detect(file, None).unwrap();
//! let options = RowOptions {
//!     volume: VolumeChoice::Whole,
//!     order: DayMonth::DayFirst,
//!     skip_empty: false,
//!     drop_flat: false,
//! };
//! let mut reader = FileReader::new(
//!     RowReader::new(layout, options),
//!     ReadOptions {
//!         clock: Some(parse_zone("ny+7").unwrap()),
//!         timeframe: Timeframe::M1,
//!         falling: false,
//!         labels_close: false,
//!         ambiguous: None,
//!         symbols: Symbols::One(Symbol::parse("EURUSD").unwrap()),
//!         now: Timestamp::MAX,
//!     },
//! );
//! let mut candles = Candles::default();
//! for (number, line) in (1..).zip(file.split(|&byte| byte == b'\n')).skip(1) {
//!     reader.line(number, line, &mut candles);
//! }
//! reader.finish(&mut candles);
//! assert_eq!(candles.0[0].key.time().to_string(), "2025-08-03T21:01:00Z");
//! ```

mod columns;
mod detect;
mod dialect;
mod fields;
mod hst;
mod layout;
mod order;
mod reader;
mod rows;
mod sample;
mod steps;
mod times;
mod volume;
mod zone;

pub use columns::GivenColumns;
pub use detect::{DetectError, detect};
pub use dialect::{DIALECTS, Dialect, Role, VolumeKind, ZoneRule, named, names, nearest};
pub use fields::{Fields, MAX_FIELDS, SplitError};
pub use hst::{HST_HEADER_BYTES, HstHeader};
pub use layout::{Columns, Layout, ZoneOfFile};
pub use order::Ambiguous;
pub use reader::{Counts, FileReader, Output, ReadOptions, Symbols};
pub use rows::{Fault, FaultKind, LineContent, Row, RowOptions, RowReader};
pub use sample::{DayMonthVotes, Sample};
pub use steps::{StepTimeframe, Steps, length_in_words};
pub use times::{DateForm, DayMonth, FileTime, TimeError, TimeForm, parse_time};
pub use volume::{Loss, VolumeChoice};
pub use zone::{Evidence, Weekends, parse_zone, zone_title};
