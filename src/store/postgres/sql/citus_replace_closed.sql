-- Gives closed candles of symbol $1 and timeframe $2 other values. $3 to $8 are their times and the values.
update market_data_candles c
set open = j.open, high = j.high, low = j.low, close = j.close, volume = j.volume
from unnest($3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::bigint[])
    as j("timestamp", open, high, low, close, volume)
where c.symbol = $1 and c.timeframe = $2 and c."timestamp" = j."timestamp"
