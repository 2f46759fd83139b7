with recursive series(symbol, timeframe, number) as (
    (select symbol, timeframe, 1::bigint from market_data_candles
     where (symbol, timeframe) > ($1, $2)
     order by symbol, timeframe limit 1)
    union all
    select next.symbol, next.timeframe, number + 1
    from series, lateral (
        select c.symbol, c.timeframe from market_data_candles c
        where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
        order by c.symbol, c.timeframe limit 1) next
    where number < $3
)
select coalesce(array_agg(symbol::text order by number), '{}'), coalesce(array_agg(timeframe::text order by number), '{}')
from series
