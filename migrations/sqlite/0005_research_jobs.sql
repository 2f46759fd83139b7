-- Jobs of research, what they found, and the files made of it. All of it expires. A migration that has shipped is never edited: its
-- checksum is stored. Times are epoch milliseconds.

create table if not exists research_jobs (
    -- 128 random bits in base32.
    id text primary key not null,
    -- The name of the key that started the job.
    owner text not null,
    name text,
    -- The key by which its client repeats the request; none after a day.
    idempotency text,
    -- queued, running, done, failed or cancelled.
    state text not null,
    priority integer not null,
    -- JSON, compressed by zstd, as are summaries and evaluations.
    request blob not null,
    request_hash blob not null,
    created_at integer not null default (cast(unixepoch('subsec') * 1000 as integer)),
    started_at integer,
    finished_at integer,
    expires_at integer,
    cancel_requested integer not null default 0,
    -- Times that a process has claimed the job.
    attempts integer not null default 0,
    -- The claim of the process that works on the job, and the time until which it counts.
    lease_token text,
    lease_until integer,
    done integer not null default 0,
    total integer not null default 0,
    summary blob,
    error text,
    unique (owner, idempotency)
) strict;
create index if not exists research_jobs_queue on research_jobs (priority desc, created_at, id) where state = 'queued';
create index if not exists research_jobs_expiry on research_jobs (expires_at);

-- An item without evaluations is not over: its summary holds what it began on.
create table if not exists research_items (
    job_id text not null,
    item integer not null,
    summary blob not null,
    evaluations blob,
    primary key (job_id, item)
) strict;

create table if not exists research_files (
    id text primary key not null,
    job_id text not null,
    owner text not null,
    name text not null,
    mime text not null,
    sha256 blob not null,
    created_at integer not null default (cast(unixepoch('subsec') * 1000 as integer)),
    expires_at integer not null,
    body blob not null
) strict;
create index if not exists research_files_expiry on research_files (expires_at);
create index if not exists research_files_job on research_files (job_id);
