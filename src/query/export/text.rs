//! Candles as lines of CSV or NDJSON.

use super::selection::{ExportSelection, FileFormat, TimeForm};
use crate::query::page::write_fields;
use crate::store::StoredCandle;
use candle::format_millis;

/// The form of the lines.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lines {
    Csv {
        time: TimeForm,
        /// True if there is a column `complete`.
        forming: bool,
    },
    Ndjson,
}

impl Lines {
    /// `None` for a format that is not lines of text.
    pub(super) fn of(selection: &ExportSelection) -> Option<Self> {
        match selection.format {
            FileFormat::Csv => Some(Self::Csv { time: selection.time, forming: selection.forming }),
            FileFormat::Ndjson => Some(Self::Ndjson),
            FileFormat::Parquet => None,
        }
    }

    /// The line before the candles.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Csv { forming: false, .. } => "timestamp,open,high,low,close,volume\n",
            Self::Csv { forming: true, .. } => "timestamp,open,high,low,close,volume,complete\n",
            Self::Ndjson => "",
        }
    }

    /// Appends the line of a candle. Its values are only numbers and times, so nothing needs quotes.
    pub(super) fn write(self, text: &mut Vec<u8>, candle: StoredCandle<'_>) {
        let Self::Csv { time, forming } = self else {
            text.push(b'{');
            write_fields(text, candle);
            text.extend_from_slice(b"}\n");
            return;
        };
        let mut number = itoa::Buffer::new();
        write_time(text, time, candle.time);
        for price in candle.prices {
            text.push(b',');
            text.extend_from_slice(price.as_bytes());
        }
        text.push(b',');
        text.extend_from_slice(number.format(candle.volume).as_bytes());
        if forming {
            let complete: &[u8] = if candle.closed { b",true" } else { b",false" };
            text.extend_from_slice(complete);
        }
        text.push(b'\n');
    }
}

/// Appends a time exactly. A time that another program stored may have milliseconds, which are a fraction if the form
/// is seconds.
fn write_time(text: &mut Vec<u8>, form: TimeForm, millis: i64) {
    let mut number = itoa::Buffer::new();
    match form {
        TimeForm::Iso => text.extend_from_slice(format_millis(millis).unwrap_or_default().as_bytes()),
        TimeForm::Milliseconds => text.extend_from_slice(number.format(millis).as_bytes()),
        TimeForm::Seconds => {
            let (seconds, fraction) = (millis / 1000, millis % 1000);
            if seconds == 0 && fraction < 0 {
                text.push(b'-');
            }
            text.extend_from_slice(number.format(seconds).as_bytes());
            if fraction != 0 {
                text.extend_from_slice(format!(".{:03}", fraction.abs()).as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_in_every_form() {
        for (millis, iso, milliseconds, seconds) in [
            (1_754_265_660_000, "2025-08-04T00:01:00Z", "1754265660000", "1754265660"),
            (1_754_265_660_250, "2025-08-04T00:01:00.250Z", "1754265660250", "1754265660.250"),
            (0, "1970-01-01T00:00:00Z", "0", "0"),
            (-1, "1969-12-31T23:59:59.999Z", "-1", "-0.001"),
            (-1_500, "1969-12-31T23:59:58.500Z", "-1500", "-1.500"),
            (-62_135_596_800_000, "0001-01-01T00:00:00Z", "-62135596800000", "-62135596800"),
        ] {
            let forms = [TimeForm::Iso, TimeForm::Milliseconds, TimeForm::Seconds];
            for (form, expected) in forms.into_iter().zip([iso, milliseconds, seconds]) {
                let mut text = Vec::new();
                write_time(&mut text, form, millis);
                assert_eq!(String::from_utf8(text).unwrap(), expected);
            }
        }
    }
}
