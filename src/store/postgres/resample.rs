//! Builds candles from the rows of a shorter timeframe. The server adds them up, because a year of minutes has half a
//! million rows.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, Row as _};

use super::read::at;
use crate::store::candles::{is_price, parse_line};
use crate::store::resample::{Fold, ResampleRange, Resampled, ResampledBucket, Sum};
use crate::store::series::END_TIME_MILLISECONDS;
use crate::store::{Direction, StoreError, StoredCandles, check_order, unreadable};
use calendar::Bucket;

/// A statement for each direction.
struct Directed {
    ascending: String,
    descending: String,
}

impl Directed {
    fn of(make: impl Fn(Direction) -> String) -> Self {
        Self { ascending: make(Direction::Ascending), descending: make(Direction::Descending) }
    }

    fn to(&self, direction: Direction) -> &str {
        match direction {
            Direction::Ascending => &self.ascending,
            Direction::Descending => &self.descending,
        }
    }
}

/// Builds the candles. [`added`] decodes the row.
static RESAMPLE: LazyLock<Directed> = LazyLock::new(|| {
    Directed::of(|direction| {
        let [edge, other, first, last, order, reverse, nearer, beyond] = match direction {
            Direction::Ascending => {
                let beyond = r#""timestamp" >= bucket.ends and "timestamp" < $4"#;
                ["open", "close", "edge", "other", "asc", "desc", "least", beyond]
            }
            Direction::Descending => {
                let beyond = r#""timestamp" >= $3 and "timestamp" < bucket.starts"#;
                ["close", "open", "other", "edge", "desc", "asc", "greatest", beyond]
            }
        };
        include_str!("sql/resample.sql")
            .replace("{part}", include_str!("sql/bucket.sql"))
            .replace("{edge}", edge)
            .replace("{other}", other)
            .replace("{first}", first)
            .replace("{last}", last)
            .replace("{order}", order)
            .replace("{reverse}", reverse)
            .replace("{nearer}", nearer)
            .replace("{beyond}", beyond)
    })
});

/// Selects the rows themselves, for a span that holds some that are not candles.
static ROWS: LazyLock<Directed> = LazyLock::new(|| {
    Directed::of(|direction| {
        let order = if direction == Direction::Ascending { "asc" } else { "desc" };
        include_str!("sql/rows.sql").replace("{order}", order)
    })
});

/// The statement that builds candles, for a test that asks the server for its plan.
#[must_use]
pub fn resample_statement(direction: Direction) -> &'static str {
    RESAMPLE.to(direction)
}

/// The outcome of adding rows up on the server.
pub(super) enum Added {
    /// The buckets.
    Up(Resampled),
    /// Some rows of this span are not candles, so its rows have to be read one by one. Holds the newest row, too.
    NotAll(Bucket, Option<i64>),
}

pub(super) async fn resample(connection: &mut PgConnection, range: &ResampleRange) -> sqlx::Result<PgRow> {
    let bounds: Vec<_> = range.grid.bounds.iter().map(|&bound| at(bound)).collect();
    let stride = range.grid.stride.map(|stride| PgInterval::try_from(TimeDelta::milliseconds(stride)));
    let stride = stride.transpose().map_err(sqlx::Error::Encode)?;
    sqlx::query(RESAMPLE.to(range.direction))
        .bind(range.symbol.as_str())
        .bind(range.source.name())
        .bind(at(range.start))
        .bind(at(range.end))
        .bind(bounds)
        .bind(stride)
        .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
        .bind(at(END_TIME_MILLISECONDS))
        .fetch_one(connection)
        .await
}

