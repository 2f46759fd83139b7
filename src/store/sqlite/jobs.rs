//! Jobs of research. Operations of several statements are transactions.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, named_params, params};

use super::Sqlite;
use crate::store::StoreError;
use crate::store::jobs::{
    Expired, GIVEN_UP, IDEMPOTENCY, Job, JobAdded, JobCounts, JobEnd, JobItem, JobProgress, JobState, JobsSelection,
    LEASE, Lease, MAX_ATTEMPTS, NewFile, NewJob, SWEEP_ROWS, StoredFile,
};

/// The time in epoch milliseconds.
const NOW: &str = "cast(unixepoch('subsec') * 1000 as integer)";

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

static FORGET_KEY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs set idempotency = null
         where owner = ?1 and idempotency = ?2 and created_at < {NOW} - ?3"
    )
});

const ADD: &str = "
    insert into research_jobs (id, owner, name, idempotency, state, priority, request, request_hash, total)
    select ?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7, ?8
    where (select count(*) from research_jobs where owner = ?2 and state = 'queued') < ?9";

const BY_KEY: &str = "select id, request_hash = ?3 from research_jobs where owner = ?1 and idempotency = ?2";

static JOB: LazyLock<String> = LazyLock::new(|| {
    format!("select {COLUMNS}, {POSITION}, request from research_jobs j where id = ?1 and (?2 is null or owner = ?2)")
});

static JOBS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS}, {POSITION}, null as request from research_jobs j
         where (?1 is null or owner = ?1) and (?2 is null or state = ?2)
           and (?3 is null or (created_at, id) < (select b.created_at, b.id from research_jobs b where b.id = ?3))
         order by created_at desc, id desc limit ?4"
    )
});

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs
         set state = 'running', started_at = coalesce(started_at, {NOW}), attempts = attempts + 1, lease_token = ?1,
             lease_until = {NOW} + ?2
         where id = (
             select id from research_jobs
             where state = 'queued' and id not in (select value from json_each(?3))
             order by priority desc, created_at, id limit 1)
         returning {COLUMNS}, null as position, request"
    )
});

static REQUEUE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs
         set state = case when cancel_requested then 'cancelled' when attempts >= :attempts then 'failed' else 'queued' end,
             finished_at = case when cancel_requested or attempts >= :attempts then {NOW} end,
             expires_at = case when cancel_requested or attempts >= :attempts then {NOW} + :retention end,
             error = case when not cancel_requested and attempts >= :attempts then :error end,
             lease_token = null, lease_until = null
         where state = 'running' and lease_until < {NOW}
           and lease_token not in (select value from json_each(:own_tokens))"
    )
});

/// A lease that has expired counts again if nobody has taken its job over.
static RENEW: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs set lease_until = {NOW} + ?3, done = ?4, total = ?5, summary = ?6
         where id = ?1 and lease_token = ?2 and state = 'running'
         returning cancel_requested"
    )
});

const RELEASE: &str = "
    update research_jobs set state = 'queued', attempts = attempts - 1, lease_token = null, lease_until = null
    where id = ?1 and lease_token = ?2 and state = 'running'";

static HOLD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs set lease_until = {NOW} + ?3
         where id = ?1 and lease_token = ?2 and state = 'running' and lease_until > {NOW}"
    )
});

const KEEP_ITEM: &str = "
    insert into research_items (job_id, item, summary, evaluations) values (?1, ?2, ?3, ?4)
    on conflict (job_id, item) do update set summary = excluded.summary, evaluations = excluded.evaluations";

static END: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs
         set state = ?3, error = ?4, done = ?5, total = ?6, summary = ?7, finished_at = {NOW}, expires_at = {NOW} + ?8,
             lease_token = null, lease_until = null
         where id = ?1 and lease_token = ?2 and state = 'running' and lease_until > {NOW}"
    )
});

static CANCEL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "update research_jobs
         set cancel_requested = true,
             state = case when state = 'queued' then 'cancelled' else state end,
             finished_at = case when state = 'queued' then {NOW} end,
             expires_at = case when state = 'queued' then {NOW} + ?3 end
         where id = ?1 and owner = ?2 and state in ('queued', 'running')
         returning state"
    )
});

