select count(*), max("timestamp"), max(fraction), length(trunc(max(whole))::text)
from (
    select "timestamp",
           case when is_price then greatest(scale(open), scale(high), scale(low), scale(close)) end as fraction,
           case when is_price then greatest(abs(open), abs(high), abs(low), abs(close)) end as whole
    from (
        select "timestamp", open, high, low, close,
               scale(open) + scale(high) + scale(low) + scale(close) is not null as is_price
        from {table}
        where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
        order by "timestamp" limit $5) prices) candle
