//! The history of signals.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::pool::{Pool, Purpose};
use super::read::at;
use super::retry::{read_with, write_with};
use super::runner::Runner;
use crate::store::signals::{NewSignal, SignalsSelection, StoredSignal};
use crate::store::{StoreError, unreadable};

/// Of two processes that see the same newest signal, one adds the next: no two rows of a series follow the same one.
const ADD: &str = "
    with newest as (
        select candle, signal from research_signals where symbol = $1 and timeframe = $2 order by candle desc limit 1
    )
    insert into research_signals (symbol, timeframe, candle, close, signal, score, votes, previous, follows)
    select $1, $2, $3, $4, $5, $6, $7, (select signal from newest), coalesce((select candle from newest), '-infinity')
    where not exists (select from newest where candle >= $3 or signal = $5)
    on conflict do nothing";

/// In the last row, `previous` becomes the signal that it was, which is what readers have seen.
const CORRECT: &str = "
    update research_signals set close = $4, signal = $5, score = $6, votes = $7, previous = signal, at = now()
    where symbol = $1 and timeframe = $2 and candle = $3 and signal <> $5
        and not exists (select from research_signals r where r.symbol = $1 and r.timeframe = $2 and r.candle > $3)";

const COLUMNS: &str = "symbol::text, timeframe::text, candle, close, signal, score, votes, previous, at";

static READ: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from research_signals
         where candle >= $1 and candle < $2 and ($3::text is null or symbol = $3) and ($4::text is null or timeframe = $4)
           and ($5::timestamptz is null or (candle, symbol, timeframe) > ($5, $6, $7))
         order by candle, symbol, timeframe limit $8"
    )
});

static CHANGED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from research_signals where at >= $1 and previous is not null
         order by date_trunc('milliseconds', at), candle, symbol, timeframe limit $2"
    )
});

impl Postgres {
    pub(in crate::store) async fn add_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        write(&self.0.runner, ADD, signal).await
    }

    pub(in crate::store) async fn correct_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        write(&self.0.runner, CORRECT, signal).await
    }

    pub(in crate::store) async fn signals(&self, selection: SignalsSelection) -> Result<Vec<StoredSignal>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| {
                let after = selection.after.as_ref();
                let query = sqlx::query(&READ).bind(at(selection.start)).bind(at(selection.end));
                let query = query.bind(selection.symbol.as_ref().map(candle::Symbol::as_str));
                let query = query.bind(selection.timeframe.map(candle::Timeframe::name));
                let query = query.bind(after.map(|after| at(after.candle)));
                let query = query.bind(after.map(|after| after.key.symbol.as_str()));
                let query = query.bind(after.map(|after| after.key.timeframe.name()));
                query.bind(i64::try_from(selection.limit).unwrap_or(i64::MAX)).fetch_all(connection)
            })
        };
        decoded(&self.0.runner.on_primary(select).await?)
    }

    pub(in crate::store) async fn changed_signals(
        &self,
        since: i64,
        most: usize,
    ) -> Result<Vec<StoredSignal>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| {
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                sqlx::query(&CHANGED).bind(at(since)).bind(most).fetch_all(connection)
            })
        };
        decoded(&self.0.runner.on_primary(select).await?)
    }
}

/// Runs a statement that writes a row at most, and returns true if it did.
async fn write(runner: &Runner, statement: &'static str, signal: NewSignal) -> Result<bool, StoreError> {
    let write = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            let query = sqlx::query(statement).bind(signal.key.symbol.as_str()).bind(signal.key.timeframe.name());
            let query = query.bind(at(signal.candle)).bind(&signal.close).bind(signal.signal).bind(signal.score);
            query.bind(&signal.votes).execute(connection)
        })
    };
    Ok(runner.write(write).await?.rows_affected() == 1)
}

fn decoded(rows: &[PgRow]) -> Result<Vec<StoredSignal>, StoreError> {
    rows.iter().map(signal).collect::<sqlx::Result<_>>().map_err(unreadable)
}

fn signal(row: &PgRow) -> sqlx::Result<StoredSignal> {
    Ok(StoredSignal {
        symbol: row.try_get(0)?,
        timeframe: row.try_get(1)?,
        candle: row.try_get::<DateTime<Utc>, _>(2)?.timestamp_millis(),
        close: row.try_get(3)?,
        signal: row.try_get(4)?,
        score: row.try_get(5)?,
        votes: row.try_get(6)?,
        previous: row.try_get(7)?,
        at: row.try_get::<DateTime<Utc>, _>(8)?.timestamp_millis(),
    })
}
