//! Jobs of research. Each operation is one statement, and those that write what a job found renew its lease in the same one: the
//! lock on the job's row then keeps others from taking the job over in between.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::Postgres;
use super::pool::{Pool, Purpose};
use super::retry::{read_with, write_with};
use crate::store::jobs::{
    Expired, GIVEN_UP, IDEMPOTENCY, Job, JobAdded, JobCounts, JobEnd, JobItem, JobProgress, JobState, JobsSelection,
    LEASE, Lease, MAX_ATTEMPTS, NewFile, NewJob, SWEEP_ROWS, StoredFile, seconds,
};
use crate::store::{StoreError, unreadable};

const COLUMNS: &str = "
    id, owner, name, state, priority, created_at, started_at, finished_at, expires_at, cancel_requested, attempts, done, total,
    summary, error";

/// The place of a queued job `j` in the queue.
const POSITION: &str = "
    case when j.state = 'queued' then 1 + (
        select count(*) from research_jobs a
        where a.state = 'queued'
          and (a.priority > j.priority or a.priority = j.priority and (a.created_at, a.id) < (j.created_at, j.id)))
    end as position";

const FORGET_KEY: &str = "
    update research_jobs set idempotency = null
    where owner = $1 and idempotency = $2 and created_at < now() - make_interval(secs => $3)";

const ADD: &str = "
    insert into research_jobs (id, owner, name, idempotency, state, priority, request, request_hash, total)
    select $1, $2, $3, $4, 'queued', $5, $6, $7, $8
    where (select count(*) from research_jobs where owner = $2 and state = 'queued') < $9
    on conflict (owner, idempotency) do nothing";

const BY_KEY: &str = "select id, request_hash = $3 from research_jobs where owner = $1 and idempotency = $2";

static JOB: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS}, {POSITION}, request from research_jobs j where id = $1 and ($2::text is null or owner = $2)"
    )
});

static JOBS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS}, {POSITION}, null::bytea as request from research_jobs j
         where ($1::text is null or owner = $1) and ($2::text is null or state = $2)
           and ($3::text is null or (created_at, id) < (select b.created_at, b.id from research_jobs b where b.id = $3))
         order by created_at desc, id desc limit $4"
    )
});

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs
         set state = 'running', started_at = coalesce(started_at, now()), attempts = attempts + 1, lease_token = $1,
             lease_until = now() + make_interval(secs => $2)
         where id = (
             select id from research_jobs where state = 'queued' and id <> all($3)
             order by priority desc, created_at, id limit 1
             for update skip locked)
         returning {COLUMNS}, null::bigint as position, request"
    )
});

const REQUEUE: &str = "
    update research_jobs
    set state = case when cancel_requested then 'cancelled' when attempts >= $2 then 'failed' else 'queued' end,
        finished_at = case when cancel_requested or attempts >= $2 then now() end,
        expires_at = case when cancel_requested or attempts >= $2 then now() + make_interval(secs => $3) end,
        error = case when not cancel_requested and attempts >= $2 then $4 end,
        lease_token = null, lease_until = null
    where state = 'running' and lease_until < now() and lease_token <> all($1)";

/// A lease that has expired counts again if nobody has taken its job over.
const RENEW: &str = "
    update research_jobs set lease_until = now() + make_interval(secs => $3), done = $4, total = $5, summary = $6
    where id = $1 and lease_token = $2 and state = 'running'
    returning cancel_requested";

const RELEASE: &str = "
    update research_jobs set state = 'queued', attempts = attempts - 1, lease_token = null, lease_until = null
    where id = $1 and lease_token = $2 and state = 'running'";

const KEEP_ITEM: &str = "
    with held as (
        update research_jobs set lease_until = now() + make_interval(secs => $3)
        where id = $1 and lease_token = $2 and state = 'running' and lease_until > now()
        returning id
    )
    insert into research_items (job_id, item, summary, evaluations) select id, $4, $5, $6 from held
    on conflict (job_id, item) do update set summary = excluded.summary, evaluations = excluded.evaluations";

const END: &str = "
    update research_jobs
    set state = $3, error = $4, done = $5, total = $6, summary = $7, finished_at = now(),
        expires_at = now() + make_interval(secs => $8), lease_token = null, lease_until = null
    where id = $1 and lease_token = $2 and state = 'running' and lease_until > now()";

