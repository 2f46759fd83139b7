//! Corrects and deletes stored candles, each time in one statement with the row that this adds to the record.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::pool::{Pool, Purpose};
use super::retry::{read_with, write_with};
use super::rows::bind;
use super::runner::Runner;
use crate::store::changes::{
    Amended, Change, ChangesSelection, Correction, Found, Imported, MAX_RECORDED_CANDLES, Matched, Note, Removal,
    RemovalKind, Span,
};
use crate::store::versions::BumpOnDrop;
use crate::store::{MAX_STORED_VALUE_CHARS, StoreError, unreadable};
use candle::Candle;

const AMEND: &str = include_str!("sql/amend.sql");

/// Rows that another writer holds are waited for, and are then read as it leaves them.
static REMOVE: LazyLock<String> =
    LazyLock::new(|| include_str!("sql/remove.sql").replace("{rows}", &rows_of_span("for update")));
static MATCHED: LazyLock<String> =
    LazyLock::new(|| format!("with {} select closed, forming, first, last, digest from summary", rows_of_span("")));

const CHANGES: &str = include_str!("sql/changes.sql");
const CHANGES_WITHIN: &str = include_str!("sql/changes_within.sql");

/// `pg_dump` names itself, and every login sees the names of all sessions (PostgreSQL: `pg_stat_get_activity`).
const BACKED_UP: &str = "
    select exists (select from pg_stat_activity where application_name in ('pg_dump', 'pg_dumpall', 'pg_basebackup'))
           or exists (select from pg_stat_progress_basebackup)";

const RECORD_IMPORT: &str = "
    insert into market_data_changes (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
    values ($1, 'import', $2, $3, $4, $5, $6, $7, jsonb_build_object('source', $8::text::jsonb))";

fn rows_of_span(lock: &str) -> String {
    include_str!("sql/span_rows.sql").replace("{lock}", lock)
}

pub(super) async fn amend(
    runner: &Runner,
    corrections: Vec<Correction>,
    note: Note,
    bump: BumpOnDrop,
) -> Result<Amended, StoreError> {
    let corrections = Arc::new(corrections);
    let amend = move |pool: Pool| async move {
        let _bump = bump;
        write_with!(pool, Purpose::Write { by: None }, |connection| amend_rows(connection, &corrections, &note))
    };
    let rows = runner.write(amend).await?;
    let mut amended = Amended { found: Vec::with_capacity(rows.len()), changes: Vec::new() };
    for row in &rows {
        amended.found.push(found(row).map_err(unreadable)?);
    }
    if let Some(row) = rows.first() {
        amended.changes = row.try_get::<Option<Vec<i64>>, _>(7).map_err(unreadable)?.unwrap_or_default();
    }
    Ok(amended)
}

async fn amend_rows(
    connection: &mut PgConnection,
    corrections: &[Correction],
    note: &Note,
) -> sqlx::Result<Vec<PgRow>> {
    let candles: Vec<Candle> = corrections.iter().map(|correction| correction.candle.clone()).collect();
    let mut query = bind(sqlx::query(AMEND), &candles);
    for field in 0..4 {
        let expected = corrections.iter().map(|correction| correction.expected.prices[field]);
        query = query.bind(expected.map(|price| price.map(|price| price.to_string())).collect::<Vec<_>>());
    }
    let volumes = corrections.iter().map(|correction| correction.expected.volume.map(candle::Volume::get));
    let query = query.bind(volumes.collect::<Vec<_>>()).bind(&note.actor).bind(&note.reason);
    query.bind(i32::try_from(MAX_STORED_VALUE_CHARS).unwrap_or(i32::MAX)).fetch_all(connection).await
}

fn found(row: &PgRow) -> sqlx::Result<Found> {
    let text = |column: usize| row.try_get::<Option<String>, _>(column).map(Option::unwrap_or_default);
    Ok(match row.try_get(1)? {
        "amended" => Found::Replaced,
        "same" => Found::Same,
        "missing" => Found::Nothing,
        _ => Found::Unexpected([text(2)?, text(3)?, text(4)?, text(5)?, text(6)?]),
    })
}

pub(super) async fn matched(runner: &Runner, span: Span, most: usize) -> Result<Matched, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| bound(sqlx::query(&MATCHED), &span, most).fetch_one(connection))
    };
    decoded(&runner.on_primary(select).await?).map_err(unreadable)
}

