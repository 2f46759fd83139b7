update market_data_candles c
set open = j.open, high = j.high, low = j.low, close = j.close, volume = j.volume
from judged j
where c.symbol = j.symbol and c.timeframe = j.timeframe and c."timestamp" = j."timestamp" {bounds}
  and j.outcome = 'amended'
  and not exists (select from judged refused where refused.outcome in ('missing', 'other'))
returning j.position
