-- Deletes closed candles of one timeframe that are older than a span, for psql, as the owner of the tables:
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -v timeframe=M1 -v keep='2 years' -f docs/postgres-retention.sql
-- Symbol by symbol over the key's index, and 10,000 candles a transaction, so that no post waits for long. By key rather than
-- by ctid, which does not tell rows of different partitions apart.

-- A block cannot see psql's variables.
select set_config('candlewick.timeframe', :'timeframe', false), set_config('candlewick.keep', :'keep', false) \g /dev/null

do $$
declare
    oldest timestamptz := now() - current_setting('candlewick.keep')::interval;
    series text;
    deleted bigint;
    deleted_in_all bigint := 0;
begin
    loop
        -- The next symbol. A recursive query would do the same, but not where Citus distributes the table.
        series := (
            select c.symbol from market_data_candles c
            where c.symbol > coalesce(series, '') order by c.symbol limit 1);
        exit when series is null;
        loop
            -- The first condition leads Citus to the server that has the symbol.
            delete from market_data_candles
            where symbol = series and (symbol, timeframe, "timestamp") in (
                select symbol, timeframe, "timestamp" from market_data_candles
                where symbol = series and timeframe = current_setting('candlewick.timeframe') and "timestamp" < oldest
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
