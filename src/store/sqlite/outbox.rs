//! The events for a webhook.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::Sqlite;
use super::jobs::parsed;
use crate::store::outbox::{ClaimedEvent, EndedJob, NotedChange, OutboxEvent, ReportedFeed, Settlement};
use crate::store::{SeriesKey, StoreError};

const QUEUE: &str = "insert into webhook_events (id, kind, body) values (?1, ?2, ?3) on conflict (id) do nothing";

const NOW: &str = "select cast(unixepoch('subsec') * 1000 as integer)";

/// The series of an event, if it is about one.
const SERIES: &str = "json_extract(body, '$.data.timeframe') || ':' || json_extract(body, '$.data.symbol')";

/// Events that were stored together are due in the order of their rows.
static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update webhook_events set due_at = ?1 + ?2, attempts = attempts + 1
         where id = (
             select id from webhook_events
             where due_at <= ?1 and coalesce({SERIES}, '') not in (select value from json_each(?3))
             order by due_at, rowid limit 1)
         returning id, kind, body, {SERIES}, attempts, (?1 - created_at) / 1000"
    )
});

const SETTLE: &str = "
    update webhook_events set due_at = ?3 + ?4, settled_at = case when ?4 is null then ?3 end
    where id = ?1 and attempts = ?2";

const PRUNE: &str = "
    delete from webhook_events where id in (select id from webhook_events where settled_at < ?1 limit 500)";

const MARK: &str = "select known_to from webhook_marks where kind = ?1";

const SET_MARK: &str = "
    insert into webhook_marks (kind, known_to) values (?1, ?2)
    on conflict (kind) do update set known_to = max(known_to, excluded.known_to)";

const REPORTED_FEEDS: &str = "select symbol, timeframe, is_stale, received, events from webhook_feeds";

const REPORT_FEED: &str = "
    insert into webhook_feeds (symbol, timeframe, is_stale, received, events) values (?1, ?2, ?3, ?4, ?5)
    on conflict (symbol, timeframe) do update
    set is_stale = excluded.is_stale, received = excluded.received, events = excluded.events
    where events = excluded.events - 1";

const WAITING: &str = "select count(*) from webhook_events where due_at is not null";

const NOTED: &str = "
    select id, at, actor, kind, symbol, timeframe, first, last, candles, reason from market_data_changes
    where at >= ?1 and (at, id) > (?1, ?2) and kind in ('correction', 'deletion') order by at, id limit ?3";

const ENDED: &str = "
    select id, owner, name, state, finished_at from research_jobs
    where finished_at >= ?1 and (finished_at, id) > (?1, ?2) and state in ('done', 'failed')
    order by finished_at, id limit ?3";

impl Sqlite {
    pub(in crate::store) async fn queue_events(&self, events: Vec<OutboxEvent>) -> Result<u64, StoreError> {
        self.write(move |connection| queue(connection, &events)).await
    }

    pub(in crate::store) async fn claim_event(
        &self,
        lease: Duration,
        busy: Vec<String>,
    ) -> Result<Option<ClaimedEvent>, StoreError> {
        self.write(move |connection| claim(connection, lease, &busy)).await
    }

    pub(in crate::store) async fn settle_event(
        &self,
        id: String,
        attempts: i32,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        self.write(move |connection| settle(connection, &id, attempts, settlement)).await
    }

    pub(in crate::store) async fn prune_events(&self, retention: Duration) -> Result<u64, StoreError> {
        self.write(move |connection| prune(connection, retention)).await
    }

    pub(in crate::store) async fn mark(&self, kind: &'static str) -> Result<Option<i64>, StoreError> {
        self.list(move |connection| mark(connection, kind)).await
    }

    pub(in crate::store) async fn set_mark(&self, kind: &'static str, known_to: i64) -> Result<(), StoreError> {
        self.write(move |connection| set_mark(connection, kind, known_to)).await
    }

    pub(in crate::store) async fn reported_feeds(&self) -> Result<Vec<ReportedFeed>, StoreError> {
        self.list(reported_feeds).await
    }

