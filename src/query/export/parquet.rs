//! Candles as Parquet. No other file uses the crate `parquet`.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::ExportError;
use super::selection::{ExportSelection, PriceType};
use crate::query::Resampling;
use crate::store::{PriceDigits, StoredCandle};

/// The maximum number of digits of a decimal, and of one that is stored in 64 bits.
pub(super) const MAX_DIGITS: u32 = 38;
const MAX_SHORT_DIGITS: u32 = 18;
/// The number of candles in a row group. Its columns are in memory until it is written.
const ROW_GROUP_CANDLES: usize = 65_536;

const PRICES: [&str; 4] = ["open", "high", "low", "close"];

/// The type of a column of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PriceColumns {
    /// The integer `price × 10^scale` in 64 bits.
    Short {
        scale: u32,
    },
    /// The same in 128 bits.
    Long {
        scale: u32,
    },
    Double,
    Text,
}

impl PriceColumns {
    /// The narrowest decimal type that holds these digits.
    fn decimal(digits: PriceDigits) -> Result<Self, ExportError> {
        let PriceDigits { fraction: scale, whole } = digits;
        match whole + scale {
            needed if needed <= MAX_SHORT_DIGITS => Ok(Self::Short { scale }),
            needed if needed <= MAX_DIGITS => Ok(Self::Long { scale }),
            needed => Err(ExportError::TooManyDigits(needed)),
        }
    }

    fn schema(self, name: &str) -> String {
        match self {
            Self::Short { scale } => format!("required int64 {name} (DECIMAL({MAX_SHORT_DIGITS},{scale}));"),
            Self::Long { scale } => {
                format!("required fixed_len_byte_array(16) {name} (DECIMAL({MAX_DIGITS},{scale}));")
            }
            Self::Double => format!("required double {name};"),
            Self::Text => format!("required binary {name} (STRING);"),
        }
    }

    /// The encoding that makes the most of neighbouring prices being similar. Dictionaries would make files of prices
    /// larger.
    fn encoding(self) -> Encoding {
        match self {
            Self::Short { .. } => Encoding::DELTA_BINARY_PACKED,
            Self::Double => Encoding::BYTE_STREAM_SPLIT,
            Self::Long { .. } | Self::Text => Encoding::PLAIN,
        }
    }
}

