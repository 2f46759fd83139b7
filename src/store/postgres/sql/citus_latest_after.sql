with recursive series(symbol, timeframe, number) as (
    (select $1::text, timeframe, 1::bigint from (
        (select timeframe from market_data_candles
         where symbol = $1 and timeframe > $2 order by timeframe limit 1)
        union all
        (select timeframe from market_data_live_candles
         where symbol = $1 and timeframe > $2 order by timeframe limit 1)
    ) either order by timeframe limit 1)
    union all
    select $1::text, next.timeframe, number + 1
    from series, lateral (
        select either.timeframe from (
            (select c.timeframe from market_data_candles c
             where c.symbol = $1 and c.timeframe > series.timeframe order by c.timeframe limit 1)
            union all
            (select l.timeframe from market_data_live_candles l
             where l.symbol = $1 and l.timeframe > series.timeframe order by l.timeframe limit 1)
        ) either order by either.timeframe limit 1) next
    where number < $3
)
