-- The history of signals, and what the webhook remembers. A migration that has shipped is never edited: its checksum is stored.

-- Tables that are there were restored without the migrations' own table, and their rows stay.
create table if not exists research_signals (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    -- Opening time of the closed candle at which the signal became this one.
    candle timestamptz not null,
    -- The close of the candle with the digits of its series.
    close text not null,
    -- buy, sell or hold.
    signal text not null,
    score double precision not null,
    -- JSON.
    votes text not null,
    -- The signal before; null in the first row of a series.
    previous text,
    -- The candle of that signal, or -infinity. Two processes may find the next signal at once, and only one row can follow another.
    follows timestamptz not null,
    at timestamptz not null default now(),
    primary key (symbol, timeframe, candle),
    unique (symbol, timeframe, follows)
);
create index if not exists research_signals_candle on research_signals (candle, symbol, timeframe);
create index if not exists research_signals_at on research_signals (at);

-- The times up to which the webhook has events, by the kind of what they are about: changes, signals or jobs.
create table if not exists webhook_marks (
    kind text collate "C" primary key,
    known_to timestamptz not null
);
-- Events about changes are stored since the migration before this one.
insert into webhook_marks (kind, known_to)
select 'changes', max(created_at) from webhook_events where kind in ('candles.corrected', 'candles.deleted')
having max(created_at) is not null
on conflict (kind) do nothing;

-- The last event about each watched feed.
create table if not exists webhook_feeds (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    -- False once the feed is fresh again.
    is_stale boolean not null,
    -- The time at which the newest candle was stored, if there was one.
    received timestamptz,
    -- The number of events about the feed.
    events bigint not null,
    primary key (symbol, timeframe)
);

create index if not exists research_jobs_finished on research_jobs (finished_at) where finished_at is not null;

do $$
declare
    grantee record;
    new_table text;
begin
    foreach new_table in array array['research_signals', 'webhook_marks', 'webhook_feeds'] loop
        execute format('alter table %I enable row level security', new_table);
        -- Supabase's default privileges are taken back first. Clients read signals over HTTP.
        if exists (select from pg_roles where rolname = 'anon') then
            execute format('revoke all on %I from anon', new_table);
        end if;
        if exists (select from pg_roles where rolname = 'authenticated') then
            execute format('revoke all on %I from authenticated', new_table);
        end if;
        if exists (select from pg_roles where rolname = 'service_role') then
            execute format('revoke all on %I from service_role', new_table);
            execute format('grant select, insert, update, delete on %I to service_role', new_table);
            execute format('drop policy if exists candlewick_service on %I', new_table);
            execute format(
                'create policy candlewick_service on %I to service_role using (true) with check (true)', new_table);
        end if;
        -- Another login that serves, as docs/postgres-role.sql makes one, may do the same.
        for grantee in
            select distinct r.oid, r.rolname
            from pg_class c,
                aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a join pg_roles r on r.oid = a.grantee
            where c.oid = 'market_data_live_candles'::regclass and a.privilege_type = 'INSERT'
              and r.rolname not in (current_user, 'anon', 'authenticated', 'service_role')
        loop
            execute format('grant select, insert, update, delete on %I to %I', new_table, grantee.rolname);
            execute format('drop policy if exists %I on %I', 'candlewick_login_' || grantee.oid, new_table);
            execute format(
                'create policy %I on %I to %I using (true) with check (true)',
                'candlewick_login_' || grantee.oid, new_table, grantee.rolname);
        end loop;
    end loop;
end
$$;
