//! Conversions between counts and doubles.

/// The maximum number of bars of a length or an offset. Lengths stay far below what a double counts exactly.
pub(crate) const MAX_LENGTH: usize = 100_000;

/// A count as a double, exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 bars in memory")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// A whole number that is not negative as a count; a fraction is dropped.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates, so nothing wraps")]
pub(crate) fn whole(number: f64) -> usize {
    number as usize
}

/// Milliseconds as a double, exact below 2^53, which is past the year 280,000.
#[expect(clippy::cast_precision_loss, reason = "times lie below 2^53 ms")]
pub(crate) fn real_time(time: i64) -> f64 {
    time as f64
}

/// Milliseconds from a double.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, so nothing wraps")]
pub(crate) fn whole_time(time: f64) -> i64 {
    time as i64
}