const CANCEL: &str = "
    update research_jobs
    set cancel_requested = true,
        state = case when state = 'queued' then 'cancelled' else state end,
        finished_at = case when state = 'queued' then now() end,
        expires_at = case when state = 'queued' then now() + make_interval(secs => $3) end
    where id = $1 and owner = $2 and state in ('queued', 'running')
    returning state";

const STATE: &str = "select state from research_jobs where id = $1 and owner = $2";

const ITEMS: &str = "select item, summary, evaluations is not null from research_items where job_id = $1 order by item";

const EVALUATIONS: &str = "select evaluations from research_items where job_id = $1 and item = $2";

const FORGET_FILE: &str = "delete from research_files where id = $1 and expires_at <= now()";

const ADD_FILE: &str = "
    insert into research_files (id, job_id, owner, name, mime, sha256, body, expires_at)
    select $1, $2, $3, $4, $5, $6, $7,
           least(now() + make_interval(secs => $8), (select expires_at from research_jobs where id = $2))
    where coalesce((select expires_at from research_jobs where id = $2), 'infinity') > now()
    on conflict (id) do nothing";

const FILE: &str = "
    select name, mime, sha256, body from research_files
    where id = $1 and ($2::text is null or owner = $2) and expires_at > now()";

const COUNTS: &str = "
    select (select count(*) from research_jobs where state = 'queued'),
           (select count(*) from research_jobs where state = 'running'),
           count(*), coalesce(sum(octet_length(body)), 0)::bigint from research_files";

const DELETE_ITEMS: &str = "
    delete from research_items where (job_id, item) in (
        select i.job_id, i.item from research_items i join research_jobs j on j.id = i.job_id
        where j.expires_at < now() limit $1)";

const DELETE_FILES: &str = "
    delete from research_files where id in (
        select id from research_files
        where expires_at < now() or job_id in (select id from research_jobs where expires_at < now()) limit $1)";

const DELETE_JOBS: &str = "
    delete from research_jobs where id in (
        select id from research_jobs j
        where expires_at < now() and not exists (select from research_items where job_id = j.id)
          and not exists (select from research_files where job_id = j.id) limit $1)";

/// Runs one statement that writes.
macro_rules! writing {
    ($runner:expr, |$connection:ident| $statement:expr) => {{
        let work =
            move |pool: Pool| async move { write_with!(pool, Purpose::Write { by: None }, |$connection| $statement) };
        $runner.on_primary(work).await
    }};
}

/// Runs one statement that reads.
macro_rules! reading {
    ($runner:expr, |$connection:ident| $statement:expr) => {{
        let work = move |pool: Pool| async move { read_with!(pool, |$connection| $statement) };
        $runner.on_primary(work).await
    }};
}

impl Postgres {
    pub(in crate::store) async fn add_job(&self, job: NewJob) -> Result<JobAdded, StoreError> {
        if let Some(key) = job.idempotency.clone() {
            let owner = job.owner.clone();
            writing!(self.0.runner, |connection| {
                let query = sqlx::query(FORGET_KEY).bind(&owner).bind(&key);
                query.bind(interval(IDEMPOTENCY)).execute(connection)
            })?;
        }
        let (owner, key, hash) = (job.owner.clone(), job.idempotency.clone(), job.request_hash.clone());
        let added = writing!(self.0.runner, |connection| insert(connection, &job))?;
        if added {
            return Ok(JobAdded::Queued);
        }
        let Some(key) = key else { return Ok(JobAdded::Full) };
        let known = reading!(self.0.runner, |connection| {
            let query = sqlx::query_as::<_, (String, bool)>(BY_KEY).bind(&owner).bind(&key);
            query.bind(&hash).fetch_optional(connection)
        })?;
        Ok(known.map_or(JobAdded::Full, |(id, is_same)| JobAdded::Known { id, is_same }))
    }

    pub(in crate::store) async fn job(&self, id: String, owner: Option<String>) -> Result<Option<Job>, StoreError> {
        let row =
            reading!(self.0.runner, |connection| sqlx::query(&JOB).bind(&id).bind(&owner).fetch_optional(connection))?;
        row.as_ref().map(decoded).transpose()
    }

