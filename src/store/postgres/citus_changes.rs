//! Corrects and deletes candles in tables that Citus distributes.
//!
//! No statement of Citus changes a distributed table and the record, which is an ordinary table, so a change is a transaction. The
//! rows of a symbol are on one server, which locks them for a statement that names the symbol.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::changes::{
    Query, amend_text, bound_corrections, bound_span, end, matched_row, rows_of_span, values_of_rows,
};
use super::rows::bind_values;
use crate::store::changes::{Correction, MAX_RECORDED_CANDLES, Matched, Note, Span};
use candle::Candle;

/// Judges corrections by values that are bound, and records those that are to be made.
static JUDGE: LazyLock<String> = LazyLock::new(|| {
    amend_text(
        "select * from unnest($17::bigint[], $18::text[]::numeric[], $19::text[]::numeric[], $20::text[]::numeric[],
                              $21::text[]::numeric[], $22::bigint[]) as s(position, open, high, low, close, volume)",
        "select position from judged
         where outcome = 'amended'
           and not exists (select from judged refused where refused.outcome in ('missing', 'other'))",
    )
});
const LOCK_CANDLES: &str = include_str!("sql/citus_lock_candles.sql");
const REPLACE_CLOSED: &str = include_str!("sql/citus_replace_closed.sql");

static LOCK_SPAN: LazyLock<String> = LazyLock::new(|| {
    let (rows, values) = (rows_of_span("for update"), values_of_rows());
    format!(
        "with {rows}
         select closed, forming, first, last, digest, case when closed + forming <= $6 then ({values})::text end
         from summary"
    )
});
const DELETE_CLOSED: &str = r#"
    delete from market_data_candles where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4"#;
const DELETE_FORMING: &str = r#"
    delete from market_data_live_candles where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4"#;
const RECORD: &str = "
    insert into market_data_changes (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
    values ($1, $2, $3, $4, $5, $6, $7, $8,
            case when $9::text is null then '{}' else jsonb_build_object('before', $9::text::jsonb) end)
    returning id";

/// Deletes nothing, and on every server. Citus commits what one server and the coordinator have written one after the other, so a
/// coordinator that crashes in between would lose the record of a change that is stored. A statement that writes on several
/// shards has Citus prepare the commit on all servers first.
const PREPARE_COMMIT: &str = r#"delete from market_data_live_candles where "timestamp" = timestamptz '-infinity'"#;

/// Like the statement of [`super::Postgres::amend`], and returns the same rows.
pub(super) async fn amend(
    connection: &mut PgConnection,
    candles: &[Candle],
    corrections: &[Correction],
    note: &Note,
) -> sqlx::Result<Vec<PgRow>> {
    let mut transaction = connection.begin().await?;
    let rows = amend_rows(&mut transaction, candles, corrections, note).await;
    end(transaction, rows).await
}

/// The values that are stored under the keys of candles, in columns. Prices are text.
#[derive(Default)]
struct StoredColumns {
    positions: Vec<i64>,
    prices: [Vec<String>; 4],
    volumes: Vec<i64>,
}

async fn amend_rows(
    connection: &mut PgConnection,
    candles: &[Candle],
    corrections: &[Correction],
    note: &Note,
) -> sqlx::Result<Vec<PgRow>> {
    let mut series = BTreeMap::<(&str, &str), Vec<usize>>::new();
    for (index, Candle { key, .. }) in candles.iter().enumerate() {
        series.entry((key.symbol().as_str(), key.timeframe().name())).or_default().push(index);
    }
    let mut stored = StoredColumns::default();
    for (&(symbol, timeframe), indexes) in &series {
        let times: Vec<_> = indexes.iter().map(|&index| candles[index].key.time().to_chrono()).collect();
        let lock = sqlx::query(LOCK_CANDLES).bind(symbol).bind(timeframe).bind(times);
        for row in lock.fetch_all(&mut *connection).await? {
            let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
            let Some(&index) = indexes.get(place) else { continue };
            stored.positions.push(i64::try_from(index + 1).unwrap_or(i64::MAX));
            for (column, prices) in stored.prices.iter_mut().enumerate() {
                prices.push(row.try_get(column + 1)?);
            }
            stored.volumes.push(row.try_get(5)?);
        }
    }
    let judge = bound_corrections(&JUDGE, candles, corrections, note).bind(&stored.positions);
    let judge = stored.prices.iter().fold(judge, Query::bind);
    let rows = judge.bind(&stored.volumes).fetch_all(&mut *connection).await?;
    let is_recorded = rows.first().map(|row| row.try_get::<Option<Vec<i64>>, _>(7)).transpose()?.flatten().is_some();
    if !is_recorded {
        return Ok(rows);
    }
    for ((symbol, timeframe), indexes) in series {
        let given: Vec<Candle> = indexes.into_iter().map(|index| candles[index].clone()).collect();
        let replace = sqlx::query(REPLACE_CLOSED).bind(symbol).bind(timeframe);
        bind_values(replace, &given).execute(&mut *connection).await?;
    }
    connection.execute(PREPARE_COMMIT).await?;
    Ok(rows)
}

/// Like the statement of [`super::Postgres::remove`]: returns what is stored, and the id of the record's row if it was deleted.
/// If a candle appears in the span meanwhile, nothing is deleted.
pub(super) async fn remove(
    connection: &mut PgConnection,
    (span, most): (&Span, usize),
    confirm: &str,
    kind: &'static str,
    note: &Note,
) -> sqlx::Result<(Matched, Option<i64>)> {
    let mut transaction = connection.begin().await?;
    let removed = remove_rows(&mut transaction, (span, most), confirm, kind, note).await;
    match removed {
        Ok((matched, None)) => transaction.rollback().await.map(|()| (matched, None)),
        removed => end(transaction, removed).await,
    }
}

async fn remove_rows(
    connection: &mut PgConnection,
    (span, most): (&Span, usize),
    confirm: &str,
    kind: &'static str,
    note: &Note,
) -> sqlx::Result<(Matched, Option<i64>)> {
    let lock = bound_span(sqlx::query(&LOCK_SPAN), span, most);
    let row = lock.bind(i64::try_from(MAX_RECORDED_CANDLES).unwrap_or(i64::MAX)).fetch_one(&mut *connection).await?;
    let matched = matched_row(&row)?;
    if matched.digest != confirm || !(1..=most as u64).contains(&matched.candles()) {
        return Ok((matched, None));
    }
    let closed = delete(connection, DELETE_CLOSED, span).await?;
    let forming = delete(connection, DELETE_FORMING, span).await?;
    if (closed, forming) != (matched.closed, matched.forming) {
        return Ok((matched, None));
    }
    let (first, last): (Option<chrono::DateTime<chrono::Utc>>, Option<chrono::DateTime<chrono::Utc>>) =
        (row.try_get(2)?, row.try_get(3)?);
    let values: Option<String> = row.try_get(5)?;
    let record = sqlx::query_scalar(RECORD).bind(&note.actor).bind(kind);
    let record = record.bind(span.key.symbol.as_str()).bind(span.key.timeframe.name()).bind(first).bind(last);
    let record = record.bind(i64::try_from(matched.candles()).unwrap_or(i64::MAX)).bind(&note.reason).bind(values);
    let change = record.fetch_one(&mut *connection).await?;
    connection.execute(PREPARE_COMMIT).await?;
    Ok((matched, Some(change)))
}

async fn delete(connection: &mut PgConnection, statement: &str, span: &Span) -> sqlx::Result<u64> {
    let query: Query<'_> = super::changes::bound_times(sqlx::query(statement), span);
    query.execute(connection).await.map(|done| done.rows_affected())
}
