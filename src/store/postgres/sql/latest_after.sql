with recursive series(symbol, timeframe, number) as (
    (select symbol, timeframe, 1::bigint from (
        (select symbol, timeframe from market_data_candles
         where (symbol, timeframe) > ($1, $2)
         order by symbol, timeframe limit 1)
        union all
        (select symbol, timeframe from market_data_live_candles
         where (symbol, timeframe) > ($1, $2)
         order by symbol, timeframe limit 1)
    ) either order by symbol, timeframe limit 1)
    union all
    select next.symbol, next.timeframe, number + 1
    from series, lateral (
        select either.symbol, either.timeframe from (
            (select c.symbol, c.timeframe from market_data_candles c
             where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
             order by c.symbol, c.timeframe limit 1)
            union all
            (select l.symbol, l.timeframe from market_data_live_candles l
             where (l.symbol, l.timeframe) > (series.symbol, series.timeframe)
             order by l.symbol, l.timeframe limit 1)
        ) either order by either.symbol, either.timeframe limit 1) next
    where number < $3
)
