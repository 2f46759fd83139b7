//! Compares candles with the values that are stored under their keys.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use crate::store::{MAX_STORED_VALUE_CHARS, Stored};
use candle::{Candle, OhlcField, Price};

/// Selects the rows whose text differs from that of the candle with their key in the JSON array `?1`. Different texts
/// may still have the same value, as 1.1 and 1.10 do.
const SELECT_DIFFERING: &str = include_str!("sql/differing_candles.sql");

/// Reads the stored candles that have the keys of `candles` but other values.
pub(super) async fn stored(readers: &SqlitePool, candles: &[Candle]) -> sqlx::Result<Vec<Stored>> {
    let rows: Vec<_> = candles
        .iter()
        .map(|Candle { key, ohlc, volume }| {
            let [open, high, low, close] = OhlcField::ALL.map(|field| ohlc.get(field).to_string());
            let (symbol, timeframe, time) = (key.symbol().as_str(), key.timeframe().name(), key.time().millis());
            (symbol, timeframe, time, open, high, low, close, volume.get())
        })
        .collect();
    let rows = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    // One character more than is shown, to detect a longer value.
    let query =
        sqlx::query(SELECT_DIFFERING).bind(rows).bind(i64::try_from(MAX_STORED_VALUE_CHARS + 1).unwrap_or(i64::MAX));
    let found = query.fetch_all(readers).await?;
    found.iter().map(|row| differing(row, candles)).filter_map(Result::transpose).collect()
}

/// The values of a row that differ from those of its candle; `None` if all are the same.
fn differing(row: &SqliteRow, candles: &[Candle]) -> sqlx::Result<Option<Stored>> {
    let position = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
    let Some(candle) = candles.get(position) else { return Ok(None) };
    let mut values = [const { None }; 5];
    for ((field, value), column) in OhlcField::ALL.into_iter().zip(&mut values).zip(1..) {
        let text: Option<String> = row.try_get(column)?;
        let is_same = text.as_deref().is_some_and(|text| is_price(text, candle.ohlc.get(field)));
        *value = (!is_same).then(|| shown(text));
    }
    let volume: Option<i64> = row.try_get(5)?;
    let is_same = volume == Some(candle.volume.get());
    values[4] = (!is_same).then(|| shown(volume.map(|volume| volume.to_string())));
    Ok(values.iter().any(Option::is_some).then_some(Stored { position, values }))
}

/// True if `text` is the plain decimal of `price` with any number of trailing zeros. Other programs may have stored
/// more of them than a price can have.
fn is_price(text: &str, price: Price) -> bool {
    let shortest = match text.split_once('.') {
        Some((whole, fraction)) if fraction.ends_with('0') => match fraction.trim_end_matches('0') {
            "" => whole,
            fraction => &text[..=whole.len() + fraction.len()],
        },
        _ => text,
    };
    text.chars().count() <= MAX_STORED_VALUE_CHARS && Price::parse(shortest).is_ok_and(|stored| stored == price)
}

fn shown(text: Option<String>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| text.chars().take(MAX_STORED_VALUE_CHARS).collect())
}
