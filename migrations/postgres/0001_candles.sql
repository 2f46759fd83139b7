-- Tables for closed and forming candles. A migration that has shipped is never edited: its checksum is stored.
-- Names of Supabase's roles stand only where the role exists, so that plain Postgres takes the same file. What its default
-- privileges grant them on new tables is taken back first.

do $$
declare
    id_sequence text;
    next_id bigint;
    highest_id bigint;
begin
    if to_regclass('market_data_candles') is null then
        create table market_data_candles (
            -- No index: nothing looks candles up by id, and a second index costs a quarter of the insert rate.
            id bigserial not null,
            -- Byte order, so that the index sorts as the service does, whatever the database's locale.
            symbol text collate "C" not null,
            timeframe text collate "C" not null,
            "timestamp" timestamptz not null,
            open numeric not null,
            high numeric not null,
            low numeric not null,
            close numeric not null,
            volume bigint not null,
            created_at timestamptz not null default now(),
            primary key (symbol, timeframe, "timestamp")
        );
        alter table market_data_candles enable row level security;
        if exists (select from pg_roles where rolname = 'anon') then
            revoke all on market_data_candles from anon;
            revoke all on sequence market_data_candles_id_seq from anon;
        end if;
        if exists (select from pg_roles where rolname = 'authenticated') then
            revoke all on market_data_candles from authenticated;
            revoke all on sequence market_data_candles_id_seq from authenticated;
            grant select on market_data_candles to authenticated;
            create policy candlewick_read on market_data_candles for select to authenticated using (true);
        end if;
        if exists (select from pg_roles where rolname = 'service_role') then
            revoke all on market_data_candles from service_role;
            revoke all on sequence market_data_candles_id_seq from service_role;
            grant select, insert on market_data_candles to service_role;
            grant usage on sequence market_data_candles_id_seq to service_role;
            create policy candlewick_service on market_data_candles to service_role using (true) with check (true);
        end if;
    elsif exists (
        select from pg_attribute
        where attrelid = 'market_data_candles'::regclass and attname = 'id' and not attisdropped
    ) then
        -- An adopted table: only its sequence is touched, where rows with ids of their own have overtaken it.
        id_sequence := pg_get_serial_sequence('market_data_candles', 'id');
        if id_sequence is not null then
            select max(id) into highest_id from market_data_candles;
            execute format('select last_value + is_called::int from %s', id_sequence) into next_id;
            if highest_id >= next_id then
                perform setval(id_sequence, highest_id);
            end if;
        end if;
    end if;
end
$$;

-- Copies the columns with their collations: where the two tables' differ, comparing their keys could use no index.
create table market_data_live_candles as
    select symbol, timeframe, "timestamp", open, high, low, close, volume, now() as updated_at
    from market_data_candles
    with no data;
alter table market_data_live_candles
    alter column open set not null,
    alter column high set not null,
    alter column low set not null,
    alter column close set not null,
    alter column volume set not null,
    alter column updated_at set not null,
    alter column updated_at set default now(),
    add primary key (symbol, timeframe, "timestamp");

do $$
begin
    alter table market_data_live_candles enable row level security;
    -- Supabase publishes the public schema over HTTP, the migrations' own table included.
    if to_regclass('_sqlx_migrations') is not null then
        alter table _sqlx_migrations enable row level security;
    end if;
    if exists (select from pg_roles where rolname = 'anon') then
        revoke all on market_data_live_candles from anon;
        if to_regclass('_sqlx_migrations') is not null then
            revoke all on _sqlx_migrations from anon;
        end if;
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        revoke all on market_data_live_candles from authenticated;
        grant select on market_data_live_candles to authenticated;
        create policy candlewick_read on market_data_live_candles for select to authenticated using (true);
        if to_regclass('_sqlx_migrations') is not null then
            revoke all on _sqlx_migrations from authenticated;
        end if;
    end if;
    if exists (select from pg_roles where rolname = 'service_role') then
        revoke all on market_data_live_candles from service_role;
        grant select, insert, update, delete on market_data_live_candles to service_role;
        if to_regclass('_sqlx_migrations') is not null then
            revoke all on _sqlx_migrations from service_role;
        end if;
        create policy candlewick_service on market_data_live_candles to service_role using (true) with check (true);
    end if;
end
$$;
