-- In the order of the key, as all writers lock them, so that two corrections never deadlock. A row that another correction
-- holds is waited for, and is then read as that correction leaves it.
select a.position, c.open, c.high, c.low, c.close, c.volume
from asked a
    join market_data_candles c
        on c.symbol = a.symbol and c.timeframe = a.timeframe and c."timestamp" = a."timestamp" {bounds}
order by a.symbol collate "C", a.timeframe collate "C", a."timestamp"
{lock}
