//! The events for a webhook.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::store::outbox::{ClaimedEvent, NotedChange, OutboxEvent, Settlement};

const QUEUE: &str = "insert into webhook_events (id, kind, body) values (?1, ?2, ?3) on conflict (id) do nothing";

const NOW: &str = "select cast(unixepoch('subsec') * 1000 as integer)";

const CLAIM: &str = "
    update webhook_events set due_at = ?1 + ?2, attempts = attempts + 1
    where id = (select id from webhook_events where due_at <= ?1 order by due_at, id limit 1)
    returning id, kind, body, attempts, (?1 - created_at) / 1000";

const SETTLE: &str = "
    update webhook_events set due_at = ?3 + ?4, settled_at = case when ?4 is null then ?3 end
    where id = ?1 and attempts = ?2";

const PRUNE: &str = "
    delete from webhook_events where id in (select id from webhook_events where settled_at < ?1 limit 500)";

const OF_KIND: &str = "select body from webhook_events where kind = ?1 order by created_at desc limit ?2";

const NEWEST: &str = "select max(created_at) from webhook_events where kind in (?1, ?2)";

const WAITING: &str = "select count(*) from webhook_events where due_at is not null";

const NOTED: &str = "
    select id, at, actor, kind, symbol, timeframe, first, last, candles, reason from market_data_changes
    where at >= ?1 and kind in ('correction', 'deletion') order by at, id limit ?2";

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn queue(connection: &mut Connection, events: &[OutboxEvent]) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut queued = 0;
    for OutboxEvent { id, kind, body } in events {
        queued += transaction.execute(QUEUE, params![id, kind, body])? as u64;
    }
    transaction.commit()?;
    Ok(queued)
}

pub(super) fn claim(connection: &Connection, lease: Duration) -> rusqlite::Result<Option<ClaimedEvent>> {
    let claimed = |row: &rusqlite::Row<'_>| {
        Ok(ClaimedEvent {
            id: row.get(0)?,
            kind: row.get(1)?,
            body: row.get(2)?,
            attempts: row.get(3)?,
            age_seconds: row.get(4)?,
        })
    };
    connection.query_row(CLAIM, params![now(connection)?, millis(lease)], claimed).optional()
}

pub(super) fn settle(connection: &Connection, id: &str, attempts: i32, settlement: Settlement) -> rusqlite::Result<()> {
    let pause = match settlement {
        Settlement::Settled => None,
        Settlement::Again(pause) => Some(millis(pause)),
    };
    connection.execute(SETTLE, params![id, attempts, now(connection)?, pause]).map(drop)
}

pub(super) fn prune(connection: &Connection, retention: Duration) -> rusqlite::Result<u64> {
    Ok(connection.execute(PRUNE, [now(connection)? - millis(retention)])? as u64)
}

pub(super) fn of_kind(connection: &Connection, kind: &str, most: usize) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(OF_KIND)?.query_map(params![kind, most], |row| row.get(0))?.collect()
}

pub(super) fn newest(connection: &Connection, kinds: [&str; 2]) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(NEWEST)?.query_row(kinds, |row| row.get(0))
}

pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached(WAITING)?.query_row([], |row| row.get(0))
}

pub(super) fn now(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached(NOW)?.query_row([], |row| row.get(0))
}

pub(super) fn noted(connection: &Connection, since: i64, most: usize) -> rusqlite::Result<Vec<NotedChange>> {
    let change = |row: &rusqlite::Row<'_>| {
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
    connection.prepare_cached(NOTED)?.query_map(params![since, most], change)?.collect()
}
