-- Opening times of the newest closed candles by timeframe, for their age in the metrics. The service keeps it up to date now and
-- then, so that no look at the candles is needed. A migration that has shipped is never edited: its checksum is stored.

-- One that is there is left of candles that were dropped, since this runs once.
drop table if exists market_data_newest_candles;

create table market_data_newest_candles (
    timeframe text collate "C" primary key,
    "timestamp" timestamptz not null
);

-- Compiling would take longer than the statement.
set local jit = off;

-- Hops over the key from series to series, which costs by the number of series. What no candle of ours can be is left out.
insert into market_data_newest_candles (timeframe, "timestamp")
with recursive series(symbol, timeframe) as (
    (select symbol, timeframe from market_data_candles order by symbol, timeframe limit 1)
    union all
    select next.symbol, next.timeframe
    from series, lateral (
        select c.symbol, c.timeframe from market_data_candles c
        where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
        order by c.symbol, c.timeframe limit 1) next
)
select s.timeframe, max(newest."timestamp")
from series s,
    lateral (select c."timestamp" from market_data_candles c
             where c.symbol = s.symbol and c.timeframe = s.timeframe
               and c."timestamp" >= timestamptz '0001-01-01 00:00Z' and c."timestamp" < timestamptz '10000-01-01 00:00Z'
             order by c."timestamp" desc limit 1) newest
where s.timeframe in ('M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M10', 'M12', 'M15', 'M20', 'M30',
                      'H1', 'H2', 'H3', 'H4', 'H6', 'H8', 'H12', 'D1', 'W1', 'MN1')
group by s.timeframe;

do $$
declare
    grantee record;
begin
    alter table market_data_newest_candles enable row level security;
    -- As with the other tables: what default privileges grant Supabase's roles is taken back first.
    if exists (select from pg_roles where rolname = 'anon') then
        revoke all on market_data_newest_candles from anon;
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        revoke all on market_data_newest_candles from authenticated;
        grant select on market_data_newest_candles to authenticated;
        create policy candlewick_read on market_data_newest_candles for select to authenticated using (true);
    end if;
    if exists (select from pg_roles where rolname = 'service_role') then
        revoke all on market_data_newest_candles from service_role;
        grant select, insert, update on market_data_newest_candles to service_role;
        create policy candlewick_service on market_data_newest_candles to service_role using (true) with check (true);
    end if;
    -- Another login that serves, as docs/postgres-role.sql makes one, may do here what it may do with forming candles.
    for grantee in
        select r.oid, r.rolname, string_agg(distinct lower(a.privilege_type), ', ') as privileges
        from pg_class c,
            aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a join pg_roles r on r.oid = a.grantee
        where c.oid = 'market_data_live_candles'::regclass and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE')
          and r.rolname not in (current_user, 'anon', 'authenticated', 'service_role')
        group by r.oid, r.rolname
    loop
        execute format('grant %s on market_data_newest_candles to %I', grantee.privileges, grantee.rolname);
        execute format(
            'create policy %I on market_data_newest_candles to %I using (true) with check (true)',
            'candlewick_login_' || grantee.oid, grantee.rolname);
    end loop;
end
$$;
