//! Gap reports of synthetic years: Forex with holidays and daylight saving, a market that never shuts, a thin symbol, days.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of tests are small"
)]

use std::collections::BTreeSet;

use candle::Timeframe;
use proptest::prelude::*;
use sessions::{Gap, GapKind, GapReport, Gaps, Grid, Hours, LEARNED_WEEKS, Presence, Week};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// 2024-01-01, a Monday, at 00:00 UTC.
const START: i64 = 1_704_067_200_000;

type Clock = fn(i64) -> i64;

/// New York's clock: an hour ahead of −5 h from the second Sunday in March, 07:00 UTC, to the first in November, 06:00 UTC.
fn new_york(time: i64) -> i64 {
    const SUMMERS: [(i64, i64); 3] = [
        (1_710_054_000_000, 1_730_613_600_000),
        (1_741_503_600_000, 1_762_063_200_000),
        (1_772_953_200_000, 1_793_512_800_000),
    ];
    let summer = SUMMERS.iter().any(|(start, end)| (*start..*end).contains(&time));
    if summer { -4 * HOUR } else { -5 * HOUR }
}

fn utc(_: i64) -> i64 {
    0
}

/// True in Forex's week, from Sunday 17:00 to Friday 17:00 in New York.
fn forex(time: i64) -> bool {
    let local = (time + new_york(time) - 4 * DAY).rem_euclid(WEEK);
    !(4 * DAY + 17 * HOUR..6 * DAY + 17 * HOUR).contains(&local)
}

fn minutes(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from..to).step_by(MINUTE as usize)
}

fn report(week: &Week, grid: Grid<Clock>, range: (i64, i64), opened: impl Iterator<Item = i64>) -> GapReport {
    let mut gaps = Gaps::new(week, grid, range, 1, 1000);
    opened.filter(|opened| (range.0..=range.1).contains(opened)).for_each(|opened| gaps.add(opened));
    gaps.finish()
}

fn grid(timeframe: Timeframe, phase: i64, clock: Clock) -> Grid<Clock> {
    Grid::new(timeframe, phase, clock).unwrap()
}

fn learned(grid: &mut Grid<Clock>, end: i64, opened: impl Iterator<Item = i64>) -> Week {
    let mut presence = Presence::before(end, grid);
    opened.for_each(|opened| presence.add(opened, grid));
    presence.learned().unwrap().week
}

#[test]
fn two_clean_years_of_forex_have_no_gap() {
    let mut grid = grid(Timeframe::M1, 0, new_york);
    let mut to = START + 26 * WEEK;
    while to <= START + 104 * WEEK {
        let open = |from| minutes(from, to).filter(|time| forex(*time));
        let week = learned(&mut grid, to, open(to - 26 * WEEK));
        assert_eq!(week.expected_per_week(), 7200);
        let found = report(&week, grid.clone(), (to - 13 * WEEK, to - 1), open(to - 13 * WEEK));
        assert_eq!((found.stored, found.gaps.len()), (found.expected, 0), "{to}");
        to += 13 * WEEK;
    }
}

#[test]
fn holes_and_holidays_are_told_apart() {
    let to = START + 52 * WEEK;
    // 2024-12-25 and the evening before, a Thursday that ends early, an outage of an hour, and one of a week.
    let holiday = 1_735_074_000_000..1_735_163_999_999;
    let early = 1_732_813_200_000..1_732_831_200_000;
    let outage = 1_731_495_600_000..1_731_499_200_000;
    let week_off = START + 30 * WEEK - 5 * HOUR..START + 31 * WEEK - 5 * HOUR;
    let lost = [holiday, early, outage, week_off];
    let opened = || minutes(START, to).filter(|time| forex(*time) && !lost.iter().any(|lost| lost.contains(time)));
    let mut grid = grid(Timeframe::M1, 0, new_york);
    let week = learned(&mut grid, to, opened());
    assert_eq!(week.expected_per_week(), 7200);
    let found = report(&week, grid, (START + 26 * WEEK, to - 1), opened());
    let gaps: Vec<_> = found.gaps.iter().map(|gap| (gap.from, gap.missing / 60, gap.kind)).collect();
    let expected = [
        // From Sunday 17:00 to Friday 17:00.
        (lost[3].start + 2 * HOUR, 120, GapKind::Closure),
        (lost[2].start, 1, GapKind::Hole),
        (lost[1].start, 5, GapKind::Hole),
        (lost[0].start, 25, GapKind::Closure),
    ];
    assert_eq!(gaps, expected);
    assert_eq!(found.expected - found.stored, found.gaps.iter().map(|gap| gap.missing).sum::<u64>());
}

