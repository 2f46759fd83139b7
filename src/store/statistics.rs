//! The stored candles of a series, counted by month. A series is counted in steps of a bounded number of rows, each of
//! which is one statement; the caller decides how long to pause between them.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate};

use super::series::{FIRST_TIME_MILLISECONDS, SeriesKey};
use super::{Database, Reading, Store, StoreError};
use candle::Timeframe;

/// The maximum number of rows that a step counts, by the calendar: those of a month of minutes and little more.
const MAX_STEP_ROWS: i64 = 50_000;
/// The maximum number of months that a step counts.
const MAX_STEP_MONTHS: i64 = 120;
/// The number of newest rows whose size is measured.
pub(super) const SIZED_ROWS: usize = 100;

/// A month of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(
    /// Months since January of the year 0.
    i32,
);

impl Month {
    /// A month by its number since January of the year 0.
    pub(super) fn numbered(number: i32) -> Self {
        Self(number)
    }

    /// The month that holds an instant of the years that requests reach, in epoch milliseconds.
    pub(super) fn holding(millis: i64) -> Option<Self> {
        let day = DateTime::from_timestamp_millis(millis)?.date_naive();
        Some(Self(day.year() * 12 + i32::try_from(day.month0()).ok()?))
    }

    /// Its first instant, in epoch milliseconds.
    pub(super) fn start(self) -> i64 {
        let (year, month) = self.parts();
        let day = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MAX);
        day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    fn parts(self) -> (i32, u32) {
        (self.0.div_euclid(12), self.0.rem_euclid(12).unsigned_abs() + 1)
    }
}

impl fmt::Display for Month {
    /// As in `2025-08`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = self.parts();
        write!(f, "{year:04}-{month:02}")
    }
}

/// The closed candles that opened in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthCount {
    /// The month.
    pub month: Month,
    /// Their number, at least 1.
    pub candles: u64,
}

/// The newest closed candles of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewestRows {
    /// The number of rows that were measured.
    pub rows: u64,
    /// The bytes that they take together, without the key's index.
    pub bytes: u64,
    /// The time at which the newest one was stored, in epoch milliseconds; `None` if the table does not keep it.
    pub received: Option<i64>,
}

/// The outcome of a step.
#[derive(Debug, Clone)]
pub struct CountedMonths {
    /// The months that hold candles, in ascending order.
    pub months: Vec<MonthCount>,
    /// The month from which to go on, unless these were the last ones.
    pub next: Option<Month>,
    /// The newest rows of the whole series.
    pub newest: NewestRows,
}

/// The result of a step: months that hold candles, at most as many as were asked for, and the newest rows.
#[derive(Debug)]
pub(super) struct StepCounts {
    pub(super) months: Vec<MonthCount>,
    pub(super) newest: NewestRows,
}

impl Store {
    /// Counts the closed candles of a series by month, from `from` on or from the first one, where `reading` says. Counts
    /// only some of the months; the answer says where to go on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_months(
        &self,
        reading: Reading,
        key: &SeriesKey,
        from: Option<Month>,
    ) -> Result<CountedMonths, StoreError> {
        let start = from.map_or(FIRST_TIME_MILLISECONDS, Month::start);
        let most = step_months(key.timeframe);
        let count = async {
            match &self.database {
                Database::Postgres(postgres) => postgres.count_months(reading.server, key.clone(), start, most).await,
                Database::Sqlite(sqlite) => sqlite.count_months(key.clone(), start, most).await,
            }
        };
        let StepCounts { months, newest } = self.measured("count_months", count).await?;
        let next = months.last().filter(|_| months.len() >= most).map(|last| last.month.next());
        Ok(CountedMonths { months, next, newest })
    }
}

/// The number of months of a timeframe that a step counts.
fn step_months(timeframe: Timeframe) -> usize {
    const LONGEST_MONTH_SECONDS: i64 = 31 * 86_400;
    let rows_a_month = LONGEST_MONTH_SECONDS / timeframe.length().unwrap_or(LONGEST_MONTH_SECONDS);
    let months = MAX_STEP_ROWS / rows_a_month.max(1);
    usize::try_from(months.clamp(1, MAX_STEP_MONTHS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_names_and_first_instants() {
        for (millis, name, start) in [
            (1_754_265_660_000, "2025-08", "2025-08-01T00:00:00Z"),
            (-1, "1969-12", "1969-12-01T00:00:00Z"),
            (0, "1970-01", "1970-01-01T00:00:00Z"),
            (FIRST_TIME_MILLISECONDS, "0001-01", "0001-01-01T00:00:00Z"),
        ] {
            let month = Month::holding(millis).unwrap();
            assert_eq!(month.to_string(), name);
            assert_eq!(candle::format_millis(month.start()).as_deref(), Some(start));
            assert_eq!(Month::holding(month.next().start() - 1), Some(month));
            assert_eq!(Month::holding(month.next().start()), Some(month.next()));
        }
    }

    #[test]
    fn a_step_counts_about_as_many_rows_in_every_timeframe() {
        for (timeframe, months) in
            [(Timeframe::M1, 1), (Timeframe::M5, 5), (Timeframe::H1, 67), (Timeframe::D1, 120), (Timeframe::MN1, 120)]
        {
            assert_eq!(step_months(timeframe), months, "{timeframe}");
        }
    }
}
