//! Candles out, and the list of series.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::candle::{Symbol, Timeframe};
use crate::store::{Direction, Range, Series, StoreError, StoredCandles, check_order, unreadable};

/// Both tables, each by its key's index from the wanted end; a closed candle hides the forming one of its time.
///
/// All of them in one row: half of what a page costs is spent on taking rows to pieces that PostgreSQL has put together one by
/// one. It reads them in their order (PostgreSQL documentation, "Aggregate Functions"). [`StoredCandles`] knows the text.
macro_rules! select_range {
    ($order:literal) => {
        concat!(
            r#"select coalesce(array_agg("timestamp"), '{}'),
                      coalesce(string_agg(concat_ws(' ', open, high, low, close, volume, closed), E'\n'), '')
               from (
                 select * from (
                   (select "timestamp", open, high, low, close, volume, 1 as closed
                    from market_data_candles
                    where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
                    order by "timestamp" "#,
            $order,
            r#" limit $5)
                   union all
                   (select "timestamp", open, high, low, close, volume, 0
                    from market_data_live_candles l
                    where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
                      and not exists (
                        select from market_data_candles c
                        where c.symbol = $1 and c.timeframe = $2 and c."timestamp" = l."timestamp")
                    order by "timestamp" "#,
            $order,
            r#" limit $5)
                 ) either order by "timestamp" "#,
            $order,
            " limit $5) candle"
        )
    };
}

const SELECT_UP: &str = select_range!("asc");
const SELECT_DOWN: &str = select_range!("desc");

/// Lists the series by hopping from one to the next over the key's index, then reads both ends of each.
///
/// `$1` and `$2` filter by symbol and timeframe where they are not null; `$3` is how many of the newest candles tell
/// the precision. Public so that a test can ask the server for its plan.
pub const SELECT_SERIES: &str = r#"
    with recursive series as (
        (select symbol, timeframe from market_data_candles
         where symbol >= coalesce($1, '')
         order by symbol, timeframe limit 1)
        union all
        select next.symbol, next.timeframe
        from series, lateral (
            select c.symbol, c.timeframe from market_data_candles c
            where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
            order by c.symbol, c.timeframe limit 1) next
        where $1 is null or series.symbol = $1
    )
    select s.symbol, s.timeframe, oldest."timestamp" as oldest, newest."timestamp" as newest, digits.most as precision
    from series s,
        lateral (select c."timestamp" from market_data_candles c
                 where c.symbol = s.symbol and c.timeframe = s.timeframe and isfinite(c."timestamp")
                 order by c."timestamp" limit 1) oldest,
        lateral (select c."timestamp" from market_data_candles c
                 where c.symbol = s.symbol and c.timeframe = s.timeframe and isfinite(c."timestamp")
                 order by c."timestamp" desc limit 1) newest,
        lateral (select max(greatest(scale(n.open), scale(n.high), scale(n.low), scale(n.close))) as most
                 from (select c.open, c.high, c.low, c.close from market_data_candles c
                       where c.symbol = s.symbol and c.timeframe = s.timeframe
                       order by c."timestamp" desc limit $3) n) digits
    where ($1 is null or s.symbol = $1) and ($2::text is null or s.timeframe = $2)"#;

/// Reads the candles of `range`.
pub(super) async fn range(connection: &mut PgConnection, range: &Range) -> sqlx::Result<PgRow> {
    let sql = match range.direction {
        Direction::Up => SELECT_UP,
        Direction::Down => SELECT_DOWN,
    };
    sqlx::query(sql)
        .bind(range.symbol.as_str())
        .bind(range.timeframe.name())
        .bind(at(range.start))
        .bind(at(range.end))
        .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await
}

/// The candles in what [`range`] has read.
pub(super) fn candles(row: &PgRow, direction: Direction) -> Result<StoredCandles, StoreError> {
    let times: Vec<DateTime<Utc>> = row.try_get(0).map_err(unreadable)?;
    check_order(&times, direction)?;
    let times = times.iter().map(DateTime::timestamp_millis);
    let candles = StoredCandles::parse(times, row.try_get(1).map_err(unreadable)?).map_err(unreadable)?;
    Ok(if direction == Direction::Down { candles.reversed() } else { candles })
}

/// Lists the series.
pub(super) async fn series(
    connection: &mut PgConnection,
    symbol: Option<&Symbol>,
    timeframe: Option<Timeframe>,
    sample: i64,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(SELECT_SERIES)
        .bind(symbol.map(Symbol::as_str))
        .bind(timeframe.map(Timeframe::name))
        .bind(sample)
        .fetch_all(connection)
        .await
}

/// The series in a row that [`series`] has read.
pub(super) fn one_series(row: &PgRow) -> sqlx::Result<Series> {
    Ok(Series {
        symbol: row.try_get("symbol")?,
        timeframe: row.try_get("timeframe")?,
        first: row.try_get::<DateTime<Utc>, _>("oldest")?.timestamp_millis(),
        last: row.try_get::<DateTime<Utc>, _>("newest")?.timestamp_millis(),
        price_precision: row.try_get::<Option<i32>, _>("precision")?.map_or(0, i32::unsigned_abs),
    })
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
