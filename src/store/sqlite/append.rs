//! Writes candles: one statement for each kind, prepared once and run for each candle.

use rusqlite::{Connection, TransactionBehavior};

use candle::{Batch, Candle, Closing, Forming, OhlcField, Written};

const INSERT_CLOSED: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    on conflict do nothing";

/// `?9` is the time at which the clock may close the candle.
///
/// A state with less volume than the stored one is older, was overtaken on the way, and is ignored. If the stored state
/// is too old for that, the terminal has resynchronised its history, and the new state replaces it.
const UPSERT_FORMING: &str = include_str!("sql/upsert_forming.sql");

/// Inserts closed candles that are not stored yet, and inserts or replaces forming ones, batch by batch in one
/// transaction. Returns the changes of each batch.
pub(super) fn insert<'b>(
    connection: &mut Connection,
    batches: impl IntoIterator<Item = &'b Batch>,
) -> rusqlite::Result<Vec<Written>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert_closed = transaction.prepare_cached(INSERT_CLOSED)?;
    let mut upsert_forming = transaction.prepare_cached(UPSERT_FORMING)?;
    let mut written = Vec::new();
    for batch in batches {
        let mut row = PriceTexts::default();
        let mut closed = Vec::with_capacity(batch.closed().len());
        for (position, candle) in batch.closed().iter().enumerate() {
            let PriceTexts([open, high, low, close]) = row.of(candle);
            let (symbol, timeframe, time) = key(candle);
            let volume = candle.volume.get();
            if insert_closed.execute((symbol, timeframe, time, open, high, low, close, volume))? > 0 {
                closed.push(position);
            }
        }
        let mut forming = Vec::with_capacity(batch.forming().len());
        for (position, Forming { candle, closing }) in batch.forming().iter().enumerate() {
            let PriceTexts([open, high, low, close]) = row.of(candle);
            let (symbol, timeframe, time) = key(candle);
            let (volume, closes_at) = (candle.volume.get(), closes_at(*closing));
            if upsert_forming.execute((symbol, timeframe, time, open, high, low, close, volume, closes_at))? > 0 {
                forming.push(position);
            }
        }
        written.push(Written { closed, forming });
    }
    drop((insert_closed, upsert_forming));
    transaction.commit()?;
    Ok(written)
}

/// The prices of a candle as text, in buffers that are reused for the next candle.
#[derive(Default)]
struct PriceTexts([String; 4]);

impl PriceTexts {
    fn of(&mut self, candle: &Candle) -> &Self {
        for (field, text) in OhlcField::ALL.into_iter().zip(&mut self.0) {
            text.clear();
            candle.ohlc.get(field).write_to(text);
        }
        self
    }
}

fn key(Candle { key, .. }: &Candle) -> (&str, &str, i64) {
    (key.symbol().as_str(), key.timeframe().name(), key.time().millis())
}

/// The time at which the clock may close a forming candle, in epoch milliseconds. `None` leaves the stored one
/// unchanged.
fn closes_at(closing: Closing) -> Option<i64> {
    match closing {
        Closing::Undecided => None,
        Closing::Never => Some(i64::MAX),
        Closing::Ended(time) | Closing::Early(time) => Some(time.millis()),
    }
}
