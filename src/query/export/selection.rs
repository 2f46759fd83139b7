//! The parameters of an export, and the name of its file.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use strum::IntoStaticStr;

use crate::query::Resampling;
use crate::query::selection::{END_MILLISECOND, FIRST_MILLISECOND, Parameters, choice};
use crate::store::{Direction, Range};
use crate::validation::FieldError;
use candle::{EpochUnit, Symbol, Timeframe, format_millis, parse_bound};

/// The format of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FileFormat {
    /// Lines of values separated by commas (RFC 4180), after a line of names.
    Csv,
    /// A JSON object on each line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// The ending of a file's name, without the point.
    #[must_use]
    pub fn extension(self) -> &'static str {
        self.into()
    }
}

/// The form of times in CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// `2025-08-04T00:01:00Z`.
    Iso,
    /// Epoch milliseconds.
    Milliseconds,
    /// Epoch seconds.
    Seconds,
}

/// The type of prices in Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriceType {
    /// A decimal with one scale for all prices: exact.
    Decimal,
    /// A binary floating-point number: rounded to some 15 digits.
    Double,
    /// The digits as they were posted.
    Text,
}

/// A valid request for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct ExportSelection {
    pub(super) format: FileFormat,
    /// The range to export. Its limit is not used.
    pub(super) range: Range,
    /// The source of built candles; `None` if they are stored.
    pub(super) resampling: Option<Resampling>,
    /// True if forming candles are exported too.
    pub(super) forming: bool,
    pub(super) time: TimeForm,
    pub(super) prices: PriceType,
    from: Option<i64>,
    to: Option<i64>,
}

impl ExportSelection {
    /// Parses a query string. `symbol` and `timeframe` are required; `from` and `to` are inclusive. With `source`, candles
    /// are built, as in [`Selection::parse`](crate::query::Selection::parse).
    ///
    /// # Errors
    /// All errors of the query.
    pub(in crate::query) fn parse(query: &str, format: FileFormat) -> Result<Self, Vec<FieldError>> {
        let mut known = vec!["symbol", "timeframe", "source", "align", "week", "from", "to", "unit", "forming"];
        known.extend(match format {
            FileFormat::Csv => Some("time"),
            FileFormat::Ndjson => None,
            FileFormat::Parquet => Some("prices"),
        });
        let mut parameters = Parameters::read(query, &known);
        let symbol = parameters.required("symbol", Symbol::parse);
        let timeframe = parameters.required("timeframe", Timeframe::parse);
        let resampling = parameters.resampling(timeframe);
        let unit = parameters.optional("unit", EpochUnit::parse);
        let [from, to] = ["from", "to"].map(|name| parameters.optional(name, |text| parse_bound(text, unit)));
        let forming = parameters.optional("forming", |text| choice(text, &[("true", true), ("false", false)]));
        let times = [("iso", TimeForm::Iso), ("ms", TimeForm::Milliseconds), ("s", TimeForm::Seconds)];
        let time = parameters.optional("time", |text| choice(text, &times));
        let types = [("decimal", PriceType::Decimal), ("double", PriceType::Double), ("text", PriceType::Text)];
        let prices = parameters.optional("prices", |text| choice(text, &types));
        let (start, end) = (from.unwrap_or(FIRST_MILLISECOND), to.map_or(END_MILLISECOND, |to| to + 1));
        if start >= end && parameters.is_valid() {
            parameters.refuse("to", "empty_range", "is before from; move one of them");
        }
        match (symbol, timeframe) {
            (Some(symbol), Some(timeframe)) if parameters.is_valid() => {
                let range = Range { symbol, timeframe, start, end, direction: Direction::Ascending, limit: 0 };
                let forming = forming.unwrap_or(false);
                let (time, prices) = (time.unwrap_or(TimeForm::Iso), prices.unwrap_or(PriceType::Decimal));
                Ok(Self { format, range, resampling, forming, time, prices, from, to })
            }
            _ => Err(parameters.refusal()),
        }
    }

    /// The range of the stored candles that the export is made from.
    pub(super) fn stored(&self) -> Range {
        let range = self.range.clone();
        match &self.resampling {
            Some(resampling) => resampling.stored(range),
            None => range,
        }
    }

    pub(super) fn file_name(&self) -> FileName {
        let Range { symbol, timeframe, .. } = &self.range;
        let day = |millis| format_millis(millis).map_or(String::new(), |time| time.chars().take(10).collect());
        let span = match (self.from, self.to) {
            (None, None) => String::new(),
            (Some(from), None) => format!("_from_{}", day(from)),
            (None, Some(to)) => format!("_to_{}", day(to)),
            (Some(from), Some(to)) => format!("_{}_{}", day(from), day(to)),
        };
        FileName(format!("{symbol}_{timeframe}{span}.{}", self.format.extension()))
    }
}

/// The name of an exported file, with the symbol unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// The name with `_` in place of each character that a file system or a header may not take.
    #[must_use]
    pub fn safe(&self) -> String {
        let is_safe = |c: char| c.is_ascii() && !c.is_ascii_control() && !"/\\:*?\"<>|%".contains(c);
        self.0.chars().map(|c| if is_safe(c) { c } else { '_' }).collect()
    }

    /// The value of `Content-Disposition` (RFC 6266): the safe name and, if it differs, the true one.
    #[must_use]
    pub fn disposition(&self) -> String {
        /// All characters except those that RFC 8187 section 3.2.1 leaves unescaped.
        const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let safe = self.safe();
        if safe == self.0 {
            return format!("attachment; filename=\"{safe}\"");
        }
        format!("attachment; filename=\"{safe}\"; filename*=UTF-8''{}", utf8_percent_encode(&self.0, ESCAPED))
    }
}

#[cfg(test)]
mod tests {
    use url::form_urlencoded::Serializer;

    use super::*;

    fn name(query: &str) -> FileName {
        ExportSelection::parse(query, FileFormat::Csv).unwrap().file_name()
    }

    #[test]
    fn a_file_is_named_after_its_series_and_its_range() {
        for (query, safe) in [
            ("", "EURUSD_M1.csv"),
            ("&from=2025-08-01&to=2025-08-31T12:00:00Z", "EURUSD_M1_2025-08-01_2025-08-31.csv"),
            ("&from=2025-08-01", "EURUSD_M1_from_2025-08-01.csv"),
            ("&to=2025-08-31", "EURUSD_M1_to_2025-08-31.csv"),
        ] {
            let name = name(&format!("symbol=EURUSD&timeframe=M1{query}"));
            assert_eq!(name.safe(), safe);
            assert_eq!(name.disposition(), format!("attachment; filename=\"{safe}\""));
        }
    }

    #[test]
    fn characters_that_a_name_may_not_hold_are_replaced() {
        for (symbol, safe, true_name) in [
            ("EUR/USD", "EUR_USD_M1.csv", "EUR%2FUSD_M1.csv"),
            ("a\"b\\c:d*e?f<g>h|i%j", "a_b_c_d_e_f_g_h_i_j_M1.csv", "a%22b%5Cc%3Ad%2Ae%3Ff%3Cg%3Eh%7Ci%25j_M1.csv"),
            ("Öl 1", "_l 1_M1.csv", "%C3%96l%201_M1.csv"),
        ] {
            let query = Serializer::new(String::new()).append_pair("symbol", symbol).finish();
            let name = name(&format!("{query}&timeframe=M1"));
            assert_eq!(name.safe(), safe);
            assert_eq!(name.disposition(), format!("attachment; filename=\"{safe}\"; filename*=UTF-8''{true_name}"));
        }
    }
}
