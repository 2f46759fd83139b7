//! Days, weeks, months and their parts, compared with a slow model and with instants that are known otherwise.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod slow;

use calendar::{Alignment, Bucket, Calendar, Day, Weekday};
use candle::{Timeframe, format_millis, parse_bound};
use proptest::prelude::*;

use slow::{Clock, SeenDay};

const DAY: i64 = 86_400;

fn calendar(align: &str) -> Calendar {
    Calendar::new(Alignment::parse(align).unwrap(), Weekday::Mon)
}

fn millis(text: &str) -> i64 {
    parse_bound(text, None).unwrap()
}

fn text(bucket: Bucket) -> (String, String) {
    (format_millis(bucket.start).unwrap(), format_millis(bucket.end).unwrap())
}

/// Compares every kind of bucket around `second` with the model, which looks at the clock every `step` seconds.
fn compare(zone: &str, hour: u32, minute: u32, second: i64, week: Weekday, step: i64) {
    let fixed = zone.parse::<i64>().ok();
    let align = match fixed {
        None => format!("{zone}@{hour:02}:{minute:02}"),
        Some(seconds) => {
            let sign = if seconds < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}@{hour:02}:{minute:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
        }
    };
    let calendar = Calendar::new(Alignment::parse(&align).unwrap(), week);
    let from = second.div_euclid(3600) * 3600;
    let days = Clock::watch(&slow::zone(zone), from - 40 * DAY, from + 40 * DAY, step).days(hour, minute);
    let known = days.iter().find(|day| day.start <= second && second < day.end);
    let &SeenDay { start, end, date } = known.unwrap_or_else(|| panic!("the model has no day for {second} in {align}"));
    let day = calendar.day(second * 1000);
    assert_eq!(day, Day { start: start * 1000, end: end * 1000, date }, "the day of {second} in {align}");
    for timeframe in Timeframe::ALL {
        let expected = match (timeframe, timeframe.length()) {
            (Timeframe::D1, _) => Some((start, end)),
            (Timeframe::W1, _) => slow::week(&days, second, week),
            (Timeframe::MN1, _) | (_, None) => slow::month(&days, second),
            (_, Some(length)) => slow::part_of_day(&days, second, length),
        };
        let (start, end) = expected.unwrap_or_else(|| panic!("the model has no {timeframe} for {second} in {align}"));
        let expected = Bucket { start: start * 1000, end: end * 1000 };
        let mut walker = calendar.walker(timeframe);
        assert_eq!(walker.bucket(second * 1000), expected, "the {timeframe} of {second} in {align}, {week}");
        // Neighbours join, whether the walker comes from there or not.
        for edge in [expected.end, expected.start - 1] {
            let neighbour = walker.bucket(edge);
            assert_eq!(calendar.walker(timeframe).bucket(edge), neighbour, "{timeframe} {edge} {align}");
            assert!(neighbour.end == expected.start || neighbour.start == expected.end, "{timeframe} {edge} {align}");
        }
        let grids = [calendar.grid_from(timeframe, second * 1000, 3), calendar.grid_to(timeframe, second * 1000, 3)];
        for grid in grids {
            assert_eq!(grid.bounds.len(), 4);
            assert_eq!(grid.bucket(second * 1000), Some(expected), "the grid of {timeframe} at {second} in {align}");
            let covered = grid.covers();
            assert_eq!(grid.bucket(covered.end - 1), Some(walker.bucket(covered.end - 1)));
            assert_eq!((grid.bucket(covered.start - 1), grid.bucket(covered.end)), (None, None));
        }
    }
}

