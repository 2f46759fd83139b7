//! Parts of a bar's time in UTC, by the Gregorian calendar.

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Minute of the hour, 0 to 59.
pub(super) fn minute(time: i64) -> i64 {
    time.rem_euclid(HOUR) / MINUTE
}

/// Hour of the day, 0 to 23.
pub(super) fn hour(time: i64) -> i64 {
    time.rem_euclid(DAY) / HOUR
}

/// Day of the week, 1 for Sunday to 7 for Saturday, as Pine counts.
pub(super) fn day_of_week(time: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (time.div_euclid(DAY) + 4).rem_euclid(7) + 1
}

/// Day of the month, 1 to 31.
pub(super) fn day_of_month(time: i64) -> i64 {
    month_and_day(time).1
}

/// Month of the year, 1 to 12.
pub(super) fn month(time: i64) -> i64 {
    month_and_day(time).0
}

/// Years begin in March here, so that the leap day is a year's last; five months from March have 153 days, as have the next
/// five (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn month_and_day(time: i64) -> (i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    let day_of_era = (time.div_euclid(DAY) + 719_468).rem_euclid(ERA_DAYS);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks day by day with the lengths of months, from 1899-12-31 to 2101.
    #[test]
    fn dates_are_those_of_the_calendar() {
        // 1900-01-01 is 25,567 days before 1970-01-01, and was a Monday.
        let (mut time, mut weekday) = (-25_567 * DAY, 2);
        for year in 1900..2101_i64 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for (month_number, days) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                for day in 1..=days {
                    for moment in [time, time + DAY - 1] {
                        assert_eq!((month(moment), day_of_month(moment)), (month_number, day), "{year}");
                        assert_eq!(day_of_week(moment), weekday);
                    }
                    time += DAY;
                    weekday = weekday % 7 + 1;
                }
            }
        }
    }

    #[test]
    fn hours_and_minutes_before_1970_count_up_as_well() {
        assert_eq!((hour(-1), minute(-1)), (23, 59));
        assert_eq!((hour(13 * HOUR + 59 * MINUTE), minute(13 * HOUR + 59 * MINUTE)), (13, 59));
    }
}
