-- Puts the index that src/store/postgres/covering_key.rs has built in the place of the primary key's. It holds the values of a
-- candle beside its key, so a page is read from a few blocks of the index alone and not from the block of each candle. Where
-- no such index was built, the key stays as it is. A migration that has shipped is never edited: its checksum is stored.

do $$
declare
    key text;
begin
    select quote_ident(k.conname) into key
    from pg_index built join pg_constraint k on k.conrelid = built.indrelid and k.contype = 'p'
    where built.indexrelid = to_regclass('market_data_candles_covering') and built.indisvalid
      and built.indrelid = 'market_data_candles'::regclass;
    if key is null then
        return;
    end if;
    -- A statement that waits for the table's lock holds up all that come after it, so each wait is short and repeated.
    perform set_config('lock_timeout', '1s', true);
    loop
        begin
            execute format(
                'alter table market_data_candles drop constraint %1$s,
                    add constraint %1$s primary key using index market_data_candles_covering', key);
            exit;
        exception when lock_not_available then
            perform pg_sleep(1);
        end;
    end loop;
    -- Only of vacuumed blocks does the server know without a look that everybody may see their rows. By default it would
    -- vacuum once a fifth of the table is new, and the newest candles are those that are read most.
    if not exists (
        select from pg_class c, unnest(c.reloptions) option
        where c.oid = 'market_data_candles'::regclass and option like 'autovacuum\_vacuum\_insert\_%'
    ) then
        alter table market_data_candles
            set (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);
    end if;
end
$$;