const STATE: &str = "select state from research_jobs where id = ?1 and owner = ?2";

const ITEMS: &str = "select item, summary, evaluations is not null from research_items where job_id = ?1 order by item";

const EVALUATIONS: &str = "select evaluations from research_items where job_id = ?1 and item = ?2";

static FORGET_FILE: LazyLock<String> =
    LazyLock::new(|| format!("delete from research_files where id = ?1 and expires_at <= {NOW}"));

static ADD_FILE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "insert into research_files (id, job_id, owner, name, mime, sha256, body, expires_at)
         select ?1, ?2, ?3, ?4, ?5, ?6, ?7,
                min({NOW} + ?8, coalesce((select expires_at from research_jobs where id = ?2), {NOW} + ?8))
         where coalesce((select expires_at from research_jobs where id = ?2), {NOW} + ?8) > {NOW}
         on conflict (id) do nothing"
    )
});

static FILE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select name, mime, sha256, body from research_files
         where id = ?1 and (?2 is null or owner = ?2) and expires_at > {NOW}"
    )
});

const COUNTS: &str = "
    select (select count(*) from research_jobs where state = 'queued'),
           (select count(*) from research_jobs where state = 'running'),
           count(*), coalesce(sum(octet_length(body)), 0) from research_files";

static DELETE_ITEMS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "delete from research_items where (job_id, item) in (
             select i.job_id, i.item from research_items i join research_jobs j on j.id = i.job_id
             where j.expires_at < {NOW} limit ?1)"
    )
});

static DELETE_FILES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "delete from research_files where id in (
             select id from research_files
             where expires_at < {NOW} or job_id in (select id from research_jobs where expires_at < {NOW}) limit ?1)"
    )
});

static DELETE_JOBS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "delete from research_jobs where id in (
             select id from research_jobs j
             where expires_at < {NOW} and not exists (select 1 from research_items where job_id = j.id)
               and not exists (select 1 from research_files where job_id = j.id) limit ?1)"
    )
});

impl Sqlite {
    pub(in crate::store) async fn add_job(&self, job: NewJob) -> Result<JobAdded, StoreError> {
        self.write(move |connection| add(connection, &job)).await
    }

    pub(in crate::store) async fn job(&self, id: String, owner: Option<String>) -> Result<Option<Job>, StoreError> {
        self.list(move |connection| job(connection, &id, owner.as_deref())).await
    }

    pub(in crate::store) async fn jobs(&self, selection: JobsSelection) -> Result<Vec<Job>, StoreError> {
        self.list(move |connection| jobs(connection, &selection)).await
    }

    pub(in crate::store) async fn job_items(&self, job: String) -> Result<Vec<JobItem>, StoreError> {
        self.list(move |connection| items(connection, &job)).await
    }

    pub(in crate::store) async fn evaluations(&self, job: String, item: i32) -> Result<Option<Vec<u8>>, StoreError> {
        self.list(move |connection| evaluations(connection, &job, item)).await
    }

    pub(in crate::store) async fn claim_job(
        &self,
        token: String,
        except: Vec<String>,
    ) -> Result<Option<Job>, StoreError> {
        self.write(move |connection| claim(connection, &token, &except)).await
    }

    pub(in crate::store) async fn requeue_expired(
        &self,
        own_tokens: Vec<String>,
        retention: Duration,
    ) -> Result<u64, StoreError> {
        let requeued = self.write(move |connection| requeue(connection, &own_tokens, retention)).await?;
        Ok(requeued as u64)
    }

    pub(in crate::store) async fn renew_lease(
        &self,
        lease: Lease,
        progress: JobProgress,
    ) -> Result<Option<bool>, StoreError> {
        self.write(move |connection| renew(connection, &lease, &progress)).await
    }