pub(super) async fn remove(
    runner: &Runner,
    (span, most): (Span, usize),
    confirm: String,
    kind: RemovalKind,
    note: Note,
    bump: BumpOnDrop,
) -> Result<Removal, StoreError> {
    let kind: &'static str = kind.into();
    let remove = move |pool: Pool| async move {
        let _bump = bump;
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            let query = bound(sqlx::query(&REMOVE), &span, most).bind(&confirm);
            let query = query.bind(&note.actor).bind(kind).bind(&note.reason);
            query.bind(i64::try_from(MAX_RECORDED_CANDLES).unwrap_or(i64::MAX)).fetch_one(connection)
        })
    };
    let row = runner.write(remove).await?;
    let matched = decoded(&row).map_err(unreadable)?;
    Ok(match row.try_get(5).map_err(unreadable)? {
        Some(change) => Removal::Removed { matched, change },
        None => Removal::Kept(matched),
    })
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(query: Query<'q>, span: &'q Span, most: usize) -> Query<'q> {
    let time = |millis| DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
    let query = query.bind(span.key.symbol.as_str()).bind(span.key.timeframe.name());
    query.bind(time(span.start)).bind(time(span.end)).bind(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
}

fn decoded(row: &PgRow) -> sqlx::Result<Matched> {
    let count = |column: usize| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let time = |column: usize| {
        row.try_get::<Option<DateTime<Utc>>, _>(column).map(|time| time.map(|time| time.timestamp_millis()))
    };
    Ok(Matched { closed: count(0)?, forming: count(1)?, first: time(2)?, last: time(3)?, digest: row.try_get(4)? })
}

pub(super) async fn is_being_backed_up(runner: &Runner) -> Result<bool, StoreError> {
    let ask = |pool: Pool| async move {
        read_with!(pool, |connection| sqlx::query_scalar::<_, bool>(BACKED_UP).fetch_one(connection))
    };
    runner.on_primary(ask).await
}

pub(super) async fn record_import(runner: &Runner, imported: Imported, note: Note) -> Result<(), StoreError> {
    let record = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            let time = |millis| DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
            let query = sqlx::query(RECORD_IMPORT).bind(&note.actor);
            let query = query.bind(imported.key.symbol.as_str()).bind(imported.key.timeframe.name());
            let query = query.bind(time(imported.first)).bind(time(imported.last));
            let query = query.bind(i64::try_from(imported.added).unwrap_or(i64::MAX)).bind(&note.reason);
            query.bind(&imported.detail).execute(connection)
        })
    };
    runner.write(record).await.map(drop)
}

pub(super) async fn changes(
    runner: &Runner,
    selection: ChangesSelection,
    max_bytes: usize,
) -> Result<Vec<Change>, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| {
            let query = sqlx::query(CHANGES).bind(selection.after);
            let query = query.bind(i64::try_from(selection.limit).unwrap_or(i64::MAX));
            let query = query.bind(selection.symbol.as_ref().map(candle::Symbol::as_str));
            let query = query.bind(selection.timeframe.map(candle::Timeframe::name));
            query.bind(i64::try_from(max_bytes).unwrap_or(i64::MAX)).fetch_all(connection)
        })
    };
    let rows = runner.on_primary(select).await?;
    rows.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
}

pub(super) async fn changes_within(
    runner: &Runner,
    span: Span,
    (most, max_candles): (usize, usize),
) -> Result<Vec<Change>, StoreError> {
    let select = move |pool: Pool| {
        let span = span.clone();
        async move {
            read_with!(pool, |connection| {
                let time = |millis| DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
                let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
                let query = sqlx::query(CHANGES_WITHIN).bind(span.key.symbol.as_str()).bind(span.key.timeframe.name());
                let query = query.bind(time(span.start)).bind(time(span.end));
                query.bind(number(most)).bind(number(max_candles)).fetch_all(connection)
            })
        }
    };
    let rows = runner.on_primary(select).await?;
    rows.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
}

fn change(row: &PgRow) -> sqlx::Result<Change> {
    Ok(Change {
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        actor: row.try_get(2)?,
        kind: row.try_get(3)?,
        symbol: row.try_get(4)?,
        timeframe: row.try_get(5)?,
        first: row.try_get(6)?,
        last: row.try_get(7)?,
        candles: row.try_get(8)?,
        reason: row.try_get(9)?,
        detail: row.try_get(10)?,
    })
}
