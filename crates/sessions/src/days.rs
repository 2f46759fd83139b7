//! The trading days of a week.

use super::{DAY, HOUR};

/// The minimum pause that ends a trading day. Shorter pauses, such as the minutes in which a broker's day changes, do
/// not.
const DAY_BREAK: i64 = HOUR;
/// The maximum length of a run of expected slots that counts as one trading day.
const LONGEST_DAY: i64 = 25 * HOUR;

/// Returns the number of the trading day that each slot of a week belongs to. Slots that are not expected belong to
/// the day before them.
///
/// A day is a run of expected slots between two pauses of an hour or more. A run of more than 25 hours, such as that
/// of Forex from Sunday to Friday, is cut into days of 24 hours, counted back from its end. A week without a pause is
/// cut at local midnight.
pub(crate) fn trading_days(expected: &[bool], length: i64) -> Vec<u16> {
    let slots = expected.len();
    if length >= DAY {
        return (0..).take(slots).collect();
    }
    let of_time = |time: i64| usize::try_from(time / length).unwrap_or(1).max(1);
    let (per_day, pause, longest) = (of_time(DAY), of_time(DAY_BREAK), of_time(LONGEST_DAY));
    let begins_a_run =
        |slot: usize| expected[slot] && (1..=pause).all(|before| !expected[(slot + slots - before % slots) % slots]);
    let Some(start) = (0..slots).find(|&slot| begins_a_run(slot)) else {
        return (0..slots).map(|slot| number(slot / per_day)).collect();
    };
    let mut days = vec![0; slots];
    let (mut day, mut at) = (0, 0);
    while at < slots {
        let run = (at + 1..slots).find(|&next| begins_a_run((start + next) % slots)).unwrap_or(slots);
        let last = (at..run).rev().find(|&place| expected[(start + place) % slots]).unwrap_or(at);
        let whole_days = |from: usize| if last + 1 - at > longest { last.saturating_sub(from) / per_day } else { 0 };
        for place in at..run {
            // Days are counted back from the end of the run, so that only the first one may be shorter.
            days[(start + place) % slots] = number(day + whole_days(at) - whole_days(place));
        }
        day += 1 + whole_days(at);
        at = run;
    }
    days
}

fn number(day: usize) -> u16 {
    u16::try_from(day).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(days: &[u16], expected: &[bool]) -> Vec<usize> {
        let most = days.iter().copied().max().unwrap_or_default();
        (0..=most).map(|day| (0..days.len()).filter(|&slot| expected[slot] && days[slot] == day).count()).collect()
    }

    #[test]
    fn a_long_run_is_cut_from_its_end() {
        // Hours, from Monday 00:00: Sunday 17:00 to Friday 17:00.
        let expected: Vec<bool> = (0..168).map(|hour| !(4 * 24 + 17..6 * 24 + 17).contains(&hour)).collect();
        let days = trading_days(&expected, HOUR);
        assert_eq!(lengths(&days, &expected), [24; 5]);
        assert_eq!(days[6 * 24 + 17], days[16], "Sunday evening belongs to Monday");
        assert_ne!(days[16], days[17]);
        // Without the first and the last hour of the week.
        let expected: Vec<bool> = (0..168).map(|hour| !(4 * 24 + 16..6 * 24 + 18).contains(&hour)).collect();
        assert_eq!(lengths(&trading_days(&expected, HOUR), &expected), [22, 24, 24, 24, 24]);
    }

    #[test]
    fn short_runs_are_days_and_a_week_without_a_pause_has_seven() {
        let expected: Vec<bool> = (0..168).map(|hour| hour / 24 < 5 && (9..16).contains(&(hour % 24))).collect();
        assert_eq!(lengths(&trading_days(&expected, HOUR), &expected), [7; 5]);
        let all = vec![true; 168];
        assert_eq!(lengths(&trading_days(&all, HOUR), &all), [24; 7]);
        let none = vec![false; 168];
        assert_eq!(trading_days(&none, HOUR).len(), 168);
        // Two minutes at the end of each day do not count as a pause.
        let minutes: Vec<bool> = (0..10_080)
            .map(|minute| {
                let is_open = !(4 * 1440 + 1020..6 * 1440 + 1020).contains(&minute);
                is_open && !(1020..1022).contains(&(minute % 1440))
            })
            .collect();
        assert_eq!(lengths(&trading_days(&minutes, 60_000), &minutes), [1438; 5]);
        assert_eq!(trading_days(&[true; 7], DAY), [0, 1, 2, 3, 4, 5, 6]);
    }
}
