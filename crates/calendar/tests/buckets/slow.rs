//! A slow model of the calendar: it looks the wall clock up at every step of a stretch of time, and takes days, weeks
//! and months from what it saw. It shares no code with the crate.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// The times that a wall clock showed.
pub(crate) struct Clock {
    /// The instants, in seconds, and what the clock showed at each.
    seen: Vec<(i64, NaiveDateTime)>,
}

/// A day as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenDay {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) date: NaiveDate,
}

/// The zone of a name of the IANA database, or of an offset in seconds.
pub(crate) fn zone(name: &str) -> TimeZone {
    match name.parse() {
        Ok(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).unwrap()),
        Err(_) => TimeZone::get(name).unwrap(),
    }
}

impl Clock {
    /// Looks at the clock of `zone` every `step` seconds.
    pub(crate) fn watch(zone: &TimeZone, from: i64, to: i64, step: i64) -> Self {
        let look = |second: i64| {
            let shown = zone.to_datetime(Timestamp::from_second(second).unwrap());
            let [month, day, hour, minute, second_of_minute] =
                [shown.month(), shown.day(), shown.hour(), shown.minute(), shown.second()].map(i8::cast_unsigned);
            let date = NaiveDate::from_ymd_opt(shown.year().into(), month.into(), day.into()).unwrap();
            (second, date.and_hms_opt(hour.into(), minute.into(), second_of_minute.into()).unwrap())
        };
        let steps = (to - from) / step;
        Self { seen: (0..=steps).map(|n| look(from + n * step)).collect() }
    }

    /// The days that lie wholly in what was seen, if each begins when the clock shows `hour`:`minute`: at the first
    /// such instant if there are two, and at the first instant after the gap if there is none.
    pub(crate) fn days(&self, hour: u32, minute: u32) -> Vec<SeenDay> {
        let (first, last) = (self.seen[0].1.date(), self.seen.last().unwrap().1.date());
        let mut starts = Vec::new();
        let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        let at_that_time: Vec<_> = self.seen.iter().filter(|(_, shown)| shown.time() == time).collect();
        let jumps = |pair: &&[(i64, NaiveDateTime)]| (pair[1].1 - pair[0].1).num_seconds() > pair[1].0 - pair[0].0;
        let jumps: Vec<_> = self.seen.windows(2).filter(jumps).collect();
        for date in first.iter_days().take_while(|&date| date <= last) {
            let start = date.and_time(time);
            // Days before the first look are not known.
            if start <= self.seen[0].1 {
                continue;
            }
            let shows_it = at_that_time.iter().find(|(_, shown)| *shown == start).copied();
            let after_the_gap =
                || jumps.iter().find(|jump| jump[0].1 < start && start < jump[1].1).map(|jump| &jump[1]);
            starts.extend(shows_it.or_else(after_the_gap).map(|&(second, _)| second));
        }
        starts.sort_unstable();
        starts.dedup();
        let day = |pair: &[i64]| {
            let at = self.seen.partition_point(|&(second, _)| second < pair[1]);
            let (before, shown) = self.seen[at - 1];
            // The clock runs evenly between two looks.
            let date = (shown + TimeDelta::seconds(pair[1] - 1 - before)).date();
            SeenDay { start: pair[0], end: pair[1], date }
        };
        starts.windows(2).map(day).collect()
    }
}

/// The bucket of `length` seconds, counted from the day's start and cut at its end, that holds `second`.
pub(crate) fn part_of_day(days: &[SeenDay], second: i64, length: i64) -> Option<(i64, i64)> {
    let day = days.iter().find(|day| day.start <= second && second < day.end)?;
    let mut start = day.start;
    while start + length <= second {
        start += length;
    }
    Some((start, (start + length).min(day.end)))
}

/// The run of days around `second` that `key` puts together; `None` if it may go on beyond the known days.
fn run_of_days<K: PartialEq>(days: &[SeenDay], second: i64, key: impl Fn(NaiveDate) -> K) -> Option<(i64, i64)> {
    let at = days.iter().position(|day| day.start <= second && second < day.end)?;
    let same = |day: &&SeenDay| key(day.date) == key(days[at].date);
    let first = days[..=at].iter().rev().take_while(same).count();
    let last = days[at..].iter().take_while(same).count();
    let (first, last) = (at + 1 - first, at + last - 1);
    (first > 0 && last + 1 < days.len()).then(|| (days[first].start, days[last].end))
}

/// The week that holds `second`, by trading dates.
pub(crate) fn week(days: &[SeenDay], second: i64, begins: Weekday) -> Option<(i64, i64)> {
    let first_date = |mut date: NaiveDate| {
        while date.weekday() != begins {
            date = date.pred_opt().unwrap();
        }
        date
    };
    run_of_days(days, second, first_date)
}

/// The month that holds `second`, by trading dates.
pub(crate) fn month(days: &[SeenDay], second: i64) -> Option<(i64, i64)> {
    run_of_days(days, second, |date| (date.year(), date.month()))
}