    pub(in crate::store) async fn report_feed(
        &self,
        reported: ReportedFeed,
        event: OutboxEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| report_feed(connection, &reported, &event)).await
    }

    pub(in crate::store) async fn waiting_events(&self) -> Result<u64, StoreError> {
        self.list(waiting).await
    }

    pub(in crate::store) async fn now(&self) -> Result<i64, StoreError> {
        self.list(now).await
    }

    pub(in crate::store) async fn noted_changes(
        &self,
        after: (i64, i64),
        most: usize,
    ) -> Result<Vec<NotedChange>, StoreError> {
        self.list(move |connection| noted(connection, after, most)).await
    }

    pub(in crate::store) async fn ended_jobs(
        &self,
        after: (i64, String),
        most: usize,
    ) -> Result<Vec<EndedJob>, StoreError> {
        self.list(move |connection| ended(connection, &after, most)).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn queue(connection: &mut Connection, events: &[OutboxEvent]) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut queued = 0;
    for OutboxEvent { id, kind, body } in events {
        queued += transaction.execute(QUEUE, params![id, kind, body])? as u64;
    }
    transaction.commit()?;
    Ok(queued)
}

fn claim(connection: &Connection, lease: Duration, busy: &[String]) -> rusqlite::Result<Option<ClaimedEvent>> {
    let claimed = |row: &Row<'_>| {
        Ok(ClaimedEvent {
            id: row.get(0)?,
            kind: row.get(1)?,
            body: row.get(2)?,
            series: row.get(3)?,
            attempts: row.get(4)?,
            age_seconds: row.get(5)?,
        })
    };
    let values = params![now(connection)?, millis(lease), serde_json::Value::from(busy).to_string()];
    connection.prepare_cached(&CLAIM)?.query_row(values, claimed).optional()
}

fn settle(connection: &Connection, id: &str, attempts: i32, settlement: Settlement) -> rusqlite::Result<()> {
    let pause = match settlement {
        Settlement::Settled => None,
        Settlement::Again(pause) => Some(millis(pause)),
    };
    connection.execute(SETTLE, params![id, attempts, now(connection)?, pause]).map(drop)
}

fn prune(connection: &Connection, retention: Duration) -> rusqlite::Result<u64> {
    Ok(connection.execute(PRUNE, [now(connection)? - millis(retention)])? as u64)
}

fn mark(connection: &Connection, kind: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(MARK)?.query_row([kind], |row| row.get(0)).optional()
}

fn set_mark(connection: &Connection, kind: &str, known_to: i64) -> rusqlite::Result<()> {
    connection.execute(SET_MARK, params![kind, known_to]).map(drop)
}

fn reported_feeds(connection: &Connection) -> rusqlite::Result<Vec<ReportedFeed>> {
    let reported = |row: &Row<'_>| {
        let (symbol, timeframe): (String, String) = (row.get(0)?, row.get(1)?);
        // A series that no setting can name any more is nobody's.
        let Some(key) = SeriesKey::of_text(&symbol, &timeframe) else { return Ok(None) };
        Ok(Some(ReportedFeed { key, is_stale: row.get(2)?, received: row.get(3)?, events: row.get(4)? }))
    };
    let mut statement = connection.prepare_cached(REPORTED_FEEDS)?;
    statement.query_map([], reported)?.filter_map(Result::transpose).collect()
}

fn report_feed(connection: &mut Connection, reported: &ReportedFeed, event: &OutboxEvent) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let ReportedFeed { key, is_stale, received, events } = reported;
    let values = params![key.symbol.as_str(), key.timeframe.name(), is_stale, received, events];
    let is_reported = transaction.execute(REPORT_FEED, values)? == 1
        && transaction.execute(QUEUE, params![event.id, event.kind, event.body])? == 1;
    transaction.commit()?;
    Ok(is_reported)
}

fn waiting(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached(WAITING)?.query_row([], |row| row.get(0))
}

fn now(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached(NOW)?.query_row([], |row| row.get(0))
}

fn noted(connection: &Connection, (at, id): (i64, i64), most: usize) -> rusqlite::Result<Vec<NotedChange>> {
    let change = |row: &Row<'_>| {
        Ok(NotedChange {
            id: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            kind: row.get(3)?,
            symbol: row.get(4)?,
            timeframe: row.get(5)?,
            first: row.get(6)?,
            last: row.get(7)?,
            candles: row.get(8)?,
            reason: row.get(9)?,
        })
    };
    connection.prepare_cached(NOTED)?.query_map(params![at, id, most], change)?.collect()
}

fn ended(connection: &Connection, (finished, id): &(i64, String), most: usize) -> rusqlite::Result<Vec<EndedJob>> {
    let job = |row: &Row<'_>| {
        let state = parsed(&row.get::<_, String>(3)?)?;
        Ok(EndedJob { id: row.get(0)?, owner: row.get(1)?, name: row.get(2)?, state, finished: row.get(4)? })
    };
    connection.prepare_cached(ENDED)?.query_map(params![finished, id, most], job)?.collect()
}
