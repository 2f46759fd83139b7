//! Corrects and deletes stored candles, each time in one transaction with the row that this adds to the record.

use std::fmt::Write as _;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::Sqlite;
use crate::store::StoreError;
use crate::store::changes::{
    Amended, Change, ChangesSelection, Correction, Expected, Found, Imported, MAX_RECORDED_CANDLES, Matched, Note,
    Removal, RemovalKind, Span,
};
use crate::store::series::SeriesKey;
use crate::store::versions::BumpOnDrop;
use candle::{Candle, Key, OhlcField, Price};

const STORED: &str = "
    select open, high, low, close, volume from market_data_candles where symbol = ?1 and timeframe = ?2 and timestamp = ?3";

const REPLACE: &str = "
    update market_data_candles set open = ?4, high = ?5, low = ?6, close = ?7, volume = ?8
    where symbol = ?1 and timeframe = ?2 and timestamp = ?3";

const RECORD: &str = "
    insert into market_data_changes (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const IN_SPAN: &str = "
    select timestamp, 0, open, high, low, close, volume from (
        select * from market_data_candles
        where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp limit ?5)
    union all
    select timestamp, 1, open, high, low, close, volume from (
        select * from market_data_live_candles
        where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp limit ?5)
    order by 1, 2";

const DELETE: &str = "
    delete from market_data_candles where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4";

const DELETE_FORMING: &str = "
    delete from market_data_live_candles where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4";

const CHANGES: &str = "
    select id, at, actor, kind, symbol, timeframe, first, last, candles, reason, detail from market_data_changes
    where id > ?1 and (?3 is null or symbol = ?3) and (?4 is null or timeframe = ?4)
    order by id limit ?2";

const CHANGES_WITHIN: &str = "
    select id, at, actor, kind, symbol, timeframe, first, last, candles, reason,
           case when kind = 'correction' and candles <= ?6 then detail else '{}' end
    from market_data_changes
    where symbol = ?1 and timeframe = ?2 and kind in ('correction', 'deletion') and last >= ?3 and first < ?4
    order by first desc, id desc limit ?5";

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredRow {
    time: i64,
    is_forming: bool,
    prices: [String; 4],
    volume: i64,
}

impl StoredRow {
    fn values(self) -> [String; 5] {
        let [open, high, low, close] = self.prices;
        [open, high, low, close, self.volume.to_string()]
    }

    /// Appends the row as an object of JSON. Prices are stored in the form of JSON numbers.
    fn write_json(&self, text: &mut String) {
        let ([open, high, low, close], Self { time, volume, .. }) = (&self.prices, self);
        let complete = if self.is_forming { r#","complete":false"# } else { "" };
        let _ = write!(
            text,
            r#"{{"timestamp":{time},"open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}{complete}}}"#
        );
    }
}

impl From<&Candle> for StoredRow {
    fn from(candle: &Candle) -> Self {
        Self {
            time: candle.key.time().millis(),
            is_forming: false,
            prices: OhlcField::ALL.map(|field| candle.ohlc.get(field).to_string()),
            volume: candle.volume.get(),
        }
    }
}

impl Sqlite {
    pub(in crate::store) async fn amend(
        &self,
        corrections: Vec<Correction>,
        note: Note,
        bump: BumpOnDrop,
    ) -> Result<Amended, StoreError> {
        let shared = Arc::clone(&self.0);
        let amend = move |connection: &mut Connection| amend(connection, &corrections, &note);
        let work = async move {
            let _bump = bump;
            shared.writer.run(amend).await
        };
        self.run(work).await
    }

    pub(in crate::store) async fn matched(&self, span: Span, most: usize) -> Result<Matched, StoreError> {
        self.list(move |connection| matched(connection, &span, most)).await
    }

    pub(in crate::store) async fn remove(
        &self,
        span: Span,
        most: usize,
        confirm: String,
        kind: RemovalKind,
        note: Note,
        bump: BumpOnDrop,
    ) -> Result<Removal, StoreError> {
        let shared = Arc::clone(&self.0);
        let remove = move |connection: &mut Connection| remove(connection, (&span, most), &confirm, kind, &note);
        let work = async move {
            let _bump = bump;
            shared.writer.run(remove).await
        };
        self.run(work).await
    }

    pub(in crate::store) async fn record_import(&self, imported: Imported, note: Note) -> Result<(), StoreError> {
        self.write(move |connection| record_import(connection, &imported, &note)).await
    }

    pub(in crate::store) async fn changes(
        &self,
        selection: ChangesSelection,
        max_bytes: usize,
    ) -> Result<Vec<Change>, StoreError> {
        self.list(move |connection| changes(connection, &selection, max_bytes)).await
    }

    pub(in crate::store) async fn changes_within(
        &self,
        span: Span,
        limits: (usize, usize),
    ) -> Result<Vec<Change>, StoreError> {
        self.list(move |connection| changes_within(connection, &span, limits)).await
    }
}

fn json<'r>(rows: impl IntoIterator<Item = &'r StoredRow>) -> String {
    let mut text = String::from("[");
    for row in rows {
        if text.len() > 1 {
            text.push(',');
        }
        row.write_json(&mut text);
    }
    text.push(']');
    text
}

fn amend(connection: &mut Connection, corrections: &[Correction], note: &Note) -> rusqlite::Result<Amended> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut amended = Amended { found: Vec::new(), changes: Vec::new() };
    let mut replaced: Vec<(&Key, StoredRow, StoredRow)> = Vec::new();
    for Correction { candle, expected } in corrections {
        let new = StoredRow::from(candle);
        amended.found.push(match stored(&transaction, &candle.key)? {
            None => Found::Nothing,
            Some(row) if !is_expected(&row, expected) => Found::Unexpected(row.values()),
            Some(row) if row == new => Found::Same,
            Some(row) => {
                replaced.push((&candle.key, row, new));
                Found::Replaced
            }
        });
    }
    if amended.found.iter().any(|found| matches!(found, Found::Nothing | Found::Unexpected(_))) {
        return Ok(amended);
    }
    replaced.sort_by_key(|(key, ..)| *key);
    for of_series in replaced.chunk_by(|(one, ..), (next, ..)| one.same_series(next)) {
        for (key, _, new) in of_series {
            let [open, high, low, close] = &new.prices;
            let values =
                params![key.symbol().as_str(), key.timeframe().name(), new.time, open, high, low, close, new.volume];
            transaction.prepare_cached(REPLACE)?.execute(values)?;
        }
        let ((key, first, _), (_, last, _)) = (&of_series[0], &of_series[of_series.len() - 1]);
        let before = json(of_series.iter().map(|(_, before, _)| before));
        let after = json(of_series.iter().map(|(_, _, after)| after));
        let series = SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() };
        let detail = format!(r#"{{"before":{before},"after":{after}}}"#);
        let span = (first.time, last.time, of_series.len() as u64);
        amended.changes.push(record(&transaction, &series, "correction", span, note, &detail)?);
    }
    transaction.commit()?;
    Ok(amended)
}

