-- The timeframes of one symbol after one, likewise with a loose index scan. The symbol leads to the server that has it.
with recursive timeframes(timeframe, number) as (
    (select timeframe, 1::bigint from market_data_candles
     where symbol = $1 and timeframe > $2 order by timeframe limit 1)
    union all
    select next.timeframe, number + 1
    from timeframes, lateral (
        select c.timeframe from market_data_candles c
        where c.symbol = $1 and c.timeframe > timeframes.timeframe
        order by c.timeframe limit 1) next
    where number < $3
)
select coalesce(array_agg(timeframe::text order by number), '{}') from timeframes
