//! The place of a client, as the `id` of an event.

use std::fmt::{self, Write as _};

/// The place of a client in its series and in the record of changes.
///
/// As text: `1.`, the opening second of the newest candle that it has of each series in base 36 (`-` where it has none), separated by
/// points, `~`, and the time up to which it knows the record in base 36. The text holds everything that a stream needs to go on, so any
/// process can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The opening time of the newest candle of each series, in epoch milliseconds and in the order of the request; `None` where the
    /// client has none.
    pub newest: Vec<Option<i64>>,
    /// The time up to which the client knows the record of changes, in epoch milliseconds.
    pub record: i64,
}

const RADIX: u32 = 36;
const FORM: &str = "1.";

impl Position {
    /// Reads the position of a request for this number of series. Text of another form, which a client of another service or of other
    /// series may send, does not count.
    #[must_use]
    pub fn parse(text: &str, series: usize) -> Option<Self> {
        let (newest, record) = text.strip_prefix(FORM)?.split_once('~')?;
        let newest = newest.split('.').map(|second| match second {
            "-" => Some(None),
            second => parse_number(second)?.checked_mul(1000).map(Some),
        });
        let newest: Vec<_> = newest.collect::<Option<_>>()?;
        (newest.len() == series).then_some(Self { newest, record: parse_number(record)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)?;
        for (index, newest) in self.newest.iter().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            match newest {
                Some(time) => write_number(f, time.div_euclid(1000))?,
                None => f.write_char('-')?,
            }
        }
        f.write_char('~')?;
        write_number(f, self.record)
    }
}

/// Reads what [`write_number`] writes and nothing else: `i64::from_str_radix` accepts a plus and upper case.
fn parse_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    if is_plain { i64::from_str_radix(text, RADIX).ok() } else { None }
}

fn write_number(f: &mut fmt::Formatter<'_>, number: i64) -> fmt::Result {
    let (mut digits, mut rest) = (Vec::new(), number.unsigned_abs());
    loop {
        digits.push(char::from_digit(u32::try_from(rest % u64::from(RADIX)).unwrap_or_default(), RADIX));
        rest /= u64::from(RADIX);
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        f.write_char('-')?;
    }
    digits.into_iter().rev().flatten().try_for_each(|digit| f.write_char(digit))
}
