//! Candles in: one statement for each kind, prepared once and run for each candle.

use rusqlite::{CachedStatement, Connection, TransactionBehavior};

use crate::candle::{Batch, Candle, Side};
use crate::store::Written;

const INSERT_CLOSED: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    on conflict do nothing";

const UPSERT_FORMING: &str = "
    insert into market_data_live_candles as stored (symbol, timeframe, timestamp, open, high, low, close, volume)
    select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    where not exists (
        select 1 from market_data_candles c where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = ?3)
    on conflict (symbol, timeframe, timestamp) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, updated_at = unixepoch()
        where excluded.volume >= stored.volume";

/// Inserts what is not stored yet and replaces forming candles, one batch after the other, all of them or nothing. Returns
/// what each of them changed.
pub(super) fn insert<'b>(
    connection: &mut Connection,
    batches: impl IntoIterator<Item = &'b Batch>,
) -> rusqlite::Result<Vec<Written>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert_closed = transaction.prepare_cached(INSERT_CLOSED)?;
    let mut upsert_forming = transaction.prepare_cached(UPSERT_FORMING)?;
    let mut written = Vec::new();
    for batch in batches {
        let closed = run(&mut insert_closed, batch.closed())?;
        let forming = run(&mut upsert_forming, batch.forming())?;
        written.push(Written { closed, forming });
    }
    drop((insert_closed, upsert_forming));
    transaction.commit()?;
    Ok(written)
}

/// Returns the positions of the candles that changed something.
fn run(statement: &mut CachedStatement<'_>, candles: &[Candle]) -> rusqlite::Result<Vec<usize>> {
    let mut prices = Side::ALL.map(|_| String::new());
    let mut changed = Vec::with_capacity(candles.len());
    for (position, Candle { key, ohlc, volume }) in candles.iter().enumerate() {
        for (side, text) in Side::ALL.into_iter().zip(&mut prices) {
            text.clear();
            ohlc.get(side).write_to(text);
        }
        let [open, high, low, close] = &prices;
        let (symbol, timeframe, time) = (key.symbol().as_str(), key.timeframe().name(), key.time().millis());
        if statement.execute((symbol, timeframe, time, open, high, low, close, volume.get()))? > 0 {
            changed.push(position);
        }
    }
    Ok(changed)
}
