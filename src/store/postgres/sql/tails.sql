-- The newest closed and forming candles of each of some series. Each table is read by its key from the end. A forming row stays for a
-- while after its closed form is stored, which need not be among the newest closed ones.
select coalesce(array_agg(number), '{}'), coalesce(array_agg(time), '{}'), coalesce(array_agg(closed), '{}'),
       coalesce(array_agg(line), '{}')
from unnest($1::text[], $2::text[]) with ordinality as series(symbol, timeframe, number)
cross join lateral (
    (select floor(extract(epoch from c."timestamp") * 1000)::bigint as time, true as closed,
            concat_ws(' ', c.open, c.high, c.low, c.close, c.volume, 1) as line
     from market_data_candles c
     where c.symbol = series.symbol and c.timeframe = series.timeframe
       and c."timestamp" >= timestamptz '0001-01-01 00:00Z' and c."timestamp" < timestamptz '10000-01-01 00:00Z'
     order by c."timestamp" desc limit $3)
    union all
    (select floor(extract(epoch from l."timestamp") * 1000)::bigint, false,
            concat_ws(' ', l.open, l.high, l.low, l.close, l.volume, 0)
     from market_data_live_candles l
     where l.symbol = series.symbol and l.timeframe = series.timeframe
       and l."timestamp" >= timestamptz '0001-01-01 00:00Z' and l."timestamp" < timestamptz '10000-01-01 00:00Z'
       and not exists (
           select from market_data_candles c
           where c.symbol = l.symbol and c.timeframe = l.timeframe and c."timestamp" = l."timestamp")
     order by l."timestamp" desc limit $4)
) newest
