-- A login for candlewick alone, for Postgres and Supabase. Run it once as the owner of the tables, after
-- `candlewick migrate` has made them; then give the login a password of its own:
--     alter role candlewick_service password '…';
-- and serve with MIGRATE_ON_START=false, because this login may not change tables.

create role candlewick_service login nosuperuser nocreatedb nocreaterole noinherit;
grant usage on schema public to candlewick_service;

grant select, insert on market_data_candles to candlewick_service;
grant select, insert, update, delete on market_data_live_candles to candlewick_service;
-- The sequence of market_data_candles.id, under whatever name an adopted table gave it.
do $$
begin
    execute format('grant usage on sequence %s to candlewick_service', pg_get_serial_sequence('market_data_candles', 'id'));
end
$$;

-- Without a policy, row security would hide every row from a login that does not own the tables.
create policy candlewick_service_login on market_data_candles to candlewick_service using (true) with check (true);
create policy candlewick_service_login on market_data_live_candles to candlewick_service using (true) with check (true);
