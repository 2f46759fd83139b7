//! Numbers, dates and spans as people read them.

use chrono::{DateTime, Datelike, Utc};

/// The text for a figure that is not defined.
pub(crate) const UNDEFINED: &str = "–";

const MINUS: char = '−';
/// The number from which on numbers are printed with an exponent, because a table has no room for their digits.
const MAX_PLAIN: f64 = 1e13;

/// A number with `digits` after the point and commas between thousands.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.into();
    }
    if value.abs() >= MAX_PLAIN {
        return format!("{value:.2e}").replace('-', &MINUS.to_string());
    }
    let text = format!("{:.digits$}", value.abs());
    let is_negative = value < 0.0 && text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = if is_negative { MINUS.to_string() } else { String::new() };
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// As [`fixed`], with a plus before what is above 0.
pub(crate) fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    let is_zero = !text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if value > 0.0 && !is_zero { format!("+{text}") } else { text }
}

/// Money to the cent.
pub(crate) fn money(value: f64) -> String {
    fixed(value, 2)
}

/// A percentage with `digits` after the point, from a number of percent.
pub(crate) fn percent(value: f64, digits: usize) -> String {
    unit(signed(value, digits), "%")
}

/// A percentage without a plus, from a fraction.
pub(crate) fn share(value: f64, digits: usize) -> String {
    unit(fixed(100.0 * value, digits), "%")
}

/// A number and its unit; what is not defined has none.
pub(crate) fn unit(number: String, unit: &str) -> String {
    if number == UNDEFINED { number } else { format!("{number} {unit}") }
}

/// A figure that may not be defined.
pub(crate) fn optional(value: Option<f64>, print: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| UNDEFINED.into(), print)
}

/// A count with commas between thousands.
pub(crate) fn count(value: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    fixed(value as f64, 0)
}

/// A count and its noun: "1 trade", "2 trades".
pub(crate) fn counted(value: usize, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(value))
}

/// A number with the digits that it needs, at most six that count.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return UNDEFINED.into();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.2e}").replace('-', &MINUS.to_string());
    }
    let digits = [(1_000.0, 0), (100.0, 1), (10.0, 2), (1.0, 3)].iter().find(|(least, _)| magnitude >= *least);
    let text = fixed(value, digits.map_or(4, |(_, digits)| *digits));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A time of epoch milliseconds. One that no calendar has becomes the epoch; bars do not hold such times.
pub(crate) fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}

/// A day, as 2 Jan 2024.
pub(crate) fn date(milliseconds: i64) -> String {
    time(milliseconds).format("%-d %b %Y").to_string()
}

/// A minute, as 2024-01-02 09:30.
pub(crate) fn minute(milliseconds: i64) -> String {
    time(milliseconds).format("%Y-%m-%d %H:%M").to_string()
}

/// Year and month, from 1 to 12.
pub(crate) fn month(milliseconds: i64) -> (i32, u32) {
    let time = time(milliseconds);
    (time.year(), time.month())
}

/// A length of time in the unit that suits it.
#[expect(clippy::cast_precision_loss, reason = "spans are far below 2^53 milliseconds")]
pub(crate) fn span(milliseconds: i64) -> String {
    let days = milliseconds as f64 / DAY_MS as f64;
    match days {
        days if days >= 730.0 => unit(fixed(days / 365.25, 1), "years"),
        days if days >= 60.0 => unit(fixed(days / 30.4375, 1), "months"),
        days if days >= 2.0 => unit(fixed(days, 0), "days"),
        days => unit(fixed(days * 24.0, 1), "hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_signs_and_thousands() {
        assert_eq!(money(-1_234_567.891), "−1,234,567.89");
        assert_eq!(money(-0.001), "0.00");
        assert_eq!(money(f64::NAN), "–");
        assert_eq!(money(-2.5e15), "−2.50e15");
        assert_eq!(signed(0.04, 1), "0.0");
        assert_eq!(percent(12.34, 1), "+12.3 %");
        assert_eq!(percent(f64::INFINITY, 1), "–");
        assert_eq!(share(0.366, 1), "36.6 %");
        assert_eq!([counted(1, "trade"), counted(1_500, "trade")], ["1 trade", "1,500 trades"]);
        assert_eq!(
            [1.5, 0.000_01, 12_345.678, 0.25, 100.0, 0.0].map(short),
            ["1.5", "1.00e−5", "12,346", "0.25", "100", "0"]
        );
    }

    #[test]
    fn times_are_those_of_utc() {
        assert_eq!(date(1_704_067_200_000), "1 Jan 2024");
        assert_eq!(minute(1_492_700_400_000), "2017-04-20 15:00");
        assert_eq!(month(1_704_067_199_999), (2023, 12));
        assert_eq!(
            [DAY_MS / 2, 45 * DAY_MS, 90 * DAY_MS, 1_461 * DAY_MS].map(span),
            ["12.0 hours", "45 days", "3.0 months", "4.0 years"]
        );
        assert_eq!(minute(i64::MAX), "1970-01-01 00:00");
    }
}
