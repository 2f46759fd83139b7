//! Reads the newest candles of many series, and what the record of changes says about them.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::pool::Pool;
use super::read::at;
use super::retry::read_with;
use super::runner::Runner;
use crate::store::series::SeriesKey;
use crate::store::tails::{CLOSED_OF_TAIL, FORMING_OF_TAIL, RecordPlace, RecordedChange, SeriesTail, TailRow};
use crate::store::{StoreError, unreadable};

const TAILS: &str = include_str!("sql/tails.sql");
const CHANGES_SINCE: &str = include_str!("sql/changes_since.sql");

fn names(keys: &[SeriesKey]) -> (Vec<&str>, Vec<&'static str>) {
    keys.iter().map(|key| (key.symbol.as_str(), key.timeframe.name())).unzip()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) async fn tails(runner: &Runner, keys: Vec<SeriesKey>) -> Result<Vec<SeriesTail>, StoreError> {
    let most = keys.len();
    let select = move |pool: Pool| {
        let keys = keys.clone();
        async move {
            read_with!(pool, |connection| {
                let (symbols, timeframes) = names(&keys);
                let query = sqlx::query(TAILS).bind(symbols).bind(timeframes);
                query.bind(count(CLOSED_OF_TAIL)).bind(count(FORMING_OF_TAIL)).fetch_one(connection)
            })
        }
    };
    let row = runner.on_primary(select).await?;
    let mut tails: Vec<Vec<TailRow>> = std::iter::repeat_with(Vec::new).take(most).collect();
    for (number, row) in decoded(&row).map_err(unreadable)? {
        if let Some(rows) = usize::try_from(number - 1).ok().and_then(|index| tails.get_mut(index)) {
            rows.push(row);
        }
    }
    tails.into_iter().map(SeriesTail::of_rows).collect()
}

fn decoded(row: &PgRow) -> sqlx::Result<Vec<(i64, TailRow)>> {
    let numbers: Vec<i64> = row.try_get(0)?;
    let times: Vec<i64> = row.try_get(1)?;
    let closed: Vec<bool> = row.try_get(2)?;
    let lines: Vec<String> = row.try_get(3)?;
    let rows = numbers.into_iter().zip(times).zip(closed).zip(lines);
    Ok(rows.map(|(((number, time), is_closed), line)| (number, TailRow { time, is_closed, line })).collect())
}

pub(super) async fn changes_since(
    runner: &Runner,
    after: RecordPlace,
    keys: Vec<SeriesKey>,
    limit: usize,
) -> Result<(i64, Vec<RecordedChange>), StoreError> {
    let select = move |pool: Pool| {
        let keys = keys.clone();
        async move {
            read_with!(pool, |connection| {
                let (symbols, timeframes) = names(&keys);
                let query = sqlx::query(CHANGES_SINCE).bind(at(after.at)).bind(after.id).bind(count(limit));
                query.bind(symbols).bind(timeframes).fetch_all(connection)
            })
        }
    };
    let rows = runner.on_primary(select).await?;
    let now = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(unreadable)?;
    let changes = rows.iter().map(change).collect::<sqlx::Result<Vec<_>>>().map_err(unreadable)?;
    Ok((now, changes.into_iter().flatten().collect()))
}

/// `None` for the row that stands for no change.
fn change(row: &PgRow) -> sqlx::Result<Option<RecordedChange>> {
    let Some(at) = row.try_get::<Option<i64>, _>(1)? else { return Ok(None) };
    Ok(Some(RecordedChange {
        place: RecordPlace { at, id: row.try_get(2)? },
        kind: row.try_get(3)?,
        symbol: row.try_get(4)?,
        timeframe: row.try_get(5)?,
        first: row.try_get(6)?,
        last: row.try_get(7)?,
    }))
}
