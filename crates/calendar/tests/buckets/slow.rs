//! A slow model of the calendar: it looks the wall clock up at every step of a stretch of time, and takes days, weeks and
//! months from what it saw. It shares no code with the crate.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// What a wall clock showed.
pub struct Clock {
    /// The instants, in seconds, and what the clock showed at each.
    seen: Vec<(i64, NaiveDateTime)>,
}

/// A day as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenDay {
    pub start: i64,
    pub end: i64,
    pub date: NaiveDate,
}

/// The zone of a name of the IANA database, or of an offset in seconds.
pub fn zone(name: &str) -> TimeZone {
    match name.parse() {
        Ok(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).unwrap()),
        Err(_) => TimeZone::get(name).unwrap(),
    }
}

impl Clock {
    /// Looks at the clock of `zone` every `step` seconds.
    pub fn watch(zone: &TimeZone, from: i64, to: i64, step: i64) -> Self {
        let look = |second: i64| {
            let shown = zone.to_datetime(Timestamp::from_second(second).unwrap());
            let date = NaiveDate::from_ymd_opt(shown.year().into(), shown.month() as u32, shown.day() as u32).unwrap();
            let time = (shown.hour() as u32, shown.minute() as u32, shown.second() as u32);
            (second, date.and_hms_opt(time.0, time.1, time.2).unwrap())
        };
        let steps = (to - from) / step;
        Self { seen: (0..=steps).map(|n| look(from + n * step)).collect() }
    }

    /// The days that lie wholly in what was seen, if each begins when the clock shows `hour`:`minute`: at the first such
    /// instant if there are two, and at the first instant after the gap if there is none.
    pub fn days(&self, hour: u32, minute: u32) -> Vec<SeenDay> {
        let (first, last) = (self.seen[0].1.date(), self.seen.last().unwrap().1.date());
        let mut starts = Vec::new();
        for date in first.iter_days().take_while(|&date| date <= last) {
            let start = date.and_hms_opt(hour, minute, 0).unwrap();
            // What lies before the first look is not known.
            if start <= self.seen[0].1 {
                continue;
            }
            let shows_it = self.seen.iter().find(|&&(_, shown)| shown == start);
            let after_the_gap = || {
                let mut pairs = self.seen.windows(2);
                pairs.find(|pair| pair[0].1 < start && start < pair[1].1).map(|pair| &pair[1])
            };
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
pub fn part_of_day(days: &[SeenDay], second: i64, length: i64) -> Option<(i64, i64)> {
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
pub fn week(days: &[SeenDay], second: i64, begins: Weekday) -> Option<(i64, i64)> {
    let first_date = |mut date: NaiveDate| {
        while date.weekday() != begins {
            date = date.pred_opt().unwrap();
        }
        date
    };
    run_of_days(days, second, first_date)
}

/// The month that holds `second`, by trading dates.
pub fn month(days: &[SeenDay], second: i64) -> Option<(i64, i64)> {
    run_of_days(days, second, |date| (date.year(), date.month()))
}