    pub(in crate::store) async fn jobs(&self, selection: JobsSelection) -> Result<Vec<Job>, StoreError> {
        let rows = reading!(self.0.runner, |connection| {
            let query = sqlx::query(&JOBS).bind(&selection.owner).bind(selection.state.map(JobState::name));
            let limit = i64::try_from(selection.limit).unwrap_or(i64::MAX);
            query.bind(&selection.before).bind(limit).fetch_all(connection)
        })?;
        rows.iter().map(decoded).collect()
    }

    pub(in crate::store) async fn job_items(&self, job: String) -> Result<Vec<JobItem>, StoreError> {
        let rows = reading!(self.0.runner, |connection| {
            sqlx::query_as::<_, (i32, Vec<u8>, bool)>(ITEMS).bind(&job).fetch_all(connection)
        })?;
        Ok(rows.into_iter().map(|(item, summary, is_over)| JobItem { item, summary, is_over }).collect())
    }

    pub(in crate::store) async fn evaluations(&self, job: String, item: i32) -> Result<Option<Vec<u8>>, StoreError> {
        let found = reading!(self.0.runner, |connection| {
            sqlx::query_scalar::<_, Option<Vec<u8>>>(EVALUATIONS).bind(&job).bind(item).fetch_optional(connection)
        })?;
        Ok(found.flatten())
    }

    pub(in crate::store) async fn claim_job(
        &self,
        token: String,
        except: Vec<String>,
    ) -> Result<Option<Job>, StoreError> {
        let row = writing!(self.0.runner, |connection| {
            sqlx::query(&CLAIM).bind(&token).bind(interval(LEASE)).bind(&except).fetch_optional(connection)
        })?;
        row.as_ref().map(decoded).transpose()
    }

    pub(in crate::store) async fn requeue_expired(
        &self,
        own_tokens: Vec<String>,
        retention: Duration,
    ) -> Result<u64, StoreError> {
        let done = writing!(self.0.runner, |connection| {
            let query = sqlx::query(REQUEUE).bind(&own_tokens).bind(i32::try_from(MAX_ATTEMPTS).unwrap_or(i32::MAX));
            query.bind(interval(retention)).bind(GIVEN_UP).execute(connection)
        })?;
        Ok(done.rows_affected())
    }

    pub(in crate::store) async fn renew_lease(
        &self,
        lease: Lease,
        progress: JobProgress,
    ) -> Result<Option<bool>, StoreError> {
        writing!(self.0.runner, |connection| {
            let query = sqlx::query_scalar::<_, bool>(RENEW).bind(&lease.job).bind(&lease.token).bind(interval(LEASE));
            query.bind(progress.done).bind(progress.total).bind(&progress.summary).fetch_optional(connection)
        })
    }

