//! Scales of axes and their round ticks.

use chrono::{Datelike, NaiveDate};

use crate::number::{self, DAY_MS, fixed};

/// Numbers of an axis and their places on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The place of `low`.
    pub(crate) from: f32,
    /// The place of `high`.
    pub(crate) to: f32,
}

impl Scale {
    /// The place of a number; what lies beyond the axis is put at its end.
    pub(crate) fn at(&self, value: f64) -> f32 {
        let share = (value - self.low) / (self.high - self.low);
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
        let share = if share.is_finite() { share.clamp(0.0, 1.0) as f32 } else { 0.0 };
        self.from + share * (self.to - self.from)
    }
}

/// Round ends of an axis that holds the finite ones of `values`, and its ticks.
pub(crate) fn nice(values: impl IntoIterator<Item = f64>, count: u32) -> (f64, f64, Vec<f64>) {
    let finite = values.into_iter().filter(|value| value.is_finite() && value.abs() < 1e300);
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let least = low.abs().max(high.abs()) * 1e-6;
    let (low, high) = if high - low <= least {
        let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.05 };
        (low - margin, high + margin)
    } else {
        (low, high)
    };
    let rough = (high - low) / f64::from(count.max(1));
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * magnitude).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * magnitude);
    let first = (low / step + 1e-9).floor();
    let end = (high / step - 1e-9).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about `count`")]
    let count = (end - first).round().max(1.0) as u32;
    let ticks: Vec<f64> = (0..=count).map(|place| (first + f64::from(place)) * step).collect();
    (ticks[0], ticks[ticks.len() - 1], ticks)
}

/// The label of a tick, with the digits that distinguish it from the next one.
pub(crate) fn axis_label(value: f64, step: f64) -> String {
    let (value, step, unit) = match value.abs().max(step.abs()) {
        size if size >= 1e9 => (value / 1e9, step / 1e9, " bn"),
        size if size >= 1e6 => (value / 1e6, step / 1e6, " m"),
        _ => (value, step, ""),
    };
    let is_round = |digits: i32| {
        let scaled = step * 10_f64.powi(digits);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-9)
    };
    let digits = (0..8).find(|digits| is_round(*digits)).unwrap_or(8);
    format!("{}{unit}", fixed(value, usize::try_from(digits).unwrap_or(0)))
}

/// The maximum number of ticks of an axis of time.
const MAX_TIME_TICKS: usize = 8;

/// Ticks of an axis of time, with labels.
pub(crate) fn time_ticks(from: i64, to: i64) -> Vec<(i64, String)> {
    let months = months_from_zero(to) - months_from_zero(from);
    if months >= 3 {
        let step = [1, 2, 3, 6, 12, 24, 60, 120, 240, 1_200]
            .into_iter()
            .find(|step| fits(months.into(), (*step).into()))
            .unwrap_or(12_000);
        return month_ticks(from, to, step);
    }
    let hours = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336].map(|hours| hours * (DAY_MS / 24));
    let step = hours.into_iter().find(|step| fits(to.saturating_sub(from), *step)).unwrap_or(28 * DAY_MS);
    let format = if step >= DAY_MS { "%-d %b" } else { "%-d %b %H:%M" };
    let first = from.div_euclid(step) + i64::from(from.rem_euclid(step) > 0);
    let ticks = (first..).map(|tick| tick.saturating_mul(step)).take_while(|tick| *tick <= to).take(2 * MAX_TIME_TICKS);
    ticks.map(|tick| (tick, number::time(tick).format(format).to_string())).collect()
}

fn fits(span: i64, step: i64) -> bool {
    usize::try_from(span / step).is_ok_and(|ticks| ticks <= MAX_TIME_TICKS)
}

fn months_from_zero(time: i64) -> i32 {
    let (year, month) = number::month(time);
    year * 12 + i32::try_from(month).unwrap_or(1) - 1
}

fn month_ticks(from: i64, to: i64, step: i32) -> Vec<(i64, String)> {
    let first = months_from_zero(from).div_euclid(step);
    let last = months_from_zero(to).div_euclid(step);
    let ticks = (first..=last).filter_map(|tick| {
        let month = tick.checked_mul(step)?;
        let date = NaiveDate::from_ymd_opt(month.div_euclid(12), u32::try_from(month.rem_euclid(12)).ok()? + 1, 1)?;
        let time = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
        let format = if date.month() == 1 && step % 12 == 0 { "%Y" } else { "%b %Y" };
        (from..=to).contains(&time).then(|| (time, date.format(format).to_string()))
    });
    ticks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(nice([9_713.0, 13_004.0], 5), (9_000.0, 14_000.0, vec![9e3, 1e4, 1.1e4, 1.2e4, 1.3e4, 1.4e4]));
        assert_eq!(nice([0.0, 10.0], 5), (0.0, 10.0, vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]));
        for values in
            [vec![], vec![f64::NAN], vec![7.0], vec![0.0], vec![-3.0, 1e9], vec![1.0, 1.0 + 1e-13], vec![-1e299, 1e299]]
        {
            let (low, high, ticks) = nice(values.clone(), 5);
            assert!(low < high && ticks.len() >= 2 && ticks.len() < 12, "{values:?} {ticks:?}");
            assert!(values.iter().filter(|value| value.is_finite()).all(|value| (low..=high).contains(value)));
        }
    }

    #[test]
    fn labels_have_the_digits_of_the_step() {
        assert_eq!(axis_label(0.25, 0.25), "0.25");
        assert_eq!(axis_label(-12_000.0, 2_000.0), "−12,000");
        assert_eq!(axis_label(2_500_000.0, 500_000.0), "2.5 m");
    }

    #[test]
    fn ticks_of_time_fit_the_span() {
        let day = |text: &str| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .unwrap()
                .and_hms_opt(0, 0, 0)
                .unwrap()
                .and_utc()
                .timestamp_millis()
        };
        let labels = |from: &str, to: &str| -> Vec<String> {
            time_ticks(day(from), day(to)).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels("2015-02-01", "2021-06-01"), ["2016", "2017", "2018", "2019", "2020", "2021"]);
        assert_eq!(labels("2024-01-15", "2024-06-01"), ["Feb 2024", "Mar 2024", "Apr 2024", "May 2024", "Jun 2024"]);
        assert_eq!(labels("2024-01-01", "2024-01-03")[1], "1 Jan 06:00");
        for (from, to) in [(0, 0), (0, 1), (i64::MIN, i64::MAX), (0, 300_000_000_000_000)] {
            assert!(time_ticks(from, to).len() <= 17, "{from} {to}");
        }
    }
}
