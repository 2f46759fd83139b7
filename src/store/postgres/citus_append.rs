//! Writes candles to tables that Citus distributes.
//!
//! `insert … select` would go through an intermediate result on every server, which takes several times as long as
//! `insert … values`, so a group of usual size names its rows. One statement for both kinds is not possible, because on
//! Citus a subquery for each inserted row cannot read another table.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, Postgres as Pg, Row as _};

use super::binary::{BoundColumn, CandleColumn, ClosingTime, ClosingTimes};
use super::rows::{bind, bind_row, position_of};
use candle::{Batch, Candle, Forming};

/// The maximum number of rows of a statement that names them. Beyond it the plan, which holds each value, grows faster
/// than its use.
const MAX_NAMED_ROWS: usize = 256;
/// The maximum number of rows of a statement that the connection keeps prepared. There is one for each number of rows,
/// and a connection keeps 100 statements.
const MAX_PREPARED_ROWS: usize = 16;

/// Inserts closed candles that are not stored yet, and inserts or replaces forming ones, all or nothing. Returns the
/// keys of the changed candles as [`super::append::insert_returning_positions`] does.
///
/// A forming candle whose closed one appears between the first statement and the last is stored, as if it had come
/// before the closed one, which hides it.
pub(super) async fn insert(connection: &mut PgConnection, batch: &Batch) -> sqlx::Result<Vec<PgRow>> {
    let forming = without_closed(connection, batch.forming()).await?;
    match (batch.closed(), &*forming) {
        ([], []) => Ok(Vec::new()),
        (closed, []) => insert_closed(connection, closed).await,
        ([], forming) => insert_forming(connection, forming).await,
        (closed, forming) => {
            let mut transaction = connection.begin().await?;
            let result = async {
                let mut rows = insert_closed(&mut transaction, closed).await?;
                rows.extend(insert_forming(&mut transaction, forming).await?);
                Ok(rows)
            };
            match result.await {
                Ok(rows) => transaction.commit().await.map(|()| rows),
                Err(error) => {
                    // The failure of the statement counts, and the connection is closed if it does not answer.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        }
    }
}

/// The forming candles under whose keys no closed one is stored.
async fn without_closed(connection: &mut PgConnection, forming: &[Forming]) -> sqlx::Result<Vec<Forming>> {
    const CLOSED_KEYS: &str = include_str!("sql/citus_closed_keys.sql");
    if forming.is_empty() {
        return Ok(Vec::new());
    }
    let key = [CandleColumn::Symbol, CandleColumn::Timeframe, CandleColumn::Timestamp];
    let query =
        key.into_iter().fold(sqlx::query(CLOSED_KEYS), |query, column| query.bind(BoundColumn(column, forming)));
    let mut is_closed = vec![false; forming.len()];
    for row in query.fetch_all(connection).await? {
        let time: DateTime<Utc> = row.try_get(2)?;
        if let Some(position) = position_of((row.try_get(0)?, row.try_get(1)?, time.timestamp()), forming) {
            is_closed[position] = true;
        }
    }
    Ok(forming.iter().zip(is_closed).filter(|(_, is_closed)| !is_closed).map(|(forming, _)| forming.clone()).collect())
}

async fn insert_closed(connection: &mut PgConnection, candles: &[Candle]) -> sqlx::Result<Vec<PgRow>> {
    const INTO: &str =
        r#"insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume) "#;
    const UNLESS_STORED: &str =
        r#" on conflict (symbol, timeframe, "timestamp") do nothing returning symbol, timeframe, "timestamp""#;
    let source = Source::of(candles.len());
    let statement = format!("{INTO}{}{UNLESS_STORED}", source.sql(&TYPES[..CLOSED_COLUMNS]));
    let query = source.prepare(&statement);
    let query = match source {
        Source::Arrays => bind(query, candles),
        Source::Rows(_) => candles.iter().fold(query, bind_row),
    };
    query.fetch_all(connection).await
}

async fn insert_forming(connection: &mut PgConnection, candles: &[Forming]) -> sqlx::Result<Vec<PgRow>> {
    const INTO: &str = r#"insert into market_data_live_candles as stored
        (symbol, timeframe, "timestamp", open, high, low, close, volume, closes_at) "#;
    let source = Source::of(candles.len());
    let statement = format!("{INTO}{}{}", source.sql(&TYPES), include_str!("sql/citus_replace_forming.sql"));
    let query = source.prepare(&statement);
    let query = match source {
        Source::Arrays => bind(query, candles).bind(ClosingTimes(candles)),
        Source::Rows(_) => {
            candles.iter().fold(query, |query, forming| bind_row(query, &forming.candle).bind(ClosingTime(forming)))
        }
    };
    query.fetch_all(connection).await
}

/// The types of the columns in the order of [`CandleColumn::ALL`], and that of `closes_at`.
const TYPES: [&str; 9] =
    ["text", "text", "timestamptz", "numeric", "numeric", "numeric", "numeric", "bigint", "timestamptz"];
const CLOSED_COLUMNS: usize = CandleColumn::ALL.len();

/// The part of an INSERT that holds the rows.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// `values` with a parameter for each value of this number of rows.
    Rows(usize),
    /// `select` from arrays, one for each column.
    Arrays,
}

impl Source {
    fn of(rows: usize) -> Self {
        if rows <= MAX_NAMED_ROWS { Self::Rows(rows) } else { Self::Arrays }
    }

    fn sql(self, types: &[&str]) -> String {
        let Self::Rows(rows) = self else {
            let arrays = (1..).zip(types).map(|(number, name)| format!("${number}::{name}[]")).collect::<Vec<_>>();
            return format!("select * from unnest({})", arrays.join(", "));
        };
        let mut sql = String::from("values ");
        for row in 0..rows {
            for column in 0..types.len() {
                let before = if column > 0 {
                    ", "
                } else if row > 0 {
                    "), ("
                } else {
                    "("
                };
                // Writing to a String cannot fail.
                let _ = write!(sql, "{before}${}", row * types.len() + column + 1);
            }
        }
        sql.push(')');
        sql
    }

    fn prepare(self, statement: &str) -> Query<'_, Pg, PgArguments> {
        sqlx::query(statement).persistent(match self {
            Self::Rows(rows) => rows <= MAX_PREPARED_ROWS,
            Self::Arrays => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_with_a_parameter_for_each_value() {
        assert_eq!(Source::Rows(2).sql(&["text", "bigint"]), "values ($1, $2), ($3, $4)");
        assert_eq!(Source::Arrays.sql(&["text", "bigint"]), "select * from unnest($1::text[], $2::bigint[])");
    }
}
