//! Counts the digits of prices.

use rusqlite::{Connection, params};

use super::series::price;
use crate::store::Range;
use crate::store::candles::fraction_digits;
use crate::store::digits::{CandleTable, CountedDigits, PriceDigits};

const CLOSED: &str = "
    select timestamp, open, high, low, close from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp limit ?5";

const FORMING: &str = "
    select timestamp, open, high, low, close from market_data_live_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp limit ?5";

/// Counts the digits of the oldest candles of `range` in one table. A value that is not a price has none.
pub(super) fn count(connection: &Connection, range: &Range, table: CandleTable) -> rusqlite::Result<CountedDigits> {
    let mut statement = connection.prepare_cached(match table {
        CandleTable::Closed => CLOSED,
        CandleTable::Forming => FORMING,
    })?;
    let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
    let mut rows =
        statement.query(params![range.symbol.as_str(), range.timeframe.name(), range.start, range.end, limit])?;
    let mut counted = CountedDigits { rows: 0, last: None, digits: PriceDigits::default() };
    while let Some(row) = rows.next()? {
        counted.rows += 1;
        counted.last = Some(row.get(0)?);
        for column in 1..=4 {
            let text = price(row, column)?;
            let Some(fraction) = fraction_digits(text) else { continue };
            let point = usize::from(fraction > 0) + fraction as usize;
            let whole = text.len() - usize::from(text.starts_with(b"-")) - point;
            let digits = &mut counted.digits;
            digits.fraction = digits.fraction.max(fraction);
            digits.whole = digits.whole.max(u32::try_from(whole).unwrap_or(u32::MAX));
        }
    }
    Ok(counted)
}