/// The values of one column of prices.
enum PriceValues {
    Short(Vec<i64>),
    Long(Vec<FixedLenByteArray>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl PriceValues {
    fn new(columns: PriceColumns) -> Self {
        match columns {
            PriceColumns::Short { .. } => Self::Short(Vec::new()),
            PriceColumns::Long { .. } => Self::Long(Vec::new()),
            PriceColumns::Double => Self::Double(Vec::new()),
            PriceColumns::Text => Self::Text(Vec::new()),
        }
    }

    /// Appends a price. Returns false if it does not fit the columns.
    fn push(&mut self, columns: PriceColumns, price: &str) -> bool {
        match (self, columns) {
            (Self::Short(values), PriceColumns::Short { scale }) => {
                let is_short = |value: &i64| value.unsigned_abs() < 10_u64.pow(MAX_SHORT_DIGITS);
                let value = unscaled(price, scale).and_then(|value| i64::try_from(value).ok()).filter(is_short);
                values.extend(value);
                value.is_some()
            }
            (Self::Long(values), PriceColumns::Long { scale }) => {
                let value = unscaled(price, scale);
                values.extend(value.map(|value| FixedLenByteArray::from(value.to_be_bytes().to_vec())));
                value.is_some()
            }
            (Self::Double(values), _) => {
                let value = price.parse();
                values.extend(value.iter());
                value.is_ok()
            }
            (Self::Text(values), _) => {
                values.push(price.into());
                true
            }
            _ => false,
        }
    }

    fn write(&mut self, group: &mut Group<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Short(values) => write_column::<Int64Type>(group, values),
            Self::Long(values) => write_column::<FixedLenByteArrayType>(group, values),
            Self::Double(values) => write_column::<DoubleType>(group, values),
            Self::Text(values) => write_column::<ByteArrayType>(group, values),
        }
    }
}

/// `price × 10^scale`; `None` if that is not an integer of at most [`MAX_DIGITS`] digits.
fn unscaled(price: &str, scale: u32) -> Option<i128> {
    let (negative, digits) = match price.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, price),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    let (fraction, beyond) = fraction.split_at_checked(scale).unwrap_or((fraction, ""));
    if beyond.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    let mut digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
    let value = digits.try_fold(0_i128, |value, digit| {
        let value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        (value < 10_i128.pow(MAX_DIGITS)).then_some(value)
    })?;
    Some(if negative { -value } else { value })
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// Writes a Parquet file piece by piece.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: PriceColumns,
    times: Vec<i64>,
    prices: [PriceValues; 4],
    volumes: Vec<i64>,
    /// `None` if all candles are closed.
    complete: Option<Vec<bool>>,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile")
            .field("columns", &self.columns)
            .field("rows", &self.times.len())
            .finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Begins a file whose prices have `digits`, which are only used for decimals.
    pub(super) fn new(selection: &ExportSelection, digits: PriceDigits) -> Result<Self, ExportError> {
        let columns = match selection.prices {
            PriceType::Decimal => PriceColumns::decimal(digits)?,
            PriceType::Double => PriceColumns::Double,
            PriceType::Text => PriceColumns::Text,
        };
        let prices = PRICES.map(|name| columns.schema(name)).join(" ");
        let complete = if selection.forming { "required boolean complete;" } else { "" };
        let schema = format!(
            "message candles {{ required int64 timestamp (TIMESTAMP(MILLIS,true)); {prices} required int64 volume; {complete} }}"
        );
        let schema = parse_message_type(&schema).map_err(ExportError::encoding)?;
        let value = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let mut series = vec![
            value("symbol", selection.range.symbol.as_str()),
            value("timeframe", selection.range.timeframe.name()),
        ];
        if let Some(Resampling { source, calendar }) = &selection.resampling {
            series.push(value("source", source.name()));
            series.push(value("align", &calendar.alignment().to_string()));
            series.push(value("week", calendar::weekday_name(calendar.week())));
        }
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("candlewick version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(series));
        for name in ["timestamp", "volume"] {
            properties = properties.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
        }
        for name in PRICES {
            properties = properties.set_column_encoding(ColumnPath::from(name), columns.encoding());
        }
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties.build()));
        Ok(Self {
            writer: writer.map_err(ExportError::encoding)?,
            columns,
            times: Vec::new(),
            prices: std::array::from_fn(|_| PriceValues::new(columns)),
            volumes: Vec::new(),
            complete: selection.forming.then(Vec::new),
        })
    }

    pub(super) fn push(&mut self, candle: StoredCandle<'_>) -> Result<(), ExportError> {
        for (values, price) in self.prices.iter_mut().zip(candle.prices) {
            if !values.push(self.columns, price) {
                return Err(ExportError::MoreDigits(candle.time));
            }
        }
        self.times.push(candle.time);
        self.volumes.push(candle.volume);
        if let Some(complete) = &mut self.complete {
            complete.push(candle.closed);
        }
        if self.times.len() == ROW_GROUP_CANDLES {
            self.write_group().map_err(ExportError::encoding)?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        write_column::<Int64Type>(&mut group, &mut self.times)?;
        for prices in &mut self.prices {
            prices.write(&mut group)?;
        }
        write_column::<Int64Type>(&mut group, &mut self.volumes)?;
        if let Some(complete) = &mut self.complete {
            write_column::<BoolType>(&mut group, complete)?;
        }
        group.close()?;
        Ok(())
    }

    /// The bytes that were written since the last call.
    pub(super) fn take(&mut self) -> Result<Vec<u8>, ExportError> {
        self.writer.flush().map_err(ExportError::encoding)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// Ends the file, and returns its last bytes.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, ExportError> {
        if !self.times.is_empty() {
            self.write_group().map_err(ExportError::encoding)?;
        }
        self.writer.into_inner().map_err(ExportError::encoding)
    }
}

/// Writes the next column of a row group, and empties `values`.
fn write_column<T: DataType>(group: &mut Group<'_>, values: &mut Vec<T::T>) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("the schema ended".to_owned()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    values.clear();
    column.close()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    #[test]
    fn the_smallest_decimal_is_chosen() {
        for (whole, fraction, columns) in [
            (1, 0, Some(PriceColumns::Short { scale: 0 })),
            (13, 5, Some(PriceColumns::Short { scale: 5 })),
            (13, 6, Some(PriceColumns::Long { scale: 6 })),
            (10, 28, Some(PriceColumns::Long { scale: 28 })),
            (11, 28, None),
        ] {
            assert_eq!(PriceColumns::decimal(PriceDigits { fraction, whole }).ok(), columns);
        }
    }

    #[test]
    fn a_price_that_does_not_fit_is_not_rounded() {
        assert_eq!(unscaled("1.12345", 5), Some(112_345));
        assert_eq!(unscaled("-1.1", 5), Some(-110_000));
        assert_eq!(unscaled("1.123450", 5), Some(112_345), "trailing zeros are not digits of the value");
        assert_eq!(unscaled("1.123451", 5), None);
        assert_eq!(unscaled(&"9".repeat(38), 0), Some(10_i128.pow(38) - 1));
        assert_eq!(unscaled(&format!("1{}", "0".repeat(38)), 0), None);
        let mut short = PriceValues::new(PriceColumns::Short { scale: 0 });
        assert!(short.push(PriceColumns::Short { scale: 0 }, &"9".repeat(18)));
        assert!(!short.push(PriceColumns::Short { scale: 0 }, &format!("1{}", "0".repeat(18))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn the_integer_is_that_of_the_decimal(
            coefficient in -10_i128.pow(28) + 1..10_i128.pow(28),
            scale in 0..29_u32,
            more in 0..10_u32,
        ) {
            let price = Decimal::from_i128_with_scale(coefficient, scale);
            prop_assert_eq!(unscaled(&price.to_string(), scale + more), Some(coefficient * 10_i128.pow(more)));
        }
    }
}
