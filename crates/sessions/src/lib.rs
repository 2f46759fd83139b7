//! The periods of the week in which a market trades, and the gaps in its candles.
//!
//! A [`Grid`] divides time into the periods of a timeframe, and gives each period a **slot**: its place in the week by a
//! local clock. A [`Week`] says which slots are expected to hold a candle: all of them, those of given [`Hours`], or those
//! that a [`Presence`] learned from the weeks before. [`Gaps`] goes over the candles of a series and collects runs of
//! expected periods without one.
//!
//! All instants are epoch milliseconds. The local clock is a function that returns how many milliseconds it is ahead of UTC
//! at an instant, so that this crate needs no time zones.
//!
//! ```
//! use candle::Timeframe;
//! use sessions::{Gaps, Grid, Week};
//!
//! let utc = |_| 0;
//! let week = Week::always(Timeframe::H1, 0).unwrap();
//! let grid = Grid::new(Timeframe::H1, 0, utc).unwrap();
//! let hour = 3_600_000;
//! let mut gaps = Gaps::new(&week, grid, (0, 9 * hour), 1, 10);
//! for opened in [0, 1, 2, 5, 6, 7, 8, 9] {
//!     gaps.add(opened * hour);
//! }
//! let report = gaps.finish();
//! assert_eq!((report.expected, report.stored), (10, 8));
//! assert_eq!((report.gaps[0].from, report.gaps[0].to, report.gaps[0].missing), (3 * hour, 4 * hour, 2));
//! ```

mod days;
mod gaps;
mod grid;
mod hours;
mod week;

pub use gaps::{Gap, GapKind, GapReport, Gaps};
pub use grid::Grid;
pub use hours::{Hours, HoursError};
pub use week::{LEARNED_WEEKS, LearnedWeek, MIN_LEARNED_WEEKS, Presence, Week};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// 1970-01-05, a Monday, at 00:00 on a local clock.
const MONDAY: i64 = 4 * DAY;
