//! Rows that no request can ask for, because others wrote them under a timeframe or a symbol that we do not use.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};
use tracing::{info, warn};

use crate::candle::{Symbol, Timeframe};

/// Longest that is looked for them.
const DEADLINE: Duration = Duration::from_secs(2);
/// Most lines in the log about them.
const MAX_REPORTED: usize = 20;

const TABLES: [&str; 2] = ["market_data_candles", "market_data_live_candles"];

/// Writes into the log how such rows can be mended. Reads one row a series, each in a transaction of its own, until all are
/// read, the time is over or `is_stopped`.
pub(super) fn report(file: &Path, is_stopped: impl Fn() -> bool) -> rusqlite::Result<()> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let deadline = Instant::now() + DEADLINE;
    let is_over = || is_stopped() || Instant::now() >= deadline;
    let mut statements = BTreeSet::new();
    for table in TABLES {
        let looked_at = each_series(&connection, table, is_over, |symbol, timeframe| {
            statements.extend(timeframe_remedy(table, timeframe));
            statements.extend(symbol_remedy(table, symbol));
        })?;
        if let Err(series) = looked_at {
            info!(
                table,
                series,
                "looked for rows that nobody can ask for in so many series, and not in the others: it took too long"
            );
        }
    }
    for remedy in statements.iter().take(MAX_REPORTED) {
        warn!(
            remedy,
            "rows that others wrote cannot be asked for under their name; this gives them the right one, and what it leaves as it is \
             is stored under that already"
        );
    }
    if let Some(more @ 1..) = statements.len().checked_sub(MAX_REPORTED) {
        warn!(more, "there are more of them; start again once these are mended");
    }
    Ok(())
}

/// Hops over the key from one series to the next. Fails with how many it came to before it was over.
fn each_series(
    connection: &Connection,
    table: &str,
    is_over: impl Fn() -> bool,
    mut visit: impl FnMut(&[u8], &[u8]),
) -> rusqlite::Result<Result<(), usize>> {
    // Bytes, because what others wrote need not be UTF-8.
    let columns = "cast(symbol as blob), cast(timeframe as blob)";
    let mut first = connection.prepare(&format!("select {columns} from {table} order by symbol, timeframe limit 1"))?;
    let mut next = connection.prepare(&format!(
        "select {columns} from {table} where (symbol, timeframe) > (cast(?1 as text), cast(?2 as text))
         order by symbol, timeframe limit 1"
    ))?;
    let names = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
    let mut found = first.query_row((), names).optional()?;
    let mut count = 0;
    while let Some((symbol, timeframe)) = found {
        visit(&symbol, &timeframe);
        count += 1;
        if is_over() {
            return Ok(Err(count));
        }
        found = next.query_row((symbol, timeframe), names).optional()?;
    }
    Ok(Ok(()))
}

fn timeframe_remedy(table: &str, found: &[u8]) -> Option<String> {
    let known = str::from_utf8(found).ok().and_then(|text| Timeframe::parse(text).ok()).map(Timeframe::name);
    let is_canonical = known.is_some_and(|name| name.as_bytes() == found);
    (!is_canonical).then(|| rename(table, "timeframe", found, known))
}

fn symbol_remedy(table: &str, found: &[u8]) -> Option<String> {
    let text = str::from_utf8(found).unwrap_or_default();
    if Symbol::parse(text).is_ok() {
        return None;
    }
    let trimmed = Symbol::parse(text.trim()).ok();
    Some(rename(table, "symbol", found, trimmed.as_ref().map(Symbol::as_str)))
}

/// The statement that gives rows a name by which they can be asked for. Rows that are stored under that name as well stay as
/// they are.
fn rename(table: &str, column: &str, found: &[u8], known: Option<&str>) -> String {
    /// More bytes than a name that a request can hold. One of so many is no help in a log.
    const MAX_SHOWN: usize = 256;
    let right = known.map_or_else(|| "'THE RIGHT NAME'".to_owned(), |name| literal(name.as_bytes()));
    let rows = if found.len() > MAX_SHOWN {
        format!("length({column}) > {}", Symbol::MAX_CHARS)
    } else {
        format!("{column} = {}", literal(found))
    };
    format!("update or ignore {table} set {column} = {right} where {rows}")
}

/// A text in SQL, in letters that a log shows as they are.
fn literal(bytes: &[u8]) -> String {
    let is_shown = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    match str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_shown) => format!("'{}'", text.replace('\'', "''")),
        _ => format!("cast(x'{}' as text)", hex::encode(bytes)),
    }
}
