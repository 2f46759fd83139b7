-- Jobs of research, what they found, and the files made of it. All of it expires. A migration that has shipped is never edited: its
-- checksum is stored.

create table if not exists research_jobs (
    -- 128 random bits in base32.
    id text collate "C" primary key,
    -- The name of the key that started the job.
    owner text collate "C" not null,
    name text,
    -- The key by which its client repeats the request; none after a day.
    idempotency text collate "C",
    -- queued, running, done, failed or cancelled.
    state text collate "C" not null,
    priority integer not null,
    -- JSON, compressed by zstd, as are summaries and evaluations.
    request bytea not null,
    request_hash bytea not null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,
    cancel_requested boolean not null default false,
    -- Times that a process has claimed the job.
    attempts integer not null default 0,
    -- The claim of the process that works on the job, and the time until which it counts.
    lease_token text collate "C",
    lease_until timestamptz,
    done bigint not null default 0,
    total bigint not null default 0,
    summary bytea,
    error text,
    unique (owner, idempotency)
);
create index if not exists research_jobs_queue on research_jobs (priority desc, created_at, id) where state = 'queued';
create index if not exists research_jobs_expiry on research_jobs (expires_at);

-- An item without evaluations is not over: its summary holds what it began on.
create table if not exists research_items (
    job_id text collate "C" not null,
    item integer not null,
    summary bytea not null,
    evaluations bytea,
    primary key (job_id, item)
);

create table if not exists research_files (
    id text collate "C" primary key,
    job_id text collate "C" not null,
    owner text collate "C" not null,
    name text not null,
    mime text not null,
    sha256 bytea not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    body bytea not null
);
create index if not exists research_files_expiry on research_files (expires_at);
create index if not exists research_files_job on research_files (job_id);
-- They are compressed already.
alter table research_jobs alter column request set storage external, alter column summary set storage external;
alter table research_items alter column evaluations set storage external;

do $$
declare
    grantee record;
    research_table text;
begin
    foreach research_table in array array['research_jobs', 'research_items', 'research_files'] loop
        execute format('alter table %I enable row level security', research_table);
        -- Takes back first what default privileges grant Supabase's roles. Readers of candles see no jobs.
        if exists (select from pg_roles where rolname = 'anon') then
            execute format('revoke all on %I from anon', research_table);
        end if;
        if exists (select from pg_roles where rolname = 'authenticated') then
            execute format('revoke all on %I from authenticated', research_table);
        end if;
        if exists (select from pg_roles where rolname = 'service_role') then
            execute format('revoke all on %I from service_role', research_table);
            execute format('grant select, insert, update, delete on %I to service_role', research_table);
            execute format('drop policy if exists candlewick_service on %I', research_table);
            execute format(
                'create policy candlewick_service on %I to service_role using (true) with check (true)', research_table);
        end if;
        -- Another login that serves, as docs/postgres-role.sql makes one, may work on jobs.
        for grantee in
            select distinct r.oid, r.rolname
            from pg_class c,
                aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a join pg_roles r on r.oid = a.grantee
            where c.oid = 'market_data_live_candles'::regclass and a.privilege_type = 'INSERT'
              and r.rolname not in (current_user, 'anon', 'authenticated', 'service_role')
        loop
            execute format('grant select, insert, update, delete on %I to %I', research_table, grantee.rolname);
            execute format(
                'drop policy if exists %I on %I', 'candlewick_login_' || grantee.oid, research_table);
            execute format(
                'create policy %I on %I to %I using (true) with check (true)',
                'candlewick_login_' || grantee.oid, research_table, grantee.rolname);
        end loop;
    end loop;
end
$$;
