select coalesce(array_agg("timestamp"), '{}'),
       coalesce(string_agg(concat_ws(' ', open, high, low, close, volume, closed), E'\n'), '')
from (
    select * from (
        (select "timestamp", open, high, low, close, volume, 1 as closed
         from market_data_candles
         where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
         order by "timestamp" {order} limit $5)
        union all
        (select "timestamp", open, high, low, close, volume, 0
         from market_data_live_candles l
         where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
           and not exists (
             select from market_data_candles c
             where c.symbol = $1 and c.timeframe = $2 and c."timestamp" = l."timestamp")
         order by "timestamp" {order} limit $5)
    ) either order by "timestamp" {order} limit $5) candle
