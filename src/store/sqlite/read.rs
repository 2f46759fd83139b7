//! Candles out.

use sqlx::SqlitePool;

use crate::store::candles::Misshapen;
use crate::store::{Direction, Range, StoreError, StoredCandles, check_order, unreadable};

/// Both tables, each by its key from the wanted end; a closed candle hides the forming one of its time. All of them in one
/// row, since each takes a message from the connection's thread; [`StoredCandles`] knows the text.
macro_rules! select_range {
    ($order:literal, $line:ident) => {
        concat!(
            "select group_concat(timestamp, ' '), cast(group_concat(",
            $line!(),
            ", char(10)) as blob) from (
              select * from (
                select * from (
                    select timestamp, open, high, low, close, volume, 1 as closed
                    from market_data_candles
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                    order by timestamp ",
            $order,
            " limit ?5)
                union all
                select * from (
                    select timestamp, open, high, low, close, volume, 0
                    from market_data_live_candles l
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                      and not exists (
                        select 1 from market_data_candles c
                        where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = l.timestamp)
                    order by timestamp ",
            $order,
            " limit ?5)
              ) order by timestamp ",
            $order,
            " limit ?5)"
        )
    };
}

/// A row as a line.
macro_rules! line {
    () => {
        "concat_ws(' ', open, high, low, close, volume, closed)"
    };
}

/// The same where somebody's prices hold line breaks. Replacing them takes a fifth of the time that reading a page does.
macro_rules! one_line {
    () => {
        "replace(concat_ws(' ', open, high, low, close, volume, closed), char(10), ' ')"
    };
}

const SELECT_UP: &str = select_range!("asc", line);
const SELECT_DOWN: &str = select_range!("desc", line);
const SELECT_UP_ON_LINES: &str = select_range!("asc", one_line);
const SELECT_DOWN_ON_LINES: &str = select_range!("desc", one_line);

/// The form in which a page comes: times and text of its candles, nothing of none. The text comes as bytes, because SQLite keeps whatever
/// bytes somebody calls text.
type PageRow = (Option<String>, Option<Vec<u8>>);

/// Reads the candles of `range`.
pub(super) async fn range(readers: &SqlitePool, range: &Range) -> Result<StoredCandles, StoreError> {
    let (select, select_on_lines) = match range.direction {
        Direction::Ascending => (SELECT_UP, SELECT_UP_ON_LINES),
        Direction::Descending => (SELECT_DOWN, SELECT_DOWN_ON_LINES),
    };
    let candles = match candles(page(readers, select, range).await?, range.direction) {
        Err(Misshapen) => candles(page(readers, select_on_lines, range).await?, range.direction).map_err(unreadable)?,
        Ok(candles) => candles,
    };
    Ok(if range.direction == Direction::Descending { candles.reversed() } else { candles })
}

async fn page(readers: &SqlitePool, select: &'static str, range: &Range) -> sqlx::Result<PageRow> {
    sqlx::query_as(select)
        .bind(range.symbol.as_str())
        .bind(range.timeframe.name())
        .bind(range.start)
        .bind(range.end)
        .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
        .fetch_one(readers)
        .await
}

fn candles(row: PageRow, direction: Direction) -> Result<StoredCandles, Misshapen> {
    let (Some(times), Some(text)) = row else { return Ok(StoredCandles::default()) };
    let times = times.split(' ').map(str::parse).collect::<Result<Vec<i64>, _>>().map_err(|_| Misshapen)?;
    check_order(&times, direction).map_err(|_| Misshapen)?;
    let text = String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    StoredCandles::parse(times.into_iter(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_another_order_is_an_error() {
        let page = |times: &str, direction| {
            let text = times.split(' ').map(|_| "1 1 1 1 0 1").collect::<Vec<_>>().join("\n");
            candles((Some(times.to_owned()), Some(text.into_bytes())), direction).map(|candles| candles.len())
        };
        assert_eq!(page("1 2 3", Direction::Ascending).unwrap(), 3);
        assert_eq!(page("3 2 1", Direction::Descending).unwrap(), 3);
        for (times, direction) in [
            ("3 2 1", Direction::Ascending),
            ("1 2 3", Direction::Descending),
            ("1 3 2", Direction::Ascending),
            ("2 3 1", Direction::Descending),
            ("1 1 2", Direction::Ascending),
        ] {
            assert!(matches!(page(times, direction), Err(Misshapen)), "{times} {direction:?}");
        }
    }
}