fn stored(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<Option<StoredRow>> {
    let time = key.time().millis();
    let row = |row: &Row<'_>| {
        let prices = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        Ok(StoredRow { time, is_forming: false, prices, volume: row.get(4)? })
    };
    let key = (key.symbol().as_str(), key.timeframe().name(), time);
    transaction.prepare_cached(STORED)?.query_row(key, row).optional()
}

/// Compares by value: 1.1 is 1.10. A stored text that is not a price is never expected.
fn is_expected(row: &StoredRow, expected: &Expected) -> bool {
    let price = |stored: &String, expected: &Option<Price>| {
        expected.is_none_or(|expected| Price::parse(stored).is_ok_and(|stored| stored.cmp(&expected).is_eq()))
    };
    row.prices.iter().zip(&expected.prices).all(|(stored, expected)| price(stored, expected))
        && expected.volume.is_none_or(|volume| volume.get() == row.volume)
}

fn record(
    transaction: &Transaction<'_>,
    series: &SeriesKey,
    kind: &str,
    (first, last, candles): (i64, i64, u64),
    note: &Note,
    detail: &str,
) -> rusqlite::Result<i64> {
    let (symbol, timeframe) = (series.symbol.as_str(), series.timeframe.name());
    let candles = i64::try_from(candles).unwrap_or(i64::MAX);
    let values = params![note.actor, kind, symbol, timeframe, first, last, candles, note.reason, detail];
    transaction.prepare_cached(RECORD)?.execute(values)?;
    Ok(transaction.last_insert_rowid())
}

