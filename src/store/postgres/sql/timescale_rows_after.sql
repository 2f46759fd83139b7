select coalesce(array_agg(symbol::text), '{}'), coalesce(array_agg(timeframe::text), '{}'),
       coalesce(array_agg(time), '{}'), coalesce(array_agg(digits), '{}')
from (
    select symbol, timeframe,
           case when isfinite("timestamp") then floor(extract(epoch from "timestamp") * 1000)::bigint end as time,
           case when scale(open) + scale(high) + scale(low) + scale(close) is not null
                then greatest(scale(open), scale(high), scale(low), scale(close)) end as digits
    from market_data_candles
    where symbol >= $1 and (symbol, timeframe) > ($1, $2)
    order by symbol, timeframe, "timestamp" limit $3) candle
