//! Encodes candles in PostgreSQL's binary format, the same for an array of a column as for a row of COPY, so that
//! numbers are not converted to text and back.

use sqlx::Postgres as Pg;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};

use candle::{Candle, Closing, Forming, OhlcField, Price, Timestamp};

/// A column of both tables.
#[derive(Debug, Clone, Copy)]
pub(super) enum CandleColumn {
    Symbol,
    Timeframe,
    Timestamp,
    Price(OhlcField),
    Volume,
}

/// 2000-01-01T00:00:00Z in epoch seconds. PostgreSQL counts microseconds from then on.
const POSTGRES_EPOCH: i64 = 946_684_800;

impl CandleColumn {
    /// All columns, in the order in which statements name them.
    pub(super) const ALL: [Self; 8] = [
        Self::Symbol,
        Self::Timeframe,
        Self::Timestamp,
        Self::Price(OhlcField::Open),
        Self::Price(OhlcField::High),
        Self::Price(OhlcField::Low),
        Self::Price(OhlcField::Close),
        Self::Volume,
    ];

    /// The OIDs of its type and of arrays of it, which never change (PostgreSQL: `pg_type.dat`).
    fn type_oids(self) -> (u32, u32) {
        match self {
            Self::Symbol | Self::Timeframe => (25, 1009),
            Self::Timestamp => (1184, 1185),
            Self::Price(_) => (1700, 1231),
            Self::Volume => (20, 1016),
        }
    }

    /// Appends the length of a candle's value, then the value.
    pub(super) fn write(self, candle: &Candle, bytes: &mut Vec<u8>) {
        match self {
            Self::Symbol => write_bytes(candle.key.symbol().as_str().as_bytes(), bytes),
            Self::Timeframe => write_bytes(candle.key.timeframe().name().as_bytes(), bytes),
            Self::Timestamp => {
                write_bytes(&micros(candle.key.time()).to_be_bytes(), bytes);
            }
            Self::Price(field) => write_numeric(candle.ohlc.get(field), bytes),
            Self::Volume => write_bytes(&candle.volume.get().to_be_bytes(), bytes),
        }
    }
}

/// The value of a `timestamptz`. Its maximum, `i64::MAX`, means infinity (PostgreSQL: `DT_NOEND`).
fn micros(time: Timestamp) -> i64 {
    (time.seconds() - POSTGRES_EPOCH) * 1_000_000
}

fn write_bytes(value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&length(value.len()).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// A length as PostgreSQL counts it. Batches and their values are far smaller than 2 GiB.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Appends a NUMERIC with every digit of `price`: groups of four decimal digits, counted from the point in both
/// directions (PostgreSQL: `numeric_recv`).
fn write_numeric(price: Price, bytes: &mut Vec<u8>) {
    const NEGATIVE: i16 = 0x4000;
    let fraction_groups = price.scale().div_ceil(4);
    // At most 28 digits and three zeros: no overflow.
    let zeros = 4 * fraction_groups - price.scale();
    let mut rest = price.coefficient().unsigned_abs() * 10_u128.pow(zeros);
    let (mut groups, mut count) = ([0_u16; 8], 0);
    while rest > 0 {
        // Nearly every price fits into 64 bits, whose division is many times faster.
        let group = if let Ok(small) = u64::try_from(rest) {
            rest = u128::from(small / 10_000);
            small % 10_000
        } else {
            let group = rest % 10_000;
            rest /= 10_000;
            u64::try_from(group).unwrap_or_default()
        };
        groups[count] = u16::try_from(group).unwrap_or_default();
        count += 1;
    }
    // The lowest group comes first here. Zero groups at that end are not sent.
    let kept = groups[..count].iter().position(|&group| group != 0).map_or(&[][..], |lowest| &groups[lowest..count]);
    let weight = if kept.is_empty() { 0 } else { small(count) - small(fraction_groups) - 1 };
    let sign = if price.coefficient() < 0 { NEGATIVE } else { 0 };
    bytes.extend_from_slice(&length(8 + 2 * kept.len()).to_be_bytes());
    for part in [small(kept.len()), weight, sign, small(price.scale())] {
        bytes.extend_from_slice(&part.to_be_bytes());
    }
    for group in kept.iter().rev() {
        bytes.extend_from_slice(&group.to_be_bytes());
    }
}

fn small(number: impl TryInto<i16>) -> i16 {
    number.try_into().unwrap_or(i16::MAX)
}

/// A column of some candles, as an array to bind.
#[derive(Debug)]
pub(super) struct BoundColumn<'a, C>(pub(super) CandleColumn, pub(super) &'a [C]);

impl<C> sqlx::Type<Pg> for BoundColumn<'_, C> {
    /// Unused, because [`Encode::produces`] returns the type of each value.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(CandleColumn::Symbol.type_oids().1))
    }
}