#[test]
fn a_quarter_of_a_day_to_its_end_looks_like_a_holiday() {
    let to = START + 26 * WEEK;
    // Thursday 2024-06-06: 17:00 in New York is 21:00 UTC.
    let end = 1_717_707_600_000;
    for (from, until, kind) in [
        (end - 6 * HOUR, end, GapKind::Closure),
        (end - 6 * HOUR + MINUTE, end, GapKind::Hole),
        (end - 6 * HOUR, end - MINUTE, GapKind::Hole),
        (end - 6 * HOUR, end + HOUR, GapKind::Closure),
        (end - HOUR, end + HOUR, GapKind::Hole),
    ] {
        let opened = || minutes(START, to).filter(|time| forex(*time) && !(from..until).contains(time));
        let mut grid = grid(Timeframe::M1, 0, new_york);
        let week = learned(&mut grid, to, opened());
        let found = report(&week, grid, (to - 8 * WEEK, to - 1), opened());
        let missing = ((until - from) / MINUTE) as u64;
        assert_eq!(found.gaps, [Gap { from, to: until - MINUTE, missing, kind }]);
    }
}

#[test]
fn a_market_that_never_shuts_is_expected_at_all_times() {
    let to = START + 30 * WEEK;
    let (from, until) = (START + 20 * WEEK + 7 * HOUR, START + 20 * WEEK + 9 * HOUR);
    for clock in [utc as Clock, new_york] {
        let opened = || minutes(START, to).filter(|time| !(from..until).contains(time));
        let mut grid = grid(Timeframe::M1, 0, clock);
        let week = learned(&mut grid, to, opened());
        assert_eq!(week.expected_per_week(), 10_080);
        assert_eq!(Week::always(Timeframe::M1, 0).unwrap(), week);
        let found = report(&week, grid, (START + 10 * WEEK, to - 1), opened());
        assert_eq!(found.gaps, [Gap { from, to: until - MINUTE, missing: 120, kind: GapKind::Hole }]);
        assert_eq!(found.expected as i64, 20 * WEEK / MINUTE);
    }
}

#[test]
fn a_thin_symbol_expects_only_what_it_mostly_has() {
    let to = START + 26 * WEEK;
    // A trade in each of 3 minutes of an hour in each week, and now and then another one.
    let opened = || {
        minutes(START, to).filter(|time| {
            let minute = time / MINUTE;
            forex(*time) && (matches!(minute % 60, 0 | 20 | 40) || minute % 17 == 3)
        })
    };
    let mut grid = grid(Timeframe::M1, 0, new_york);
    let week = learned(&mut grid, to, opened());
    assert_eq!(week.expected_per_week(), 360);
    assert!(report(&week, grid, (to - 8 * WEEK, to - 1), opened()).gaps.is_empty());
}

#[test]
fn few_weeks_are_not_enough_and_weeks_off_do_not_count() {
    let mut grid = grid(Timeframe::H1, 0, utc);
    let mut presence = Presence::before(START, &grid);
    assert_eq!(presence.start(), START - LEARNED_WEEKS * WEEK);
    for weeks in 1..=7 {
        presence.add(START - 2 * weeks * WEEK, &mut grid);
        assert_eq!(presence.learned(), Err(weeks as u32));
    }
    presence.add(START, &mut grid);
    presence.add(START - 26 * WEEK - 1, &mut grid);
    assert_eq!(presence.learned(), Err(7), "those outside do not count");
    presence.add(START - 16 * WEEK, &mut grid);
    let learned = presence.learned().unwrap();
    assert_eq!((learned.weeks, learned.week.expected_per_week()), (8, 1));
}

#[test]
fn longer_candles_are_expected_once_in_their_period() {
    // H4, D1 and W1 as brokers make them, from 17:00 in New York on.
    for (timeframe, per_week) in [(Timeframe::H4, 30), (Timeframe::D1, 5), (Timeframe::W1, 1)] {
        let length = timeframe.length().unwrap() * 1000;
        let to = START + 52 * WEEK;
        let opens = |time: &i64| {
            let local = time + new_york(*time) - 4 * DAY;
            // Sunday 17:00.
            forex(*time) && (local - 6 * DAY - 17 * HOUR).rem_euclid(length) == 0
        };
        let opened: Vec<i64> = (START..to).step_by(HOUR as usize).filter(opens).collect();
        let phase = Week::phase(opened.iter().copied(), &mut grid(timeframe, 0, new_york));
        let mut grid = grid(timeframe, phase, new_york);
        let week = learned(&mut grid, to, opened.iter().copied());
        assert_eq!(week.expected_per_week(), per_week, "{timeframe}");
        let range = (START + 8 * WEEK, to - 1);
        let whole = report(&week, grid.clone(), range, opened.iter().copied());
        assert_eq!(
            (whole.gaps.len(), whole.stored),
            (0, whole.expected),
            "{timeframe} over both changes of the clocks"
        );
        let lost = opened[opened.len() / 2];
        let found = report(&week, grid, range, opened.iter().copied().filter(|opened| *opened != lost));
        assert_eq!(found.gaps.len(), 1);
        assert_eq!((found.gaps[0].from, found.gaps[0].to, found.gaps[0].missing), (lost, lost, 1), "{timeframe}");
    }
    assert_eq!(Week::always(Timeframe::D1, 0).unwrap().expected_per_week(), 5);
    let week = Week::always(Timeframe::D1, 17 * HOUR).unwrap();
    let mut grid = grid(Timeframe::D1, 17 * HOUR, new_york);
    // Sunday 2024-06-02 17:00 in New York opens Monday's candle, and Friday 17:00 opens none.
    assert!(week.expects(1_717_362_000_000, &mut grid) && !week.expects(1_717_362_000_000 + 5 * DAY, &mut grid));
}

