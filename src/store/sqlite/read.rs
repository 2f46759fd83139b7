//! Reads candles.

use std::sync::LazyLock;

use sqlx::SqlitePool;

use crate::store::candles::Misshapen;
use crate::store::{Direction, Range, StoreError, StoredCandles, check_order, unreadable};

/// Reads both tables, each by its key from the wanted end. A closed candle hides the forming one with its time. The
/// page comes as one row, because each row takes a message from the connection's thread. [`StoredCandles`] parses the
/// text.
struct Select {
    ascending: String,
    descending: String,
}

static SELECT: LazyLock<Select> = LazyLock::new(|| Select::of(LINE));
/// For a series in which another program stored prices with line breaks. Not the default, because replacing them takes
/// a fifth of the time that reading a page takes.
static SELECT_ON_LINES: LazyLock<Select> = LazyLock::new(|| Select::of(&format!("replace({LINE}, char(10), ' ')")));

/// A row as a line.
const LINE: &str = "concat_ws(' ', open, high, low, close, volume, closed)";

impl Select {
    fn of(line: &str) -> Self {
        let select = include_str!("sql/candles.sql").replace("{line}", line);
        Self { ascending: select.replace("{order}", "asc"), descending: select.replace("{order}", "desc") }
    }

    fn to(&self, direction: Direction) -> &str {
        match direction {
            Direction::Ascending => &self.ascending,
            Direction::Descending => &self.descending,
        }
    }
}

/// A page as it is read: the times and the text of its candles, both `None` if there are none. The text comes as bytes,
/// because SQLite stores any bytes as text.
type PageRow = (Option<String>, Option<Vec<u8>>);

/// Reads the candles of `range`.
pub(super) async fn range(readers: &SqlitePool, range: &Range) -> Result<StoredCandles, StoreError> {
    let candles = match candles(page(readers, SELECT.to(range.direction), range).await?, range.direction) {
        Err(Misshapen) => candles(page(readers, SELECT_ON_LINES.to(range.direction), range).await?, range.direction)
            .map_err(unreadable)?,
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
    fn a_page_in_the_wrong_order_is_an_error() {
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
