//! Corrects and deletes stored candles, each time in one statement with the row that this adds to the record.
//!
//! TimescaleDB locks no row of a compressed chunk. On a hypertable the statement therefore runs in a transaction that sees one state
//! of the rows, and that ends with a conflict, and is repeated, if another one has changed them meanwhile. On Citus a change is several
//! statements ([`citus_changes`]).

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres as Pg, Row as _, Transaction};

use super::Postgres;
use super::citus_changes;
use super::engine::Engine;
use super::pool::{Pool, Purpose};
use super::retry::{read_with, write_with};
use super::rows::bind;
use crate::store::changes::{
    Amended, Change, ChangesSelection, Correction, Found, Imported, MAX_RECORDED_CANDLES, Matched, Note, Removal,
    RemovalKind, Span,
};
use crate::store::versions::BumpOnDrop;
use crate::store::{MAX_STORED_VALUE_CHARS, StoreError, unreadable};
use candle::{Candle, Key, Timestamp};

/// Like [`REMOVE`], waits for rows that another writer holds, and reads them as that writer leaves them.
static AMEND: LazyLock<String> = LazyLock::new(|| amend_in_one("for update of c", ""));
static REMOVE: LazyLock<String> = LazyLock::new(|| {
    let closed = r#"using closed
        where c.symbol = closed.symbol and c.timeframe = closed.timeframe and c."timestamp" = closed."timestamp""#;
    remove_text("for update", closed)
});

/// Names the series and the times once more, because TimescaleDB decompresses only batches of rows that these conditions
/// can meet, and would otherwise decompress every batch of the chunk.
static AMEND_ON_HYPERTABLE: LazyLock<String> = LazyLock::new(|| {
    amend_in_one("", r#"and c.symbol = any ($17) and c.timeframe = any ($18) and c."timestamp" between $19 and $20"#)
});
/// The state that the transaction sees has no other rows in the span than those of the digest.
static REMOVE_ON_HYPERTABLE: LazyLock<String> = LazyLock::new(|| {
    remove_text("", r#"where c.symbol = $1 and c.timeframe = $2 and c."timestamp" >= $3 and c."timestamp" < $4"#)
});

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

impl Postgres {
    pub(in crate::store) async fn amend(
        &self,
        corrections: Vec<Correction>,
        note: Note,
        bump: BumpOnDrop,
    ) -> Result<Amended, StoreError> {
        let (corrections, engine) = (Arc::new(corrections), self.0.runner.engine()?);
        let amend = move |pool: Pool| async move {
            let _bump = bump;
            write_with!(pool, Purpose::Write { by: None }, |connection| amend_rows(
                connection,
                engine,
                &corrections,
                &note
            ))
        };
        let rows = self.0.runner.write(amend).await?;
        let mut amended = Amended { found: Vec::with_capacity(rows.len()), changes: Vec::new() };
        for row in &rows {
            amended.found.push(found(row).map_err(unreadable)?);
        }
        if let Some(row) = rows.first() {
            amended.changes = row.try_get::<Option<Vec<i64>>, _>(7).map_err(unreadable)?.unwrap_or_default();
        }
        Ok(amended)
    }

    pub(in crate::store) async fn matched(&self, span: Span, most: usize) -> Result<Matched, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| bound_span(sqlx::query(&MATCHED), &span, most).fetch_one(connection))
        };
        matched_row(&self.0.runner.on_primary(select).await?).map_err(unreadable)
    }

    pub(in crate::store) async fn remove(
        &self,
        span: Span,
        most: usize,
        confirm: String,
        kind: RemovalKind,
        note: Note,
        bump: BumpOnDrop,
    ) -> Result<Removal, StoreError> {
        let (kind, engine): (&'static str, _) = (kind.into(), self.0.runner.engine()?);
        let remove = move |pool: Pool| async move {
            let _bump = bump;
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                remove_rows(connection, engine, (&span, most), &confirm, kind, &note)
            })
        };
        Ok(match self.0.runner.write(remove).await? {
            (matched, Some(change)) => Removal::Removed { matched, change },
            (matched, None) => Removal::Kept(matched),
        })
    }

    pub(in crate::store) async fn record_import(&self, imported: Imported, note: Note) -> Result<(), StoreError> {
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
        self.0.runner.write(record).await.map(drop)
    }

    pub(in crate::store) async fn is_being_backed_up(&self) -> Result<bool, StoreError> {
        let ask = |pool: Pool| async move {
            read_with!(pool, |connection| sqlx::query_scalar::<_, bool>(BACKED_UP).fetch_one(connection))
        };
        self.0.runner.on_primary(ask).await
    }

    pub(in crate::store) async fn changes(
        &self,
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
        let rows = self.0.runner.on_primary(select).await?;
        rows.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
    }

    pub(in crate::store) async fn changes_within(
        &self,
        span: Span,
        (most, max_candles): (usize, usize),
    ) -> Result<Vec<Change>, StoreError> {
        let select = move |pool: Pool| {
            let span = span.clone();
            async move {
                read_with!(pool, |connection| {
                    let time = |millis| DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
                    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
                    let query =
                        sqlx::query(CHANGES_WITHIN).bind(span.key.symbol.as_str()).bind(span.key.timeframe.name());
                    let query = query.bind(time(span.start)).bind(time(span.end));
                    query.bind(number(most)).bind(number(max_candles)).fetch_all(connection)
                })
            }
        };
        let rows = self.0.runner.on_primary(select).await?;
        rows.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
    }
}

