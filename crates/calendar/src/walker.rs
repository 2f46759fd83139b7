use chrono::{Datelike, Months, NaiveDate, Weekday};

use candle::Timeframe;

use crate::alignment::Alignment;
use crate::grid::part;
use crate::zone::Segment;
use crate::{Bucket, Calendar, Day};

const DAY_SECONDS: i64 = 86_400;
/// The maximum distance of an instant from 1970, so that every date exists in chrono's calendar.
const MAX_SECONDS: i64 = 250_000 * 365 * DAY_SECONDS;
/// The maximum distance of a clock from UTC.
const MAX_OFFSET_SECONDS: i64 = 26 * 3600;

/// Finds buckets of one timeframe. It keeps the last day, week or month, so that buckets that are requested in
/// ascending or descending order take a few nanoseconds each, and the zone is read once per day.
///
/// ```
/// use calendar::{Alignment, Calendar, Weekday};
/// use candle::Timeframe;
///
/// let mut walker = Calendar::new(Alignment::UTC, Weekday::Sun).walker(Timeframe::W1);
/// let week = walker.bucket(candle::parse_bound("2025-08-06", None).unwrap());
/// assert_eq!(candle::format_millis(week.start).as_deref(), Some("2025-08-03T00:00:00Z"));
/// assert_eq!(walker.bucket(week.end).start, week.end);
/// ```
#[derive(Debug, Clone)]
pub struct Walker {
    alignment: Alignment,
    week: Weekday,
    unit: Unit,
    /// The day, week or month that was found last.
    whole: Option<Bucket>,
    segment: Option<Segment>,
}

/// The span of a bucket.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// A part of a day, of this length in milliseconds.
    Part(i64),
    Day,
    Week,
    Month,
}

/// A day in seconds.
#[derive(Debug, Clone, Copy)]
struct DaySeconds {
    start: i64,
    end: i64,
    date: NaiveDate,
}

impl Walker {
    pub(crate) fn new(calendar: &Calendar, timeframe: Timeframe) -> Self {
        let unit = match timeframe {
            Timeframe::D1 => Unit::Day,
            Timeframe::W1 => Unit::Week,
            Timeframe::MN1 => Unit::Month,
            shorter => shorter.length().map_or(Unit::Day, |seconds| Unit::Part(seconds * 1000)),
        };
        Self { alignment: calendar.alignment.clone(), week: calendar.week, unit, whole: None, segment: None }
    }

    /// The bucket that holds an instant. The next bucket holds its end, and the one before the millisecond before its
    /// start.
    pub fn bucket(&mut self, time: i64) -> Bucket {
        let whole = self.whole(time);
        match self.unit {
            Unit::Part(stride) => part(whole, stride, time.clamp(whole.start, whole.end - 1)),
            Unit::Day | Unit::Week | Unit::Month => whole,
        }
    }

    /// The day, week or month that holds an instant: the bucket, or the day that the bucket is a part of.
    pub(crate) fn whole(&mut self, time: i64) -> Bucket {
        if let Some(whole) = self.whole.filter(|whole| whole.holds(time)) {
            return whole;
        }
        let second = seconds(time);
        let (start, end) = match self.unit {
            Unit::Part(_) | Unit::Day => {
                let day = self.day_at(second);
                (day.start, day.end)
            }
            Unit::Week => {
                let date = self.day_at(second).date;
                let first = date - chrono::Days::new(u64::from(date.weekday().days_since(self.week)));
                (self.first_day_from(first).start, self.first_day_from(first + chrono::Days::new(7)).start)
            }
            Unit::Month => {
                let date = self.day_at(second).date;
                let first = date.with_day(1).unwrap_or(date);
                (self.first_day_from(first).start, self.first_day_from(first + Months::new(1)).start)
            }
        };
        let whole = Bucket { start: start * 1000, end: end * 1000 };
        self.whole = Some(whole);
        whole
    }

    pub(crate) fn day(&mut self, time: i64) -> Day {
        let DaySeconds { start, end, date } = self.day_at(seconds(time));
        Day { start: start * 1000, end: end * 1000, date }
    }

    /// The length of a part of a day, in milliseconds, if buckets are parts of days.
    pub(crate) fn stride(&self) -> Option<i64> {
        if let Unit::Part(stride) = self.unit { Some(stride) } else { None }
    }

    /// The day that holds a second.
    fn day_at(&mut self, second: i64) -> DaySeconds {
        let day_start = self.alignment.day_start_seconds();
        let mut number = (self.local(second) - day_start).div_euclid(DAY_SECONDS);
        let mut start = self.day_start(number);
        let mut end = self.day_start(number + 1);
        // The clock may show times of the day before after it was set back, and two days begin at the same instant
        // where a zone skipped a date.
        while end <= second {
            number += 1;
            start = end;
            end = self.day_start(number + 1);
        }
        DaySeconds { start, end, date: date(self.local(end - 1).div_euclid(DAY_SECONDS)) }
    }

    /// The first day whose trading date is `first` or later.
    fn first_day_from(&mut self, first: NaiveDate) -> DaySeconds {
        // The clock has not shown the date `first` before this day begins.
        let number = i64::from(first.to_epoch_days()) - i64::from(self.alignment.day_start_seconds() > 0);
        let start = self.day_start(number);
        let mut day = self.day_at(start);
        // A day that is cut short by skipped local times may end on an earlier date.
        while day.date < first {
            day = self.day_at(day.end);
        }
        day
    }

    /// The first second at which the clock shows the start of the day `number`, counted from 1970-01-01, or a later
    /// time.
    fn day_start(&mut self, number: i64) -> i64 {
        let shown = number * DAY_SECONDS + self.alignment.day_start_seconds();
        let mut segment = self.segment(shown - MAX_OFFSET_SECONDS);
        loop {
            // The start of the segment counts if the clock already shows a later time there.
            let second = (shown - segment.offset).max(segment.start);
            if second < segment.end {
                return second;
            }
            segment = self.segment(segment.end);
        }
    }

    fn local(&mut self, second: i64) -> i64 {
        second + self.segment(second).offset
    }

    fn segment(&mut self, second: i64) -> Segment {
        match self.segment {
            Some(segment) if segment.start <= second && second < segment.end => segment,
            _ => *self.segment.insert(self.alignment.zone().segment(second)),
        }
    }
}

fn seconds(millis: i64) -> i64 {
    millis.div_euclid(1000).clamp(-MAX_SECONDS, MAX_SECONDS)
}

fn date(epoch_days: i64) -> NaiveDate {
    i32::try_from(epoch_days).ok().and_then(NaiveDate::from_epoch_days).unwrap_or_default()
}