/// A column of one candle, as a value to bind.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundValue<'a>(pub(super) CandleColumn, pub(super) &'a Candle);

impl sqlx::Type<Pg> for BoundValue<'_> {
    /// Unused, because [`Encode::produces`] returns the type of each value.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(CandleColumn::Symbol.type_oids().0))
    }
}

impl Encode<'_, Pg> for BoundValue<'_> {
    fn encode_by_ref(&self, bytes: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let start = bytes.len();
        self.0.write(self.1, bytes);
        // The caller writes the length of a value itself.
        bytes.drain(start..start + size_of::<i32>());
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.type_oids().0)))
    }
}

/// Appends the header of an array of `count` elements of the type with the OID `element` (PostgreSQL: `array_recv`).
fn write_array_header(element: u32, count: usize, has_nulls: bool, bytes: &mut PgArgumentBuffer) {
    const DIMENSIONS: i32 = 1;
    const FIRST_INDEX: i32 = 1;
    bytes.reserve(20 + count * 16);
    for number in [DIMENSIONS, i32::from(has_nulls)] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&element.to_be_bytes());
    for number in [length(count), FIRST_INDEX] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
}

impl<C: AsRef<Candle>> Encode<'_, Pg> for BoundColumn<'_, C> {
    fn encode_by_ref(&self, bytes: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Self(column, candles) = *self;
        write_array_header(column.type_oids().0, candles.len(), false, bytes);
        for candle in candles {
            column.write(candle.as_ref(), bytes);
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.type_oids().1)))
    }
}

/// The column `closes_at` of some forming candles, as an array to bind: null if a post leaves it unchanged, infinity if
/// the clock must not close the candle.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosingTimes<'a>(pub(super) &'a [Forming]);

impl sqlx::Type<Pg> for ClosingTimes<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(CandleColumn::Timestamp.type_oids().1))
    }
}

impl Encode<'_, Pg> for ClosingTimes<'_> {
    fn encode_by_ref(&self, bytes: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        const NULL: i32 = -1;
        write_array_header(CandleColumn::Timestamp.type_oids().0, self.0.len(), true, bytes);
        for Forming { closing, .. } in self.0 {
            match closing_micros(*closing) {
                None => bytes.extend_from_slice(&NULL.to_be_bytes()),
                Some(micros) => write_bytes(&micros.to_be_bytes(), bytes),
            }
        }
        Ok(IsNull::No)
    }
}

/// The column `closes_at` of one forming candle, as a value to bind.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosingTime<'a>(pub(super) &'a Forming);

impl sqlx::Type<Pg> for ClosingTime<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(CandleColumn::Timestamp.type_oids().0))
    }
}

impl Encode<'_, Pg> for ClosingTime<'_> {
    fn encode_by_ref(&self, bytes: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(micros) = closing_micros(self.0.closing) else { return Ok(IsNull::Yes) };
        bytes.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
}

/// The value of `closes_at`, if a post changes it.
fn closing_micros(closing: Closing) -> Option<i64> {
    match closing {
        Closing::Undecided => None,
        Closing::Never => Some(i64::MAX),
        Closing::Ended(time) | Closing::Early(time) => Some(micros(time)),
    }
}

/// The header of a binary COPY (PostgreSQL documentation, COPY, "Binary Format").
pub(super) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The trailer of a binary COPY.
pub(super) const COPY_TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Appends a candle as a row of a binary COPY.
pub(super) fn write_row(candle: &Candle, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&small(CandleColumn::ALL.len()).to_be_bytes());
    for column in CandleColumn::ALL {
        column.write(candle, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(price: &str) -> Vec<i16> {
        let mut bytes = Vec::new();
        write_numeric(Price::parse(price).unwrap(), &mut bytes);
        assert_eq!(bytes[..4], length(bytes.len() - 4).to_be_bytes());
        bytes[4..].chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// The number of groups, the weight of the first one, the sign, the number of digits after the point, and the
    /// groups, as `numeric_send` of PostgreSQL 15 writes them.
    #[test]
    fn prices_are_numerics_with_every_digit() {
        assert_eq!(numeric("1.08500"), [2, 0, 0, 5, 1, 850]);
        assert_eq!(numeric("-37.63"), [2, 0, 0x4000, 2, 37, 6300]);
        assert_eq!(numeric("0.00"), [0, 0, 0, 2]);
        assert_eq!(numeric("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(numeric("120000000"), [2, 2, 0, 0, 1, 2000]);
        assert_eq!(numeric("9999999999999999999999999999"), [7, 6, 0, 0, 9999, 9999, 9999, 9999, 9999, 9999, 9999]);
        assert_eq!(numeric("0.0000000000000000000000000001"), [1, -7, 0, 28, 1]);
    }
}
