-- Events for WEBHOOK_URL. A migration that has shipped is never edited: its checksum is stored.

-- A table that is there was restored without the migrations' own table, and its rows stay.
create table if not exists webhook_events (
    -- Made from what happened, so that an event which several processes notice is stored once.
    id text collate "C" primary key,
    kind text collate "C" not null,
    -- JSON, as it is sent.
    body text not null,
    created_at timestamptz not null default now(),
    -- The time of the next attempt. An attempt moves it ahead, so that another process tries again if this one dies. Null once
    -- the event was delivered or given up.
    due_at timestamptz default now(),
    attempts integer not null default 0,
    settled_at timestamptz
);
create index if not exists webhook_events_due on webhook_events (due_at) where due_at is not null;
create index if not exists webhook_events_settled on webhook_events (settled_at) where settled_at is not null;
create index if not exists webhook_events_kind on webhook_events (kind, created_at);

do $$
declare
    grantee record;
begin
    alter table webhook_events enable row level security;
    -- Supabase's default privileges are taken back first. No client reads events.
    if exists (select from pg_roles where rolname = 'anon') then
        revoke all on webhook_events from anon;
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        revoke all on webhook_events from authenticated;
    end if;
    if exists (select from pg_roles where rolname = 'service_role') then
        revoke all on webhook_events from service_role;
        grant select, insert, update, delete on webhook_events to service_role;
        drop policy if exists candlewick_service on webhook_events;
        create policy candlewick_service on webhook_events to service_role using (true) with check (true);
    end if;
    -- Another login that serves, as docs/postgres-role.sql makes one, may do the same.
    for grantee in
        select distinct r.oid, r.rolname
        from pg_class c,
            aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a join pg_roles r on r.oid = a.grantee
        where c.oid = 'market_data_live_candles'::regclass and a.privilege_type = 'INSERT'
          and r.rolname not in (current_user, 'anon', 'authenticated', 'service_role')
    loop
        execute format('grant select, insert, update, delete on webhook_events to %I', grantee.rolname);
        execute format('drop policy if exists %I on webhook_events', 'candlewick_login_' || grantee.oid);
        execute format(
            'create policy %I on webhook_events to %I using (true) with check (true)',
            'candlewick_login_' || grantee.oid, grantee.rolname);
    end loop;
end
$$;