/// The statement that judges and records corrections, with those that read and replace candles.
pub(super) fn amend_text(stored: &str, amended: &str) -> String {
    include_str!("sql/amend.sql").replace("{stored}", stored).replace("{amended}", amended)
}

fn amend_in_one(lock: &str, bounds: &str) -> String {
    let stored = include_str!("sql/amend_stored.sql").replace("{lock}", lock);
    amend_text(&stored, include_str!("sql/amend_rows.sql")).replace("{bounds}", bounds)
}

fn remove_text(lock: &str, closed: &str) -> String {
    let text = include_str!("sql/remove.sql").replace("{rows}", &rows_of_span(lock)).replace("{closed}", closed);
    text.replace("{values}", values_of_rows())
}

/// The common table expressions for the rows of a span and for what they add up to.
pub(super) fn rows_of_span(lock: &str) -> String {
    include_str!("sql/span_rows.sql").replace("{lock}", lock)
}

/// Selects the values of the rows of a span, for the record.
pub(super) fn values_of_rows() -> &'static str {
    include_str!("sql/removed_values.sql")
}

async fn amend_rows(
    connection: &mut PgConnection,
    engine: Engine,
    corrections: &[Correction],
    note: &Note,
) -> sqlx::Result<Vec<PgRow>> {
    let candles: Vec<Candle> = corrections.iter().map(|correction| correction.candle.clone()).collect();
    match engine {
        Engine::Plain => bound_corrections(&AMEND, &candles, corrections, note).fetch_all(connection).await,
        Engine::Timescale => amend_on_hypertable(connection, &candles, corrections, note).await,
        Engine::Citus => citus_changes::amend(connection, &candles, corrections, note).await,
    }
}

async fn amend_on_hypertable(
    connection: &mut PgConnection,
    candles: &[Candle],
    corrections: &[Correction],
    note: &Note,
) -> sqlx::Result<Vec<PgRow>> {
    let keys = || candles.iter().map(|candle| &candle.key);
    let symbols: BTreeSet<_> = keys().map(|key| key.symbol().as_str()).collect();
    let timeframes: BTreeSet<_> = keys().map(|key| key.timeframe().name()).collect();
    let query = bound_corrections(&AMEND_ON_HYPERTABLE, candles, corrections, note);
    let query = query.bind(symbols.into_iter().collect::<Vec<_>>()).bind(timeframes.into_iter().collect::<Vec<_>>());
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_chrono);
    let query = query.bind(time(keys().map(Key::time).min())).bind(time(keys().map(Key::time).max()));
    let mut transaction = begin_on_hypertable(connection).await?;
    let rows = query.fetch_all(&mut *transaction).await;
    end(transaction, rows).await
}

