-- The samples of one symbol's series, counted from $4.
select wanted.number + $4 as number, floor(extract(epoch from oldest."timestamp") * 1000)::bigint as first, newest.last, newest.digits
from unnest($2::text[]) with ordinality as wanted(timeframe, number),
    lateral (select c."timestamp" from market_data_candles c
             where c.symbol = $1 and c.timeframe = wanted.timeframe
               and c."timestamp" >= timestamptz '0001-01-01 00:00Z' and c."timestamp" < timestamptz '10000-01-01 00:00Z'
             order by c."timestamp" limit 1) oldest,
    lateral (select floor(extract(epoch from max(candle."timestamp")) * 1000)::bigint as last, array_agg(candle.digits) as digits
             from (select c."timestamp", case when scale(c.open) + scale(c.high) + scale(c.low) + scale(c.close) is not null
                              then greatest(scale(c.open), scale(c.high), scale(c.low), scale(c.close)) end as digits
                   from market_data_candles c
                   where c.symbol = $1 and c.timeframe = wanted.timeframe
                     and c."timestamp" >= timestamptz '0001-01-01 00:00Z'
                     and c."timestamp" < timestamptz '10000-01-01 00:00Z'
                   order by c."timestamp" desc limit $3) candle) newest