    pub(in crate::store) async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let done = writing!(self.0.runner, |connection| {
            let query = sqlx::query(RELEASE).bind(&lease.job);
            query.bind(&lease.token).execute(connection)
        });
        done.map(drop)
    }

    pub(in crate::store) async fn keep_item(
        &self,
        lease: Lease,
        item: i32,
        summary: Vec<u8>,
        evaluations: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let done = writing!(self.0.runner, |connection| {
            let query = sqlx::query(KEEP_ITEM).bind(&lease.job).bind(&lease.token).bind(interval(LEASE));
            query.bind(item).bind(&summary).bind(&evaluations).execute(connection)
        })?;
        Ok(done.rows_affected() == 1)
    }

    pub(in crate::store) async fn end_job(&self, lease: Lease, end: JobEnd) -> Result<bool, StoreError> {
        let done = writing!(self.0.runner, |connection| {
            let query = sqlx::query(END).bind(&lease.job).bind(&lease.token).bind(end.state.name()).bind(&end.error);
            let query = query.bind(end.progress.done).bind(end.progress.total).bind(&end.progress.summary);
            query.bind(interval(end.retention)).execute(connection)
        })?;
        Ok(done.rows_affected() == 1)
    }

    pub(in crate::store) async fn cancel_job(
        &self,
        id: String,
        owner: String,
        retention: Duration,
    ) -> Result<Option<JobState>, StoreError> {
        let (of_id, of_owner) = (id.clone(), owner.clone());
        let cancelled = writing!(self.0.runner, |connection| {
            let query = sqlx::query_scalar::<_, String>(CANCEL).bind(&of_id).bind(&of_owner);
            query.bind(interval(retention)).fetch_optional(connection)
        })?;
        let state = match cancelled {
            Some(state) => Some(state),
            None => reading!(self.0.runner, |connection| {
                sqlx::query_scalar::<_, String>(STATE).bind(&id).bind(&owner).fetch_optional(connection)
            })?,
        };
        state.map(|state| state.parse().map_err(unreadable)).transpose()
    }

    pub(in crate::store) async fn add_file(&self, file: NewFile) -> Result<bool, StoreError> {
        let id = file.id.clone();
        writing!(self.0.runner, |connection| sqlx::query(FORGET_FILE).bind(&id).execute(connection))?;
        let done = writing!(self.0.runner, |connection| {
            let query = sqlx::query(ADD_FILE).bind(&file.id).bind(&file.job).bind(&file.owner).bind(&file.name);
            let query = query.bind(&file.mime).bind(&file.sha256).bind(&file.body);
            query.bind(interval(file.retention)).execute(connection)
        })?;
        Ok(done.rows_affected() == 1)
    }

    pub(in crate::store) async fn file(
        &self,
        id: String,
        owner: Option<String>,
    ) -> Result<Option<StoredFile>, StoreError> {
        let found = reading!(self.0.runner, |connection| {
            let query = sqlx::query_as::<_, (String, String, Vec<u8>, Vec<u8>)>(FILE);
            query.bind(&id).bind(&owner).fetch_optional(connection)
        })?;
        Ok(found.map(|(name, mime, sha256, body)| StoredFile { name, mime, sha256, body }))
    }

    pub(in crate::store) async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let (queued, running, files, bytes) =
            reading!(self.0.runner, |connection| sqlx::query_as::<_, (i64, i64, i64, i64)>(COUNTS)
                .fetch_one(connection))?;
        Ok(JobCounts { queued, running, files, bytes })
    }

    pub(in crate::store) async fn delete_expired(&self, expired: Expired) -> Result<u64, StoreError> {
        let statement = match expired {
            Expired::Items => DELETE_ITEMS,
            Expired::Files => DELETE_FILES,
            Expired::Jobs => DELETE_JOBS,
        };
        let done = writing!(self.0.runner, |connection| sqlx::query(statement).bind(SWEEP_ROWS).execute(connection))?;
        Ok(done.rows_affected())
    }
}

async fn insert(connection: &mut PgConnection, job: &NewJob) -> sqlx::Result<bool> {
    let query = sqlx::query(ADD).bind(&job.id).bind(&job.owner).bind(&job.name).bind(&job.idempotency);
    let query = query.bind(job.priority).bind(&job.request).bind(&job.request_hash).bind(job.total);
    let max_queued = i64::try_from(job.max_queued).unwrap_or(i64::MAX);
    Ok(query.bind(max_queued).execute(connection).await?.rows_affected() == 1)
}

/// Seconds, as `make_interval` takes them.
#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 seconds")]
fn interval(duration: Duration) -> f64 {
    seconds(duration) as f64
}

fn decoded(row: &PgRow) -> Result<Job, StoreError> {
    let time = |column: &str| {
        row.try_get::<Option<DateTime<Utc>>, _>(column).map(|time| time.map(|time| time.timestamp_millis()))
    };
    let read = || -> sqlx::Result<(Job, String)> {
        let job = Job {
            id: row.try_get("id")?,
            owner: row.try_get("owner")?,
            name: row.try_get("name")?,
            state: JobState::Queued,
            position: row.try_get("position")?,
            priority: row.try_get("priority")?,
            request: row.try_get("request")?,
            created: time("created_at")?.unwrap_or_default(),
            started: time("started_at")?,
            finished: time("finished_at")?,
            expires: time("expires_at")?,
            cancel_requested: row.try_get("cancel_requested")?,
            attempts: row.try_get::<i32, _>("attempts")?.into(),
            done: row.try_get("done")?,
            total: row.try_get("total")?,
            summary: row.try_get("summary")?,
            error: row.try_get("error")?,
        };
        Ok((job, row.try_get("state")?))
    };
    let (job, state) = read().map_err(unreadable)?;
    Ok(Job { state: state.parse().map_err(unreadable)?, ..job })
}