/// Decodes the row of [`resample`].
pub(super) fn added(row: &PgRow, direction: Direction) -> Result<Added, StoreError> {
    let times = |column| row.try_get::<Vec<Option<DateTime<Utc>>>, _>(column).map_err(unreadable);
    let bounds = |column| Ok::<_, StoreError>(times(column)?.into_iter().flatten().collect::<Vec<_>>());
    let (starts, ends, first, last) = (bounds(0)?, bounds(1)?, times(2)?, times(3)?);
    check_order(&starts, direction)?;
    let text: String = row.try_get(4).map_err(unreadable)?;
    let finite: bool = row.try_get(5).map_err(unreadable)?;
    let newest = row.try_get::<Option<DateTime<Utc>>, _>(8).map_err(unreadable)?.map(|time| time.timestamp_millis());
    let not_all = || {
        let (start, end) = (starts.iter().min(), ends.iter().max());
        let millis = |time: Option<&DateTime<Utc>>| time.map_or(0, DateTime::timestamp_millis);
        Added::NotAll(Bucket { start: millis(start), end: millis(end) }, newest)
    };
    if !finite {
        return Ok(not_all());
    }
    let lines = text.split('\n').take(starts.len());
    let mut buckets = Vec::with_capacity(starts.len());
    for ((((start, end), first), last), line) in starts.iter().zip(&ends).zip(first).zip(last).zip(lines) {
        let bucket = Bucket { start: start.timestamp_millis(), end: end.timestamp_millis() };
        let sum = match (first, last) {
            (Some(first), Some(last)) => match sum(line, first, last) {
                Some(sum) => Some(sum),
                None => return Ok(not_all()),
            },
            _ => None,
        };
        buckets.push(ResampledBucket { bucket, sum });
    }
    if buckets.len() != starts.len() {
        return Err(unreadable("a bucket of the database has no line"));
    }
    if direction == Direction::Descending {
        buckets.reverse();
    }
    let forming = times(6)?.into_iter().flatten().map(|time| time.timestamp_millis()).collect::<Vec<_>>();
    let forming = StoredCandles::parse(forming.into_iter(), row.try_get(7).map_err(unreadable)?).map_err(unreadable)?;
    for candle in forming.range(0..forming.len()) {
        let at = buckets.partition_point(|bucket| bucket.bucket.end <= candle.time);
        if let Some(bucket) = buckets.get_mut(at).filter(|bucket| bucket.bucket.holds(candle.time)) {
            bucket.add(&candle);
        }
    }
    let rows = row.try_get::<i64, _>(9).map_err(unreadable)?.unsigned_abs() + forming.len() as u64;
    Ok(Added::Up(Resampled { buckets, newest, unreadable: forming.unreadable().to_vec(), rows }))
}

/// Parses the line of a bucket's closed rows; `None` if a value is not one of a candle.
fn sum(line: &str, first: DateTime<Utc>, last: DateTime<Utc>) -> Option<Sum> {
    let values: Vec<_> = line.split(' ').collect();
    let [open, high, low, close, volume] = values[..] else { return None };
    let text = |price: &str| is_price(price).then(|| price.to_owned());
    Some(Sum {
        open: text(open)?,
        high: text(high)?,
        low: text(low)?,
        close: text(close)?,
        volume: volume.parse().ok()?,
        first: first.timestamp_millis(),
        last: last.timestamp_millis(),
        last_is_closed: true,
    })
}

/// Reads the rows of a range and adds them up here. The newest row is the one that was found before.
pub(super) async fn fold(
    connection: &mut PgConnection,
    range: &ResampleRange,
    newest: Option<i64>,
) -> sqlx::Result<Resampled> {
    let mut rows = sqlx::query(ROWS.to(range.direction))
        .bind(range.symbol.as_str())
        .bind(range.source.name())
        .bind(at(range.start))
        .bind(at(range.end))
        .fetch(connection);
    let mut fold = Fold::new(range);
    while let Some(row) = rows.try_next().await? {
        let time = row.try_get::<DateTime<Utc>, _>(0)?.timestamp_millis();
        let line: &str = row.try_get(1)?;
        if let ControlFlow::Break(()) = fold.add(time, parse_line(time, line)) {
            break;
        }
    }
    Ok(fold.finish(newest))
}