/// Binds `$1` to `$16`.
pub(super) fn bound_corrections<'q>(
    statement: &'q str,
    candles: &'q [Candle],
    corrections: &'q [Correction],
    note: &'q Note,
) -> Query<'q> {
    let mut query = bind(sqlx::query(statement), candles);
    for field in 0..4 {
        let expected = corrections.iter().map(|correction| correction.expected.prices[field]);
        query = query.bind(expected.map(|price| price.map(|price| price.to_string())).collect::<Vec<_>>());
    }
    let volumes = corrections.iter().map(|correction| correction.expected.volume.map(candle::Volume::get));
    let query = query.bind(volumes.collect::<Vec<_>>()).bind(&note.actor).bind(&note.reason);
    query.bind(i32::try_from(MAX_STORED_VALUE_CHARS).unwrap_or(i32::MAX))
}

/// Begins a transaction that changes rows of a hypertable. Its plans are made for the values that are bound, because TimescaleDB
/// chooses the batches that it decompresses by the constants of a plan. It has no statistics of rows that were just decompressed, and
/// would compare each of them with each candle in a nested loop. The number of decompressed rows has no other bound than the time
/// for the statement.
async fn begin_on_hypertable(connection: &mut PgConnection) -> sqlx::Result<Transaction<'_, Pg>> {
    const BEGIN: &str = "begin isolation level repeatable read";
    const SETTINGS: &str = "
        set local plan_cache_mode = force_custom_plan;
        set local enable_nestloop = off;
        set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0";
    let mut transaction = connection.begin_with(BEGIN).await?;
    transaction.execute(SETTINGS).await?;
    Ok(transaction)
}

/// Commits, or undoes what was done before a failure.
pub(super) async fn end<T>(transaction: Transaction<'_, Pg>, result: sqlx::Result<T>) -> sqlx::Result<T> {
    match result {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // The failure of the statement counts, and the connection is closed if it does not answer.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
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

async fn remove_rows(
    connection: &mut PgConnection,
    engine: Engine,
    (span, most): (&Span, usize),
    confirm: &str,
    kind: &'static str,
    note: &Note,
) -> sqlx::Result<(Matched, Option<i64>)> {
    let text = match engine {
        Engine::Plain => &REMOVE,
        Engine::Timescale => &REMOVE_ON_HYPERTABLE,
        Engine::Citus => return citus_changes::remove(connection, (span, most), confirm, kind, note).await,
    };
    let query = bound_span(sqlx::query(text), span, most).bind(confirm).bind(&note.actor).bind(kind).bind(&note.reason);
    let query = query.bind(i64::try_from(MAX_RECORDED_CANDLES).unwrap_or(i64::MAX));
    let row = if engine == Engine::Timescale {
        let mut transaction = begin_on_hypertable(connection).await?;
        let row = query.fetch_one(&mut *transaction).await;
        end(transaction, row).await?
    } else {
        query.fetch_one(connection).await?
    };
    Ok((matched_row(&row)?, row.try_get(5)?))
}

pub(super) type Query<'q> = sqlx::query::Query<'q, Pg, sqlx::postgres::PgArguments>;

/// Binds `$1` to `$5`.
pub(super) fn bound_span<'q>(query: Query<'q>, span: &'q Span, most: usize) -> Query<'q> {
    bound_times(query, span).bind(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
}

/// Binds `$1` to `$4`.
pub(super) fn bound_times<'q>(query: Query<'q>, span: &'q Span) -> Query<'q> {
    let time = |millis| DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
    let query = query.bind(span.key.symbol.as_str()).bind(span.key.timeframe.name());
    query.bind(time(span.start)).bind(time(span.end))
}

/// Decodes the first five columns of a row that says what a span holds.
pub(super) fn matched_row(row: &PgRow) -> sqlx::Result<Matched> {
    let count = |column: usize| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let time = |column: usize| {
        row.try_get::<Option<DateTime<Utc>>, _>(column).map(|time| time.map(|time| time.timestamp_millis()))
    };
    Ok(Matched { closed: count(0)?, forming: count(1)?, first: time(2)?, last: time(3)?, digest: row.try_get(4)? })
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
