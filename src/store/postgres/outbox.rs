//! The events for a webhook.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::pool::{Pool, Purpose};
use super::read::at;
use super::retry::{read_with, write_with};
use super::runner::Runner;
use crate::store::outbox::{ClaimedEvent, EndedJob, NotedChange, OutboxEvent, ReportedFeed, Settlement};
use crate::store::{SeriesKey, StoreError, unreadable};

/// Events of one statement are due in their order, although all of them have its time.
const QUEUE: &str = "
    insert into webhook_events (id, kind, body, due_at)
    select id, kind, body, now() - (count(*) over () - number) * interval '1 microsecond'
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as events (id, kind, body, number)
    on conflict (id) do nothing";

/// The series of an event, if it is about one.
const SERIES: &str = "(body::json #>> '{data,timeframe}') || ':' || (body::json #>> '{data,symbol}')";

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update webhook_events set due_at = now() + make_interval(secs => $1), attempts = attempts + 1
         where id = (
             select id from webhook_events where due_at <= now() and coalesce({SERIES}, '') <> all($2::text[])
             order by due_at, id limit 1 for update skip locked)
         returning id, kind, body, {SERIES}, attempts, extract(epoch from now() - created_at)::bigint"
    )
});

const SETTLE: &str = "
    update webhook_events
    set due_at = now() + make_interval(secs => $3), settled_at = case when $3 is null then now() end
    where id = $1 and attempts = $2";

const PRUNE: &str = "
    delete from webhook_events where id in (
        select id from webhook_events where settled_at < now() - make_interval(secs => $1) limit 500)";

const MARK: &str = "select known_to from webhook_marks where kind = $1";

const SET_MARK: &str = "
    insert into webhook_marks as marks (kind, known_to) values ($1, $2)
    on conflict (kind) do update set known_to = greatest(marks.known_to, excluded.known_to)";

const REPORTED_FEEDS: &str = "select symbol::text, timeframe::text, is_stale, received, events from webhook_feeds";

const REPORT_FEED: &str = "
    with reported as (
        insert into webhook_feeds as feeds (symbol, timeframe, is_stale, received, events) values ($1, $2, $3, $4, $5)
        on conflict (symbol, timeframe) do update
        set is_stale = excluded.is_stale, received = excluded.received, events = excluded.events
        where feeds.events = excluded.events - 1
        returning 1
    )
    insert into webhook_events (id, kind, body) select $6, $7, $8 from reported on conflict (id) do nothing";

const WAITING: &str = "select count(*) from webhook_events where due_at is not null";

const NOW: &str = "select floor(extract(epoch from now()) * 1000)::bigint";

/// Times are cut to milliseconds, in which places are counted.
const NOTED: &str = "
    select id, at, actor, kind, symbol::text, timeframe::text, first, last, candles, reason
    from market_data_changes
    where at >= $1 and (date_trunc('milliseconds', at), id) > ($1, $2) and kind in ('correction', 'deletion')
    order by date_trunc('milliseconds', at), id limit $3";

const ENDED: &str = "
    select id::text, owner::text, name, state::text, finished_at
    from research_jobs
    where finished_at >= $1 and (date_trunc('milliseconds', finished_at), id) > ($1, $2) and state in ('done', 'failed')
    order by date_trunc('milliseconds', finished_at), id limit $3";

