//! MetaTrader 4's `.hst` files: a header of 148 bytes and candles of 44 (version 400) or 60 bytes (401), little-endian.
//!
//! The layout is that of the headers of rosasurfer/mt4-expander and EA31337/MT-Formats. Version 400 has the low before the
//! high. Prices are doubles, which are written with the digits that the header names; a price that has more digits is
//! refused.

use candle::{Ohlc, Price, Timeframe, Volume};

use crate::rows::{Fault, FaultKind, Row};
use crate::volume::VolumeChoice;

/// The length of the header in bytes.
pub const HST_HEADER_BYTES: usize = 148;
/// The maximum number of digits after the point.
const MAX_DIGITS: i32 = 10;
/// The maximum distance of a double from the decimal that is meant.
const MAX_ERROR: f64 = 1e-9;

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HstHeader {
    version: i32,
    /// The instrument.
    pub symbol: String,
    /// The timeframe.
    pub timeframe: Timeframe,
    digits: usize,
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    if let Some(found) = from.get(at..at + N) {
        taken.copy_from_slice(found);
    }
    taken
}

fn int(from: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes(from, at))
}

impl HstHeader {
    /// Reads the header with which a file begins. Returns `None` if it is not such a file.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Result<Self, String>> {
        let version = int(head, 0);
        if head.len() < HST_HEADER_BYTES || !(version == 400 || version == 401) {
            return None;
        }
        let name = &head[68..80];
        let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
        let (minutes, digits) = (int(head, 80), int(head, 84));
        let timeframe = match minutes {
            43_200 => Some(Timeframe::MN1),
            _ => Timeframe::ALL.into_iter().find(|known| known.length() == Some(i64::from(minutes) * 60)),
        };
        let Some(timeframe) = timeframe else {
            return Some(Err(format!("has a period of {minutes} minutes, which is not a timeframe")));
        };
        let Some(digits) = usize::try_from(digits).ok().filter(|_| digits <= MAX_DIGITS) else {
            return Some(Err(format!("has prices of {digits} digits; candles have from 0 to {MAX_DIGITS}")));
        };
        Some(Ok(Self { version, symbol: String::from_utf8_lossy(name).into_owned(), timeframe, digits }))
    }

    /// The name of the version for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("MetaTrader 4 .hst, version {}, {} digits", self.version, self.digits)
    }

    /// The length of a candle in bytes.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        if self.version == 400 { 44 } else { 60 }
    }

    /// Reads a candle.
    ///
    /// # Errors
    /// When a price has more digits than the header names, or the prices or the volume are not those of a candle.
    pub fn row<'a>(&self, record: &'a [u8], volume: VolumeChoice) -> Result<Row<'a>, Fault> {
        let double = |at: usize| f64::from_le_bytes(bytes(record, at));
        let (reading, prices, ticks) = if self.version == 400 {
            let ticks = Self::decimal(double(36), 0, "volume")?;
            (i64::from(int(record, 0)), [double(4), double(20), double(12), double(28)], ticks)
        } else {
            let ticks = u64::from_le_bytes(bytes(record, 40)).to_string();
            (i64::from_le_bytes(bytes(record, 0)), [double(8), double(16), double(24), double(32)], ticks)
        };
        let mut read = [None; 4];
        for ((price, double), name) in read.iter_mut().zip(prices).zip(["open", "high", "low", "close"]) {
            let text = Self::decimal(double, self.digits, name)?;
            let parsed = Price::parse(&text);
            *price = Some(parsed.map_err(|error| Fault::new(FaultKind::Prices, format!("the {name} {error}")))?);
        }
        let [Some(open), Some(high), Some(low), Some(close)] = read else {
            return Err(Fault::new(FaultKind::Prices, "a price is missing"));
        };
        let ohlc = Ohlc::new([open, high, low, close]).map_err(|contradictions| {
            let said = contradictions.iter().map(|(field, error)| format!("the {} {}", field.name(), error.message));
            Fault::new(FaultKind::Prices, said.collect::<Vec<_>>().join(", "))
        })?;
        let ticks = if volume == VolumeChoice::None { "0" } else { &ticks };
        let volume = Volume::parse(ticks)
            .map_err(|error| Fault::new(FaultKind::Volume, format!("the volume {}", error.message)))?;
        Ok(Row { reading, offset: None, ohlc, volume, ticker: &[], timeframe: None })
    }

    /// The decimal with `digits` digits after the point that a double stands for.
    fn decimal(double: f64, digits: usize, name: &str) -> Result<String, Fault> {
        let text = format!("{double:.digits$}");
        let near = text.parse::<f64>().is_ok_and(|near| (near - double).abs() <= MAX_ERROR);
        if near {
            return Ok(text);
        }
        Err(Fault::new(
            FaultKind::Prices,
            format!("the {name} is {double}, which does not have {digits} digits after its point"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle::OhlcField;

    use super::*;

    fn header(version: i32, minutes: i32, digits: i32) -> Vec<u8> {
        let mut bytes = vec![0; HST_HEADER_BYTES];
        bytes[..4].copy_from_slice(&version.to_le_bytes());
        bytes[68..74].copy_from_slice(b"EURUSD");
        bytes[80..84].copy_from_slice(&minutes.to_le_bytes());
        bytes[84..88].copy_from_slice(&digits.to_le_bytes());
        bytes
    }

    fn read(row: &Row<'_>) -> (i64, [String; 4], i64) {
        (row.reading, OhlcField::ALL.map(|field| row.ohlc.get(field).to_string()), row.volume.get())
    }

    #[test]
    fn both_versions_have_the_digits_of_their_header() {
        let expected = (1_754_265_660, ["1.15810", "1.15815", "1.15800", "1.15801"].map(str::to_owned), 412);
        let old = HstHeader::read(&header(400, 1, 5)).unwrap().unwrap();
        assert_eq!((old.symbol.as_str(), old.timeframe, old.record_bytes()), ("EURUSD", Timeframe::M1, 44));
        let mut record = 1_754_265_660_i32.to_le_bytes().to_vec();
        for double in [1.158_10_f64, 1.158_00, 1.158_15, 1.158_01, 412.0] {
            record.extend(double.to_le_bytes());
        }
        assert_eq!(read(&old.row(&record, VolumeChoice::Whole).unwrap()), expected);

        let new = HstHeader::read(&header(401, 240, 5)).unwrap().unwrap();
        assert_eq!((new.timeframe, new.record_bytes()), (Timeframe::H4, 60));
        let mut record = 1_754_265_660_i64.to_le_bytes().to_vec();
        for double in [1.158_10_f64, 1.158_15, 1.158_00, 1.158_01] {
            record.extend(double.to_le_bytes());
        }
        record.extend(412_u64.to_le_bytes());
        record.resize(60, 0);
        assert_eq!(read(&new.row(&record, VolumeChoice::Whole).unwrap()), expected);
        assert_eq!(new.row(&record, VolumeChoice::None).unwrap().volume.get(), 0);
    }

    #[test]
    fn what_a_double_cannot_stand_for_is_refused() {
        let header = HstHeader::read(&header(401, 1, 2)).unwrap().unwrap();
        let mut record = 0_i64.to_le_bytes().to_vec();
        for double in [1.5_f64, 1.5, 1.5, 1.501] {
            record.extend(double.to_le_bytes());
        }
        record.resize(60, 0);
        let fault = header.row(&record, VolumeChoice::Whole).unwrap_err();
        assert_eq!(fault.message, "the close is 1.501, which does not have 2 digits after its point");
        record[8..16].copy_from_slice(&f64::NAN.to_le_bytes());
        assert!(header.row(&record, VolumeChoice::Whole).is_err());
    }

    #[test]
    fn other_files_are_not_taken_for_one() {
        assert_eq!(HstHeader::read(b"2025.08.04,00:01"), None);
        assert!(HstHeader::read(&header(400, 7, 5)).unwrap().is_err());
        assert!(HstHeader::read(&header(401, 1, 99)).unwrap().is_err());
        assert_eq!(HstHeader::read(&header(402, 1, 5)), None);
    }
}
