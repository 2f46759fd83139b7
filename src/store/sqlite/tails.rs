//! Reads the newest candles of many series, and what the record of changes says about them.

use std::collections::HashSet;

use rusqlite::{Connection, Row};

use super::series::text;
use crate::store::series::{END_TIME_MILLISECONDS, FIRST_TIME_MILLISECONDS, SeriesKey};
use crate::store::tails::{CLOSED_OF_TAIL, FORMING_OF_TAIL, RecordPlace, RecordedChange, TailRow};

const CLOSED: &str = "
    select timestamp, concat_ws(' ', open, high, low, close, volume, 1) from market_data_candles
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4 order by timestamp desc limit ?5";

/// A forming row stays for a while after its closed form is stored, which need not be among the newest closed ones.
const FORMING: &str = "
    select timestamp, concat_ws(' ', open, high, low, close, volume, 0) from market_data_live_candles l
    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
        and not exists (
            select 1 from market_data_candles c
            where c.symbol = l.symbol and c.timeframe = l.timeframe and c.timestamp = l.timestamp)
    order by timestamp desc limit ?5";

const NOW: &str = "select cast(unixepoch('subsec') * 1000 as integer)";

const CHANGES_SINCE: &str = "
    select at, id, kind, symbol, timeframe, first, last from market_data_changes
    where (at, id) > (?1, ?2) and at >= ?1 and kind in ('correction', 'deletion', 'retention', 'import')
    order by at, id";

/// The rows of each series, read at one moment, so that a candle that is closed in between is in one of the tables.
pub(super) fn tails(connection: &Connection, keys: &[SeriesKey]) -> rusqlite::Result<Vec<Vec<TailRow>>> {
    let transaction = connection.unchecked_transaction()?;
    keys.iter()
        .map(|key| {
            let mut rows = of(&transaction, CLOSED, true, key, CLOSED_OF_TAIL)?;
            rows.extend(of(&transaction, FORMING, false, key, FORMING_OF_TAIL)?);
            Ok(rows)
        })
        .collect()
}

fn of(
    connection: &Connection,
    select: &str,
    is_closed: bool,
    key: &SeriesKey,
    most: usize,
) -> rusqlite::Result<Vec<TailRow>> {
    let parameters = (key.symbol.as_str(), key.timeframe.name(), FIRST_TIME_MILLISECONDS, END_TIME_MILLISECONDS, most);
    let row = |row: &Row<'_>| {
        // Text that another program stored may not be UTF-8, and may hold line breaks, which would be taken for rows.
        let line = String::from_utf8_lossy(&text(row, 1)?).replace('\n', " ");
        Ok(TailRow { time: row.get(0)?, is_closed, line })
    };
    connection.prepare_cached(select)?.query_map(parameters, row)?.collect()
}

pub(super) fn changes_since(
    connection: &Connection,
    after: RecordPlace,
    keys: &[SeriesKey],
    limit: usize,
) -> rusqlite::Result<(i64, Vec<RecordedChange>)> {
    let wanted: HashSet<_> = keys.iter().map(|key| (key.symbol.as_str(), key.timeframe.name())).collect();
    let now = connection.prepare_cached(NOW)?.query_row([], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(CHANGES_SINCE)?;
    let mut rows = statement.query((after.at, after.id))?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()?
        && changes.len() < limit
    {
        let change = RecordedChange {
            place: RecordPlace { at: row.get(0)?, id: row.get(1)? },
            kind: row.get(2)?,
            symbol: row.get(3)?,
            timeframe: row.get(4)?,
            first: row.get(5)?,
            last: row.get(6)?,
        };
        if wanted.contains(&(&*change.symbol, &*change.timeframe)) {
            changes.push(change);
        }
    }
    Ok((now, changes))
}