impl Postgres {
    pub(in crate::store) async fn queue_events(&self, events: Vec<OutboxEvent>) -> Result<u64, StoreError> {
        let queue = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                let column = |value: fn(&OutboxEvent) -> &str| events.iter().map(value).collect::<Vec<_>>();
                let query = sqlx::query(QUEUE).bind(column(|event| &event.id)).bind(column(|event| event.kind));
                query.bind(column(|event| &event.body)).execute(connection)
            })
        };
        Ok(self.0.runner.write(queue).await?.rows_affected())
    }

    pub(in crate::store) async fn claim_event(
        &self,
        lease: Duration,
        busy: Vec<String>,
    ) -> Result<Option<ClaimedEvent>, StoreError> {
        let claim = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                sqlx::query(&CLAIM).bind(lease.as_secs_f64()).bind(&busy).fetch_optional(connection)
            })
        };
        self.0.runner.write(claim).await?.map(|row| claimed(&row).map_err(unreadable)).transpose()
    }

    pub(in crate::store) async fn settle_event(
        &self,
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
        self.0.runner.write(settle).await.map(drop)
    }

    pub(in crate::store) async fn prune_events(&self, retention: Duration) -> Result<u64, StoreError> {
        let prune = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                sqlx::query(PRUNE).bind(retention.as_secs_f64()).execute(connection)
            })
        };
        Ok(self.0.runner.write(prune).await?.rows_affected())
    }

    pub(in crate::store) async fn mark(&self, kind: &'static str) -> Result<Option<i64>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| {
                sqlx::query_scalar::<_, DateTime<Utc>>(MARK).bind(kind).fetch_optional(connection)
            })
        };
        Ok(self.0.runner.on_primary(select).await?.map(|known_to| known_to.timestamp_millis()))
    }

    pub(in crate::store) async fn set_mark(&self, kind: &'static str, known_to: i64) -> Result<(), StoreError> {
        let upsert = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                sqlx::query(SET_MARK).bind(kind).bind(at(known_to)).execute(connection)
            })
        };
        self.0.runner.write(upsert).await.map(drop)
    }

    pub(in crate::store) async fn reported_feeds(&self) -> Result<Vec<ReportedFeed>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| sqlx::query(REPORTED_FEEDS).fetch_all(connection))
        };
        let rows = self.0.runner.on_primary(select).await?;
        // A series that no setting can name any more is nobody's.
        Ok(rows
            .iter()
            .map(reported_feed)
            .collect::<sqlx::Result<Vec<_>>>()
            .map_err(unreadable)?
            .into_iter()
            .flatten()
            .collect())
    }

    pub(in crate::store) async fn report_feed(
        &self,
        reported: ReportedFeed,
        event: OutboxEvent,
    ) -> Result<bool, StoreError> {
        let report = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| {
                let query =
                    sqlx::query(REPORT_FEED).bind(reported.key.symbol.as_str()).bind(reported.key.timeframe.name());
                let query = query.bind(reported.is_stale).bind(reported.received.map(at)).bind(reported.events);
                query.bind(&event.id).bind(event.kind).bind(&event.body).execute(connection)
            })
        };
        Ok(self.0.runner.write(report).await?.rows_affected() == 1)
    }

    pub(in crate::store) async fn waiting_events(&self) -> Result<u64, StoreError> {
        let number = scalar(&self.0.runner, WAITING).await?;
        Ok(u64::try_from(number).unwrap_or_default())
    }

    pub(in crate::store) async fn now(&self) -> Result<i64, StoreError> {
        scalar(&self.0.runner, NOW).await
    }

    pub(in crate::store) async fn noted_changes(
        &self,
        after: (i64, i64),
        most: usize,
    ) -> Result<Vec<NotedChange>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| {
                sqlx::query(NOTED).bind(at(after.0)).bind(after.1).bind(count(most)).fetch_all(connection)
            })
        };
        self.0.runner.on_primary(select).await?.iter().map(change).collect::<sqlx::Result<_>>().map_err(unreadable)
    }

    pub(in crate::store) async fn ended_jobs(
        &self,
        after: (i64, String),
        most: usize,
    ) -> Result<Vec<EndedJob>, StoreError> {
        let select = move |pool: Pool| async move {
            read_with!(pool, |connection| {
                sqlx::query(ENDED).bind(at(after.0)).bind(&after.1).bind(count(most)).fetch_all(connection)
            })
        };
        self.0.runner.on_primary(select).await?.iter().map(ended_job).collect()
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn claimed(row: &PgRow) -> sqlx::Result<ClaimedEvent> {
    Ok(ClaimedEvent {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        body: row.try_get(2)?,
        series: row.try_get(3)?,
        attempts: row.try_get(4)?,
        age_seconds: row.try_get(5)?,
    })
}

fn reported_feed(row: &PgRow) -> sqlx::Result<Option<ReportedFeed>> {
    let Some(key) = SeriesKey::of_text(row.try_get(0)?, row.try_get(1)?) else { return Ok(None) };
    let received = row.try_get::<Option<DateTime<Utc>>, _>(3)?.map(|received| received.timestamp_millis());
    Ok(Some(ReportedFeed { key, is_stale: row.try_get(2)?, received, events: row.try_get(4)? }))
}

async fn scalar(runner: &Runner, statement: &'static str) -> Result<i64, StoreError> {
    let select = move |pool: Pool| async move {
        read_with!(pool, |connection| sqlx::query_scalar::<_, i64>(statement).fetch_one(connection))
    };
    runner.on_primary(select).await
}

fn change(row: &PgRow) -> sqlx::Result<NotedChange> {
    Ok(NotedChange {
        id: row.try_get(0)?,
        at: millis(row, 1)?,
        actor: row.try_get(2)?,
        kind: row.try_get(3)?,
        symbol: row.try_get(4)?,
        timeframe: row.try_get(5)?,
        first: millis(row, 6)?,
        last: millis(row, 7)?,
        candles: row.try_get(8)?,
        reason: row.try_get(9)?,
    })
}

fn ended_job(row: &PgRow) -> Result<EndedJob, StoreError> {
    let read = || -> sqlx::Result<_> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get::<String, _>(3)?, millis(row, 4)?))
    };
    let (id, owner, name, state, finished) = read().map_err(unreadable)?;
    Ok(EndedJob { id, owner, name, state: state.parse().map_err(unreadable)?, finished })
}

/// A time, cut to milliseconds.
fn millis(row: &PgRow, column: usize) -> sqlx::Result<i64> {
    row.try_get::<DateTime<Utc>, _>(column).map(|time| time.timestamp_millis())
}
