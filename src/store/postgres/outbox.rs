//! The events for a webhook.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::pool::{Pool, Purpose};
use super::read::at;
use super::retry::{read_with, write_with};
use super::runner::Runner;
use crate::store::outbox::{ClaimedEvent, NotedChange, OutboxEvent, Settlement};
use crate::store::{StoreError, unreadable};

const QUEUE: &str = "
    insert into webhook_events (id, kind, body)
    select * from unnest($1::text[], $2::text[], $3::text[]) on conflict (id) do nothing";

const CLAIM: &str = "
    update webhook_events set due_at = now() + make_interval(secs => $1), attempts = attempts + 1
    where id = (select id from webhook_events where due_at <= now() order by due_at, id limit 1 for update skip locked)
    returning id, kind, body, attempts, extract(epoch from now() - created_at)::bigint";

const SETTLE: &str = "
    update webhook_events
    set due_at = now() + make_interval(secs => $3), settled_at = case when $3 is null then now() end
    where id = $1 and attempts = $2";

const PRUNE: &str = "
    delete from webhook_events where id in (
        select id from webhook_events where settled_at < now() - make_interval(secs => $1) limit 500)";

const OF_KIND: &str = "select body from webhook_events where kind = $1 order by created_at desc limit $2";

const NEWEST: &str = "
    select (extract(epoch from max(created_at)) * 1000)::bigint from webhook_events where kind = any($1::text[])";

const WAITING: &str = "select count(*) from webhook_events where due_at is not null";

const NOW: &str = "select (extract(epoch from now()) * 1000)::bigint";

const NOTED: &str = "
    select id, (extract(epoch from at) * 1000)::bigint, actor, kind, symbol::text, timeframe::text,
           (extract(epoch from first) * 1000)::bigint, (extract(epoch from last) * 1000)::bigint, candles, reason
    from market_data_changes where at >= $1 and kind in ('correction', 'deletion') order by at, id limit $2";

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) async fn queue(runner: &Runner, events: Vec<OutboxEvent>) -> Result<u64, StoreError> {
    let queue = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            let column = |value: fn(&OutboxEvent) -> &str| events.iter().map(value).collect::<Vec<_>>();
            let query = sqlx::query(QUEUE).bind(column(|event| &event.id)).bind(column(|event| event.kind));
            query.bind(column(|event| &event.body)).execute(connection)
        })
    };
    Ok(runner.write(queue).await?.rows_affected())
}

pub(super) async fn claim(runner: &Runner, lease: Duration) -> Result<Option<ClaimedEvent>, StoreError> {
    let claim = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            sqlx::query(CLAIM).bind(lease.as_secs_f64()).fetch_optional(connection)
        })
    };
    runner.write(claim).await?.map(|row| claimed(&row).map_err(unreadable)).transpose()
}

fn claimed(row: &PgRow) -> sqlx::Result<ClaimedEvent> {
    Ok(ClaimedEvent {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        body: row.try_get(2)?,
        attempts: row.try_get(3)?,
        age_seconds: row.try_get(4)?,
    })
}

pub(super) async fn settle(
    runner: &Runner,
    id: String,
    attempts: i32,
    settlement: Settlement,
) -> Result<(), StoreError> {
    let pause = match settlement {
        Settlement::Settled => None,
        Settlement::Again(pause) => Some(pause.as_secs_f64()),
    };
    let settle = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            sqlx::query(SETTLE).bind(&id).bind(attempts).bind(pause).execute(connection)
        })
    };
    runner.write(settle).await.map(drop)
}

pub(super) async fn prune(runner: &Runner, retention: Duration) -> Result<u64, StoreError> {
    let prune = move |pool: Pool| async move {
        write_with!(pool, Purpose::Write { by: None }, |connection| {
            sqlx::query(PRUNE).bind(retention.as_secs_f64()).execute(connection)
        })
    };
    Ok(runner.write(prune).await?.rows_affected())
}

pub(super) async fn of_kind(runner: &Runner, kind: &'static str, most: usize) -> Result<Vec<String>, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| {
            sqlx::query_scalar::<_, String>(OF_KIND).bind(kind).bind(count(most)).fetch_all(connection)
        })
    };
    runner.on_primary(select).await
}

pub(super) async fn newest(runner: &Runner, kinds: [&'static str; 2]) -> Result<Option<i64>, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| {
            sqlx::query_scalar::<_, Option<i64>>(NEWEST).bind(&kinds[..]).fetch_one(connection)
        })
    };
    runner.on_primary(select).await
}

pub(super) async fn waiting(runner: &Runner) -> Result<u64, StoreError> {
    let number = scalar(runner, WAITING).await?;
    Ok(u64::try_from(number).unwrap_or_default())
}

pub(super) async fn now(runner: &Runner) -> Result<i64, StoreError> {
    scalar(runner, NOW).await
}

async fn scalar(runner: &Runner, statement: &'static str) -> Result<i64, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| sqlx::query_scalar::<_, i64>(statement).fetch_one(connection))
    };
    runner.on_primary(select).await
}

pub(super) async fn noted(runner: &Runner, since: i64, most: usize) -> Result<Vec<NotedChange>, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| sqlx::query(NOTED).bind(at(since)).bind(count(most)).fetch_all(connection))
    };
    runner.on_primary(select).await?.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
}

fn change(row: &PgRow) -> sqlx::Result<NotedChange> {
    Ok(NotedChange {
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
    })
}
