with recursive symbols(symbol, number) as (
    (select symbol, 1::bigint from market_data_candles where symbol > $1 order by symbol limit 1)
    union all
    select next.symbol, number + 1
    from symbols, lateral (
        select c.symbol from market_data_candles c where c.symbol > symbols.symbol order by c.symbol limit 1) next
    where number < $2
)
select coalesce(array_agg(symbol::text order by number), '{}') from symbols
