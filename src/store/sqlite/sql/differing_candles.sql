select f.key, substr(c.open, 1, ?2), substr(c.high, 1, ?2), substr(c.low, 1, ?2), substr(c.close, 1, ?2), c.volume
from json_each(?1) f
cross join market_data_candles c
    on c.symbol = f.value ->> 0 and c.timeframe = f.value ->> 1 and c.timestamp = f.value ->> 2
where (c.open, c.high, c.low, c.close, c.volume)
    is not (f.value ->> 3, f.value ->> 4, f.value ->> 5, f.value ->> 6, f.value ->> 7)
