//! The steps between neighbouring candles, from which the timeframe is derived.

use candle::Timeframe;

const DAY: i64 = 86_400;
/// The maximum number of different steps that are counted separately.
const MAX_LENGTHS: usize = 64;

/// The number of times that each step between two neighbouring candles occurs.
#[derive(Debug, Default, Clone)]
pub struct Steps {
    lengths: Vec<(i64, u64)>,
    total: u64,
}

/// The timeframe that follows from the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTimeframe {
    /// The timeframe.
    pub timeframe: Timeframe,
    /// The number of steps of its length.
    pub steps: u64,
    /// The number of all steps.
    pub total: u64,
}

impl StepTimeframe {
    /// True if more than half of the steps have its length, so that no other timeframe can be meant.
    #[must_use]
    pub fn is_most(&self) -> bool {
        self.steps * 2 > self.total
    }

    /// The share of its steps in per cent, with two decimals and never rounded up to 100.
    #[must_use]
    pub fn share(&self) -> String {
        let hundredths = u128::from(self.steps) * 10_000 / u128::from(self.total.max(1));
        match hundredths {
            10_000 => "all".to_owned(),
            _ => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
        }
    }
}

impl Steps {
    /// Counts a step of this many seconds.
    pub(crate) fn add(&mut self, seconds: i64) {
        self.total += 1;
        if let Some(known) = self.lengths.iter_mut().find(|(length, _)| *length == seconds) {
            known.1 += 1;
        } else if self.lengths.len() < MAX_LENGTHS {
            self.lengths.push((seconds, 1));
        }
    }

    /// The number of all steps.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The timeframe of the most frequent step, unless shorter steps occur more than once in a thousand: then the candles
    /// are of a shorter timeframe, of which most are missing.
    #[must_use]
    pub fn timeframe(&self) -> Option<StepTimeframe> {
        let month = |length: i64| (28 * DAY..=31 * DAY).contains(&length);
        let months: u64 = self.lengths.iter().filter(|(length, _)| month(*length)).map(|(_, count)| count).sum();
        let &(length, count) = self.lengths.iter().max_by_key(|(length, count)| (*count, -length))?;
        let (timeframe, steps, shortest) = if months >= count {
            (Timeframe::MN1, months, 28 * DAY)
        } else {
            let known = Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == Some(length))?;
            (known, count, length)
        };
        // Days that begin with local midnights are an hour shorter once a year.
        let tolerance = if shortest >= DAY { 3600 } else { 0 };
        let shorter: u64 =
            self.lengths.iter().filter(|(length, _)| *length < shortest - tolerance).map(|(_, count)| count).sum();
        (shorter * 1000 <= self.total).then_some(StepTimeframe { timeframe, steps, total: self.total })
    }
}

/// The length of a timeframe in words.
#[must_use]
pub fn length_in_words(timeframe: Timeframe) -> String {
    let Some(length) = timeframe.length() else { return "one month".to_owned() };
    let (count, unit) = match length {
        604_800.. => (length / 604_800, "week"),
        DAY.. => (length / DAY, "day"),
        3600.. => (length / 3600, "hour"),
        _ => (length / 60, "minute"),
    };
    if count == 1 { format!("one {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(steps: &[(i64, u64)]) -> Option<(Timeframe, u64)> {
        let mut counted = Steps::default();
        for &(length, count) in steps {
            for _ in 0..count {
                counted.add(length);
            }
        }
        counted.timeframe().map(|told| (told.timeframe, told.steps))
    }

    #[test]
    fn the_most_frequent_step_is_the_timeframe() {
        assert_eq!(told(&[(60, 990), (120, 9), (172_860, 1)]), Some((Timeframe::M1, 990)));
        assert_eq!(told(&[(86_400, 200), (3 * 86_400, 50), (82_800, 1)]), Some((Timeframe::D1, 200)));
        assert_eq!(told(&[(31 * 86_400, 7), (30 * 86_400, 4), (28 * 86_400, 1)]), Some((Timeframe::MN1, 12)));
        assert_eq!(told(&[(604_800, 10)]), Some((Timeframe::W1, 10)));
        // Minutes of which most are missing, and a step that is not a timeframe.
        assert_eq!(told(&[(120, 50), (60, 30), (180, 40)]), None);
        assert_eq!(told(&[(420, 10)]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn shares_and_lengths_in_words() {
        let share = |steps, total| StepTimeframe { timeframe: Timeframe::M1, steps, total }.share();
        assert_eq!([share(3, 3), share(99_999, 100_000), share(1, 2)], ["all", "99.99 %", "50.00 %"]);
        let words =
            [Timeframe::M1, Timeframe::M15, Timeframe::H1, Timeframe::H4, Timeframe::D1, Timeframe::W1, Timeframe::MN1];
        let expected = ["one minute", "15 minutes", "one hour", "4 hours", "one day", "one week", "one month"];
        assert_eq!(words.map(length_in_words), expected);
    }
}
