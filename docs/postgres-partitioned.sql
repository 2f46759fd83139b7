-- Makes market_data_candles with one partition a year. Run it with psql as the login that will own the tables. In an empty
-- database, run it before the first `candlewick migrate`, which then takes the table as it is:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f docs/postgres-partitioned.sql
-- Running it again adds the partitions that are missing. If a table already holds candles, make it the first partition before, as
-- docs/operations/partitions-and-extensions.md says; "-v first_year=2027" then begins where that partition ends.

begin;
set local client_min_messages = warning;

create table if not exists market_data_candles (
    id bigserial not null,
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    "timestamp" timestamptz not null,
    open numeric not null,
    high numeric not null,
    low numeric not null,
    close numeric not null,
    volume bigint not null,
    created_at timestamptz not null default now(),
    -- With the values, so that pages are read from the index alone.
    primary key (symbol, timeframe, "timestamp") include (open, high, low, close, volume)
) partition by range ("timestamp");
alter table market_data_candles enable row level security;

-- The partitions have a schema of their own, because Supabase publishes every table of the public schema, and row security and
-- grants are checked only on the table that a statement names.
create schema if not exists candlewick_partitions;

\if :{?first_year} \else \set first_year 2010 \endif
select format(
    'create table if not exists candlewick_partitions.candles_%s partition of market_data_candles
         for values from (%L) to (%L)
         with (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000)',
    year, make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'))
from generate_series(:first_year, 2040) as year
\gexec

-- Takes the candles of all other years, so that a post is never refused for lack of a partition.
create table if not exists candlewick_partitions.candles_other partition of market_data_candles default
    with (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);

-- Supabase's roles get the same rights that `candlewick migrate` gives them on a table that it makes.
do $$
begin
    if exists (select from pg_roles where rolname = 'anon') then
        revoke all on market_data_candles from anon;
        revoke all on sequence market_data_candles_id_seq from anon;
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        revoke all on market_data_candles from authenticated;
        revoke all on sequence market_data_candles_id_seq from authenticated;
        grant select on market_data_candles to authenticated;
        drop policy if exists candlewick_read on market_data_candles;
        create policy candlewick_read on market_data_candles for select to authenticated using (true);
    end if;
    if exists (select from pg_roles where rolname = 'service_role') then
        revoke all on market_data_candles from service_role;
        revoke all on sequence market_data_candles_id_seq from service_role;
        grant select, insert on market_data_candles to service_role;
        grant usage on sequence market_data_candles_id_seq to service_role;
        drop policy if exists candlewick_service on market_data_candles;
        create policy candlewick_service on market_data_candles to service_role using (true) with check (true);
    end if;
end
$$;

commit;