    pub(in crate::store) async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        self.write(move |connection| release(connection, &lease)).await
    }

    pub(in crate::store) async fn keep_item(
        &self,
        lease: Lease,
        item: i32,
        summary: Vec<u8>,
        evaluations: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| keep_item(connection, &lease, item, &summary, evaluations.as_deref())).await
    }

    pub(in crate::store) async fn end_job(&self, lease: Lease, end: JobEnd) -> Result<bool, StoreError> {
        self.write(move |connection| finish(connection, &lease, &end)).await
    }

    pub(in crate::store) async fn cancel_job(
        &self,
        id: String,
        owner: String,
        retention: Duration,
    ) -> Result<Option<JobState>, StoreError> {
        self.write(move |connection| cancel(connection, &id, &owner, retention)).await
    }

    pub(in crate::store) async fn add_file(&self, file: NewFile) -> Result<bool, StoreError> {
        self.write(move |connection| add_file(connection, &file)).await
    }

    pub(in crate::store) async fn file(
        &self,
        id: String,
        owner: Option<String>,
    ) -> Result<Option<StoredFile>, StoreError> {
        self.list(move |connection| file(connection, &id, owner.as_deref())).await
    }

    pub(in crate::store) async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        self.list(counts).await
    }

    pub(in crate::store) async fn delete_expired(&self, expired: Expired) -> Result<u64, StoreError> {
        Ok(self.write(move |connection| delete_expired(connection, expired)).await? as u64)
    }
}

fn add(connection: &mut Connection, job: &NewJob) -> rusqlite::Result<JobAdded> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(key) = &job.idempotency {
        transaction.prepare_cached(&FORGET_KEY)?.execute(params![job.owner, key, millis(IDEMPOTENCY)])?;
        let row = |row: &Row<'_>| Ok(JobAdded::Known { id: row.get(0)?, is_same: row.get(1)? });
        let by_key = params![job.owner, key, job.request_hash];
        let known = transaction.prepare_cached(BY_KEY)?.query_row(by_key, row).optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
    }
    let values = params![
        job.id,
        job.owner,
        job.name,
        job.idempotency,
        job.priority,
        job.request,
        job.request_hash,
        job.total,
        i64::try_from(job.max_queued).unwrap_or(i64::MAX)
    ];
    let added = transaction.prepare_cached(ADD)?.execute(values)?;
    transaction.commit()?;
    Ok(if added == 1 { JobAdded::Queued } else { JobAdded::Full })
}

fn job(connection: &Connection, id: &str, owner: Option<&str>) -> rusqlite::Result<Option<Job>> {
    connection.prepare_cached(&JOB)?.query_row((id, owner), decoded).optional()
}

