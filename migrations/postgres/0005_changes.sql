-- The record of corrections, deletions and imports. Its rows are only ever added. A migration that has shipped is never edited: its
-- checksum is stored.

-- One that is there was restored without the migrations' own table, and its rows stay.
create table if not exists market_data_changes (
    -- Orders the pages of the record and says no more: ids are drawn before the commit, so a reader may see a higher one first.
    id bigserial primary key,
    at timestamptz not null default now(),
    actor text not null,
    kind text not null,
    -- Byte order, as in the tables of candles.
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    -- Opening times of the first and the last candle.
    first timestamptz not null,
    last timestamptz not null,
    candles bigint not null,
    reason text not null,
    detail jsonb not null
);
create index if not exists market_data_changes_series on market_data_changes (symbol, timeframe, at);
create index if not exists market_data_changes_at on market_data_changes (at);

do $$
declare
    grantee record;
begin
    alter table market_data_changes enable row level security;
    -- As with the other tables: what default privileges grant Supabase's roles is taken back first.
    if exists (select from pg_roles where rolname = 'anon') then
        revoke all on market_data_changes from anon;
        revoke all on sequence market_data_changes_id_seq from anon;
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        revoke all on market_data_changes from authenticated;
        revoke all on sequence market_data_changes_id_seq from authenticated;
        grant select on market_data_changes to authenticated;
        drop policy if exists candlewick_read on market_data_changes;
        create policy candlewick_read on market_data_changes for select to authenticated using (true);
    end if;
    if exists (select from pg_roles where rolname = 'service_role') then
        revoke all on market_data_changes from service_role;
        revoke all on sequence market_data_changes_id_seq from service_role;
        grant select, insert on market_data_changes to service_role;
        grant usage on sequence market_data_changes_id_seq to service_role;
        drop policy if exists candlewick_service on market_data_changes;
        create policy candlewick_service on market_data_changes to service_role using (true) with check (true);
    end if;
    -- Another login that serves, as docs/postgres-role.sql makes one, may add to the record and read it.
    for grantee in
        select r.oid, r.rolname, string_agg(distinct lower(a.privilege_type), ', ') as privileges,
               bool_or(a.privilege_type = 'INSERT') as inserts
        from pg_class c,
            aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a join pg_roles r on r.oid = a.grantee
        where c.oid = 'market_data_live_candles'::regclass and a.privilege_type in ('SELECT', 'INSERT')
          and r.rolname not in (current_user, 'anon', 'authenticated', 'service_role')
        group by r.oid, r.rolname
    loop
        execute format('grant %s on market_data_changes to %I', grantee.privileges, grantee.rolname);
        if grantee.inserts then
            execute format('grant usage on sequence market_data_changes_id_seq to %I', grantee.rolname);
        end if;
        execute format('drop policy if exists %I on market_data_changes', 'candlewick_login_' || grantee.oid);
        execute format(
            'create policy %I on market_data_changes to %I using (true) with check (true)',
            'candlewick_login_' || grantee.oid, grantee.rolname);
    end loop;
end
$$;
