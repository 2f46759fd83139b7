-- TimescaleDB skips from key to key for "distinct". The first condition is one of the index, also on compressed chunks,
-- which check the second row by row.
select coalesce(array_agg(symbol::text), '{}'), coalesce(array_agg(timeframe::text), '{}')
from (
    select distinct symbol, timeframe from market_data_candles
    where symbol >= $1 and (symbol, timeframe) > ($1, $2)
    order by symbol, timeframe limit $3) series