/// Zones, and instants around which something happens there.
fn zones() -> impl Strategy<Value = (&'static str, i64)> {
    let around = |zone, instants: &'static [&'static str]| {
        let second = prop::sample::select(instants).prop_map(|text| millis(text) / 1000);
        (Just(zone), second, -3 * DAY..3 * DAY).prop_map(|(zone, second, shift)| (zone, second + shift))
    };
    let anywhere = |zone| (Just(zone), millis("1975-01-01") / 1000..millis("2200-01-01") / 1000);
    prop_oneof![
        4 => around("America/New_York", &["2025-03-09T07:00:00Z", "2025-11-02T06:00:00Z", "2007-03-11T07:00:00Z"]),
        4 => around("Europe/Athens", &["2025-03-30T01:00:00Z", "2025-10-26T01:00:00Z"]),
        4 => around("Australia/Lord_Howe", &["2025-04-05T15:00:00Z", "2025-10-04T15:30:00Z"]),
        // Skipped 30 December 2011.
        4 => around("Pacific/Apia", &["2011-12-30T10:00:00Z", "2012-01-01"]),
        // Skipped 21 August 1993.
        1 => around("Pacific/Kwajalein", &["1993-08-21T12:00:00Z"]),
        // Clocks go forward at midnight, which does not exist then, and back at midnight, so that 23:00 comes twice.
        2 => around("America/Santiago", &["2024-09-08T04:00:00Z", "2025-04-06T03:00:00Z"]),
        // Clocks went back at 00:01, so that midnight came twice.
        2 => around("America/St_Johns", &["2008-11-02T02:31:00Z", "2009-03-08T03:31:00Z"]),
        // Clocks go back at 01:00 to midnight.
        2 => around("Atlantic/Azores", &["2025-10-26T01:00:00Z", "2025-03-30T01:00:00Z"]),
        // Goes back for Ramadan.
        1 => around("Africa/Casablanca", &["2025-02-23T02:00:00Z", "2025-04-06T02:00:00Z"]),
        1 => anywhere("America/New_York"),
        1 => anywhere("Europe/Athens"),
        1 => anywhere("Asia/Kolkata"),
        1 => anywhere("Asia/Kathmandu"),
        1 => anywhere("50400"),
        1 => anywhere("-50400"),
        1 => anywhere("0"),
    ]
}

