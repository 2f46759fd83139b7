-- A login for candlewick alone, for Postgres and Supabase. Run it once as the owner of the tables, after
-- `candlewick migrate` has made them; then give the login a password of its own:
--     alter role candlewick_service password '…';
-- and serve with MIGRATE_ON_START=false, because this login may not change tables.

create role candlewick_service login nosuperuser nocreatedb nocreaterole noinherit;
-- The service sets these for each connection. Here they hold too where a pooler in between forgets what a session has set:
-- a 201 is sent after the disk has the candles, and no statement runs or waits for ever.
alter role candlewick_service set synchronous_commit = on;
alter role candlewick_service set statement_timeout = '5s';
alter role candlewick_service set lock_timeout = '2s';
alter role candlewick_service set idle_in_transaction_session_timeout = '10s';
alter role candlewick_service set plan_cache_mode = force_generic_plan;
alter role candlewick_service set jit = off;

grant usage on schema public to candlewick_service;

grant select, insert on market_data_candles to candlewick_service;
grant select, insert, update, delete on market_data_live_candles to candlewick_service;
grant select, insert, update on market_data_newest_candles to candlewick_service;
grant select, insert on market_data_changes to candlewick_service;
grant usage on sequence market_data_changes_id_seq to candlewick_service;
grant select, insert, update, delete on research_jobs, research_items, research_files to candlewick_service;
grant select, insert, update, delete on research_signals to candlewick_service;
grant select, insert, update, delete on webhook_events, webhook_marks, webhook_feeds to candlewick_service;
-- The sequence of market_data_candles.id, if the table has one, under whatever name an adopted table gave it.
do $$
declare
    id_sequence regclass;
begin
    for id_sequence in
        select s.oid from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = 'market_data_candles'::regclass and d.deptype = 'a'
    loop
        execute format('grant usage on sequence %s to candlewick_service', id_sequence);
    end loop;
end
$$;

-- Without a policy, row security would hide every row from a login that does not own the tables.
create policy candlewick_service_login on market_data_candles to candlewick_service using (true) with check (true);
create policy candlewick_service_login on market_data_live_candles to candlewick_service using (true) with check (true);
create policy candlewick_service_login on market_data_newest_candles to candlewick_service using (true) with check (true);
create policy candlewick_service_login on market_data_changes to candlewick_service using (true) with check (true);
create policy candlewick_service_login on research_jobs to candlewick_service using (true) with check (true);
create policy candlewick_service_login on research_items to candlewick_service using (true) with check (true);
create policy candlewick_service_login on research_files to candlewick_service using (true) with check (true);
create policy candlewick_service_login on research_signals to candlewick_service using (true) with check (true);
create policy candlewick_service_login on webhook_events to candlewick_service using (true) with check (true);
create policy candlewick_service_login on webhook_marks to candlewick_service using (true) with check (true);
create policy candlewick_service_login on webhook_feeds to candlewick_service using (true) with check (true);
