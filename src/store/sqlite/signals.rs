//! The history of signals.

use std::sync::LazyLock;

use rusqlite::{Connection, Row, params};

use super::Sqlite;
use crate::store::StoreError;
use crate::store::signals::{NewSignal, SignalsSelection, StoredSignal};

const ADD: &str = "
    with newest as (
        select candle, signal from research_signals where symbol = ?1 and timeframe = ?2 order by candle desc limit 1
    )
    insert into research_signals (symbol, timeframe, candle, close, signal, score, votes, previous)
    select ?1, ?2, ?3, ?4, ?5, ?6, ?7, (select signal from newest)
    where not exists (select 1 from newest where candle >= ?3 or signal = ?5)";

/// In the last row, `previous` becomes the signal that it was, which is what readers have seen.
const CORRECT: &str = "
    update research_signals
    set close = ?4, signal = ?5, score = ?6, votes = ?7, previous = signal, at = cast(unixepoch('subsec') * 1000 as integer)
    where symbol = ?1 and timeframe = ?2 and candle = ?3 and signal <> ?5
        and not exists (select 1 from research_signals r where r.symbol = ?1 and r.timeframe = ?2 and r.candle > ?3)";

const COLUMNS: &str = "symbol, timeframe, candle, close, signal, score, votes, previous, at";

static READ: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from research_signals
         where candle >= ?1 and candle < ?2 and (?3 is null or symbol = ?3) and (?4 is null or timeframe = ?4)
           and (?5 is null or (candle, symbol, timeframe) > (?5, ?6, ?7))
         order by candle, symbol, timeframe limit ?8"
    )
});

static CHANGED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from research_signals where at >= ?1 and previous is not null
         order by at, candle, symbol, timeframe limit ?2"
    )
});

impl Sqlite {
    pub(in crate::store) async fn add_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        self.write(move |connection| add(connection, &signal)).await
    }

    pub(in crate::store) async fn correct_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        self.write(move |connection| correct(connection, &signal)).await
    }

    pub(in crate::store) async fn signals(&self, selection: SignalsSelection) -> Result<Vec<StoredSignal>, StoreError> {
        self.list(move |connection| read(connection, &selection)).await
    }

    pub(in crate::store) async fn changed_signals(
        &self,
        since: i64,
        most: usize,
    ) -> Result<Vec<StoredSignal>, StoreError> {
        self.list(move |connection| changed(connection, since, most)).await
    }
}

fn add(connection: &Connection, signal: &NewSignal) -> rusqlite::Result<bool> {
    write(connection, ADD, signal)
}

fn correct(connection: &Connection, signal: &NewSignal) -> rusqlite::Result<bool> {
    write(connection, CORRECT, signal)
}

/// Runs a statement that writes a row at most, and returns true if it did.
fn write(connection: &Connection, statement: &str, signal: &NewSignal) -> rusqlite::Result<bool> {
    let NewSignal { key, candle, close, signal, score, votes } = signal;
    let values = params![key.symbol.as_str(), key.timeframe.name(), candle, close, signal, score, votes];
    Ok(connection.prepare_cached(statement)?.execute(values)? == 1)
}

fn read(connection: &Connection, selection: &SignalsSelection) -> rusqlite::Result<Vec<StoredSignal>> {
    let after = selection.after.as_ref();
    let values = params![
        selection.start,
        selection.end,
        selection.symbol.as_ref().map(candle::Symbol::as_str),
        selection.timeframe.map(candle::Timeframe::name),
        after.map(|after| after.candle),
        after.map(|after| after.key.symbol.as_str()),
        after.map(|after| after.key.timeframe.name()),
        selection.limit
    ];
    connection.prepare_cached(&READ)?.query_map(values, decoded)?.collect()
}

fn changed(connection: &Connection, since: i64, most: usize) -> rusqlite::Result<Vec<StoredSignal>> {
    connection.prepare_cached(&CHANGED)?.query_map(params![since, most], decoded)?.collect()
}

fn decoded(row: &Row<'_>) -> rusqlite::Result<StoredSignal> {
    Ok(StoredSignal {
        symbol: row.get(0)?,
        timeframe: row.get(1)?,
        candle: row.get(2)?,
        close: row.get(3)?,
        signal: row.get(4)?,
        score: row.get(5)?,
        votes: row.get(6)?,
        previous: row.get(7)?,
        at: row.get(8)?,
    })
}
