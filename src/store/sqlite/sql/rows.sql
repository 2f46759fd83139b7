select timestamp, open, high, low, close, volume, 1 as closed
from market_data_candles
where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
union all
select timestamp, open, high, low, close, volume, 0
from market_data_live_candles l
where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
  and not exists (
    select 1 from market_data_candles c
    where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = l.timestamp)
order by timestamp {order}
