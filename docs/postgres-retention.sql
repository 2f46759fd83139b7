-- Deletes closed candles of one timeframe that are older than a span, for psql, as the owner of the tables:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -v timeframe=M1 -v keep='2 years' -f docs/postgres-retention.sql
-- Series by series over the key's index, and 10,000 candles a transaction, so that no post waits for long. By key rather than
-- by ctid, which does not tell rows of different partitions apart.

-- A block cannot see psql's variables.
select set_config('candlewick.timeframe', :'timeframe', false), set_config('candlewick.keep', :'keep', false) \g /dev/null

do $$
declare
    oldest timestamptz := now() - current_setting('candlewick.keep')::interval;
    series record;
    deleted bigint;
    deleted_in_all bigint := 0;
begin
    for series in
        with recursive hop as (
            (select symbol from market_data_candles order by symbol limit 1)
            union all
            select (select c.symbol from market_data_candles c where c.symbol > hop.symbol order by c.symbol limit 1)
            from hop where hop.symbol is not null
        )
        select symbol from hop where symbol is not null
    loop
        loop
            delete from market_data_candles
            where (symbol, timeframe, "timestamp") in (
                select symbol, timeframe, "timestamp" from market_data_candles
                where symbol = series.symbol and timeframe = current_setting('candlewick.timeframe') and "timestamp" < oldest
                limit 10000);
            get diagnostics deleted = row_count;
            commit;
            deleted_in_all := deleted_in_all + deleted;
            exit when deleted = 0;
        end loop;
    end loop;
    raise notice 'deleted % candles of % from before %', deleted_in_all, current_setting('candlewick.timeframe'), oldest;
end
$$;
