//! The beginnings of a market's days, weeks and months, and the buckets of longer candles within them.
//!
//! An [`Alignment`] says when a day begins: at midnight in UTC, at 17:00 in New York, at any time in any zone. A
//! [`Calendar`] adds the weekday with which weeks begin. Its [`Walker`] finds the [`Bucket`] of a timeframe that holds
//! an instant, and [`Grid`] holds many of them in a few numbers, for a database.
//!
//! # Days
//!
//! A day goes from one local day start to the next, which is 23, 24 or 25 hours in most zones. If the clocks skip the
//! start, it is the first instant after the gap; if it comes twice, it is the first of the two. The **trading date** of
//! a day is the local date one second before the day ends. The day of a market that trades from Sunday 17:00 to Monday
//! 17:00 is therefore Monday's.
//!
//! # Buckets
//!
//! Minutes and hours are counted in elapsed time from the start of the day, and cut at its end: on a day of 23 hours,
//! the last bucket of four hours has three. Weeks and months are whole days, put together by their trading dates.
//!
//! ```
//! use calendar::{Alignment, Calendar, Weekday};
//! use candle::Timeframe;
//!
//! let calendar = Calendar::new(Alignment::parse("ny17")?, Weekday::Mon);
//! let sunday_evening = candle::parse_bound("2025-08-03T22:30:00Z", None).unwrap();
//!
//! assert_eq!(calendar.day(sunday_evening).date.to_string(), "2025-08-04");
//! let bucket = calendar.walker(Timeframe::H4).bucket(sunday_evening);
//! assert_eq!(candle::format_millis(bucket.start).as_deref(), Some("2025-08-03T21:00:00Z"));
//! assert_eq!(candle::format_millis(bucket.end).as_deref(), Some("2025-08-04T01:00:00Z"));
//! # Ok::<(), calendar::AlignmentError>(())
//! ```
//!
//! # Instants
//!
//! All instants are epoch milliseconds, as the service answers them. The rules of a zone are known from the year −9999
//! to 9999, and before and after that its clock runs on as it did. Instants more than 250,000 years from 1970 are
//! treated as the nearest instant within them.

mod alignment;
mod clock;
mod grid;
mod walker;
mod wall;
mod zone;

use chrono::NaiveDate;
pub use chrono::Weekday;

use candle::Timeframe;

pub use alignment::{Alignment, AlignmentError, parse_weekday, weekday_name};
pub use clock::LocalClock;
pub use grid::Grid;
pub use walker::Walker;
pub use wall::{ClockReading, WallClock};

/// The rules of a market for the beginnings of days and weeks.
///
/// ```
/// use calendar::{Alignment, Calendar, Weekday};
///
/// // The clocks of Athens skipped an hour on 30 March 2025.
/// let calendar = Calendar::new(Alignment::parse("Europe/Athens")?, Weekday::Mon);
/// let noon = candle::parse_bound("2025-03-30T12:00:00Z", None).unwrap();
/// let day = calendar.day(noon);
/// assert_eq!((day.end - day.start) / 3_600_000, 23);
/// assert_eq!(day.date.to_string(), "2025-03-30");
/// # Ok::<(), calendar::AlignmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Calendar {
    alignment: Alignment,
    week: Weekday,
}

/// A span of time that becomes one candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Its first millisecond.
    pub start: i64,
    /// The millisecond after its last one, with which the next bucket begins.
    pub end: i64,
}

impl Bucket {
    /// True if the bucket holds an instant.
    #[must_use]
    pub fn holds(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }
}

/// A day of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Day {
    /// Its first millisecond.
    pub start: i64,
    /// The millisecond after its last one, with which the next day begins.
    pub end: i64,
    /// The trading date: the local date one second before the day ends.
    pub date: NaiveDate,
}

impl Calendar {
    /// Days that begin as `alignment` says, and weeks that begin with the trading date of `week`.
    #[must_use]
    pub fn new(alignment: Alignment, week: Weekday) -> Self {
        Self { alignment, week }
    }

    /// The rule for the beginnings of days.
    #[must_use]
    pub fn alignment(&self) -> &Alignment {
        &self.alignment
    }

    /// The weekday of the trading date with which a week begins.
    #[must_use]
    pub fn week(&self) -> Weekday {
        self.week
    }

    /// The day that holds an instant.
    #[must_use]
    pub fn day(&self, time: i64) -> Day {
        self.walker(Timeframe::D1).day(time)
    }

    /// Finds buckets of a timeframe, in a few nanoseconds if a bucket is near the one before.
    #[must_use]
    pub fn walker(&self, timeframe: Timeframe) -> Walker {
        Walker::new(self, timeframe)
    }

    /// The buckets of a timeframe from an instant on, as a few numbers: the parts of `wholes` days, or `wholes` days,
    /// weeks or months. The first of these days, weeks or months holds `time`.
    ///
    /// ```
    /// use calendar::{Alignment, Calendar, Weekday};
    /// use candle::Timeframe;
    ///
    /// let grid = Calendar::new(Alignment::UTC, Weekday::Mon).grid_from(Timeframe::H4, 0, 2);
    /// assert_eq!(grid.bounds, [0, 86_400_000, 172_800_000]);
    /// assert_eq!(grid.stride, Some(4 * 3_600_000));
    /// ```
    #[must_use]
    pub fn grid_from(&self, timeframe: Timeframe, time: i64, wholes: usize) -> Grid {
        let mut walker = self.walker(timeframe);
        let mut bounds = Vec::with_capacity(wholes + 1);
        let mut whole = walker.whole(time);
        bounds.push(whole.start);
        for _ in 0..wholes {
            bounds.push(whole.end);
            whole = walker.whole(whole.end);
        }
        Grid { bounds, stride: walker.stride() }
    }

    /// As [`Self::grid_from`], but the last of the days, weeks or months holds `time`.
    #[must_use]
    pub fn grid_to(&self, timeframe: Timeframe, time: i64, wholes: usize) -> Grid {
        let mut walker = self.walker(timeframe);
        let mut bounds = Vec::with_capacity(wholes + 1);
        let mut whole = walker.whole(time);
        bounds.push(whole.end);
        for _ in 0..wholes {
            bounds.push(whole.start);
            whole = walker.whole(whole.start - 1);
        }
        bounds.reverse();
        Grid { bounds, stride: walker.stride() }
    }
}