#[test]
fn expected_time_stands_still_while_the_market_is_shut() {
    let week = Week::given(&Hours::parse("1700-1700").unwrap(), Timeframe::M1, 0).unwrap();
    let mut grid = grid(Timeframe::M1, 0, new_york);
    // Friday 2024-06-07 16:50 in New York.
    let friday = 1_717_793_400_000;
    let mut aged = |until: i64, enough: i64| week.expected_time((friday, until), enough, &mut grid);
    assert_eq!(aged(friday + 5 * MINUTE, WEEK), 5 * MINUTE);
    assert_eq!(aged(friday + 10 * MINUTE, WEEK), 10 * MINUTE);
    assert_eq!(aged(friday + 2 * DAY, WEEK), 10 * MINUTE);
    assert_eq!(aged(friday + 2 * DAY + 15 * MINUTE, WEEK), 15 * MINUTE);
    assert_eq!(aged(friday + 30_500, WEEK), 30_500);
    assert!(aged(friday + 2 * WEEK, HOUR) > HOUR, "it may stop early, beyond what is enough");
}

#[test]
fn small_gaps_and_gaps_beyond_the_limit_are_counted_and_not_listed() {
    let week = Week::always(Timeframe::M5, 0).unwrap();
    let lost = [10, 20, 21, 22, 30, 31, 40, 41, 42];
    for (min, limit, missing, more) in
        [(1, 10, &[1, 3, 2, 3][..], false), (3, 10, &[3, 3], false), (3, 1, &[3], true), (4, 1, &[], false)]
    {
        let range = (START, START + 50 * 5 * MINUTE);
        let mut gaps = Gaps::new(&week, grid(Timeframe::M5, 0, utc), range, min, limit);
        (0..=50).filter(|n| !lost.contains(n)).for_each(|n| gaps.add(START + n * 5 * MINUTE));
        let report = gaps.finish();
        assert_eq!((report.expected, report.stored, report.more), (51, 42, more));
        assert_eq!(report.gaps.iter().map(|gap| gap.missing).collect::<Vec<_>>(), missing);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Against a model that looks at each hour by itself.
    #[test]
    fn every_expected_period_is_stored_or_missing(
        lost in proptest::collection::btree_set(0..24 * 21_i64, 0..200),
        first in 0..24 * 7_i64,
        length in 0..24 * 14_i64,
        times in 1..3_usize,
    ) {
        // Over the change of the clocks in March 2024.
        let start = 1_709_510_400_000;
        let (from, to) = (start + first * HOUR, start + (first + length) * HOUR);
        let stored = (0..24 * 21).filter(|hour| !lost.contains(hour)).map(|hour| start + hour * HOUR);
        let stored = stored.flat_map(|time| std::iter::repeat_n(time, times));
        let week = Week::given(&Hours::parse("0800-1900|0000-0000:4").unwrap(), Timeframe::H1, 0).unwrap();
        let found = report(&week, grid(Timeframe::H1, 0, new_york), (from, to), stored);
        let is_expected = |hour: &i64| {
            let local = start + hour * HOUR + new_york(start + hour * HOUR);
            let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7);
            weekday == 2 || (weekday < 5 && (8..19).contains(&(local.rem_euclid(DAY) / HOUR)))
        };
        let expected: Vec<i64> = (first..=first + length).filter(is_expected).collect();
        let missing: BTreeSet<i64> = expected.iter().copied().filter(|hour| lost.contains(hour)).collect();
        prop_assert_eq!(found.expected as usize, expected.len());
        prop_assert_eq!((found.expected - found.stored) as usize, missing.len());
        let mut runs: Vec<Vec<i64>> = Vec::new();
        for (place, hour) in expected.iter().enumerate().filter(|(_, hour)| missing.contains(hour)) {
            match runs.last_mut() {
                Some(run) if place > 0 && run.last() == Some(&expected[place - 1]) => run.push(*hour),
                _ => runs.push(vec![*hour]),
            }
        }
        let gaps: Vec<_> = found.gaps.iter().map(|gap| (gap.from, gap.to, gap.missing as usize)).collect();
        let instant = |hour: i64| start + hour * HOUR;
        let runs: Vec<_> = runs.iter().map(|run| (instant(run[0]), instant(run[run.len() - 1]), run.len())).collect();
        prop_assert_eq!(gaps, runs);
    }
}