/// The rows of a span, and what they add up to.
fn span_rows(connection: &Connection, span: &Span, most: usize) -> rusqlite::Result<(Vec<StoredRow>, Matched)> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let (symbol, timeframe) = (span.key.symbol.as_str(), span.key.timeframe.name());
    let mut statement = connection.prepare_cached(IN_SPAN)?;
    let rows = statement.query_map((symbol, timeframe, span.start, span.end, limit), |row| {
        let prices = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
        Ok(StoredRow { time: row.get(0)?, is_forming: row.get(1)?, prices, volume: row.get(6)? })
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let forming = rows.iter().filter(|row| row.is_forming).count() as u64;
    let matched = Matched {
        closed: rows.len() as u64 - forming,
        forming,
        first: rows.first().map(|row| row.time),
        last: rows.last().map(|row| row.time),
        digest: digest(span, &rows),
    };
    Ok((rows, matched))
}

fn digest(span: &Span, rows: &[StoredRow]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{}\n{}\n{}\n{}", span.key.symbol, span.key.timeframe, span.start, span.end));
    let mut line = String::new();
    for StoredRow { time, is_forming, prices: [open, high, low, close], volume } in rows {
        line.clear();
        let state = if *is_forming { "forming" } else { "closed" };
        let _ = write!(line, "\n{state} {time} {open} {high} {low} {close} {volume}");
        hash.update(&line);
    }
    hex::encode(&hash.finalize()[..6])
}

fn matched(connection: &Connection, span: &Span, most: usize) -> rusqlite::Result<Matched> {
    span_rows(connection, span, most).map(|(_, matched)| matched)
}

fn remove(
    connection: &mut Connection,
    (span, most): (&Span, usize),
    confirm: &str,
    kind: RemovalKind,
    note: &Note,
) -> rusqlite::Result<Removal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (rows, matched) = span_rows(&transaction, span, most)?;
    let (Some(first), Some(last)) = (matched.first, matched.last) else { return Ok(Removal::Kept(matched)) };
    if matched.digest != confirm || matched.candles() > most as u64 {
        return Ok(Removal::Kept(matched));
    }
    let (symbol, timeframe) = (span.key.symbol.as_str(), span.key.timeframe.name());
    for delete in [DELETE, DELETE_FORMING] {
        transaction.prepare_cached(delete)?.execute((symbol, timeframe, span.start, span.end))?;
    }
    let detail = if matched.candles() <= MAX_RECORDED_CANDLES {
        format!(r#"{{"before":{}}}"#, json(&rows))
    } else {
        "{}".to_owned()
    };
    let change = record(&transaction, &span.key, kind.into(), (first, last, matched.candles()), note, &detail)?;
    transaction.commit()?;
    Ok(Removal::Removed { matched, change })
}

fn record_import(connection: &mut Connection, imported: &Imported, note: &Note) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let detail = format!(r#"{{"source":{}}}"#, imported.detail);
    let span = (imported.first, imported.last, imported.added);
    record(&transaction, &imported.key, "import", span, note, &detail)?;
    transaction.commit()
}

fn changes(connection: &Connection, selection: &ChangesSelection, max_bytes: usize) -> rusqlite::Result<Vec<Change>> {
    let symbol = selection.symbol.as_ref().map(candle::Symbol::as_str);
    let timeframe = selection.timeframe.map(candle::Timeframe::name);
    let limit = i64::try_from(selection.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(CHANGES)?;
    let mut rows = statement.query((selection.after, limit, symbol, timeframe))?;
    let (mut changes, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?
        && bytes < max_bytes
    {
        let change = change(row)?;
        bytes += change.detail.len();
        changes.push(change);
    }
    Ok(changes)
}

fn changes_within(
    connection: &Connection,
    span: &Span,
    (most, max_candles): (usize, usize),
) -> rusqlite::Result<Vec<Change>> {
    let (symbol, timeframe) = (span.key.symbol.as_str(), span.key.timeframe.name());
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(CHANGES_WITHIN)?;
    let parameters = (symbol, timeframe, span.start, span.end, number(most), number(max_candles));
    statement.query_map(parameters, change)?.collect()
}

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        id: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        kind: row.get(3)?,
        symbol: row.get(4)?,
        timeframe: row.get(5)?,
        first: row.get(6)?,
        last: row.get(7)?,
        candles: row.get(8)?,
        reason: row.get(9)?,
        detail: row.get(10)?,
    })
}
