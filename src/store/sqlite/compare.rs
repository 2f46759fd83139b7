//! The values that are stored under the keys of some candles.

use sqlx::{Row, SqlitePool};

use crate::candle::{Candle, Side};
use crate::store::Stored;

/// The rows whose text differs from that of the candle in the JSON array `?1` with their key. Texts that differ may still
/// be of the same value, as 1.1 and 1.10 are.
const SELECT_DIFFERING: &str = "
    select f.key as position, c.open, c.high, c.low, c.close, c.volume
    from json_each(?1) f
    cross join market_data_candles c
        on c.symbol = f.value ->> 0 and c.timeframe = f.value ->> 1 and c.timestamp = f.value ->> 2
    where (c.open, c.high, c.low, c.close, c.volume)
        is not (f.value ->> 3, f.value ->> 4, f.value ->> 5, f.value ->> 6, f.value ->> 7)";

/// Reads those of the stored candles with the keys of `candles` that are not written as these are.
pub(super) async fn stored(readers: &SqlitePool, candles: &[Candle]) -> sqlx::Result<Vec<Stored>> {
    let rows: Vec<_> = candles
        .iter()
        .map(|Candle { key, ohlc, volume }| {
            let [open, high, low, close] = Side::ALL.map(|side| ohlc.get(side).to_string());
            let (symbol, timeframe, time) = (key.symbol().as_str(), key.timeframe().name(), key.time().millis());
            (symbol, timeframe, time, open, high, low, close, volume.get())
        })
        .collect();
    let rows = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let found = sqlx::query(SELECT_DIFFERING).bind(rows).fetch_all(readers).await?;
    let one = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Stored {
            position: usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX),
            prices: [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?],
            volume: row.try_get(5)?,
        })
    };
    found.iter().map(one).collect()
}