fn weekday() -> impl Strategy<Value = Weekday> {
    (0..7_u8).prop_map(|number| Weekday::try_from(number).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn every_bucket_is_that_of_the_slow_model(
        (zone, second) in zones(),
        (hour, minute) in prop_oneof![Just((0, 0)), Just((17, 0)), Just((2, 30)), (0..24_u32, 0..60_u32)],
        week in weekday(),
    ) {
        compare(zone, hour, minute, second, week, 60);
    }

    #[test]
    fn walking_finds_what_asking_anew_finds(
        (zone, second) in zones(),
        steps in prop::collection::vec(-200_000_i64..200_000, 1..40),
        index in 0..21_usize,
    ) {
        let align = zone.parse::<i64>().map_or(zone.to_owned(), |_| "+14:00".to_owned());
        let (calendar, timeframe) = (calendar(&align), Timeframe::ALL[index]);
        let (mut walker, mut time) = (calendar.walker(timeframe), second * 1000);
        for step in steps {
            time += step * 1000 + step % 1000;
            prop_assert_eq!(walker.bucket(time), calendar.walker(timeframe).bucket(time));
            prop_assert!(walker.bucket(time).holds(time));
        }
    }
}

#[test]
fn a_clock_that_had_seconds_is_followed_to_the_second() {
    // New York kept its own mean time, 4:56:02 behind, until noon of 18 November 1883.
    let noon = millis("1883-11-18T17:00:00Z") / 1000;
    for (shift, hour) in [(-2 * DAY, 0), (-100, 0), (100, 0), (-100, 12), (100, 12), (2 * DAY, 17)] {
        let from = (noon + shift).div_euclid(3600) * 3600;
        let days = Clock::watch(&slow::zone("America/New_York"), from - 3 * DAY, from + 3 * DAY, 1).days(hour, 0);
        let expected = days.iter().find(|day| day.start <= noon + shift && noon + shift < day.end).unwrap();
        let day = calendar(&format!("America/New_York@{hour:02}:00")).day((noon + shift) * 1000);
        assert_eq!((day.start / 1000, day.end / 1000, day.date), (expected.start, expected.end, expected.date));
    }
}

#[test]
fn the_days_of_known_markets() {
    #[rustfmt::skip]
    let table = [
        // (alignment, instant, start, end, trading date)
        ("utc", "2025-08-06T12:00:00Z", "2025-08-06T00:00:00Z", "2025-08-07T00:00:00Z", "2025-08-06"),
        ("+03:00", "2025-08-06T21:00:00Z", "2025-08-06T21:00:00Z", "2025-08-07T21:00:00Z", "2025-08-07"),
        ("-03:30", "2025-08-06T03:29:59Z", "2025-08-05T03:30:00Z", "2025-08-06T03:30:00Z", "2025-08-05"),
        // Sunday evening belongs to Monday, in summer and in winter.
        ("ny17", "2025-08-03T21:00:00Z", "2025-08-03T21:00:00Z", "2025-08-04T21:00:00Z", "2025-08-04"),
        ("ny17", "2025-12-07T22:00:00Z", "2025-12-07T22:00:00Z", "2025-12-08T22:00:00Z", "2025-12-08"),
        // The clocks of New York change in the day from Saturday to Sunday 17:00.
        ("ny17", "2025-03-09T06:59:59Z", "2025-03-08T22:00:00Z", "2025-03-09T21:00:00Z", "2025-03-09"),
        ("ny17", "2025-11-02T06:00:00Z", "2025-11-01T21:00:00Z", "2025-11-02T22:00:00Z", "2025-11-02"),
        ("Europe/Athens", "2025-03-30T12:00:00Z", "2025-03-29T22:00:00Z", "2025-03-30T21:00:00Z", "2025-03-30"),
        ("Europe/Athens", "2025-10-26T12:00:00Z", "2025-10-25T21:00:00Z", "2025-10-26T22:00:00Z", "2025-10-26"),
        // Half an hour.
        ("Australia/Lord_Howe", "2025-04-05T16:00:00Z", "2025-04-05T13:00:00Z", "2025-04-06T13:30:00Z", "2025-04-06"),
        // The 29th is followed by the 31st.
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2011-12-31"),
        // Midnight was skipped, so the day begins at 01:00.
        ("America/Santiago", "2024-09-08T12:00:00Z", "2024-09-08T04:00:00Z", "2024-09-09T03:00:00Z", "2024-09-08"),
        // 23:30 comes twice, and the first one counts.
        ("America/Santiago@23:30", "2025-04-06T03:00:00Z", "2025-04-06T02:30:00Z", "2025-04-07T03:30:00Z", "2025-04-06"),
        // A start within a skipped hour is the end of the gap.
        ("Europe/Athens@03:30", "2025-03-30T12:00:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z", "2025-03-31"),
    ];
    for (align, time, start, end, date) in table {
        let day = calendar(align).day(millis(time));
        let found = (format_millis(day.start).unwrap(), format_millis(day.end).unwrap(), day.date.to_string());
        assert_eq!(found, (start.to_owned(), end.to_owned(), date.to_owned()), "{align} {time}");
    }
}

/// OANDA's defaults are days from 17:00 in New York and weeks from Friday 17:00 (its documentation, "Instrument
/// Candles": `dailyAlignment`, `alignmentTimezone`, `weeklyAlignment`), which is the week of Saturday's trading date.
#[test]
fn weeks_and_months_of_known_markets() {
    let wednesday = millis("2025-08-06T12:00:00Z");
    #[rustfmt::skip]
    let table = [
        ("utc", "monday", Timeframe::W1, "2025-08-04T00:00:00Z", "2025-08-11T00:00:00Z"),
        ("utc", "sunday", Timeframe::W1, "2025-08-03T00:00:00Z", "2025-08-10T00:00:00Z"),
        // Sunday 17:00 in New York.
        ("ny17", "monday", Timeframe::W1, "2025-08-03T21:00:00Z", "2025-08-10T21:00:00Z"),
        ("ny17", "saturday", Timeframe::W1, "2025-08-01T21:00:00Z", "2025-08-08T21:00:00Z"),
        ("utc", "monday", Timeframe::MN1, "2025-08-01T00:00:00Z", "2025-09-01T00:00:00Z"),
        // The first day of August is the one from Thursday 17:00 on.
        ("ny17", "monday", Timeframe::MN1, "2025-07-31T21:00:00Z", "2025-08-31T21:00:00Z"),
        ("Asia/Tokyo", "monday", Timeframe::MN1, "2025-07-31T15:00:00Z", "2025-08-31T15:00:00Z"),
    ];
    for (align, week, timeframe, start, end) in table {
        let calendar = Calendar::new(Alignment::parse(align).unwrap(), calendar::parse_weekday(week).unwrap());
        let bucket = calendar.walker(timeframe).bucket(wednesday);
        assert_eq!(text(bucket), (start.to_owned(), end.to_owned()), "{align} {week} {timeframe}");
    }
}

#[test]
fn the_last_part_of_a_day_is_cut() {
    let buckets = |align: &str, timeframe, from: &str| {
        let mut walker = calendar(align).walker(timeframe);
        let mut bucket = walker.bucket(millis(from));
        let mut hours = Vec::new();
        for _ in 0..7 {
            hours.push((bucket.end - bucket.start) / 3_600_000);
            bucket = walker.bucket(bucket.end);
        }
        hours
    };
    let spring = "2025-03-29T22:00:00Z";
    assert_eq!(buckets("Europe/Athens", Timeframe::H4, spring), [4, 4, 4, 4, 4, 3, 4]);
    assert_eq!(buckets("Europe/Athens", Timeframe::H12, spring), [12, 11, 12, 12, 12, 12, 12]);
    let autumn = "2025-10-25T21:00:00Z";
    assert_eq!(buckets("Europe/Athens", Timeframe::H4, autumn), [4, 4, 4, 4, 4, 4, 1]);
}

#[test]
fn the_far_past_and_the_far_future_have_buckets() {
    for align in ["utc", "ny17", "Europe/Athens", "Pacific/Apia@12:00", "+14:00", "-14:00"] {
        let calendar = calendar(align);
        let ends = ["0001-01-01", "1700-01-01", "1900-06-01", "2400-02-29", "9998-12-31", "9999-12-31T23:59:59Z"];
        let instants =
            ends.map(millis).into_iter().chain([i64::from(i32::MIN) * 1_000_000, i64::from(i32::MAX) * 1_000_000]);
        for time in instants {
            for timeframe in Timeframe::ALL {
                let bucket = calendar.walker(timeframe).bucket(time);
                assert!(bucket.holds(time), "{align} {timeframe} {time} {bucket:?}");
                let nominal = timeframe.length().unwrap_or(31 * DAY) * 1000;
                assert!(bucket.end - bucket.start <= nominal + 3_600_000, "{align} {timeframe} {time} {bucket:?}");
            }
        }
        // Beyond every date, a bucket is still found.
        for time in [i64::MIN, i64::MAX] {
            for timeframe in [Timeframe::M1, Timeframe::D1, Timeframe::W1, Timeframe::MN1] {
                let bucket = calendar.walker(timeframe).bucket(time);
                assert!(bucket.start < bucket.end);
            }
        }
    }
}

#[test]
fn an_alignment_is_read_back_as_it_is_written() {
    for (text, written) in [
        ("UTC", "utc"),
        ("+00:00", "utc"),
        ("-00:00", "utc"),
        ("utc@00:00", "utc"),
        ("utc@22:00", "utc@22:00"),
        ("NY17", "ny17"),
        ("america/new_york@17:00", "ny17"),
        ("America/New_York@16:59", "America/New_York@16:59"),
        ("Asia/Kolkata", "Asia/Kolkata"),
        ("+05:30", "+05:30"),
        ("-03:30@09:15", "-03:30@09:15"),
        ("+14:00", "+14:00"),
    ] {
        let alignment = Alignment::parse(text).unwrap();
        assert_eq!(alignment.to_string(), written);
        assert_eq!(Alignment::parse(written).unwrap(), alignment);
    }
}

#[test]
fn a_weekday_is_read_back_as_it_is_written() {
    for number in 0..7 {
        let day = Weekday::try_from(number).unwrap();
        assert_eq!(calendar::parse_weekday(calendar::weekday_name(day)), Ok(day));
    }
}

#[test]
fn a_refusal_says_what_to_send() {
    #[rustfmt::skip]
    let table = [
        ("Europe/Athen", "unknown_zone", "did you mean Europe/Athens?"),
        ("athens", "unknown_zone", "did you mean Europe/Athens?"),
        ("New York", "unknown_zone", "did you mean America/New_York?"),
        ("xqzzy", "unknown_zone", "an offset such as +03:00"),
        ("", "unknown_zone", "is not a known time zone"),
        ("Europe/\u{e4}", "unknown_zone", "is not a known time zone"),
        ("../etc/passwd", "unknown_zone", "send utc, ny17"),
        ("Europe/Athens@", "not_a_time", "such as Europe/Athens@17:00"),
        ("Europe/Athens@24:00", "not_a_time", "from 00:00 to 23:59"),
        ("utc@5:00", "not_a_time", "from 00:00 to 23:59"),
        ("+3", "not_an_offset", "send one such as +03:00"),
        ("+14:15", "not_an_offset", "from -14:00 to +14:00"),
        ("+03:07", "not_an_offset", "multiples of 15 minutes"),
        ("+\u{e4}3:00", "not_an_offset", "multiples of 15 minutes"),
        (" 03:00", "not_an_offset", "send %2B03:00"),
    ];
    for (text, rule, message) in table {
        let error = Alignment::parse(text).unwrap_err();
        assert_eq!(error.rule(), rule, "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    let error = calendar::parse_weekday("mon").unwrap_err();
    assert_eq!((error.rule(), error.to_string().contains("send monday")), ("unknown_weekday", true));
}
