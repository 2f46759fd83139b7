//! The values that are stored under the keys of some candles.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::append::bind;
use crate::candle::Candle;
use crate::store::{StoreError, Stored, unreadable};

/// The rows that differ by value from the candle with their key; NaN and null differ from every number.
const SELECT_DIFFERING: &str = r#"
    select f.position, c.open::text, c.high::text, c.low::text, c.close::text, c.volume
    from unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[],
        $8::bigint[]) with ordinality
        as f(symbol, timeframe, "timestamp", open, high, low, close, volume, position)
    join market_data_candles c
        on c.symbol = f.symbol and c.timeframe = f.timeframe and c."timestamp" = f."timestamp"
    where c.open is distinct from f.open or c.high is distinct from f.high or c.low is distinct from f.low
       or c.close is distinct from f.close or c.volume is distinct from f.volume"#;

/// Reads those of the stored candles with the keys of `candles` that have other values, for [`stored`].
pub(super) async fn read(connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<Vec<PgRow>> {
    bind(sqlx::query(SELECT_DIFFERING), candles).fetch_all(connection).await
}

/// The candles in what [`read`] has read.
pub(super) fn stored(rows: &[PgRow]) -> Result<Vec<Stored>, StoreError> {
    let one = |row: &PgRow| {
        Ok(Stored {
            position: usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX),
            prices: [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?],
            volume: row.try_get(5)?,
        })
    };
    rows.iter().map(one).collect::<sqlx::Result<_>>().map_err(unreadable)
}