fn jobs(connection: &Connection, selection: &JobsSelection) -> rusqlite::Result<Vec<Job>> {
    let (state, limit) = (selection.state.map(JobState::name), i64::try_from(selection.limit).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(&JOBS)?;
    statement.query_map((&selection.owner, state, &selection.before, limit), decoded)?.collect()
}

fn items(connection: &Connection, job: &str) -> rusqlite::Result<Vec<JobItem>> {
    let mut statement = connection.prepare_cached(ITEMS)?;
    let item = |row: &Row<'_>| Ok(JobItem { item: row.get(0)?, summary: row.get(1)?, is_over: row.get(2)? });
    statement.query_map([job], item)?.collect()
}

fn evaluations(connection: &Connection, job: &str, item: i32) -> rusqlite::Result<Option<Vec<u8>>> {
    let found = connection.prepare_cached(EVALUATIONS)?.query_row((job, item), |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

fn claim(connection: &mut Connection, token: &str, except: &[String]) -> rusqlite::Result<Option<Job>> {
    connection.prepare_cached(&CLAIM)?.query_row((token, millis(LEASE), json_list(except)), decoded).optional()
}

fn requeue(connection: &mut Connection, own_tokens: &[String], retention: Duration) -> rusqlite::Result<usize> {
    let values = named_params! {
        ":attempts": MAX_ATTEMPTS,
        ":retention": millis(retention),
        ":error": GIVEN_UP,
        ":own_tokens": json_list(own_tokens),
    };
    connection.prepare_cached(&REQUEUE)?.execute(values)
}

fn renew(connection: &mut Connection, lease: &Lease, progress: &JobProgress) -> rusqlite::Result<Option<bool>> {
    let JobProgress { done, total, summary } = progress;
    let values = params![lease.job, lease.token, millis(LEASE), done, total, summary];
    connection.prepare_cached(&RENEW)?.query_row(values, |row| row.get(0)).optional()
}

fn release(connection: &mut Connection, lease: &Lease) -> rusqlite::Result<()> {
    connection.prepare_cached(RELEASE)?.execute((&lease.job, &lease.token)).map(drop)
}

fn keep_item(
    connection: &mut Connection,
    lease: &Lease,
    item: i32,
    summary: &[u8],
    evaluations: Option<&[u8]>,
) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let held = transaction.prepare_cached(&HOLD)?.execute((&lease.job, &lease.token, millis(LEASE)))?;
    if held == 0 {
        return Ok(false);
    }
    transaction.prepare_cached(KEEP_ITEM)?.execute((&lease.job, item, summary, evaluations))?;
    transaction.commit()?;
    Ok(true)
}

fn finish(connection: &mut Connection, lease: &Lease, end: &JobEnd) -> rusqlite::Result<bool> {
    let JobProgress { done, total, summary } = &end.progress;
    let values =
        params![lease.job, lease.token, end.state.name(), end.error, done, total, summary, millis(end.retention)];
    Ok(connection.prepare_cached(&END)?.execute(values)? == 1)
}

/// Returns the state after that.
fn cancel(
    connection: &mut Connection,
    id: &str,
    owner: &str,
    retention: Duration,
) -> rusqlite::Result<Option<JobState>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let cancelled = transaction.prepare_cached(&CANCEL)?.query_row((id, owner, millis(retention)), state).optional()?;
    let found = match cancelled {
        Some(found) => Some(found),
        None => transaction.prepare_cached(STATE)?.query_row((id, owner), state).optional()?,
    };
    transaction.commit()?;
    Ok(found)
}

fn add_file(connection: &mut Connection, file: &NewFile) -> rusqlite::Result<bool> {
    let NewFile { id, job, owner, name, mime, sha256, body, retention } = file;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.prepare_cached(&FORGET_FILE)?.execute([id])?;
    let values = params![id, job, owner, name, mime, sha256, body, millis(*retention)];
    let added = transaction.prepare_cached(&ADD_FILE)?.execute(values)?;
    transaction.commit()?;
    Ok(added == 1)
}

fn file(connection: &Connection, id: &str, owner: Option<&str>) -> rusqlite::Result<Option<StoredFile>> {
    let file =
        |row: &Row<'_>| Ok(StoredFile { name: row.get(0)?, mime: row.get(1)?, sha256: row.get(2)?, body: row.get(3)? });
    connection.prepare_cached(&FILE)?.query_row((id, owner), file).optional()
}

fn counts(connection: &Connection) -> rusqlite::Result<JobCounts> {
    let counts = |row: &Row<'_>| {
        Ok(JobCounts { queued: row.get(0)?, running: row.get(1)?, files: row.get(2)?, bytes: row.get(3)? })
    };
    connection.prepare_cached(COUNTS)?.query_row((), counts)
}

fn delete_expired(connection: &mut Connection, expired: Expired) -> rusqlite::Result<usize> {
    let statement = match expired {
        Expired::Items => &DELETE_ITEMS,
        Expired::Files => &DELETE_FILES,
        Expired::Jobs => &DELETE_JOBS,
    };
    connection.prepare_cached(statement)?.execute([SWEEP_ROWS])
}

/// A JSON list of ids or tokens, which are letters and digits.
fn json_list(texts: &[String]) -> String {
    let quoted = texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(",");
    format!("[{quoted}]")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    parsed(&row.get::<_, String>("state")?)
}

pub(super) fn parsed(state: &str) -> rusqlite::Result<JobState> {
    let unknown = |error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error));
    state.parse().map_err(unknown)
}

fn decoded(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get("id")?,
        owner: row.get("owner")?,
        name: row.get("name")?,
        state: state(row)?,
        position: row.get("position")?,
        priority: row.get("priority")?,
        request: row.get("request")?,
        created: row.get("created_at")?,
        started: row.get("started_at")?,
        finished: row.get("finished_at")?,
        expires: row.get("expires_at")?,
        cancel_requested: row.get("cancel_requested")?,
        attempts: row.get("attempts")?,
        done: row.get("done")?,
        total: row.get("total")?,
        summary: row.get("summary")?,
        error: row.get("error")?,
    })
}
